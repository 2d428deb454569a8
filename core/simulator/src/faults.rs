//! What goes wrong in a world, and how often. Chances are out of a thousand, times in nanoseconds.

use crate::network::NetworkFaults;

/// The disk's misbehaviour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskFaults {
    /// Time of a write and its sync, about.
    pub(crate) sync_nanos: u64,
    /// A write takes only a part.
    pub(crate) short_permille: u32,
    /// A write is interrupted.
    pub(crate) interrupted_permille: u32,
    /// A sync fails, which ends the process.
    pub(crate) failed_permille: u32,
    /// A write finds the disk full.
    pub(crate) full_permille: u32,
    /// How many times in a run the disk has no space for new segments for a while.
    pub(crate) full_times: u32,
}

/// The store bridge's misbehaviour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreFaults {
    /// Time of a request, about.
    pub(crate) nanos: u64,
    /// A request takes far longer.
    pub(crate) late_permille: u32,
    /// Requests overtake each other.
    pub(crate) reordered: bool,
    /// Not done, and said so.
    pub(crate) refused_permille: u32,
    /// Done, and answered `Unknown`.
    pub(crate) unknown_permille: u32,
    /// Not done, and answered `Unknown` after a time.
    pub(crate) lost_permille: u32,
    /// Answered `Unknown`, and done after that.
    pub(crate) zombie_permille: u32,
    /// How many times in a run the relational store is away for a while.
    pub(crate) outages: u32,
    /// Chance that a drained batch fails, done or not.
    pub(crate) drain_permille: u32,
    /// Pause between two steps of the drainer, about.
    pub(crate) drain_nanos: u64,
}

/// Mail between shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailFaults {
    /// Mail of one shard for another that may wait.
    pub(crate) capacity: usize,
    /// Time on the way, about.
    pub(crate) nanos: u64,
    /// Mail that may be refused is, although there is room.
    pub(crate) refused_permille: u32,
}

/// The process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessFaults {
    /// How many times in a run it dies.
    pub(crate) crashes: u32,
    /// Of these, so many lose power: unsynced writes are dropped, torn or kept at random.
    pub(crate) power_permille: u32,
    /// Of these, so many die between two changes of the disk.
    pub(crate) mid_change_permille: u32,
    /// A start dies as well.
    pub(crate) start_permille: u32,
    /// How many times in a run it is told to drain and is started again.
    pub(crate) drains: u32,
    /// How many times in a run the wall clock jumps, forward or back.
    pub(crate) clock_jumps: u32,
    /// Farthest jump in milliseconds.
    pub(crate) clock_jump_millis: u64,
    /// How many times in a run a day passes, or most of two.
    pub(crate) days: u32,
}

/// Everything that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) disk: DiskFaults,
    pub(crate) store: StoreFaults,
    pub(crate) mail: MailFaults,
    pub(crate) network: NetworkFaults,
    pub(crate) process: ProcessFaults,
    /// A connection is reset by the network, at each step of its client.
    pub(crate) reset_permille: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            disk: DiskFaults {
                sync_nanos: 400_000,
                short_permille: 0,
                interrupted_permille: 0,
                failed_permille: 0,
                full_permille: 0,
                full_times: 0,
            },
            store: StoreFaults {
                nanos: 1_000_000,
                late_permille: 10,
                reordered: false,
                refused_permille: 0,
                unknown_permille: 0,
                lost_permille: 0,
                zombie_permille: 0,
                outages: 0,
                drain_permille: 0,
                drain_nanos: 20_000_000,
            },
            mail: MailFaults { capacity: 1_024, nanos: 30_000, refused_permille: 0 },
            network: NetworkFaults::default(),
            process: ProcessFaults {
                crashes: 0,
                power_permille: 600,
                mid_change_permille: 300,
                start_permille: 0,
                drains: 0,
                clock_jumps: 0,
                clock_jump_millis: 0,
                days: 0,
            },
            reset_permille: 0,
        }
    }
}

/// A lie that the driver tells an engine, or an effect it spoils: proof that the judges see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Nothing is spoiled.
    None,
    /// A commit is reported before the disk has it.
    CommitEarly,
    /// Syncs do nothing: the disk has what it was given only by luck.
    SkipSync,
    /// Now and then mail between shards, or a delivery, vanishes without a refusal.
    LoseEvents,
    /// Two deliveries to one connection change places.
    Reorder,
    /// A durable event is delivered to a connection twice.
    Repeat,
    /// A removed user's connection goes on being sent the room's events.
    DeliverAfterRemoval,
    /// Journaled keys are blanked, and the store forgets keys: a retry after a crash posts again.
    ForgetKeys,
    /// History shows the text of deleted messages.
    Resurrect,
    /// Unread counts from the store are off by one.
    MiscountUnread,
    /// Some replies to commands are dropped.
    DropReplies,
    /// The drainer skips a record.
    SkipDrain,
    /// Pictures that a room had before are said to be given back, and are not.
    HoardPictures,
}

impl Sabotage {
    /// Every lie.
    pub const ALL: [Self; 12] = [
        Self::CommitEarly,
        Self::SkipSync,
        Self::LoseEvents,
        Self::Reorder,
        Self::Repeat,
        Self::DeliverAfterRemoval,
        Self::ForgetKeys,
        Self::Resurrect,
        Self::MiscountUnread,
        Self::DropReplies,
        Self::SkipDrain,
        Self::HoardPictures,
    ];
}
