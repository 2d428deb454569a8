//! Power cuts: the data directory is on ext4 in a loop file; the file is copied at random moments under load, as a disk
//! would be found after the power went; the copy is mounted and recovered, and every acknowledgement received before the
//! copy began is looked for.
//!
//! `kill -9` cannot test this: the page cache survives it. That this test can fail is tested too: the same server with
//! `fsync` and `fdatasync` that do nothing (a seccomp filter answers them with success) must lose acknowledged messages.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::load::{Book, Findings, Load, Rooms, Unanswered, check};
use crate::support::{LoopFs, NO_RATES, Server, from_env, may_mount, random, serve_command};

/// Size of the file system: some segments, the stores, and what a run writes.
const FS_BYTES: u64 = 1 << 30;
/// Names the program to run without syncs; set for the launcher test only.
const LAUNCH: &str = "LYNK_TEST_LAUNCH";

fn options<'a>(backend: &'a str) -> Vec<&'a str> {
    [&NO_RATES[..], &["--backend", backend, "--shards", "2", "--set", "journal.segment_bytes=8MiB"]].concat()
}

/// Runs load, copies the image under it `cuts` times, and checks each copy. Stops at the first finding.
fn cut(
    cuts: u64,
    server: Server,
    rooms: &Rooms,
    fs: &LoopFs,
    dir: &Path,
    backend: &str,
) -> (Findings, usize) {
    let book = Book::default();
    let mut unanswered = Unanswered::default();
    for round in 0..cuts {
        let load = Load::start(&server, rooms, &book, unanswered);
        std::thread::sleep(Duration::from_millis(400 + u64::from(u16::from_le_bytes(random())) % 800));
        let promised = book.snapshot();
        let copy = dir.join(format!("cut-{round}.img"));
        let copied = Command::new("cp").arg("--sparse=always").arg(&fs.image).arg(&copy).status();
        assert!(copied.expect("cp runs").success());
        unanswered = load.finish(true);

        let after = LoopFs::mount(dir, &format!("cut-{round}"), copy);
        let recovered = Server::start(&after.mount.join("data"), &options(backend));
        let findings = check(&recovered, rooms, &promised);
        recovered.kill();
        after.remove();
        if !findings.none() {
            return (findings, promised.len());
        }
    }
    (Findings::default(), book.len())
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_a_power_cut() {
    if !may_mount("nothing_acknowledged_is_lost_or_doubled_by_a_power_cut") {
        return;
    }
    let cuts = from_env("CUTS", 3);
    for (backend, cuts) in [("auto", cuts.div_ceil(2)), ("epoll", cuts / 2)] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let fs = LoopFs::create(temp.path(), "disk", FS_BYTES);
        let server = Server::start(&fs.mount.join("data"), &options(backend));
        let rooms = Rooms::create(&server, 10);
        let (findings, acked) = cut(cuts, server, &rooms, &fs, temp.path(), backend);
        assert!(findings.none(), "{backend}: {findings:#?}");
        eprintln!("==== power ledger, {backend}: {cuts} cuts, {acked} acknowledged, 0 lost, 0 doubled ====");
        fs.remove();
    }
}

#[test]
fn a_server_whose_syncs_do_nothing_loses_acknowledged_messages() {
    if !may_mount("a_server_whose_syncs_do_nothing_loses_acknowledged_messages") {
        return;
    }
    let temp = tempfile::tempdir().expect("temporary directory");
    let fs = LoopFs::create(temp.path(), "disk", FS_BYTES);
    let data = fs.mount.join("data");
    // Directory and rooms are made and synced by an honest server; only the load runs without syncs.
    let honest = Server::start(&data, &options("epoll"));
    let rooms = Rooms::create(&honest, 10);
    assert!(honest.stop().success());
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "power::launch_without_syncs", "--ignored", "--nocapture"]).env(LAUNCH, "1");
    let serve = serve_command(&data, &options("epoll"));
    let arguments: Vec<_> = serve.get_args().map(|a| a.to_str().expect("Unicode").to_owned()).collect();
    command.env("LYNK_TEST_ARGUMENTS", arguments.join("\n"));
    let server = Server::spawn(command, &data);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cut(5, server, &rooms, &fs, temp.path(), "epoll")
    }));
    match outcome {
        Ok((findings, acked)) => {
            assert!(
                !findings.lost.is_empty(),
                "{acked} acknowledged without a sync, and none lost: the test proves nothing"
            );
            eprintln!(
                "==== power ledger without syncs: {} of {acked} lost, as it must be ====",
                findings.lost.len()
            );
        }
        // A directory that cannot even be recovered has lost everything.
        Err(_) => {
            eprintln!("==== power ledger without syncs: the directory is unreadable, as it may be ====")
        }
    }
}

/// Not a test: becomes `lynk` behind a filter that answers every sync with success and does nothing.
#[test]
#[ignore = "started by the test above"]
fn launch_without_syncs() {
    if std::env::var_os(LAUNCH).is_none() {
        return;
    }
    use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
    let arch = TargetArch::try_from(std::env::consts::ARCH).expect("a known machine");
    let syncs =
        [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_syncfs, libc::SYS_msync];
    let filter = SeccompFilter::new(
        syncs.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(0),
        arch,
    )
    .expect("a filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("allowed");
    let arguments = std::env::var("LYNK_TEST_ARGUMENTS").expect("set by the test above");
    let error = Command::new(crate::support::LYNK).args(arguments.split('\n')).exec();
    panic!("{error}");
}
