//! A blocking HTTP client of one connection, which shows what is on the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// A connection that was idle for longer is opened again: the server closes idle ones after half a minute.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// So is one on which nothing was asked for this long: the server waits five seconds for the first request.
const UNUSED_MAX: Duration = Duration::from_secs(2);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A connection that is kept alive.
pub(crate) struct Http {
    pub(crate) socket: TcpStream,
    address: String,
    rest: Vec<u8>,
    /// From then on it may be closed.
    good_until: Instant,
    pub(crate) token: Option<String>,
}

impl Http {
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).expect("the server accepts")
    }

    /// A connection, unless nobody listens any more.
    pub(crate) fn try_connect(address: &str) -> Option<Self> {
        let socket = TcpStream::connect(address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.set_nodelay(true).ok()?;
        Some(Self {
            socket,
            address: address.to_owned(),
            rest: Vec::new(),
            good_until: Instant::now() + UNUSED_MAX,
            token: None,
        })
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let length = match body {
            [] => String::new(),
            body => format!("Content-Length: {}\r\n", body.len()),
        };
        let token = token.unwrap_or_default();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{token}{lines}{length}\r\n", self.address);
        [head.as_bytes(), body].concat()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the connection stands");
    }

    /// Reads one answer; `None` at the end of the stream.
    pub(crate) fn receive(&mut self, head_only: bool) -> Option<Answer> {
        let head = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.rest.drain(..end + 4).collect::<Vec<_>>();
            }
            if !self.fill() {
                assert!(self.rest.is_empty(), "cut short: {:?}", String::from_utf8_lossy(&self.rest));
                return None;
            }
        };
        let head = String::from_utf8(head).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok()).expect("a status");
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let empty = head_only || matches!(status, 204 | 304);
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let length: usize = if empty { 0 } else { length };
        while self.rest.len() < length {
            assert!(self.fill(), "the body was cut short");
        }
        answer.body = self.rest.drain(..length).collect();
        Some(answer)
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        let count = self.socket.read(&mut chunk).expect("the server answers");
        self.rest.extend_from_slice(&chunk[..count]);
        count > 0
    }

    /// One request that succeeds, on a connection of its own; `None` when the server ends instead.
    pub(crate) fn attempt(
        address: &str,
        token: Option<&str>,
        (method, path): (&str, &str),
        body: &Value,
    ) -> Option<Answer> {
        let mut http = Self::try_connect(address)?;
        http.token = token.map(str::to_owned);
        let (lines, body) = match body {
            Value::Null => ("Connection: close\r\n", Vec::new()),
            body => {
                ("Content-Type: application/json\r\nConnection: close\r\n", body.to_string().into_bytes())
            }
        };
        let request = http.request(method, path, lines, &body);
        http.socket.write_all(&request).ok()?;
        let mut rest = Vec::new();
        http.socket.read_to_end(&mut rest).ok()?;
        http.rest = rest;
        let answer = Some(()).filter(|()| !http.rest.is_empty()).and_then(|()| http.receive(false))?;
        // It drains, or what it would ask has ended.
        if answer.status == 503 {
            return None;
        }
        let text = String::from_utf8_lossy(&answer.body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
        Some(answer)
    }

    /// One request and its answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let (lines, body) = match body {
            Some(body) => ("Content-Type: application/json\r\n", body.to_string().into_bytes()),
            None => ("", Vec::new()),
        };
        if Instant::now() > self.good_until {
            *self = Self { token: self.token.take(), ..Self::connect(&self.address) };
        }
        let request = self.request(method, path, lines, &body);
        self.send(&request);
        self.good_until = Instant::now() + IDLE_MAX;
        self.receive(method == "HEAD").expect("an answer")
    }

    /// One request that succeeds with this status, and its JSON.
    pub(crate) fn good(&mut self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let answer = self.ask(method, path, Some(&body).filter(|body| !body.is_null()));
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// One request that is refused with this status and code.
    pub(crate) fn bad(&mut self, method: &str, path: &str, body: Value, status: u16, code: &str) -> Answer {
        let answer = self.ask(method, path, Some(&body).filter(|body| !body.is_null()));
        let json = answer.json();
        assert_eq!((answer.status, json["code"].as_str()), (status, Some(code)), "{method} {path}: {json}");
        assert_eq!(json["request_id"].as_str(), answer.header("x-request-id"), "{json}");
        assert!(json["retryable"].is_boolean() && json["message"].is_string(), "{json}");
        answer
    }
}
