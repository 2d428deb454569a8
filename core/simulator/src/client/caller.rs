//! A script that speaks HTTP: it joins rooms, posts, and repeats what was not answered, without any connection.
//!
//! It has one API slot and is the bridge of itself: now and then it stops waiting and uses the slot for another command. It
//! insists that each command is answered once, in time, and that an acknowledgement tells of what was asked.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use lynk_domain::{Key, Millis, RoomId, SessionId, UserId, uuid_v7};
use lynk_engine::{ApiInput, Principal, Slot};
use lynk_model::Mentions;

use super::intent::Change;
use super::{Around, Stepped};
use crate::random::Random;
use crate::wire::{Ev, Item};

/// Time after which a command without an answer is a fault of the server, in nanoseconds.
const PATIENCE_NANOS: u64 = 30_000_000_000;
/// Pause after a refusal that names none, in milliseconds.
const RETRY_MILLIS: u64 = 100;

/// What is to be done, over however many attempts.
#[derive(Debug)]
struct Intent {
    room: RoomId,
    key: Key,
    change: Change,
    attempts: u32,
}

/// A command under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    asked_at: u64,
    boot: u32,
}

/// A client without a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: UserId,
    session: SessionId,
    slot: Slot,
    random: Random,
    intent: Option<Intent>,
    open: Option<Open>,
    /// Numbers given to commands.
    asked: u64,
    answered: BTreeSet<u64>,
    inbox: VecDeque<Rc<Item>>,
    joined: BTreeSet<RoomId>,
    /// What was acknowledged last, and as which event.
    known: Option<(RoomId, Key, String, u64)>,
    retry_at: u64,
    said: u64,
}

impl Caller {
    pub(crate) fn new(number: u32, user: UserId, mut random: Random) -> Self {
        Self {
            user,
            session: SessionId(random.bytes()),
            slot: Slot::api(number),
            random,
            intent: None,
            open: None,
            asked: 0,
            answered: BTreeSet::new(),
            inbox: VecDeque::new(),
            joined: BTreeSet::new(),
            known: None,
            retry_at: 0,
            said: 0,
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
        self.intent.is_some() || !self.inbox.is_empty()
    }

    /// One step.
    ///
    /// # Errors
    /// When a promise is broken.
    pub(crate) fn step(&mut self, s: &mut Around<'_>) -> Result<Stepped, String> {
        self.work(s).map_err(|what| format!("caller {}: {what}", self.user))?;
        let quiet = s.settling && !self.unfinished();
        let next = (!quiet).then(|| s.now + 1_000_000 + self.random.delay(12_000_000));
        Ok(Stepped { next, touched: None })
    }

    fn work(&mut self, s: &mut Around<'_>) -> Result<(), String> {
        while let Some(item) = self.inbox.pop_front() {
            self.on_answer(&item, s)?;
        }
        if let Some(open) = self.open {
            if open.boot == s.boot {
                if s.now > open.asked_at + PATIENCE_NANOS {
                    return Err(format!("command {} is not answered", open.number));
                }
                let impatient = !s.settling && self.random.chance(40);
                if !impatient {
                    return Ok(());
                }
            }
            // Nobody waits for it any more.
            self.open = None;
        }
        if self.intent.is_none() && !s.settling {
            self.intent = self.choose(s);
        }
        if s.now >= self.retry_at {
            self.ask(s);
        }
        Ok(())
    }

    fn choose(&mut self, s: &Around<'_>) -> Option<Intent> {
        if let Some((room, key, text, _)) = self.known.clone().filter(|_| self.random.chance(150)) {
            // Asked again long after the answer, as a script that crashed would.
            let change = Change::Send { text, reply_to: 0, mentions: Mentions::default(), files: Vec::new() };
            return Some(Intent { room, key, change, attempts: 1 });
        }
        let room = self.random.pick(&s.directory.rooms).copied()?;
        let key = Key(uuid_v7(s.wall.0, self.random.bytes()));
        let change = if self.joined.contains(&room) {
            self.said += 1;
            let text = format!("call {} of {}", self.said, self.user);
            Change::Send { text, reply_to: 0, mentions: Mentions::default(), files: Vec::new() }
        } else {
            Change::Join
        };
        Some(Intent { room, key, change, attempts: 0 })
    }

    fn ask(&mut self, s: &mut Around<'_>) {
        let Some(intent) = &mut self.intent else { return };
        intent.attempts += 1;
        self.asked += 1;
        let (number, room, key) = (self.asked, intent.room, intent.key);
        let op = intent.change.op();
        let more = match &intent.change {
            Change::Send { text, .. } => format!(",\"text\":\"{text}\""),
            _ => String::new(),
        };
        let text = format!("{{\"id\":{number},\"op\":\"{op}\",\"room\":\"{room}\",\"key\":\"{key}\"{more}}}");
        self.open = Some(Open { number, asked_at: s.now, boot: s.boot });
        let principal = Principal { user: self.user, session: self.session };
        let expires = Millis(s.server_wall.0 + 600_000);
        let text = text.into_boxed_str();
        s.calls.push(ApiInput::Command { slot: self.slot, principal, expires, text });
    }

    fn on_answer(&mut self, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let number = item.re.ok_or("an answer to nothing")?;
        if number == 0 || number > self.asked {
            return Err(format!("an answer to {number}, which was never asked"));
        }
        if !self.answered.insert(number) {
            return Err(format!("command {number} is answered twice"));
        }
        if self.open.is_none_or(|open| open.number != number) {
            // It came while the slot changed hands.
            return Ok(());
        }
        self.open = None;
        let Some(intent) = self.intent.take() else { return Ok(()) };
        match item.ev {
            Ev::Ok => self.on_ok(&intent, item, s),
            Ev::Error => {
                let code = item.code.as_deref().unwrap_or_default();
                if item.retryable {
                    let pause = item.retry_after_ms.unwrap_or(RETRY_MILLIS).max(1);
                    self.retry_at = s.now + pause * 1_000_000;
                    self.intent = Some(intent);
                    return Ok(());
                }
                match code {
                    "not_a_member" | "room_not_found" | "banned" => {
                        self.joined.remove(&intent.room);
                    }
                    "idempotency_conflict" => return Err(format!("key {} conflicts", intent.key)),
                    "unknown_op" | "bad_request" | "invalid_field" | "invalid_token" => {
                        return Err(format!("{} is refused with {code}", intent.change.op()));
                    }
                    _ => {}
                }
                if intent.attempts == 1 {
                    s.ledger.refused(self.user, intent.room, intent.key)?;
                }
                Ok(())
            }
            _ => Err(format!("{} is answered with {:?}", intent.change.op(), item.ev)),
        }
    }

    fn on_ok(&mut self, intent: &Intent, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        if item.seq > 0 {
            s.ledger.acked(self.user, intent.room, intent.key, item.seq, &intent.change)?;
        }
        match &intent.change {
            Change::Send { text, .. } => {
                let known = self.known.take().filter(|(_, key, _, _)| *key == intent.key);
                if let Some((room, key, _, seq)) = known.filter(|(_, _, _, seq)| *seq != item.seq) {
                    let lost = s.ledger.room(room).is_some_and(|r| !r.events.contains_key(&seq));
                    if !lost {
                        return Err(format!("{room}: key {key} gave {seq} and then {}", item.seq));
                    }
                }
                self.known = Some((intent.room, intent.key, text.clone(), item.seq));
            }
            _ => {
                self.joined.insert(intent.room);
            }
        }
        Ok(())
    }
}
