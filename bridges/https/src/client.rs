//! Connections to one server, and requests over them.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::Base;

/// Time for a connection, with its name's resolution and its handshake.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest head of an answer, which is also the size of a connection's buffer.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Which connections are kept for the next request.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// How many at most.
    pub idle_max: usize,
    /// How long each. Servers close idle ones after a while: a request that crosses the close has no answer.
    pub idle_time: Duration,
}

/// What a server answered, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// Empty when it was cut off, too slow or too long.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection. Nothing was written.
    Unreachable,
    /// A connection, and not to whom it should be. Nothing was written.
    Tls,
    /// A kept connection had ended, as the others of its age have by now. Nothing was written.
    Stale,
    /// Some of the request may have been written.
    Unanswered,
}

struct Idle<B> {
    sender: SendRequest<B>,
    since: Instant,
}

type Kept<B> = Mutex<Vec<Idle<B>>>;

/// Asks one server. `B` is what its requests carry.
pub struct Client<B> {
    /// Where it is.
    pub base: Base,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    keeping: Keeping,
    idle: Arc<Kept<B>>,
    connected: Box<dyn Fn() + Send + Sync>,
}

impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("keeping", &self.keeping)
            .finish_non_exhaustive()
    }
}

/// The connection of an answer whose body is being read.
pub struct Lease<B> {
    sender: SendRequest<B>,
    idle: Arc<Kept<B>>,
    idle_max: usize,
}

impl<B> fmt::Debug for Lease<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

fn idle_of<B>(idle: &Kept<B>) -> MutexGuard<'_, Vec<Idle<B>>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> Lease<B> {
    /// The body was read to its end: the connection may be used again.
    pub fn keep(self) {
        let mut idle = idle_of(&self.idle);
        if idle.len() < self.idle_max {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

impl<B> Client<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client; `None` when the host cannot be one that certificates name.
    #[must_use]
    pub fn new(base: Base, config: Arc<ClientConfig>, keeping: Keeping) -> Option<Self> {
        let tls = match base.is_tls {
            true => Some((config.into(), ServerName::try_from(base.host.clone()).ok()?)),
            false => None,
        };
        Some(Self { base, tls, keeping, idle: Arc::default(), connected: Box::new(|| ()) })
    }

    /// Calls `connected` for each new connection.
    #[must_use]
    pub fn on_connect(self, connected: impl Fn() + Send + Sync + 'static) -> Self {
        Self { connected: Box::new(connected), ..self }
    }

    /// A kept connection that still stands, as far as anybody here knows. Those that do not are dropped.
    fn kept(&self) -> Option<SendRequest<B>> {
        let mut idle = idle_of(&self.idle);
        idle.retain(|one| one.since.elapsed() < self.keeping.idle_time && one.sender.is_ready());
        idle.pop().map(|one| one.sender)
    }

    /// Has so many connections stand.
    ///
    /// # Errors
    /// One cannot.
    pub async fn ready(&self, count: usize) -> Result<(), Failure> {
        let missing = {
            let mut idle = idle_of(&self.idle);
            idle.retain(|one| one.since.elapsed() < self.keeping.idle_time && one.sender.is_ready());
            count.min(self.keeping.idle_max).saturating_sub(idle.len())
        };
        let until = Instant::now() + CONNECT_TIME;
        for _ in 0..missing {
            let sender = self.connect(until).await?;
            self.lease(sender).keep();
        }
        Ok(())
    }

    fn lease(&self, sender: SendRequest<B>) -> Lease<B> {
        Lease { sender, idle: Arc::clone(&self.idle), idle_max: self.keeping.idle_max }
    }

    /// Sends a request, to which it adds `Host` and `User-Agent`, and returns the head of the answer, until `deadline`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(
        &self,
        mut request: Request<B>,
        deadline: Instant,
    ) -> Result<(Response<Incoming>, Lease<B>), Failure> {
        // Made of what was checked at the start.
        let host = self.base.authority().parse().map_err(|_| Failure::Unreachable)?;
        request.headers_mut().insert(header::HOST, host);
        let agent = header::HeaderValue::from_static(concat!("lynk/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let (mut sender, is_kept) = match self.kept() {
            Some(sender) => (sender, true),
            None => (self.connect(deadline).await?, false),
        };
        match timeout_at(deadline, sender.try_send_request(request)).await {
            Ok(Ok(response)) => Ok((response, self.lease(sender))),
            // The request comes back only when no byte of it was written. The other connections are as old.
            Ok(Err(error)) if error.message().is_some() => {
                idle_of(&self.idle).clear();
                Err(if is_kept { Failure::Stale } else { Failure::Unreachable })
            }
            Ok(Err(_)) | Err(_) => Err(Failure::Unanswered),
        }
    }

    /// As [`Self::send`], with the answer read to its end, of which the body has `bytes_max` bytes at most. The status is worth something
    /// also without a body.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ask(
        &self,
        request: Request<B>,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let (response, lease) = self.send(request, deadline).await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let body = timeout_at(deadline, body(response.into_body(), bytes_max)).await.ok().flatten();
        let whole = body.is_some();
        if whole {
            lease.keep();
        }
        Ok(Answer { status, retry_after, body: body.unwrap_or_default(), whole })
    }

    async fn connect(&self, deadline: Instant) -> Result<SendRequest<B>, Failure> {
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
        let sender = timeout_at(until, connecting).await.unwrap_or(Err(Failure::Unreachable))?;
        (self.connected)();
        Ok(sender)
    }
}

/// Begins HTTP on a stream. Its task ends with the stream, or when nobody wants to send on it any more.
async fn speak<T, B>(stream: T) -> Result<SendRequest<B>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
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

/// A body to its end; `None` when it does not come, or is too long.
async fn body(mut incoming: Incoming, bytes_max: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
    Some(bytes)
}
