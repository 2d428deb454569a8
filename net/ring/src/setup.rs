//! Making a ring: flags, sizes, what the kernel must offer, and what the ring may ever do.

use std::io;

use io_uring::register::Restriction;
use io_uring::squeue::Flags;
use io_uring::{IoUring, Probe, opcode};

use crate::error::SetupError;

/// Sizes of the queues and of the scratch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Submission entries, a power of two. The completion queue has four times as many.
    pub entries: u32,
    /// Halved on `ENOMEM` down to this.
    pub entries_min: u32,
    /// Room for the copies that one kernel call sends.
    pub scratch_bytes: usize,
}

impl Default for Options {
    /// 1,024 entries: 40 rings fit into 8 MiB of locked memory; down to 256, where 64 do.
    fn default() -> Self {
        Self { entries: 1024, entries_min: 256, scratch_bytes: 256 << 10 }
    }
}

/// Every operation that the ring uses, by name: what [`probe`] looks for and the only ones that a ring allows.
pub const OPERATIONS: [(&str, u8); 6] = [
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("ACCEPT", opcode::AcceptMulti::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("SEND", opcode::Send::CODE),
    ("WRITE", opcode::Write::CODE),
    ("MSG_RING", opcode::MsgRingData::CODE),
];

/// Whether this process may use io_uring as Lynk does; for `doctor`, and before shards are started.
///
/// # Errors
/// What stands in the way.
pub fn probe(options: &Options) -> Result<(), SetupError> {
    build(options).map(drop)
}

/// Makes a disabled, restricted ring.
pub(crate) fn build(options: &Options) -> Result<IoUring, SetupError> {
    let ring = allocate(options)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| SetupError::new("probe", error))?;
    if let Some((name, _)) = OPERATIONS.iter().find(|(_, code)| !probe.is_supported(*code)) {
        return Err(SetupError::missing(name));
    }
    if !ring.params().is_feature_ext_arg() {
        return Err(SetupError::missing("EXT_ARG"));
    }
    if !ring.params().is_feature_nodrop() || !ring.params().is_feature_skip_cqe_on_success() {
        return Err(SetupError::missing("NODROP and CQE_SKIP"));
    }
    restrict(&ring).map_err(|error| SetupError::new("restrict", error))?;
    Ok(ring)
}

fn allocate(options: &Options) -> Result<IoUring, SetupError> {
    assert!(
        options.entries.is_power_of_two() && options.entries_min > 0,
        "queues have a power of two entries"
    );
    let mut entries = options.entries;
    loop {
        let built = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_r_disabled()
            .setup_cqsize(entries * 4)
            .dontfork()
            .build(entries);
        match built {
            Err(error) if is_memory(&error) && entries / 2 >= options.entries_min => entries /= 2,
            other => return other.map_err(|error| SetupError::new("setup", error)),
        }
    }
}

fn is_memory(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOMEM)
}

/// A ring that only knows our operations: code that took over the process could not open a file through it.
fn restrict(ring: &IoUring) -> io::Result<()> {
    let mut restrictions: Vec<Restriction> =
        OPERATIONS.iter().map(|(_, code)| Restriction::sqe_op(*code)).collect();
    let flags = Flags::IO_LINK | Flags::SKIP_SUCCESS;
    restrictions.push(Restriction::sqe_flags_allowed(flags.bits()));
    ring.submitter().register_restrictions(&mut restrictions)
}
