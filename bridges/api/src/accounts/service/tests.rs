use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use lynk_auth::{KeyRing, Scope, SigningKey, TOTP_CODES_GOOD, TOTP_STEP_MILLIS, TotpSecret};
use lynk_domain::Nanos;
use lynk_domain::{RoomId, Seq};
use lynk_model::account::{AuditEvent, Enrolled, Erasure, Factor};
use lynk_model::memory::MemoryAccounts;
use lynk_model::port::{AccountStore, Ephemeral};

use crate::accounts::factors::service::{Again, FactorActions as _, Shown};
use crate::accounts::vault::tests::Shared as SharedStore;

use super::*;

const START: u64 = 1_795_456_131_000;

/// A service in memory; its random bytes repeat from run to run.
fn service(policies: Policies) -> Service<MemoryAccounts> {
    service_with(policies, None)
}

fn service_with(policies: Policies, shared: Option<Arc<dyn Ephemeral>>) -> Service<MemoryAccounts> {
    let server = Arc::new(ServerSecret::new([7; 32]));
    let ring = KeyRing::new(Scope::default(), SigningKey::generate([1; 32]).0, []).expect("one key");
    let shared = Shared {
        server: Arc::clone(&server),
        factor_keys: FactorKeys::new([8; 32], []),
        keys: Keys::new(ring),
        vault: Vault::new(server, shared),
        names: Names::new(Arc::<lynk_model::local::LocalEphemeral>::default(), [0; 16]).0,
        on_ended: Box::new(|_, _, _| {}),
        counts: Arc::default(),
    };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let random = Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    Service::new(MemoryAccounts::default(), runtime, shared, policies, random)
}

fn at(millis: u64) -> Now {
    Now { mono: Nanos(millis * Nanos::MILLISECOND), wall: Millis(START + millis) }
}

/// Numbers that hardly share a prefix, as an attacker would choose them.
fn number(n: u32) -> Phone {
    Phone::from_e164(&format!("+49151{:08}", n * 4_001)).expect("a number")
}

fn address(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

fn other(code: &Code, by: u32) -> Code {
    let number: u32 = code.reveal().parse().expect("digits");
    Code::parse(&format!("{:06}", (number + by) % 1_000_000)).expect("digits")
}

/// What happened to one number.
#[derive(Default, Clone)]
struct Attacked {
    sent: u32,
    /// Wrong codes that were compared with a live one.
    guesses: u32,
}

/// A thousand addresses attack ten thousand numbers for a day: each asks for codes for as many numbers as it may and then
/// guesses at what it got as often as anything is compared. The attacker sees no telephone.
fn attack(policies: Policies) -> (Vec<Attacked>, u32) {
    const NUMBERS: u32 = 10_000;
    const ADDRESSES: u32 = 1_000;
    const STEP: u64 = 180_000;
    const DAY: u64 = 24 * HOUR_MILLIS;
    let tries = policies.codes.tries_max;
    let mut service = service(policies);
    let mut numbers = vec![Attacked::default(); NUMBERS as usize];
    let mut refused: BTreeMap<&str, u32> = BTreeMap::new();
    let mut next = 0;
    for step in 0..DAY / STEP {
        let now = at(step * STEP);
        for from in (0..ADDRESSES).map(address) {
            let target = next % NUMBERS;
            match service.request_code(now, from, &number(target), 0) {
                Ok(Requested { request, sms: Some(sms) }) => {
                    next += 1;
                    numbers[target as usize].sent += 1;
                    for by in 1..=tries {
                        let guess = service.verify(now, from, request, &other(&sms.code, by), String::new());
                        assert_eq!(guess.expect_err("wrong").code, ErrorCode::InvalidCode);
                        numbers[target as usize].guesses += 1;
                    }
                    // Not even the right one is compared any more.
                    let late = service.verify(now, from, request, &sms.code, String::new());
                    assert_eq!(late.expect_err("used up").code, ErrorCode::InvalidCode);
                }
                Ok(Requested { request, sms: None }) => {
                    next += 1;
                    let blind = Code::new([0; 16]);
                    let guess = service.verify(now, from, request, &blind, String::new());
                    assert_eq!(guess.expect_err("there is none").code, ErrorCode::InvalidCode);
                }
                Err(reject) => {
                    next += 1;
                    *refused.entry(reject.code.name()).or_default() += 1;
                }
            }
        }
    }
    (numbers, refused.values().sum())
}

fn odds(numbers: &[Attacked]) -> f64 {
    f64::from(numbers.iter().map(|one| one.guesses).max().unwrap_or(0)) / 1_000_000.0
}

#[test]
fn guessing_odds_stay_under_five_in_a_hundred_thousand_by_the_limit_of_the_number_alone() {
    // Everything else is switched off: whoever has all addresses and pays all messages still meets this.
    let mut policies = Policies::default();
    policies.codes.per_address_hour = 0;
    policies.codes.per_prefix_hour = 0;
    policies.codes.attempts_per_address_minute = 0;
    policies.codes.messages_hour = u32::MAX;
    policies.codes.messages_day = u32::MAX;
    let (numbers, _) = attack(policies);
    assert!(
        numbers.iter().all(|one| one.sent == 5 && one.guesses == 25),
        "every number is attacked to its limit"
    );
    assert!(odds(&numbers) <= 5e-5, "{}", odds(&numbers));
}

#[test]
fn a_day_of_attack_on_ten_thousand_numbers_from_a_thousand_addresses_sends_no_more_than_the_caps() {
    let (numbers, refused) = attack(Policies::default());
    assert!(odds(&numbers) <= 5e-5, "{}", odds(&numbers));
    let sent: u32 = numbers.iter().map(|one| one.sent).sum();
    assert!((1_000..=2_000).contains(&sent), "{sent} messages");
    assert!(refused > 200_000, "{refused}");
    // Over all numbers together: 2,000 messages with 5 guesses each.
    assert!(f64::from(numbers.iter().map(|one| one.guesses).sum::<u32>()) / 1_000_000.0 <= 0.01);
}

/// Somebody who can empty the shared store before each step, and has it forget codes, waits and attempts.
#[test]
fn whoever_flushes_the_shared_store_guesses_no_more_often() {
    let store = SharedStore::new();
    let mut service = service_with(Policies::default(), Some(Arc::clone(&store) as Arc<dyn Ephemeral>));
    let (mut sent, mut guesses) = (0, 0);
    for step in 0..24 * 60 {
        let now = at(step * 60_000);
        store.flush();
        // From everywhere, so that nothing but the number is counted.
        let from = address(step as u32);
        let Ok(Requested { request, sms: Some(sms) }) = service.request_code(now, from, &number(1), 0) else {
            continue;
        };
        sent += 1;
        let guess = |service: &mut Service<_>, code: &Code| {
            let told = service.verify(now, from, request, code, String::new());
            assert_eq!(told.expect_err("wrong, or gone").code, ErrorCode::InvalidCode);
        };
        // What is compared with a live code, until it is flushed or its tries are used up.
        let compared = if sent % 2 == 0 { 5 } else { 3 };
        for by in 1..=compared {
            guess(&mut service, &other(&sms.code, by));
        }
        guesses += compared;
        if compared < 5 {
            store.flush();
        }
        guess(&mut service, &sms.code);
    }
    assert_eq!(sent, 5, "as many as without a shared store");
    assert!(guesses <= 25, "{guesses}");
}

/// An account with an app, the claims of its session, and the app's secret.
fn with_app(service: &mut Service<MemoryAccounts>) -> (Claims, TotpSecret) {
    let asked = service.request_code(at(0), address(1), &number(1), 0).expect("asked");
    let code = asked.sms.expect("sent").code;
    let proved = service.verify(at(0), address(1), asked.request, &code, String::new());
    let Ok(Proved::New(token)) = proved else { panic!("a new number") };
    let (token, name) = (token.reveal().to_owned(), "alice".to_owned());
    let asked = Registration { token, user_name: name.clone(), display_name: name, device: String::new() };
    let (issued, account) = service.register(at(0), address(1), &asked).expect("registers");
    let claims = Claims {
        user: account.user,
        session: issued.session,
        epoch: 1,
        authenticated: at(0).wall,
        expires: issued.access_expires,
        enrolling: false,
    };
    let secret = service.enrol(at(0), &claims).expect("begins").secret;
    let code = secret.code(at(0).wall.0 / TOTP_STEP_MILLIS);
    service.confirm(at(0), address(1), &claims, &code).expect("confirms");
    (claims, secret)
}

/// A code that is not good around `now`.
fn not_of(secret: &TotpSecret, now: Now) -> Code {
    let step = now.wall.0 / TOTP_STEP_MILLIS;
    let good = [step - 1, step, step + 1].map(|step| secret.code(step));
    (0..4).map(|n| Code::new([n; 16])).find(|code| !good.contains(code)).expect("one of four")
}

/// Somebody who has the telephone, a stolen token and all addresses tries codes of the app for three days, one every ten seconds.
#[test]
fn guessing_odds_of_a_second_factor_stay_under_five_in_a_hundred_thousand() {
    const DAY: u64 = 24 * HOUR_MILLIS;
    let mut policies = Policies::default();
    policies.codes.attempts_per_address_minute = 0;
    let mut service = service(policies);
    let (claims, secret) = with_app(&mut service);
    let wrong = |service: &Service<MemoryAccounts>| service.counts.compared_wrong();
    let mut compared = Vec::new();
    for step in 1..3 * DAY / 10_000 {
        let now = at(step * 10_000);
        let before = wrong(&service);
        let guess = Again::Second(Shown::Code(not_of(&secret, now)));
        let told = service.step_up(now, address(step as u32), &claims, &guess);
        assert_eq!(told.expect_err("wrong, or locked").code, ErrorCode::InvalidCode);
        if wrong(&service) > before {
            compared.push(step * 10_000);
        }
    }
    let worst = (0..compared.len())
        .map(|first| compared[first..].iter().take_while(|at| **at < compared[first] + DAY).count())
        .max()
        .expect("some were compared");
    assert_eq!(worst, 10, "guesses in any day");
    assert!(compared.len() >= 20, "and the lock ends: {}", compared.len());
    let odds = f64::from(TOTP_CODES_GOOD) * worst as f64 / 1_000_000.0;
    assert!(odds <= 5e-5, "{odds}");
}

/// A store that counts what it is asked.
struct Counting {
    store: MemoryAccounts,
    calls: Cell<u64>,
}

impl Counting {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl LastFault for Counting {}

impl AccountStore for Counting {
    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError> {
        self.count();
        self.store.account_of_phone(phone).await
    }

    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        self.count();
        self.store.account_of_name(folded).await
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.count();
        self.store.name_is_taken(folded, wall).await
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.count();
        self.store.names(after, limit).await
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
        self.count();
        self.store.accounts(users).await
    }

    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError> {
        self.count();
        self.store.change(user, change, wall).await
    }

    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError> {
        self.count();
        self.store.search(words, after, limit).await
    }

    async fn index_words(&mut self, limit: u32) -> Result<u32, StoreError> {
        self.store.index_words(limit).await
    }

    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError> {
        self.count();
        self.store.register(account, session).await
    }

    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError> {
        self.count();
        self.store.remove(user, wall).await
    }

    async fn open_session(&mut self, user: UserId, new: &NewSession) -> Result<Vec<Revocation>, StoreError> {
        self.count();
        self.store.open_session(user, new).await
    }

    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.count();
        self.store.session(session).await
    }

    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError> {
        self.count();
        self.store.sessions(user, wall).await
    }

    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &lynk_domain::Family,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.count();
        self.store.rotate(session, generation, family, wall).await
    }

    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.count();
        self.store.revoke(user, which, reason, wall).await
    }

    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError> {
        self.count();
        self.store.revoked_since(since).await
    }

    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError> {
        self.count();
        self.store.charge(charges, wall).await
    }

    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.count();
        self.store.audit(user, limit).await
    }
    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        self.store.unpublished(limit).await
    }
    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        self.store.mark_published(users).await
    }
}

impl FactorStore for Counting {
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError> {
        self.count();
        self.store.factor(user).await
    }

    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError> {
        self.count();
        self.store.enrol(user, sealed, wall).await
    }

    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.count();
        self.store.confirm(seen, step, proofs, by, wall).await
    }

    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        self.count();
        self.store.accept_step(seen, step, sealed).await
    }

    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.count();
        self.store.use_recovery(user, proof, wall).await
    }

    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError> {
        self.count();
        self.store.recovery_left(user).await
    }

    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.count();
        self.store.replace_recovery(user, proofs, by, wall).await
    }

    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError> {
        self.count();
        self.store.remove_factor(user, by, wall).await
    }

    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        self.count();
        self.store.note(event).await
    }

    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError> {
        self.count();
        self.store.suspended(user).await
    }

    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        self.count();
        self.store.suspend(user, wall).await
    }

    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError> {
        self.count();
        self.store.resume(user, wall).await
    }
}

impl ErasureStore for Counting {
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        self.store.erase(user, wall).await
    }

    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        self.store.erasure(user).await
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        self.store.erasures(limit).await
    }

    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError> {
        self.store.advance_erasure(user, room, seq, done).await
    }

    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError> {
        self.store.forget_names(wall, limit).await
    }
}

#[test]
fn known_and_unknown_numbers_cost_the_same_work() {
    let mut policies = Policies::default();
    policies.codes.attempts_per_address_minute = 0;
    policies.codes.per_address_hour = 0;
    let Service { store, runtime, server, factor_keys, keys, vault, names, on_ended, random, .. } =
        service(policies.clone());
    let shared = Shared { server, factor_keys, keys, vault, names, on_ended, counts: Arc::default() };
    let store = Counting { store, calls: Cell::new(0) };
    let mut service = Service::new(store, runtime, shared, policies, random);
    let from = address(1);
    // Number 1 gets an account.
    let asked = service.request_code(at(0), from, &number(1), 0).expect("asked");
    let code = asked.sms.expect("sent").code;
    let Ok(Proved::New(token)) = service.verify(at(0), from, asked.request, &code, String::new()) else {
        panic!("a new number")
    };
    let token = token.reveal().to_owned();
    let (name, display_name) = ("alice".to_owned(), "alice".to_owned());
    let asked = Registration { token, user_name: name, display_name, device: String::new() };
    service.register(at(0), from, &asked).expect("registers");

    let mut cost = |now: Now, n: u32| {
        let before = (service.store.calls.get(), service.vault.proofs());
        let asked = service.request_code(now, from, &number(n), 0).expect("asked");
        let request = (service.store.calls.get() - before.0, service.vault.proofs() - before.1);
        // A wrong code, which anybody may send.
        let wrong = other(&asked.sms.expect("sent").code, 1);
        let before = (service.store.calls.get(), service.vault.proofs());
        service.verify(now, from, asked.request, &wrong, String::new()).expect_err("wrong");
        (request, (service.store.calls.get() - before.0, service.vault.proofs() - before.1))
    };
    let (known, unknown) = (cost(at(60_000), 1), cost(at(60_000), 2));
    assert_eq!(known, unknown);
    assert_eq!(known, ((1, 1), (0, 1)), "one write and one hash; then one hash and no look at any account");
}
