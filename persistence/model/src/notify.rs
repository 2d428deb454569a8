//! Durable shapes of notifications: devices, what waits for a room's window, pushes, and why each message was pushed or not.
//!
//! Thread: any. Plain data. A push carries ids only; what people wrote is in none of these shapes.
//!
//! **Nothing is pushed twice, also by a process that was killed.** A provider has no idempotency key, so whether a request that got no answer was
//! taken is not known afterwards. A push is therefore [`PushState::Claimed`] durably before the first byte of its request is written, a few at
//! a time, on connections that stand already. What a start finds claimed by an earlier process was written, but for the moment between
//! the claim and the write, and is never sent again: it becomes [`PushState::Unknown`], and the next push of the room carries what it did
//! (the badge counts unread messages, not pushes). Everything that is not claimed is still there and is pushed. Within a process a request
//! that certainly was not taken, or that the provider failed, is repeated under its collapse key: a device shows it in place of the first.

use std::fmt;

use lynk_domain::{MessageId, Millis, Ordinal, RoomId, Seq, SessionId, UserId};

use crate::{MessageRequest, RequestState, RoomWish};

/// Devices that one account may have.
pub const DEVICES_PER_ACCOUNT_MAX: u32 = 30;
/// Longest token of a device, in bytes.
pub const PUSH_TOKEN_BYTES_MAX: usize = 4_096;

/// Names a device for its provider. Whoever has it and the provider's credentials can send to the device, so it is not printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushToken(String);

impl PushToken {
    /// A token: 1 to [`PUSH_TOKEN_BYTES_MAX`] printable ASCII characters without spaces; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good =
            (1..=PUSH_TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(text.to_owned()))
    }

    /// What it is.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushToken(redacted)")
    }
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $number:literal $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$of])* $variant = $number),* }

        impl $name {
            /// All, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// That of a stored number.
            #[must_use]
            pub fn from_u8(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its word, for people and metrics.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            /// That of a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }

            /// Place in [`Self::ALL`].
            #[must_use]
            pub fn index(self) -> usize {
                Self::ALL.iter().position(|one| *one == self).unwrap_or_default()
            }
        }
    };
}

numbered! {
    /// Who brings pushes to a device. The numbers are stored.
    Provider {
        /// Nobody: ids are written to a file, for development.
        Console = 1 "console",
        /// Firebase Cloud Messaging, for Android, iOS and browsers.
        Fcm = 2 "fcm",
    }
}

numbered! {
    /// What kind of device it is. The numbers are stored.
    Platform {
        /// Android.
        Android = 1 "android",
        /// iOS.
        Ios = 2 "ios",
        /// A browser.
        Web = 3 "web",
    }
}

numbered! {
    /// Why a message is, or is not, pushed to somebody. The numbers are stored.
    Reason {
        /// It is to be pushed: with the room's next push.
        Wanted = 1 "wanted",
        /// It is the user's own.
        Sender = 2 "sender",
        /// A device of the user was connected.
        Active = 3 "active",
        /// The user muted the room.
        Muted = 4 "muted",
        /// The user wants mentions of the room only, and is not mentioned.
        MentionsOnly = 5 "mentions_only",
        /// Rooms of this size push mentions only, unless the user has set that all are wanted.
        LargeRoom = 6 "large_room",
        /// One of the two blocks the other.
        Blocked = 7 "blocked",
        /// The user was no member any more.
        NotMember = 8 "not_member",
        /// The user had no device.
        NoDevice = 9 "no_device",
        /// It was too old when its turn came.
        Old = 10 "old",
        /// The user had read it before the push went out.
        Read = 11 "read",
        /// It is of a 1:1 that a stranger began and that the user has not accepted, and not the first.
        Request = 12 "request",
    }
}

numbered! {
    /// Where a push stands. The numbers are stored.
    PushState {
        /// A process is about to send it, or did, and does not know the answer yet.
        Claimed = 1 "claimed",
        /// It was certainly not taken, or the provider failed; it is tried again at its time.
        Waiting = 2 "waiting",
        /// The provider took it.
        Sent = 3 "sent",
        /// It was given up.
        Dead = 4 "dead",
        /// The provider does not know the token any more; the device was removed.
        Unregistered = 5 "unregistered",
        /// Its process died while it was sending: it may have been taken. Not tried again.
        Unknown = 6 "unknown",
        /// It was not needed any more.
        Dropped = 7 "dropped",
    }
}

impl PushState {
    /// Whether nothing more happens to it.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Claimed | Self::Waiting)
    }
}

numbered! {
    /// Why a push failed. The numbers are stored.
    PushCause {
        /// Nothing failed.
        None = 0 "none",
        /// The provider does not know the token.
        Unregistered = 1 "unregistered",
        /// The provider refuses the message.
        Invalid = 2 "invalid",
        /// The token belongs to another project.
        Sender = 3 "sender",
        /// Apple's or the browser's service refuses the provider.
        ThirdParty = 4 "third_party",
        /// Too many at a time, or to this device.
        Quota = 5 "quota",
        /// The provider fails.
        Server = 6 "server",
        /// Our credentials are refused.
        Credentials = 7 "credentials",
        /// No connection.
        Unreachable = 8 "unreachable",
        /// A connection to somebody who is not the provider.
        Tls = 9 "tls",
        /// The request was written, and no answer came.
        Unanswered = 10 "unanswered",
        /// Something else.
        Other = 11 "other",
        /// The user wants none any more: see the reason of the decision.
        NotWanted = 12 "not_wanted",
    }
}

/// A device that can be pushed to. There is one for a session at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The session that it is signed in with; it goes with it.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// Who brings pushes to it.
    pub provider: Provider,
    /// How the provider knows it. Of one account at most.
    pub token: PushToken,
    /// What it is.
    pub platform: Platform,
    /// Whether it is told ids alone, and shows nothing by itself.
    pub id_only: bool,
    /// When it was registered.
    pub created: Millis,
    /// When the provider last took a push to it.
    pub last_ok: Option<Millis>,
}

/// A room as decisions need it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoomAudience {
    /// How many members it has.
    pub size: u64,
    /// Ascending: all members, or of a room with more than were asked for those that were named and those who want everything.
    pub members: Vec<UserId>,
    /// Of these members, those who have set something, ascending.
    pub wishes: Vec<(UserId, RoomWish)>,
    /// Of a 1:1 that waits for somebody to accept it: who that is, and how many messages there were before. Whoever declined one is no
    /// member here.
    pub request: Option<(UserId, Ordinal)>,
}

impl RoomAudience {
    /// Of the members that were found, in any order and maybe twice, with what they have set.
    #[must_use]
    pub fn new(size: u64, mut found: Vec<(UserId, RoomWish)>) -> Self {
        found.sort_unstable_by_key(|(user, _)| *user);
        found.dedup_by_key(|(user, _)| *user);
        let members = found.iter().map(|(user, _)| *user).collect();
        found.retain(|(_, wish)| *wish != RoomWish::default());
        Self { size, members, wishes: found, request: None }
    }

    /// With how the room began: whoever declined it is left out.
    #[must_use]
    pub fn asked(mut self, request: Option<MessageRequest>) -> Self {
        let Some(request) = request else { return self };
        if request.keeps_from(request.user) {
            self.members.retain(|user| *user != request.user);
            self.wishes.retain(|(user, _)| *user != request.user);
        }
        self.request = (request.state == RequestState::Pending).then_some((request.user, request.base));
        self
    }
}

/// Since when a room is a member's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberSince {
    /// The seq of joining; 0 where it is not in the log yet.
    pub joined: Seq,
    /// The past up to here is deleted for the member.
    pub cleared: Seq,
    /// The room is a 1:1 that waits for the member to accept it.
    pub request: bool,
}

impl MemberSince {
    /// Up to where the member has read, by the position that is kept: nothing of before counts, but for who went back on purpose, and what
    /// was deleted counts for nobody.
    #[must_use]
    pub fn read(&self, (round, read): (u64, Seq)) -> Seq {
        let read = if round == 0 { read.max(self.joined) } else { read };
        read.max(self.cleared)
    }
}

/// What a member has not read of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoomUnread {
    /// Unread messages.
    pub unread: u64,
    /// The user has read up to here.
    pub read: Seq,
    /// It is a 1:1 that waits for the user to accept it: it is pushed silently, and not counted.
    pub request: bool,
}

/// Messages of a room that were taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomTaken {
    /// Which room.
    pub room: RoomId,
    /// What was taken before: the last seq, or 0.
    pub from: Seq,
    /// And is now.
    pub to: Seq,
}

/// Messages of a room that somebody is to be told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Who.
    pub user: UserId,
    /// Of which room.
    pub room: RoomId,
    /// The first of them.
    pub from: Seq,
    /// The last, which the push names.
    pub upto: Seq,
    /// Its id.
    pub message: MessageId,
    /// How many.
    pub messages: u32,
    /// One of them mentions the user.
    pub mention: bool,
    /// When the first was posted.
    pub since: Millis,
    /// Not before this time.
    pub due: Millis,
}

impl Wanted {
    /// The push of it to the device of a session, claimed at `now` for its first attempt.
    #[must_use]
    pub fn claimed(&self, id: PushId, session: SessionId, now: Millis) -> Push {
        Push {
            id,
            user: self.user,
            room: self.room,
            session,
            from: self.from,
            upto: self.upto,
            message: self.message,
            messages: self.messages,
            mention: self.mention,
            state: PushState::Claimed,
            cause: PushCause::None,
            dropped: None,
            attempts: 1,
            at: now,
            next: Millis(0),
            told: false,
        }
    }
}

/// The state of a user and room: what waits, and until when the window of the last push is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// What waits; nothing does when `messages` is 0, and only user and room count then.
    pub wanted: Wanted,
    /// Nothing is pushed before this time.
    pub window_end: Millis,
    /// The last push reached up to here.
    pub pushed: Seq,
}

/// Consecutive messages of a room that were decided alike for somebody. What lies between them is not a message, or not the user's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// For whom; nil for everybody for whom nothing else is noted.
    pub user: UserId,
    /// Of which room.
    pub room: RoomId,
    /// The first message.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
    /// How it was decided.
    pub reason: Reason,
    /// When the last one was.
    pub at: Millis,
}

/// What one batch of messages came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taking {
    /// The rooms, each once.
    pub rooms: Vec<RoomTaken>,
    /// Who is to be told; each user and room once.
    pub wanted: Vec<Wanted>,
    /// How everything was decided; those of a user and room ascending.
    pub decisions: Vec<Decision>,
}

/// Whether a batch was taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// All of it.
    Done,
    /// Nothing: somebody else has taken from one of the rooms. Ask again what was.
    Behind,
}

/// Names a push.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub [u8; 16]);

impl fmt::Display for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushId({self})")
    }
}

impl PushId {
    /// Parses what [`fmt::Display`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut id = [0; 16];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(id))
    }
}

/// A push to one device, on its way or over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// Its name.
    pub id: PushId,
    /// For whom.
    pub user: UserId,
    /// Of which room.
    pub room: RoomId,
    /// To which device; nil for one that was dropped before it had any.
    pub session: SessionId,
    /// The first message that it tells of.
    pub from: Seq,
    /// The last.
    pub upto: Seq,
    /// Its id.
    pub message: MessageId,
    /// How many.
    pub messages: u32,
    /// One of them mentions the user.
    pub mention: bool,
    /// Where it stands.
    pub state: PushState,
    /// Why it failed last.
    pub cause: PushCause,
    /// Why it was dropped.
    pub dropped: Option<Reason>,
    /// How often it was tried.
    pub attempts: u32,
    /// When that changed last.
    pub at: Millis,
    /// When it is tried again.
    pub next: Millis,
    /// That it was given up is published.
    pub told: bool,
}

/// What becomes of what waits for a user and room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is pushed to these devices, now; they are claimed.
    Push(Vec<(PushId, SessionId)>),
    /// It is not needed any more.
    Drop(PushId, Reason),
}

/// Takes what waits for a user and room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// What waits, as it was read. If it has changed since, nothing is done.
    pub wanted: Wanted,
    /// The end of the window that opens with it.
    pub window_end: Millis,
    /// What becomes of it.
    pub fate: Fate,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// Taken.
    Sent,
    /// To be tried again.
    Again {
        /// When.
        next: Millis,
        /// Why.
        cause: PushCause,
    },
    /// Given up.
    Dead(PushCause),
    /// The provider does not know the token.
    Unregistered,
}

/// The end of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// Which push.
    pub id: PushId,
    /// The token that was used: if the provider does not know it, this device goes, if it still has it.
    pub token: PushToken,
    /// How it ended.
    pub attempted: Attempted,
}

/// One step of the sender, in one transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Attempts that ended.
    pub finished: Vec<Finished>,
    /// What is claimed of what waits.
    pub claims: Vec<Claim>,
    /// Pushes that are tried again.
    pub again: Vec<PushId>,
}

/// Which parts of a turn were claimed; the others had changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turned {
    /// For each claim.
    pub claims: Vec<bool>,
    /// For each push that is tried again.
    pub again: Vec<bool>,
}

/// All that is known about a message and a user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// How it was decided for the user, or for everybody.
    pub decision: Option<Decision>,
    /// What waits for the user and room now.
    pub pending: Option<Pending>,
    /// Pushes that tell of it, oldest first.
    pub pushes: Vec<Push>,
    /// The user's devices now.
    pub devices: Vec<Device>,
    /// Up to where messages of the room were taken in.
    pub taken: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_and_what_was_before_is_read() {
        let since =
            |joined, cleared| MemberSince { joined: Seq(joined), cleared: Seq(cleared), request: false };
        assert_eq!(since(4, 0).read((0, Seq(2))), Seq(4));
        assert_eq!(since(4, 0).read((1, Seq(2))), Seq(2), "it went back");
        assert_eq!(since(4, 9).read((0, Seq(2))), Seq(9));
        assert_eq!(since(4, 9).read((1, Seq(2))), Seq(9));
        assert_eq!(since(4, 9).read((0, Seq(11))), Seq(11));
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = PushToken::parse("secret-token").expect("a token");
        assert_eq!(format!("{token:?}"), "PushToken(redacted)");
        for wrong in ["", "a b", "ü", &"x".repeat(PUSH_TOKEN_BYTES_MAX + 1)] {
            assert_eq!(PushToken::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_and_words_lead_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_u8(*reason as u8), Some(*reason));
            assert_eq!(Reason::parse(reason.word()), Some(*reason));
        }
        assert_eq!(PushState::ALL.iter().filter(|state| !state.is_over()).count(), 2);
        let id = PushId([0xa5; 16]);
        assert_eq!(PushId::parse(&id.to_string()), Some(id));
        assert_eq!(PushId::parse("zz"), None);
    }
}
