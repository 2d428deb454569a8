//! The admin listener: health, metrics, version. Loopback by default, without authentication.
//!
//! Thread: one of its own with an async runtime, so that a slow scraper waits for nobody and nobody for it.
//! Limits: only small GET requests; the runtime closes what does not finish its head. What can fail: the port.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lynk_reactor::monotonic_now;
use serde_json::Value;

use crate::cli::version_facts;
use crate::health::Health;
use crate::metrics;

/// Content type of a scrape.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router(health)).await
        });
        if let Err(error) = served {
            tracing::error!(event = "admin_failed", %error, "the admin listener is gone");
        }
    })?;
    Ok(address)
}
