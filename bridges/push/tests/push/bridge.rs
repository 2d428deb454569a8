//! The bridge's thread, from messages to what the provider gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lynk_domain::{Key, MessageId, Ordinal, RoomId, Seq, SessionId, UserId};
use lynk_embedded::Notifications;
use lynk_model::event::{Event, EventBody, Subject, Topic};
use lynk_model::notify::{
    Device, Platform, Provider, PushState, PushToken, Reason, RoomAudience, RoomUnread,
};
use lynk_model::port::{Audience, EventSink, NotifyStore as _, ready};
use lynk_model::{Mentions, StoreError};
use lynk_push::{Fed, Feed, PushBridge, PushOptions, PushParts, Rules, Senders};
use serde_json::Value;
use tokio::runtime::Builder;

use super::double::{Answer, Google};
use super::sends::{fcm, wall};

const ROOM: RoomId = RoomId([7; 16]);
const PEOPLE: u8 = 20;

fn user(n: u8) -> UserId {
    UserId([n; 16])
}

/// A room of everybody; those with an even number are connected.
struct Crowd(Arc<Mutex<u64>>);

impl Audience for Crowd {
    async fn room(&mut self, _: RoomId, _: u32, _: &[UserId]) -> Result<Option<RoomAudience>, StoreError> {
        let members: Vec<_> = (1..=PEOPLE).map(user).collect();
        Ok(Some(RoomAudience { size: PEOPLE.into(), members, wishes: Vec::new(), request: None }))
    }

    async fn blocked(&mut self, _: UserId) -> Result<Vec<UserId>, StoreError> {
        Ok(Vec::new())
    }

    async fn unread(&mut self, _: UserId, _: RoomId) -> Result<RoomUnread, StoreError> {
        Ok(RoomUnread { unread: *self.0.lock().expect("no panic"), read: Seq(0), request: false })
    }

    async fn active(&mut self, users: &[UserId]) -> Result<Vec<bool>, StoreError> {
        Ok(users.iter().map(|user| user.0[0].is_multiple_of(2)).collect())
    }
}

/// Messages up to where the test has come, from the first one on at every start.
struct Log {
    given: u64,
    top: Arc<Mutex<u64>>,
}

fn event(seq: u64) -> Event {
    let body = EventBody::Posted {
        id: MessageId([seq as u8; 16]),
        n: Ordinal(seq),
        reply_to: Seq(0),
        mentions: Mentions::default(),
        attachments: Vec::new(),
        text: None,
    };
    Event {
        topic: Topic::MessageCreated,
        subject: Subject::Room(ROOM),
        seq: Seq(seq),
        at: wall(),
        by: user(2),
        command: Key::NIL,
        body,
    }
}

impl Feed for Log {
    async fn step<S: EventSink>(&mut self, sink: &mut S) -> Fed {
        let top = *self.top.lock().expect("no panic");
        let events: Vec<_> = (self.given + 1..=top.min(self.given + 50)).map(event).collect();
        if events.is_empty() {
            return Fed::Idle;
        }
        match sink.publish(&events).await {
            Ok(()) => {
                self.given += events.len() as u64;
                Fed::Some
            }
            Err(_) => Fed::Wait(Duration::from_millis(10)),
        }
    }
}

struct World {
    google: Google,
    directory: tempfile::TempDir,
    top: Arc<Mutex<u64>>,
    window: Duration,
}

impl World {
    fn new(window: Duration) -> Self {
        let world = Self {
            google: Google::start(),
            directory: tempfile::tempdir().expect("a directory"),
            top: Arc::default(),
            window,
        };
        let mut store = world.store();
        for of in 1..=PEOPLE {
            let device = Device {
                session: SessionId([of; 16]),
                user: user(of),
                provider: Provider::Fcm,
                token: PushToken::parse(&format!("token-{of}")).expect("a token"),
                platform: Platform::Android,
                id_only: true,
                created: wall(),
                last_ok: None,
            };
            ready(store.put_device(&device)).expect("puts");
        }
        world
    }

    fn store(&self) -> Notifications {
        Notifications::open(self.directory.path()).expect("opens")
    }

    fn start(&self) -> PushBridge {
        let parts = PushParts {
            store: self.store(),
            audience: Crowd(Arc::clone(&self.top)),
            feed: Log { given: 0, top: Arc::clone(&self.top) },
            sender: Senders { console: None, fcm: Some(fcm(&self.google)) },
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
            wall: Arc::new(wall),
            // Names of pushes are made from it: no two starts have the same.
            seed: u64::from_le_bytes(random()),
            ended: Vec::new(),
            dead: None,
        };
        let options = PushOptions {
            rules: Rules { large_room: 500, everybody_max: 10_000, life_millis: 600_000 },
            window: self.window,
            retry_min: Duration::from_millis(20),
            retry_max: Duration::from_millis(100),
            attempts_max: 4,
            keep: Duration::from_secs(3_600),
            keep_rows: 100_000,
            sends: true,
            alone: true,
            final_wait: Duration::from_secs(5),
        };
        PushBridge::start(parts, options).expect("a thread")
    }

    fn post(&self, more: u64) -> u64 {
        let mut top = self.top.lock().expect("no panic");
        *top += more;
        *top
    }

    /// Waits until everybody who is not connected was told of `seq`.
    fn all_told(&self, seq: u64) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let (taken, seq) = (self.google.taken(), seq.to_string());
            let told: BTreeSet<&str> = taken
                .iter()
                .filter(|m| m["data"]["seq"] == seq)
                .filter_map(|m| m["token"].as_str())
                .collect();
            if told.len() == usize::from(PEOPLE / 2) {
                return taken;
            }
            assert!(Instant::now() < until, "{} of {} were told of {seq}", told.len(), PEOPLE / 2);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn by_token(taken: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in taken {
        let seq = message["data"]["seq"].as_str().and_then(|seq| seq.parse().ok()).expect("a seq");
        told.entry(message["token"].as_str().expect("a token").to_owned()).or_default().push(seq);
    }
    told
}

#[test]
fn each_offline_person_is_told_once_in_a_window_and_nobody_who_is_there() {
    // Longer than the test: the window does not end.
    let world = World::new(Duration::from_secs(600));
    let bridge = world.start();
    let first = world.post(1);
    world.all_told(first);
    world.post(500);
    let until = Instant::now() + Duration::from_secs(60);
    let pending = || bridge.desk().why(user(3), ROOM, Seq(501)).expect("answers").0.pending;
    while pending().is_none_or(|one| one.wanted.upto != Seq(501)) {
        assert!(Instant::now() < until, "it is not decided");
        std::thread::sleep(Duration::from_millis(10));
    }
    let taken = world.google.taken();
    assert_eq!(taken.len(), usize::from(PEOPLE / 2), "the rest waits for the window");
    assert!(
        by_token(&taken).keys().all(|token| token
            .rsplit('-')
            .next()
            .expect("a number")
            .parse::<u8>()
            .expect("one")
            % 2
            == 1)
    );
    let (known, active) = bridge.desk().why(user(3), ROOM, Seq(400)).expect("answers");
    assert_eq!(known.decision.expect("decided").reason, Reason::Wanted);
    assert!(!active && known.pushes.is_empty());
    assert_eq!(known.pending.expect("waits").wanted.upto, Seq(501));
    let (known, active) = bridge.desk().why(user(4), ROOM, Seq(400)).expect("answers");
    assert!(active);
    assert_eq!(known.decision.expect("decided").reason, Reason::Active);
    bridge.finish();
}

#[test]
fn a_restart_that_reads_everything_again_tells_nobody_twice() {
    let world = World::new(Duration::from_millis(1));
    let mut bridge = world.start();
    for _ in 0..3 {
        let seq = world.post(40);
        world.all_told(seq);
        bridge.finish();
        bridge = world.start();
    }
    let seq = world.post(1);
    world.all_told(seq);
    bridge.finish();
    for (token, mut seqs) in by_token(&world.google.taken()) {
        // Requests of two windows of a millisecond may overtake each other.
        seqs.sort_unstable();
        assert!(seqs.is_sorted_by(|a, b| a < b), "{token}: {seqs:?}");
        assert_eq!(seqs.last(), Some(&seq));
    }
}

#[test]
fn answers_decide_what_becomes_of_a_push_and_its_device() {
    let world = World::new(Duration::from_secs(600));
    world.google.will_answer("token-1", &[Answer::Refused(404, "UNREGISTERED", None)]);
    world.google.will_answer("token-3", &[Answer::Refused(400, "INVALID_ARGUMENT", None)]);
    world
        .google
        .will_answer("token-5", &[Answer::Refused(503, "UNAVAILABLE", None), Answer::Hangs, Answer::Taken]);
    world.google.will_answer("token-7", &vec![Answer::Refused(500, "INTERNAL", None); 4]);
    let bridge = world.start();
    world.post(1);
    let state = |of: u8| {
        let (known, _) = bridge.desk().why(user(of), ROOM, Seq(1)).expect("answers");
        (known.pushes.first().map(|push| (push.state, push.attempts)), known.devices.len())
    };
    let until = Instant::now() + Duration::from_secs(60);
    let over = |of: u8| state(of).0.is_some_and(|(state, _)| state.is_over());
    while ![1, 3, 5, 7, 9].into_iter().all(over) {
        assert!(Instant::now() < until, "{:?}", [1, 3, 5, 7, 9].map(state));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(state(1), (Some((PushState::Unregistered, 1)), 0));
    assert_eq!(state(3), (Some((PushState::Dead, 1)), 1));
    assert_eq!(state(5), (Some((PushState::Sent, 3)), 1));
    assert_eq!(state(7), (Some((PushState::Dead, 4)), 1));
    assert_eq!(state(9), (Some((PushState::Sent, 1)), 1));
    let dead = bridge.desk().dead(10).expect("answers");
    assert_eq!(dead.len(), 2);
    assert_eq!(bridge.desk().revive(dead.iter().map(|push| push.id).collect()), Ok(2));
    while state(3).0 != Some((PushState::Sent, 1)) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    bridge.desk().ended(SessionId([9; 16]));
    while state(9).1 != 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    bridge.finish();
}
