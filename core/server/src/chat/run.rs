//! Moves the bytes of the terminal client.

use std::io::{BufRead as _, ErrorKind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lynk_auth::Scope;
use lynk_domain::{Nanos, Now, UserId};

use super::command;
use super::model::{Do, Model};
use super::show::{json_line, text_line};
use crate::client::{self, ClientError, Incoming, Url};
use crate::exit::{Exit, Failure};
use crate::out::{Form, put};
use crate::{os, token};

/// Time for connecting, and for the server to take what is written.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Arrivals that wait for the main thread; a faster server waits in its socket.
const ARRIVALS_MAX: usize = 1_024;
/// Time between two read receipts.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How the client signs in.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// With this token, for as long as it is valid.
    Token(String),
    /// With tokens of its own making, from the keys of a data directory on this machine.
    DataDir {
        /// The directory.
        root: PathBuf,
        /// For whom.
        user: UserId,
        /// Issuer and audience that the server expects.
        scope: Scope,
    },
}

impl Access {
    /// A token to sign in with.
    ///
    /// # Errors
    /// The data directory has no usable key.
    pub(crate) fn token(&self) -> Result<String, Failure> {
        match self {
            Self::Token(token) => Ok(token.clone()),
            Self::DataDir { root, user, scope } => token::mint(root, scope, *user),
        }
    }
}

/// What `lynk chat` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) url: Url,
    pub(crate) user: UserId,
    pub(crate) access: Access,
    pub(crate) rooms: Vec<String>,
    pub(crate) form: Form,
    /// How long to stay after the end of standard input.
    pub(crate) linger: Duration,
}

enum Arrival {
    Line(String),
    EndOfInput,
    /// From connection number n.
    Frame(u64, Incoming),
    Lost(u64, ClientError),
}

/// The running client.
struct Driver<'a> {
    options: &'a Options,
    model: Model,
    started: Instant,
    arrivals: SyncSender<Arrival>,
    sender: Option<client::Sender>,
    /// Number of the latest connection: what older ones still deliver is ignored.
    connection: u64,
    /// `retry_after_ms` of a `draining` on this connection.
    retry_after: Option<u64>,
    /// When to end after the end of input.
    end_at: Option<Instant>,
    done: Option<Result<(), Failure>>,
}

/// Chats until the user quits, the input ends, or signing in fails.
///
/// # Errors
/// Signing in is refused for good, or standard output fails.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (arrivals, inbox) = sync_channel(ARRIVALS_MAX);
    let lines = arrivals.clone();
    std::thread::Builder::new().name("input".to_owned()).spawn(move || read_lines(&lines))?;
    let seed = u64::from_le_bytes(os::random()?);
    let mut driver = Driver {
        options,
        model: Model::new(options.user, options.rooms.clone(), seed),
        started: Instant::now(),
        arrivals,
        sender: None,
        connection: 0,
        retry_after: None,
        end_at: None,
        done: None,
    };
    driver.turn(&inbox)
}

fn read_lines(arrivals: &SyncSender<Arrival>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if arrivals.send(Arrival::Line(line)).is_err() {
            return;
        }
    }
    let _ = arrivals.send(Arrival::EndOfInput);
}

impl Driver<'_> {
    fn now(&self) -> Now {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: Nanos(nanos), wall: os::wall_millis() }
    }

    fn turn(&mut self, inbox: &Receiver<Arrival>) -> Result<(), Failure> {
        let mut read_at = Instant::now();
        loop {
            self.model.tick(self.now());
            if self.options.form == Form::Text && read_at.elapsed() >= READ_EVERY {
                read_at = Instant::now();
                self.model.tell_read();
            }
            self.carry_out()?;
            if let Some(done) = self.done.take() {
                if let Some(sender) = &mut self.sender {
                    let _ = sender.close(1_000);
                }
                return done;
            }
            match inbox.recv_timeout(self.wait()) {
                Ok(arrival) => self.arrived(arrival),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the driver holds a sender"),
            }
        }
    }

    /// Until the model's next deadline, or the end.
    fn wait(&mut self) -> Duration {
        let now = self.now();
        let next = self.model.next_deadline(now).since(now.mono);
        let mut wait = Duration::from_nanos(next).min(READ_EVERY);
        if let Some(end) = self.end_at {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() && self.model.is_idle() {
                self.done = Some(Ok(()));
                return Duration::ZERO;
            }
            wait = wait.min(left.max(Duration::from_millis(20)));
        }
        wait
    }

    fn arrived(&mut self, arrival: Arrival) {
        let now = self.now();
        match arrival {
            Arrival::Line(line) => match command::parse(&line) {
                Ok(line) => self.model.line(now, line),
                Err(what) => self.model.unread(what),
            },
            Arrival::EndOfInput => self.end_at = Some(Instant::now() + self.options.linger),
            Arrival::Frame(connection, incoming) if connection == self.connection => {
                self.incoming(now, incoming)
            }
            Arrival::Lost(connection, error) if connection == self.connection => {
                self.lost(&error.to_string(), None);
            }
            Arrival::Frame(..) | Arrival::Lost(..) => {}
        }
    }

    fn incoming(&mut self, now: Now, incoming: Incoming) {
        match incoming {
            Incoming::Text(text) => {
                if text.starts_with(r#"{"ev":"draining""#) {
                    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
                    self.retry_after = value.and_then(|value| value["retry_after_ms"].as_u64());
                }
                self.model.frame(now, &text);
            }
            Incoming::Ping(payload) => {
                self.model.heard(now);
                self.write(|sender| sender.pong(&payload));
            }
            Incoming::Pong => self.model.heard(now),
            Incoming::Close(code, reason) => {
                self.write(|sender| sender.close(code.unwrap_or(1_000)));
                self.lost(if reason.is_empty() { "closed" } else { &reason }, code);
            }
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut client::Sender) -> Result<(), ClientError>) {
        let Some(sender) = &mut self.sender else { return };
        if let Err(error) = write(sender) {
            self.lost(&error.to_string(), None);
        }
    }

    fn lost(&mut self, why: &str, code: Option<u16>) {
        if let Some(sender) = self.sender.take() {
            sender.shutdown();
        }
        self.connection += 1;
        self.model.disconnected(self.now(), why, code, self.retry_after.take());
    }

    fn carry_out(&mut self) -> Result<(), Failure> {
        loop {
            let items = self.model.take();
            if items.is_empty() {
                return Ok(());
            }
            for item in items {
                match item {
                    Do::Connect => self.connect()?,
                    Do::Send(text) => self.write(|sender| sender.text(&text)),
                    Do::Show(show) => {
                        let line = match self.options.form {
                            Form::Text => text_line(&show).unwrap_or_default(),
                            Form::Json => json_line(&show),
                        };
                        put(&line)?;
                    }
                    Do::Token => {
                        // A given token cannot be renewed: the server will close the connection when it ends.
                        if let Access::DataDir { .. } = self.options.access {
                            let token = self.options.access.token()?;
                            self.model.refresh(&token);
                        }
                    }
                    Do::Drop => self.lost("no sign of life", None),
                    Do::Fail(why) => self.done = Some(Err(Failure::new(Exit::Failure, why))),
                    Do::Quit => self.done = Some(Ok(())),
                }
            }
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let token = self.options.access.token()?;
        let (sender, receiver) = match client::connect(&self.options.url, TIMEOUT) {
            Ok(connection) => connection,
            Err(ClientError::Refused(why)) => {
                self.lost(&why.to_string(), None);
                return Ok(());
            }
            Err(error) => {
                self.lost(&format!("{}: {error}", self.options.url.authority), None);
                return Ok(());
            }
        };
        self.connection += 1;
        self.sender = Some(sender);
        self.retry_after = None;
        let (arrivals, connection) = (self.arrivals.clone(), self.connection);
        std::thread::Builder::new()
            .name("socket".to_owned())
            .spawn(move || read_frames(receiver, &arrivals, connection))?;
        self.model.connected(self.now(), &token);
        Ok(())
    }
}

fn read_frames(mut receiver: client::Receiver, arrivals: &SyncSender<Arrival>, connection: u64) {
    loop {
        let arrival = match receiver.receive() {
            Ok(incoming) => Arrival::Frame(connection, incoming),
            Err(ClientError::Io(error)) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => Arrival::Lost(connection, error),
        };
        let last = matches!(arrival, Arrival::Lost(..) | Arrival::Frame(_, Incoming::Close(..)));
        if arrivals.send(arrival).is_err() || last {
            return;
        }
    }
}
