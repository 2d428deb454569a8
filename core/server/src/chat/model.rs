//! The client without I/O.

use std::collections::{BTreeMap, VecDeque};

use lynk_domain::{Key, Millis, Nanos, Now, RoomId, UserId, uuid_v7};
use serde_json::{Value, json};

use super::command::{HELP, Line};
use super::room::Room;
use super::show::Show;
use super::wire::{own_event, parse_time};
use crate::people::{name_of, user_of};

/// Commands that wait to be acknowledged at most; further lines are refused.
pub(crate) const OUTBOX_MAX: usize = 1_000;
/// Backoff between two attempts to connect, in milliseconds: full jitter up to a bound that doubles.
const BACKOFF_MIN: u64 = 200;
const BACKOFF_MAX: u64 = 20_000;
/// Time before a token's end at which a new one is asked for.
const REFRESH_MILLIS: u64 = 60_000;
/// Silence beyond two heartbeats after which the connection counts as lost.
const SILENCE_SLACK_NANOS: u64 = 5 * Nanos::SECOND;
/// Messages of the past shown when a room is entered.
const PAST_SHOWN: u32 = 20;

/// What the driver must do.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Do {
    /// Connect, with a token; then [`Model::connected`] or [`Model::disconnected`].
    Connect,
    /// Send this text.
    Send(String),
    /// Tell this.
    Show(Show),
    /// Get a token and give it to [`Model::refresh`].
    Token,
    /// Drop the connection; then [`Model::disconnected`].
    Drop,
    /// Signing in can never work: end with this reason.
    Fail(String),
    /// Everything is done.
    Quit,
}

/// What a reply answers.
#[derive(Clone, PartialEq, Debug)]
enum Asked {
    Hello,
    Refresh,
    /// The room of a name, to enter it.
    Find(String),
    Subscribe(RoomId),
    /// A page that fills a hole.
    Fill(RoomId),
    /// A page to look at.
    Past(RoomId),
    Question(&'static str),
    /// The command at the front of the outbox.
    Outbox,
}

/// A command with a key, until it is acknowledged.
#[derive(Clone, PartialEq, Debug)]
struct Waiting {
    command: Value,
    /// What it is, for people.
    what: String,
    /// In flight on this connection.
    sent: bool,
    not_before: Nanos,
}

/// The client.
pub(crate) struct Model {
    me: UserId,
    rooms: BTreeMap<RoomId, Room>,
    current: Option<RoomId>,
    outbox: VecDeque<Waiting>,
    asked: BTreeMap<u64, Asked>,
    last_re: u64,
    /// A connection exists.
    connected: bool,
    /// `hello` was accepted on it.
    online: bool,
    heard: Nanos,
    heartbeat_nanos: u64,
    expires: Option<Millis>,
    refreshing: bool,
    attempts: u32,
    connect_at: Option<Nanos>,
    random: u64,
    /// Names of rooms to enter once online.
    wanted: Vec<String>,
    /// Lines typed while those rooms are being entered.
    held: VecDeque<Line>,
    /// Cursor of each room that was told as read.
    read: BTreeMap<RoomId, u64>,
    out: Vec<Do>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn room_of(value: &Value) -> Option<RoomId> {
    RoomId::parse(text(value, "room"))
}

/// How long a refused command waits, in milliseconds.
fn retry_millis(error: &Value) -> u64 {
    error.get("retry_after_ms").and_then(Value::as_u64).unwrap_or(BACKOFF_MIN)
}

impl Model {
    /// A client of `me` that will enter the rooms named `wanted`. `random` seeds keys and jitter.
    pub(crate) fn new(me: UserId, wanted: Vec<String>, random: u64) -> Self {
        Self {
            me,
            rooms: BTreeMap::new(),
            current: None,
            outbox: VecDeque::new(),
            asked: BTreeMap::new(),
            last_re: 0,
            connected: false,
            online: false,
            heard: Nanos(0),
            heartbeat_nanos: 25 * Nanos::SECOND,
            expires: None,
            refreshing: false,
            attempts: 0,
            connect_at: Some(Nanos(0)),
            random,
            wanted,
            held: VecDeque::new(),
            read: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// What to do, since the last call.
    pub(crate) fn take(&mut self) -> Vec<Do> {
        std::mem::take(&mut self.out)
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn next_deadline(&self, now: Now) -> Nanos {
        let mut next = self.connect_at.unwrap_or(Nanos::NEVER);
        if self.connected {
            next = next.min(self.heard.after(2 * self.heartbeat_nanos + SILENCE_SLACK_NANOS));
        }
        if self.online
            && let Some(first) = self.outbox.front().filter(|first| !first.sent)
        {
            next = next.min(first.not_before);
        }
        if self.online {
            next = self.rooms.values().filter_map(Room::retry_at).fold(next, Nanos::min);
        }
        if let (true, false, Some(expires)) = (self.online, self.refreshing, self.expires) {
            let left = expires.0.saturating_sub(REFRESH_MILLIS).saturating_sub(now.wall.0);
            next = next.min(now.mono.after(left * Nanos::MILLISECOND));
        }
        next
    }

    /// Whether nothing waits to be acknowledged, no room to be entered, and no page to arrive.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.outbox.len() + self.wanted.len() + self.held.len() + self.asked.len();
        self.online && waiting == 0 && self.rooms.values().all(|state| state.retry_at().is_none())
    }

    /// Bits that nobody foretells.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn key(&mut self, now: Now) -> String {
        let (a, b) = (self.draw().to_le_bytes(), self.draw().to_le_bytes());
        let mut random = [0; 10];
        random[..8].copy_from_slice(&a);
        random[8..].copy_from_slice(&b[..2]);
        Key(uuid_v7(now.wall.0, random)).to_string()
    }

    fn show(&mut self, show: Show) {
        self.out.push(Do::Show(show));
    }

    fn note(&mut self, note: impl Into<String>) {
        self.show(Show::Note(note.into()));
    }

    fn ask(&mut self, mut command: Value, asked: Asked) {
        self.last_re += 1;
        command["id"] = self.last_re.into();
        self.asked.insert(self.last_re, asked);
        self.out.push(Do::Send(command.to_string()));
    }

    /// Queues a command that carries a key, and is repeated until it is answered.
    fn enqueue(&mut self, now: Now, mut command: Value, what: impl Into<String>) {
        if self.outbox.len() >= OUTBOX_MAX {
            self.note("! too much is waiting to be sent: this was dropped");
            return;
        }
        command["key"] = self.key(now).into();
        self.outbox.push_back(Waiting { command, what: what.into(), sent: false, not_before: Nanos(0) });
        self.pump(now);
    }

    /// Sends the front of the outbox when it may go.
    fn pump(&mut self, now: Now) {
        if !self.online {
            return;
        }
        let Some(first) = self.outbox.front_mut() else { return };
        if !first.sent && first.not_before <= now.mono {
            first.sent = true;
            let command = first.command.clone();
            self.ask(command, Asked::Outbox);
        }
    }

    /// The connection stands; signs in.
    pub(crate) fn connected(&mut self, now: Now, token: &str) {
        self.connected = true;
        self.connect_at = None;
        self.heard = now.mono;
        let resume: Vec<Value> = self
            .rooms
            .iter_mut()
            .filter_map(|(room, state)| {
                let (epoch, seq) = state.cursor()?;
                state.resuming = true;
                Some(json!({"room": room.to_string(), "epoch": epoch, "seq": seq}))
            })
            .collect();
        self.ask(json!({"op": "hello", "token": token, "resume": resume}), Asked::Hello);
    }

    /// There is no connection, or no longer. `code` is that of the close frame, `retry_after` in milliseconds.
    pub(crate) fn disconnected(&mut self, now: Now, why: &str, code: Option<u16>, retry_after: Option<u64>) {
        self.connected = false;
        self.online = false;
        self.refreshing = false;
        self.asked.clear();
        self.rooms.values_mut().for_each(Room::disconnected);
        for waiting in &mut self.outbox {
            waiting.sent = false;
        }
        if let Some(code @ (4_000..=4_099 | 1_002 | 1_003 | 1_007..=1_009)) = code {
            self.out.push(Do::Fail(format!("the server closed the connection for good: {why} ({code})")));
            return;
        }
        let bound = (BACKOFF_MIN << self.attempts.min(16)).min(BACKOFF_MAX);
        self.attempts += 1;
        let jitter = self.draw() % bound + 1;
        let wait = retry_after.map_or(jitter, |least| least + jitter % BACKOFF_MIN);
        self.connect_at = Some(now.mono.after(wait * Nanos::MILLISECOND));
        self.show(Show::Offline(why.to_owned(), wait));
    }

    /// A new token, when [`Do::Token`] asked for one.
    pub(crate) fn refresh(&mut self, token: &str) {
        self.refreshing = true;
        self.ask(json!({"op": "refresh", "token": token}), Asked::Refresh);
    }

    /// A deadline has passed.
    pub(crate) fn tick(&mut self, now: Now) {
        if self.connect_at.is_some_and(|at| at <= now.mono) {
            self.connect_at = None;
            self.out.push(Do::Connect);
        }
        let silence = 2 * self.heartbeat_nanos + SILENCE_SLACK_NANOS;
        if self.connected && now.mono.since(self.heard) >= silence {
            self.out.push(Do::Drop);
        }
        if self.online
            && !self.refreshing
            && self.expires.is_some_and(|at| at.0 <= now.wall.0.saturating_add(REFRESH_MILLIS))
        {
            self.refreshing = true;
            self.out.push(Do::Token);
        }
        if self.online {
            self.subscribe_again(now);
            self.fill(now);
        }
        self.pump(now);
    }

    /// The server gave a sign of life.
    pub(crate) fn heard(&mut self, now: Now) {
        self.heard = now.mono;
    }

    /// A text frame arrived.
    pub(crate) fn frame(&mut self, now: Now, frame: &str) {
        self.heard = now.mono;
        let Ok(value) = serde_json::from_str::<Value>(frame) else {
            self.note("! the server sent something that is no JSON");
            return;
        };
        let re = value.get("re").and_then(Value::as_u64).unwrap_or(0);
        let asked = self.asked.remove(&re);
        match (text(&value, "ev"), asked) {
            ("error", Some(asked)) => self.refused(now, asked, &value),
            ("error", None) => self.unasked_error(now, &value),
            ("ok", Some(asked)) => self.done(now, asked, value),
            ("subscribed", _) => self.subscribed(now, value),
            ("history", Some(Asked::Fill(room))) => {
                let shown = self.rooms.get_mut(&room).map(|state| state.page(&value)).unwrap_or_default();
                self.events(room, shown);
            }
            ("history", Some(Asked::Past(room))) => self.past(room, &value),
            ("here" | "members" | "sync", Some(Asked::Question(what))) => {
                if what == "rooms" {
                    self.learn_names(&value);
                }
                self.show(Show::Answer(what, value));
            }
            ("resync", _) => {
                let to = value.get("to").and_then(Value::as_u64).unwrap_or(0);
                if let Some(state) = room_of(&value).and_then(|room| self.rooms.get_mut(&room)) {
                    state.resync(to);
                }
            }
            ("draining", _) => self.note("* the server is about to restart"),
            ("typing" | "read" | "delivered" | "presence", _) => {
                let name = room_of(&value).map(|room| self.room_name(room)).unwrap_or_default();
                self.show(Show::Passing(name, value));
            }
            ("ok" | "history" | "here" | "members" | "sync", _) => {}
            _ => {
                if let Some(room) = room_of(&value) {
                    self.live(room, value);
                }
            }
        }
        self.fill(now);
        self.pump(now);
    }

    fn live(&mut self, room: RoomId, event: Value) {
        let shown = self.rooms.get_mut(&room).map(|state| state.event(event)).unwrap_or_default();
        self.events(room, shown);
    }

    fn events(&mut self, room: RoomId, events: Vec<Value>) {
        let name = self.room_name(room);
        for event in events {
            self.show(Show::Event(name.clone(), event, false));
        }
    }

    fn past(&mut self, room: RoomId, page: &Value) {
        let name = self.room_name(room);
        let events = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        for event in events.into_iter().rev() {
            self.show(Show::Event(name.clone(), event, true));
        }
    }

    fn room_name(&self, room: RoomId) -> String {
        match self.rooms.get(&room) {
            Some(state) if !state.name.is_empty() => state.name.clone(),
            _ => room.to_string()[..8].to_owned(),
        }
    }

    /// Asks for pages of rooms with holes.
    fn fill(&mut self, now: Now) {
        if !self.online {
            return;
        }
        let holes: Vec<_> = self
            .rooms
            .iter_mut()
            .filter_map(|(room, state)| Some((*room, state.missing(now.mono)?)))
            .collect();
        for (room, (epoch, seq)) in holes {
            let page = json!({"op": "history", "room": room.to_string(), "after": seq, "epoch": epoch, "all": true, "limit": 500});
            self.ask(page, Asked::Fill(room));
        }
    }

    fn is_resuming(&self) -> bool {
        self.rooms.values().any(|state| state.resuming)
    }

    /// A room of `hello` was resumed or refused; after the last one the client is online.
    fn resumed(&mut self, room: RoomId) {
        let was = self.rooms.get_mut(&room).is_some_and(|state| std::mem::take(&mut state.resuming));
        if was && !self.is_resuming() {
            self.show(Show::Online(self.me));
        }
    }

    fn subscribed(&mut self, now: Now, reply: Value) {
        let Some(room) = room_of(&reply) else { return };
        let Some(state) = self.rooms.get_mut(&room) else { return };
        state.subscribe_at = None;
        let (first, shown) = state.subscribed(&reply);
        if first {
            let name = self.room_name(room);
            self.current = Some(room);
            let top = reply.get("top").and_then(Value::as_u64).unwrap_or(0);
            self.show(Show::Entered(room.to_string(), name.clone(), reply));
            if top > 0 {
                self.look_back(room, PAST_SHOWN);
            }
            self.wanted.retain(|wanted| *wanted != name && *wanted != room.to_string());
            self.release_held(now);
        } else {
            self.events(room, shown);
            self.resumed(room);
        }
        self.pump(now);
    }

    fn look_back(&mut self, room: RoomId, limit: u32) {
        self.ask(json!({"op": "history", "room": room.to_string(), "limit": limit}), Asked::Past(room));
    }

    fn signed_in(&mut self, now: Now, ok: &Value) {
        self.online = true;
        self.attempts = 0;
        if let Some(millis) = ok.get("heartbeat_ms").and_then(Value::as_u64) {
            self.heartbeat_nanos = millis.saturating_mul(Nanos::MILLISECOND);
        }
        self.set_expiry(now, ok);
        if !self.is_resuming() {
            self.show(Show::Online(self.me));
        }
        // Rooms that were being entered when the connection was lost.
        let unentered: Vec<RoomId> =
            self.rooms.iter().filter(|(_, state)| state.cursor().is_none()).map(|(room, _)| *room).collect();
        for room in unentered {
            self.subscribe(room);
        }
        for name in self.wanted.clone() {
            self.enter(now, &name);
        }
    }

    /// Takes `expires` relative to the server's own `time`, so that this machine's clock may be wrong.
    fn set_expiry(&mut self, now: Now, ok: &Value) {
        let millis = |field: &str| parse_time(text(ok, field));
        self.expires = match (millis("expires"), millis("time")) {
            (Some(expires), Some(time)) => {
                Some(Millis(now.wall.0.saturating_add(expires.saturating_sub(time))))
            }
            (Some(expires), None) => Some(Millis(expires)),
            _ => None,
        };
    }

    fn done(&mut self, now: Now, asked: Asked, ok: Value) {
        match asked {
            Asked::Hello => self.signed_in(now, &ok),
            Asked::Refresh => {
                self.refreshing = false;
                self.set_expiry(now, &ok);
            }
            Asked::Find(name) => match room_of(&ok) {
                Some(room) => self.join(now, room, &name),
                None => self.note(format!("! the server did not say where {name} is")),
            },
            Asked::Outbox => {
                let Some(Waiting { command, .. }) = self.outbox.pop_front() else { return };
                self.acknowledged(&command, ok);
            }
            Asked::Subscribe(_) | Asked::Fill(_) | Asked::Past(_) => {}
            Asked::Question(what) => self.show(Show::Answer(what, ok)),
        }
    }

    /// An own command took effect: its event is this `ok`.
    fn acknowledged(&mut self, command: &Value, ok: Value) {
        self.show(Show::Acked(command.clone(), ok.clone()));
        let room = room_of(&ok).or_else(|| room_of(command));
        match (text(command, "op"), room) {
            ("create" | "join" | "direct", Some(room)) => {
                let name = text(command, "name").to_owned();
                let state = self.rooms.entry(room).or_insert_with(|| Room::new(""));
                if !name.is_empty() {
                    state.name.clone_from(&name);
                }
                self.subscribe(room);
            }
            ("leave" | "decline_conversation", Some(room)) => {
                self.rooms.remove(&room);
                if self.current == Some(room) {
                    self.current = self.rooms.keys().next().copied();
                }
            }
            (op, Some(room)) => {
                if let Some(event) = own_event(op, command, &ok, self.me) {
                    self.live(room, event);
                }
            }
            (_, None) => {}
        }
    }

    fn refused(&mut self, now: Now, asked: Asked, error: &Value) {
        let retryable = error["retryable"] == true;
        let wait = retry_millis(error);
        match asked {
            Asked::Hello if !retryable || text(error, "code") == "token_expired" => {
                self.out.push(Do::Fail(format!(
                    "signing in failed: {} ({})",
                    text(error, "message"),
                    text(error, "code")
                )));
            }
            Asked::Hello | Asked::Refresh => self.out.push(Do::Drop),
            Asked::Find(name) if text(error, "code") == "room_not_found" => {
                self.enqueue(now, json!({"op": "create", "name": name}), format!("make the room {name}"));
            }
            Asked::Outbox => self.outbox_refused(now, retryable, wait, error),
            Asked::Fill(room) => {
                if let Some(state) = self.rooms.get_mut(&room)
                    && retryable
                {
                    state.page_failed(now.mono.after(wait.saturating_mul(Nanos::MILLISECOND)));
                } else {
                    self.show(Show::Refused("history".to_owned(), error.clone()));
                }
            }
            Asked::Subscribe(room) if retryable => self.subscribe_later(now, room, error),
            Asked::Subscribe(room) => {
                let name = self.room_name(room);
                self.wanted.retain(|wanted| *wanted != name && *wanted != room.to_string());
                self.rooms.remove(&room);
                self.show(Show::Refused("subscribe".to_owned(), error.clone()));
                self.release_held(now);
            }
            Asked::Find(name) => {
                self.wanted.retain(|wanted| *wanted != name);
                self.show(Show::Refused(format!("find {name}"), error.clone()));
                self.release_held(now);
            }
            Asked::Past(_) => self.show(Show::Refused("history".to_owned(), error.clone())),
            Asked::Question(what) => self.show(Show::Refused(what.to_owned(), error.clone())),
        }
    }

    fn outbox_refused(&mut self, now: Now, retryable: bool, wait: u64, error: &Value) {
        if retryable {
            if let Some(first) = self.outbox.front_mut() {
                first.sent = false;
                first.not_before = now.mono.after(wait * Nanos::MILLISECOND);
            }
            return;
        }
        let Some(Waiting { command, what, .. }) = self.outbox.pop_front() else { return };
        match (text(&command, "op"), text(error, "code")) {
            // Somebody made the room in the meantime.
            ("create", "name_taken") => self.find(text(&command, "name")),
            (op, _) => {
                if matches!(op, "join" | "create" | "direct") {
                    let name = text(&command, "name");
                    self.wanted.retain(|wanted| wanted != name && wanted != text(&command, "room"));
                }
                self.show(Show::Refused(what, error.clone()));
                self.release_held(now);
            }
        }
    }

    /// An error without a number: of a room that `hello` named.
    fn unasked_error(&mut self, now: Now, error: &Value) {
        let room = room_of(error);
        if let Some(room) = room {
            self.resumed(room);
        }
        match room {
            Some(room) if error["retryable"] == true => self.subscribe_later(now, room, error),
            _ => {
                if let Some(room) = room {
                    self.rooms.remove(&room);
                }
                self.show(Show::Refused("resume".to_owned(), error.clone()));
            }
        }
    }

    /// The server cannot subscribe a room for now: the room stays, and is asked for again.
    fn subscribe_later(&mut self, now: Now, room: RoomId, error: &Value) {
        let wait = retry_millis(error);
        let Some(state) = self.rooms.get_mut(&room) else { return };
        state.subscribe_at = Some(now.mono.after(wait.saturating_mul(Nanos::MILLISECOND)));
        let name = self.room_name(room);
        self.note(format!("* {name} is not available yet ({}); asking again", text(error, "code")));
    }

    fn subscribe_again(&mut self, now: Now) {
        let due: Vec<RoomId> = self
            .rooms
            .iter_mut()
            .filter(|(_, state)| state.subscribe_at.is_some_and(|at| at <= now.mono))
            .map(|(room, state)| {
                state.subscribe_at = None;
                *room
            })
            .collect();
        for room in due {
            self.subscribe(room);
        }
    }

    fn subscribe(&mut self, room: RoomId) {
        let mut command = json!({"op": "subscribe", "room": room.to_string()});
        if let Some((epoch, seq)) = self.rooms.get(&room).and_then(Room::cursor) {
            command["epoch"] = epoch.into();
            command["seq"] = seq.into();
        }
        self.ask(command, Asked::Subscribe(room));
    }

    fn find(&mut self, name: &str) {
        self.ask(json!({"op": "find", "name": name}), Asked::Find(name.to_owned()));
    }

    /// Enters a room by name or id.
    fn enter(&mut self, now: Now, name: &str) {
        match RoomId::parse(name) {
            Some(room) => self.join(now, room, ""),
            None => self.find(name),
        }
    }

    fn join(&mut self, now: Now, room: RoomId, name: &str) {
        let state = self.rooms.entry(room).or_insert_with(|| Room::new(name));
        if !name.is_empty() {
            name.clone_into(&mut state.name);
        }
        if state.cursor().is_some() {
            self.current = Some(room);
            self.wanted.retain(|wanted| wanted != name && *wanted != room.to_string());
            return;
        }
        let label = if name.is_empty() { room.to_string() } else { name.to_owned() };
        let command = json!({"op": "join", "room": room.to_string(), "name": name});
        self.enqueue(now, command, format!("join {label}"));
    }

    fn learn_names(&mut self, reply: &Value) {
        for row in reply.get("rooms").and_then(Value::as_array).into_iter().flatten() {
            if let Some(state) = room_of(row).and_then(|room| self.rooms.get_mut(&room))
                && state.name.is_empty()
            {
                text(row, "name").clone_into(&mut state.name);
            }
        }
    }

    /// Tells the server what was read in the current room; without an answer.
    pub(crate) fn tell_read(&mut self) {
        let Some((room, (_, seq))) =
            self.current.and_then(|room| Some((room, self.rooms.get(&room)?.cursor()?)))
        else {
            return;
        };
        if self.online && seq > 0 && self.read.get(&room).is_none_or(|told| *told < seq) {
            self.read.insert(room, seq);
            self.out.push(Do::Send(json!({"op": "read", "room": room.to_string(), "seq": seq}).to_string()));
        }
    }

    /// The user typed a line that is no command.
    pub(crate) fn unread(&mut self, why: impl Into<String>) {
        self.show(Show::Unread(why.into()));
    }

    /// The user typed a line.
    pub(crate) fn line(&mut self, now: Now, line: Line) {
        match line {
            Line::Empty => {}
            Line::Help => self.note(HELP),
            Line::Quit => self.out.push(Do::Quit),
            // A script does not wait until its rooms are entered.
            line if !self.wanted.is_empty() && self.held.len() < OUTBOX_MAX => self.held.push_back(line),
            line => self.obey(now, line),
        }
    }

    /// Lines that waited for a room to be entered.
    fn release_held(&mut self, now: Now) {
        while self.wanted.is_empty()
            && let Some(line) = self.held.pop_front()
        {
            self.obey(now, line);
        }
    }

    fn obey(&mut self, now: Now, line: Line) {
        match line {
            Line::Join(name) if self.online => self.enter(now, &name),
            Line::Join(name) => self.wanted.push(name),
            Line::Direct(user) => match user_of(&user) {
                Some(id) => {
                    let command = json!({"op": "direct", "user": id.to_string(), "name": name_of(id)});
                    self.enqueue(now, command, format!("talk to {user}"));
                }
                None => self.note(format!("! {user} is neither a name nor an id")),
            },
            Line::Rooms => self.ask_online(json!({"op": "sync"}), "rooms"),
            Line::Moderate(op @ ("block" | "unblock"), who) => {
                self.about_user(now, op, &who, json!({"op": op}))
            }
            other => match self.current {
                Some(room) => self.line_in_room(now, room, other),
                None => self.note("! you are in no room: /join one first"),
            },
        }
    }

    fn line_in_room(&mut self, now: Now, room: RoomId, line: Line) {
        let id = room.to_string();
        match line {
            Line::Say(text) => {
                self.enqueue(now, json!({"op": "send", "room": id, "text": text}), "say that");
            }
            Line::Leave => self.enqueue(now, json!({"op": "leave", "room": id}), "leave"),
            Line::Decline => {
                self.enqueue(now, json!({"op": "decline_conversation", "room": id}), "decline");
            }
            Line::History(limit) if self.online => self.look_back(room, limit.clamp(1, 500)),
            Line::Who => self.ask_online(json!({"op": "presence", "room": id}), "here"),
            Line::Members => self.ask_online(json!({"op": "members", "room": id}), "members"),
            Line::Typing if self.online => {
                self.out.push(Do::Send(json!({"op": "typing", "room": id}).to_string()));
            }
            Line::Edit(seq, text) => {
                self.enqueue(
                    now,
                    json!({"op": "edit", "room": id, "seq": seq, "text": text}),
                    format!("edit {seq}"),
                );
            }
            Line::Delete(seq) => {
                self.enqueue(now, json!({"op": "delete", "room": id, "seq": seq}), format!("delete {seq}"));
            }
            Line::React(seq, emoji) => {
                self.enqueue(
                    now,
                    json!({"op": "react", "room": id, "seq": seq, "emoji": emoji}),
                    format!("react to {seq}"),
                );
            }
            Line::Role(who, role) => {
                self.about_user(now, "role", &who, json!({"op": "role", "room": id, "role": role}))
            }
            Line::Moderate(op, who) => self.about_user(now, op, &who, json!({"op": op, "room": id})),
            _ => self.note("! not connected"),
        }
    }

    fn about_user(&mut self, now: Now, op: &str, who: &str, mut command: Value) {
        match user_of(who) {
            Some(user) => {
                command["user"] = user.to_string().into();
                self.enqueue(now, command, format!("{op} {who}"));
            }
            None => self.note(format!("! {who} is neither a name nor an id")),
        }
    }

    fn ask_online(&mut self, command: Value, what: &'static str) {
        if self.online {
            self.ask(command, Asked::Question(what));
        } else {
            self.note("! not connected");
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
