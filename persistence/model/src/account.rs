//! Durable shapes of accounts: people, their sessions, counters of what was sent, and the audit log.
//!
//! Thread: any. Plain data; telephone numbers and hashes are of types that do not print them.

use lynk_domain::{Family, Millis, Phone, RoomId, Seq, SessionId, UserId};
use std::collections::BTreeSet;

use crate::search_words;

/// Longest user name, in characters after NFKC.
pub const USER_NAME_CHARS_MAX: usize = 32;
/// Shortest user name, in characters after NFKC.
pub const USER_NAME_CHARS_MIN: usize = 3;
/// Longest display name, in characters.
pub const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// Longest text that a user says of themselves, in characters.
pub const BIO_CHARS_MAX: usize = 500;
/// Words that one question looks at: of those that begin as asked, in order. What it looks for may not be among them.
pub const SEARCH_WORDS_MAX: u32 = 500;
/// Longest name of a device, in characters.
pub const DEVICE_CHARS_MAX: usize = 64;
/// Accounts that one question may name.
pub const ACCOUNTS_PER_QUESTION_MAX: usize = 100;
/// How long audit events are kept, in milliseconds: 90 days.
pub const AUDIT_KEPT_MILLIS: u64 = 90 * 24 * 60 * 60 * 1_000;
/// How long a session is remembered after its end, in milliseconds: a day. Longer than any access token lives.
pub const ENDED_SESSION_KEPT_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// A person's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Id.
    pub user: UserId,
    /// Number that signs in.
    pub phone: Phone,
    /// Unique name, in NFKC.
    pub user_name: String,
    /// What others read.
    pub display_name: String,
    /// What the user says of themselves; may be empty.
    pub bio: String,
    /// Id of the picture, where there is one.
    pub avatar: Option<[u8; 16]>,
    /// When it was made.
    pub created: Millis,
    /// When what others see of it last changed.
    pub updated: Millis,
    /// By what strangers find it.
    pub findable: Findable,
}

impl Account {
    /// A new account, of which nobody knows more.
    #[must_use]
    pub fn new(user: UserId, phone: Phone, user_name: String, display_name: String, created: Millis) -> Self {
        let (bio, avatar, findable) = (String::new(), None, Findable::default());
        Self { user, phone, user_name, display_name, bio, avatar, created, updated: created, findable }
    }

    /// The words by which it is found; none when it is not to be.
    #[must_use]
    pub fn words(&self) -> BTreeSet<String> {
        if !self.findable.by_name {
            return BTreeSet::new();
        }
        [&self.user_name, &self.display_name].into_iter().flat_map(|name| search_words(name)).collect()
    }
}

/// By what strangers find an account. Whoever knows the whole user name finds it in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Findable {
    /// By the beginning of a name.
    pub by_name: bool,
    /// By the telephone number.
    pub by_phone: bool,
}

impl Default for Findable {
    fn default() -> Self {
        Self { by_name: true, by_phone: false }
    }
}

/// A change of an account. What is `None` stays.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct AccountChange {
    /// Unique name, in NFKC. The one before stays closed to others for
    /// [`NAME_RESERVED_MILLIS`](crate::NAME_RESERVED_MILLIS).
    pub user_name: Option<String>,
    /// What others read.
    pub display_name: Option<String>,
    /// What the user says of themselves.
    pub bio: Option<String>,
    /// Id of the picture, or that there is none.
    pub avatar: Option<Option<[u8; 16]>>,
    /// By what strangers find it.
    pub findable: Option<Findable>,
}

impl AccountChange {
    /// The account after the change, which was made at `wall`. What nobody sees does not count as one.
    #[must_use]
    pub fn apply(&self, account: &Account, wall: Millis) -> Account {
        let mut after = account.clone();
        if let Some(user_name) = &self.user_name {
            after.user_name.clone_from(user_name);
        }
        if let Some(display_name) = &self.display_name {
            after.display_name.clone_from(display_name);
        }
        if let Some(bio) = &self.bio {
            after.bio.clone_from(bio);
        }
        if let Some(avatar) = self.avatar {
            after.avatar = avatar;
        }
        if after != *account {
            // Two changes in one millisecond, or a clock that was set back, are two versions all the same.
            after.updated = Millis(wall.0.max(account.updated.0 + 1));
        }
        if let Some(findable) = self.findable {
            after.findable = findable;
        }
        after
    }
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changed {
    /// The account is like this now.
    Done(Box<Account>),
    /// Another account has the name, or gave it up less than 30 days ago. Nothing was changed.
    NameTaken,
    /// There is no such account.
    Missing,
}

/// What a search found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct FoundAccounts {
    /// In the order of their first word that begins as asked, each once over all pages.
    pub accounts: Vec<Account>,
    /// Where it goes on; `None` at the end. There may be more although this page has few, or none.
    pub next: Option<SearchMark>,
}

/// Where a search goes on: after this word of this user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SearchMark {
    /// The word.
    pub word: String,
    /// Whose.
    pub user: UserId,
}

/// A session to be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSession {
    /// Id.
    pub session: SessionId,
    /// What the user calls the device; may be empty.
    pub device: String,
    /// When.
    pub created: Millis,
    /// Its refresh family.
    pub family: Family,
    /// Sessions that the account may have with this one; those unused for longest make room.
    pub sessions_max: u32,
}

/// A session that has not ended by revocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Id.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// What the user calls the device.
    pub device: String,
    /// When it was opened.
    pub created: Millis,
    /// When a token of it was last asked for.
    pub last_used: Millis,
    /// Epoch that its access tokens carry; from 1.
    pub epoch: u32,
    /// Its refresh family.
    pub family: Family,
}

/// What became of a new account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registered {
    /// The account and its first session are there.
    Made,
    /// Another account has the name, or gave it up less than 30 days ago.
    NameTaken,
    /// The number has an account.
    PhoneTaken,
}

/// Which sessions of an account end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// This one.
    One(SessionId),
    /// All but this one.
    Others(SessionId),
    /// All.
    All,
}

/// What happened, for the audit log. The numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum AuditKind {
    /// An account was made.
    Registered = 1,
    /// A session was opened.
    SignedIn = 2,
    /// A session was ended by itself.
    SignedOut = 3,
    /// A session was ended by another one of the account.
    Revoked = 4,
    /// A session made room for a new one.
    Displaced = 5,
    /// A refresh token was used again after the grace: its family was ended.
    RefreshReuse = 6,
    /// An account was removed.
    Removed = 7,
    /// An authenticator app was confirmed: sign-in asks for it.
    FactorOn = 8,
    /// The authenticator app is asked for no more.
    FactorOff = 9,
    /// Recovery codes were made; earlier ones are void.
    RecoveryMade = 10,
    /// A recovery code was used.
    RecoveryUsed = 11,
    /// Too many wrong codes: the second factor is locked for a time.
    FactorLocked = 12,
    /// An operator suspended the account.
    Suspended = 13,
    /// An operator ended the suspension.
    Resumed = 14,
    /// An export of the account's data was begun.
    Exported = 15,
    /// The account is being erased.
    Erased = 16,
}

impl AuditKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Registered,
        Self::SignedIn,
        Self::SignedOut,
        Self::Revoked,
        Self::Displaced,
        Self::RefreshReuse,
        Self::Removed,
        Self::FactorOn,
        Self::FactorOff,
        Self::RecoveryMade,
        Self::RecoveryUsed,
        Self::FactorLocked,
        Self::Suspended,
        Self::Resumed,
        Self::Exported,
        Self::Erased,
    ];

    /// What it is called in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::SignedIn => "signed_in",
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::Displaced => "displaced",
            Self::RefreshReuse => "refresh_reuse",
            Self::Removed => "removed",
            Self::FactorOn => "totp_on",
            Self::FactorOff => "totp_off",
            Self::RecoveryMade => "recovery_codes_made",
            Self::RecoveryUsed => "recovery_code_used",
            Self::FactorLocked => "totp_locked",
            Self::Suspended => "suspended",
            Self::Resumed => "unsuspended",
            Self::Exported => "exported",
            Self::Erased => "erased",
        }
    }

    /// The kind of a stored number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One row of the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditEvent {
    /// When.
    pub at: Millis,
    /// Whose account.
    pub user: UserId,
    /// Which session; nil for the account as a whole.
    pub session: SessionId,
    /// What.
    pub kind: AuditKind,
}

/// An authenticator app of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Factor {
    /// Whose.
    pub user: UserId,
    /// Its secret, sealed by the caller.
    pub sealed: Vec<u8>,
    /// When the secret was made.
    pub enrolled: Millis,
    /// When a code of it was shown for the first time; until then it waits, and nobody is asked for it.
    pub confirmed: Option<Millis>,
    /// The last step of which a code was accepted; 0 for none. No code of it or of an earlier one is good.
    pub last_step: u64,
}

/// What became of an app's secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enrolled {
    /// It waits for its first code, in place of one that waited.
    Waits,
    /// The account has an app.
    HasOne,
    /// There is no such account.
    NoAccount,
}

/// An account that was erased, and how far what its user said is taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// Whose.
    pub user: UserId,
    /// When the account was removed.
    pub begun: Millis,
    /// The room that is looked through, or was last; nil before the first. Those before it, in the order of ids, are done.
    pub room: RoomId,
    /// How far in that room.
    pub seq: Seq,
    /// When the last room was done.
    pub done: Option<Millis>,
}

/// Slices of a counter's window. What lies in a slice that the window only touches counts.
pub const COUNTER_SLICES: u64 = 24;

/// More of something that is limited over time: one more request, or an amount of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charge {
    /// What is counted: a keyed hash, never a number or an address in clear.
    pub key: [u8; 16],
    /// Over which time.
    pub window_millis: u64,
    /// How much more.
    pub amount: u32,
    /// How much there may be in any such time. A greater amount is never counted.
    pub max: u32,
}

/// What became of charges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charged {
    /// All were counted.
    Done,
    /// None was counted: one is at its limit.
    Refused {
        /// Which, the first in order.
        index: usize,
        /// When there may be so much more, at the latest.
        retry_after_millis: u64,
    },
}

/// The word that a search goes along, and the others; `None` without words. The longest one, the first of several.
#[must_use]
pub fn search_along(words: &[String]) -> Option<(&str, Vec<&str>)> {
    let length = |word: &str| word.chars().count();
    let longest =
        words.iter().map(String::as_str).reduce(|a, b| if length(b) > length(a) { b } else { a })?;
    let others: BTreeSet<&str> = words.iter().map(String::as_str).filter(|word| *word != longest).collect();
    Some((longest, others.into_iter().collect()))
}
