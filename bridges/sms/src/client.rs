//! One request to the carrier's API at a time, over connections that are kept for the next one.
//!
//! Thread: the API's runtime. Limits: [`IDLE_MAX`] kept connections, [`IDLE_TIME`] each; [`ANSWER_BYTES_MAX`]. The caller bounds the number of
//! requests. What can fail: see [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};
use lynk_https::{Base, Failure, Keeping};
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::counts::SmsCounts;

/// Connections that are kept for the next message.
pub const IDLE_MAX: usize = 4;
/// How long one is kept. Short, because the carrier closes idle ones too: a request that crosses its close has no answer, and may
/// not be repeated.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Longest body of an answer that is read. Answers have one or two KiB.
pub const ANSWER_BYTES_MAX: usize = 32 << 10;

/// What the carrier answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Empty when it was cut off, too slow or too long.
    pub(crate) body: Vec<u8>,
}

/// Asks one path of one server.
pub(crate) struct Client {
    http: lynk_https::Client<String>,
    path: String,
    authorization: HeaderValue,
}

impl Client {
    /// A client; `None` when the host cannot be one that certificates name.
    pub(crate) fn new(
        base: Base,
        path: String,
        authorization: HeaderValue,
        config: Arc<ClientConfig>,
        counts: Arc<SmsCounts>,
    ) -> Option<Self> {
        let keeping = Keeping { idle_max: IDLE_MAX, idle_time: IDLE_TIME };
        let http = lynk_https::Client::new(base, config, keeping)?.on_connect(move || counts.connected());
        Some(Self { http, path, authorization })
    }

    /// Posts a form and returns the answer, until `deadline`.
    pub(crate) async fn post(&self, form: &str, deadline: Instant) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form.to_owned())
            // Made of what was checked at the start.
            .map_err(|_| Failure::Unreachable)?;
        let answer = self.http.ask(request, ANSWER_BYTES_MAX, deadline).await?;
        let lynk_https::Answer { status, retry_after, body, .. } = answer;
        Ok(Answer { status, retry_after, body })
    }
}
