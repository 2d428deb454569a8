//! Bodies of the account operations. Field names are those of the socket's replies.
//!
//! None of the types that hold a secret has `Debug`.

use lynk_auth::{Opaque, Token};
use lynk_domain::{Millis, SessionId, UserId};
use lynk_model::account::{Account, Session};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line, without characters that turn the direction of what comes after.
pub(super) const LINE: &str = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029\u202A-\u202E\u2066-\u2069]*$";

/// `POST /v1/auth/code`
#[derive(Deserialize, JsonSchema)]
pub(super) struct CodeBody {
    /// Telephone number in international form.
    #[schemars(length(min = 8, max = 32), regex(pattern = r"^\+[0-9 ().\-/]+$"))]
    pub(super) phone: String,
}

/// Answer to `POST /v1/auth/code`, the same for every number.
#[derive(Serialize, JsonSchema)]
pub(super) struct CodeSent {
    /// Names the code in `verify`.
    #[schemars(extend("format" = "uuid"))]
    pub(super) request_id: String,
    /// How long the code is good.
    pub(super) expires_in_ms: u64,
    /// When the next code may be asked for.
    pub(super) resend_in_ms: u64,
}

/// `POST /v1/auth/verify`
#[derive(Deserialize, JsonSchema)]
pub(super) struct VerifyBody {
    /// From the answer to `code`.
    #[schemars(extend("format" = "uuid"))]
    pub(super) request_id: String,
    /// Six digits.
    #[schemars(regex(pattern = "^[0-9]{6}$"))]
    pub(super) code: String,
    /// What the user calls the device.
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub(super) device: Option<String>,
}

/// `POST /v1/auth/register`
#[derive(Deserialize, JsonSchema)]
pub(super) struct RegisterBody {
    /// From the answer to `verify`.
    pub(super) registration: String,
    /// Unique name: letters, digits, `_`, `.`, `-`.
    #[schemars(length(min = 3, max = 32))]
    pub(super) user_name: String,
    /// What others read; the user name when left out.
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub(super) display_name: Option<String>,
    /// What the user calls the device.
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub(super) device: Option<String>,
}

/// `POST /v1/auth/refresh`
#[derive(Deserialize, JsonSchema)]
pub(super) struct RefreshBody {
    /// The newest refresh token of the session.
    pub(super) refresh_token: String,
}

/// What a session needs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tokens {
    /// For `Authorization: Bearer` and the socket's `hello`.
    pub(super) access_token: String,
    /// When it is over.
    pub(super) access_expires_at: u64,
    /// Good once, for the next pair.
    pub(super) refresh_token: String,
    /// When the session is over unless it is used.
    pub(super) refresh_expires_at: u64,
    /// The session.
    #[schemars(extend("format" = "uuid"))]
    pub(super) session: String,
    /// Whether the server demands a second factor that the account does not have: until an app is turned on (`POST /v1/me/totp`),
    /// everything else answers `second_factor_required`. Left out where it is false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub(super) second_factor_required: bool,
}

/// What was issued, before it is text.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) access: Token,
    pub(super) access_expires: Millis,
    pub(super) refresh: Opaque,
    pub(super) refresh_expires: Millis,
    pub(super) session: SessionId,
    /// For turning on a second factor only.
    pub(super) enrolling: bool,
}

impl From<Issued> for Tokens {
    fn from(issued: Issued) -> Self {
        Self {
            access_token: issued.access.reveal().to_owned(),
            access_expires_at: issued.access_expires.0,
            refresh_token: issued.refresh.reveal().to_owned(),
            refresh_expires_at: issued.refresh_expires.0,
            session: issued.session.to_string(),
            second_factor_required: issued.enrolling,
        }
    }
}

/// A person as others see them.
#[derive(Serialize, JsonSchema)]
pub(super) struct User {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub(super) user: String,
    /// Unique name.
    pub(super) user_name: String,
    /// What to show.
    pub(super) display_name: String,
    /// What the person says of themselves; may be empty.
    #[schemars(length(max = 500))]
    pub(super) bio: String,
    /// Id of the picture, or nothing. `GET /v1/media/{media}/link` leads to it.
    #[schemars(extend("format" = "uuid"))]
    pub(super) avatar: Option<String>,
    /// When something of this last changed. Never goes back, so the greater one of two answers is the newer.
    pub(super) updated_at: u64,
}

impl From<&Account> for User {
    fn from(account: &Account) -> Self {
        Self {
            user: account.user.to_string(),
            user_name: account.user_name.clone(),
            display_name: account.display_name.clone(),
            bio: account.bio.clone(),
            avatar: account.avatar.map(|id| UserId(id).to_string()),
            updated_at: account.updated.0,
        }
    }
}

/// `PATCH /v1/me`: what is given changes.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ProfileBody {
    /// Unique name; may change three times in 30 days.
    #[schemars(length(min = 3, max = 32))]
    pub(super) user_name: Option<String>,
    /// What others read; empty for the user name.
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub(super) display_name: Option<String>,
    /// What the person says of themselves: plain text of at most 20 lines.
    #[schemars(length(max = 500))]
    pub(super) bio: Option<String>,
    /// A picture that the caller has uploaded for it (`purpose: "avatar"`) and that is ready; `null` takes it away.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub(super) avatar: Option<Option<String>>,
}

/// Tells `null` from nothing.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Whom to look for.
#[derive(Deserialize, JsonSchema)]
pub(super) struct SearchQuery {
    /// Beginnings of words of a user name or display name, without regard to case and accents.
    #[schemars(length(min = 1, max = 64))]
    pub(super) q: String,
    /// People at most; 20 when left out.
    #[schemars(range(min = 1, max = 50))]
    pub(super) limit: Option<u32>,
    /// `next` of the page before.
    #[schemars(length(max = 512))]
    pub(super) after: Option<String>,
}

/// Answer to `GET /v1/users/search`.
#[derive(Serialize, JsonSchema)]
pub(super) struct FoundUsers {
    /// People, each once over all pages. A page may have few, or none, and others follow.
    pub(super) users: Vec<User>,
    /// Where it goes on; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// Answer to `verify` and `register`.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum Verified {
    /// The number has an account: a session was opened.
    SignedIn {
        #[serde(flatten)]
        tokens: Tokens,
        /// Who it is.
        user: User,
    },
    /// The account has an authenticator app: `second_factor` signs in.
    SecondFactor {
        /// Good for one sign-in.
        challenge: String,
        /// How long.
        expires_in_ms: u64,
    },
    /// The number has none yet: `register` makes it.
    New {
        /// Good once, for ten minutes.
        registration: String,
    },
}

/// Answer to `register`.
#[derive(Serialize, JsonSchema)]
pub(super) struct SignedIn {
    /// Always `signed_in`.
    #[schemars(extend("const" = "signed_in"))]
    pub(super) status: &'static str,
    #[serde(flatten)]
    pub(super) tokens: Tokens,
    /// Who it is.
    pub(super) user: User,
}

/// Answer to `POST /v1/auth/ticket`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Ticket {
    /// Good once, as `ticket` of the socket's `hello`.
    pub(super) ticket: String,
    /// For how long.
    pub(super) expires_in_ms: u64,
}

/// Answer to `GET /v1/me` and to its change.
#[derive(Serialize, JsonSchema)]
pub(super) struct Me {
    #[serde(flatten)]
    pub(super) user: User,
    /// Calling code and last two digits of the number.
    pub(super) phone: String,
    /// When the account was made.
    pub(super) created_at: u64,
}

impl From<&Account> for Me {
    fn from(account: &Account) -> Self {
        Self { user: account.into(), phone: account.phone.masked(), created_at: account.created.0 }
    }
}

/// One row of `GET /v1/sessions`.
#[derive(Serialize, JsonSchema)]
pub(super) struct SessionRow {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub(super) session: String,
    /// What the user called the device; may be empty.
    pub(super) device: String,
    /// When it was opened.
    pub(super) created_at: u64,
    /// When a token of it was last asked for.
    pub(super) last_used_at: u64,
    /// Whether it is the one that asks.
    pub(super) current: bool,
}

impl SessionRow {
    pub(super) fn new(session: &Session, current: SessionId) -> Self {
        Self {
            session: session.session.to_string(),
            device: session.device.clone(),
            created_at: session.created.0,
            last_used_at: session.last_used.0,
            current: session.session == current,
        }
    }
}

/// Answer to `GET /v1/sessions`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sessions {
    /// By time of opening.
    pub(super) sessions: Vec<SessionRow>,
}

/// Answer to `POST /v1/sessions/revoke_others`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Revoked {
    /// How many ended.
    pub(super) revoked: usize,
}

/// Answer to `GET /v1/users`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Users {
    /// Those that exist and may be seen.
    pub(super) users: Vec<User>,
}

/// One public key (RFC 8037).
#[derive(Serialize, JsonSchema)]
pub(super) struct Jwk {
    /// Always `OKP`.
    pub(super) kty: &'static str,
    /// Always `Ed25519`.
    pub(super) crv: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub(super) usage: &'static str,
    /// Always `EdDSA`.
    pub(super) alg: &'static str,
    /// Name of the key in a token's header.
    pub(super) kid: String,
    /// The key, base64url.
    pub(super) x: String,
}

/// Answer to `GET /.well-known/jwks.json`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Jwks {
    /// The keys whose tokens are accepted, the one that signs first.
    pub(super) keys: Vec<Jwk>,
}

/// An id of a path or list; `None` when it is none.
pub(super) fn user_id(text: &str) -> Option<UserId> {
    UserId::parse(text).filter(|user| !user.is_nil())
}

/// 1 to 100 UUIDs.
const IDS: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(,[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}){0,99}$";

/// Which people.
#[derive(Deserialize, JsonSchema)]
pub(super) struct UsersQuery {
    /// 1 to 100 user ids, separated by commas.
    #[schemars(regex(pattern = IDS))]
    pub(super) ids: String,
}
