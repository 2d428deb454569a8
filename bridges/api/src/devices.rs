//! Devices over HTTP: registering one for notifications, taking it back, and trying it.
//!
//! Thread: the API's runtime; the work is done by whoever implements [`Devices`]. Invariants: a device belongs to the session that registered
//! it and goes with it; its token travels in a body and is in no answer. Limits: those of [`Devices`]. What can fail: its store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{Method, StatusCode};
use axum::routing::{post, put};
use lynk_domain::{SessionId, UserId};
use lynk_model::notify::{Device, Platform, Provider, PushToken};
use lynk_protocol::ErrorCode::{
    self, Busy, Conflict, Draining, Internal, InvalidField, InvalidToken, NotSignedIn, RateLimited,
    TokenExpired, Unavailable, Unknown,
};
use lynk_protocol::Reject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::Json;
use crate::{ApiError, Authority, Caller, Clock, Operation, schema_of};

/// An answer of [`Devices`] on its way.
pub type DeviceAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Reject>> + Send + 'a>>;

/// What became of a trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trial {
    /// `sent`, `unregistered`, `refused` or `failed`.
    pub outcome: &'static str,
    /// Why it was not sent.
    pub cause: Option<&'static str>,
}

/// Keeps devices, and sends to them.
pub trait Devices: Send + Sync {
    /// The provider that devices are registered for.
    fn provider(&self) -> Provider;

    /// Registers a device in place of its session's.
    fn put(&self, device: Device) -> DeviceAnswer<'_, ()>;

    /// Removes the session's device.
    fn remove(&self, session: SessionId) -> DeviceAnswer<'_, ()>;

    /// Sends a trial to the session's device; `None` when it has none.
    fn trial(&self, user: UserId, session: SessionId) -> DeviceAnswer<'_, Option<Trial>>;
}

/// What handlers work with.
#[derive(Clone)]
pub struct DevicesState {
    /// `None` where there are no notifications.
    pub devices: Option<Arc<dyn Devices>>,
    /// Who checks tokens.
    pub authority: Authority,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for DevicesState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevicesState").field("devices", &self.devices.is_some()).finish_non_exhaustive()
    }
}

impl FromRef<DevicesState> for Authority {
    fn from_ref(state: &DevicesState) -> Self {
        state.authority.clone()
    }
}

/// Printable ASCII without spaces, for the document.
const TOKEN: &str = "^[!-~]+$";

/// A device to be registered.
#[derive(Deserialize, JsonSchema)]
struct PushBody {
    /// Who brings notifications: the server has one provider.
    #[schemars(with = "ProviderName")]
    provider: String,
    /// How the provider knows the device.
    #[schemars(length(min = 1, max = 4096), regex(pattern = TOKEN))]
    token: String,
    /// What kind of device it is.
    #[schemars(with = "PlatformName")]
    platform: String,
    /// Whether the device is told ids alone and shows nothing by itself; default true.
    id_only: Option<bool>,
}

// For the document: names are read by hand, so that a wrong one is told what is right.
/// Who brings notifications.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "its schema is all that is wanted of it")]
enum ProviderName {
    Console,
    Fcm,
}

/// A kind of device.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "its schema is all that is wanted of it")]
enum PlatformName {
    Android,
    Ios,
    Web,
}

/// What became of a trial.
#[derive(Serialize, JsonSchema)]
struct PushTried {
    /// Whether the provider took it.
    outcome: TrialOutcome,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TrialOutcome {
    Sent,
    Unregistered,
    Refused,
    Failed,
}

fn devices(state: &DevicesState) -> Result<&Arc<dyn Devices>, ApiError> {
    let none = || Reject::because(Unavailable, "this server sends no notifications");
    state.devices.as_ref().ok_or_else(|| none().into())
}

async fn register(
    State(state): State<DevicesState>,
    Caller { claims }: Caller,
    Json(body): Json<PushBody>,
) -> Result<StatusCode, ApiError> {
    let devices = devices(&state)?;
    let wrong = |why: &'static str| ApiError::from(Reject::because(InvalidField, why));
    if Provider::parse(&body.provider) != Some(devices.provider()) {
        return Err(wrong(match devices.provider() {
            Provider::Console => "provider must be console on this server",
            Provider::Fcm => "provider must be fcm on this server",
        }));
    }
    let token = PushToken::parse(&body.token)
        .ok_or_else(|| wrong("token must be 1 to 4096 printable ASCII characters without spaces"))?;
    let platform =
        Platform::parse(&body.platform).ok_or_else(|| wrong("platform must be android, ios or web"))?;
    let device = Device {
        session: claims.session,
        user: claims.user,
        provider: devices.provider(),
        token,
        platform,
        id_only: body.id_only.unwrap_or(true),
        created: (state.clock)().wall,
        last_ok: None,
    };
    devices.put(device).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(state): State<DevicesState>,
    Caller { claims }: Caller,
) -> Result<StatusCode, ApiError> {
    devices(&state)?.remove(claims.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test(
    State(state): State<DevicesState>,
    Caller { claims }: Caller,
) -> Result<axum::Json<PushTried>, ApiError> {
    let tried = devices(&state)?.trial(claims.user, claims.session).await?;
    let Some(Trial { outcome, cause }) = tried else {
        let why = "this session has no device: register one with PUT /v1/me/push";
        return Err(Reject::because(Conflict, why).into());
    };
    let outcome = match outcome {
        "sent" => TrialOutcome::Sent,
        "unregistered" => TrialOutcome::Unregistered,
        "refused" => TrialOutcome::Refused,
        _ => TrialOutcome::Failed,
    };
    Ok(axum::Json(PushTried { outcome, cause }))
}

/// The routes. To be given to the bridge with the others.
pub fn device_router(state: DevicesState) -> Router {
    Router::new()
        .route("/v1/me/push", put(register).delete(remove))
        .route("/v1/me/push/test", post(test))
        .with_state(state)
}

/// What the operations look like from outside; a test compares the list with the router.
#[must_use]
pub fn device_operations() -> Vec<Operation> {
    let errors = |more: &[ErrorCode]| {
        let mut all = vec![
            NotSignedIn,
            InvalidToken,
            TokenExpired,
            RateLimited,
            Busy,
            Unavailable,
            Unknown,
            Draining,
            Internal,
        ];
        all.extend(more);
        all
    };
    let of = |method, path, name, summary| Operation {
        tag: "notifications",
        auth: true,
        ..Operation::new(method, path, name, summary)
    };
    vec![
        Operation {
            request: Some(schema_of::<PushBody>),
            success: vec![(204, None)],
            errors: errors(&[InvalidField]),
            ..of(
                Method::PUT,
                "/v1/me/push",
                "register_device",
                "Register the device of this session for notifications; its last one is replaced, and a token is taken from any other session.",
            )
        },
        Operation {
            success: vec![(204, None)],
            errors: errors(&[]),
            ..of(Method::DELETE, "/v1/me/push", "remove_device", "Take the device of this session back.")
        },
        Operation {
            success: vec![(200, Some(schema_of::<PushTried>))],
            errors: errors(&[Conflict]),
            ..of(
                Method::POST,
                "/v1/me/push/test",
                "test_device",
                "Send a notification without a message to the device of this session.",
            )
        },
    ]
}
