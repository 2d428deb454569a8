//! A blocking WebSocket client that checks every byte it receives.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use lynk_http::{UpgradeRequest, decode_upgrade_response, encode_upgrade_request};
use lynk_websocket::{Decoder, Event, Opcode, Role, accept_key, encode_client_frame};
use rustix::net::sockopt;

use crate::server::Server;

pub(crate) struct Client {
    socket: TcpStream,
    decoder: Decoder,
    /// Received and not decoded.
    rest: Vec<u8>,
    /// Close code, once the server closed.
    closed: Option<u16>,
    /// Bytes received since the beginning.
    pub(crate) received: u64,
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Self {
        Self::upgrade(server.dial())
    }

    /// With a receive buffer of `bytes`, or the smallest that the kernel gives.
    pub(crate) fn connect_with_window(server: &Server, bytes: usize) -> Self {
        let family = rustix::net::AddressFamily::INET;
        let socket = rustix::net::socket(family, rustix::net::SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_recv_buffer_size(&socket, bytes).expect("settable");
        rustix::net::connect(&socket, &server.address).expect("it listens");
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("settable");
        Self::upgrade(socket)
    }

    /// Asks for the upgrade on a connection and waits for it.
    pub(crate) fn upgrade(socket: TcpStream) -> Self {
        Self::upgrade_with(socket, "")
    }

    /// The same with further header lines.
    pub(crate) fn upgrade_with(mut socket: TcpStream, lines: &str) -> Self {
        let mut request = Vec::new();
        let nonce = [7; 16];
        let key = encode_upgrade_request(
            &mut request,
            &UpgradeRequest { host: "localhost", path: lynk_http::SOCKET_PATH, nonce, origin: None },
        );
        request.truncate(request.len() - 2);
        request.extend_from_slice(lines.as_bytes());
        request.extend_from_slice(b"\r\n");
        socket.write_all(&request).expect("open");
        let (mut rest, mut received) = (Vec::new(), 0);
        let head_bytes = loop {
            let mut chunk = [0; 1024];
            let count = read(&mut socket, &mut chunk);
            assert!(count > 0, "the server closed before the upgrade");
            received += count as u64;
            rest.extend_from_slice(&chunk[..count]);
            if let Some(upgraded) = decode_upgrade_response(&rest, &accept_key(&key)).expect("accepted") {
                break upgraded.head_bytes;
            }
        };
        rest.drain(..head_bytes);
        Self { socket, decoder: Decoder::new(Role::Client, 1 << 20), rest, closed: None, received }
    }

    pub(crate) fn send(&mut self, text: &str) {
        let mut bytes = Vec::new();
        encode_client_frame(&mut bytes, true, Opcode::Text, text.as_bytes(), [1, 2, 3, 4]);
        self.socket.write_all(&bytes).expect("open");
    }

    pub(crate) fn send_in_pieces(&mut self, text: &str, piece: usize) {
        let mut bytes = Vec::new();
        encode_client_frame(&mut bytes, true, Opcode::Text, text.as_bytes(), [1, 2, 3, 4]);
        self.socket.set_nodelay(true).expect("settable");
        for part in bytes.chunks(piece) {
            self.socket.write_all(part).expect("open");
            std::thread::yield_now();
        }
    }

    /// The next text message.
    pub(crate) fn next_text(&mut self) -> String {
        self.next().expect("a message before the close")
    }

    pub(crate) fn expect(&mut self, text: &str) {
        let got = self.next_text();
        assert!(got == text, "expected {:?}, got {:?}", cut(text), cut(&got));
    }

    /// Reads to the close frame and answers it; returns its code.
    pub(crate) fn expect_close(&mut self) -> u16 {
        while self.next().is_some() {}
        self.closed.expect("next() returned None")
    }

    fn next(&mut self) -> Option<String> {
        loop {
            let mut text = None;
            let consumed = {
                let step = self.decoder.decode(&mut self.rest).expect("a valid stream");
                match step.event {
                    Some(Event::Text(got)) => text = Some(got.to_owned()),
                    Some(Event::Close(close)) => self.closed = Some(close.code.unwrap_or(1005)),
                    Some(Event::Ping(_)) => {}
                    Some(other) => panic!("unexpected {other:?}"),
                    None => {}
                }
                (step.consumed, text.is_some() || self.closed.is_some(), step.event.is_none())
            };
            let (bytes, done, starved) = consumed;
            self.rest.drain(..bytes);
            if done {
                return text;
            }
            if starved {
                let mut chunk = [0; 4096];
                let count = read(&mut self.socket, &mut chunk);
                assert!(count > 0, "the stream ended without a close frame");
                self.received += count as u64;
                self.rest.extend_from_slice(&chunk[..count]);
            }
        }
    }

    /// Ends the stream after everything that was sent.
    pub(crate) fn leave(self) {
        self.socket.shutdown(Shutdown::Write).expect("open");
    }

    /// Sends a close frame and ends the sending direction in the same breath.
    pub(crate) fn close_and_leave(&mut self, code: u16) {
        let mut bytes = Vec::new();
        encode_client_frame(&mut bytes, true, Opcode::Close, &code.to_be_bytes(), [1, 2, 3, 4]);
        self.socket.write_all(&bytes).expect("open");
        self.socket.shutdown(Shutdown::Write).expect("open");
    }

    /// Sends a reset instead of an end.
    pub(crate) fn reset(self) {
        sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO)).expect("settable");
    }
}

/// Reads once; the kernel's own work on a thread that made a ring may interrupt it.
fn read(socket: &mut TcpStream, chunk: &mut [u8]) -> usize {
    loop {
        match socket.read(chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other.expect("the server answers"),
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.len().min(60)]
}
