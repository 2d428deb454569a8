//! What the store of rooms has that no room's log tells: links, requests to become a member, reports, acts of moderators, and what users
//! deleted for themselves. A model of its own, fed with the transactions that were carried out.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Key, LinkId, Millis, Role, RoomId, RoomKind, UserId};
use lynk_model::{MetaChange, MetaEvent, MetaTransaction, Report, ReportKind, RoomRow};

use super::{Check, Ledger, RoomTruth, Said, Step};
use crate::wire::{Ev, Item, SyncRoom};

/// Wall time in which what has an end may be told or not, in milliseconds.
const UNSURE_MILLIS: u64 = 60_000;

/// A link, by the hash of its secret.
#[derive(Clone, Debug)]
struct LinkTruth {
    id: LinkId,
    until: Millis,
    /// How many it lets in; 0 for any number.
    most: u32,
    used: u32,
    ended: bool,
}

impl LinkTruth {
    fn lives(&self, wall: Millis) -> bool {
        !self.ended && wall < self.until && (self.most == 0 || self.used < self.most)
    }
}

/// A code, as clients know it.
#[derive(Debug, Default)]
struct CodeTruth {
    /// How many it lets in; `None` for any number.
    most: Option<u32>,
    /// Who was told to have come in by it, by which key.
    entered: BTreeSet<(UserId, Key)>,
    /// When somebody was told that it is over.
    over: Option<Step>,
}

/// What one user asks of one room.
#[derive(Debug, Default)]
struct RequestTruth {
    open: bool,
    /// How often it was asked.
    asked: u64,
    /// Who was told to have decided it, by which key.
    decided: BTreeSet<(UserId, Key)>,
}

#[derive(Debug)]
struct ReportTruth {
    report: Report,
    open: bool,
    resolved: BTreeSet<(UserId, Key)>,
}

/// Something a moderator did: what, who, to whom.
type ActTruth = (&'static str, UserId, Option<UserId>);

/// A room's row.
#[derive(Debug)]
struct RowTruth {
    kind: RoomKind,
    name: String,
    deleted: bool,
    /// It was public at some time.
    ever_public: bool,
    /// The shortest time for which it was told to keep messages, in days; 0 for ever.
    days: u32,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    links: BTreeMap<(RoomId, [u8; 32]), LinkTruth>,
    codes: BTreeMap<String, CodeTruth>,
    /// Which link a code is of.
    names: BTreeMap<String, (RoomId, LinkId)>,
    /// The code that a key led to.
    made: BTreeMap<(UserId, Key), String>,
    /// Who came in by a link, by which key.
    entered: BTreeSet<(RoomId, UserId, Key)>,
    requests: BTreeMap<(RoomId, UserId), RequestTruth>,
    reports: BTreeMap<RoomId, Vec<ReportTruth>>,
    acts: BTreeMap<RoomId, Vec<ActTruth>>,
    bans: BTreeMap<(RoomId, UserId), Millis>,
    rows: BTreeMap<RoomId, RowTruth>,
    /// How far users deleted conversations for themselves, as the store has it.
    cleared: BTreeMap<(RoomId, UserId), u64>,
    /// The same as they were told, and when.
    told_cleared: BTreeMap<(RoomId, UserId), Vec<(u64, Step)>>,
}

impl Shelf {
    fn row(&mut self, row: &RoomRow, room: RoomId) {
        let ever_public = row.kind == RoomKind::Public;
        let (kind, name, days) = (row.kind, row.name.clone(), row.retention_days);
        self.rows.entry(room).or_insert(RowTruth { kind, name, deleted: false, ever_public, days });
    }

    fn settings(&mut self, room: RoomId, event: &MetaEvent) {
        let (MetaEvent::Settings { name, more: Some(more), .. }, Some(row)) =
            (event, self.rows.get_mut(&room))
        else {
            return;
        };
        (row.kind, row.name) = (more.kind, name.clone());
        row.ever_public |= more.kind == RoomKind::Public;
        if more.retention_days > 0 {
            row.days = if row.days == 0 { more.retention_days } else { row.days.min(more.retention_days) };
        }
    }

    fn delete(&mut self, room: RoomId) {
        if let Some(row) = self.rows.get_mut(&room) {
            row.deleted = true;
        }
        self.links.iter_mut().filter(|((of, _), _)| *of == room).for_each(|(_, link)| link.ended = true);
        self.requests.iter_mut().filter(|((of, _), _)| *of == room).for_each(|(_, one)| one.open = false);
        self.bans.retain(|(of, _), _| *of != room);
        self.acts.remove(&room);
    }

    fn enter(&mut self, tx: &MetaTransaction, hash: &[u8; 32]) -> Check {
        let told = |what: &str| Err(format!("{}: {} comes in by a link that {what}", tx.room, tx.actor));
        let Some(link) = self.links.get_mut(&(tx.room, *hash)) else { return told("was never made") };
        if link.ended || tx.wall >= link.until {
            return told("is over");
        }
        link.used += 1;
        if link.most > 0 && link.used > link.most {
            return told("is used up");
        }
        self.entered.insert((tx.room, tx.actor, tx.key));
        Ok(())
    }

    /// A user is a member, or banned: its request is over.
    fn close(&mut self, room: RoomId, user: UserId) {
        if let Some(request) = self.requests.get_mut(&(room, user)) {
            request.open = false;
        }
    }

    fn decide(&mut self, tx: &MetaTransaction, user: UserId) -> Check {
        let open = self.requests.get_mut(&(tx.room, user)).map(|request| std::mem::take(&mut request.open));
        if open == Some(true) {
            return Ok(());
        }
        Err(format!("{}: {:?} of a request that is not open", tx.room, tx.change))
    }

    fn resolve(&mut self, tx: &MetaTransaction, number: u64) -> Check {
        let reports = self.reports.get_mut(&tx.room);
        let report = reports.and_then(|list| list.get_mut((number as usize).checked_sub(1)?));
        let told = |what: &str| Err(format!("{}: report {number} {what} is resolved", tx.room));
        let Some(one) = report else { return told("that does not exist") };
        if !std::mem::take(&mut one.open) {
            return told("that is resolved");
        }
        if one.report.kind == ReportKind::Room || one.report.user == tx.actor {
            return told("that is none of its moderator's");
        }
        Ok(())
    }

    /// Notes what moderators did, with words of the protocol.
    fn act(&mut self, tx: &MetaTransaction) {
        let what = match &tx.change {
            MetaChange::Event(event) => match event {
                MetaEvent::Kicked { .. } => "kicked",
                MetaEvent::Banned { .. } => "banned",
                MetaEvent::Unbanned { .. } => "unbanned",
                MetaEvent::Muted { .. } => "muted",
                MetaEvent::Unmuted { .. } => "unmuted",
                MetaEvent::Role { .. } => "role",
                MetaEvent::Transferred { .. } => "transferred",
                MetaEvent::Settings { .. } => "settings",
                _ => return,
            },
            MetaChange::Link(_) => "link_made",
            MetaChange::Unlink { .. } => "link_ended",
            MetaChange::Accept { .. } => "request_accepted",
            MetaChange::Decline { .. } => "request_declined",
            MetaChange::Resolve(_) => "report_resolved",
            _ => return,
        };
        let whom = match &tx.change {
            MetaChange::Event(event) => event.subject(),
            MetaChange::Accept { user } | MetaChange::Decline { user } => Some(*user),
            _ => None,
        };
        self.acts.entry(tx.room).or_default().push((what, tx.actor, whom));
    }
}

impl Ledger {
    /// The store of rooms carried out a transaction for the first time.
    pub(super) fn shelve(&mut self, tx: &MetaTransaction) -> Check {
        self.may_change(tx)?;
        self.shelf.act(tx);
        let shelf = &mut self.shelf;
        match &tx.change {
            MetaChange::Create { row, .. } | MetaChange::Begin { row, .. } => shelf.row(row, tx.room),
            MetaChange::Link(link) => {
                let (id, until, most) = (link.id, link.until, link.uses_max);
                let truth = LinkTruth { id, until, most, used: 0, ended: false };
                shelf.links.insert((tx.room, link.hash), truth);
            }
            MetaChange::Unlink { link } => {
                let of =
                    shelf.links.iter_mut().filter(|((room, _), one)| *room == tx.room && one.id == *link);
                of.for_each(|(_, one)| one.ended = true);
            }
            MetaChange::Enter { hash } => {
                shelf.enter(tx, hash)?;
                shelf.close(tx.room, tx.actor);
            }
            MetaChange::Ask { .. } => {
                let request = shelf.requests.entry((tx.room, tx.actor)).or_default();
                if std::mem::replace(&mut request.open, true) {
                    return Err(format!("{}: {} asks again while its request is open", tx.room, tx.actor));
                }
                request.asked += 1;
            }
            MetaChange::Withdraw => shelf.decide(tx, tx.actor)?,
            MetaChange::Accept { user } | MetaChange::Decline { user } => shelf.decide(tx, *user)?,
            MetaChange::Report(report) => {
                let (report, resolved) = ((**report).clone(), BTreeSet::new());
                let list = shelf.reports.entry(tx.room).or_default();
                list.push(ReportTruth { report, open: true, resolved });
            }
            MetaChange::Resolve(resolution) => shelf.resolve(tx, resolution.number)?,
            MetaChange::Event(MetaEvent::Joined { user, .. }) => shelf.close(tx.room, *user),
            MetaChange::Event(MetaEvent::Banned { user, until, .. }) => {
                shelf.close(tx.room, *user);
                shelf.bans.insert((tx.room, *user), *until);
            }
            MetaChange::Event(MetaEvent::Unbanned { user }) => drop(shelf.bans.remove(&(tx.room, *user))),
            MetaChange::Event(MetaEvent::Deleted) => shelf.delete(tx.room),
            MetaChange::Event(event) => shelf.settings(tx.room, event),
            MetaChange::Block { .. } | MetaChange::Conversation(_) => {}
        }
        Ok(())
    }

    /// Whether a change may be: nobody is added across a block that somebody was told to stand, what only moderators do is theirs, and a
    /// report says what was said.
    fn may_change(&self, tx: &MetaTransaction) -> Check {
        let added = match &tx.change {
            MetaChange::Event(MetaEvent::Joined { user, .. }) if *user != tx.actor => Some(*user),
            MetaChange::Accept { user } => Some(*user),
            _ => None,
        };
        if let Some(user) = added
            && [(tx.actor, user), (user, tx.actor)].iter().any(|pair| self.blocks.contains_key(pair))
        {
            return Err(format!("{}: {} adds {user} across a block", tx.room, tx.actor));
        }
        let Some(truth) = self.rooms.get(&tx.room) else { return Ok(()) };
        let moderates = matches!(
            tx.change,
            MetaChange::Link(_)
                | MetaChange::Unlink { .. }
                | MetaChange::Accept { .. }
                | MetaChange::Decline { .. }
                | MetaChange::Resolve(_)
        );
        if moderates && !truth.moderates(tx.actor) {
            return Err(format!("{}: {:?} of {}, who is no moderator", tx.room, tx.change, tx.actor));
        }
        match &tx.change {
            MetaChange::Ask { .. } if self.granted.contains(&(tx.room, tx.actor)) => {
                Err(format!("{}: {}, who is a member, asks to become one", tx.room, tx.actor))
            }
            MetaChange::Ask { .. } if truth.bans_now(tx.actor, tx.wall) => {
                Err(format!("{}: {}, who is banned, asks to become a member", tx.room, tx.actor))
            }
            MetaChange::Report(report) if report.kind == ReportKind::Message => {
                let said = |entry: &super::Entry| match &entry.said {
                    Said::Message { text, .. } => entry.seq == report.seq.0 && text.starts_with(&report.text),
                    Said::Edit { target, text, .. } => {
                        *target == report.seq.0 && text.starts_with(&report.text)
                    }
                    _ => false,
                };
                let author = truth.events.get(&report.seq.0).map(|entry| entry.sender);
                if author == Some(report.user) && truth.events.values().any(said) {
                    return Ok(());
                }
                Err(format!("{}: a report of {} keeps what it never said", tx.room, report.seq.0))
            }
            _ => Ok(()),
        }
    }

    /// For how long a room's messages are kept at least, in milliseconds; 0 for ever.
    pub(super) fn life_of(&self, room: RoomId) -> u64 {
        let days = self.shelf.rows.get(&room).map_or(0, |row| row.days);
        let own = u64::from(days) * 24 * 60 * 60 * 1_000;
        if own == 0 || self.life > 0 && self.life < own { self.life } else { own }
    }

    /// Whether the store has a room no more.
    pub(super) fn is_gone(&self, room: RoomId) -> bool {
        self.shelf.rows.get(&room).is_some_and(|row| row.deleted)
    }

    /// Whether a user came into a room by a link, with this key.
    pub(super) fn came_by_link(&self, room: RoomId, user: UserId, key: Key) -> bool {
        self.shelf.entered.contains(&(room, user, key))
    }

    /// Whoever made a link was told its code.
    ///
    /// # Errors
    /// When the same command led to another one before.
    pub(crate) fn link_made(&mut self, (user, key): (UserId, Key), item: &Item, most: Option<u32>) -> Check {
        let code = item.code.as_deref().ok_or("a link without code")?;
        let known = self.shelf.made.entry((user, key)).or_insert_with(|| code.to_owned());
        if known != code {
            return Err(format!("key {key} led to two links"));
        }
        let (room, link) = item.room.zip(item.link).ok_or("a link without room and id")?;
        self.shelf.names.insert(code.to_owned(), (room, link));
        self.shelf.codes.entry(code.to_owned()).or_default().most = most;
        Ok(())
    }

    /// Whoever ended a link was told so.
    pub(crate) fn link_over(&mut self, room: RoomId, link: LinkId, step: Step) {
        let Shelf { names, codes, .. } = &mut self.shelf;
        for (code, known) in codes {
            if names.get(code) == Some(&(room, link)) {
                known.over.get_or_insert(step);
            }
        }
    }

    /// Somebody was told to have come in by a code.
    ///
    /// # Errors
    /// When more did than may.
    pub(crate) fn entered(&mut self, user: UserId, key: Key, code: &str, step: Step) -> Check {
        let Some(known) = self.shelf.codes.get_mut(code) else { return Ok(()) };
        known.entered.insert((user, key));
        let used = known.entered.len() as u64;
        match known.most.map(u64::from) {
            Some(most) if used > most => Err(format!("{used} came in by a link for {most}")),
            Some(most) if used == most => {
                known.over.get_or_insert(step);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A code leads somewhere, for who asked at `issued`.
    ///
    /// # Errors
    /// When somebody had been told before that it is over.
    pub(crate) fn leads(&self, code: &str, issued: Step) -> Check {
        match self.shelf.codes.get(code).and_then(|known| known.over) {
            Some(over) if over < issued => {
                Err(format!("a code leads somewhere, and is over since step {over}"))
            }
            _ => Ok(()),
        }
    }

    /// A code leads nowhere.
    ///
    /// # Errors
    /// When its link lives.
    pub(crate) fn leads_nowhere(&self, code: &str, wall: Millis) -> Check {
        let Some((room, id)) = self.shelf.names.get(code) else { return Ok(()) };
        let mut links = self.shelf.links.iter().filter(|((of, _), link)| of == room && link.id == *id);
        if links.any(|(_, link)| link.lives(wall)) {
            return Err(format!("{room}: the code of link {id}, which lives, leads nowhere"));
        }
        Ok(())
    }

    /// Somebody was told to have decided a request.
    ///
    /// # Errors
    /// When it was decided more often than asked.
    pub(crate) fn decided(&mut self, by: UserId, room: RoomId, user: UserId, key: Key) -> Check {
        let request = self.shelf.requests.entry((room, user)).or_default();
        request.decided.insert((by, key));
        let (decided, asked) = (request.decided.len() as u64, request.asked);
        if decided > asked {
            return Err(format!("{room}: {decided} decisions about {user}, who asked {asked} times"));
        }
        Ok(())
    }

    /// Somebody was told to have resolved a report.
    ///
    /// # Errors
    /// When somebody else was, too.
    pub(crate) fn resolved(&mut self, by: UserId, room: RoomId, number: u64, key: Key) -> Check {
        let list = self.shelf.reports.get_mut(&room);
        let report = list.and_then(|list| list.get_mut((number as usize).checked_sub(1)?));
        let Some(report) = report else { return Err(format!("{room}: report {number} does not exist")) };
        report.resolved.insert((by, key));
        if report.resolved.len() > 1 || report.open {
            return Err(format!("{room}: report {number} is resolved by {:?}", report.resolved));
        }
        Ok(())
    }

    /// The store keeps how far a user deleted a conversation.
    pub(crate) fn clear(&mut self, room: RoomId, user: UserId, seq: u64) {
        let known = self.shelf.cleared.entry((room, user)).or_default();
        *known = seq.max(*known);
    }

    /// A user was told that a conversation is deleted up to here.
    ///
    /// # Errors
    /// When the store does not have it.
    pub(crate) fn cleared(&mut self, room: RoomId, user: UserId, seq: u64, step: Step) -> Check {
        let stored = self.shelf.cleared.get(&(room, user)).copied().unwrap_or(0);
        if stored < seq {
            return Err(format!("{room}: cleared up to {seq} for {user}, stored is {stored}"));
        }
        self.shelf.told_cleared.entry((room, user)).or_default().push((seq, step));
        Ok(())
    }

    /// Up to where a user has deleted a room for itself, as it was told before `issued`.
    pub(super) fn cleared_by(&self, room: RoomId, user: UserId, issued: Step) -> u64 {
        let told = self.shelf.told_cleared.get(&(room, user)).into_iter().flatten();
        told.filter(|(_, step)| *step <= issued).map(|(seq, _)| *seq).max().unwrap_or(0)
    }

    /// A row of `sync` says what the user deleted for itself, and hides what has nothing since.
    pub(super) fn cleared_row(&self, user: UserId, told: &SyncRoom, truth: &RoomTruth) -> Check {
        let cleared = self.shelf.cleared.get(&(truth.room, user)).copied().unwrap_or(0);
        let said = |(_, entry): (&u64, &super::Entry)| matches!(entry.said, Said::Message { .. });
        let hidden = cleared > 0 && !truth.events.range(cleared + 1..).any(said);
        if told.cleared != cleared || told.hidden != hidden && told.top.is_some() && !truth.lost_any {
            let told = (told.cleared, told.hidden);
            return Err(format!("{}: cleared {told:?} for {user}, not {:?}", truth.room, (cleared, hidden)));
        }
        Ok(())
    }

    /// Rooms that somebody found, exactly those there are when nothing changes any more (`wall`: the time then).
    ///
    /// # Errors
    /// When one is hidden, or keeps the user out, or one is missing.
    pub(crate) fn discovered(&self, user: UserId, told: &[SyncRoom], still: Option<(Millis, bool)>) -> Check {
        for row in told {
            let room = row.room.ok_or("a room without id")?;
            let known = self.shelf.rows.get(&room);
            if known.is_none_or(|row| !row.ever_public) {
                return Err(format!("{room}: found, and never was public"));
            }
            if still.is_some() && row.member != Some(self.granted.contains(&(room, user))) {
                return Err(format!("{room}: found as member {:?} by {user}", row.member));
            }
            if still.is_some() {
                self.picture_is(room, row.avatar)?;
            }
        }
        let Some((wall, whole)) = still else { return Ok(()) };
        let told: BTreeSet<RoomId> = told.iter().filter_map(|row| row.room).collect();
        for (room, row) in &self.shelf.rows {
            let until = self.shelf.bans.get(&(*room, user));
            let banned = until.is_some_and(|until| until.0 == 0 || wall < *until);
            let unsure = until.is_some_and(|until| until.0 > 0 && wall.0.abs_diff(until.0) < UNSURE_MILLIS);
            let open = row.kind == RoomKind::Public && !row.deleted;
            let expected = open && !banned;
            let wrong = told.contains(room) != expected && (whole || told.contains(room));
            if wrong && !(unsure && open) {
                return Err(format!("{room}: found by {user}: {}, not {expected}", !expected));
            }
        }
        Ok(())
    }

    /// A user's own requests, when nothing changes any more.
    ///
    /// # Errors
    /// When an open one is missing, or one is told that is not.
    pub(crate) fn requests_of(&self, user: UserId, item: &Item) -> Check {
        let open = item.requests.iter().filter(|row| row.state.as_deref() == Some("open"));
        let told: BTreeSet<RoomId> = open.filter_map(|row| row.room).collect();
        let own = self.shelf.requests.iter().filter(|((_, of), one)| *of == user && one.open);
        let expected: BTreeSet<RoomId> = own.map(|((room, _), _)| *room).collect();
        if told == expected { Ok(()) } else { Err(format!("{user} has asked {told:?}, not {expected:?}")) }
    }

    /// Who asks to become a member of a room.
    pub(crate) fn open_requests(&self, room: RoomId) -> Vec<UserId> {
        let open = self.shelf.requests.iter().filter(|((of, _), one)| *of == room && one.open);
        open.map(|((_, user), _)| *user).collect()
    }

    /// How many reports there are of a room.
    pub(crate) fn reports_count(&self, room: RoomId) -> u64 {
        self.shelf.reports.get(&room).map_or(0, |list| list.len() as u64)
    }

    /// A list of a room, when nothing changes any more.
    ///
    /// # Errors
    /// When it is not what the model has.
    pub(crate) fn listed(&self, user: UserId, room: RoomId, item: &Item, wall: Millis) -> Check {
        let told = |what: String| Err(format!("{room}: {:?} for {user}: {what}", item.ev));
        match item.ev {
            Ev::Links => {
                for row in &item.links {
                    let known =
                        self.shelf.links.iter().find(|((of, _), one)| *of == room && one.id == row.link);
                    let Some((_, link)) = known else { return told(format!("{} is none", row.link)) };
                    let same = (row.uses, row.max_uses.unwrap_or(0)) == (link.used, link.most);
                    let over = link.ended || wall.0 >= link.until.0.saturating_add(UNSURE_MILLIS);
                    if !same || over || link.most > 0 && link.used >= link.most {
                        return told(format!("{row:?}, not {link:?}"));
                    }
                }
                let listed: BTreeSet<LinkId> = item.links.iter().map(|row| row.link).collect();
                let living =
                    self.shelf.links.iter().filter(|((of, _), link)| *of == room && link.lives(wall));
                match living.map(|(_, link)| link.id).find(|id| !listed.contains(id)) {
                    Some(id) => told(format!("{id} lives and is missing")),
                    None => Ok(()),
                }
            }
            Ev::Requests => {
                let listed: BTreeSet<UserId> = item.requests.iter().filter_map(|row| row.user).collect();
                let open = self.shelf.requests.iter().filter(|((of, _), one)| *of == room && one.open);
                let expected: BTreeSet<UserId> = open.map(|((_, of), _)| *of).collect();
                if listed == expected { Ok(()) } else { told(format!("{listed:?}, not {expected:?}")) }
            }
            Ev::ModerationLog => self.acts_are(room, item),
            Ev::About => self.picture_is(room, item.avatar),
            Ev::Reports => {
                let seen = |one: &&ReportTruth| {
                    one.open && one.report.kind != ReportKind::Room && one.report.user != user
                };
                let all = self.shelf.reports.get(&room).into_iter().flatten().zip(1_u64..);
                let mut expected: Vec<_> = all
                    .filter(|(one, _)| seen(one))
                    .map(|(one, number)| {
                        let Report { kind, user, seq, text, reason, .. } = &one.report;
                        (number, kind.name(), Some(*user), seq.0, text.as_str(), reason.name())
                    })
                    .collect();
                expected.reverse();
                let rows = item.reports.iter();
                let listed: Vec<_> = rows
                    .map(|row| (row.number, &*row.kind, row.user, row.seq, &*row.text, &*row.reason))
                    .collect();
                if item.more {
                    expected.truncate(listed.len());
                }
                if listed == expected { Ok(()) } else { told(format!("{listed:?}, not {expected:?}")) }
            }
            _ => Ok(()),
        }
    }

    /// What moderators did, newest first: all of it in its order, and of deleted messages none that was not, or twice.
    fn acts_are(&self, room: RoomId, item: &Item) -> Check {
        let expected = self.shelf.acts.get(&room).map_or(&[][..], Vec::as_slice);
        let mut told: Vec<(&str, UserId, Option<UserId>)> = Vec::new();
        let mut deleted = BTreeSet::new();
        for row in item.acts.iter().rev() {
            let by = row.by.unwrap_or_default();
            if row.what != "message_deleted" {
                told.push((&row.what, by, row.user));
                continue;
            }
            let truth = self.rooms.get(&room);
            let delete = truth.and_then(|truth| {
                truth.events.values().find(|e| matches!(e.said, Said::Delete { target } if target == row.seq))
            });
            let right = delete.is_some_and(|delete| delete.sender == by);
            if !deleted.insert(row.seq) || !right {
                return Err(format!("{room}: an act of {by} that deleted {} is told, {right}", row.seq));
            }
        }
        if told == expected || item.more {
            return Ok(());
        }
        Err(format!("{room}: acts {told:?}, not {expected:?}"))
    }

    /// Nobody is told of a request but who decides it, or made it.
    pub(super) fn request_told(&self, item: &Item, users: &[UserId]) -> Check {
        let room = item.room.ok_or("a request without room")?;
        let truth = self.rooms.get(&room).ok_or("a request of nothing")?;
        let right = |user: &UserId| match item.state.as_deref() {
            Some("declined") => item.user == Some(*user),
            _ => truth.ever_moderates(*user),
        };
        match users.iter().find(|user| !right(user)) {
            Some(user) => Err(format!("{room}: {user} is told of a request of {:?}", item.user)),
            None => Ok(()),
        }
    }

    /// Nobody is told of a report but who may decide on it: moderators, and not the one whom it is about.
    pub(super) fn report_told(&self, item: &Item, users: &[UserId]) -> Check {
        let room = item.room.ok_or("a report without room")?;
        let truth = self.rooms.get(&room).ok_or("a report of nothing")?;
        let list = self.shelf.reports.get(&room);
        let number = (item.number as usize).checked_sub(1);
        let one = number.and_then(|index| list.and_then(|list| list.get(index)));
        let one = one.ok_or_else(|| format!("{room}: report {} is told and does not exist", item.number))?;
        if one.report.kind == ReportKind::Room {
            return Err(format!("{room}: report {}, which is for operators, is told", item.number));
        }
        if item.state.as_deref() == Some("resolved") && one.open {
            return Err(format!("{room}: report {} is told as resolved and is open", item.number));
        }
        let right = |user: &UserId| truth.ever_moderates(*user) && one.report.user != *user;
        match users.iter().find(|user| !right(user)) {
            Some(user) => Err(format!("{room}: {user} is told of report {}", item.number)),
            None => Ok(()),
        }
    }

    /// A user's other connections are told how far it deleted a conversation.
    pub(super) fn cleared_told(&self, item: &Item, users: &[UserId]) -> Check {
        let room = item.room.ok_or("a conversation without room")?;
        let right = |user: &UserId| self.shelf.cleared.get(&(room, *user)).is_some_and(|to| *to >= item.upto);
        match users.iter().find(|user| !right(user)) {
            Some(user) => Err(format!("{room}: {user} is told of {}, which it did not clear", item.upto)),
            None => Ok(()),
        }
    }
}

impl RoomTruth {
    /// Whether a user is a member who may decide who comes in.
    pub(crate) fn moderates(&self, user: UserId) -> bool {
        self.is_member(user) && self.roles.get(&user).is_some_and(|role| *role > Role::Member)
    }

    /// The same, at any time.
    fn ever_moderates(&self, user: UserId) -> bool {
        let made = |entry: &super::Entry| match &entry.said {
            Said::Meta { event: MetaEvent::Role { user: of, role }, .. } => {
                *of == user && *role > Role::Member
            }
            Said::Meta { event: MetaEvent::Transferred { user: of }, .. } => *of == user,
            _ => false,
        };
        self.founders.first() == Some(&user) || self.events.values().any(made)
    }

    /// Whether a ban of a user stands at a wall time.
    pub(super) fn bans_now(&self, user: UserId, wall: Millis) -> bool {
        self.bans.get(&user).is_some_and(|until| until.0 == 0 || wall < *until)
    }
}
