//! What the account operations look like from outside; a test compares the list with the router.

use axum::http::Method;
use lynk_protocol::ErrorCode;

use super::{available, erase, export, factors, privacy, wire, wishes};
use crate::{Operation, SchemaOf, object_of, schema_of};

/// What the store may answer.
macro_rules! errors {
    ($($code:ident),*) => {{
        use lynk_protocol::ErrorCode;
        const CODES: &[ErrorCode] = &[
            $(ErrorCode::$code,)*
            ErrorCode::Busy,
            ErrorCode::Unavailable,
            ErrorCode::Unknown,
            ErrorCode::Draining,
            ErrorCode::Internal,
        ];
        CODES
    }};
}
pub(super) use errors;

pub(super) fn public(
    method: Method,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    request: Option<SchemaOf>,
    success: (u16, Option<SchemaOf>),
    errors: &'static [ErrorCode],
) -> Operation {
    let (success, errors) = (vec![success], errors.to_vec());
    Operation {
        tag: "accounts",
        auth: false,
        request,
        success,
        errors,
        ..Operation::new(method, path, name, summary)
    }
}

pub(super) fn signed_in(
    method: Method,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    success: (u16, Option<SchemaOf>),
    errors: &'static [ErrorCode],
) -> Operation {
    Operation { auth: true, ..public(method, path, name, summary, None, success, errors) }
}

/// That is open to whoever has to turn on a second factor first.
pub(super) fn enrolling(operation: Operation) -> Operation {
    Operation { enrolling: true, ..operation }
}

/// Every operation of accounts, in the order of the reference.
#[must_use]
pub fn operations() -> Vec<Operation> {
    signing_in()
        .into_iter()
        .chain(factors::operations())
        .chain(sessions())
        .chain(people())
        .chain(privacy())
        .collect()
}

fn signing_in() -> [Operation; 4] {
    [
        public(
            Method::POST,
            "/v1/auth/code",
            "request_code",
            "Send a one-time code to a telephone; the answer is the same for every number.",
            Some(schema_of::<wire::CodeBody>),
            (200, Some(schema_of::<wire::CodeSent>)),
            errors!(InvalidField, Forbidden, RateLimited),
        ),
        public(
            Method::POST,
            "/v1/auth/verify",
            "verify_code",
            "Prove a number by its code: signs in, asks for the second factor, or allows to register.",
            Some(schema_of::<wire::VerifyBody>),
            (200, Some(schema_of::<wire::Verified>)),
            errors!(InvalidField, InvalidCode, AccountSuspended, RateLimited),
        ),
        public(
            Method::POST,
            "/v1/auth/register",
            "register",
            "Make the account of a number that was proved, and sign in to it.",
            Some(schema_of::<wire::RegisterBody>),
            (201, Some(schema_of::<wire::SignedIn>)),
            errors!(InvalidField, InvalidToken, NameTaken, AccountSuspended, RateLimited),
        ),
        public(
            Method::POST,
            "/v1/auth/refresh",
            "refresh_tokens",
            "Change the newest refresh token of a session for the next pair of tokens.",
            Some(schema_of::<wire::RefreshBody>),
            (200, Some(schema_of::<wire::Tokens>)),
            errors!(InvalidField, InvalidToken, RateLimited),
        ),
    ]
}

fn sessions() -> [Operation; 8] {
    [
        enrolling(signed_in(
            Method::POST,
            "/v1/auth/logout",
            "logout",
            "End this session.",
            (204, None),
            errors!(NotSignedIn, InvalidToken, TokenExpired),
        )),
        signed_in(
            Method::POST,
            "/v1/auth/ticket",
            "make_ticket",
            "Make a ticket that opens one socket within 30 seconds.",
            (200, Some(schema_of::<wire::Ticket>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited),
        ),
        enrolling(signed_in(
            Method::GET,
            "/v1/me",
            "me",
            "The account of this session.",
            (200, Some(schema_of::<wire::Me>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited),
        )),
        Operation {
            request: Some(schema_of::<erase::EraseBody>),
            // Who wants no second factor may go.
            enrolling: true,
            ..signed_in(
                Method::POST,
                "/v1/me/erase",
                "erase",
                "Erase the account for good: it is gone at once, and what it said is taken back.",
                (200, Some(schema_of::<erase::Receipt>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, StepUpRequired, InvalidField, RateLimited),
            )
        },
        Operation {
            request: Some(schema_of::<export::ExportBody>),
            ..signed_in(
                Method::POST,
                "/v1/me/export",
                "export",
                "A page of what the server has of the account: the account first, then rooms, then own messages.",
                (200, Some(schema_of::<export::ExportPage>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, StepUpRequired, InvalidField, RateLimited),
            )
        },
        signed_in(
            Method::GET,
            "/v1/sessions",
            "sessions",
            "The sessions of this account.",
            (200, Some(schema_of::<wire::Sessions>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited),
        ),
        signed_in(
            Method::DELETE,
            "/v1/sessions/{session}",
            "end_session",
            "End one session of this account; another than this one after a recent proof.",
            (204, None),
            errors!(NotSignedIn, InvalidToken, TokenExpired, StepUpRequired, SessionNotFound),
        ),
        signed_in(
            Method::POST,
            "/v1/sessions/revoke_others",
            "end_other_sessions",
            "End all sessions of this account but this one, after a recent proof.",
            (200, Some(schema_of::<wire::Revoked>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, StepUpRequired),
        ),
    ]
}

fn people() -> [Operation; 7] {
    [
        Operation {
            query: Some(object_of::<wire::UsersQuery>),
            ..signed_in(
                Method::GET,
                "/v1/users",
                "users",
                "People by id; those who do not exist or may not be seen are left out.",
                (200, Some(schema_of::<wire::Users>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
        Operation {
            request: Some(schema_of::<wire::ProfileBody>),
            ..signed_in(
                Method::PATCH,
                "/v1/me",
                "change_me",
                "Change what is given of one's own profile.",
                (200, Some(schema_of::<wire::Me>)),
                errors!(
                    NotSignedIn,
                    InvalidToken,
                    TokenExpired,
                    RateLimited,
                    InvalidField,
                    NameTaken,
                    AttachmentNotFound,
                    AttachmentNotReady
                ),
            )
        },
        Operation {
            query: Some(object_of::<wire::SearchQuery>),
            ..signed_in(
                Method::GET,
                "/v1/users/search",
                "search_users",
                "People by the beginnings of their names, as far as they want to be found.",
                (200, Some(schema_of::<wire::FoundUsers>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
        signed_in(
            Method::GET,
            "/v1/users/by_name/{user_name}",
            "user_by_name",
            "A person by user name, in any spelling that folds to it.",
            (200, Some(schema_of::<wire::User>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, UserNotFound),
        ),
        Operation {
            query: Some(object_of::<available::UserNameQuery>),
            ..signed_in(
                Method::GET,
                "/v1/users/name_available",
                "user_name_available",
                "Whether a user name can be had; during registration the token may be that of the registration.",
                (200, Some(schema_of::<available::Availability>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
        Operation {
            tag: "rooms",
            query: Some(object_of::<available::RoomNameQuery>),
            ..signed_in(
                Method::GET,
                "/v1/rooms/name_available",
                "room_name_available",
                "Whether a public or invite-only room can have a name.",
                (200, Some(schema_of::<available::Availability>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
        public(
            Method::GET,
            "/.well-known/jwks.json",
            "jwks",
            "The public keys of access tokens (RFC 7517).",
            None,
            (200, Some(schema_of::<wire::Jwks>)),
            errors!(),
        ),
    ]
}

fn privacy() -> [Operation; 5] {
    [
        signed_in(
            Method::GET,
            "/v1/me/privacy",
            "privacy",
            "How one is found and seen.",
            (200, Some(schema_of::<privacy::Privacy>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited),
        ),
        Operation {
            request: Some(schema_of::<privacy::PrivacyBody>),
            ..signed_in(
                Method::PUT,
                "/v1/me/privacy",
                "set_privacy",
                "Change what is given of how one is found and seen.",
                (200, Some(schema_of::<privacy::Privacy>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
        Operation {
            tag: "blocks",
            query: Some(object_of::<privacy::BlocksQuery>),
            ..signed_in(
                Method::GET,
                "/v1/blocks",
                "list_blocks",
                "A page of those whom one blocks.",
                (200, Some(schema_of::<privacy::BlockedUsers>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
        Operation {
            tag: "rooms",
            request: Some(schema_of::<wishes::Notifications>),
            ..signed_in(
                Method::PUT,
                "/v1/rooms/{room}/notifications",
                "set_notifications",
                "Say what one wants to be notified of in a room: all of it, so what is left out is as it is at first.",
                (200, Some(schema_of::<wishes::Notifications>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField, NotAMember),
            )
        },
        Operation {
            tag: "rooms",
            request: Some(schema_of::<privacy::ByPhoneBody>),
            ..signed_in(
                Method::POST,
                "/v1/direct/by_phone",
                "open_direct_by_phone",
                "Begin a conversation with whoever has a number, if they want to be found by it; the answer is the same for every number.",
                (202, Some(schema_of::<privacy::Tried>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited, InvalidField),
            )
        },
    ]
}
