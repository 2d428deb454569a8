use lynk_domain::{Key, MessageId, Ordinal, SessionId};
use lynk_model::memory::MemoryNotify;
use lynk_model::notify::{Platform, Provider};
use lynk_model::port::ready;
use lynk_model::{Mentions, RoomWish, Wish};

use super::*;

const ROOM: RoomId = RoomId([7; 16]);
const WINDOW: u64 = 10_000;

fn user(n: u8) -> UserId {
    UserId([n; 16])
}

/// Rooms and connections as a test sets them.
#[derive(Clone, Default)]
struct Crowd {
    members: Vec<UserId>,
    wishes: Vec<(UserId, RoomWish)>,
    online: BTreeSet<UserId>,
    blocks: BTreeSet<(UserId, UserId)>,
    read: BTreeMap<UserId, u64>,
    top: u64,
    away: bool,
}

impl Audience for Crowd {
    async fn room(
        &mut self,
        _: RoomId,
        max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError> {
        if self.away {
            return Err(StoreError::Unavailable);
        }
        let size = self.members.len() as u64;
        let mut members = self.members.clone();
        if size > u64::from(max) {
            members.retain(|user| named.contains(user) || self.wishes.iter().any(|(of, _)| of == user));
        }
        Ok(Some(RoomAudience { size, members, wishes: self.wishes.clone(), request: None }))
    }

    async fn blocked(&mut self, of: UserId) -> Result<Vec<UserId>, StoreError> {
        let across = |(a, b): &(UserId, UserId)| match (*a == of, *b == of) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            _ => None,
        };
        let mut blocked: Vec<_> = self.blocks.iter().filter_map(across).collect();
        blocked.sort_unstable();
        Ok(blocked)
    }

    async fn unread(&mut self, of: UserId, _: RoomId) -> Result<RoomUnread, StoreError> {
        let read = self.read.get(&of).copied().unwrap_or(0);
        Ok(RoomUnread { unread: self.top - read, read: Seq(read), request: false })
    }

    async fn active(&mut self, users: &[UserId]) -> Result<Vec<bool>, StoreError> {
        Ok(users.iter().map(|user| self.online.contains(user)).collect())
    }
}

struct World {
    notifier: Notifier<MemoryNotify, Crowd>,
    now: u64,
}

fn device(of: u8) -> Device {
    Device {
        session: SessionId([of; 16]),
        user: user(of),
        provider: Provider::Fcm,
        token: PushToken::parse(&format!("token-{of}")).expect("a token"),
        platform: Platform::Android,
        id_only: true,
        created: Millis(1),
        last_ok: None,
    }
}

fn notifier(store: MemoryNotify, crowd: Crowd) -> Notifier<MemoryNotify, Crowd> {
    let rules = Rules { large_room: 500, everybody_max: 10_000, life_millis: 600_000 };
    let timing =
        Timing { window_millis: WINDOW, retry_min_millis: 1_000, retry_max_millis: 60_000, attempts_max: 3 };
    Notifier::new(store, crowd, rules, timing, Arc::default(), 7)
}

impl World {
    /// Users 1 to 3 in a room, each with a device.
    fn new() -> Self {
        let mut store = MemoryNotify::default();
        for of in 1..=3 {
            ready(store.put_device(&device(of))).expect("puts");
        }
        let crowd = Crowd { members: (1..=3).map(user).collect(), ..Crowd::default() };
        Self { notifier: notifier(store, crowd), now: 1_000_000 }
    }

    fn now(&self) -> Millis {
        Millis(self.now)
    }

    fn event(&self, seq: u64, by: u8) -> Event {
        Event {
            topic: Topic::MessageCreated,
            subject: Subject::Room(ROOM),
            seq: Seq(seq),
            at: self.now(),
            by: user(by),
            command: Key::NIL,
            body: EventBody::Posted {
                id: MessageId([seq as u8; 16]),
                n: Ordinal(seq),
                reply_to: Seq(0),
                mentions: Mentions::default(),
                attachments: Vec::new(),
                text: None,
            },
        }
    }

    fn take(&mut self, from: u64, to: u64, by: u8) {
        let events: Vec<_> = (from..=to).map(|seq| self.event(seq, by)).collect();
        self.notifier.audience.top = self.notifier.audience.top.max(to);
        let now = self.now();
        ready(self.notifier.take(&events, now)).expect("takes");
    }

    /// What is sent now.
    fn turn(&mut self) -> Vec<PushNote> {
        let now = self.now();
        let plan = ready(self.notifier.plan(16, now)).expect("plans");
        ready(self.notifier.commit(plan, now)).expect("commits")
    }

    fn end(&mut self, notes: Vec<PushNote>, delivered: Delivered) {
        let now = self.now();
        for note in notes {
            self.notifier.ended(&Ended { note, delivered }, now);
        }
    }

    /// Another process takes over, with what is on disk.
    fn crash(&mut self) {
        let (store, crowd) = (self.notifier.store.clone(), self.notifier.audience.clone());
        self.notifier = notifier(store, crowd);
        let now = self.now();
        ready(self.notifier.abandon(Millis(now.0 + 1), now)).expect("abandons");
    }
}

fn told(notes: &[PushNote]) -> Vec<(u8, u64, u32, u64)> {
    notes.iter().map(|n| (n.push.user.0[0], n.push.upto.0, n.push.messages, n.badge)).collect()
}

#[test]
fn a_room_pushes_once_in_a_window_and_the_newest_wins() {
    let mut world = World::new();
    world.take(1, 3, 1);
    let first = world.turn();
    assert_eq!(told(&first), [(2, 3, 3, 3), (3, 3, 3, 3)]);
    world.end(first, Delivered::Taken);
    for seq in 4..=20 {
        world.now += 100;
        world.take(seq, seq, 1);
        assert_eq!(world.turn(), [], "inside of the window");
    }
    world.now += WINDOW;
    let second = world.turn();
    assert_eq!(told(&second), [(2, 20, 17, 20), (3, 20, 17, 20)]);
    assert_eq!(second[0].push.from, Seq(4));
}

#[test]
fn what_comes_again_is_known_and_nobody_is_told_twice() {
    let mut world = World::new();
    world.take(1, 5, 1);
    let first = world.turn();
    world.end(first, Delivered::Taken);
    world.now += 10 * WINDOW;
    world.take(1, 5, 1);
    world.take(3, 5, 1);
    assert_eq!(world.turn(), []);
    world.take(4, 6, 1);
    assert_eq!(told(&world.turn()), [(2, 6, 1, 6), (3, 6, 1, 6)]);
}

#[test]
fn a_crash_sends_nothing_twice_and_loses_nothing() {
    // At every step of a life, the process dies and the next one takes over and is given everything again.
    for crash_at in 0..4 {
        let mut world = World::new();
        let mut sent: Vec<PushNote> = Vec::new();
        let crash = |world: &mut World, step| {
            if step == crash_at {
                world.crash();
            }
        };
        world.take(1, 4, 1);
        crash(&mut world, 0);
        world.take(1, 4, 1);
        let now = world.now();
        let plan = ready(world.notifier.plan(16, now)).expect("plans");
        if crash_at == 1 {
            // Planned, and not claimed.
            drop(plan);
            world.crash();
            sent.extend(world.turn());
        } else {
            sent.extend(ready(world.notifier.commit(plan, now)).expect("commits"));
        }
        // Claimed and sent, and how it ended is not noted.
        crash(&mut world, 2);
        let notes = sent.clone();
        world.end(notes, Delivered::Taken);
        sent.extend(world.turn());
        crash(&mut world, 3);
        world.take(1, 4, 1);
        world.now += 10 * WINDOW;
        sent.extend(world.turn());
        assert_eq!(told(&sent), [(2, 4, 4, 4), (3, 4, 4, 4)], "died at step {crash_at}");
        // The next message is pushed, and the badge counts what an unknown push may have told.
        world.take(1, 5, 1);
        world.now += 10 * WINDOW;
        assert_eq!(told(&world.turn()), [(2, 5, 1, 5), (3, 5, 1, 5)]);
    }
}

#[test]
fn who_is_there_or_has_read_or_has_left_is_not_told() {
    let mut world = World::new();
    world.notifier.audience.online.insert(user(2));
    world.take(1, 1, 1);
    assert_eq!(told(&world.turn()), [(3, 1, 1, 1)]);
    world.now += 2 * WINDOW;
    world.notifier.audience.online.clear();
    // Wanted, and not any more when it is due.
    let reason = |world: &World, of: u8, seq| {
        let known = ready(world.notifier.store.why(user(of), ROOM, Seq(seq))).expect("readable");
        known.pushes.last().and_then(|push| push.dropped)
    };
    world.take(2, 2, 1);
    world.notifier.audience.read.insert(user(2), 2);
    world.notifier.audience.online.insert(user(3));
    assert_eq!(world.turn(), []);
    assert_eq!((reason(&world, 2, 2), reason(&world, 3, 2)), (Some(Reason::Read), Some(Reason::Active)));
    world.notifier.audience.online.clear();
    world.take(3, 3, 1);
    world.notifier.audience.members = vec![user(1), user(3)];
    let mute = RoomWish { muted_until: Millis(u64::MAX), wish: Wish::Default };
    world.notifier.audience.wishes = vec![(user(3), mute)];
    assert_eq!(world.turn(), []);
    assert_eq!((reason(&world, 2, 3), reason(&world, 3, 3)), (Some(Reason::NotMember), Some(Reason::Muted)));
    let known = ready(world.notifier.store.why(user(1), ROOM, Seq(3))).expect("readable");
    assert_eq!(known.decision.map(|decision| decision.reason), Some(Reason::Sender));
}

#[test]
fn a_large_room_tells_those_who_are_mentioned_and_everybody_up_to_a_bound() {
    let mention = |world: &World, seq: u64, mentions: Mentions| {
        let mut event = world.event(seq, 1);
        if let EventBody::Posted { mentions: of, .. } = &mut event.body {
            *of = mentions;
        }
        event
    };
    for (size, everybody) in [(501, vec![(2, 3, 1, 3), (3, 3, 1, 3)]), (10_001, vec![])] {
        let mut world = World::new();
        let more = (0..size - 3).map(|n: u32| {
            let mut id = [0xff; 16];
            id[12..].copy_from_slice(&n.to_be_bytes());
            UserId(id)
        });
        world.notifier.audience.members.extend(more);
        world.take(1, 1, 1);
        assert_eq!(world.turn(), [], "nobody is mentioned");
        let events = [mention(&world, 2, Mentions::new(false, vec![user(3)]))];
        world.notifier.audience.top = 2;
        let now = world.now();
        ready(world.notifier.take(&events, now)).expect("takes");
        let sent = world.turn();
        assert_eq!(told(&sent), [(3, 2, 1, 2)]);
        assert!(sent[0].push.mention);
        world.now += WINDOW;
        let events = [mention(&world, 3, Mentions::new(true, Vec::new()))];
        world.notifier.audience.top = 3;
        let now = world.now();
        ready(world.notifier.take(&events, now)).expect("takes");
        assert_eq!(told(&world.turn()), everybody, "{size}");
    }
}

#[test]
fn a_block_of_either_side_keeps_pushes_out() {
    let mut world = World::new();
    world.notifier.audience.blocks = [(user(2), user(1)), (user(1), user(3))].into();
    world.take(1, 1, 1);
    assert_eq!(world.turn(), []);
    world.take(2, 2, 2);
    assert_eq!(told(&world.turn()), [(3, 2, 1, 2)]);
}

#[test]
fn failures_are_tried_again_and_given_up_in_the_end() {
    let mut world = World::new();
    world.notifier.audience.members = vec![user(1), user(2)];
    world.take(1, 1, 1);
    let mut notes = world.turn();
    let failed = Delivered::Failed { cause: PushCause::Server, retry_after_millis: 5_000 };
    for attempts in 1..=3 {
        assert_eq!(notes.iter().map(|note| note.push.attempts).collect::<Vec<_>>(), [attempts]);
        world.end(notes, failed);
        notes = world.turn();
        assert_eq!(notes, [], "not before the provider's time");
        world.now += 60_000;
        notes = world.turn();
    }
    assert_eq!(notes, []);
    let dead = ready(world.notifier.store.dead(false, 10)).expect("readable");
    assert_eq!((dead.len(), dead[0].cause, dead[0].attempts), (1, PushCause::Server, 3));
    assert_eq!(ready(world.notifier.store.devices(user(2))).expect("readable").len(), 1, "the token stays");
}

#[test]
fn a_refused_push_is_dead_and_only_an_unknown_token_goes() {
    let mut world = World::new();
    world.take(1, 1, 1);
    let mut notes = world.turn();
    let last = notes.pop().into_iter().collect();
    world.end(notes, Delivered::Refused(PushCause::Invalid));
    world.end(last, Delivered::Unregistered);
    assert_eq!(world.turn(), []);
    let devices = |world: &World, of| ready(world.notifier.store.devices(user(of))).expect("readable").len();
    assert_eq!((devices(&world, 1), devices(&world, 2), devices(&world, 3)), (1, 1, 0));
    assert_eq!(ready(world.notifier.store.dead(false, 10)).expect("readable").len(), 1);
}

#[test]
fn a_store_that_is_away_loses_nothing() {
    let mut world = World::new();
    world.notifier.audience.away = true;
    let (event, now) = (world.event(1, 1), world.now());
    assert_eq!(ready(world.notifier.take(std::slice::from_ref(&event), now)), Err(StoreError::Unavailable));
    world.notifier.audience.away = false;
    world.take(1, 1, 1);
    assert_eq!(world.turn().len(), 2);
}

#[test]
fn without_a_device_nothing_is_kept() {
    let crowd = Crowd { members: vec![user(1), user(2)], ..Crowd::default() };
    let mut world = World { notifier: notifier(MemoryNotify::default(), crowd), now: 1_000_000 };
    world.take(1, 9, 1);
    assert_eq!(ready(world.notifier.store.taken(&[ROOM])), Ok(vec![Seq(0)]));
    assert_eq!(world.turn(), []);
}
