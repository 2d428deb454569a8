//! Static files: the web client and the pages of the documentation, from memory.
//!
//! Every file has an entity tag of its content. Names carry no version, so a browser asks each time whether its copy is
//! still good, which is one request without a body; a request that names the tag (`?v=`) is answered for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What a page may do: its own scripts, styles and connections, nothing inline, nothing of others, but for pictures and films of `files`, the origin
/// to which links to them lead.
fn policy(files: Option<&str>) -> String {
    let files = files.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{files}; media-src 'self'{files}; \
         connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    )
}

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Path below `/assets/`; `index.html` is the page at `/`.
    pub path: &'static str,
    /// Content.
    pub bytes: &'static [u8],
}

/// The content type that a file's name says.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        Some("txt" | "md" | "ts") => "text/plain; charset=utf-8",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

struct Served {
    bytes: &'static [u8],
    kind: &'static str,
    tag: String,
    policy: HeaderValue,
}

impl Served {
    fn new(asset: Asset, files: Option<&str>) -> Self {
        let tag = sha1_smol::Sha1::from(asset.bytes).digest().to_string();
        // An origin that is none of HTTP is not let.
        let policy = HeaderValue::try_from(policy(files)).or_else(|_| HeaderValue::try_from(policy(None)));
        Self {
            bytes: asset.bytes,
            kind: content_type(asset.path),
            tag: format!("\"{}\"", &tag[..16]),
            policy: policy.unwrap_or(HeaderValue::from_static("default-src 'none'")),
        }
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        let bare = self.tag.trim_matches('"');
        let versioned = uri.query().and_then(|query| query.strip_prefix("v=")) == Some(bare);
        let cache = if versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
        let known =
            headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| {
                let weak = |tag: &str| tag.trim().trim_start_matches("W/") == self.tag;
                tags.trim() == "*" || tags.split(',').any(weak)
            });
        let mut answer = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.kind)], Body::from(self.bytes)).into_response()
        };
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        if let Ok(tag) = HeaderValue::try_from(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        answer
    }
}

type Files = Arc<BTreeMap<&'static str, Served>>;

async fn serve(files: Files, path: &str, request: Request) -> Response {
    match files.get(path) {
        Some(file) => file.answer(request.uri(), request.headers()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `GET /` and `/assets/…`; pages may show pictures and films of `elsewhere`, too.
pub(crate) fn router(assets: &[Asset], elsewhere: Option<&str>) -> Router {
    let files = assets.iter().map(|asset| (asset.path, Served::new(*asset, elsewhere)));
    let files: Files = Arc::new(files.collect());
    Router::new()
        .route(
            "/",
            get(|State(files): State<Files>, request: Request| async move {
                serve(files, "index.html", request).await
            }),
        )
        .route(
            "/assets/{*path}",
            get(|State(files): State<Files>, Path(path): Path<String>, request: Request| async move {
                serve(files, &path, request).await
            }),
        )
        .with_state(files)
}

/// The documents of the requests and of the socket, and the page that shows the first.
pub(crate) fn docs(document: &'static [u8], socket: &'static [u8]) -> Router {
    let page = [
        ("/openapi.json", Asset { path: "openapi.json", bytes: document }),
        ("/asyncapi.json", Asset { path: "asyncapi.json", bytes: socket }),
        ("/docs", Asset { path: "docs.html", bytes: include_bytes!("docs/docs.html") }),
        ("/docs/docs.js", Asset { path: "docs.js", bytes: include_bytes!("docs/docs.js") }),
        ("/docs/docs.css", Asset { path: "docs.css", bytes: include_bytes!("docs/docs.css") }),
    ];
    page.into_iter().fold(Router::new(), |router, (path, asset)| {
        let served = Arc::new(Served::new(asset, None));
        router.route(
            path,
            get(move |request: Request| async move { served.answer(request.uri(), request.headers()) }),
        )
    })
}
