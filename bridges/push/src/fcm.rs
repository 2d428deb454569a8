//! [`Fcm`]: Firebase Cloud Messaging, HTTP v1.
//!
//! Thread: the bridge's runtime. A push is one `POST /v1/projects/PROJECT/messages:send` with an access token, which is asked for with a JWT
//! that the service account's key signs, and is renewed before it ends. What the answers mean is in `answer`.
//!
//! Invariants: nothing of the service account's key, of access tokens and of devices' tokens is printed. Limits: [`FcmOptions::timeout`] for a
//! push. What can fail: the provider, with a [`PushCause`].

mod account;
mod answer;
mod message;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lynk_domain::Millis;
use lynk_https::{Base, Roots, trust};
use lynk_model::notify::PushCause;
use lynk_model::port::{Delivered, PushNote, PushSender};
use tokio::time::Instant;

use crate::client::Client;

pub use account::{ServiceAccount, SetupError};
use token::Tokens;

/// Wall time, for tokens.
pub(crate) type Wall = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Everything about the provider.
pub struct FcmOptions {
    /// Where its API is.
    pub api_url: String,
    /// Who we are.
    pub account: ServiceAccount,
    /// Whom we trust.
    pub roots: Roots,
    /// For one push.
    pub timeout: Duration,
    /// How long the provider keeps a push for a device that is away, in seconds.
    pub ttl_seconds: u64,
    /// Wall time.
    pub wall: Arc<dyn Fn() -> Millis + Send + Sync>,
}

impl fmt::Debug for FcmOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FcmOptions")
            .field("api_url", &self.api_url)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Sends through Firebase.
pub struct Fcm {
    client: Client,
    path: String,
    tokens: Tokens,
    timeout: Duration,
    ttl_seconds: u64,
    wall: Wall,
}

impl fmt::Debug for Fcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fcm").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Fcm {
    /// Checks everything that can be checked without asking the provider.
    ///
    /// # Errors
    /// What cannot be right.
    pub fn new(options: FcmOptions) -> Result<Self, SetupError> {
        let FcmOptions { api_url, account, roots, timeout, ttl_seconds, wall } = options;
        let base = Base::parse(&api_url).map_err(|why| SetupError::Url("the URL of Firebase", why))?;
        let config = trust(&roots).map_err(SetupError::Roots)?;
        let host = || SetupError::Url("the URL of Firebase", "has a host that no certificate can name");
        let path = base.below(&format!("/v1/projects/{}/messages:send", account.project_id()));
        let client = Client::new(base, Arc::clone(&config)).ok_or_else(host)?;
        let tokens = Tokens::new(account, config)?;
        Ok(Self { client, path, tokens, timeout, ttl_seconds, wall })
    }
}

impl PushSender for Fcm {
    async fn ready(&self, count: usize) -> Result<(), PushCause> {
        self.tokens.get((self.wall)(), Instant::now() + self.timeout).await?;
        self.client.ready(count).await
    }

    async fn send(&self, note: &PushNote) -> Delivered {
        let (wall, deadline) = ((self.wall)(), Instant::now() + self.timeout);
        let authorization = match self.tokens.get(wall, deadline).await {
            Ok(header) => header,
            Err(cause) => return Delivered::Failed { cause, retry_after_millis: 0 },
        };
        let body = message::build(note, self.ttl_seconds, wall);
        let json = "application/json; charset=utf-8";
        let asked = self.client.post(&self.path, json, Some(authorization), &body, deadline).await;
        let delivered = match asked {
            Ok(answer) => answer::judge(&answer),
            Err(cause) => Delivered::Failed { cause, retry_after_millis: 0 },
        };
        if matches!(delivered, Delivered::Failed { cause: PushCause::Credentials, .. }) {
            self.tokens.forget();
        }
        delivered
    }
}
