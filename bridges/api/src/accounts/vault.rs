//! What waits for minutes: codes, registrations, tickets, challenges. Kept in the memory of this process, or in a store that several
//! processes share.
//!
//! Thread: the accounts' thread and the API's; a call waits for the shared store, if there is one, and for nothing else.
//!
//! Invariants: a code, or a token, is in one of the two stores, never in both, so its tries are counted and it is used in one
//! place. What a shared store did not certainly take is made anew for this process, with other digits under another id: the
//! copy that may be there has no owner. What the shared store keeps is sealed, so it can lose and repeat values and nothing
//! else. **What limits guessing is elsewhere**: codes of a day are counted in the store of accounts, and a code has so many
//! tries wherever it is; a shared store that forgets gives nobody one more.
//!
//! While the shared store is away: new codes and tokens are this process's; those that were in it answer *away* until it is
//! back, because whether they are good is not known. Limits: those of [`LocalEphemeral`]. What can fail: room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lynk_auth::{Claims, Code, CodePolicy, CodeRequest, OneTimeKind, Opaque, ServerSecret};
use lynk_domain::{Millis, Now, Phone, SessionId, UserId, uuid_v7};
use lynk_model::account::{Charge, Charged};
use lynk_model::local::LocalEphemeral;
use lynk_model::port::{Call, Ephemeral, Kept, NewCode, NewOnce, OnceKind, Tried};

/// What one address may try is counted over a minute.
const MINUTE_MILLIS: u64 = 60_000;
/// What codes are sealed for.
const CODE: &str = "code";

/// Fills bytes from a random source.
pub(super) type Fill<'a> = &'a mut (dyn FnMut(&mut [u8]) + Send);

fn bytes<const N: usize>(fill: Fill<'_>) -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Why there is no code now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoCode {
    /// The number has to wait.
    TooSoon { retry_after_millis: u64 },
    /// Too many wait.
    Full,
}

/// What is known of a code or a token that somebody shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found<T> {
    /// It is good for this.
    Good(T),
    /// For nothing: wrong, used, over, replaced, never made. Nobody is told which.
    Bad,
    /// The store that may have it is away.
    Away,
}

impl<T> Found<T> {
    fn map<U>(self, map: impl FnOnce(T) -> Option<U>) -> Found<U> {
        match self {
            Self::Good(value) => map(value).map_or(Found::Bad, Found::Good),
            Self::Bad => Found::Bad,
            Self::Away => Found::Away,
        }
    }
}

/// [`LocalEphemeral`] has no room, or the shared store and it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

/// A kind of tokens: its form, where it is kept, what it is sealed for.
#[derive(Clone, Copy)]
struct Kind {
    form: OneTimeKind,
    kept: OnceKind,
    purpose: &'static str,
}

const TICKET: Kind = Kind { form: OneTimeKind::TICKET, kept: OnceKind::Ticket, purpose: "ticket" };
const REGISTRATION: Kind =
    Kind { form: OneTimeKind::REGISTRATION, kept: OnceKind::Registration, purpose: "registration" };

const CHALLENGE: Kind =
    Kind { form: OneTimeKind::CHALLENGE, kept: OnceKind::Challenge, purpose: "challenge" };

/// See the module.
pub(super) struct Vault {
    server: Arc<ServerSecret>,
    local: LocalEphemeral,
    shared: Option<Arc<dyn Ephemeral>>,
    proofs: AtomicU64,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.local.fmt(f)
    }
}

impl Vault {
    pub(super) fn new(server: Arc<ServerSecret>, shared: Option<Arc<dyn Ephemeral>>) -> Arc<Self> {
        Arc::new(Self { server, local: LocalEphemeral::default(), shared, proofs: AtomicU64::new(0) })
    }

    /// Counts a try of an address over all processes; `Err` with milliseconds when it had `per_minute`. What one process
    /// allows is for it to count, so a store that is away or forgot allows no more than that.
    pub(super) async fn attempt(&self, now: Now, address: [u8; 16], per_minute: u32) -> Result<(), u64> {
        let Some(shared) = self.shared.as_ref().filter(|_| per_minute > 0) else { return Ok(()) };
        let key = self.server.subject("attempts", &address);
        let charge = Charge { key, window_millis: MINUTE_MILLIS, amount: 1, max: per_minute };
        match shared.charge(now, vec![charge]).await {
            Ok(Charged::Refused { retry_after_millis, .. }) => Err(retry_after_millis),
            Ok(Charged::Done) | Err(_) => Ok(()),
        }
    }

    fn number(&self, phone: &Phone) -> [u8; 16] {
        self.server.subject("code", phone.as_e164().as_bytes())
    }

    fn proof(&self, code: &Code, request: CodeRequest) -> [u8; 32] {
        self.proofs.fetch_add(1, Ordering::Relaxed);
        code.proof(&self.server, request)
    }

    /// Hashes of codes computed so far: a test compares the work of two paths by it.
    #[cfg(test)]
    pub(super) fn proofs(&self) -> u64 {
        self.proofs.load(Ordering::Relaxed)
    }

    /// Milliseconds until a number may be sent another code, as far as is known.
    pub(super) async fn code_wait(&self, now: Now, phone: &Phone) -> u64 {
        let number = self.number(phone);
        let mut waits = self.local.code_wait(now, number).await.unwrap_or(0);
        if waits == 0
            && let Some(shared) = &self.shared
        {
            waits = shared.code_wait(now, number).await.unwrap_or(0);
        }
        waits
    }

    /// Makes a code of a number, and ends the one before. Without `tries` it is one that nobody will get: the number waits,
    /// and the code before stays, at the cost of a real one.
    pub(super) async fn make_code(
        &self,
        now: Now,
        phone: &Phone,
        policy: &CodePolicy,
        tries: u32,
        fill: Fill<'_>,
    ) -> Result<(CodeRequest, Code), NoCode> {
        let number = self.number(phone);
        if let Some(shared) = &self.shared {
            let (request, code, new) = self.new_code(now, phone, policy, tries, fill);
            match shared.put_code(now, new).await {
                Ok(Kept::Done) => {
                    // One that was made while the store was away.
                    if tries > 0 {
                        let _never_fails = self.local.end_code(now, number).await;
                    }
                    return Ok((request, code));
                }
                Ok(Kept::TooSoon { retry_after_millis }) => {
                    return Err(NoCode::TooSoon { retry_after_millis });
                }
                Ok(Kept::Full) | Err(_) => {}
            }
        }
        let (request, code, new) = self.new_code(now, phone, policy, tries, fill);
        match self.local.put_code(now, new).await {
            Ok(Kept::Done) => Ok((request, code)),
            Ok(Kept::TooSoon { retry_after_millis }) => Err(NoCode::TooSoon { retry_after_millis }),
            Ok(Kept::Full) | Err(_) => Err(NoCode::Full),
        }
    }

    fn new_code(
        &self,
        now: Now,
        phone: &Phone,
        policy: &CodePolicy,
        tries: u32,
        fill: Fill<'_>,
    ) -> (CodeRequest, Code, NewCode) {
        let request = CodeRequest(uuid_v7(now.wall.0, bytes(fill)));
        let code = Code::new(bytes(fill));
        let proof = self.proof(&code, request);
        let clear = [proof.as_slice(), phone.as_e164().as_bytes()].concat();
        let new = NewCode {
            request: request.0,
            number: self.number(phone),
            proof,
            sealed: self.server.seal(CODE, &request.0, bytes(fill), &clear),
            tries,
            life_millis: policy.life_millis,
            resend_millis: policy.resend_millis,
        };
        (request, code, new)
    }

    /// The number that a code proves. It is used up by that.
    pub(super) async fn prove(&self, now: Now, request: CodeRequest, code: &Code) -> Found<Phone> {
        let proof = self.proof(code, request);
        let sealed = match self.local.try_code(now, request.0, proof).await {
            Ok(Tried::Good(sealed)) => sealed,
            Ok(Tried::Wrong) => return Found::Bad,
            Ok(Tried::Absent) | Err(_) => {
                let Some(shared) = &self.shared else { return Found::Bad };
                match shared.try_code(now, request.0, proof).await {
                    Ok(Tried::Good(sealed)) => sealed,
                    Ok(Tried::Wrong | Tried::Absent) => return Found::Bad,
                    Err(_) => return Found::Away,
                }
            }
        };
        self.open(CODE, &request.0, &sealed).map(|clear| {
            // The store says that the code was right; what was sealed with it has the last word.
            let number = clear.strip_prefix(proof.as_slice())?;
            Phone::from_e164(std::str::from_utf8(number).ok()?)
        })
    }

    /// Makes a code that was proved good again, for one try, or ends one. A store that is away has it ended sooner or
    /// later.
    pub(super) async fn set_tries(&self, now: Now, request: CodeRequest, tries: u32) {
        let _never_fails = self.local.set_tries(now, request.0, tries).await;
        if let Some(shared) = &self.shared {
            let _lost = shared.set_tries(now, request.0, tries).await;
        }
    }

    /// What was sealed. Whoever writes into the shared store without our secret gets here with nothing.
    fn open(&self, purpose: &str, of: &[u8], sealed: &[u8]) -> Found<Vec<u8>> {
        self.server.open(purpose, of, sealed).map_or_else(
            || {
                tracing::error!(
                    event = "sealed_value_foreign",
                    purpose,
                    "a kept value is not one that this server sealed"
                );
                Found::Bad
            },
            Found::Good,
        )
    }

    async fn put(
        &self,
        now: Now,
        kind: Kind,
        owner: [u8; 16],
        value: &[u8],
        fill: Fill<'_>,
    ) -> Result<Opaque, Full> {
        if let Some(shared) = &self.shared {
            let (token, once) = self.new_once(kind, owner, value, fill);
            if shared.put_once(now, once).await == Ok(Kept::Done) {
                return Ok(token);
            }
        }
        let (token, once) = self.new_once(kind, owner, value, fill);
        if self.local.put_once(now, once).await == Ok(Kept::Done) { Ok(token) } else { Err(Full) }
    }

    fn new_once(&self, kind: Kind, owner: [u8; 16], value: &[u8], fill: Fill<'_>) -> (Opaque, NewOnce) {
        let (token, key) = kind.form.make(&self.server, bytes(fill));
        let sealed = self.server.seal(kind.purpose, &key, bytes(fill), value);
        (token, NewOnce { kind: kind.kept, key, owner, sealed, life_millis: kind.form.life_millis })
    }

    async fn find(&self, now: Now, kind: Kind, text: &str, take: bool) -> Found<Vec<u8>> {
        let Some(key) = kind.form.find(&self.server, text) else { return Found::Bad };
        let sealed = match look(&self.local, now, kind.kept, key, take).await.unwrap_or(None) {
            Some(sealed) => sealed,
            None => {
                let Some(shared) = &self.shared else { return Found::Bad };
                match look(&**shared, now, kind.kept, key, take).await {
                    Ok(Some(sealed)) => sealed,
                    Ok(None) => return Found::Bad,
                    Err(_) => return Found::Away,
                }
            }
        };
        self.open(kind.purpose, &key, &sealed)
    }

    async fn drop_owner(&self, now: Now, kind: Kind, owner: [u8; 16]) {
        let _never_fails = self.local.drop_owner(now, kind.kept, owner).await;
        if let Some(shared) = &self.shared {
            let _lost = shared.drop_owner(now, kind.kept, owner).await;
        }
    }

    fn owner(&self, phone: &Phone) -> [u8; 16] {
        self.server.subject("registration", phone.as_e164().as_bytes())
    }

    /// A token with which a proved number becomes an account.
    pub(super) async fn put_registration(
        &self,
        now: Now,
        phone: &Phone,
        fill: Fill<'_>,
    ) -> Result<Opaque, Full> {
        self.put(now, REGISTRATION, self.owner(phone), phone.as_e164().as_bytes(), fill).await
    }

    /// The number of a registration; it is not used up by that.
    pub(super) async fn registration(&self, now: Now, text: &str) -> Found<Phone> {
        let found = self.find(now, REGISTRATION, text, false).await;
        found.map(|number| Phone::from_e164(std::str::from_utf8(&number).ok()?))
    }

    /// Drops all registrations of a number.
    pub(super) async fn drop_registrations(&self, now: Now, phone: &Phone) {
        self.drop_owner(now, REGISTRATION, self.owner(phone)).await;
    }

    /// A token with which a user whose number was proved shows the second factor.
    pub(super) async fn put_challenge(&self, now: Now, user: UserId, fill: Fill<'_>) -> Result<Opaque, Full> {
        self.put(now, CHALLENGE, user.0, &user.0, fill).await
    }

    /// Who a challenge is for; with `take` it is used up by that.
    pub(super) async fn challenge(&self, now: Now, text: &str, take: bool) -> Found<UserId> {
        self.find(now, CHALLENGE, text, take).await.map(|user| user.try_into().ok().map(UserId))
    }

    /// A ticket for the socket of a session.
    pub(super) async fn put_ticket(&self, now: Now, claims: &Claims, fill: Fill<'_>) -> Result<Opaque, Full> {
        self.put(now, TICKET, claims.session.0, &encode(claims), fill).await
    }

    /// Who a ticket was made for; it is used up by that.
    pub(super) async fn take_ticket(&self, now: Now, text: &str) -> Found<Claims> {
        self.find(now, TICKET, text, true).await.map(|value| decode(&value))
    }

    /// Drops the tickets of a session.
    pub(super) async fn drop_tickets(&self, now: Now, session: SessionId) {
        self.drop_owner(now, TICKET, session.0).await;
    }
}

fn look(
    store: &dyn Ephemeral,
    now: Now,
    kind: OnceKind,
    key: [u8; 32],
    take: bool,
) -> Call<'_, Option<Vec<u8>>> {
    if take { store.take_once(now, kind, key) } else { store.look_once(now, kind, key) }
}

/// User, session, epoch and end, big-endian. A ticket proves nothing again.
fn encode(claims: &Claims) -> Vec<u8> {
    let Claims { user, session, epoch, expires, .. } = claims;
    [&user.0[..], &session.0, &epoch.to_be_bytes(), &expires.0.to_be_bytes()].concat()
}

fn decode(value: &[u8]) -> Option<Claims> {
    let (user, rest) = value.split_first_chunk()?;
    let (session, rest) = rest.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    Some(Claims {
        user: UserId(*user),
        session: SessionId(*session),
        epoch: u32::from_be_bytes(*epoch),
        authenticated: Millis(0),
        expires: Millis(u64::from_be_bytes(rest.try_into().ok()?)),
        // Nobody who has to turn on a second factor first gets a ticket.
        enrolling: false,
    })
}

#[cfg(test)]
pub(super) mod tests;
