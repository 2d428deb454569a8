//! A blocking WebSocket client of the public protocol, for the terminal client and for tests against a real server.
//!
//! Thread: a [`Receiver`] and a [`Sender`] may be on two threads. Both block. Nothing here knows about chat.
//!
//! What can fail: the network and the server; every error says which.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use lynk_http::{UpgradeFailed, UpgradeRequest};
use lynk_websocket::{DecodeError, Decoder, Event, Opcode, Role};

/// Longest message taken from a server: its longest reply is far below.
const MESSAGE_BYTES_MAX: u32 = 32 << 20;

/// Where a server is: `ws://host:port/path`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    /// `host:port`.
    pub authority: String,
    /// Path of the WebSocket.
    pub path: String,
}

impl Url {
    /// Parses `ws://host[:port][/path]`, or `host:port`. Without a path it is the usual one.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("wss://") {
            return Err(
                "wss:// is not supported: connect to the plain port, or through a proxy that ends TLS"
                    .to_owned(),
            );
        }
        let rest = text.strip_prefix("ws://").unwrap_or(text);
        if rest.contains("://") {
            return Err(format!("{text:?} is not a WebSocket address such as ws://127.0.0.1:7777"));
        }
        let (authority, path) = match rest.find('/') {
            Some(at) if rest.len() > at + 1 => (&rest[..at], &rest[at..]),
            Some(at) => (&rest[..at], lynk_http::SOCKET_PATH),
            None => (rest, lynk_http::SOCKET_PATH),
        };
        if authority.is_empty() || authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?} names no host"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority, path: path.to_owned() })
    }
}

/// Why there is no connection, or no longer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The network or the socket.
    Io(io::Error),
    /// The server did not agree to a WebSocket.
    Refused(UpgradeFailed),
    /// The server broke RFC 6455.
    Protocol(DecodeError),
    /// The stream ended without a close frame.
    Ended,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Refused(why) => write!(f, "{why}"),
            Self::Protocol(error) => write!(f, "the server broke the WebSocket protocol: {error}"),
            Self::Ended => f.write_str("the connection ended"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Something that a server sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// Answer it with [`Sender::pong`].
    Ping(Vec<u8>),
    /// An answer to a ping of ours.
    Pong,
    /// The server closes; nothing follows.
    Close(Option<u16>, String),
}

/// The sending half.
#[derive(Debug)]
pub struct Sender {
    stream: TcpStream,
    out: Vec<u8>,
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver {
    stream: TcpStream,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Received and not decoded: `buffer[start..end]`.
    start: usize,
    end: usize,
}

/// Connects and upgrades. `timeout` bounds each step and every later write.
///
/// # Errors
/// The address does not resolve, nobody listens, or the server refuses.
pub fn connect(url: &Url, timeout: Duration) -> Result<(Sender, Receiver), ClientError> {
    connect_with(url, timeout, None)
}

/// As [`connect`], with an `Origin` as browsers send it.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(
    url: &Url,
    timeout: Duration,
    origin: Option<&str>,
) -> Result<(Sender, Receiver), ClientError> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in url.authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return upgrade(stream, url, timeout, origin),
            Err(error) => failed = error,
        }
    }
    Err(ClientError::Io(failed))
}

fn upgrade(
    mut stream: TcpStream,
    url: &Url,
    timeout: Duration,
    origin: Option<&str>,
) -> Result<(Sender, Receiver), ClientError> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut head = Vec::new();
    let request = UpgradeRequest { host: &url.authority, path: &url.path, nonce: random()?, origin };
    let key = lynk_http::encode_upgrade_request(&mut head, &request);
    stream.write_all(&head)?;
    let accept = lynk_websocket::accept_key(&key);
    let mut buffer = vec![0; 16 << 10];
    let mut end = 0;
    let upgraded = loop {
        let room = buffer.get_mut(end..).filter(|room| !room.is_empty()).ok_or(ClientError::Ended)?;
        let read = stream.read(room)?;
        if read == 0 {
            return Err(ClientError::Ended);
        }
        end += read;
        let response = lynk_http::decode_upgrade_response(&buffer[..end], &accept);
        if let Some(upgraded) = response.map_err(ClientError::Refused)? {
            break upgraded;
        }
    };
    stream.set_read_timeout(None)?;
    let sender = Sender { stream: stream.try_clone()?, out: Vec::new() };
    let decoder = Decoder::new(Role::Client, MESSAGE_BYTES_MAX);
    Ok((sender, Receiver { stream, decoder, buffer, start: upgraded.head_bytes, end }))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

impl Sender {
    /// Sends one text message.
    ///
    /// # Errors
    /// The socket fails, or takes nothing for the time given to [`connect`].
    pub fn text(&mut self, text: &str) -> Result<(), ClientError> {
        self.frame(Opcode::Text, text.as_bytes())
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.frame(Opcode::Pong, payload)
    }

    /// Starts or answers the close handshake.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn close(&mut self, code: u16) -> Result<(), ClientError> {
        self.frame(Opcode::Close, &code.to_be_bytes())
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), ClientError> {
        self.out.clear();
        lynk_websocket::encode_client_frame(&mut self.out, true, opcode, payload, random()?);
        Ok(self.stream.write_all(&self.out)?)
    }

    /// Sends bytes as they are: for tests that break the rules.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Ends the connection at once; the receiving half sees its end.
    pub fn shutdown(&self) {
        // It fails when the connection is gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Receiver {
    /// How long [`Self::receive`] waits; `None` for ever. After a timeout it may be called again.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        Ok(self.stream.set_read_timeout(timeout)?)
    }

    /// The next thing that the server sends.
    ///
    /// # Errors
    /// [`ClientError::Ended`] at the end of the stream; `Io` of kind `WouldBlock` after the timeout.
    pub fn receive(&mut self) -> Result<Incoming, ClientError> {
        loop {
            let step =
                self.decoder.decode(&mut self.buffer[self.start..self.end]).map_err(ClientError::Protocol)?;
            self.start += step.consumed;
            match step.event {
                Some(Event::Text(text)) => return Ok(Incoming::Text(text.to_owned())),
                Some(Event::Ping(payload)) => return Ok(Incoming::Ping(payload.to_vec())),
                Some(Event::Pong(_)) => return Ok(Incoming::Pong),
                Some(Event::Close(close)) => return Ok(Incoming::Close(close.code, close.reason.to_owned())),
                Some(Event::Binary(_)) => {}
                None => {
                    (self.start, self.end) = (0, 0);
                    match self.stream.read(&mut self.buffer) {
                        Ok(0) => return Err(ClientError::Ended),
                        Ok(read) => self.end = read,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_usual_form_parse() {
        for (text, authority, path) in [
            ("ws://127.0.0.1:7777", "127.0.0.1:7777", lynk_http::SOCKET_PATH),
            ("ws://127.0.0.1:7777/", "127.0.0.1:7777", lynk_http::SOCKET_PATH),
            ("ws://chat.example/other", "chat.example:80", "/other"),
            ("localhost:7777", "localhost:7777", lynk_http::SOCKET_PATH),
            ("ws://[::1]:7777", "[::1]:7777", lynk_http::SOCKET_PATH),
        ] {
            assert_eq!(
                Url::parse(text),
                Ok(Url { authority: authority.to_owned(), path: path.to_owned() }),
                "{text}"
            );
        }
        for bad in ["", "ws://", "http://chat.example", "wss://chat.example", "ws://a b"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
