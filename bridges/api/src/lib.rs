//! The API bridge: HTTP for everything that a socket can do, the documents about it, and the web client.
//!
//! A shard reads the head of each request on the port of the WebSocket; what is no upgrade arrives here as a socket with the
//! bytes that were read. axum answers it. A command goes to the engine on the shard of its user and comes back as the frame
//! that a connection would get, so a request sees the checks, limits and answers of a socket.
//!
//! Thread: one, with a current-thread runtime and a few threads for what blocks. [`Shards`] may be used by every task of it.
//!
//! Invariants: nothing here is waited for by a shard; every request is answered, or its connection is gone. Errors have one
//! form whoever found them. Secrets are in no log line, error or metric: errors never repeat what a client sent.
//!
//! Limits: [`ApiOptions`], [`BODY_BYTES_MAX`], and those of `intake` and `serve`.
//!
//! What can fail: starting. Afterwards requests, one by one.

#![forbid(unsafe_code)]

pub mod accounts;
mod assets;
mod asyncapi;
mod auth;
mod body;
mod clock;
mod counts;
mod devices;
mod error;
mod intake;
pub mod names;
mod openapi;
mod operation;
mod rooms;
mod serve;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use hyper_util::server::graceful::GracefulShutdown;
use lynk_bridge::{BridgeThread, Handover, spawn};
use lynk_engine::TicketOutcome;
use lynk_http::Policy;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use assets::Asset;
pub use asyncapi::socket_document;
pub(crate) use auth::Enrolling;
pub use auth::{Authority, Caller, Keys};
pub use body::Json;
pub use clock::{Clock, system_clock};
pub use counts::Counts;
pub use devices::{DeviceAnswer, Devices, DevicesState, Trial, device_operations, device_router};
pub use error::{ApiError, ErrorBody, status_of};
pub use intake::{Intake, ShardPort, Shards, open};
pub use openapi::document;
pub use operation::{Operation, SchemaOf, object_of, schema_of};
pub use rooms::query_of;
pub use serve::Client;

/// Longest body of a request.
pub const BODY_BYTES_MAX: usize = 128 << 10;
/// Memory of one connection at most: its buffer, a body, and the same again as fields of a command and its answer.
pub const CONNECTION_BYTES_MAX: usize = serve::BUFFER_BYTES_MAX + 4 * BODY_BYTES_MAX;
/// Time for which a browser need not ask again whether a page of another origin may use an operation.
const PREFLIGHT_TIME: Duration = Duration::from_secs(600);
/// Threads for what blocks.
const BLOCKING_THREADS_MAX: usize = 2;
/// Operations that this crate has by itself.
#[must_use]
pub fn room_operations() -> Vec<Operation> {
    rooms::operations()
}

/// How the bridge works.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Which pages may use it.
    pub policy: Policy,
    /// Open connections at most.
    pub connections_max: u32,
    /// Of one network; 0 for no limit.
    pub connections_per_network_max: u32,
    /// Time of a request, from its head until its answer begins.
    pub request_time: Duration,
}

/// What a ticket of a socket is good for, on its way.
pub type Redeeming = Pin<Box<dyn Future<Output = TicketOutcome> + Send>>;
/// What a ticket of a socket is good for, and until when the connection may live on it; it is used up by asking.
pub type Redeem = Box<dyn FnMut(&str) -> Redeeming + Send>;

/// What the bridge is made of.
pub struct ApiParts {
    /// How it works.
    pub options: ApiOptions,
    /// The accepted keys.
    pub keys: Keys,
    /// The time.
    pub clock: Clock,
    /// Knows tickets.
    pub redeem: Redeem,
    /// Files of the web client.
    pub assets: &'static [Asset],
    /// Where pages may show pictures and films from, beside this server: scheme, host and port.
    pub elsewhere: Option<String>,
    /// Further routes, with their own state; they go through the same limits and get the same errors.
    pub routes: Router,
    /// What those routes are, for the document.
    pub operations: Vec<Operation>,
}

/// Wishes of whoever owns the bridge.
#[derive(Default)]
struct Control {
    drain: AtomicBool,
    stop: AtomicBool,
}

/// The running bridge.
pub struct ApiBridge {
    thread: BridgeThread,
    control: Arc<Control>,
    bell: intake::Bell,
    limits: Arc<serve::Limits>,
}

impl ApiBridge {
    /// Starts the thread. `intake` and `counts` are those of [`open`].
    ///
    /// # Errors
    /// The runtime or the thread cannot be made.
    pub fn start(intake: Intake, parts: ApiParts, counts: Arc<Counts>) -> io::Result<Self> {
        let limits = Arc::new(serve::Limits::new(&parts.options, counts));
        let router = router(&intake, &parts, &limits);
        let control = Arc::new(Control::default());
        let bell = intake.bell();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("api-blocking")
            .build()?;
        let taking = Taking {
            serving: serve::Serving { router, limits: Arc::clone(&limits) },
            graceful: Some(GracefulShutdown::new()),
            redeem: parts.redeem,
            control: Arc::clone(&control),
        };
        let thread = spawn("api", move |_| {
            if let Err(error) = runtime.block_on(intake.run(taking)) {
                tracing::error!(event = "api_failed", %error, "the API is gone");
            }
        })?;
        Ok(Self { thread, control, bell, limits })
    }

    /// Answers what is under way and takes no further request on open connections.
    pub fn drain(&self) {
        self.control.drain.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Whether no connection is open.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.limits.open() == 0
    }

    /// Ends the thread; what is still under way is cut off.
    pub fn finish(self) {
        self.control.stop.store(true, Ordering::Release);
        self.bell.ring();
        self.thread.join();
    }
}

/// What happens to what the mailboxes bring.
struct Taking {
    serving: serve::Serving,
    /// Until the drain.
    graceful: Option<GracefulShutdown>,
    redeem: Redeem,
    control: Arc<Control>,
}

impl intake::Takes for Taking {
    fn socket(&mut self, handover: Handover) {
        self.serving.spawn(handover, self.graceful.as_ref().map(GracefulShutdown::watcher));
    }

    fn ticket(&mut self, ticket: &str) -> Redeeming {
        (self.redeem)(ticket)
    }

    fn news(&mut self) -> bool {
        if self.control.drain.load(Ordering::Acquire)
            && let Some(graceful) = self.graceful.take()
        {
            tokio::spawn(graceful.shutdown());
        }
        self.control.stop.load(Ordering::Acquire)
    }
}

fn router(intake: &Intake, parts: &ApiParts, limits: &Arc<serve::Limits>) -> Router {
    let shards = intake.shards.clone();
    let authority =
        Authority { keys: Arc::clone(&parts.keys), shards: shards.clone(), clock: Arc::clone(&parts.clock) };
    let mut operations = room_operations();
    operations.extend(parts.operations.iter().cloned());
    let document = document_text(&operations).into_bytes().leak();
    let routes = Router::new()
        .merge(rooms::router(rooms::RoomsState { shards, authority }))
        .merge(assets::docs(document, socket_document_text().into_bytes().leak()))
        .merge(assets::router(parts.assets, parts.elsewhere.as_deref()))
        .route(&parts.options.policy.path, get(serve::upgrade))
        .merge(parts.routes.clone());
    around(routes, Arc::clone(limits))
}

/// What every request and every answer goes through, whatever the route.
fn around(routes: Router, limits: Arc<serve::Limits>) -> Router {
    let listed = limits.policy.origins.clone();
    let mut routes = routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    if !listed.is_empty() {
        routes = routes.layer(cross_origin(listed));
    }
    // Outermost: what asks for permission has a rate, a name and is counted, as everything is.
    routes.layer(from_fn_with_state(limits, serve::around))
}

/// Lets pages of the listed origins read answers. No cookie has a meaning here, so none is let through.
fn cross_origin(listed: Vec<String>) -> CorsLayer {
    let allowed = move |origin: &HeaderValue, _: &Parts| {
        listed.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::RANGE, header::IF_RANGE])
        .expose_headers([
            header::RETRY_AFTER,
            header::CONTENT_RANGE,
            header::ETAG,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(PREFLIGHT_TIME)
}

/// Routes with everything that the bridge puts round them, for a listener of a test's own.
pub fn finish(routes: Router, options: &ApiOptions) -> Router {
    around(routes, Arc::new(serve::Limits::new(options, Arc::default())))
}

/// The document as it is served and kept in `docs/openapi.json`.
#[must_use]
pub fn document_text(operations: &[Operation]) -> String {
    pretty(&document(operations))
}

/// The document of the socket as it is served and kept in `docs/asyncapi.json`.
#[must_use]
pub fn socket_document_text() -> String {
    pretty(&socket_document())
}

fn pretty(document: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}
