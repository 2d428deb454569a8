//! The port of what lives for seconds or minutes: one-time codes, tokens that are good once, shared counters, who is
//! online, which names exist.
//!
//! Thread: any. Called by several threads through one object, hence no exclusive borrow, and futures that are boxed: a
//! sign-in makes a handful of calls, a message none.
//!
//! Invariants: each call is one step that happens wholly or not at all, also beside calls of other processes. **Nothing here
//! is the only thing that protects somebody**: a store may lose all of it at any moment, and who guesses must gain
//! nothing by that. Values are sealed by the caller, and keys are keyed hashes: a store learns neither numbers nor secrets,
//! and cannot make a value that is good.
//!
//! Limits: those of the implementation. What can fail: `Unavailable`, nothing was done; `Unknown`, it may have been done.

use std::future::Future;
use std::pin::Pin;

use lynk_domain::{Now, UserId};

use crate::StoreError;
use crate::account::{Charge, Charged};

/// Tokens of one kind that one owner may have waiting; a further one takes the oldest one's place.
pub const ONCE_PER_OWNER_MAX: usize = 8;
/// Changes of presence that one call may carry.
pub const PRESENCE_PER_CALL_MAX: usize = 128;

/// A call on its way.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A code to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewCode {
    /// The request that it answers.
    pub request: [u8; 16],
    /// Whose: keyed hash of the number.
    pub number: [u8; 16],
    /// Keyed hash of request and code.
    pub proof: [u8; 32],
    /// What the code proves.
    pub sealed: Vec<u8>,
    /// Wrong tries, of which the last one ends the code. 0 for a request that gets no code and is not told so: it makes the
    /// number wait, and leaves the code that the number has.
    pub tries: u32,
    /// How long the code is good.
    pub life_millis: u64,
    /// How long the number waits for the next one.
    pub resend_millis: u64,
}

/// What became of something to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It is there.
    Done,
    /// The number has to wait: somebody else was faster.
    TooSoon {
        /// How long.
        retry_after_millis: u64,
    },
    /// There is no room.
    Full,
}

/// What a try of a code came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tried {
    /// It was right, and is used up by that: what was sealed with it.
    Good(Vec<u8>),
    /// There is such a request. Wrong, used or replaced; a wrong try was counted.
    Wrong,
    /// There is no such request here, or its time is over.
    Absent,
}

/// What a token that is good once is for. The numbers are part of stored keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum OnceKind {
    /// Opens one socket; the owner is a session.
    Ticket = 1,
    /// Turns one proved number into an account; the owner is the number.
    Registration = 2,
    /// Turns a proved number and a second factor into a session; the owner is the user.
    Challenge = 3,
}

/// A token to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewOnce {
    /// What it is for.
    pub kind: OnceKind,
    /// Keyed hash of the token.
    pub key: [u8; 32],
    /// Whose it is.
    pub owner: [u8; 16],
    /// What it stands for.
    pub sealed: Vec<u8>,
    /// How long it is good; the same for all of a kind.
    pub life_millis: u64,
}

/// A change of who is online, as one process sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Who.
    pub user: UserId,
    /// Whether a connection of the user lives in the process.
    pub online: bool,
}

/// State that lives for seconds or minutes.
pub trait Ephemeral: Send + Sync {
    /// Milliseconds until the number may be sent another code; 0 for now.
    ///
    /// # Errors
    /// See the module.
    fn code_wait(&self, now: Now, number: [u8; 16]) -> Call<'_, u64>;

    /// Keeps a code, unless its number has to wait. An earlier code of the number ends, unless the new one has no tries.
    ///
    /// # Errors
    /// See the module. After `Unknown` make another one, with another request: two stores must not both count its tries.
    fn put_code(&self, now: Now, code: NewCode) -> Call<'_, Kept>;

    /// Tries a code.
    ///
    /// # Errors
    /// See the module. After `Unknown` a try may be counted, and a right code used.
    fn try_code(&self, now: Now, request: [u8; 16], proof: [u8; 32]) -> Call<'_, Tried>;

    /// Sets what is left of a code, if there is one: 1 after it was right for nothing, 0 when its message did not go out.
    ///
    /// # Errors
    /// See the module.
    fn set_tries(&self, now: Now, request: [u8; 16], tries: u32) -> Call<'_, ()>;

    /// Ends the code that a number has: another store has a newer one.
    ///
    /// # Errors
    /// See the module.
    fn end_code(&self, now: Now, number: [u8; 16]) -> Call<'_, ()>;

    /// Keeps a token.
    ///
    /// # Errors
    /// See the module.
    fn put_once(&self, now: Now, once: NewOnce) -> Call<'_, Kept>;

    /// What a token stands for, while it is good. Does not use it up.
    ///
    /// # Errors
    /// See the module.
    fn look_once(&self, now: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>>;

    /// What a token stands for; it is used up by that, so of any number of calls one gets it.
    ///
    /// # Errors
    /// See the module. After `Unknown` it may be used up for nobody.
    fn take_once(&self, now: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>>;

    /// Drops all tokens of an owner.
    ///
    /// # Errors
    /// See the module.
    fn drop_owner(&self, now: Now, kind: OnceKind, owner: [u8; 16]) -> Call<'_, ()>;

    /// Counts all of `charges`, or none when one is at its limit.
    ///
    /// # Errors
    /// See the module.
    fn charge(&self, now: Now, charges: Vec<Charge>) -> Call<'_, Charged>;

    /// Tells who came online and went, at most [`PRESENCE_PER_CALL_MAX`]. What is online stays so for `lease_millis`, if it
    /// is not told again.
    ///
    /// # Errors
    /// See the module. `Unavailable` also under load: this is the first thing that is left out.
    fn mirror_presence(&self, now: Now, seen: Vec<Seen>, lease_millis: u64) -> Call<'_, ()>;

    /// Which of `users`, at most [`PRESENCE_PER_CALL_MAX`], some process says are online, in their order. A picture from a
    /// moment ago at best, and never a reason to refuse something.
    ///
    /// # Errors
    /// See the module.
    fn mirrored_presence(&self, now: Now, users: Vec<UserId>) -> Call<'_, Vec<bool>>;

    /// Notes that a name exists. Noting it again changes nothing.
    ///
    /// # Errors
    /// See the module. Whoever loses a name by that must not ask any more until all are noted again.
    fn add_name(&self, name: String) -> Call<'_, ()>;

    /// Whether a name may exist. `false` is certain only while nothing was lost, so it may spare a question and must not
    /// replace a constraint.
    ///
    /// # Errors
    /// See the module; then it may.
    fn may_have_name(&self, name: String) -> Call<'_, bool>;

    /// Whether there are more names than the filter tells apart: then it may have every name.
    fn names_are_full(&self) -> bool;
}
