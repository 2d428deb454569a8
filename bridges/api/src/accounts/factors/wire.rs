//! Bodies of the operations on second factors. None of the types that hold a secret has `Debug`.

use lynk_auth::RecoveryCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accounts::wire::LINE;

/// A code of an app, or of a message.
const CODE: &str = "^[0-9]{6}$";
/// 24 letters and digits, or the ten of an earlier code, and what people put between them.
const RECOVERY: &str = "^[A-Za-z2-7 -]+$";

/// `POST /v1/auth/second_factor`: exactly one of the two codes.
#[derive(Deserialize, JsonSchema)]
pub(in crate::accounts) struct SecondFactorBody {
    /// From the answer to `verify`.
    pub(in crate::accounts) challenge: String,
    /// Six digits of the authenticator app.
    #[schemars(regex(pattern = CODE))]
    pub(in crate::accounts) code: Option<String>,
    /// A recovery code, which is used up by this: 24 letters and digits, or the ten of one that was made before.
    #[schemars(length(min = 10, max = 64), regex(pattern = RECOVERY))]
    pub(in crate::accounts) recovery_code: Option<String>,
    /// What the user calls the device.
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub(in crate::accounts) device: Option<String>,
}

/// A second factor: exactly one of the two codes.
#[derive(Deserialize, JsonSchema)]
pub(in crate::accounts) struct SecondFactor {
    /// Six digits of the authenticator app.
    #[schemars(regex(pattern = CODE))]
    pub(in crate::accounts) code: Option<String>,
    /// A recovery code, which is used up by this: 24 letters and digits, or the ten of one that was made before.
    #[schemars(length(min = 10, max = 64), regex(pattern = RECOVERY))]
    pub(in crate::accounts) recovery_code: Option<String>,
}

/// `POST /v1/auth/step_up`: with an app its code or a recovery code; without one `request_id` and the code that was sent.
#[derive(Deserialize, JsonSchema)]
pub(in crate::accounts) struct StepUpBody {
    /// From the answer to `step_up/code`.
    #[schemars(extend("format" = "uuid"))]
    pub(in crate::accounts) request_id: Option<String>,
    /// Six digits.
    #[schemars(regex(pattern = CODE))]
    pub(in crate::accounts) code: Option<String>,
    /// A recovery code, which is used up by this: 24 letters and digits, or the ten of one that was made before.
    #[schemars(length(min = 10, max = 64), regex(pattern = RECOVERY))]
    pub(in crate::accounts) recovery_code: Option<String>,
}

/// Answer to `POST /v1/auth/step_up`.
#[derive(Serialize, JsonSchema)]
pub(in crate::accounts) struct SteppedUp {
    /// For the requests that need a recent proof. It is of the same session, and has no refresh token.
    pub(in crate::accounts) access_token: String,
    /// When it is over.
    pub(in crate::accounts) access_expires_at: u64,
}

/// Answer to `GET /v1/me/totp`.
#[derive(Serialize, JsonSchema)]
pub(in crate::accounts) struct Standing {
    /// Whether signing in asks for a code of an app.
    pub(in crate::accounts) enabled: bool,
    /// Since when; null when it is off.
    pub(in crate::accounts) enabled_at: Option<u64>,
    /// Recovery codes that were not used.
    pub(in crate::accounts) recovery_codes_left: u32,
    /// Whether the server demands it of everybody: then it cannot be turned off.
    pub(in crate::accounts) required: bool,
}

/// Answer to `POST /v1/me/totp`. It is shown once.
#[derive(Serialize, JsonSchema)]
pub(in crate::accounts) struct Begun {
    /// To be typed into an app: base32.
    pub(in crate::accounts) secret: String,
    /// The same for an app on this device: `otpauth://totp/…`.
    pub(in crate::accounts) uri: String,
    /// A picture of it for an app on another device: an SVG document.
    pub(in crate::accounts) qr_svg: String,
    /// The same as PNG: a `data:` URL.
    pub(in crate::accounts) qr_png: String,
    /// How long the app's first code is waited for.
    pub(in crate::accounts) expires_in_ms: u64,
    /// Only where an app is on: `confirm` takes it, and has this one take the place of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::accounts) replacement: Option<String>,
}

/// `POST /v1/me/totp/confirm`
#[derive(Deserialize, JsonSchema)]
pub(in crate::accounts) struct ConfirmBody {
    /// Six digits of the app.
    #[schemars(regex(pattern = CODE))]
    pub(in crate::accounts) code: String,
    /// From the answer to `POST /v1/me/totp`, where an app is on: with one of the two codes that follow, and not without.
    #[schemars(length(max = 512))]
    pub(in crate::accounts) replacement: Option<String>,
    /// Six digits of the app that is on.
    #[schemars(regex(pattern = CODE))]
    pub(in crate::accounts) current_code: Option<String>,
    /// A recovery code, which is used up by this: 24 letters and digits, or the ten of one that was made before.
    #[schemars(length(min = 10, max = 64), regex(pattern = RECOVERY))]
    pub(in crate::accounts) recovery_code: Option<String>,
}

/// Answer to `POST /v1/me/totp/confirm` and `/recovery`. The codes are shown once.
#[derive(Serialize, JsonSchema)]
pub(in crate::accounts) struct RecoveryCodes {
    /// Each signs in once in place of a code of the app. Earlier ones are void.
    pub(in crate::accounts) recovery_codes: Vec<String>,
    /// Other sessions of the account; `POST /v1/sessions/revoke_others` ends them.
    pub(in crate::accounts) other_sessions: usize,
    /// Of a session that had to turn on the app first: a token of it with which everything is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::accounts) access_token: Option<String>,
    /// When that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::accounts) access_expires_at: Option<u64>,
}

impl RecoveryCodes {
    pub(in crate::accounts) fn new(codes: &[RecoveryCode], other_sessions: usize) -> Self {
        let recovery_codes = codes.iter().map(RecoveryCode::reveal).collect();
        Self { recovery_codes, other_sessions, access_token: None, access_expires_at: None }
    }
}

/// Answer to `DELETE /v1/me/totp`.
#[derive(Serialize, JsonSchema)]
pub(in crate::accounts) struct TurnedOff {
    /// Other sessions of the account; `POST /v1/sessions/revoke_others` ends them.
    pub(in crate::accounts) other_sessions: usize,
}
