//! Access tokens: asked for with a JWT, kept, and renewed before they end.
//!
//! Thread: the bridge's runtime. One question is out at a time; others wait for it. Limits: a question has the deadline of what needs it; after
//! one that failed there is none for [`PAUSE`]. What can fail: the provider.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use lynk_domain::Millis;
use lynk_https::Base;
use lynk_model::notify::PushCause;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::account::{ServiceAccount, SetupError};
use crate::client::Client;

/// A token is renewed so long before it ends, in milliseconds.
const EARLY_MILLIS: u64 = 5 * 60 * 1_000;
/// One that is so close to its end is not used any more, in milliseconds.
const LATE_MILLIS: u64 = 30 * 1_000;
/// Time between a question that failed and the next one.
const PAUSE: Duration = Duration::from_secs(1);
/// What says that a JWT is shown (RFC 7523), encoded for a form.
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

struct Token {
    header: HeaderValue,
    ends: Millis,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed: Option<(Instant, PushCause)>,
}

/// See the module.
pub(super) struct Tokens {
    account: ServiceAccount,
    client: Client,
    path: String,
    state: Mutex<State>,
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: u64,
}

impl Tokens {
    pub(super) fn new(account: ServiceAccount, config: Arc<ClientConfig>) -> Result<Self, SetupError> {
        const URI: &str = "token_uri of the service account";
        let base = Base::parse(account.token_uri()).map_err(|why| SetupError::Url(URI, why))?;
        let path = base.below("");
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let client = Client::new(base, config)
            .ok_or(SetupError::Url(URI, "has a host that no certificate can name"))?;
        Ok(Self { account, client, path, state: Mutex::default() })
    }

    /// The header of a token that is good.
    pub(super) async fn get(&self, wall: Millis, deadline: Instant) -> Result<HeaderValue, PushCause> {
        let state = &mut *self.state.lock().await;
        let left = |token: &Token| token.ends.0.saturating_sub(wall.0);
        if let Some(token) = state.token.as_ref().filter(|token| left(token) > EARLY_MILLIS) {
            return Ok(token.header.clone());
        }
        let usable = state.token.as_ref().filter(|token| left(token) > LATE_MILLIS).map(|t| t.header.clone());
        if let Some((at, cause)) = state.failed.filter(|(at, _)| at.elapsed() < PAUSE) {
            let _when = at;
            return usable.ok_or(cause);
        }
        match self.ask(wall, deadline).await {
            Ok(token) => {
                let header = token.header.clone();
                *state = State { token: Some(token), failed: None };
                Ok(header)
            }
            Err(cause) => {
                state.failed = Some((Instant::now(), cause));
                usable.ok_or(cause)
            }
        }
    }

    /// The token was refused.
    pub(super) fn forget(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.token = None;
        }
    }

    async fn ask(&self, wall: Millis, deadline: Instant) -> Result<Token, PushCause> {
        let assertion = self.account.assertion(wall).ok_or(PushCause::Credentials)?;
        // A JWT has no letter that a form would need in another way.
        let form = format!("grant_type={GRANT}&assertion={assertion}");
        let kind = "application/x-www-form-urlencoded";
        let answer = self.client.post(&self.path, kind, None, &form, deadline).await?;
        match answer.status {
            200 => {}
            429 => return Err(PushCause::Quota),
            500.. => return Err(PushCause::Server),
            _ => return Err(PushCause::Credentials),
        }
        let given: Given = serde_json::from_slice(&answer.body).map_err(|_| PushCause::Server)?;
        let mut header =
            HeaderValue::try_from(format!("Bearer {}", given.access_token)).map_err(|_| PushCause::Server)?;
        header.set_sensitive(true);
        let life = given.expires_in.min(24 * 3_600).saturating_mul(1_000);
        Ok(Token { header, ends: Millis(wall.0.saturating_add(life)) })
    }
}
