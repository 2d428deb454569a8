//! A client that asks and waits for the answer: it sets rooms up, and it is the independent reader, which shares nothing
//! with the clients under test but the protocol.

use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime};

use lynk_domain::{Key, uuid_v7};
use lynk_server::client::{self, ClientError, Incoming, Receiver, Sender, Url};

use super::random::Random;
use super::wire::Told;

/// Time for one answer. Longer is a hang.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What the reader keeps of an event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Hash of what never changes about it.
    pub(crate) print: u64,
    pub(crate) from: String,
    /// As it is now.
    pub(crate) text: Option<String>,
    /// Message of an edit or a delete.
    pub(crate) target: u64,
    pub(crate) n: u64,
    pub(crate) id: u128,
    /// Seqs of the last edit and of the delete; 0 for none.
    pub(crate) edited: u64,
    pub(crate) deleted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Message,
    Edit,
    Delete,
    Other,
}

impl Entry {
    fn new(event: &Told<'_>) -> Self {
        let kind = match &*event.ev {
            "message" => Kind::Message,
            "edit" => Kind::Edit,
            "delete" => Kind::Delete,
            _ => Kind::Other,
        };
        let from = match &event.from {
            Some(super::wire::From::User(user)) => user.to_string(),
            _ => String::new(),
        };
        Self {
            kind,
            print: event.print(),
            from,
            text: event.text.as_deref().map(str::to_owned),
            target: event.target.unwrap_or(0),
            n: event.n.unwrap_or(0),
            id: event.message_id(),
            edited: event.edited.unwrap_or(0),
            deleted: event.deleted.unwrap_or(0),
        }
    }
}

/// One signed-in connection.
#[derive(Debug)]
pub(crate) struct Plain {
    sender: Sender,
    receiver: Receiver,
    last_re: u64,
    random: Random,
}

/// An `error` answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) retryable: bool,
    pub(crate) retry_after_ms: Option<u64>,
}

impl Plain {
    /// Connects and signs in.
    ///
    /// # Panics
    /// When that does not work: whoever calls this knows that a server listens.
    pub(crate) fn sign_in(url: &Url, token: &str, random: Random) -> Self {
        let (sender, receiver) = client::connect(url, ANSWER_MAX).expect("a server listens");
        receiver.set_timeout(Some(ANSWER_MAX)).expect("an open socket");
        let mut plain = Self { sender, receiver, last_re: 0, random };
        let hello = format!(r#""op":"hello","token":"{token}""#);
        plain.ask(&hello, |_| ()).expect("a valid token");
        plain
    }

    /// A fresh idempotency key.
    pub(crate) fn key(&mut self) -> String {
        let wall = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis() as u64;
        Key(uuid_v7(wall, self.random.ten_bytes())).to_string()
    }

    /// Sends a command, given without braces and `id`, and returns what `take` makes of the answer. Events in between
    /// are ignored.
    ///
    /// # Errors
    /// The server refuses.
    ///
    /// # Panics
    /// When the connection ends or nothing is answered.
    pub(crate) fn ask<T>(&mut self, command: &str, take: impl FnOnce(&Told<'_>) -> T) -> Result<T, Refused> {
        self.last_re += 1;
        self.sender.text(&format!(r#"{{"id":{},{command}}}"#, self.last_re)).expect("an open connection");
        let until = Instant::now() + ANSWER_MAX;
        while Instant::now() < until {
            match self.receiver.receive() {
                Ok(Incoming::Text(text)) => {
                    let told = Told::parse(&text);
                    if told.re != Some(self.last_re) {
                        continue;
                    }
                    if told.ev == "error" {
                        return Err(Refused {
                            code: told.code.as_deref().unwrap_or_default().to_owned(),
                            retryable: told.retryable == Some(true),
                            retry_after_ms: told.retry_after_ms,
                        });
                    }
                    return Ok(take(&told));
                }
                Ok(Incoming::Ping(payload)) => self.sender.pong(&payload).expect("an open connection"),
                Ok(Incoming::Pong) => {}
                Ok(Incoming::Close(code, reason)) => panic!("closed: {code:?} {reason}: {command}"),
                Err(ClientError::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}: {command}"),
            }
        }
        panic!("no answer within {ANSWER_MAX:?}: {command}")
    }

    /// As [`Self::ask`], again and again as long as the server says that this helps.
    ///
    /// # Panics
    /// When it is refused for good, or for [`ANSWER_MAX`].
    pub(crate) fn insist<T>(&mut self, command: &str, take: impl Fn(&Told<'_>) -> T) -> T {
        let until = Instant::now() + ANSWER_MAX;
        loop {
            match self.ask(command, &take) {
                Ok(value) => return value,
                Err(refused) if refused.retryable && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(refused.retry_after_ms.unwrap_or(50).min(500)));
                }
                Err(refused) => panic!("{refused:?}: {command}"),
            }
        }
    }

    /// Posts a message; the `seq` of it.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn send(&mut self, room: &str, text: &str) -> Result<u64, Refused> {
        let key = self.key();
        self.ask(&format!(r#""op":"send","room":"{room}","key":"{key}","text":"{text}""#), |told| told.seq())
    }

    /// The room's top as a subscription tells it.
    pub(crate) fn top(&mut self, room: &str) -> u64 {
        let top = self
            .insist(&format!(r#""op":"subscribe","room":"{room}""#), |told| told.top.expect("subscribed"));
        self.insist(&format!(r#""op":"unsubscribe","room":"{room}""#), |_| ());
        top
    }

    /// Reads every event of a room after `log.len()` and appends it to `log`, in which the event at index i has
    /// seq i + 1.
    ///
    /// # Errors
    /// A seq is missing, repeated or out of order; there is a gap; or the history ends before the room does.
    pub(crate) fn read(&mut self, room: &str, log: &mut Vec<Entry>) -> Result<(), String> {
        let top = self.top(room);
        loop {
            let after = log.len() as u64;
            let page = format!(r#""op":"history","room":"{room}","after":{after},"all":true,"limit":500"#);
            let (events, covered, more) = self.insist(&page, |told| {
                let events: Vec<(u64, String, Entry)> =
                    told.events.iter().map(|e| (e.seq(), e.ev.to_string(), Entry::new(e))).collect();
                (events, told.covers, told.more)
            });
            for (seq, ev, entry) in events {
                let next = log.len() as u64 + 1;
                if ev == "gap" || seq != next {
                    return Err(format!("missing seq: {ev} {seq} where seq {next} belongs"));
                }
                log.push(entry);
            }
            let end = log.len() as u64;
            if covered.is_some_and(|covers| covers.to > end) {
                return Err(format!("missing seq: a page covers {covered:?} and ends with {end}"));
            }
            if !more && end < top {
                return Err(format!("missing seq: the history ends with {end} of {top}"));
            }
            if !more {
                return Ok(());
            }
            if end == after {
                return Err(format!("an empty page after {after} says that there is more"));
            }
        }
    }
}
