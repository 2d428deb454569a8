//! What a device makes of frames, and what it insists on.

use lynk_domain::{AckLevel, RoomId};
use lynk_model::MetaEvent;

use super::Around;
use super::device::{Device, Done};
use super::doors::remember;
use super::intent::{Change, Intent, Pending, Question, Standing};
use crate::oracle::{Asked, Said};
use crate::wire::{Ev, Item, Members};

/// Answered changes kept for repetition.
const DONE_MAX: usize = 24;
/// Pause after a refusal that names none, in milliseconds.
const RETRY_MILLIS: u64 = 200;

impl Device {
    /// Takes one frame.
    ///
    /// # Errors
    /// When it breaks a promise.
    pub(crate) fn on_frame(&mut self, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let told = match item.ev {
            Ev::Ok
            | Ev::Error
            | Ev::Subscribed
            | Ev::History
            | Ev::Sync
            | Ev::Here
            | Ev::Members
            | Ev::About
            | Ev::Bans
            | Ev::Mutes
            | Ev::Pins
            | Ev::Links
            | Ev::Look
            | Ev::Discover
            | Ev::Requests
            | Ev::MyRequests
            | Ev::ModerationLog
            | Ev::Reports => self.on_reply(item, s),
            Ev::Gap | Ev::Resync => self.on_gap(item),
            // One's own reading is told to every connection.
            Ev::Read if item.user == Some(self.user) => Ok(()),
            Ev::Typing | Ev::Read | Ev::Delivered => self.on_ephemeral(item),
            Ev::Added | Ev::Removed => self.on_rooms(item, s),
            Ev::Presence => {
                let user = item.user.ok_or("presence of nobody")?;
                self.presence.insert(user, item.online.ok_or("presence without a state")?);
                Ok(())
            }
            Ev::Draining | Ev::Cleared | Ev::JoinRequest | Ev::Report | Ev::ConversationAccepted => Ok(()),
            Ev::Unknown => Err("a frame of an unknown kind".to_owned()),
            _ => self.on_event(item, s),
        };
        told.map_err(|what| format!("client {}: {what}", self.user))
    }

    /// A durable event of a subscribed room.
    fn on_event(&mut self, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let room = item.room.ok_or("an event without room")?;
        let Some(link) = &mut self.link else { return Ok(()) };
        let Some(next) = link.pass(room, item.seq) else {
            // The user's own leaving may be told twice when it was asked for twice.
            return if link.perhaps.remove(&(room, item.seq)) {
                self.absorb(room, item, s)
            } else {
                Err(format!("{room}: event {} without a subscription", item.seq))
            };
        };
        if item.seq != next {
            return Err(format!("{room}: event {} where {next} is next", item.seq));
        }
        link.streams.insert(room, next + 1);
        link.perhaps.remove(&(room, next));
        if item.ev == Ev::Deleted || item.ev.removes() && item.user == Some(self.user) {
            link.streams.remove(&room);
        }
        if self.views.get(&room).is_some_and(|view| view.have.contains(item.seq)) {
            // A page was quicker; what it told is newer.
            return Ok(());
        }
        self.keeps_edits(room, item, s)?;
        self.absorb(room, item, s)
    }

    /// An edit in the stream must not bring back a text that a page showed as edited.
    fn keeps_edits(&self, room: RoomId, item: &Item, s: &Around<'_>) -> Result<(), String> {
        let shown = self.views.get(&room).and_then(|view| view.edited.get(&item.target));
        let Some(by) = shown.filter(|by| item.ev == Ev::Edit && **by > item.seq) else { return Ok(()) };
        let Some(truth) = s.ledger.room(room).filter(|r| r.events.contains_key(by)) else { return Ok(()) };
        match truth.events.get(&item.seq).map(|event| &event.said) {
            Some(Said::Edit { text, .. }) if item.text.as_deref() == Some(text) => {
                Err(format!("{room}: edit {} of {} after its edit {by}", item.seq, item.target))
            }
            _ => Ok(()),
        }
    }

    /// Takes an event into the view, from a stream or a page.
    fn absorb(&mut self, room: RoomId, item: &Item, s: &Around<'_>) -> Result<(), String> {
        let user = self.user;
        let view = self.views.entry(room).or_default();
        if let Some(range) = item.range() {
            view.have.add(range.from, range.to);
            view.exists(range.to);
            return Ok(());
        }
        view.have.add(item.seq, item.seq);
        view.exists(item.seq);
        match item.ev {
            Ev::Message => {
                if item.deleted > 0 {
                    view.deleted.insert(item.seq, item.deleted);
                }
                if item.edited > 0 {
                    view.edited.insert(item.seq, item.edited);
                }
                if let Some(sender) = item.sender() {
                    view.messages.insert(item.seq, sender);
                }
            }
            Ev::Delete => {
                view.deleted.insert(item.target, item.seq);
            }
            Ev::Deleted => view.wanted = false,
            ev if ev.removes() && item.user == Some(user) => {
                // Only the last such event says that the user is out; an old one may stand in a page.
                view.wanted = s.ledger.room(room).is_some_and(|r| r.is_member(user));
            }
            _ => {}
        }
        let target = if item.ev == Ev::Edit { item.target } else { item.seq };
        let shows = matches!(item.ev, Ev::Edit | Ev::Message)
            && item.deleted == 0
            && item.text.as_deref().is_some_and(|text| !text.is_empty());
        if shows
            && let Some(by) = view.deleted.get(&target)
            && s.ledger.room(room).is_some_and(|r| r.events.contains_key(by))
        {
            return Err(format!("{room}: text of {target} after its delete {by}"));
        }
        Ok(())
    }

    /// Part of the stream that does not come.
    fn on_gap(&mut self, item: &Item) -> Result<(), String> {
        let room = item.room.ok_or("a gap without room")?;
        let range = item.range().ok_or("a gap without range")?;
        let Some(link) = &mut self.link else { return Ok(()) };
        let Some(next) = link.pass(room, range.from) else {
            return Err(format!("{room}: {:?} without a subscription", item.ev));
        };
        if range.from > next {
            return Err(format!("{room}: {:?} from {} where {next} is next", item.ev, range.from));
        }
        link.streams.insert(room, next.max(range.to + 1));
        let based = link.based.entry(room).or_default();
        *based = range.to.max(*based);
        let view = self.views.entry(room).or_default();
        view.exists(range.to);
        if item.ev == Ev::Gap {
            view.have.add(range.from, range.to);
        }
        Ok(())
    }

    /// What one does oneself is not told as news of one's rooms: its `ok` is.
    fn did(&mut self, ok: &Item, declines: bool, s: &Around<'_>) {
        let user = self.user;
        let (Some(link), Some(room)) = (&mut self.link, ok.room) else { return };
        if ok.seq == 0 && ok.version > 0 {
            // Of a 1:1 that one accepted or declined, which is no event.
            let back = !declines;
            let told = link.told_rooms.entry(room).or_default();
            if ok.version > told.0 {
                *told = (ok.version, back);
            }
            return self.turned(room, back, s);
        }
        let event = s.ledger.room(room).and_then(|truth| truth.events.get(&ok.seq));
        let Some(Said::Meta { event, .. }) = event.map(|entry| &entry.said) else { return };
        let concerns = match event {
            MetaEvent::Created { .. } => true,
            MetaEvent::Joined { user: joined, .. } => *joined == user,
            MetaEvent::Deleted => true,
            event => event.removes_subject() && event.subject() == Some(user),
        };
        if concerns && link.told_rooms.get(&room).is_none_or(|told| ok.version > told.0) {
            let out = event.removes_subject() || *event == MetaEvent::Deleted;
            link.told_rooms.insert(room, (ok.version, !out));
        }
    }

    /// The user is in a room from now on, or no longer.
    fn on_rooms(&mut self, item: &Item, s: &Around<'_>) -> Result<(), String> {
        let room = item.room.ok_or("a membership without room")?;
        let Some(link) = &mut self.link else { return Ok(()) };
        let told = link.told_rooms.entry(room).or_default();
        if item.version > told.0 {
            *told = (item.version, item.ev == Ev::Added);
        }
        self.turned(room, item.ev == Ev::Added, s);
        Ok(())
    }

    /// A 1:1 that a stranger began goes, or comes back: a good client subscribes to it anew then.
    fn turned(&mut self, room: RoomId, back: bool, s: &Around<'_>) {
        if s.ledger.turns(room, self.user) == 0 {
            return;
        }
        let view = self.views.entry(room).or_default();
        view.wanted = back;
        if let Some(link) = self.link.as_mut().filter(|_| back) {
            link.again.insert(room);
        }
    }

    fn on_ephemeral(&mut self, item: &Item) -> Result<(), String> {
        let room = item.room.ok_or("an event without room")?;
        let Some(link) = &self.link else { return Ok(()) };
        if !link.streams.contains_key(&room) {
            return Err(format!("{room}: {:?} without a subscription", item.ev));
        }
        Ok(())
    }

    fn on_reply(&mut self, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let re = item.re.unwrap_or(0);
        let greeted = !link.pending.contains_key(&link.hello);
        let resumed = greeted && (re == 0 || re == link.hello);
        if resumed {
            return self.on_resumed(item, s);
        }
        let Some(pending) = link.pending.remove(&re) else {
            return Err(format!("{:?} answers {re}, which waits for nothing", item.ev));
        };
        if item.ev == Ev::Error && item.code.as_deref() == Some("internal") {
            return Err(format!("{:?} was answered `internal`", pending.question));
        }
        match (&pending.question, item.ev) {
            (Question::Change, Ev::Ok) => self.on_done(re, item, s),
            (Question::Change, Ev::Error) => self.on_refused(re, item, s),
            (Question::Hello, Ev::Ok) => {
                self.signed_in();
                Ok(())
            }
            (Question::Subscribe { room }, Ev::Subscribed) => {
                self.on_subscribed(*room, re, item, &pending, s)
            }
            (Question::Fill { room, .. } | Question::Browse { room, .. }, Ev::History) => {
                self.on_page(*room, item, &pending, s)
            }
            (Question::Unsubscribe { room }, Ev::Ok) => {
                if let Some(link) = &mut self.link {
                    link.streams.remove(room);
                    link.resuming.remove(room);
                    link.unsubscribed.insert(*room, re);
                }
                Ok(())
            }
            (Question::Read { room, seq } | Question::MarkUnread { room, seq }, Ev::Ok) => {
                self.on_read(*room, *seq, item, s)
            }
            (Question::Direct { .. }, Ev::Ok) => {
                let room = item.room.ok_or("a 1:1 without room")?;
                s.ledger.side_is(room, self.user, item.request.as_deref())?;
                self.did(item, false, s);
                s.directory.add_room(item.room.ok_or("a 1:1 without room")?);
                Ok(())
            }
            (Question::Typing { room }, Ev::Ok) => s.ledger.said(self.user, *room, pending.issued),
            (Question::Sync, Ev::Sync) if s.still && !item.has_next => {
                // The owner may not know yet what the store carried out without saying so, and repeats it.
                self.compared = s.ledger.agrees(self.user);
                if self.compared { s.ledger.rooms_are(self.user, &item.rooms) } else { Ok(()) }
            }
            (Question::Members { room }, Ev::Members) if s.still && !item.more => match &item.members {
                Some(Members::List(users)) => s.ledger.members_are(*room, users),
                _ => Err("members without a list".to_owned()),
            },
            (
                Question::Ping | Question::Refresh | Question::Delivered { .. } | Question::Presence,
                Ev::Ok,
            )
            | (Question::Presence, Ev::Here)
            | (Question::Sync, Ev::Sync)
            | (Question::Members { .. }, Ev::Members) => Ok(()),
            (
                Question::Look { room },
                Ev::About
                | Ev::Bans
                | Ev::Mutes
                | Ev::Pins
                | Ev::Links
                | Ev::Requests
                | Ev::ModerationLog
                | Ev::Reports,
            ) => {
                s.ledger.may_look(self.user, *room, item.ev, pending.issued)?;
                if s.still { s.ledger.listed(self.user, *room, item, s.server_wall) } else { Ok(()) }
            }
            (Question::LookAt { code }, Ev::Look) => s.ledger.leads(code, pending.issued),
            (Question::Discover, Ev::Discover) => {
                let still = s.still.then_some((s.server_wall, !item.has_next));
                s.ledger.discovered(self.user, &item.rooms, still)
            }
            (Question::MyRequests, Ev::MyRequests) if s.still && !item.has_next => {
                s.ledger.requests_of(self.user, item)
            }
            (Question::MyRequests, Ev::MyRequests) => Ok(()),
            (Question::Clear { room, seq }, Ev::Ok) => s.ledger.cleared(*room, self.user, *seq, s.step),
            (Question::LookAt { code }, Ev::Error) if item.code.as_deref() == Some("invalid_code") => {
                s.ledger.leads_nowhere(code, s.server_wall)
            }
            (_, Ev::Error) => self.on_error(&pending, item, s),
            (question, ev) => Err(format!("{question:?} was answered with {ev:?}")),
        }
    }

    /// A room that `hello` named.
    fn on_resumed(&mut self, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let room = match item.room {
            Some(room) => room,
            // An error that names no room: any of those that are left.
            None => link.resuming.iter().next().copied().ok_or("nothing to resume")?,
        };
        if !link.resuming.remove(&room) && !link.unsubscribed.contains_key(&room) {
            return Err(format!("{room}: resumed, which was not asked for"));
        }
        let issued = link.hello_at;
        match item.ev {
            Ev::Subscribed => {
                let pending = Pending { question: Question::Subscribe { room }, issued };
                self.on_subscribed(room, 0, item, &pending, s)
            }
            Ev::Error => {
                let view = self.views.entry(room).or_default();
                view.page_at = s.now + item.retry_after_ms.unwrap_or(RETRY_MILLIS) * 1_000_000;
                if !item.retryable {
                    view.wanted = s.ledger.room(room).is_some_and(|r| r.is_member(self.user))
                        && !s.ledger.keeps_out(room, self.user);
                }
                Ok(())
            }
            ev => Err(format!("{room}: resumed with {ev:?}")),
        }
    }

    fn on_subscribed(
        &mut self,
        room: RoomId,
        id: u64,
        item: &Item,
        pending: &Pending,
        s: &mut Around<'_>,
    ) -> Result<(), String> {
        if item.room != Some(room) {
            return Err(format!("{room}: subscribed to {:?}", item.room));
        }
        let whole = self.random.chance(300);
        let view = self.views.entry(room).or_default();
        view.wanted = true;
        view.audited = true;
        view.epoch = item.epoch;
        view.exists(item.top);
        if view.start == 0 {
            view.start = if whole || s.still { 1 } else { item.top + 1 };
        } else {
            let asked = Asked { user: self.user, room, issued: pending.issued, all: true, backward: false };
            s.ledger.page(item, &asked)?;
            let covers = item.covers.ok_or("no covers")?;
            view.have.add(covers.from, covers.to);
        }
        if let Some(link) = &mut self.link
            && link.starts(room, id)
        {
            link.streams.insert(room, item.top + 1);
            link.based.insert(room, item.top);
            link.refused.remove(&room);
            link.again.remove(&room);
        }
        for event in item.events.iter().filter(|e| e.reason.as_deref() != Some("reset")) {
            self.absorb(room, event, s)?;
        }
        self.check_unread(room, item.read, item.top, item.unread, pending, s)?;
        let Some(mentions) = item.mentioned() else { return Ok(()) };
        s.ledger.mentions_are(self.user, room, (item.read, item.top), mentions, Some(pending.issued))
    }

    /// The unread count must be that of some moment between question and answer; of now when nothing changes.
    fn check_unread(
        &self,
        room: RoomId,
        read: u64,
        top: u64,
        unread: Option<u64>,
        pending: &Pending,
        s: &Around<'_>,
    ) -> Result<(), String> {
        let (Some(unread), Some(truth)) = (unread, s.ledger.room(room)) else { return Ok(()) };
        let issued = pending.issued;
        let old = (read, truth.floor_by(issued), top);
        let most = truth.unread(self.user, old, |e| e.committed.is_some_and(|at| at <= issued));
        let least = truth.unread(self.user, (read, truth.floor(), top), |_| true);
        if !truth.lost_any && !(least..=most).contains(&unread) {
            return Err(format!(
                "{room}: unread {unread} from {read} to {top}, a recount says {least} to {most}"
            ));
        }
        Ok(())
    }

    fn on_page(
        &mut self,
        room: RoomId,
        item: &Item,
        pending: &Pending,
        s: &mut Around<'_>,
    ) -> Result<(), String> {
        let (all, backward, fill) = match pending.question {
            Question::Browse { all, backward, at, .. } => {
                if let Some(at) = at {
                    s.ledger.begins_at(room, self.user, item, at)?;
                }
                (all, backward, None)
            }
            Question::Fill { after, .. } => (true, false, Some(after + 1)),
            _ => (true, false, None),
        };
        let asked = Asked { user: self.user, room, issued: pending.issued, all, backward };
        s.ledger.page(item, &asked)?;
        if s.still {
            s.ledger.exact(room, item)?;
        }
        let covers = item.covers.ok_or("no covers")?;
        let view = self.views.entry(room).or_default();
        if let Some(first) = fill {
            view.paging = false;
            if covers.from > first || covers.to < first {
                return Err(format!(
                    "{room}: a page after {} covers {}..={}",
                    first - 1,
                    covers.from,
                    covers.to
                ));
            }
        }
        if all {
            view.have.add(covers.from, covers.to);
        }
        for event in &item.events {
            self.absorb(room, event, s)?;
        }
        Ok(())
    }

    fn on_read(&mut self, room: RoomId, seq: u64, item: &Item, s: &Around<'_>) -> Result<(), String> {
        let (Some(unread), Some(truth)) = (item.unread, s.ledger.room(room)) else { return Ok(()) };
        // Another device may have set the cursor back meanwhile.
        let most = truth.unread(self.user, (0, 0, u64::MAX), |_| false);
        if unread > most && !truth.lost_any {
            return Err(format!("{room}: {unread} unread after {seq}, at most {most} exist"));
        }
        Ok(())
    }

    fn on_error(&mut self, pending: &Pending, item: &Item, s: &Around<'_>) -> Result<(), String> {
        let code = item.code.as_deref().unwrap_or_default();
        match &pending.question {
            Question::Hello if matches!(code, "invalid_token" | "not_signed_in" | "invalid_field") => {
                Err(format!("hello was answered `{code}`"))
            }
            Question::Subscribe { room } | Question::Fill { room, .. } => {
                let view = self.views.entry(*room).or_default();
                view.paging = false;
                view.page_at = s.now + item.retry_after_ms.unwrap_or(RETRY_MILLIS) * 1_000_000;
                if !item.retryable {
                    view.wanted = false;
                    if let Some(link) = &mut self.link {
                        link.refused.insert(*room);
                    }
                    let member = s.ledger.room(*room).is_some_and(|r| r.is_member(self.user))
                        && !s.ledger.keeps_out(*room, self.user);
                    // A removal may hold that is no event yet.
                    if s.still && member && s.ledger.unkept(Some(*room)).is_none() {
                        return Err(format!("{room}: a member is answered `{code}`"));
                    }
                }
                Ok(())
            }
            _ if matches!(code, "bad_request" | "unknown_op" | "not_signed_in") => {
                Err(format!("{:?} was answered `{code}`", pending.question))
            }
            _ => Ok(()),
        }
    }

    fn take_intent(&mut self, id: u64) -> Result<Intent, String> {
        let at = self.intents.iter().position(|intent| intent.standing == Standing::Sent(id));
        at.map(|at| self.intents.remove(at)).ok_or_else(|| format!("{id} answers no change"))
    }

    /// A change was carried out.
    fn on_done(&mut self, id: u64, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let intent = self.take_intent(id)?;
        if let Change::Create { .. } = intent.change {
            s.directory.add_room(item.room.ok_or("a room without id")?);
        }
        if let Change::Block { user, on: true } = intent.change {
            s.ledger.blocked(self.user, user, s.step);
        }
        let Some(room) = intent.room.or(item.room) else { return Ok(()) };
        let declines = intent.change == Change::Converse { accept: false };
        self.did(item, declines, s);
        self.on_door(room, item, &intent, s)?;
        if item.seq == 0 {
            if matches!(intent.change, Change::Kick { .. } | Change::Ban { .. } | Change::Mute { .. }) {
                s.ledger.promised(self.user, room, intent.key, &intent.change, s.server_wall);
            }
            return Ok(());
        }
        s.ledger.acked(self.user, room, intent.key, item.seq, &intent.change)?;
        if let Some(known) = intent.known.filter(|known| *known != item.seq) {
            let lost = s.ledger.room(room).is_some_and(|r| !r.events.contains_key(&known));
            if !lost {
                return Err(format!("{room}: key {} gave {known} and then {}", intent.key, item.seq));
            }
        }
        let late = item.level == Some(AckLevel::Replicated);
        self.on_own(room, item.seq, late, &intent)?;
        if self.done.len() >= DONE_MAX {
            self.done.remove(0);
        }
        self.done.push(Done { key: intent.key, room, change: intent.change, seq: item.seq });
        Ok(())
    }

    /// What follows from a change of links, requests and reports that was carried out.
    fn on_door(
        &mut self,
        room: RoomId,
        item: &Item,
        intent: &Intent,
        s: &mut Around<'_>,
    ) -> Result<(), String> {
        let (user, key) = (self.user, intent.key);
        match &intent.change {
            Change::Link { uses, .. } => {
                s.ledger.link_made((user, key), item, *uses)?;
                let code = item.code.clone().unwrap_or_default();
                if s.directory.codes.iter().all(|(_, _, known)| *known != code) {
                    remember(&mut s.directory.codes, (room, item.link.unwrap_or_default(), code));
                }
                if self.done.len() < DONE_MAX {
                    self.done.push(Done { key, room, change: intent.change.clone(), seq: 0 });
                }
                Ok(())
            }
            Change::Unlink { link } => {
                s.ledger.link_over(room, *link, s.step);
                Ok(())
            }
            Change::Enter { code } if item.seq > 0 => s.ledger.entered(user, key, code, s.step),
            Change::Converse { accept: false } => {
                s.ledger.declined(room, user, s.step);
                self.turned(room, false, s);
                Ok(())
            }
            Change::Answer { user: whom, .. } => s.ledger.decided(user, room, *whom, key),
            Change::Resolve { number, .. } => s.ledger.resolved(user, room, *number, key),
            _ => Ok(()),
        }
    }

    /// The `ok` stands in the stream in place of the event, unless an earlier attempt made it, or it comes `late` and the event came before.
    fn on_own(&mut self, room: RoomId, seq: u64, late: bool, intent: &Intent) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let first = intent.attempts == 1 && intent.known.is_none();
        let next = if first { link.pass(room, seq) } else { link.streams.get(&room).copied() };
        let Some(next) = next else { return Ok(()) };
        if !first && seq >= next {
            link.perhaps.insert((room, seq));
            if intent.change.ends() {
                link.streams.remove(&room);
            }
            let view = self.views.entry(room).or_default();
            view.exists(seq);
            view.wanted &= !intent.change.ends();
        } else if seq == next {
            link.streams.insert(room, next + 1);
            if intent.change.ends() {
                link.streams.remove(&room);
            }
            let user = self.user;
            let view = self.views.entry(room).or_default();
            view.have.add(seq, seq);
            view.exists(seq);
            match &intent.change {
                Change::Send { .. } => {
                    view.messages.insert(seq, user);
                }
                Change::Delete { seq: target } => {
                    view.deleted.insert(*target, seq);
                }
                Change::Leave | Change::DeleteRoom => view.wanted = false,
                _ => {}
            }
        } else if first && seq > next && link.refused.remove(&room) {
            link.streams.remove(&room);
        } else if late && seq < next && self.views.get(&room).is_some_and(|view| view.have.contains(seq)) {
            // Nothing new.
        } else if first && !link.ending(room) && link.based.get(&room).is_none_or(|top| seq > *top) {
            return Err(format!("{room}: ok for event {seq} where {next} is next"));
        }
        Ok(())
    }

    /// A change was refused.
    fn on_refused(&mut self, id: u64, item: &Item, s: &mut Around<'_>) -> Result<(), String> {
        let mut intent = self.take_intent(id)?;
        let code = item.code.as_deref().unwrap_or_default();
        if matches!(code, "bad_request" | "unknown_op" | "not_signed_in") {
            return Err(format!("{} was answered `{code}`", intent.change.op()));
        }
        if item.retryable {
            if code == "attachment_not_ready" {
                self.make_ready(s, &intent.change);
            }
            let millis = item.retry_after_ms.unwrap_or(RETRY_MILLIS);
            let wait = millis * 1_000_000 + self.random.below(RETRY_MILLIS * 1_000_000);
            intent.standing = Standing::Waiting(s.now + wait);
            intent.ambiguous |= code == "unknown";
            self.intents.push(intent);
            return Ok(());
        }
        if let Some(room) = intent.room
            && intent.attempts == 1
            && intent.known.is_none()
        {
            if code == "idempotency_conflict" {
                return Err(format!("{room}: a new key {} conflicts", intent.key));
            }
            s.ledger.refused(self.user, room, intent.key)?;
        }
        Ok(())
    }
}
