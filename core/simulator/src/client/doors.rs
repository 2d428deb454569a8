//! How clients come in by links and requests, look for rooms, report, send files and delete for themselves.

use lynk_domain::{MediaId, RoomId, RoomKind};
use lynk_model::Attachment;

use super::choose::Act;
use super::intent::{Change, Question, Wanted};
use super::{Around, Device};

/// Codes and files that all clients remember.
const KNOWN_MAX: usize = 24;
/// Lists that a room has for moderators.
const LISTS: [&str; 6] = ["links", "requests", "moderation_log", "reports", "mutes", "bans"];
/// Rooms whose lists one device compares.
const COMPARED_MAX: usize = 4;

/// A file with an id.
fn file(id: MediaId) -> Attachment {
    Attachment { id, name: "a\"b".to_owned(), kind: "image/png".to_owned(), bytes: 7, width: 2, height: 3 }
}

/// Keeps one more of what all clients know, and forgets the oldest.
pub(super) fn remember<T>(list: &mut Vec<T>, one: T) {
    if list.len() >= KNOWN_MAX {
        list.remove(0);
    }
    list.push(one);
}

impl Device {
    /// Does one of the things that no room is needed for; `false` when it is none of them.
    pub(super) fn act_outside(&mut self, s: &mut Around<'_>, act: Act) -> bool {
        match act {
            Act::Enter | Act::LookAt => self.enter(s, act == Act::Enter),
            Act::Discover => {
                let name = ["", "room", "hall", "hall 1", "no such"][self.random.index(5)];
                let limit = self.random.between(1, 50);
                let fields = format!(",\"op\":\"discover\",\"name\":\"{name}\",\"limit\":{limit}");
                self.ask(s, Question::Discover, &fields);
            }
            Act::MyRequests => {
                self.ask(s, Question::MyRequests, ",\"op\":\"my_requests\"");
            }
            Act::Clear => self.clear(s),
            Act::Converse => self.converse(s),
            _ => return false,
        }
        true
    }

    fn enter(&mut self, s: &mut Around<'_>, go: bool) {
        let out = |room: &RoomId| s.ledger.room(*room).is_none_or(|truth| !truth.is_member(self.user));
        let any = self.random.chance(200);
        let codes: Vec<_> = s.directory.codes.iter().filter(|(room, _, _)| any || out(room)).collect();
        let Some((room, _, code)) = self.random.pick(&codes).copied().cloned() else { return };
        if go {
            return self.intend(s, Some(room), Change::Enter { code });
        }
        let fields = format!(",\"op\":\"look\",\"code\":\"{code}\"");
        self.ask(s, Question::LookAt { code }, &fields);
    }

    /// Answers a stranger; now and then where nobody asks.
    fn converse(&mut self, s: &mut Around<'_>) {
        let waiting = s.ledger.waiting_for(self.user);
        let any = self.random.chance(50);
        let rooms = if any { &s.directory.rooms } else { &waiting };
        let Some(room) = self.random.pick(rooms).copied() else { return };
        let accept = self.random.chance(650);
        self.intend(s, Some(room), Change::Converse { accept });
    }

    fn clear(&mut self, s: &mut Around<'_>) {
        let own =
            s.ledger.rooms().filter(|truth| truth.kind == RoomKind::Direct && truth.is_member(self.user));
        let rooms: Vec<RoomId> = own.map(|truth| truth.room).collect();
        let Some(room) = self.random.pick(&rooms).copied() else { return };
        let Some(top) = self.views.get(&room).map(|view| view.top).filter(|top| *top > 0) else { return };
        let seq = self.random.between(1, top);
        let fields = format!(",\"op\":\"clear\",\"room\":\"{room}\",\"seq\":{seq}");
        self.ask(s, Question::Clear { room, seq }, &fields);
    }

    /// One of the lists of a room.
    pub(super) fn list(&mut self, s: &Around<'_>, room: RoomId) {
        let op = LISTS[self.random.index(LISTS.len())];
        let limit = self.random.between(1, 60);
        let fields = format!(",\"op\":\"{op}\",\"room\":\"{room}\",\"limit\":{limit}");
        self.ask(s, Question::Look { room }, &fields);
    }

    /// Every list that is compared when nothing changes any more.
    pub(super) fn ask_all_lists(&mut self, s: &Around<'_>) {
        self.ask(s, Question::Discover, ",\"op\":\"discover\",\"limit\":50");
        self.ask(s, Question::MyRequests, ",\"op\":\"my_requests\"");
        let own =
            s.ledger.rooms().filter(|truth| truth.is_member(self.user) && truth.kind != RoomKind::Direct);
        let rooms: Vec<RoomId> = own.map(|truth| truth.room).collect();
        for room in rooms.into_iter().rev().take(COMPARED_MAX) {
            for op in LISTS[..4].iter().chain(&["about"]) {
                let fields = format!(",\"op\":\"{op}\",\"room\":\"{room}\",\"limit\":500");
                self.ask(s, Question::Look { room }, &fields);
            }
        }
    }

    /// A change that links, requests, reports, files or settings are about.
    pub(super) fn change_door(&mut self, s: &mut Around<'_>, act: Act, room: RoomId) -> Option<Change> {
        Some(match act {
            Act::Link => Change::Link {
                seconds: self.random.chance(600).then(|| self.random.between(1, 5)),
                uses: self.random.chance(700).then(|| self.random.between(1, 2) as u32),
            },
            Act::Unlink => {
                let of: Vec<_> = s.directory.codes.iter().filter(|(at, _, _)| *at == room).collect();
                Change::Unlink { link: self.random.pick(&of).map(|(_, link, _)| *link)? }
            }
            Act::Ask => {
                let tag = self.random.next() as u32;
                Change::Ask {
                    text: if self.random.chance(500) {
                        format!("let me in {tag:08x}")
                    } else {
                        String::new()
                    },
                }
            }
            Act::Withdraw => Change::Withdraw,
            Act::Answer => {
                let open = s.ledger.open_requests(room);
                let user = self.random.pick(&open).copied();
                let user = user.filter(|_| !self.random.chance(50)).or_else(|| self.other(s))?;
                Change::Answer { user, accept: self.random.chance(600) }
            }
            Act::Report => {
                let reason = ["spam", "harassment", "other"][self.random.index(3)];
                let seq = if self.random.chance(600) { self.message(room, false) } else { None };
                let user = if seq.is_none() && self.random.chance(700) { self.other(s) } else { None };
                Change::Report { seq, user, reason }
            }
            Act::Resolve => {
                let count = s.ledger.reports_count(room);
                let outcome = ["dismissed", "message_deleted", "other"][self.random.index(3)];
                Change::Resolve { number: self.random.between(1, count.max(1)), outcome }
            }
            Act::Attach => {
                let files = self.files(s, room);
                let text = if self.random.chance(300) { String::new() } else { self.text() };
                Change::Send { text, reply_to: 0, mentions: self.mentions(s, room), files }
            }
            Act::Rename => {
                let kinds = [None, None, Some("public"), Some("private"), Some("invite_only")];
                let (tag, named) = (self.random.next() as u32, self.random.chance(500));
                Change::Settings(Wanted {
                    kind: kinds[self.random.index(kinds.len())],
                    name: named.then(|| format!("room {tag:08x}")),
                    description: self.random.chance(500).then(|| format!("about\n{tag}")),
                    ..Wanted::default()
                })
            }
            Act::Picture => {
                Change::Settings(Wanted { avatar: Some(self.picture(s, room)), ..Wanted::default() })
            }
            Act::Days => {
                Change::Settings(Wanted { days: Some(self.random.below(3) as u32), ..Wanted::default() })
            }
            _ => return None,
        })
    }

    /// Files for a message: new ones mostly, which are ready or not; now and then one that somebody put before.
    fn files(&mut self, s: &mut Around<'_>, room: RoomId) -> Vec<MediaId> {
        let mut files = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            if self.random.chance(100) {
                let known = self.random.pick(&s.directory.files).copied();
                files.extend(known.filter(|known| !files.contains(known)));
                continue;
            }
            let id = MediaId(self.random.bytes());
            let ready = !self.random.chance(200);
            s.files.put(room, self.user, file(id), ready);
            s.ledger.put(id, room, self.user);
            if ready {
                remember(&mut s.directory.files, id);
            } else {
                self.unready.push((room, id));
            }
            files.push(id);
        }
        files
    }

    /// A picture for a room: a new one mostly, which is ready or not; now and then none, or one that somebody put before.
    fn picture(&mut self, s: &mut Around<'_>, room: RoomId) -> MediaId {
        if self.random.chance(150) {
            return MediaId::NIL;
        }
        if let Some(known) = self.random.pick(&s.directory.pictures).copied()
            && self.random.chance(150)
        {
            return known;
        }
        let id = MediaId(self.random.bytes());
        let ready = !self.random.chance(200);
        s.files.put_picture(room, self.user, id, ready);
        s.ledger.put_picture(id, room, self.user);
        if ready {
            remember(&mut s.directory.pictures, id);
        } else {
            self.unready.push((room, id));
        }
        id
    }

    /// What the server still looked at is ready now. Nothing has it yet: it was refused.
    pub(super) fn make_ready(&mut self, s: &Around<'_>, refused: &Change) {
        let files = match refused {
            Change::Send { files, .. } => files.clone(),
            Change::Settings(wanted) => wanted.avatar.into_iter().collect(),
            _ => return,
        };
        let mut ready = Vec::new();
        self.unready.retain(|(room, id)| {
            let wanted = files.contains(id);
            ready.extend(wanted.then_some((*room, *id)));
            !wanted
        });
        for (room, id) in ready {
            match refused {
                Change::Settings(_) => s.files.put_picture(room, self.user, id, true),
                _ => s.files.put(room, self.user, file(id), true),
            }
        }
    }
}
