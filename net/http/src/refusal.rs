//! Why a request is refused, and the response that says so.

use std::io::Write as _;

/// Why a connection ends before, or instead of, an upgrade.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an HTTP/1.1 request head.
    Malformed,
    /// A trusted proxy's PROXY protocol header breaks the protocol.
    ProxyMalformed,
    /// No `Host`, or more than one.
    HostMissing,
    /// `Upgrade: websocket` without `Connection: Upgrade`.
    ConnectionNotUpgrade,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64.
    KeyInvalid,
    /// The upgrade request announces a body.
    BodyAnnounced,
    /// `Origin` is not one that may connect.
    OriginForeign,
    /// No such path.
    NotFound,
    /// The path exists, for another method.
    MethodNotAllowed,
    /// The head did not arrive in time.
    Timeout,
    /// Head above [`crate::HEAD_BYTES_MAX`] or [`crate::HEAD_LINES_MAX`].
    HeadTooLarge,
    /// A plain request to the WebSocket's path.
    UpgradeRequired,
    /// `Sec-WebSocket-Version` is not 13.
    VersionUnsupported,
    /// The caller's network has too many connections, or opens them too fast.
    TooManyConnections,
    /// The server is full; try again.
    Full,
    /// The server is shutting down; try again.
    Draining,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::ProxyMalformed,
        Self::HostMissing,
        Self::ConnectionNotUpgrade,
        Self::KeyInvalid,
        Self::BodyAnnounced,
        Self::OriginForeign,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::HeadTooLarge,
        Self::UpgradeRequired,
        Self::VersionUnsupported,
        Self::TooManyConnections,
        Self::Full,
        Self::Draining,
    ];

    /// Status code of the response.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// Stable name, in the response and as a metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().2
    }

    /// Appends the whole response: head, JSON body, `Connection: close`. `retry_after_seconds` is stated by the
    /// refusals that mean "try again".
    pub fn encode_response(self, out: &mut Vec<u8>, retry_after_seconds: u32) {
        let (status, phrase, name, message) = self.row();
        // Which answers mean "again, later" is in the status; the body says it to those who read nothing else.
        let retry = match self {
            Self::TooManyConnections | Self::Full | Self::Draining => {
                format!("true,\"retry_after_ms\":{}", u64::from(retry_after_seconds) * 1_000)
            }
            Self::Timeout => "true".to_owned(),
            _ => "false".to_owned(),
        };
        let body = format!("{{\"code\":\"{name}\",\"message\":\"{message}\",\"retryable\":{retry}}}");
        let body_bytes = body.len();
        let extra = match self {
            Self::UpgradeRequired | Self::VersionUnsupported => {
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".to_owned()
            }
            Self::MethodNotAllowed => "Allow: GET\r\n".to_owned(),
            Self::TooManyConnections | Self::Full | Self::Draining => {
                format!("Retry-After: {retry_after_seconds}\r\n")
            }
            _ => String::new(),
        };
        let connection = if extra.starts_with("Upgrade") { "Upgrade, close" } else { "close" };
        write!(
            out,
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {body_bytes}\r\n\
             Cache-Control: no-store\r\n{extra}Connection: {connection}\r\n\r\n{body}"
        )
        .expect("a Vec takes every write");
    }

    /// Status, phrase, name, message. The message has nothing that JSON would escape.
    const fn row(self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "Bad Request", "malformed", "not an HTTP/1.1 request"),
            Self::ProxyMalformed => {
                (400, "Bad Request", "proxy_malformed", "malformed PROXY protocol header")
            }
            Self::HostMissing => (400, "Bad Request", "host_missing", "exactly one Host header is needed"),
            Self::ConnectionNotUpgrade => {
                (400, "Bad Request", "connection_not_upgrade", "Connection must list Upgrade")
            }
            Self::KeyInvalid => {
                (400, "Bad Request", "key_invalid", "Sec-WebSocket-Key must be 16 bytes in base64")
            }
            Self::BodyAnnounced => {
                (413, "Content Too Large", "body_announced", "an upgrade request has no body")
            }
            Self::OriginForeign => {
                (403, "Forbidden", "origin_foreign", "this Origin is not on the server's list")
            }
            Self::NotFound => (
                404,
                "Not Found",
                "not_found",
                "no such path; the WebSocket is at /ws unless configured otherwise",
            ),
            Self::MethodNotAllowed => (405, "Method Not Allowed", "method_not_allowed", "use GET"),
            Self::Timeout => (408, "Request Timeout", "timeout", "the request did not arrive in time"),
            Self::HeadTooLarge => (
                431,
                "Request Header Fields Too Large",
                "head_too_large",
                "the request head is limited to 8192 bytes and 64 lines",
            ),
            Self::UpgradeRequired => {
                (426, "Upgrade Required", "upgrade_required", "open a WebSocket here, subprotocol lynk.v1")
            }
            Self::VersionUnsupported => {
                (426, "Upgrade Required", "version_unsupported", "Sec-WebSocket-Version must be 13")
            }
            Self::TooManyConnections => {
                (429, "Too Many Requests", "too_many_connections", "too many connections from your network")
            }
            Self::Full => (503, "Service Unavailable", "full", "the server is full, try again later"),
            Self::Draining => {
                (503, "Service Unavailable", "draining", "the server is shutting down, reconnect later")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_is_well_formed_and_names_its_code() {
        let mut names: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            let mut out = Vec::new();
            refusal.encode_response(&mut out, 7);
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut response = httparse::Response::new(&mut headers);
            let head = response.parse(&out).expect("well-formed").unwrap();
            assert_eq!(response.code, Some(refusal.status()));
            let header = |name: &str| {
                response
                    .headers
                    .iter()
                    .find(|h| h.name == name)
                    .map(|h| std::str::from_utf8(h.value).unwrap())
            };
            let body = std::str::from_utf8(&out[head..]).unwrap();
            assert_eq!(header("Content-Length"), Some(body.len().to_string().as_str()), "{refusal:?}");
            assert!(body.contains(refusal.name()), "{body}");
            assert_eq!(body.contains(r#""retryable":true"#), matches!(refusal.status(), 408 | 429 | 503));
            assert_eq!(body.contains(r#""retry_after_ms":7000"#), matches!(refusal.status(), 429 | 503));
            assert!(header("Connection").unwrap().ends_with("close"));
            assert_eq!(header("Retry-After").is_some(), matches!(refusal.status(), 429 | 503), "{refusal:?}");
            assert_eq!(header("Sec-WebSocket-Version").is_some(), refusal.status() == 426);
        }
    }
}
