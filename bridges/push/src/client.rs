//! Requests to one server, over connections that stand before they are needed.
//!
//! It is built on hyper's connections and not on a pool of somebody else's, for two reasons: whether anything of a request that failed was
//! written must be known, and a push is claimed only when a connection for it is there, so that as little as can be lies between the two.
//!
//! Thread: the bridge's runtime; each connection is a task there. Invariants: a failure other than [`Failure::Unanswered`] means that no byte
//! of the request left this program. Redirects are not followed: they would take credentials elsewhere.
//!
//! Limits: [`IDLE_MAX`] kept connections, [`IDLE_TIME`] each; [`CONNECT_TIME`]; [`ANSWER_BYTES_MAX`].

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use lynk_model::notify::PushCause;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::base::Base;

/// Connections that are kept.
pub(crate) const IDLE_MAX: usize = 32;
/// How long one is kept. Servers close idle ones after some minutes.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Time for a connection, with its name's resolution and its handshake.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest body of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest head of one, which is also the size of a connection's buffer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Empty when it was cut off, too slow or too long.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// No connection. Nothing was written.
    Unreachable,
    /// A connection, and not to whom it should be. Nothing was written.
    Tls,
    /// Some of the request may have been written.
    Unanswered,
}

impl Failure {
    pub(crate) fn cause(self) -> PushCause {
        match self {
            Self::Unreachable => PushCause::Unreachable,
            Self::Tls => PushCause::Tls,
            Self::Unanswered => PushCause::Unanswered,
        }
    }
}

struct Idle {
    sender: SendRequest<String>,
    since: Instant,
}

/// Asks one server.
pub(crate) struct Client {
    pub(crate) base: Base,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<Idle>>,
}

impl Client {
    /// A client; `None` when the host cannot be one that certificates name.
    pub(crate) fn new(base: Base, config: Arc<ClientConfig>) -> Option<Self> {
        let tls = match base.is_tls {
            true => Some((config.into(), ServerName::try_from(base.host.clone()).ok()?)),
            false => None,
        };
        Some(Self { base, tls, idle: Mutex::default() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection that still stands, as far as anybody here knows. Those that do not are dropped.
    fn kept(&self) -> Option<SendRequest<String>> {
        let mut idle = self.idle();
        idle.retain(|one| one.since.elapsed() < IDLE_TIME && one.sender.is_ready());
        idle.pop().map(|one| one.sender)
    }

    fn keep(&self, sender: SendRequest<String>) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Has so many connections stand.
    pub(crate) async fn ready(&self, count: usize) -> Result<(), Failure> {
        let missing = {
            let mut idle = self.idle();
            idle.retain(|one| one.since.elapsed() < IDLE_TIME && one.sender.is_ready());
            count.min(IDLE_MAX).saturating_sub(idle.len())
        };
        let until = Instant::now() + CONNECT_TIME;
        for _ in 0..missing {
            let sender = self.connect(until).await?;
            self.keep(sender);
        }
        Ok(())
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
    ) -> Result<Answer, Failure> {
        let mut kept = self.kept();
        loop {
            let is_kept = kept.is_some();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.connect(deadline).await?,
            };
            let mut request = Request::builder()
                .method(Method::POST)
                .uri(path)
                .header(header::HOST, self.base.authority())
                .header(header::CONTENT_TYPE, content_type)
                .header(header::ACCEPT, "application/json")
                .header(header::USER_AGENT, concat!("lynk/", env!("CARGO_PKG_VERSION")));
            if let Some(authorization) = &authorization {
                request = request.header(header::AUTHORIZATION, authorization.clone());
            }
            // Made of what was checked at the start.
            let request = request.body(body.to_owned()).map_err(|_| Failure::Unreachable)?;
            match timeout_at(deadline, sender.try_send_request(request)).await {
                Ok(Ok(response)) => {
                    let (answer, whole) = read(response, deadline).await;
                    if whole {
                        self.keep(sender);
                    }
                    return Ok(answer);
                }
                // The request comes back only when no byte of it was written. The other connections are as old.
                Ok(Err(error)) if error.message().is_some() && is_kept => self.idle().clear(),
                Ok(Err(error)) if error.message().is_some() => return Err(Failure::Unreachable),
                Ok(Err(_)) | Err(_) => return Err(Failure::Unanswered),
            }
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<SendRequest<String>, Failure> {
        let until = deadline.min(Instant::now() + CONNECT_TIME);
        let connecting = async {
            let address = (self.base.host.as_str(), self.base.port());
            let socket = TcpStream::connect(address).await.map_err(|_| Failure::Unreachable)?;
            let _ = socket.set_nodelay(true);
            let Some((connector, name)) = &self.tls else { return speak(socket).await };
            let secured = connector.connect(name.clone(), socket).await.map_err(|error| {
                // What rustls refuses is invalid data; everything else is the way there.
                if error.kind() == std::io::ErrorKind::InvalidData {
                    Failure::Tls
                } else {
                    Failure::Unreachable
                }
            })?;
            speak(secured).await
        };
        timeout_at(until, connecting).await.unwrap_or(Err(Failure::Unreachable))
    }
}

/// Begins HTTP on a stream. Its task ends with the stream, or when nobody wants to send on it any more.
async fn speak<T>(stream: T) -> Result<SendRequest<String>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Unreachable)?;
    tokio::spawn(async move {
        // Whoever sent on it learns what ended it.
        let _ = connection.await;
    });
    sender.ready().await.map_err(|_| Failure::Unreachable)?;
    Ok(sender)
}

/// Reads an answer, and says whether its connection can be used again. The status is worth something also without a body.
async fn read(response: Response<Incoming>, deadline: Instant) -> (Answer, bool) {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after =
        retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    let body = timeout_at(deadline, body(response.into_body())).await.ok().flatten();
    let whole = body.is_some();
    (Answer { status, retry_after, body: body.unwrap_or_default() }, whole)
}

/// A body to its end; `None` when it does not come, or is too long.
async fn body(mut incoming: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if bytes.len() + data.len() > ANSWER_BYTES_MAX {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
    Some(bytes)
}
