//! Connections: a socket that a shard handed over, with what was read already, until its last answer.
//!
//! Limits: [`ApiOptions`](crate::ApiOptions) for connections, connections of one network and the time of a request;
//! [`IDLE_TIME`] between two requests and for each head; [`REQUESTS_PER_NETWORK_PER_SECOND`]; bodies of
//! [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX). Beyond the numbers of connections the answer is 503 or 429 and the end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use lynk_bridge::Handover;
use lynk_domain::IpPrefix;
use lynk_http::{Policy, Refusal};
use lynk_protocol::ErrorCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::counts::Counts;
use crate::error::{self, ApiError};

/// Time for a request's head, and between two requests of a connection.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Time that a connection which is refused has to take its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// Requests of one network per second; a browser that starts makes some dozen. Twice as many at once.
const REQUESTS_PER_NETWORK_PER_SECOND: u32 = 500;
/// Networks without a connection that are kept before anybody looks whether they are needed; each is for two seconds.
const NETWORKS_SPARED: usize = 1_024;
/// Buffer of one connection: what one head and a part of a body need.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 10;
/// `Retry-After` of refused connections, in seconds.
const RETRY_SECONDS: u32 = 5;

/// Who sent a request, for limits: in the extensions of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    /// Without one, all requests count as one address: limits are stricter then, never looser.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into())))
    }
}

/// A stream whose first bytes were read by somebody else.
struct Prefixed {
    read: Vec<u8>,
    at: usize,
    socket: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at < this.read.len() {
            let count = buffer.remaining().min(this.read.len() - this.at);
            buffer.put_slice(&this.read[this.at..this.at + count]);
            this.at += count;
            if this.at == this.read.len() {
                (this.read, this.at) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, parts)
    }
}

/// What is open, by network. A network stays until its share of requests is whole again, so that closing a connection
/// does not fill it up.
#[derive(Default)]
struct Door {
    open: u32,
    networks: HashMap<IpPrefix, Network>,
}

impl Door {
    /// Forgets networks that have nothing open and their whole share, when there are many.
    fn forget(&mut self, now: Instant) {
        if self.networks.len() > self.open as usize + NETWORKS_SPARED {
            self.networks.retain(|_, network| network.open > 0 || network.full_at > now);
        }
    }
}

struct Network {
    open: u32,
    /// When all that it may send at once is there again.
    full_at: Instant,
}

/// What all connections share.
pub(crate) struct Serving {
    pub(crate) router: Router,
    pub(crate) limits: Arc<Limits>,
}

/// Limits of connections and requests, and who uses them up.
pub(crate) struct Limits {
    pub(crate) policy: Policy,
    pub(crate) connections_max: u32,
    pub(crate) connections_per_network_max: u32,
    pub(crate) request_time: Duration,
    pub(crate) counts: Arc<Counts>,
    door: Mutex<Door>,
}

/// A place among the open connections.
struct Place {
    limits: Arc<Limits>,
    network: IpPrefix,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut door = self.limits.door();
        door.open -= 1;
        if let Some(network) = door.networks.get_mut(&self.network) {
            network.open -= 1;
        }
        door.forget(Instant::now());
        self.limits.counts.connections.store(u64::from(door.open), Ordering::Relaxed);
    }
}

impl Limits {
    pub(crate) fn new(options: &crate::ApiOptions, counts: Arc<Counts>) -> Self {
        Self {
            policy: options.policy.clone(),
            connections_max: options.connections_max,
            connections_per_network_max: options.connections_per_network_max,
            request_time: options.request_time,
            counts,
            door: Mutex::default(),
        }
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u32 {
        self.door().open
    }

    /// A place for one more connection of a network.
    fn enter(self: &Arc<Self>, network: IpPrefix) -> Result<Place, Refusal> {
        let mut door = self.door();
        if door.open >= self.connections_max {
            self.counts.refused[0].fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        let of = door.networks.entry(network).or_insert(Network { open: 0, full_at: Instant::now() });
        if self.connections_per_network_max > 0 && of.open >= self.connections_per_network_max {
            self.counts.refused[1].fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::TooManyConnections);
        }
        of.open += 1;
        door.open += 1;
        self.counts.connections.store(u64::from(door.open), Ordering::Relaxed);
        Ok(Place { limits: Arc::clone(self), network })
    }

    /// Takes one request of a network; milliseconds to wait when it has had its share.
    fn take(&self, network: IpPrefix) -> Result<(), u32> {
        let now = Instant::now();
        let mut door = self.door();
        let Some(of) = door.networks.get_mut(&network) else { return Ok(()) };
        let each = Duration::from_secs(1) / REQUESTS_PER_NETWORK_PER_SECOND;
        let filled = of.full_at.max(now) + each;
        let over = filled.saturating_duration_since(now + Duration::from_secs(2));
        if over > Duration::ZERO {
            return Err(u32::try_from(over.as_millis()).unwrap_or(u32::MAX).max(1));
        }
        of.full_at = filled;
        Ok(())
    }
}

impl Serving {
    /// Serves a socket until it ends, or after one answer when there is no `watcher` because the server ends.
    pub(crate) fn spawn(&self, handover: Handover, watcher: Option<Watcher>) {
        let Handover { socket, read, client } = handover;
        let socket = std::net::TcpStream::from(socket);
        let ready = socket.set_nonblocking(true).and_then(|()| socket.set_nodelay(true));
        let Ok(socket) = ready.and_then(|()| TcpStream::from_std(socket)) else { return };
        // A proxy that says in each head whom it speaks for says it of one request only.
        let one_request = watcher.is_none() || is_forwarded(&socket, client, &read);
        let place = match self.limits.enter(IpPrefix::of(client)) {
            Ok(place) => place,
            Err(refusal) => return drop(tokio::spawn(refuse(socket, refusal))),
        };
        let inner = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Client(client));
            inner.call(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIME)
            .max_buf_size(BUFFER_BYTES_MAX)
            .keep_alive(!one_request);
        let stream = TokioIo::new(Prefixed { read, at: 0, socket });
        tokio::spawn(async move {
            let connection = builder.serve_connection(stream, service).into_owned();
            // Whatever ends it early is the peer's affair.
            match watcher {
                Some(watcher) => drop(watcher.watch(connection).await),
                None => drop(connection.await),
            }
            drop(place);
        });
    }
}

/// Whether a head, not the connection, says who the client is.
fn is_forwarded(socket: &TcpStream, client: IpAddr, read: &[u8]) -> bool {
    const NAME: &[u8] = b"forwarded";
    let other = socket.peer_addr().is_ok_and(|peer| peer.ip().to_canonical() != client.to_canonical());
    other && read.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

/// Answers a connection that there is no place for, and waits until the peer has the answer.
async fn refuse(mut socket: TcpStream, refusal: Refusal) {
    let mut answer = Vec::new();
    refusal.encode_response(&mut answer, RETRY_SECONDS);
    let whole = async {
        socket.write_all(&answer).await?;
        socket.shutdown().await?;
        let mut rest = [0; 1_024];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _gone = tokio::time::timeout(REFUSAL_TIME, whole).await;
}

/// A request's body, and whether it was read to its end.
struct Watched {
    body: Body,
    read: Arc<AtomicBool>,
}

impl hyper::body::Body for Watched {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || this.body.is_end_stream() {
            this.read.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What every request and every answer goes through.
pub(crate) async fn around(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = format!("{:016x}", random());
    let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let listed = listed_origin(&limits, &request);
    let request = request.map(|body| Body::new(Watched { body, read: Arc::clone(&read) }));
    let answer = match admit(&limits, &request) {
        // It has limits of its own, which an upload of a large file keeps for hours.
        Ok(()) if is_upload(&request) => next.run(request).await,
        Ok(()) => match tokio::time::timeout(limits.request_time, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => ApiError::timeout().into_response(),
        },
        Err(error) => error.into_response(),
    };
    let mut answer = error::finish(answer, &id);
    let headers = answer.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Refusals of here, which the layer inside has not seen.
    if let Some(origin) = listed {
        headers.entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(origin);
        headers.entry(header::VARY).or_insert(HeaderValue::from_static("origin"));
    }
    if !read.load(Ordering::Relaxed) {
        // What follows a body that nobody read could not be told from it.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("x-request-id", id);
    }
    limits.counts.answered(answer.status(), started.elapsed());
    answer
}

/// Answers an upgrade on a connection that carried requests before: sockets begin on connections of their own.
pub(crate) async fn upgrade() -> impl IntoResponse {
    let error = ApiError::because(ErrorCode::Unavailable, "open a new connection for a WebSocket");
    ([(header::CONNECTION, "close")], error)
}

/// Whether a request brings the bytes of a file.
fn is_upload(request: &Request<Body>) -> bool {
    let path = request.uri().path();
    request.method() == Method::PUT
        && path.strip_prefix("/v1/media/").is_some_and(|rest| rest.ends_with("/content"))
}

/// The origin of a request, when it is on the list.
fn listed_origin(limits: &Limits, request: &Request<Body>) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    let listed = |one: &String| one.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    limits.policy.origins.iter().any(listed).then(|| origin.clone())
}

/// Whether a request may be looked at: of a page that may use this server, and not too many of its network.
fn admit(limits: &Limits, request: &Request<Body>) -> Result<(), ApiError> {
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let host = request.headers().get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        if origins.next().is_some() || !limits.policy.allows(origin.as_bytes(), host) {
            let why = "this Origin is not on the server's list";
            return Err(ApiError::because(ErrorCode::Forbidden, why));
        }
    }
    match request.extensions().get::<Client>() {
        Some(Client(client)) => limits
            .take(IpPrefix::of(*client))
            .map_err(|millis| ApiError::after(ErrorCode::RateLimited, millis)),
        None => Ok(()),
    }
}

/// Names a request; unique, not secret.
fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers requests have no names, and that is all.
    let _none = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_closed_connection_gives_a_network_nothing_back() {
        let options = crate::ApiOptions {
            policy: Policy::default(),
            connections_max: 10,
            connections_per_network_max: 0,
            request_time: Duration::from_secs(1),
        };
        let limits = Arc::new(Limits::new(&options, Arc::default()));
        let network = IpPrefix::of(Ipv4Addr::LOCALHOST.into());
        let (mut taken, begun) = (0, Instant::now());
        for _ in 0..40 {
            let place = limits.enter(network).expect("a place");
            taken += (0..100).filter(|_| limits.take(network).is_ok()).count();
            drop(place);
        }
        let given = REQUESTS_PER_NETWORK_PER_SECOND as usize * (1 + begun.elapsed().as_secs() as usize);
        assert!(
            (1_000..=1_000 + given).contains(&taken),
            "{taken} of 4,000 at once, twice the rate and what time gave"
        );
        let mut door = limits.door();
        let later = Instant::now() + Duration::from_secs(3);
        for other in 0..=NETWORKS_SPARED {
            let prefix = IpPrefix::of(Ipv4Addr::from_bits(0x0a00_0000 + ((other as u32) << 8)).into());
            door.networks.insert(prefix, Network { open: 0, full_at: Instant::now() });
        }
        door.forget(later);
        assert!(door.networks.is_empty());
    }
}
