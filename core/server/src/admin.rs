//! The admin listener: health, metrics, version. Loopback by default, without authentication.
//!
//! Thread: one of its own with an async runtime, so that a slow scraper waits for nobody and nobody for it.
//! Invariants: on loopback only requests that name a loopback host are answered, because a web page whose name was made
//! to resolve to this machine can connect here, but cannot choose the `Host` its browser sends.
//! Limits: [`CONNECTIONS_MAX`] connections of one request each; at the limit the oldest one is closed, so that sockets
//! which say nothing never keep a probe out. A head has [`HEAD_TIME`], everything [`ANSWER_TIME`].
//! What can fail: the port.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lynk_reactor::monotonic_now;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use crate::cli::version_facts;
use crate::health::Health;
use crate::metrics;

/// Content type of a scrape.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections at a time. Probes and scrapers need a handful.
const CONNECTIONS_MAX: usize = 64;
/// Time from the accept to the end of the request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time from the accept until the answer is out: bounds what a reader that stops reading holds.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Bytes of a request's head; hyper takes no less.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Pause after a failed accept: descriptors or memory ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn json(good: bool, value: &Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

fn live(health: &Health) -> Response {
    let hung = health.hung(monotonic_now());
    if hung.is_empty() {
        return "alive\n".into_response();
    }
    let told: String = hung
        .iter()
        .map(|(shard, seconds)| format!("shard {shard} is in one turn for {seconds} s\n"))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
}

fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(|State(health): State<Arc<Health>>| async move { live(&health) }))
        .route(
            "/startupz",
            get(|State(health): State<Arc<Health>>| async move {
                let (done, value) = health.startup();
                json(done, &value)
            }),
        )
        .route(
            "/readyz",
            get(|State(health): State<Arc<Health>>| async move {
                let (ready, value) = health.ready();
                json(ready, &value)
            }),
        )
        .route(
            "/metrics",
            get(|State(health): State<Arc<Health>>| async move {
                ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics::scrape(&health)).into_response()
            }),
        )
        .route("/version", get(|| async { json(true, &version_facts()) }))
        .with_state(health)
}

/// Whether a `Host` names this machine's loopback, or the address `own` that was configured.
fn is_local_host(host: &str, own: IpAddr) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let literal = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || literal.is_ok_and(|ip| ip == own || ip.is_loopback())
}

/// Lets requests through whose `Host` is this machine. Who sends none is no browser.
async fn only_local_hosts(own: IpAddr, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let good = host.is_none_or(|host| host.to_str().is_ok_and(|host| is_local_host(host, own)));
    if good {
        return next.run(request).await;
    }
    let why = "the admin listener is on loopback and answers to localhost, 127.0.0.0/8 and [::1] only\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

/// Answers one request, or gives up.
async fn answer(socket: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    // Whatever ends it early is the peer's affair.
    let _ = tokio::time::timeout(ANSWER_TIME, connection).await;
}

/// Accepts for as long as the process lives.
async fn serve(listener: tokio::net::TcpListener, router: Router, health: Arc<Health>) {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(event = "admin_accept_failed", %error, "the admin listener cannot accept for now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= CONNECTIONS_MAX
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
            health.count_admin_drop();
            // Its descriptor is free when the task is gone.
            connections.join_next().await;
        }
        oldest_first.push_back(connections.spawn(answer(socket, router.clone())));
    }
}

/// Starts the thread on a listener; it runs until the process ends. Returns the address it listens on.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub(crate) fn start(listener: TcpListener, health: Arc<Health>) -> io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .build()?;
    let mut router = router(Arc::clone(&health));
    let own = address.ip();
    if own.is_loopback() {
        router = router.layer(from_fn(move |request, next| only_local_hosts(own, request, next)));
    }
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => serve(listener, router, health).await,
                Err(error) => tracing::error!(event = "admin_failed", %error, "the admin listener is gone"),
            }
        });
    })?;
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local_hosts() {
        let own = IpAddr::from([127, 0, 0, 1]);
        for host in ["localhost", "LocalHost:7778", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:7778"] {
            assert!(is_local_host(host, own), "{host}");
        }
        for host in
            ["", "evil.example", "evil.example:7778", "127.0.0.1.evil.example", "10.0.0.1:7778", "[::2]"]
        {
            assert!(!is_local_host(host, own), "{host}");
        }
    }
}
