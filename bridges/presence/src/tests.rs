use std::sync::Mutex;

use lynk_domain::{Millis, Nanos, UserId};
use lynk_model::StoreError;
use lynk_model::account::{Charge, Charged};
use lynk_model::local::LocalEphemeral;
use lynk_model::port::{Call, Kept, NewCode, NewOnce, OnceKind, Tried};
use lynk_telemetry::{Metric, Snapshot, Value};

use super::*;

const LEASE: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(30);

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono = Nanos(u64::try_from(start.elapsed().as_nanos()).expect("a test"));
        Now { mono, wall: Millis(1_795_456_131_000 + mono.0 / Nanos::MILLISECOND) }
    })
}

fn user(n: u32) -> UserId {
    UserId(u128::from(n + 1).to_be_bytes())
}

fn online(store: &LocalEphemeral, clock: &Clock, users: &[UserId]) -> Vec<bool> {
    pollster::block_on(store.mirrored_presence(clock(), users.to_vec())).expect("in memory")
}

fn wait_until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn numbers(counts: &PresenceCounts) -> [f64; 3] {
    let mut snapshot = Snapshot::new();
    counts.add_to(&mut snapshot);
    let of = |index| {
        let series = snapshot
            .series()
            .iter()
            .find(|one| one.metric == Metric::PresenceMirrored && one.label == Some(index));
        match series.map(|one| &one.value) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        }
    };
    [of(0), of(1), of(2)]
}

fn post(port: &mut ShardPort, user: UserId, online: bool) {
    let _full = port.news.try_post(PresenceNews { user, online, again: false });
    port.bell.ring(|| (port.wake)());
}

#[test]
fn what_shards_say_is_in_the_store_and_the_end_takes_it_out() {
    let (store, clock) = (Arc::new(LocalEphemeral::default()), clock());
    let (bridge, mut ports) =
        PresenceBridge::start(2, Arc::clone(&store) as _, Arc::clone(&clock), LEASE).expect("a thread");
    let users = [user(1), user(2), user(3)];
    for (n, user) in users.iter().enumerate() {
        post(&mut ports[n % 2], *user, true);
    }
    wait_until("they are online", || online(&store, &clock, &users) == [true; 3]);
    let reader = Online::new(Arc::clone(&store) as _, Arc::clone(&clock));
    post(&mut ports[0], users[0], false);
    wait_until("one went", || {
        pollster::block_on(reader.of(&users)).expect("in memory") == [false, true, true]
    });
    // More than one call asks for.
    let many: Vec<UserId> = (0..300).map(user).collect();
    let read = pollster::block_on(reader.of(&many)).expect("in memory");
    assert_eq!((read.len(), read.iter().filter(|online| **online).count()), (300, 2));
    let counts = bridge.counts();
    // What was posted and not taken yet goes as well.
    post(&mut ports[0], users[0], true);
    bridge.finish();
    assert_eq!(online(&store, &clock, &users), [false; 3]);
    let [told, dropped, failed] = numbers(&counts);
    assert!(told >= 6.0 && dropped == 0.0 && failed == 0.0, "{told} {dropped} {failed}");
}

/// A store that is away, and that notes when it was called and with how much.
#[derive(Default)]
struct Away(Mutex<Vec<(Instant, usize)>>);

fn away<T: Send + 'static>() -> Call<'static, T> {
    Box::pin(std::future::ready(Err(StoreError::Unavailable)))
}

impl Ephemeral for Away {
    fn code_wait(&self, _: Now, _: [u8; 16]) -> Call<'_, u64> {
        away()
    }
    fn put_code(&self, _: Now, _: NewCode) -> Call<'_, Kept> {
        away()
    }
    fn try_code(&self, _: Now, _: [u8; 16], _: [u8; 32]) -> Call<'_, Tried> {
        away()
    }
    fn set_tries(&self, _: Now, _: [u8; 16], _: u32) -> Call<'_, ()> {
        away()
    }
    fn end_code(&self, _: Now, _: [u8; 16]) -> Call<'_, ()> {
        away()
    }
    fn put_once(&self, _: Now, _: NewOnce) -> Call<'_, Kept> {
        away()
    }
    fn look_once(&self, _: Now, _: OnceKind, _: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        away()
    }
    fn take_once(&self, _: Now, _: OnceKind, _: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        away()
    }
    fn drop_owner(&self, _: Now, _: OnceKind, _: [u8; 16]) -> Call<'_, ()> {
        away()
    }
    fn charge(&self, _: Now, _: Vec<Charge>) -> Call<'_, Charged> {
        away()
    }
    fn mirror_presence(&self, _: Now, seen: Vec<Seen>, _: u64) -> Call<'_, ()> {
        self.0.lock().expect("whole").push((Instant::now(), seen.len()));
        away()
    }
    fn mirrored_presence(&self, _: Now, _: Vec<UserId>) -> Call<'_, Vec<bool>> {
        away()
    }
    fn add_name(&self, _: String) -> Call<'_, ()> {
        away()
    }
    fn may_have_name(&self, _: String) -> Call<'_, bool> {
        away()
    }
    fn names_are_full(&self) -> bool {
        false
    }
}

#[test]
fn a_store_that_is_away_is_asked_seldom_and_costs_shards_nothing() {
    let store = Arc::new(Away::default());
    let (bridge, mut ports) =
        PresenceBridge::start(1, Arc::clone(&store) as _, clock(), LEASE).expect("a thread");
    for n in 0..300 {
        post(&mut ports[0], user(n), true);
    }
    wait_until("it was asked for all", || {
        store.0.lock().expect("whole").iter().map(|(_, count)| count).sum::<usize>() >= 300
    });
    let counts = bridge.counts();
    bridge.finish();
    let calls = store.0.lock().expect("whole");
    assert!(calls.iter().all(|(_, count)| *count <= PRESENCE_PER_CALL_MAX));
    let paced = calls.iter().take_while(|(_, count)| *count > 0).count();
    assert!(paced >= 3, "{paced} calls for 300 users");
    for pair in calls[..3].windows(2) {
        assert!(pair[1].0.duration_since(pair[0].0) >= PACE - Duration::from_millis(1));
    }
    let [told, _, failed] = numbers(&counts);
    assert!(told == 0.0 && failed >= 300.0, "{told} {failed}");
}
