//! What a good client does next: drawn by weight, aimed at rooms and messages it knows.

use lynk_domain::{RoomId, UserId};
use lynk_model::Mentions;

use super::intent::{Change, Intent, Question, Wanted};
use super::{Around, Device};

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Send,
    Edit,
    Delete,
    React,
    Read,
    MarkUnread,
    Delivered,
    Typing,
    Browse,
    Sync,
    Members,
    Presence,
    Ping,
    Refresh,
    Join,
    Leave,
    Invite,
    Kick,
    Ban,
    Unban,
    Mute,
    Unmute,
    Role,
    Transfer,
    Pin,
    Settings,
    Level,
    Limits,
    DeleteRoom,
    Look,
    /// `join` with a code.
    Enter,
    LookAt,
    Link,
    Unlink,
    Ask,
    Withdraw,
    Answer,
    Report,
    Resolve,
    /// One of the lists that moderators have.
    List,
    Discover,
    MyRequests,
    Clear,
    /// A message with files.
    Attach,
    /// A picture for the room, or none.
    Picture,
    /// Kind, name and description.
    Rename,
    /// For how many days messages are kept.
    Days,
    Block,
    Unblock,
    Direct,
    /// Accepts or declines what a stranger began.
    Converse,
    Create,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Vanish,
    /// An answered change once more: the same answer.
    Repeat,
    /// An answered key with other content: a conflict.
    Conflict,
}

/// How often a client does what.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    weights: Vec<(u32, Act)>,
    /// Longest message in characters.
    pub(crate) text_max: u64,
    /// Whether lists of rooms are compared when nothing changes any more.
    pub(crate) lists: bool,
}

impl Mix {
    /// Mostly talk, a little of everything that changes nobody's standing.
    pub(crate) fn talk() -> Self {
        Self {
            weights: vec![
                (40, Act::Send),
                (6, Act::Edit),
                (4, Act::Delete),
                (6, Act::React),
                (8, Act::Read),
                (2, Act::MarkUnread),
                (3, Act::Delivered),
                (5, Act::Typing),
                (4, Act::Browse),
                (2, Act::Sync),
                (1, Act::Members),
                (2, Act::Presence),
                (1, Act::Ping),
                (1, Act::Refresh),
                (4, Act::Join),
                (1, Act::Subscribe),
                (1, Act::Unsubscribe),
                (2, Act::Disconnect),
                (2, Act::Vanish),
                (3, Act::Repeat),
                (1, Act::Conflict),
            ],
            text_max: 60,
            lists: false,
        }
    }

    /// Listens, and says something now and then.
    pub(crate) fn quiet() -> Self {
        Self {
            weights: vec![(10, Act::Send), (3, Act::Typing), (1, Act::Vanish)],
            text_max: 60,
            lists: false,
        }
    }

    /// The same with other weights for some acts.
    pub(crate) fn with(mut self, weights: &[(u32, Act)]) -> Self {
        for (weight, act) in weights {
            self.weights.retain(|(_, known)| known != act);
            if *weight > 0 {
                self.weights.push((*weight, *act));
            }
        }
        self
    }

    /// Compares lists of rooms in the end.
    pub(crate) fn with_lists(mut self) -> Self {
        self.lists = true;
        self
    }

    /// Longer messages.
    pub(crate) fn text_max(mut self, text_max: u64) -> Self {
        self.text_max = text_max;
        self
    }
}

const EMOJI: [&str; 4] = ["👍", "🎉", "a", "❤️"];

impl Device {
    /// Does one thing.
    pub(crate) fn act(&mut self, s: &mut Around<'_>) {
        let act = self.random.weighted(&self.mix.weights);
        if self.act_outside(s, act) {
            return;
        }
        match act {
            Act::Disconnect => return self.leave(s, true),
            Act::Vanish => return self.leave(s, false),
            Act::Create => return self.create(s),
            Act::Block | Act::Unblock => return self.block(s, act == Act::Block),
            Act::Direct => {
                if let Some(user) = self.other(s) {
                    self.ask(
                        s,
                        Question::Direct { user },
                        &format!(",\"op\":\"direct\",\"user\":\"{user}\""),
                    );
                }
                return;
            }
            Act::Sync => {
                self.ask(s, Question::Sync, ",\"op\":\"sync\"");
                return;
            }
            Act::Ping => {
                self.ask(s, Question::Ping, ",\"op\":\"ping\"");
                return;
            }
            Act::Refresh => {
                let token = s.tokens.token(self.user, self.session, s.server_wall, true);
                self.ask(s, Question::Refresh, &format!(",\"op\":\"refresh\",\"token\":\"{token}\""));
                return;
            }
            Act::Repeat | Act::Conflict => return self.once_more(s, act == Act::Conflict),
            _ => {}
        }
        if let Some(room) = self.room(s, act) {
            self.act_in(s, act, room);
        }
    }

    /// A room that the act makes sense in, usually.
    fn room(&mut self, s: &Around<'_>, act: Act) -> Option<RoomId> {
        let member = |room: &RoomId| s.ledger.room(*room).is_some_and(|r| r.is_member(self.user));
        let wants_member = !matches!(act, Act::Join | Act::Ask | Act::Withdraw);
        let ruled = matches!(
            act,
            Act::Link
                | Act::Unlink
                | Act::Answer
                | Act::Resolve
                | Act::List
                | Act::Picture
                | Act::Rename
                | Act::Days
        );
        let rules = |room: &RoomId| s.ledger.room(*room).is_some_and(|r| r.moderates(self.user));
        let fits = |room: &&RoomId| member(room) == wants_member && (!ruled || rules(room));
        let fitting: Vec<RoomId> = s.directory.rooms.iter().filter(fits).copied().collect();
        if self.random.chance(30) {
            return self.random.pick(&s.directory.rooms).copied();
        }
        self.random.pick(&fitting).copied()
    }

    pub(super) fn other(&mut self, s: &Around<'_>) -> Option<UserId> {
        let others: Vec<UserId> = s.directory.users.iter().filter(|u| **u != self.user).copied().collect();
        self.random.pick(&others).copied()
    }

    /// A message of the room; one's own, usually, when `own`.
    pub(super) fn message(&mut self, room: RoomId, own: bool) -> Option<u64> {
        let user = self.user;
        let strict = !self.random.chance(50);
        let view = self.views.get(&room)?;
        let recent = view.messages.iter().rev().take(12);
        let fitting: Vec<u64> =
            recent.filter(|(_, from)| !own || !strict || **from == user).map(|(seq, _)| *seq).collect();
        self.random.pick(&fitting).copied()
    }

    pub(super) fn text(&mut self) -> String {
        let length = self.random.between(1, self.mix.text_max);
        let tag = self.random.next() as u32;
        let mut text = format!("{tag:08x} ");
        while (text.len() as u64) < length {
            let word = ["tide", "é", "\"q\"", "\\", "雨", "\n", "🙂", "low"];
            text.push_str(word[self.random.index(word.len())]);
        }
        text
    }

    /// Now and then somebody, mostly members; seldom everybody.
    pub(super) fn mentions(&mut self, s: &Around<'_>, room: RoomId) -> Mentions {
        let mut users = Vec::new();
        while self.random.chance(250) && users.len() < 4 {
            let other = self.random.pick(&s.directory.users).copied().unwrap_or_default();
            let member = s.ledger.room(room).is_some_and(|truth| truth.is_member(other));
            if member || self.random.chance(50) {
                users.push(other);
            }
        }
        Mentions::new(self.random.chance(40), users)
    }

    fn act_in(&mut self, s: &mut Around<'_>, act: Act, room: RoomId) {
        match act {
            Act::Typing => {
                let on = self.random.chance(700);
                let fields = format!(",\"op\":\"typing\",\"room\":\"{room}\",\"on\":{on}");
                self.ask(s, Question::Typing { room }, &fields);
            }
            Act::Read | Act::Delivered | Act::MarkUnread => self.position(s, act, room),
            Act::Browse => self.browse(s, room),
            Act::Members => {
                let fields = format!(",\"op\":\"members\",\"room\":\"{room}\"");
                self.ask(s, Question::Members { room }, &fields);
            }
            Act::Look => {
                let op = ["about", "bans", "pins"][self.random.index(3)];
                self.ask(s, Question::Look { room }, &format!(",\"op\":\"{op}\",\"room\":\"{room}\""));
            }
            Act::List => self.list(s, room),
            Act::Presence => self.presence(s, room),
            Act::Subscribe => self.subscribe(s, room),
            Act::Unsubscribe => {
                if let Some(view) = self.views.get_mut(&room) {
                    view.wanted = self.random.chance(500);
                }
                let fields = format!(",\"op\":\"unsubscribe\",\"room\":\"{room}\"");
                self.ask(s, Question::Unsubscribe { room }, &fields);
            }
            _ => {
                let change = self.change_door(s, act, room).or_else(|| self.change(s, act, room));
                if let Some(change) = change {
                    self.intend(s, Some(room), change);
                }
            }
        }
    }

    fn position(&mut self, s: &Around<'_>, act: Act, room: RoomId) {
        let Some(view) = self.views.get(&room).filter(|v| v.top > 0) else { return };
        let seq = self.random.between(1, view.top);
        let (op, question) = match act {
            Act::Read => ("read", Question::Read { room, seq }),
            Act::MarkUnread => ("mark_unread", Question::MarkUnread { room, seq }),
            _ => ("delivered", Question::Delivered { room }),
        };
        self.ask(s, question, &format!(",\"op\":\"{op}\",\"room\":\"{room}\",\"seq\":{seq}"));
    }

    fn browse(&mut self, s: &Around<'_>, room: RoomId) {
        let top = self.views.get(&room).map_or(0, |v| v.top);
        let (all, limit) = (self.random.chance(500), self.random.between(1, 50));
        let seq = self.random.between(0, top + 1);
        let time = s.server_wall.0.saturating_sub(self.random.below(2_000));
        let (range, backward, at) = match self.random.below(4) {
            0 => (String::new(), true, None),
            1 => (format!(",\"before\":{seq}"), true, None),
            2 => (format!(",\"after\":{seq}"), false, None),
            _ => (format!(",\"at\":{time}"), false, Some(time)),
        };
        let fields =
            format!(",\"op\":\"history\",\"room\":\"{room}\"{range},\"all\":{all},\"limit\":{limit}");
        self.ask(s, Question::Browse { room, all, backward, at }, &fields);
    }

    fn presence(&mut self, s: &Around<'_>, room: RoomId) {
        let user = self.other(s).unwrap_or_default();
        let fields = match self.random.below(3) {
            0 => format!(",\"op\":\"presence\",\"watch\":[\"{user}\"]"),
            1 => format!(",\"op\":\"presence\",\"unwatch\":[\"{user}\"]"),
            _ => format!(",\"op\":\"presence\",\"room\":\"{room}\""),
        };
        self.ask(s, Question::Presence, &fields);
    }

    fn change(&mut self, s: &Around<'_>, act: Act, room: RoomId) -> Option<Change> {
        let seconds = self.random.chance(500).then(|| self.random.between(1, 20));
        Some(match act {
            Act::Send => {
                let reply = self.random.chance(150);
                let reply_to = if reply { self.message(room, false).unwrap_or(0) } else { 0 };
                let (text, mentions) = (self.text(), self.mentions(s, room));
                Change::Send { text, reply_to, mentions, files: Vec::new() }
            }
            Act::Edit => {
                let seq = self.message(room, true)?;
                Change::Edit { seq, text: self.text(), mentions: self.mentions(s, room) }
            }
            Act::Delete => Change::Delete { seq: self.message(room, true)? },
            Act::React => Change::React {
                seq: self.message(room, false)?,
                emoji: EMOJI[self.random.index(EMOJI.len())],
                on: self.random.chance(700),
            },
            Act::Pin => Change::Pin { seq: self.message(room, false)?, on: self.random.chance(600) },
            Act::Join => Change::Join,
            Act::Leave => Change::Leave,
            Act::Invite => Change::Invite { user: self.other(s)? },
            Act::Kick => Change::Kick { user: self.other(s)?, reason: "noise" },
            Act::Ban => Change::Ban { user: self.other(s)?, seconds },
            Act::Unban => Change::Unban { user: self.other(s)? },
            Act::Mute => Change::Mute { user: self.other(s)?, seconds },
            Act::Unmute => Change::Unmute { user: self.other(s)? },
            Act::Transfer => Change::Transfer { user: self.other(s)? },
            Act::Role => {
                let roles = ["member", "moderator", "admin"];
                Change::Role { user: self.other(s)?, role: roles[self.random.index(3)] }
            }
            Act::Settings => Change::Settings(Wanted {
                visibility: Some(["all", "since_join"][self.random.index(2)]),
                slow: self.random.chance(200).then(|| self.random.below(2) as u32),
                ..Wanted::default()
            }),
            Act::Limits => Change::Settings(Wanted {
                more: Some((self.random.below(6) as u32, self.random.chance(400))),
                ..Wanted::default()
            }),
            Act::DeleteRoom => Change::DeleteRoom,
            Act::Level => Change::Settings(Wanted {
                level: Some(["memory", "local", "replicated"][self.random.index(3)]),
                ..Wanted::default()
            }),
            _ => return None,
        })
    }

    fn create(&mut self, s: &Around<'_>) {
        let name = format!("room {:08x}", self.random.next() as u32);
        let kind = ["public", "public", "private", "invite_only"][self.random.index(4)];
        let level = ["local", "local", "memory", "replicated"][self.random.index(4)];
        let visibility = ["all", "since_join"][self.random.index(2)];
        self.intend(s, None, Change::Create { name, kind, level, visibility });
    }

    fn block(&mut self, s: &Around<'_>, on: bool) {
        let open = |i: &Intent| matches!(i.change, Change::Block { .. });
        if !self.first || self.intents.iter().any(open) {
            return;
        }
        if let Some(user) = self.other(s) {
            self.intend(s, None, Change::Block { user, on });
        }
    }

    /// Sends a change that was answered again, as it was or with other content.
    fn once_more(&mut self, s: &Around<'_>, other_content: bool) {
        let Some(done) = self.random.pick(&self.done).cloned() else { return };
        if self.intents.iter().any(|intent| intent.key == done.key) {
            return;
        }
        let mut change = done.change;
        if other_content {
            let Change::Send { text, .. } = &mut change else { return };
            text.push('!');
        }
        let mut intent = Intent::new(done.key, Some(done.room), change, s.now);
        intent.ambiguous = true;
        intent.known = Some(if other_content { 0 } else { done.seq });
        self.intents.push(intent);
    }
}
