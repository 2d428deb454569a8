//! A good client on one device.

use std::collections::BTreeMap;

use lynk_domain::{Key, MediaId, RoomId, RoomKind, SessionId, UserId, uuid_v7};

use super::intent::{Change, Intent, Pending, Question, Standing};
use super::link::{Link, Read, Stage};
use super::view::View;
use super::{Around, Mix, Stepped};
use crate::random::Random;
use crate::scenario::RoomPlan;

/// Commands that a device has in flight at most; the server allows 32.
const IN_FLIGHT_MAX: usize = 20;
/// Unfinished changes above which a device starts no other.
const INTENTS_MAX: usize = 8;
/// Bytes read in one step of a quick device.
const READ_BYTES: usize = 16 << 10;

/// Time from the sign-in until the rooms that a connection must know are noted, in nanoseconds.
const BASE_NANOS: u64 = 1_000_000_000;

/// How a device behaves in time.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Time between two actions, in nanoseconds, about.
    pub(crate) think_nanos: u64,
    /// Bytes read in one step, and time between two steps while there is more.
    pub(crate) read_bytes: usize,
    pub(crate) read_nanos: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { think_nanos: 40_000_000, read_bytes: READ_BYTES, read_nanos: 100_000 }
    }
}

/// A change that was answered, kept to be repeated on purpose.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) key: Key,
    pub(crate) room: RoomId,
    pub(crate) change: Change,
    pub(crate) seq: u64,
}

/// A client that keeps the protocol.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    /// The first device of its user: only this one blocks, so that its blocks have one order.
    pub(crate) first: bool,
    pub(crate) random: Random,
    pub(crate) mix: Mix,
    pub(crate) pace: Pace,
    pub(crate) link: Option<Link>,
    pub(crate) views: BTreeMap<RoomId, View>,
    pub(crate) intents: Vec<Intent>,
    pub(crate) done: Vec<Done>,
    pub(crate) connect_at: u64,
    pub(crate) act_at: u64,
    failures: u32,
    fresh_token: bool,
    /// Rooms of the directory it has looked at.
    rooms_seen: usize,
    /// The rooms of the user were compared since the last comparison began.
    pub(crate) compared: bool,
    /// Who was last said to be online, or not, on this connection.
    pub(crate) presence: BTreeMap<UserId, bool>,
    /// How often it signed in.
    pub(crate) sign_ins: u64,
    /// Files that the server still looks at, with their rooms.
    pub(crate) unready: Vec<(RoomId, MediaId)>,
    /// Its account is erased: it is used no more.
    ended: bool,
}

impl Device {
    pub(crate) fn new(user: UserId, first: bool, mut random: Random, mix: Mix, pace: Pace) -> Self {
        let session = SessionId(random.bytes());
        let connect_at = random.below(50_000_000);
        Self {
            user,
            session,
            first,
            random,
            mix,
            pace,
            link: None,
            views: BTreeMap::new(),
            intents: Vec::new(),
            done: Vec::new(),
            connect_at,
            act_at: 0,
            failures: 0,
            fresh_token: false,
            rooms_seen: 0,
            compared: false,
            presence: BTreeMap::new(),
            sign_ins: 0,
            unready: Vec::new(),
            ended: false,
        }
    }

    /// Makes this device the founder of the world's first rooms.
    pub(crate) fn found(&mut self, rooms: &[RoomPlan]) {
        for (number, plan) in rooms.iter().enumerate() {
            let name = format!("hall {number}");
            let change =
                Change::Create { name, kind: plan.kind, level: plan.level, visibility: plan.visibility };
            let key = Key(uuid_v7(1_790_000_000_000, self.random.bytes()));
            self.intents.push(Intent::new(key, None, change, 0));
        }
    }

    /// Joins new rooms, and invites others into one's own.
    fn look_around(&mut self, s: &Around<'_>) {
        while let Some(room) = s.directory.rooms.get(self.rooms_seen).copied() {
            self.rooms_seen += 1;
            let Some(truth) = s.ledger.room(room).filter(|_| self.first) else { continue };
            let member = truth.is_member(self.user);
            match truth.kind {
                RoomKind::Public if !member && self.random.chance(850) => {
                    self.intend(s, Some(room), Change::Join);
                }
                RoomKind::Private | RoomKind::InviteOnly if member => {
                    for user in &s.directory.users {
                        if *user != self.user && self.random.chance(600) {
                            self.intend(s, Some(room), Change::Invite { user: *user });
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Everything the device has to do now.
    ///
    /// # Errors
    /// When the server broke a promise to this device.
    pub(crate) fn step(&mut self, s: &mut Around<'_>) -> Result<Stepped, String> {
        let mut touched = None;
        if s.ledger.is_erased(self.user) {
            self.end(s);
            return Ok(Stepped { next: None, touched });
        }
        if self.link.is_none() {
            if s.now < self.connect_at {
                return Ok(Stepped { next: Some(self.connect_at), touched });
            }
            let Some(socket) = s.network.open() else {
                self.back_off(s.now, None);
                return Ok(Stepped { next: Some(self.connect_at), touched });
            };
            self.link = Some(Link::new(socket, self.random.fork(2)));
            touched = Some(socket);
        }
        let more = self.read(s)?;
        if self.stage() == Some(Stage::Ready) {
            self.note_rooms(s);
            self.repeat(s);
            self.subscribe_missing(s);
            self.fill_missing(s);
            if s.still {
                self.ask_lists(s);
            }
            if !s.settling {
                self.look_around(s);
            }
            if !s.settling && s.now >= self.act_at {
                self.act_at = s.now + self.random.delay(self.pace.think_nanos);
                if self.in_flight() < IN_FLIGHT_MAX && self.intents.len() < INTENTS_MAX {
                    self.act(s);
                }
            }
        }
        if let Some(link) = &mut self.link
            && let Some(socket) = s.network.socket(link.socket)
        {
            if link.flush(socket) {
                touched = Some(link.socket);
            }
        } else if let Some(link) = &self.link {
            touched = Some(link.socket);
        }
        Ok(Stepped { next: self.next_step(s, more), touched })
    }

    /// Notes which rooms a `sync` would list, as soon as the sign-in has surely reached the user's shard: from then on every
    /// change is told.
    fn note_rooms(&mut self, s: &Around<'_>) {
        if let Some(link) = self.link.as_mut().filter(|link| link.base_rooms.is_none()) {
            if link.base_at == u64::MAX {
                link.base_at = s.now + BASE_NANOS;
            } else if s.now >= link.base_at {
                let user = self.user;
                let version = |room: RoomId, logged| logged + s.ledger.turns(room, user);
                let of = s.ledger.rooms().map(|room| (room.room, version(room.room, room.version())));
                let versions = of.collect();
                link.base_rooms = Some((s.ledger.rooms_of(self.user), versions));
            }
        }
    }

    fn next_step(&self, s: &Around<'_>, more: bool) -> Option<u64> {
        if self.link.is_none() {
            return Some(self.connect_at);
        }
        let soon = more.then_some(s.now + self.pace.read_nanos);
        let unsent = self.link.as_ref().is_some_and(|l| l.unsent() > 0).then_some(s.now + 500_000);
        let ready = self.stage() == Some(Stage::Ready);
        let act = (ready && !s.settling).then_some(self.act_at.max(s.now + 1_000));
        let waiting = self.intents.iter().filter_map(|intent| match intent.standing {
            Standing::Waiting(at) => Some(at.max(s.now + 1_000_000)),
            Standing::Sent(_) => None,
        });
        let pages = self.views.values().filter(|v| v.wanted && v.missing().is_some() && !v.paging);
        let pages = pages.map(|v| v.page_at.max(s.now + 1_000_000));
        let work = waiting.chain(pages).filter(|_| ready);
        work.chain(soon).chain(unsent).chain(act).min()
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        self.link.as_ref().map(|link| link.stage)
    }

    fn in_flight(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.pending.len())
    }

    /// Reads what has arrived; whether there is more.
    fn read(&mut self, s: &mut Around<'_>) -> Result<bool, String> {
        let most = if s.settling { s.buffer.len() } else { self.pace.read_bytes.min(s.buffer.len()) };
        let mut frames = Vec::new();
        let Some(link) = &mut self.link else { return Ok(false) };
        let Some(socket) = s.network.socket(link.socket) else { return Ok(false) };
        link.read(socket, &mut s.buffer[..most], &mut frames);
        let more = socket.client_readable();
        for frame in frames {
            match frame {
                Read::Upgraded => self.hello(s),
                Read::Text(payload) => {
                    let item =
                        s.parsed.item(&payload).map_err(|e| format!("a frame that is not JSON: {e}"))?;
                    self.on_frame(&item, s)?;
                }
                Read::Over => {
                    self.check_close()?;
                    self.disconnect(s, true);
                }
                Read::Broken(what) => return Err(format!("{}: {what}", self.user)),
            }
        }
        Ok(more && self.link.is_some())
    }

    fn check_close(&self) -> Result<(), String> {
        match self.link.as_ref().and_then(|l| l.closed) {
            Some(code @ (1002 | 1003 | 1007 | 1008 | 1009 | 1011 | 4000 | 4003)) => {
                Err(format!("{}: a good client was closed with {code}", self.user))
            }
            _ => Ok(()),
        }
    }

    fn back_off(&mut self, now: u64, after_ms: Option<u64>) {
        self.failures = (self.failures + 1).min(6);
        let most = 200_000_000u64 << self.failures;
        let least = after_ms.unwrap_or(10) * 1_000_000;
        self.connect_at = now + least + self.random.below(most);
    }

    /// Forgets the connection; what was not answered will be repeated.
    pub(crate) fn disconnect(&mut self, s: &mut Around<'_>, back_off: bool) {
        let Some(link) = self.link.take() else { return };
        if link.closed == Some(4100) {
            self.fresh_token = true;
        }
        if let Some(socket) = s.network.socket(link.socket) {
            socket.client_finish();
            socket.reset();
        }
        for intent in &mut self.intents {
            if let Standing::Sent(_) = intent.standing {
                intent.standing = Standing::Waiting(s.now);
                intent.ambiguous = true;
            }
        }
        self.views.values_mut().for_each(|view| view.paging = false);
        self.presence.clear();
        if back_off {
            self.back_off(s.now, None);
        } else {
            self.connect_at = s.now + self.random.below(300_000_000);
        }
    }

    /// The account is erased: its session is gone, and with it all that was under way.
    fn end(&mut self, s: &mut Around<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.disconnect(s, false);
            self.intents.clear();
            self.views.clear();
        }
    }

    /// A close that the client wishes: with a close frame, or by vanishing.
    pub(crate) fn leave(&mut self, s: &mut Around<'_>, politely: bool) {
        if politely && let Some(link) = &mut self.link {
            link.close();
            if let Some(socket) = s.network.socket(link.socket) {
                link.flush(socket);
                socket.client_finish();
            }
        }
        self.disconnect(s, false);
    }

    fn hello(&mut self, s: &mut Around<'_>) {
        let fresh = std::mem::take(&mut self.fresh_token);
        let token = s.tokens.token(self.user, self.session, s.server_wall, fresh);
        let mut resume = String::new();
        let mut rooms = Vec::new();
        for (room, view) in self.views.iter().filter(|(_, v)| v.wanted) {
            if !resume.is_empty() {
                resume.push(',');
            }
            resume.push_str(&cursor(*room, view));
            rooms.push(*room);
        }
        let fields = format!(",\"op\":\"hello\",\"token\":\"{token}\",\"resume\":[{resume}]");
        let id = self.ask(s, Question::Hello, &fields);
        if let Some(link) = &mut self.link {
            link.resuming = rooms.into_iter().collect();
            link.hello = id;
            link.hello_at = s.step;
        }
    }

    /// Sends a command without key; `fields` starts with a comma.
    pub(crate) fn ask(&mut self, s: &Around<'_>, question: Question, fields: &str) -> u64 {
        let Some(link) = &mut self.link else { return 0 };
        link.last_id += 1;
        let id = link.last_id;
        link.text(&format!("{{\"id\":{id}{fields}}}"));
        let user = self.user;
        s.trace.line(|| format!("client {user} asks {id}{fields}"));
        link.pending.insert(id, Pending { question, issued: s.step });
        id
    }

    pub(crate) fn signed_in(&mut self) {
        self.failures = 0;
        self.sign_ins += 1;
        if let Some(link) = &mut self.link {
            link.stage = Stage::Ready;
        }
    }

    /// Begins a change.
    pub(crate) fn intend(&mut self, s: &Around<'_>, room: Option<RoomId>, change: Change) {
        let key = Key(uuid_v7(s.wall.0, self.random.bytes()));
        self.intents.push(Intent::new(key, room, change, s.now));
    }

    /// Sends the changes that wait.
    fn repeat(&mut self, s: &mut Around<'_>) {
        let settling = s.settling;
        for index in 0..self.intents.len() {
            let Some(link) = self.link.as_mut().filter(|l| l.pending.len() < IN_FLIGHT_MAX) else { return };
            let intent = &mut self.intents[index];
            let Standing::Waiting(at) = intent.standing else { continue };
            if at > s.now {
                continue;
            }
            link.last_id += 1;
            let id = link.last_id;
            let text = intent.command(id);
            link.text(&text);
            intent.standing = Standing::Sent(id);
            intent.attempts += 1;
            link.pending.insert(id, Pending { question: Question::Change, issued: s.step });
            if let Change::Block { user, on: false } = intent.change {
                s.ledger.unblocking(self.user, user);
            }
            let user = self.user;
            s.trace
                .line(|| format!("client {user} sends {text}{}", if settling { " (settling)" } else { "" }));
        }
    }

    /// Subscribes to rooms of which the user is a member and the device wants events.
    fn subscribe_missing(&mut self, s: &mut Around<'_>) {
        let Some(link) = &self.link else { return };
        if !link.resuming.is_empty() {
            return;
        }
        let mut rooms = Vec::new();
        for truth in s.ledger.rooms() {
            let room = &truth.room;
            let member = truth.is_member(self.user) && !s.ledger.keeps_out(*room, self.user);
            let known = self.views.get(room);
            let wanted = known.is_none_or(|v| v.wanted || s.still);
            let due = known.is_none_or(|v| v.page_at <= s.now);
            let asked = self.subscribing(*room);
            let told = link.streams.contains_key(room)
                && !link.again.contains(room)
                && (!s.still || known.is_some_and(|v| v.audited));
            if member && wanted && due && !asked && !told {
                rooms.push(*room);
            }
        }
        for room in rooms {
            self.subscribe(s, room);
        }
    }

    /// Whether the answer to a subscription of the room, or to its end, is still to come: a good client has one at
    /// a time.
    fn subscribing(&self, room: RoomId) -> bool {
        let Some(link) = &self.link else { return false };
        let joins = |i: &Intent| i.room == Some(room) && i.change.joins();
        link.resuming.contains(&room)
            || self.intents.iter().any(joins)
            || link.pending.values().any(
                |p| matches!(p.question, Question::Subscribe { room: r } | Question::Unsubscribe { room: r } if r == room),
            )
    }

    pub(crate) fn subscribe(&mut self, s: &Around<'_>, room: RoomId) {
        if self.subscribing(room) {
            return;
        }
        let view = self.views.entry(room).or_default();
        view.wanted = true;
        let cursor = if view.start > 0 {
            format!(",\"epoch\":{},\"seq\":{}", view.epoch, view.cursor())
        } else {
            String::new()
        };
        let fields = format!(",\"op\":\"subscribe\",\"room\":\"{room}\"{cursor}");
        self.ask(s, Question::Subscribe { room }, &fields);
    }

    /// Pages what is missing, one page a room at a time.
    fn fill_missing(&mut self, s: &mut Around<'_>) {
        let missing: Vec<(RoomId, u64)> = self
            .views
            .iter()
            .filter(|(_, v)| v.wanted && !v.paging && v.page_at <= s.now)
            .filter_map(|(room, v)| Some((*room, v.missing()?)))
            .collect();
        for (room, first) in missing {
            if self.in_flight() >= IN_FLIGHT_MAX {
                return;
            }
            let limit = self.random.between(1, 60);
            let after = first - 1;
            let fields = format!(
                ",\"op\":\"history\",\"room\":\"{room}\",\"after\":{after},\"all\":true,\"limit\":{limit}"
            );
            if let Some(view) = self.views.get_mut(&room) {
                view.paging = true;
            }
            self.ask(s, Question::Fill { room, after }, &fields);
        }
    }

    /// Asks for the lists that are compared when nothing changes any more.
    fn ask_lists(&mut self, s: &Around<'_>) {
        if let Some(user) = self.neighbour(s)
            && let Some(link) = self.link.as_mut().filter(|link| !link.watches)
        {
            link.watches = true;
            self.ask(s, Question::Presence, &format!(",\"op\":\"presence\",\"watch\":[\"{user}\"]"));
        }
        let asked = |question: &Question| matches!(question, Question::Sync);
        let waits = self.link.as_ref().is_some_and(|l| l.pending.values().any(|p| asked(&p.question)));
        if self.compared || waits || s.now < self.act_at {
            return;
        }
        self.act_at = s.now + 200_000_000;
        self.ask(s, Question::Sync, ",\"op\":\"sync\"");
        if self.mix.lists {
            self.ask_all_lists(s);
        }
        let own = s.ledger.rooms().filter(|r| r.is_member(self.user)).map(|r| r.room);
        let room = own.filter(|room| !s.ledger.keeps_out(*room, self.user)).last();
        if let Some(room) = room {
            let fields = format!(",\"op\":\"members\",\"room\":\"{room}\"");
            self.ask(s, Question::Members { room }, &fields);
        }
    }

    /// The user whose presence this device compares.
    fn neighbour(&self, s: &Around<'_>) -> Option<UserId> {
        let users = &s.directory.users;
        let own = users.iter().position(|user| *user == self.user)?;
        users.get((own + 1) % users.len()).copied().filter(|user| *user != self.user)
    }

    /// Starts over with every room, to compare it whole.
    pub(crate) fn audit(&mut self) {
        self.compared = false;
        self.act_at = 0;
        for view in self.views.values_mut() {
            view.start = 1;
            view.have.clear();
            view.page_at = 0;
            // Subscribing again tells the unread count.
            view.audited = false;
        }
    }

    /// What keeps the device from being done; `None` when nothing does.
    pub(crate) fn unfinished(&self, s: &Around<'_>) -> Option<String> {
        if s.ledger.is_erased(self.user) {
            return None;
        }
        let Some(link) = &self.link else { return Some("not connected".to_owned()) };
        if link.stage != Stage::Ready || !link.resuming.is_empty() {
            return Some(format!("{:?}, {} rooms to resume", link.stage, link.resuming.len()));
        }
        if let Some((id, pending)) = link.pending.first_key_value() {
            return Some(format!("command {id} ({:?}) has no answer", pending.question));
        }
        if let Some(intent) = self.intents.first() {
            return Some(format!("{} with key {} is not settled", intent.change.op(), intent.key));
        }
        if s.still && !self.compared {
            return Some("the rooms are not compared".to_owned());
        }
        if s.still
            && let Some(known) = link.known_rooms()
            && known != s.ledger.rooms_of(self.user)
        {
            return Some(format!("was told of the rooms {known:?}, not {:?}", s.ledger.rooms_of(self.user)));
        }
        if s.still
            && let Some(user) = self.neighbour(s)
        {
            // Every device is connected by now.
            let (told, expected) = (self.presence.get(&user), s.ledger.sees(self.user, user));
            if told != Some(&expected) {
                return Some(format!("{user} is told to be online: {told:?}, not {expected}"));
            }
        }
        let out = |room: RoomId| s.ledger.keeps_out(room, self.user);
        for room in s.ledger.rooms().filter(|r| r.is_member(self.user) && !out(r.room)) {
            let Some(view) = self.views.get(&room.room) else {
                return Some(format!("{} is not known", room.room));
            };
            if s.still && !view.audited {
                return Some(format!("{} is not compared", room.room));
            }
            if !view.wanted {
                continue;
            }
            let Some(next) = link.streams.get(&room.room).filter(|_| !link.again.contains(&room.room)) else {
                return Some(format!("{} is not subscribed", room.room));
            };
            let next = (*next..).find(|seq| !link.perhaps.contains(&(room.room, *seq))).unwrap_or(*next);
            if let Some(first) = view.missing() {
                return Some(format!("{}: {first} is missing", room.room));
            }
            if next <= room.top() {
                return Some(format!("{}: the stream stands at {next}, top is {}", room.room, room.top()));
            }
        }
        None
    }
}

/// A room and its cursor as `hello` takes it.
fn cursor(room: RoomId, view: &View) -> String {
    if view.start == 0 {
        return format!("{{\"room\":\"{room}\"}}");
    }
    format!("{{\"room\":\"{room}\",\"epoch\":{},\"seq\":{}}}", view.epoch, view.cursor())
}
