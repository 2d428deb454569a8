use std::sync::Mutex;
use std::sync::atomic::AtomicU8;

use lynk_domain::Nanos;
use lynk_model::StoreError;
use lynk_model::port::{Seen, ready};

use super::*;

const WORKS: u8 = 0;
/// Nothing is done.
const AWAY: u8 = 1;
/// Everything is done, and nobody is told.
const SILENT: u8 = 2;

/// A store that several processes share, and that fails as it is told.
pub(in crate::accounts) struct Shared {
    store: Mutex<Arc<LocalEphemeral>>,
    mode: AtomicU8,
}

impl Shared {
    pub(in crate::accounts) fn new() -> Arc<Self> {
        Arc::new(Self { store: Mutex::default(), mode: AtomicU8::new(WORKS) })
    }

    pub(in crate::accounts) fn flush(&self) {
        *self.store.lock().expect("no panic") = Arc::default();
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }

    fn call<'a, T: Send + 'a>(&self, ask: impl FnOnce(&LocalEphemeral) -> Call<'_, T>) -> Call<'a, T> {
        let mode = self.mode.load(Ordering::Relaxed);
        let store = Arc::clone(&self.store.lock().expect("no panic"));
        let answer = match mode {
            AWAY => Err(StoreError::Unavailable),
            SILENT => ready(ask(&store)).and(Err(StoreError::Unknown)),
            _ => ready(ask(&store)),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Ephemeral for Shared {
    fn code_wait(&self, now: Now, number: [u8; 16]) -> Call<'_, u64> {
        self.call(|store| store.code_wait(now, number))
    }
    fn put_code(&self, now: Now, code: NewCode) -> Call<'_, Kept> {
        self.call(|store| store.put_code(now, code))
    }
    fn try_code(&self, now: Now, request: [u8; 16], proof: [u8; 32]) -> Call<'_, Tried> {
        self.call(|store| store.try_code(now, request, proof))
    }
    fn set_tries(&self, now: Now, request: [u8; 16], tries: u32) -> Call<'_, ()> {
        self.call(|store| store.set_tries(now, request, tries))
    }
    fn end_code(&self, now: Now, number: [u8; 16]) -> Call<'_, ()> {
        self.call(|store| store.end_code(now, number))
    }
    fn put_once(&self, now: Now, once: NewOnce) -> Call<'_, Kept> {
        self.call(|store| store.put_once(now, once))
    }
    fn look_once(&self, now: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        self.call(|store| store.look_once(now, kind, key))
    }
    fn take_once(&self, now: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        self.call(|store| store.take_once(now, kind, key))
    }
    fn drop_owner(&self, now: Now, kind: OnceKind, owner: [u8; 16]) -> Call<'_, ()> {
        self.call(|store| store.drop_owner(now, kind, owner))
    }
    fn charge(&self, now: Now, charges: Vec<Charge>) -> Call<'_, Charged> {
        self.call(|store| store.charge(now, charges))
    }
    fn mirror_presence(&self, now: Now, seen: Vec<Seen>, lease_millis: u64) -> Call<'_, ()> {
        self.call(|store| store.mirror_presence(now, seen, lease_millis))
    }
    fn mirrored_presence(&self, now: Now, users: Vec<UserId>) -> Call<'_, Vec<bool>> {
        self.call(|store| store.mirrored_presence(now, users))
    }
    fn add_name(&self, name: String) -> Call<'_, ()> {
        self.call(|store| store.add_name(name))
    }
    fn may_have_name(&self, name: String) -> Call<'_, bool> {
        self.call(|store| store.may_have_name(name))
    }
    fn names_are_full(&self) -> bool {
        false
    }
}

/// A process: its vault, and random bytes of its own.
struct Process {
    vault: Arc<Vault>,
    next: u64,
}

fn process(shared: &Arc<Shared>, seed: u64) -> Process {
    let server = Arc::new(ServerSecret::new([7; 32]));
    Process { vault: Vault::new(server, Some(Arc::clone(shared) as Arc<dyn Ephemeral>)), next: seed }
}

fn at(seconds: u64) -> Now {
    let millis = 1_000 * seconds;
    Now { mono: Nanos((millis + 1) * Nanos::MILLISECOND), wall: Millis(1_795_456_131_000 + millis) }
}

fn phone(n: u8) -> Phone {
    Phone::from_e164(&format!("+4915112345{n:03}")).expect("a number")
}

fn fill(next: &mut u64) -> impl FnMut(&mut [u8]) + Send + '_ {
    move |bytes| {
        for byte in bytes {
            *next ^= *next << 13;
            *next ^= *next >> 7;
            *next ^= *next << 17;
            *byte = (*next >> 32) as u8;
        }
    }
}

impl Process {
    fn make(&mut self, now: Now, n: u8) -> Result<(CodeRequest, Code), NoCode> {
        let policy = CodePolicy::default();
        ready(self.vault.make_code(now, &phone(n), &policy, policy.tries_max, &mut fill(&mut self.next)))
    }

    fn prove(&self, now: Now, (request, code): &(CodeRequest, Code)) -> Found<Phone> {
        ready(self.vault.prove(now, *request, code))
    }

    fn ticket(&mut self, now: Now, claims: &Claims) -> String {
        let made = ready(self.vault.put_ticket(now, claims, &mut fill(&mut self.next)));
        made.expect("room").reveal().to_owned()
    }

    fn redeem(&self, now: Now, ticket: &str) -> Found<Claims> {
        ready(self.vault.take_ticket(now, ticket))
    }
}

fn claims(n: u8) -> Claims {
    Claims {
        user: UserId([n; 16]),
        session: SessionId([n + 1; 16]),
        epoch: 7,
        authenticated: Millis(0),
        expires: Millis(9_000),
        enrolling: false,
    }
}

fn wrong(code: &Code) -> Code {
    let number: u32 = code.reveal().parse().expect("digits");
    Code::parse(&format!("{:06}", (number + 1) % 1_000_000)).expect("digits")
}

#[test]
fn what_one_process_made_is_good_at_another_once() {
    let shared = Shared::new();
    let (mut one, mut other) = (process(&shared, 1), process(&shared, 2));
    let code = one.make(at(0), 1).expect("a code");
    assert!(matches!(other.make(at(59), 1), Err(NoCode::TooSoon { .. })));
    assert!(ready(other.vault.code_wait(at(0), &phone(1))) > 0);
    assert_eq!(other.prove(at(0), &(code.0, wrong(&code.1))), Found::Bad);
    assert_eq!(other.prove(at(0), &code), Found::Good(phone(1)));
    assert_eq!(one.prove(at(0), &code), Found::Bad);
    let ticket = one.ticket(at(0), &claims(1));
    assert_eq!(other.redeem(at(0), &ticket), Found::Good(claims(1)));
    assert_eq!(one.redeem(at(0), &ticket), Found::Bad);
    let late = other.ticket(at(0), &claims(1));
    ready(one.vault.drop_tickets(at(0), claims(1).session));
    assert_eq!(other.redeem(at(0), &late), Found::Bad);
    let made = ready(one.vault.put_registration(at(0), &phone(3), &mut fill(&mut one.next))).expect("room");
    assert_eq!(ready(other.vault.registration(at(0), made.reveal())), Found::Good(phone(3)));
    ready(other.vault.drop_registrations(at(0), &phone(3)));
    assert_eq!(ready(one.vault.registration(at(0), made.reveal())), Found::Bad);
}

#[test]
fn while_the_shared_store_is_away_a_process_goes_on_alone() {
    let shared = Shared::new();
    let (mut one, other) = (process(&shared, 1), process(&shared, 2));
    let before = one.make(at(0), 1).expect("a code");
    let ticket_before = one.ticket(at(0), &claims(1));
    shared.set(AWAY);
    assert_eq!(one.prove(at(1), &before), Found::Away, "not wrong: it may be good");
    let (alone, ticket) = (one.make(at(1), 2).expect("a code"), one.ticket(at(1), &claims(2)));
    assert_eq!(other.prove(at(1), &alone), Found::Away);
    assert_eq!(one.redeem(at(1), &ticket), Found::Good(claims(2)));
    assert_eq!(one.redeem(at(1), &ticket_before), Found::Away);
    assert_eq!(ready(one.vault.attempt(at(1), [1; 16], 1)), Ok(()), "the process counts by itself");
    shared.set(WORKS);
    assert_eq!(one.prove(at(2), &before), Found::Good(phone(1)));
    assert_eq!(one.redeem(at(2), &ticket_before), Found::Good(claims(1)));
    assert_eq!(other.prove(at(2), &alone), Found::Bad, "another process's own");
    assert_eq!(one.prove(at(2), &alone), Found::Good(phone(2)));
    // The next code, in the shared store again, ends one that was made alone.
    shared.set(AWAY);
    let alone = one.make(at(3), 3).expect("a code");
    shared.set(WORKS);
    let next = one.make(at(64), 3).expect("a code");
    assert_eq!(one.prove(at(64), &alone), Found::Bad);
    assert_eq!(one.prove(at(64), &next), Found::Good(phone(3)));
}

#[test]
fn a_code_that_may_be_in_the_shared_store_is_given_to_nobody() {
    let shared = Shared::new();
    let (mut one, other) = (process(&shared, 1), process(&shared, 2));
    shared.set(SILENT);
    let code = one.make(at(0), 1).expect("a code");
    let ticket = one.ticket(at(0), &claims(1));
    shared.set(WORKS);
    // The one that was given out has its five tries here and none there.
    for _ in 0..5 {
        assert_eq!(other.prove(at(1), &(code.0, wrong(&code.1))), Found::Bad);
        assert_eq!(other.prove(at(1), &code), Found::Bad);
    }
    assert_eq!(one.prove(at(1), &code), Found::Good(phone(1)));
    assert_eq!(other.redeem(at(1), &ticket), Found::Bad);
    assert_eq!(one.redeem(at(1), &ticket), Found::Good(claims(1)));
    // A right code whose use nobody was told of is used.
    let code = one.make(at(61), 2).expect("a code");
    shared.set(SILENT);
    assert_eq!(one.prove(at(61), &code), Found::Away);
    shared.set(WORKS);
    assert_eq!(one.prove(at(61), &code), Found::Bad);
}

#[test]
fn a_store_that_makes_values_up_makes_none_that_are_good() {
    let shared = Shared::new();
    let (mut one, other) = (process(&shared, 1), process(&shared, 2));
    let mine = one.make(at(0), 1).expect("a code");
    // Whoever has the store copies what was sealed for a code that it knows under the request of another number.
    let store = Arc::clone(&shared.store.lock().expect("no panic"));
    let proof = mine.1.proof(&other.vault.server, mine.0);
    let Ok(Tried::Good(sealed)) = ready(store.try_code(at(0), mine.0.0, proof)) else { panic!("there") };
    let forged = CodeRequest([9; 16]);
    let code = NewCode {
        request: forged.0,
        number: [9; 16],
        proof: mine.1.proof(&other.vault.server, forged),
        sealed: sealed.clone(),
        tries: 5,
        life_millis: 60_000,
        resend_millis: 60_000,
    };
    assert_eq!(ready(store.put_code(at(0), code.clone())), Ok(Kept::Done));
    assert_eq!(other.prove(at(0), &(forged, mine.1.clone())), Found::Bad);
    // Or has a wrong code compare as right.
    let known = wrong(&mine.1);
    let swapped = NewCode {
        request: mine.0.0,
        number: [8; 16],
        proof: known.proof(&other.vault.server, mine.0),
        ..code
    };
    assert_eq!(ready(store.put_code(at(0), swapped)), Ok(Kept::Done));
    assert_eq!(other.prove(at(0), &(mine.0, known)), Found::Bad);
}

#[test]
fn addresses_are_counted_over_all_processes() {
    let shared = Shared::new();
    let (one, other) = (process(&shared, 1), process(&shared, 2));
    let tried = |process: &Process| ready(process.vault.attempt(at(0), [1; 16], 4)).is_ok();
    let taken = (0..4).filter(|n| tried(if n % 2 == 0 { &one } else { &other })).count();
    assert_eq!(taken, 4);
    assert!(!tried(&one) && !tried(&other));
    assert_eq!(ready(one.vault.attempt(at(0), [1; 16], 0)), Ok(()), "no limit");
}
