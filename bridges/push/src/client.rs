//! Requests to one server of a provider, over connections that stand before they are needed: a push is claimed only when a connection for it is
//! there, so that as little as can be lies between the two.
//!
//! Thread: the bridge's runtime. Limits: [`IDLE_MAX`] kept connections, [`IDLE_TIME`] each; [`ANSWER_BYTES_MAX`]. What can fail: see [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};
use lynk_https::{Base, Failure, Keeping};
use lynk_model::notify::PushCause;
use rustls::ClientConfig;
use tokio::time::Instant;

/// Connections that are kept.
pub(crate) const IDLE_MAX: usize = 32;
/// How long one is kept. Servers close idle ones after some minutes.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Longest body of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Empty when it was cut off, too slow or too long.
    pub(crate) body: Vec<u8>,
}

fn cause(failure: Failure) -> PushCause {
    match failure {
        Failure::Unreachable | Failure::Stale => PushCause::Unreachable,
        Failure::Tls => PushCause::Tls,
        Failure::Unanswered => PushCause::Unanswered,
    }
}

/// Asks one server.
pub(crate) struct Client(lynk_https::Client<String>);

impl Client {
    /// A client; `None` when the host cannot be one that certificates name.
    pub(crate) fn new(base: Base, config: Arc<ClientConfig>) -> Option<Self> {
        let keeping = Keeping { idle_max: IDLE_MAX, idle_time: IDLE_TIME };
        lynk_https::Client::new(base, config, keeping).map(Self)
    }

    /// Has so many connections stand.
    pub(crate) async fn ready(&self, count: usize) -> Result<(), PushCause> {
        self.0.ready(count).await.map_err(cause)
    }

    /// Posts `body` to `path` and returns the answer, until `deadline`. A kept connection that turns out to have ended before a byte was
    /// written to it is replaced by a new one.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        authorization: Option<HeaderValue>,
        body: &str,
        deadline: Instant,
    ) -> Result<Answer, PushCause> {
        loop {
            let mut request = Request::builder()
                .method(Method::POST)
                .uri(path)
                .header(header::CONTENT_TYPE, content_type)
                .header(header::ACCEPT, "application/json");
            if let Some(authorization) = &authorization {
                request = request.header(header::AUTHORIZATION, authorization.clone());
            }
            // Made of what was checked at the start.
            let request = request.body(body.to_owned()).map_err(|_| PushCause::Unreachable)?;
            match self.0.ask(request, ANSWER_BYTES_MAX, deadline).await {
                Ok(lynk_https::Answer { status, retry_after, body, .. }) => {
                    return Ok(Answer { status, retry_after, body });
                }
                Err(Failure::Stale) => {}
                Err(failure) => return Err(cause(failure)),
            }
        }
    }
}
