//! Error and close codes: the one list that code, documentation and clients share.
//!
//! A code is never removed or given another meaning.

/// Why a command was refused. The text form is on the wire; the number is for the binary encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not a JSON object of the protocol.
    BadRequest = 1,
    /// The operation is not one this server knows.
    UnknownOp = 2,
    /// A field is missing, of the wrong type or outside its limits.
    InvalidField = 3,
    /// The command needs a `hello` first.
    NotSignedIn = 4,
    /// The token is malformed, of another issuer, or badly signed.
    InvalidToken = 5,
    /// The token was good once.
    TokenExpired = 6,
    /// The room does not exist or must not be seen.
    RoomNotFound = 7,
    /// The event or message does not exist.
    MessageNotFound = 8,
    /// The user is not a member of the room.
    NotAMember = 9,
    /// The role does not allow it.
    Forbidden = 10,
    /// The user is banned from the room.
    Banned = 11,
    /// The member may not post for now.
    Muted = 12,
    /// One of the pair blocks the other.
    Blocked = 13,
    /// Longer than the announced limit.
    TooLarge = 14,
    /// A count limit is reached (members, subscriptions, reactions).
    LimitReached = 15,
    /// Too many commands; wait `retry_after_ms`.
    RateLimited = 16,
    /// The server cannot take it right now; try again.
    Busy = 17,
    /// A store that the command needs is away; try again.
    Unavailable = 18,
    /// The outcome is not known; repeat with the same key.
    Unknown = 19,
    /// The disk or its budget is full; nothing was kept; try again later.
    StorageFull = 20,
    /// The key was used with other content.
    IdempotencyConflict = 21,
    /// The key's time is older than the server can check; make a new one and look whether the message is there.
    KeyExpired = 22,
    /// The key's time is ahead of the server's clock, which `message` states.
    ClockSkew = 23,
    /// The name is taken, by a room or by a user.
    NameTaken = 24,
    /// The server is shutting down; reconnect after `retry_after_ms`.
    Draining = 25,
    /// The target already has that state.
    Conflict = 26,
    /// A member of slow mode must wait `retry_after_ms`.
    SlowMode = 27,
    /// The last owner must transfer the room first.
    LastOwner = 28,
    /// Stored data cannot be read; the operator has been told.
    Internal = 29,
    /// The one-time code is wrong, used, over, or was never made: nobody is told which.
    InvalidCode = 30,
    /// No such user, or one that must not be seen.
    UserNotFound = 31,
    /// No such session of this account, or it has ended.
    SessionNotFound = 32,
    /// The operation needs a proof of the last minutes of who asks.
    StepUpRequired = 33,
    /// An operator suspended the account.
    AccountSuspended = 34,
    /// An attachment is still being uploaded or looked at.
    AttachmentNotReady = 35,
    /// No such upload of this account, or one that another message has.
    AttachmentNotFound = 36,
    /// The 1:1 waits for the other one, or for oneself, to accept it.
    RequestPending = 37,
    /// The server demands a second factor, and the account has none yet.
    SecondFactorRequired = 38,
}

impl ErrorCode {
    /// Every code, in numeric order.
    pub const ALL: [Self; 38] = [
        Self::BadRequest,
        Self::UnknownOp,
        Self::InvalidField,
        Self::NotSignedIn,
        Self::InvalidToken,
        Self::TokenExpired,
        Self::RoomNotFound,
        Self::MessageNotFound,
        Self::NotAMember,
        Self::Forbidden,
        Self::Banned,
        Self::Muted,
        Self::Blocked,
        Self::TooLarge,
        Self::LimitReached,
        Self::RateLimited,
        Self::Busy,
        Self::Unavailable,
        Self::Unknown,
        Self::StorageFull,
        Self::IdempotencyConflict,
        Self::KeyExpired,
        Self::ClockSkew,
        Self::NameTaken,
        Self::Draining,
        Self::Conflict,
        Self::SlowMode,
        Self::LastOwner,
        Self::Internal,
        Self::InvalidCode,
        Self::UserNotFound,
        Self::SessionNotFound,
        Self::StepUpRequired,
        Self::AccountSuspended,
        Self::AttachmentNotReady,
        Self::AttachmentNotFound,
        Self::RequestPending,
        Self::SecondFactorRequired,
    ];

    /// The code on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Whether the same command, with the same key, may succeed later.
    #[must_use]
    pub fn retryable(self) -> bool {
        self.row().1
    }

    /// What it means and what to do, for people.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, bool, &'static str) {
        match self {
            Self::BadRequest => ("bad_request", false, "the frame is not a JSON object of this protocol"),
            Self::UnknownOp => ("unknown_op", false, "this server does not know that op"),
            Self::InvalidField => ("invalid_field", false, "a field is missing, mistyped or out of range"),
            Self::NotSignedIn => ("not_signed_in", false, "send hello with a token first"),
            Self::InvalidToken => ("invalid_token", false, "the token is not one this server accepts"),
            Self::TokenExpired => ("token_expired", true, "get a new token and send hello or refresh"),
            Self::RoomNotFound => ("room_not_found", false, "no such room, or it is not visible to you"),
            Self::MessageNotFound => ("message_not_found", false, "no such message in this room"),
            Self::NotAMember => ("not_a_member", false, "join the room first"),
            Self::Forbidden => ("forbidden", false, "your role does not allow that"),
            Self::Banned => ("banned", false, "you are banned from this room"),
            Self::Muted => ("muted", false, "you may not post in this room for now"),
            Self::Blocked => ("blocked", false, "this conversation is blocked"),
            Self::TooLarge => ("too_large", false, "longer than the limit that hello announced"),
            Self::LimitReached => ("limit_reached", false, "the announced limit is reached"),
            Self::RateLimited => ("rate_limited", true, "slow down and retry after retry_after_ms"),
            Self::Busy => ("busy", true, "the server is busy; retry after retry_after_ms"),
            Self::Unavailable => ("unavailable", true, "a store is away; retry after retry_after_ms"),
            Self::Unknown => ("unknown", true, "the outcome is not known; retry with the same key"),
            Self::StorageFull => ("storage_full", true, "the server's disk is full; retry later"),
            Self::IdempotencyConflict => {
                ("idempotency_conflict", false, "the key was used with other content; use a new key")
            }
            Self::KeyExpired => ("key_expired", false, "the key is too old to be checked; use a new one"),
            Self::ClockSkew => ("clock_skew", false, "the key lies in the future; set the clock"),
            Self::NameTaken => ("name_taken", false, "that name is taken"),
            Self::Draining => ("draining", true, "the server is shutting down; reconnect"),
            Self::Conflict => ("conflict", false, "the target already has that state"),
            Self::SlowMode => ("slow_mode", true, "slow mode is on; retry after retry_after_ms"),
            Self::LastOwner => ("last_owner", false, "transfer the room to another member first"),
            Self::Internal => ("internal", false, "the server cannot read its data; its operator was told"),
            Self::InvalidCode => {
                ("invalid_code", false, "the code is not right or not good any more; ask for a new one")
            }
            Self::UserNotFound => ("user_not_found", false, "no such user"),
            Self::SessionNotFound => ("session_not_found", false, "you have no such session"),
            Self::StepUpRequired => (
                "step_up_required",
                false,
                "prove again who you are: POST /v1/auth/step_up gives a token with which to repeat this",
            ),
            Self::AccountSuspended => {
                ("account_suspended", false, "this account is suspended; ask the operator of the server")
            }
            Self::AttachmentNotReady => {
                ("attachment_not_ready", true, "an attachment is not ready; retry after retry_after_ms")
            }
            Self::AttachmentNotFound => {
                ("attachment_not_found", false, "you have no such upload, or it is in another message")
            }
            Self::RequestPending => (
                "request_pending",
                false,
                "the other has not accepted yet: three messages of text until then",
            ),
            Self::SecondFactorRequired => (
                "second_factor_required",
                false,
                "this server demands a second factor: turn on an authenticator app with POST /v1/me/totp and /v1/me/totp/confirm; nothing else is open until then",
            ),
        }
    }
}

/// A refusal: the code, what exactly was wrong, and when to come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// Stable code.
    pub code: ErrorCode,
    /// What exactly, for people; empty for [`ErrorCode::advice`].
    pub detail: std::borrow::Cow<'static, str>,
    /// Milliseconds to wait, when known.
    pub retry_after_millis: Option<u32>,
}

impl Reject {
    /// A refusal with the code's own advice.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self { code, detail: std::borrow::Cow::Borrowed(""), retry_after_millis: None }
    }

    /// A refusal that says what exactly was wrong.
    #[must_use]
    pub fn because(code: ErrorCode, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after_millis: None }
    }

    /// A refusal that names a time to wait.
    #[must_use]
    pub fn after(code: ErrorCode, millis: u32) -> Self {
        Self { code, detail: std::borrow::Cow::Borrowed(""), retry_after_millis: Some(millis) }
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        if self.detail.is_empty() { self.code.advice() } else { &self.detail }
    }
}

impl From<ErrorCode> for Reject {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

/// Why a WebSocket is closed. 4000–4099: do not reconnect; 4100–4199: reconnect as the reason says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
#[non_exhaustive]
pub enum CloseCode {
    /// Done.
    Normal = 1000,
    /// The server or the page goes away.
    GoingAway = 1001,
    /// A frame broke RFC 6455.
    Protocol = 1002,
    /// A binary frame, which this subprotocol does not use.
    Unsupported = 1003,
    /// Text that is not UTF-8.
    InvalidText = 1007,
    /// Policy.
    Policy = 1008,
    /// A message over the frame limit.
    TooBig = 1009,
    /// A bug or an unreadable store.
    Internal = 1011,
    /// Too many connections; try later.
    TryLater = 1013,
    /// `hello` was refused: the token is not acceptable.
    BadAuth = 4000,
    /// No valid `hello` in time.
    HelloTimeout = 4001,
    /// The session was revoked.
    Revoked = 4002,
    /// The client broke the protocol again and again.
    Misuse = 4003,
    /// The token expired; get a new one and reconnect.
    TokenExpired = 4100,
    /// The client read too slowly; reconnect and resume.
    SlowConsumer = 4101,
    /// The server shuts down; reconnect after `retry_after_ms`.
    Shutdown = 4102,
    /// Too fast for too long; reconnect after `retry_after_ms`.
    RateLimited = 4103,
    /// No answer to two pings; reconnect and resume.
    PingTimeout = 4104,
}

impl CloseCode {
    /// Every code, in numeric order.
    pub const ALL: [Self; 18] = [
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::Unsupported,
        Self::InvalidText,
        Self::Policy,
        Self::TooBig,
        Self::Internal,
        Self::TryLater,
        Self::BadAuth,
        Self::HelloTimeout,
        Self::Revoked,
        Self::Misuse,
        Self::TokenExpired,
        Self::SlowConsumer,
        Self::Shutdown,
        Self::RateLimited,
        Self::PingTimeout,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether a client should connect again: with its session (4104, 4101 …), or after a refresh (4100).
    #[must_use]
    pub fn reconnect(self) -> bool {
        !matches!(self.number(), 1002..=1009 | 4000..=4099)
    }

    /// Short reason for the close frame, at most 123 bytes.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::GoingAway => "going away",
            Self::Protocol => "protocol error",
            Self::Unsupported => "text frames only",
            Self::InvalidText => "text is not UTF-8",
            Self::Policy => "policy",
            Self::TooBig => "message over the frame limit",
            Self::Internal => "internal error",
            Self::TryLater => "too many connections, try later",
            Self::BadAuth => "token not accepted",
            Self::HelloTimeout => "no valid hello in time",
            Self::Revoked => "session revoked",
            Self::Misuse => "protocol misuse",
            Self::TokenExpired => "token expired, refresh and reconnect",
            Self::SlowConsumer => "slow consumer, reconnect and resume",
            Self::Shutdown => "shutting down, reconnect",
            Self::RateLimited => "rate limited, reconnect later",
            Self::PingTimeout => "no answer to pings",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_numbered_without_holes() {
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|c| c.name()).collect();
        for (i, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, i + 1);
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert!(CloseCode::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
        assert!(CloseCode::ALL.iter().all(|c| c.reason().len() <= 123));
    }
}
