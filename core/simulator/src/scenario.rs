//! Named worlds: who does what, what goes wrong, and how many shards each start has.

use crate::client::{Act, Mix, Pace, Vice};
use crate::faults::Faults;
use crate::network::NetworkFaults;
use lynk_domain::Limits;

/// A room that exists from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomPlan {
    pub(crate) kind: &'static str,
    pub(crate) level: &'static str,
    pub(crate) visibility: &'static str,
}

impl RoomPlan {
    const LOCAL: Self = Self { kind: "public", level: "local", visibility: "all" };
    const MEMORY: Self = Self { kind: "public", level: "memory", visibility: "all" };
    const JOINED: Self = Self { kind: "public", level: "local", visibility: "since_join" };
    const INVITED: Self = Self { kind: "invite_only", level: "local", visibility: "all" };
    const CLOSED: Self = Self { kind: "private", level: "local", visibility: "since_join" };
}

/// One kind of world.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Shards of each start, in turn.
    pub(crate) shards: &'static [u16],
    pub(crate) users: usize,
    /// Devices of each user at most.
    pub(crate) devices_max: usize,
    pub(crate) rogues: &'static [Vice],
    /// Scripts that ask by HTTP.
    pub(crate) callers: u32,
    /// Accounts that are erased, the last ones first.
    pub(crate) erasures: u32,
    pub(crate) rooms: &'static [RoomPlan],
    pub(crate) mix: Mix,
    pub(crate) pace: Pace,
    /// One device of so many reads as slowly as this.
    pub(crate) slow: Option<Pace>,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    /// Virtual time of the work, in milliseconds.
    pub(crate) work_millis: u64,
    /// Size of a journal segment in bytes.
    pub(crate) segment_bytes: u64,
}

/// Limits small enough to be met in a short run, and generous where a client would only wait.
fn limits() -> Limits {
    Limits {
        resume_events_max: 12,
        resume_bytes_max: 4 << 10,
        room_window_events_max: 24,
        room_window_bytes_max: 8 << 10,
        reply_bytes_max: 16 << 10,
        reactions_standing_max: 200,
        send_queue_bytes_high: 16 << 10,
        send_queue_bytes_low: 4 << 10,
        send_queue_bytes_max: 64 << 10,
        commands_per_connection_per_second: 0,
        commands_per_account_per_second: 0,
        ..Limits::default()
    }
}

fn base(name: &'static str, about: &'static str) -> Scenario {
    Scenario {
        name,
        about,
        shards: &[2],
        users: 4,
        devices_max: 2,
        rogues: &[],
        callers: 0,
        erasures: 0,
        rooms: &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::MEMORY],
        mix: Mix::talk(),
        pace: Pace::default(),
        slow: None,
        faults: Faults::default(),
        limits: limits(),
        work_millis: 1_500,
        segment_bytes: 64 << 10,
    }
}

/// Every scenario, in the order of `--list`.
pub(crate) fn all() -> Vec<Scenario> {
    let mut list = calm();
    list.extend(deaths());
    list.extend(stores());
    list.extend(networks());
    list.extend(people());
    list.extend(doors());
    list
}

fn calm() -> Vec<Scenario> {
    vec![
        Scenario { shards: &[1], ..base("calm", "one shard, no faults") },
        base("two_shards", "two shards, no faults but late replies"),
        Scenario { shards: &[4], users: 5, ..base("four_shards", "four shards, no faults") },
        {
            let mut s = base("storm", "everybody types as fast as the server takes it");
            s.pace.think_nanos = 4_000_000;
            s.work_millis = 400;
            s.mix = s.mix.with(&[(200, Act::Send), (1, Act::Disconnect)]).text_max(400);
            s.limits.messages_per_room_per_second = 100;
            s
        },
        {
            let mut s = base("long_messages", "messages that fill windows, pages and segments");
            s.mix = s.mix.with(&[(30, Act::Browse)]).text_max(3_000);
            s.segment_bytes = 32 << 10;
            s.work_millis = 1_000;
            s
        },
        {
            let mut s = base("small_tables", "rooms are evicted, keys forgotten, windows short");
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::MEMORY, RoomPlan::LOCAL];
            s.shards = &[1];
            s.users = 3;
            s.devices_max = 1;
            s.limits.rooms_loaded_per_shard_max = 3;
            s.limits.room_window_events_max = 4;
            s.limits.room_window_millis = 2_000;
            s.limits.resume_events_max = 3;
            s.limits.dedupe_entries_per_shard_max = 8;
            s.limits.room_load_waiting_max = 3;
            s.mix = s.mix.with(&[
                (12, Act::Repeat),
                (8, Act::Browse),
                (1, Act::Create),
                (2, Act::Direct),
                (3, Act::Converse),
                (40, Act::Unsubscribe),
                (2, Act::Leave),
            ]);
            s
        },
    ]
}

fn deaths() -> Vec<Scenario> {
    vec![
        {
            let mut s = base("kill", "the process is killed; the machine goes on");
            s.faults.process.crashes = 3;
            s.faults.process.power_permille = 0;
            s
        },
        {
            let mut s = base("power_cut", "power is lost: unsynced writes are dropped, torn, kept");
            // Batches of several sectors, and long under way, or there is little to tear.
            s.mix = s.mix.text_max(3_000);
            s.faults.disk.sync_nanos = 30_000_000;
            s.faults.process.crashes = 3;
            s.faults.process.power_permille = 1_000;
            s
        },
        {
            let mut s = base("resharding", "starts with 1, 4, 2 and 3 shards over crashes");
            s.shards = &[1, 4, 2, 3];
            s.faults.process.crashes = 3;
            s.faults.process.start_permille = 200;
            s
        },
        {
            let mut s = base("memory_rooms", "rooms of level memory over power cuts, levels change");
            s.rooms = &[RoomPlan::MEMORY, RoomPlan::MEMORY, RoomPlan::LOCAL];
            s.mix = s.mix.with(&[(2, Act::Level)]);
            s.faults.process.crashes = 3;
            s.faults.process.power_permille = 900;
            s.shards = &[2, 3];
            s
        },
        {
            let mut s = base("drain", "told to stop, leaves in order, starts again");
            s.faults.process.drains = 2;
            s.shards = &[2, 1, 3];
            s
        },
        {
            let mut s = base("crash_loop", "dies again and again, also while it starts");
            s.faults.process.crashes = 8;
            s.faults.process.start_permille = 500;
            s.faults.process.mid_change_permille = 600;
            s.shards = &[2, 1, 4];
            s
        },
        {
            let mut s = base("slow_disk", "syncs take long and writes come back short");
            s.faults.disk.sync_nanos = 30_000_000;
            s.limits.uncommitted_records_max = 12;
            s.faults.disk.short_permille = 200;
            s.faults.disk.interrupted_permille = 100;
            s.faults.process.crashes = 1;
            s
        },
        {
            let mut s = base("disk_full", "the disk fills up and is freed again");
            s.faults.disk.full_permille = 60;
            s.faults.disk.full_times = 3;
            s.faults.process.crashes = 1;
            s.segment_bytes = 32 << 10;
            s.mix = s.mix.text_max(1_500);
            s
        },
        {
            let mut s = base("failed_sync", "a sync fails and the process ends");
            s.faults.disk.failed_permille = 6;
            s
        },
        {
            let mut s =
                base("retention", "messages are removed after a moment, over crashes and a late store");
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::MEMORY, RoomPlan::LOCAL];
            s.shards = &[2, 3, 1];
            s.limits.retention_millis = 400;
            s.limits.retention_sweep_millis = 50;
            s.limits.rooms_loaded_per_shard_max = 3;
            s.limits.room_window_events_max = 12;
            s.limits.room_window_millis = 300;
            s.faults.process.crashes = 3;
            s.faults.process.power_permille = 500;
            s.faults.store.drain_nanos = 60_000_000;
            s.faults.store.unknown_permille = 30;
            s.faults.store.reordered = true;
            s.faults.store.outages = 1;
            s.mix = s.mix.with(&[
                (20, Act::Browse),
                (10, Act::Edit),
                (6, Act::Delete),
                (6, Act::Pin),
                (6, Act::Repeat),
                (10, Act::Unsubscribe),
                (4, Act::Join),
                (3, Act::Leave),
            ]);
            s
        },
        {
            let mut s = base("clock_jumps", "the wall clock jumps by minutes, forward and back");
            s.faults.process.clock_jumps = 5;
            s.faults.process.clock_jump_millis = 3 * 60 * 1_000;
            s.faults.process.crashes = 1;
            s
        },
    ]
}

fn stores() -> Vec<Scenario> {
    vec![
        {
            let mut s = base("late_store", "the stores answer late and out of order");
            s.faults.store.nanos = 40_000_000;
            s.faults.store.late_permille = 200;
            s.faults.store.reordered = true;
            s.faults.store.drain_nanos = 200_000_000;
            s.limits.rooms_loaded_per_shard_max = 2;
            s.limits.room_window_events_max = 12;
            s.limits.room_window_millis = 1_000;
            s.mix = s.mix.with(&[(15, Act::Browse), (5, Act::Join), (4, Act::Leave)]);
            s
        },
        {
            let mut s = base("store_faults", "requests refused, lost, done and not said");
            s.faults.store.refused_permille = 60;
            s.faults.store.unknown_permille = 60;
            s.faults.store.lost_permille = 40;
            s.faults.store.zombie_permille = 20;
            s.faults.store.drain_permille = 100;
            s.faults.process.crashes = 1;
            s.mix = s.mix.with(&[
                (6, Act::Join),
                (4, Act::Leave),
                (3, Act::Role),
                (3, Act::Pin),
                (2, Act::Create),
            ]);
            s
        },
        {
            let mut s = base("store_outage", "the relational store is away for a while, twice");
            s.faults.store.outages = 2;
            s.faults.process.crashes = 1;
            s.mix = s.mix.with(&[(6, Act::Join), (4, Act::Leave), (3, Act::Kick), (3, Act::Mute)]);
            s
        },
        {
            let mut s = base("held_removals", "removals while the relational store is away, over crashes");
            s.users = 5;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::MEMORY, RoomPlan::JOINED];
            s.faults.store.outages = 4;
            s.faults.store.drain_nanos = 300_000_000;
            s.faults.process.crashes = 3;
            s.faults.process.power_permille = 500;
            s.shards = &[2, 1, 3];
            s.mix = s.mix.with(&[
                (8, Act::Join),
                (5, Act::Kick),
                (4, Act::Ban),
                (4, Act::Unban),
                (4, Act::Mute),
                (3, Act::Unmute),
                (2, Act::Role),
                (8, Act::Repeat),
            ]);
            s
        },
        {
            let mut s = base("lagging_drain", "the message store is far behind");
            s.faults.store.drain_nanos = 1_500_000_000;
            s.limits.undrained_records_per_shard_max = 60;
            s.faults.store.drain_permille = 300;
            s.faults.process.crashes = 2;
            s.shards = &[3, 1];
            s.limits.room_window_events_max = 12;
            s.mix = s.mix.with(&[(15, Act::Browse), (10, Act::Edit), (8, Act::Delete)]);
            s
        },
    ]
}

fn networks() -> Vec<Scenario> {
    let rough = NetworkFaults {
        short_permille: 300,
        blocked_permille: 100,
        down_bytes: (600, 4_000),
        up_bytes: 2_000,
    };
    vec![
        {
            let mut s = base("short_reads", "tiny socket buffers, short reads and writes, resets");
            s.faults.network = rough;
            s.faults.reset_permille = 3;
            s
        },
        {
            let mut s = base("slow_readers", "some devices read a few bytes at a time");
            s.faults.network = NetworkFaults { down_bytes: (1_000, 4_000), ..NetworkFaults::default() };
            s.slow = Some(Pace { read_bytes: 400, read_nanos: 15_000_000, ..Pace::default() });
            s.limits.send_queue_bytes_high = 4 << 10;
            s.limits.send_queue_bytes_low = 1 << 10;
            s.limits.send_queue_bytes_max = 24 << 10;
            s.pace.think_nanos = 12_000_000;
            s.work_millis = 1_000;
            s.mix = s.mix.with(&[(120, Act::Send)]).text_max(300);
            s
        },
        {
            let mut s = base("full_mailboxes", "mailboxes between shards are small and refuse mail");
            s.shards = &[3];
            s.faults.mail.capacity = 4;
            s.faults.mail.refused_permille = 100;
            s.faults.mail.nanos = 300_000;
            s.pace.think_nanos = 15_000_000;
            s
        },
        {
            let mut s = base("slow_mail", "mail between shards takes long");
            s.shards = &[4];
            s.faults.mail.nanos = 20_000_000;
            s.users = 5;
            s
        },
        {
            let mut s = base("reconnects", "devices come and go all the time");
            s.mix = s.mix.with(&[(20, Act::Disconnect), (25, Act::Vanish), (6, Act::Repeat)]);
            s.faults.reset_permille = 10;
            s.faults.process.crashes = 1;
            s
        },
    ]
}

fn people() -> Vec<Scenario> {
    vec![
        {
            let mut s =
                base("callers", "scripts ask by HTTP beside devices, over crashes and small mailboxes");
            s.callers = 6;
            s.shards = &[3, 1, 2];
            s.faults.process.crashes = 2;
            s.faults.process.drains = 1;
            s.faults.mail.capacity = 8;
            s.faults.mail.refused_permille = 50;
            s.faults.store.refused_permille = 40;
            s.faults.store.unknown_permille = 30;
            s.mix = s.mix.with(&[(2, Act::Kick), (1, Act::Ban), (1, Act::Unban), (2, Act::Mute)]);
            s
        },
        {
            let mut s = base("moderation", "kicks, bans, mutes, roles, joins and leaves in all orders");
            s.users = 5;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::CLOSED];
            s.mix = s.mix.with(&moderation());
            s
        },
        {
            let mut s = base("moderation_chaos", "the same over crashes, a bad store and small mailboxes");
            s.users = 5;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::MEMORY, RoomPlan::CLOSED];
            s.mix = s.mix.with(&moderation());
            s.shards = &[3, 2, 4];
            s.faults.process.crashes = 2;
            s.faults.store.unknown_permille = 40;
            s.faults.store.refused_permille = 40;
            s.faults.store.reordered = true;
            s.faults.mail.capacity = 8;
            s.faults.mail.refused_permille = 30;
            s
        },
        {
            let mut s = base("deleted_rooms", "rooms are made and deleted, over crashes and a bad store");
            s.users = 4;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::MEMORY, RoomPlan::CLOSED];
            s.mix = s.mix.with(&[
                (6, Act::Create),
                (4, Act::DeleteRoom),
                (4, Act::Transfer),
                (8, Act::Join),
                (4, Act::Invite),
                (3, Act::Kick),
                (4, Act::Limits),
                (4, Act::Look),
                (6, Act::Repeat),
                (30, Act::Send),
            ]);
            s.shards = &[2, 3, 1];
            s.faults.process.crashes = 2;
            s.faults.store.unknown_permille = 40;
            s.faults.store.refused_permille = 40;
            s.faults.store.outages = 1;
            s.faults.mail.capacity = 8;
            s.faults.mail.refused_permille = 30;
            s
        },
        {
            let mut s = base("direct", "conversations of two, blocks and their lifting");
            s.mix = s.mix.with(&[
                (12, Act::Direct),
                (10, Act::Converse),
                (6, Act::Block),
                (6, Act::Unblock),
                (10, Act::Typing),
            ]);
            s.rooms = &[RoomPlan::LOCAL];
            s.faults.process.crashes = 1;
            s.shards = &[2, 3];
            s
        },
        {
            let mut s = base("crowd", "one room with more connections than one flush serves");
            s.users = 300;
            s.devices_max = 1;
            s.rooms = &[RoomPlan::LOCAL];
            s.shards = &[1];
            s.pace.think_nanos = 3_000_000_000;
            s.work_millis = 1_000;
            s.mix = Mix::quiet();
            s
        },
        {
            let mut s = base("rogues", "garbage, floods, deaf and silent clients beside good ones");
            s.rogues = &[Vice::Garbage, Vice::Flood, Vice::Deaf, Vice::Silent];
            s.limits.commands_per_connection_per_second = 50;
            s.limits.commands_per_account_per_second = 100;
            s.limits.hello_millis_max = 700;
            s.faults.network = NetworkFaults { down_bytes: (2_000, 30_000), ..NetworkFaults::default() };
            s
        },
        {
            let mut s = base("chaos", "a little of everything");
            s.shards = &[1, 4, 2, 3];
            s.users = 5;
            s.rogues = &[Vice::Garbage, Vice::Deaf];
            s.mix = s.mix.with(&moderation()).with(&[
                (3, Act::Direct),
                (4, Act::Converse),
                (2, Act::Block),
                (2, Act::Unblock),
                (1, Act::Level),
            ]);
            s.faults.process.crashes = 3;
            s.faults.process.drains = 1;
            s.faults.process.start_permille = 100;
            s.faults.process.clock_jumps = 2;
            s.faults.process.clock_jump_millis = 120_000;
            s.faults.store.refused_permille = 30;
            s.faults.store.unknown_permille = 30;
            s.faults.store.lost_permille = 10;
            s.faults.store.reordered = true;
            s.faults.store.drain_permille = 100;
            s.faults.mail.capacity = 16;
            s.faults.mail.refused_permille = 30;
            s.faults.disk.short_permille = 50;
            s.faults.network = rough_a_little();
            s.faults.reset_permille = 2;
            s
        },
    ]
}

/// Links, requests, reports, files, erasures: what rooms and accounts have beside talk.
fn doors() -> Vec<Scenario> {
    let bad_store = |s: &mut Scenario| {
        s.work_millis = s.work_millis.max(2_500);
        s.faults.process.crashes = 2;
        s.faults.store.refused_permille = 40;
        s.faults.store.unknown_permille = 40;
        s.faults.store.lost_permille = 20;
        s.faults.store.outages = 1;
        s.shards = &[2, 3, 1];
    };
    vec![
        {
            let mut s = base("links", "hidden rooms that links of few uses lead into, and bans");
            s.users = 6;
            s.rooms = &[RoomPlan::CLOSED, RoomPlan::INVITED, RoomPlan::CLOSED];
            s.mix = s.mix.with(&links()).with_lists();
            bad_store(&mut s);
            s
        },
        {
            let mut s = base("requests", "people ask to be let in, are accepted, declined and banned");
            s.users = 6;
            s.rooms = &[RoomPlan::INVITED, RoomPlan::INVITED, RoomPlan::LOCAL];
            s.mix = s.mix.with(&requests()).with_lists();
            bad_store(&mut s);
            s
        },
        {
            let mut s = base("reports", "people report, and moderators resolve, delete and remove");
            s.users = 5;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::LOCAL];
            s.mix = s.mix.with(&reports()).with_lists();
            bad_store(&mut s);
            s
        },
        {
            let mut s =
                base("files", "messages with files, deleted and edited, over crashes and a bad store");
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::MEMORY];
            s.mix = s.mix.with(&[
                (25, Act::Attach),
                (10, Act::Send),
                (14, Act::Delete),
                (8, Act::Edit),
                (8, Act::Browse),
                (4, Act::Repeat),
            ]);
            s.limits.room_window_events_max = 12;
            bad_store(&mut s);
            s
        },
        {
            let mut s = base("late_files", "messages with files are deleted, and the disk takes its time");
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::MEMORY];
            s.mix = s.mix.with(&[(25, Act::Attach), (10, Act::Send), (25, Act::Delete)]);
            s.faults.disk.sync_nanos = 700_000_000;
            bad_store(&mut s);
            s.work_millis = 5_000;
            s
        },
        {
            let mut s =
                base("pictures", "rooms get pictures, others and none, and are deleted, over crashes");
            s.users = 5;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::MEMORY, RoomPlan::CLOSED, RoomPlan::JOINED];
            s.mix = s
                .mix
                .with(&[
                    (30, Act::Picture),
                    (10, Act::Send),
                    (4, Act::Rename),
                    (6, Act::Role),
                    (2, Act::Transfer),
                    (3, Act::Leave),
                    (6, Act::Join),
                    (3, Act::Create),
                    (1, Act::DeleteRoom),
                    (8, Act::Repeat),
                    (6, Act::Look),
                    (3, Act::Discover),
                    (6, Act::Unsubscribe),
                ])
                .with_lists();
            s.limits.rooms_loaded_per_shard_max = 3;
            bad_store(&mut s);
            s.faults.store.reordered = true;
            s
        },
        {
            let mut s = base("erasures", "accounts are erased while others talk, over crashes");
            s.users = 6;
            s.erasures = 2;
            s.work_millis = 4_000;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::MEMORY, RoomPlan::CLOSED, RoomPlan::INVITED];
            s.mix = s.mix.with(&[
                (10, Act::Attach),
                (10, Act::Edit),
                (6, Act::Browse),
                (6, Act::Leave),
                (4, Act::Join),
                (3, Act::Ask),
                (4, Act::Direct),
                (6, Act::Converse),
                (2, Act::Block),
                (1, Act::Transfer),
                (2, Act::Role),
            ]);
            s.limits.room_window_events_max = 12;
            bad_store(&mut s);
            s.faults.process.crashes = 3;
            s
        },
        {
            let mut s = base("kept_days", "rooms keep messages for some days, and days pass");
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::JOINED, RoomPlan::MEMORY, RoomPlan::LOCAL];
            s.mix = s.mix.with(&[
                (6, Act::Days),
                (4, Act::Rename),
                (6, Act::Role),
                (10, Act::Browse),
                (6, Act::Edit),
                (6, Act::Attach),
                (4, Act::Delete),
                (4, Act::Pin),
            ]);
            s.limits.retention_sweep_millis = 40;
            s.limits.room_window_events_max = 12;
            s.faults.process.days = 3;
            s.faults.process.crashes = 2;
            s.faults.store.unknown_permille = 30;
            s.shards = &[2, 1, 3];
            s
        },
        {
            let mut s =
                base("strangers", "conversations that strangers begin, accepted and declined over crashes");
            s.rooms = &[];
            s.users = 6;
            s.mix = s.mix.with(&[
                (14, Act::Direct),
                (14, Act::Converse),
                (60, Act::Send),
                (4, Act::Sync),
                (4, Act::Look),
                (2, Act::Clear),
                (2, Act::Block),
                (4, Act::Unblock),
                (2, Act::Create),
            ]);
            s.faults.process.crashes = 1;
            s.faults.store.unknown_permille = 30;
            s.shards = &[2, 3];
            s
        },
        {
            let mut s = base("cleared", "conversations of two, deleted for oneself and blocked");
            s.rooms = &[RoomPlan::LOCAL];
            s.mix = s.mix.with(&[
                (10, Act::Direct),
                (12, Act::Converse),
                (10, Act::Clear),
                (3, Act::Block),
                (5, Act::Unblock),
                (8, Act::Browse),
                (6, Act::MarkUnread),
                (4, Act::Attach),
                (3, Act::Sync),
            ]);
            s.limits.room_window_events_max = 12;
            bad_store(&mut s);
            s
        },
        {
            let mut s = base("everything", "all of that at once, with a little of every fault");
            s.users = 6;
            s.erasures = 1;
            s.work_millis = 3_000;
            s.rooms = &[RoomPlan::LOCAL, RoomPlan::INVITED, RoomPlan::CLOSED, RoomPlan::MEMORY];
            s.mix = s
                .mix
                .with(&moderation())
                .with(&links())
                .with(&requests())
                .with(&reports())
                .with(&[
                    (10, Act::Attach),
                    (3, Act::Rename),
                    (3, Act::Picture),
                    (2, Act::Direct),
                    (4, Act::Converse),
                    (2, Act::Clear),
                    (1, Act::Block),
                    (1, Act::Unblock),
                    (1, Act::DeleteRoom),
                ])
                .with_lists();
            bad_store(&mut s);
            s.faults.process.drains = 1;
            s.faults.store.reordered = true;
            s.faults.store.drain_permille = 100;
            s.faults.mail.capacity = 16;
            s.faults.mail.refused_permille = 30;
            s.faults.network = rough_a_little();
            s.faults.reset_permille = 2;
            s
        },
    ]
}

fn links() -> [(u32, Act); 10] {
    [
        (8, Act::Link),
        (3, Act::Unlink),
        (14, Act::Enter),
        (4, Act::LookAt),
        (5, Act::Leave),
        (3, Act::Kick),
        (4, Act::Ban),
        (3, Act::Unban),
        (3, Act::Role),
        (4, Act::List),
    ]
}

fn requests() -> [(u32, Act); 13] {
    [
        (12, Act::Ask),
        (2, Act::Block),
        (1, Act::Unblock),
        (3, Act::Invite),
        (3, Act::Withdraw),
        (10, Act::Answer),
        (4, Act::Ban),
        (4, Act::Unban),
        (3, Act::Kick),
        (3, Act::Leave),
        (3, Act::Discover),
        (2, Act::MyRequests),
        (4, Act::List),
    ]
}

fn reports() -> [(u32, Act); 10] {
    [
        (10, Act::Report),
        (6, Act::Resolve),
        (8, Act::Delete),
        (6, Act::Edit),
        (3, Act::Kick),
        (3, Act::Ban),
        (3, Act::Unban),
        (3, Act::Mute),
        (4, Act::Role),
        (5, Act::List),
    ]
}

fn rough_a_little() -> NetworkFaults {
    NetworkFaults { short_permille: 100, blocked_permille: 50, down_bytes: (2_000, 30_000), up_bytes: 8_000 }
}

fn moderation() -> [(u32, Act); 16] {
    [
        (3, Act::Limits),
        (3, Act::Look),
        (6, Act::Join),
        (3, Act::Leave),
        (4, Act::Invite),
        (5, Act::Kick),
        (4, Act::Ban),
        (4, Act::Unban),
        (3, Act::Mute),
        (3, Act::Unmute),
        (5, Act::Role),
        (1, Act::Transfer),
        (3, Act::Pin),
        (2, Act::Settings),
        (1, Act::Create),
        (30, Act::Send),
    ]
}
