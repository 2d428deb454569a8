//! The server's own client that takes back what an erased account said: all that the account's devices did ends, then every room is looked
//! through in its name, messages are deleted, and rooms are left.
//!
//! It does what `bridges/api` does, in the same order and with the same commands, over one API slot. What a process did not answer is asked of the
//! next one.

use std::collections::VecDeque;
use std::rc::Rc;

use lynk_domain::{Key, Millis, RoomId, UserId, uuid_v7};
use lynk_engine::{ApiInput, Principal, Slot};

use super::intent::Change;
use super::{Around, Stepped};
use crate::random::Random;
use crate::wire::{Ev, Item, Members};

/// After its end an account's last commands have come to their rooms.
const SETTLE_NANOS: u64 = 2_000_000_000;
/// Time after which a command without an answer is a fault of the server.
const PATIENCE_NANOS: u64 = 30_000_000_000;
/// Pause after a refusal that names none, in milliseconds.
const RETRY_MILLIS: u64 = 100;
/// Messages of a page.
const PAGE: u32 = 20;

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Task {
    /// Nothing before this time.
    Begin(u64),
    Settle(u64),
    Unblock,
    Withdraw,
    /// The next page of a room, after a seq.
    Page(RoomId, u64),
    /// Messages of the room that are to be deleted, and where its next page begins.
    Delete(RoomId, VecDeque<u64>, Option<u64>),
    Leave(RoomId),
    /// The last owner looks for an heir.
    Heir(RoomId),
    Done,
}

/// A command under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    asked_at: u64,
    boot: u32,
    key: Key,
}

/// The erasure of one account.
#[derive(Debug)]
pub(crate) struct Eraser {
    pub(crate) user: UserId,
    slot: Slot,
    random: Random,
    task: Task,
    /// Requests to become a member that are to be taken back.
    asked_of: VecDeque<RoomId>,
    /// Whoever gets the room that is left.
    heir: Option<UserId>,
    handed: bool,
    open: Option<Open>,
    numbers: u64,
    inbox: VecDeque<Rc<Item>>,
    not_before: u64,
}

impl Eraser {
    pub(crate) fn new(slot: u32, user: UserId, begin: u64, random: Random) -> Self {
        Self {
            user,
            slot: Slot::api(slot),
            random,
            task: Task::Begin(begin),
            asked_of: VecDeque::new(),
            heir: None,
            handed: false,
            open: None,
            numbers: 0,
            inbox: VecDeque::new(),
            not_before: 0,
        }
    }

    /// The engine answered.
    pub(crate) fn answer(&mut self, item: Rc<Item>) {
        self.inbox.push_back(item);
    }

    /// Nobody listened.
    pub(crate) fn refused(&mut self) {
        self.open = None;
    }

    pub(crate) fn unfinished(&self) -> bool {
        self.task != Task::Done
    }

    /// One step.
    ///
    /// # Errors
    /// When a promise is broken.
    pub(crate) fn step(&mut self, s: &mut Around<'_>) -> Result<Stepped, String> {
        self.work(s).map_err(|what| format!("erasure of {}: {what}", self.user))?;
        let next = match self.task {
            Task::Done => None,
            Task::Begin(at) | Task::Settle(at) => Some(at.max(s.now + 1_000_000)),
            _ => Some(self.not_before.max(s.now + 1_000_000 + self.random.delay(3_000_000))),
        };
        Ok(Stepped { next, touched: None })
    }

    fn work(&mut self, s: &mut Around<'_>) -> Result<(), String> {
        while let Some(item) = self.inbox.pop_front() {
            let open = self.open.filter(|open| item.re == Some(open.number));
            if let Some(open) = open {
                self.open = None;
                self.on_answer(open.key, &item, s)?;
            }
        }
        match self.task {
            Task::Begin(at) if at > s.now => return Ok(()),
            Task::Begin(_) => {
                s.ledger.erase(self.user);
                self.task = Task::Settle(s.now + SETTLE_NANOS);
                return Ok(());
            }
            Task::Settle(at) if at > s.now => return Ok(()),
            Task::Settle(_) => self.task = Task::Unblock,
            _ => {}
        }
        if let Some(open) = self.open {
            if open.boot == s.boot {
                let late = s.now > open.asked_at + PATIENCE_NANOS;
                return if late { Err(format!("command {} is not answered", open.number)) } else { Ok(()) };
            }
            self.open = None;
        }
        if s.now >= self.not_before {
            self.ask(s);
        }
        Ok(())
    }

    /// The room after the one that is done.
    fn next_room(&mut self, s: &mut Around<'_>, after: RoomId) {
        (self.heir, self.handed) = (None, false);
        let next = s.ledger.rooms().map(|truth| truth.room).find(|room| *room > after);
        self.task = match next {
            Some(room) => Task::Page(room, 0),
            None => {
                s.ledger.erasure_done(self.user, s.step);
                Task::Done
            }
        };
    }

    fn ask(&mut self, s: &mut Around<'_>) {
        let key = Key(uuid_v7(s.server_wall.0, self.random.bytes()));
        let command = loop {
            match &mut self.task {
                Task::Unblock => match s.ledger.blocked_by(self.user) {
                    Some(user) => {
                        s.ledger.unblocking(self.user, user);
                        break format!("\"op\":\"unblock\",\"user\":\"{user}\",\"key\":\"{key}\"");
                    }
                    None => self.task = Task::Withdraw,
                },
                Task::Withdraw => match self.asked_of.front() {
                    Some(room) => {
                        break format!("\"op\":\"withdraw_request\",\"room\":\"{room}\",\"key\":\"{key}\"");
                    }
                    None => break "\"op\":\"my_requests\"".to_owned(),
                },
                Task::Page(room, after) => {
                    break format!(
                        "\"op\":\"history\",\"room\":\"{room}\",\"after\":{after},\"limit\":{PAGE}"
                    );
                }
                Task::Delete(room, own, next) => match (own.front(), *next) {
                    (Some(seq), _) => {
                        break format!(
                            "\"op\":\"delete\",\"room\":\"{room}\",\"seq\":{seq},\"key\":\"{key}\""
                        );
                    }
                    (None, Some(after)) => self.task = Task::Page(*room, after),
                    (None, None) => self.task = Task::Leave(*room),
                },
                Task::Leave(room) => match self.heir {
                    Some(user) if !self.handed => {
                        break format!(
                            "\"op\":\"transfer\",\"room\":\"{room}\",\"user\":\"{user}\",\"key\":\"{key}\""
                        );
                    }
                    _ => break format!("\"op\":\"leave\",\"room\":\"{room}\",\"key\":\"{key}\""),
                },
                Task::Heir(room) => break format!("\"op\":\"members\",\"room\":\"{room}\",\"limit\":100"),
                Task::Begin(_) | Task::Settle(_) | Task::Done => return,
            }
        };
        self.numbers += 1;
        let number = self.numbers;
        self.open = Some(Open { number, asked_at: s.now, boot: s.boot, key });
        let text = format!("{{\"id\":{number},{command}}}").into_boxed_str();
        let expires = Millis(s.server_wall.0 + 600_000);
        s.calls.push(ApiInput::Command {
            slot: self.slot,
            principal: Principal::eraser(self.user),
            expires,
            text,
        });
    }

    fn on_answer(&mut self, key: Key, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let code = item.code.as_deref().filter(|_| item.ev == Ev::Error);
        if let Some(code) = code
            && (item.retryable || matches!(code, "clock_skew" | "key_expired"))
        {
            let pause = item.retry_after_ms.unwrap_or(RETRY_MILLIS).max(1);
            self.not_before = s.now + pause * 1_000_000;
            return Ok(());
        }
        if let Some(code @ ("bad_request" | "unknown_op" | "invalid_field" | "internal")) = code {
            return Err(format!("{:?} is refused with {code}", self.task));
        }
        match std::mem::replace(&mut self.task, Task::Done) {
            Task::Unblock if code.is_some() => self.task = Task::Withdraw,
            Task::Unblock => self.task = Task::Unblock,
            Task::Withdraw if item.ev == Ev::MyRequests => {
                let open = item.requests.iter().filter(|row| row.state.as_deref() == Some("open"));
                self.asked_of = open.filter_map(|row| row.room).collect();
                if self.asked_of.is_empty() {
                    self.next_room(s, RoomId::NIL);
                } else {
                    self.task = Task::Withdraw;
                }
            }
            Task::Withdraw => {
                self.asked_of.pop_front();
                self.task = Task::Withdraw;
            }
            Task::Page(room, _) if code.is_some() => self.task = Task::Leave(room),
            Task::Page(room, after) => {
                let stands = |event: &&Item| {
                    event.ev == Ev::Message && event.sender() == Some(self.user) && event.deleted == 0
                };
                let own = item.events.iter().filter(stands).map(|event| event.seq).collect();
                let to = item.covers.map(|covers| covers.to).filter(|to| item.more && *to > after);
                self.task = Task::Delete(room, own, to);
            }
            Task::Delete(room, mut own, next) => {
                let seq = own.pop_front().unwrap_or(0);
                if item.ev == Ev::Ok {
                    s.ledger.acked(self.user, room, key, item.seq, &Change::Delete { seq })?;
                }
                self.task = Task::Delete(room, own, next);
            }
            Task::Leave(room) if self.heir.is_some() && !self.handed => {
                self.handed = true;
                self.task = Task::Leave(room);
            }
            Task::Leave(room) if code == Some("last_owner") && !self.handed => self.task = Task::Heir(room),
            Task::Leave(room) => self.next_room(s, room),
            Task::Heir(room) => {
                let Some(Members::List(users)) = &item.members else {
                    self.next_room(s, room);
                    return Ok(());
                };
                self.heir = users.iter().find(|user| **user != self.user).copied();
                self.handed = self.heir.is_none();
                self.task = Task::Leave(room);
            }
            task @ (Task::Begin(_) | Task::Settle(_) | Task::Done) => self.task = task,
        }
        Ok(())
    }
}
