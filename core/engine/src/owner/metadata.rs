//! Commands that change a room or its members: one at a time per room, written by the store, then journaled.
//!
//! Thread: the shard. The owner checks, the store applies in one transaction with an outbox row, the owner journals
//! the event, and everyone is told once that is committed. An outcome that is not known freezes this queue until
//! the same transaction has been repeated; sends and reads go on.
//!
//! Kicks, bans and mutes do not wait for a store that is away: they are journaled as intents, hold at once, are
//! answered `ok` without a seq when that is synced, and become events when the store has them.
//!
//! Invariants: versions are journaled in order, each once; the outbox row is confirmed after the commit.
//! Limits: [`QUEUE_MAX`] commands wait in a room, [`INTENTS_MAX`] removals while the store is away. What can
//! fail: a check, the store (`unavailable`, `unknown`).

mod apply;
mod confirm;
mod conversations;
mod links;
mod reports;
mod requests;
mod rules;

use std::collections::{BTreeMap, VecDeque};

use lynk_domain::{Key, Nanos, Ordinal, Seq, UserId};
use lynk_model::{
    MessageRequest, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, OutboxRow, StoreError, StoreReply,
    StoreRequest,
};
use lynk_protocol::{Command, Done, ErrorCode, Reject, encode_error, encode_ok};

use smallvec::SmallVec;

use self::apply::append_intent;
pub(super) use self::reports::{SEES_REPORTS, encode_report};
pub use self::rules::check_room_name;

use self::rules::Planned;
use super::books::Held;
use super::books::{Ask, Books, Found, Pending, Timer};
use super::keys::Used;
use super::room::{Member, Room};
use crate::context::Context;
use crate::io::JournalState;
use crate::mail::ConnectionRef;

/// Metadata commands that wait for the one under way.
const QUEUE_MAX: usize = 16;
/// Kicks, bans and mutes that hold until the store returns.
const INTENTS_MAX: usize = 16;
/// Time between two tries of what the store or the journal did not take.
const RETRY_NANOS: u64 = Nanos::SECOND;
/// Time after which a client is told that the outcome is not known.
const UNKNOWN_NANOS: u64 = 10 * Nanos::SECOND;

/// Age up to which an intent is carried out after a restart, in milliseconds: 6 days. The keys that tell whether it was
/// are kept for 7.
const INTENT_LIFE_MILLIS: u64 = 6 * 24 * 60 * 60 * 1_000;

/// A room's metadata commands.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    running: Option<Running>,
    /// Removals and mutes that hold already and that the store must be told first.
    intents: VecDeque<MetaTransaction>,
    /// Commands that wait, with what was found out for them.
    pub(super) queue: VecDeque<(Held, Found)>,
    /// Members whom a removal took out of memory before the store knew of it.
    held_out: BTreeMap<UserId, Member>,
    /// A removal or mute that held came to nothing: memory is not what the store's rows say.
    stale: bool,
    /// The store is asked for its rows.
    reading: bool,
    /// The command of this connection asks the store about its message before it can run.
    looking: Option<ConnectionRef>,
    /// Events that are applied and that the journal does not take now.
    unjournaled: VecDeque<Unjournaled>,
    /// Since when the journal takes none of them.
    stuck_since: Option<Nanos>,
    /// Events journaled whose outbox rows are not confirmed.
    unconfirmed: Vec<(u64, Seq)>,
    /// The version of the last event by which the room's picture changed, until those before it are given back.
    new_picture: Option<u64>,
    /// Requests under way that give those back.
    keeping: u32,
    timer: bool,
}

/// The transaction under way.
#[derive(Debug)]
struct Running {
    tx: Box<MetaTransaction>,
    /// Who waits for the answer; none when it was given.
    asker: Option<Asker>,
    since: Nanos,
    /// The store was asked and has not answered.
    asked: bool,
    /// A try of it may have been written.
    doubtful: bool,
    /// Its event holds in memory already.
    intent: bool,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
struct Asker {
    from: ConnectionRef,
    re: u64,
}

/// An event that the store wrote and the journal must take.
#[derive(Debug)]
struct Unjournaled {
    row: OutboxRow,
    /// Hash of the command; `None` when only its event is known.
    hash: Option<u64>,
    asker: Option<Asker>,
    /// Its subject was a member: a ban may be of a stranger, who learns nothing of it.
    member: bool,
    /// Of a deletion: who was a member.
    left: Vec<UserId>,
}

impl Metadata {
    /// Whether the next command may run.
    pub(super) fn is_free(&self) -> bool {
        self.running.is_none()
            && self.looking.is_none()
            && !self.stale
            && self.unjournaled.is_empty()
            && self.intents.is_empty()
    }

    /// Whether the store has a transaction to do.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The command of `from` asks the store, unless it was refused at once.
    fn look(&mut self, asked: bool, from: ConnectionRef) {
        self.looking = asked.then_some(from);
    }

    /// The store answered what a command of `from` asked.
    pub(super) fn looked(&mut self, from: ConnectionRef) {
        if self.looking == Some(from) {
            self.looking = None;
        }
    }

    /// Whether nothing waits here.
    pub(super) fn is_idle(&self) -> bool {
        self.is_free() && self.queue.is_empty() && self.unconfirmed.is_empty()
    }

    /// Whether the store is known to be away: what cannot hold in memory need not wait.
    pub(super) fn store_away(&self) -> bool {
        !self.intents.is_empty() || self.running.as_ref().is_some_and(|running| running.intent)
    }
}

impl Books {
    /// Runs a metadata command, or queues it.
    pub(super) fn metadata(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
        found: Found,
    ) {
        if cx.shared.journal == JournalState::Full && !room.metadata.unjournaled.is_empty() {
            // Until the disk has space again nothing here can be done, and a connection that waits for it would hold up
            // all else that it asks of this room.
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::StorageFull, 5_000));
        }
        if room.metadata.store_away() {
            return self.metadata_while_away(cx, room, ask, command, found);
        }
        // What only its answer was asked for changes nothing, and need not wait for others.
        let changes_nothing = match &found {
            Found::Key(Some(_)) => true,
            Found::Key(None) => {
                rules::plan(room, ask.user, command, cx.now, &cx.shared.config, &found).is_err()
            }
            _ => false,
        };
        if room.takes_metadata(cx.now.mono) || changes_nothing {
            return self.start(cx, room, ask, command, found);
        }
        // A message may change while its command waits; a key that was not used stays so.
        let found = if let Found::Key(_) = found { found } else { Found::Unasked };
        self.queue(cx, room, ask, found);
    }

    /// Keeps a command until those before it are done.
    pub(super) fn queue(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, found: Found) {
        if room.metadata.queue.len() >= QUEUE_MAX {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 1_000));
        }
        room.engage(ask.from);
        room.metadata.queue.push_back((ask.hold(), found));
        // Should those be long.
        self.arm_metadata(cx, room);
    }

    /// Answers a command whose key was used, or asks what it was used for. `false` when it was not, as far as is known.
    fn answer_known(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
        found: &Found,
    ) -> bool {
        let (key, hash) = (rules::key_of(command, room.id), rules::hash_of(command));
        let scope = Self::scope(room, ask.user, key);
        let told = if let Found::Key(Some(used)) = found { Some(*used) } else { None };
        match self.keys.used(&scope) {
            // An event does not tell all that its command said: the store kept the hash of that.
            Some(Used { hash: None, .. }) if !matches!(found, Found::Key(_)) => {
                self.ask_key(cx, room, ask, key, true);
            }
            Some(mut used) => {
                if used.hash.is_none()
                    && let Some(hash) = told.and_then(|told| told.hash)
                {
                    used.hash = Some(hash);
                    self.keys.insert(scope, used, cx.now.wall, &self.drains);
                }
                let request = matches!(command, Command::Direct { .. }).then(|| room.side(ask.user));
                self.repeat_begun(cx, room, ask, &used, hash, request.flatten());
            }
            None => match told {
                // Its result is no event: the code is told again.
                Some(used)
                    if matches!(command, Command::Link { .. })
                        && used.hash.is_none_or(|known| known == hash) =>
                {
                    cx.shared.counters.repeats += 1;
                    self.tell_link(cx, room, (ask.from, ask.re), (ask.user, key));
                }
                Some(used) => self.repeat(cx, room, ask, &used, hash),
                None => return false,
            },
        }
        true
    }

    fn start(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
        found: Found,
    ) {
        let (key, hash) = (rules::key_of(command, room.id), rules::hash_of(command));
        if let Command::Direct { .. } = command
            && let Ok(Planned::Change(change @ MetaChange::Conversation(_))) =
                rules::plan(room, ask.user, command, cx.now, &cx.shared.config, &found)
        {
            // It has no key: the one of `direct` was used when the 1:1 was begun, and repeating it is harmless.
            return self.transact(cx, room, ask, Key::NIL, hash, change);
        }
        if self.answer_known(cx, room, ask, command, &found) {
            return;
        }
        match rules::plan(room, ask.user, command, cx.now, &cx.shared.config, &found) {
            // What is refused now may be what it did before. (The store itself recognises a repeated change.)
            Err(_) if self.should_ask(room, ask, key, &found) || leaves_no_trace(command, &found) => {
                self.ask_key(cx, room, ask, key, true)
            }
            // It may come to hold without the store, which then recognises nothing.
            Ok(Planned::Change(MetaChange::Event(event)))
                if holds_in_memory(&event) && self.should_ask(room, ask, key, &found) =>
            {
                self.ask_key(cx, room, ask, key, true);
            }
            Err(reject) => self.refuse(cx, room, ask, reject),
            Ok(Planned::Already) => self.found(cx, room, ask),
            Ok(Planned::Look(target)) => {
                self.ask_target(cx, room, ask.hold(), target, 1);
                room.metadata.look(room.busy.contains(&ask.from), ask.from);
            }
            Ok(Planned::Change(change)) => match rules::new_picture(room, &change) {
                // A retry whose picture was replaced since is answered as its first try was.
                Some(_) if self.should_ask(room, ask, key, &found) => self.ask_key(cx, room, ask, key, true),
                Some(picture) if !matches!(found, Found::Files(_)) => {
                    self.ask_picture(cx, room, ask, picture);
                    room.metadata.look(room.busy.contains(&ask.from), ask.from);
                }
                _ => self.transact(cx, room, ask, key, hash, change),
            },
        }
    }

    fn should_ask(&self, room: &Room, ask: &Ask<'_>, key: Key, found: &Found) -> bool {
        matches!(found, Found::Unasked) && self.must_ask_key(room, ask, key)
    }

    fn transact(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        key: Key,
        hash: u64,
        change: MetaChange,
    ) {
        let allowed = if change.has_no_event() { Ok(()) } else { self.may_append(cx) };
        let free = self.may_ask(cx).then_some(()).ok_or_else(|| Reject::after(ErrorCode::Busy, 100));
        if let Err(reject) = allowed.and(free) {
            return self.refuse(cx, room, ask, reject);
        }
        let tx = Box::new(MetaTransaction {
            room: room.id,
            actor: ask.user,
            key,
            content_hash: hash,
            wall: cx.now.wall,
            change,
        });
        room.engage(ask.from);
        let asker = Asker { from: ask.from, re: ask.re };
        self.ask(cx, room, StoreRequest::Apply(tx.clone()), Pending::Apply);
        room.metadata.running = Some(Running {
            tx,
            asker: Some(asker),
            since: cx.now.mono,
            asked: true,
            doubtful: false,
            intent: false,
        });
        // Should no answer come.
        self.arm_metadata(cx, room);
    }

    /// The store answered the transaction.
    pub(super) fn applied(&mut self, cx: &mut Context<'_>, room: &mut Room, reply: StoreReply) {
        let Some(mut running) = room.metadata.running.take() else { return };
        match reply {
            StoreReply::Applied(outcome) => self.outcome(cx, room, running, *outcome),
            StoreReply::Failed(error)
                if error == StoreError::Unknown || error == StoreError::Unavailable && running.doubtful =>
            {
                // Whether it was written is not known: nothing else may be until it is. That a repetition was
                // refused says nothing of the tries before it.
                running.asked = false;
                running.doubtful = true;
                room.metadata.running = Some(running);
                self.arm_metadata(cx, room);
            }
            StoreReply::Failed(StoreError::Unavailable) => self.unavailable(cx, room, running),
            _ => {
                room.metadata.stale |= running.intent;
                self.finish(cx, room, running.asker, Err(ErrorCode::Internal.into()));
            }
        }
        self.read_rows(cx, room);
        if room.metadata.running.is_none() {
            self.next_intent(cx, room);
            self.tell_notes(cx, room);
        }
    }

    fn outcome(&mut self, cx: &mut Context<'_>, room: &mut Room, running: Running, outcome: MetaOutcome) {
        let Running { tx, asker, intent, doubtful, .. } = running;
        let (outcome, asks) = match outcome {
            MetaOutcome::Requested { version, repeated: None } => {
                (MetaOutcome::Applied { version, event: None }, true)
            }
            MetaOutcome::Requested { version, repeated: Some(seq) } => {
                (MetaOutcome::Repeated { version, seq }, true)
            }
            outcome => (outcome, false),
        };
        let last = room.last_version();
        let fresh = |version: u64| version > last;
        let taken = match outcome {
            MetaOutcome::Applied { .. } => true,
            MetaOutcome::Repeated { version, .. } => fresh(version),
            _ => false,
        };
        room.metadata.stale |= intent && !taken;
        if let MetaChange::Begin { user, .. } = &tx.change
            && asks
            && taken
        {
            let request = MessageRequest::new(tx.actor, *user, tx.wall, Ordinal(0));
            room.take_request(Some(request));
        }
        match outcome {
            MetaOutcome::Applied { .. } | MetaOutcome::Repeated { .. }
                if matches!(tx.change, MetaChange::Block { .. }) =>
            {
                // A block has no version that tells an old use of its key from one whose answer was lost, and what came
                // after an old use must stand.
                if doubtful || matches!(outcome, MetaOutcome::Applied { .. }) {
                    self.block_applied(cx, room, &tx.change);
                }
                self.finish(cx, room, asker, Ok(Seq(0)));
            }
            MetaOutcome::Applied { .. } | MetaOutcome::Repeated { .. }
                if matches!(tx.change, MetaChange::Link(_) | MetaChange::Unlink { .. }) =>
            {
                // As with a block.
                let fresh = doubtful || matches!(outcome, MetaOutcome::Applied { .. });
                self.link_applied(cx, room, &tx, asker, fresh);
            }
            MetaOutcome::Applied { .. } | MetaOutcome::Repeated { .. }
                if matches!(tx.change, MetaChange::Conversation(_)) =>
            {
                // As with a block.
                let fresh = doubtful || matches!(outcome, MetaOutcome::Applied { .. });
                self.conversation_applied(cx, room, &tx, asker, fresh);
            }
            // What may not be asked anew now is found as it is.
            MetaOutcome::TooOften { .. } | MetaOutcome::Closed | MetaOutcome::Blocked
                if matches!(tx.change, MetaChange::Conversation(_)) =>
            {
                self.finish_begun(cx, room, asker, (Seq(0), 0), tx.actor);
            }
            MetaOutcome::TooOften { until } => {
                let reject = conversations::too_often(until, cx.now.wall);
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::Requested { .. } => unreachable!("taken apart above"),
            MetaOutcome::Applied { .. } | MetaOutcome::Repeated { .. } if tx.change.has_no_event() => {
                // As with a block.
                let fresh = doubtful || matches!(outcome, MetaOutcome::Applied { .. });
                self.request_applied(cx, room, &tx, asker, fresh);
            }
            MetaOutcome::Reported { number, user } => {
                self.report_applied(cx, room, &tx, (number, user));
                self.finish(cx, room, asker, Ok(Seq(0)));
            }
            MetaOutcome::NoRequest => {
                let reject = requests::gone(room, tx.actor, cx.now.wall);
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::NoReport => {
                let reject = Reject::because(ErrorCode::Conflict, "there is no such open report");
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::Exists if matches!(tx.change, MetaChange::Report(_)) => {
                let reject = Reject::because(ErrorCode::Conflict, "you have reported this already");
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::Declined => {
                let reject = Reject::because(ErrorCode::Forbidden, requests::DECLINED);
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::NoLink => {
                links::forget(room, &tx.change);
                self.finish(cx, room, asker, Err(links::gone(&tx.change)));
            }
            MetaOutcome::Applied { version, .. } => self.take_event(cx, room, *tx, version, asker, intent),
            // The first try was written after all, and its answer was lost.
            MetaOutcome::Repeated { version, .. } if fresh(version) => {
                self.take_event(cx, room, *tx, version, asker, intent);
            }
            MetaOutcome::Repeated { version, seq } => {
                cx.shared.counters.repeats += 1;
                let journaled = room.metadata.unconfirmed.iter().find(|(v, _)| *v == version);
                let seq = journaled.map_or(seq, |(_, seq)| *seq);
                self.finish_begun(cx, room, asker, (seq, 0), tx.actor);
            }
            MetaOutcome::Exists if matches!(tx.change, MetaChange::Begin { .. }) => {
                self.finish_begun(cx, room, asker, (Seq(0), 0), tx.actor);
            }
            MetaOutcome::Conflict => {
                self.finish(cx, room, asker, Err(ErrorCode::IdempotencyConflict.into()));
            }
            MetaOutcome::NameTaken => self.finish(cx, room, asker, Err(ErrorCode::NameTaken.into())),
            MetaOutcome::Exists if matches!(tx.change, MetaChange::Ask { .. }) => {
                let reject = Reject::because(ErrorCode::Conflict, "you have asked already");
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::Exists => self.finish(cx, room, asker, Err(ErrorCode::Conflict.into())),
            MetaOutcome::Missing => self.finish(cx, room, asker, Err(ErrorCode::RoomNotFound.into())),
            MetaOutcome::Blocked => {
                let reject = Reject::because(ErrorCode::Blocked, "a block stands between you and that user");
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::Closed => {
                let detail = match tx.change {
                    MetaChange::Event(_) => "strangers do not add that user to rooms; send a link",
                    _ => {
                        "that user does not take conversations begun by you; meet in a room or be written to"
                    }
                };
                self.finish(cx, room, asker, Err(Reject::because(ErrorCode::Forbidden, detail)));
            }
            MetaOutcome::Limit => {
                let detail = match tx.change {
                    MetaChange::Block { .. } => "you block as many users as you may",
                    MetaChange::Link(_) => links::TOO_MANY,
                    MetaChange::Ask { .. } => requests::TOO_MANY,
                    MetaChange::Report(_) => reports::TOO_MANY,
                    _ => "the user is in as many rooms as a user may be",
                };
                self.finish(cx, room, asker, Err(Reject::because(ErrorCode::LimitReached, detail)));
            }
        }
    }

    /// Answers who asked, once, and lets the connection's next command run.
    fn finish(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        asker: Option<Asker>,
        result: Result<Seq, Reject>,
    ) {
        let Some(Asker { from, re }) = asker else { return };
        room.disengage(from);
        match result {
            Ok(seq) => {
                let done = Done { room: Some(room.id), seq, ..Done::default() };
                let frame = cx.shared.pool.frame(|out| encode_ok(out, re, &done));
                self.answer_behind(cx, room, from, frame);
            }
            Err(reject) => {
                if let Some(count) = cx.shared.counters.rejects.get_mut(reject.code as usize) {
                    *count += 1;
                }
                let request = cx.shared.random();
                let frame =
                    cx.shared.pool.frame(|out| encode_error(out, re, Some(room.id), &reject, request));
                self.answer(cx, room, from, frame);
            }
        }
    }

    /// The store is away. Removals and mutes hold all the same, are journaled, and reach it first when it returns.
    fn unavailable(&mut self, cx: &mut Context<'_>, room: &mut Room, mut running: Running) {
        let away = Reject::after(ErrorCode::Unavailable, 1_000);
        let MetaChange::Event(event) = &running.tx.change else {
            return self.finish(cx, room, running.asker, Err(away));
        };
        if !holds_in_memory(event) {
            return self.finish(cx, room, running.asker, Err(away));
        }
        if !running.intent {
            if let Err(reject) = self.hold(cx, room, &running.tx) {
                return self.finish(cx, room, running.asker, Err(reject));
            }
            self.finish(cx, room, running.asker.take(), Ok(Seq(0)));
        }
        running.intent = true;
        running.asked = false;
        room.metadata.running = Some(running);
        self.arm_metadata(cx, room);
        // Those behind it need not wait for the store.
        while let Some((held, found)) = room.metadata.queue.pop_front() {
            room.disengage(held.from);
            self.run_held(cx, room, &held, found);
        }
    }

    /// A metadata command while removals wait for the store.
    fn metadata_while_away(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
        found: Found,
    ) {
        let away = Reject::after(ErrorCode::Unavailable, 1_000);
        let (key, hash) = (rules::key_of(command, room.id), rules::hash_of(command));
        let metadata = &room.metadata;
        let running = metadata.running.iter().map(|running| &*running.tx);
        let mut intents = metadata.intents.iter().chain(running);
        let done = Done { room: Some(room.id), ..Done::default() };
        if let Some(tx) = intents.find(|tx| tx.actor == ask.user && tx.key == key) {
            return match tx.content_hash == hash {
                true => self.ok(cx, room, ask, &done),
                false => self.refuse(cx, room, ask, ErrorCode::IdempotencyConflict.into()),
            };
        }
        if self.answer_known(cx, room, ask, command, &found) {
            return;
        }
        match rules::plan(room, ask.user, command, cx.now, &cx.shared.config, &found) {
            Err(_) if self.should_ask(room, ask, key, &found) || leaves_no_trace(command, &found) => {
                self.ask_key(cx, room, ask, key, true)
            }
            Ok(Planned::Change(MetaChange::Event(event)))
                if holds_in_memory(&event) && self.should_ask(room, ask, key, &found) =>
            {
                self.ask_key(cx, room, ask, key, true);
            }
            Err(reject) => self.refuse(cx, room, ask, reject),
            Ok(Planned::Change(MetaChange::Event(event)))
                if holds_in_memory(&event) && room.metadata.intents.len() < INTENTS_MAX =>
            {
                let tx = MetaTransaction {
                    room: room.id,
                    actor: ask.user,
                    key,
                    content_hash: hash,
                    wall: cx.now.wall,
                    change: MetaChange::Event(event),
                };
                if let Err(reject) = self.hold(cx, room, &tx) {
                    return self.refuse(cx, room, ask, reject);
                }
                room.metadata.intents.push_back(tx);
                self.ok(cx, room, ask, &done);
            }
            Ok(_) => self.refuse(cx, room, ask, away),
        }
    }

    /// The room's timer: repeats what was not taken.
    pub(super) fn retry_metadata(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        room.metadata.timer = false;
        self.journal_waiting(cx, room);
        self.answer_stuck(cx, room);
        self.read_rows(cx, room);
        self.confirm_again(cx, room);
        self.tell_notes(cx, room);
        self.dismiss_again(cx, room);
        self.hold_late(cx, room);
        if let Some(running) = &mut room.metadata.running {
            let late = cx.now.mono.since(running.since) >= UNKNOWN_NANOS;
            let asker = if late { running.asker.take() } else { None };
            if !running.asked {
                running.asked = true;
                let request = StoreRequest::Apply(running.tx.clone());
                self.ask(cx, room, request, Pending::Apply);
            }
            self.finish(cx, room, asker, Err(Reject::after(ErrorCode::Unknown, 1_000)));
            while late && let Some((held, _)) = room.metadata.queue.pop_front() {
                room.disengage(held.from);
                self.refuse_held(cx, room, &held, Reject::after(ErrorCode::Busy, 1_000));
            }
        } else {
            self.next_intent(cx, room);
        }
        let metadata = &room.metadata;
        let waits = !metadata.unjournaled.is_empty() || !metadata.queue.is_empty();
        if metadata.running.is_some() || metadata.stale || waits {
            self.arm_metadata(cx, room);
        }
        self.settle(cx, room);
    }

    /// Lets a removal or mute hold that the store does not answer.
    fn hold_late(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        let Some(mut running) = room.metadata.running.take() else { return };
        let late = cx.now.mono.since(running.since) >= UNKNOWN_NANOS;
        let holds = matches!(&running.tx.change, MetaChange::Event(event) if holds_in_memory(event));
        if late && holds && !running.intent && self.hold(cx, room, &running.tx).is_ok() {
            running.intent = true;
            self.finish(cx, room, running.asker.take(), Ok(Seq(0)));
        }
        room.metadata.running = Some(running);
    }

    /// Lets a removal or mute hold before the store has it, and journals that. Who asked is answered after the sync.
    fn hold(&mut self, cx: &mut Context<'_>, room: &mut Room, tx: &MetaTransaction) -> Result<(), Reject> {
        let MetaChange::Event(event) = &tx.change else { return Ok(()) };
        self.may_append(cx)?;
        append_intent(cx, room, tx, event);
        Self::hold_in_memory(room, tx.actor, event);
        Ok(())
    }

    /// Removals and mutes that an earlier process journaled and that the store may not have: they hold again, and
    /// reach it once the outbox is journaled.
    pub(super) fn take_intents(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        intents: Vec<MetaTransaction>,
    ) {
        let oldest = cx.now.wall.0.saturating_sub(INTENT_LIFE_MILLIS);
        let exists = room.info.is_some();
        for tx in intents.into_iter().filter(|tx| exists && tx.wall.0 >= oldest) {
            if let MetaChange::Event(event) = &tx.change {
                Self::hold_in_memory(room, tx.actor, event);
                room.metadata.intents.push_back(tx);
            }
        }
        // Nobody is subscribed yet.
        room.cut_off.clear();
        self.next_intent(cx, room);
    }

    /// Whoever has waited long for a full journal is told that it may take longer. The events stay, and are journaled
    /// when there is space.
    fn answer_stuck(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        let Some(since) = room.metadata.stuck_since else { return };
        if cx.now.mono.since(since) < UNKNOWN_NANOS {
            return;
        }
        let askers: SmallVec<[Asker; 4]> =
            room.metadata.unjournaled.iter_mut().filter_map(|event| event.asker.take()).collect();
        for asker in askers {
            self.finish(cx, room, Some(asker), Err(Reject::after(ErrorCode::Unknown, 1_000)));
        }
        while let Some((held, _)) = room.metadata.queue.pop_front() {
            room.disengage(held.from);
            self.refuse_held(cx, room, &held, Reject::after(ErrorCode::StorageFull, 5_000));
        }
    }

    fn next_intent(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if !room.metadata.unjournaled.is_empty() || room.metadata.stale {
            return;
        }
        if let Some(tx) = room.metadata.intents.pop_front() {
            let tx = Box::new(tx);
            self.ask(cx, room, StoreRequest::Apply(tx.clone()), Pending::Apply);
            room.metadata.running = Some(Running {
                tx,
                asker: None,
                since: cx.now.mono,
                asked: true,
                doubtful: false,
                intent: true,
            });
        }
    }

    /// Asks for the store's rows when memory does not agree with them.
    fn read_rows(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if room.metadata.stale && !room.metadata.reading {
            room.metadata.reading = true;
            let request = StoreRequest::LoadRoom { room: room.id, window: 0, undrained: Vec::new() };
            self.ask(cx, room, request, Pending::Rows);
        }
    }

    /// The store's rows, or why they cannot be read: then they are asked for again.
    pub(super) fn rows_read(&mut self, cx: &mut Context<'_>, room: &mut Room, reply: StoreReply) {
        room.metadata.reading = false;
        let StoreReply::Loaded(rows) = reply else { return self.arm_metadata(cx, room) };
        room.metadata.stale = false;
        room.take_rows(*rows);
        // What holds already and waits for the store goes on to hold.
        for tx in std::mem::take(&mut room.metadata.intents) {
            if let MetaChange::Event(event) = &tx.change {
                Self::hold_in_memory(room, tx.actor, event);
            }
            room.metadata.intents.push_back(tx);
        }
        self.next_intent(cx, room);
    }

    pub(super) fn arm_metadata(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if !room.metadata.timer {
            room.metadata.timer = true;
            self.wheel.insert(cx.now.mono.after(RETRY_NANOS), Timer::Metadata(room.id));
        }
    }
}

/// Whether the key of a command is in no event, so that memory never knows that it was used before the room was loaded.
fn leaves_no_trace(command: &Command<'_>, found: &Found) -> bool {
    matches!(found, Found::Unasked)
        && matches!(
            command,
            Command::Link { .. }
                | Command::Unlink { .. }
                | Command::RequestJoin { .. }
                | Command::WithdrawRequest { .. }
                | Command::AnswerRequest { accept: false, .. }
                | Command::AnswerConversation { .. }
                | Command::Report { .. }
                | Command::ResolveReport { .. }
        )
}

/// Removals and mutes protect a room: they do not wait for the store.
fn holds_in_memory(event: &MetaEvent) -> bool {
    matches!(event, MetaEvent::Kicked { .. } | MetaEvent::Banned { .. } | MetaEvent::Muted { .. })
}
