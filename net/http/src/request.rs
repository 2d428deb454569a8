//! The server's half: a request head in, an upgrade or a refusal out.

use base64::Engine as _;

use crate::{HEAD_BYTES_MAX, HEAD_LINES_MAX, Refusal, SOCKET_PATH, SUBPROTOCOL, has_token};

/// What a server offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Path of the WebSocket.
    pub path: String,
    /// Browser origins that may open it besides the server's own, compared without case: `scheme://host` or
    /// `scheme://host:port`. Clients that send no `Origin` (programs, not browsers) always may: nothing here
    /// authenticates by cookie.
    pub origins: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { path: SOCKET_PATH.to_owned(), origins: Vec::new() }
    }
}

impl Policy {
    /// Whether a page of `origin` may use this server, which is called `host` by the request.
    #[must_use]
    pub fn allows(&self, origin: &[u8], host: &[u8]) -> bool {
        same_origin(origin, host).unwrap_or(false)
            || self.origins.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(origin))
    }
}

/// Whether `Origin` names the host that `Host` names; `None` when it names no host at all.
fn same_origin(origin: &[u8], host: &[u8]) -> Option<bool> {
    let (scheme, authority) = std::str::from_utf8(origin).ok()?.split_once("://")?;
    // A proxy may have ended TLS in front of us, so the scheme tells nothing about us; it only says which port goes
    // without saying.
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let bare = |name: &str| name.strip_suffix(default_port).unwrap_or(name).to_ascii_lowercase();
    Some(bare(authority) == bare(std::str::from_utf8(host).ok()?))
}

/// What a complete head asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head<'a> {
    /// A valid upgrade to a WebSocket.
    Upgrade(Upgrade<'a>),
    /// A well-formed request for anything else.
    Other(Request<'a>),
}

/// A valid upgrade request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upgrade<'a> {
    /// `Sec-WebSocket-Key` as sent, to be hashed into the accept value.
    pub key: &'a [u8],
    /// Whether [`SUBPROTOCOL`] was offered, and is to be selected.
    pub subprotocol: bool,
}

/// A request that is not an upgrade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// Method, as sent.
    pub method: &'a str,
    /// Target up to the query.
    pub path: &'a str,
}

impl Request<'_> {
    /// The refusal for a server that offers a WebSocket and nothing else.
    #[must_use]
    pub fn refusal(&self, policy: &Policy) -> Refusal {
        match self {
            Self { path, .. } if *path != policy.path => Refusal::NotFound,
            Self { method: "GET", .. } => Refusal::UpgradeRequired,
            _ => Refusal::MethodNotAllowed,
        }
    }
}

/// Decodes the head at the start of `bytes`: what it asks for and its length. `None` when it is cut short; call
/// again with more, from the same start.
///
/// # Errors
/// The refusal to send. A head that cannot become valid any more is refused before it is complete.
pub fn decode_head<'a>(bytes: &'a [u8], policy: &Policy) -> Result<Option<(Head<'a>, usize)>, Refusal> {
    let mut lines = [httparse::EMPTY_HEADER; HEAD_LINES_MAX];
    let mut request = httparse::Request::new(&mut lines);
    let within = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let head_bytes = match request.parse(within) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if within.len() == HEAD_BYTES_MAX => return Err(Refusal::HeadTooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Malformed);
    };
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let headers = Headers(request.headers);
    let host = headers.only("host").ok_or(Refusal::HostMissing)?;
    if !headers.lists("upgrade", "websocket") {
        return Ok(Some((Head::Other(Request { method, path }), head_bytes)));
    }
    if path != policy.path {
        return Err(Refusal::NotFound);
    }
    if method != "GET" {
        return Err(Refusal::MethodNotAllowed);
    }
    let upgrade = check_upgrade(&headers, host, policy)?;
    Ok(Some((Head::Upgrade(upgrade), head_bytes)))
}

fn check_upgrade<'a>(
    headers: &Headers<'_, 'a>,
    host: &[u8],
    policy: &Policy,
) -> Result<Upgrade<'a>, Refusal> {
    if !headers.lists("connection", "upgrade") {
        return Err(Refusal::ConnectionNotUpgrade);
    }
    if headers.only("sec-websocket-version") != Some(b"13") {
        return Err(Refusal::VersionUnsupported);
    }
    // A body would be read as frames.
    let body = headers.all("content-length").any(|value| value != b"0");
    if body || headers.all("transfer-encoding").next().is_some() {
        return Err(Refusal::BodyAnnounced);
    }
    let key = headers.only("sec-websocket-key").filter(|key| key_valid(key)).ok_or(Refusal::KeyInvalid)?;
    if headers.all("origin").next().is_some() {
        let allowed = headers.only("origin").is_some_and(|origin| policy.allows(origin, host));
        if !allowed {
            return Err(Refusal::OriginForeign);
        }
    }
    let subprotocol = headers.all("sec-websocket-protocol").any(|offered| has_token(offered, SUBPROTOCOL));
    Ok(Upgrade { key, subprotocol })
}

fn key_valid(key: &[u8]) -> bool {
    // The decoder wants room for a whole last group.
    let mut nonce = [0; 18];
    key.len() == 24 && base64::engine::general_purpose::STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

pub(crate) struct Headers<'h, 'a>(pub(crate) &'h [httparse::Header<'a>]);

impl<'a> Headers<'_, 'a> {
    /// Values of every line called `name`, trimmed.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(|line| line.value.trim_ascii())
    }

    /// The value of the single line called `name`.
    fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name).any(|value| has_token(value, token))
    }
}

/// Appends the `101 Switching Protocols` response. `accept` is the hashed key.
pub fn encode_switching(out: &mut Vec<u8>, accept: &[u8], subprotocol: bool) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept);
    if subprotocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(SUBPROTOCOL.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests;
