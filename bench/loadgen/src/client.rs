//! One generator connection: a non-blocking socket, the client's half of the codec, an output buffer.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use lynk_websocket::{Decoder, Event, Opcode, Role, accept_key, encode_client_frame};

/// Largest server message the generator takes.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// One connection to the server.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    decoder: Decoder,
    out: Vec<u8>,
    /// Number of the next command.
    next_re: u64,
}

/// Opens a TCP connection from 127.0.0.`source` so that one generator reaches more than 28,000 ports.
fn connect(addr: SocketAddr, source: u8) -> Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    if !addr.ip().is_loopback() {
        bail!("{addr} is not a loopback address: the load tool only aims at this machine");
    }
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .context("no socket: raise the open-files limit (ulimit -n)")?;
    if addr.is_ipv4() {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, source.max(1))), 0);
        bind(&fd, &from).with_context(|| format!("cannot bind to {from}"))?;
    }
    connect(&fd, &addr).with_context(|| format!("cannot connect to {addr}: is the server running?"))?;
    Ok(TcpStream::from(fd))
}

impl Client {
    /// Connects and upgrades, blocking.
    pub(crate) fn open(addr: SocketAddr, source: u8) -> Result<Self> {
        let mut socket = connect(addr, source)?;
        socket.set_nodelay(true)?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        let host = addr.to_string();
        let mut head = Vec::new();
        let request = lynk_http::UpgradeRequest { host: &host, path: "/ws", nonce, origin: None };
        let key = lynk_http::encode_upgrade_request(&mut head, &request);
        socket.write_all(&head)?;
        let mut answer = Vec::new();
        let accept = accept_key(&key);
        loop {
            let mut chunk = [0; 512];
            let read = socket.read(&mut chunk)?;
            if read == 0 {
                bail!("the server closed the connection during the handshake");
            }
            answer.extend_from_slice(&chunk[..read]);
            if let Some(upgraded) = lynk_http::decode_upgrade_response(&answer, &accept)? {
                if upgraded.head_bytes != answer.len() {
                    bail!("the server spoke before hello");
                }
                break;
            }
        }
        let decoder = Decoder::new(Role::Client, MESSAGE_BYTES_MAX);
        Ok(Self { socket, decoder, out: Vec::new(), next_re: 0 })
    }

    /// The number for the next command.
    pub(crate) fn next_re(&mut self) -> u64 {
        self.next_re += 1;
        self.next_re
    }

    /// Queues one text frame. A constant mask serves: nothing between here and the server needs hiding.
    pub(crate) fn queue(&mut self, text: &str) {
        encode_client_frame(&mut self.out, true, Opcode::Text, text.as_bytes(), [0x5a, 0xc3, 0x17, 0x88]);
    }

    /// Writes what is queued as far as the socket takes it; false when some is left.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(written) => {
                    self.out.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the server closed a connection"),
            }
        }
        Ok(true)
    }

    /// Reads once into `buffer` and hands every text to `each`; false when nothing was there.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], mut each: impl FnMut(&str)) -> Result<bool> {
        let read = match self.socket.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(error) => return Err(error).context("the server closed a connection"),
        };
        let mut rest = &mut buffer[..read];
        let mut pongs = Vec::new();
        loop {
            let step = self.decoder.decode(rest).map_err(|error| anyhow::anyhow!("bad frame: {error}"))?;
            let consumed = step.consumed;
            match step.event {
                None => break,
                Some(Event::Text(text)) => each(text),
                Some(Event::Ping(payload)) => pongs.push(payload.to_vec()),
                Some(Event::Close(close)) => bail!("the server closed a connection: {close:?}"),
                Some(Event::Pong(_) | Event::Binary(_)) => {}
            }
            rest = &mut rest[consumed..];
        }
        for payload in pongs {
            encode_client_frame(&mut self.out, true, Opcode::Pong, &payload, [1, 2, 3, 4]);
        }
        Ok(true)
    }

    /// Sends one command and waits, blocking, for the frame that answers it.
    pub(crate) fn ask(&mut self, re: u64, command: &str) -> Result<serde_json::Value> {
        self.queue(command);
        self.flush()?;
        let mut buffer = vec![0; 64 << 10];
        let mut answer = None;
        while answer.is_none() {
            self.receive(&mut buffer, |text| {
                if let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
                    && value["re"] == re
                {
                    answer = Some(value);
                }
            })?;
            self.flush()?;
        }
        let answer = answer.unwrap_or_default();
        if answer["ev"] == "error" {
            bail!(
                "the server refused `{}`: {} ({})",
                first_words(command),
                answer["code"],
                answer["message"]
            );
        }
        Ok(answer)
    }

    /// Leaves politely.
    pub(crate) fn close(mut self) {
        encode_client_frame(&mut self.out, true, Opcode::Close, &1000u16.to_be_bytes(), [1, 2, 3, 4]);
        self.socket.set_nonblocking(false).ok();
        self.flush().ok();
    }
}

/// A command without its token, for an error message.
fn first_words(command: &str) -> &str {
    let end = command.find("\"token\"").or_else(|| command.find("\"text\"")).unwrap_or(command.len());
    &command[..end.min(120)]
}
