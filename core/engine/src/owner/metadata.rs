//! Commands that change a room or its members: one at a time per room, written by the store, then journaled.
//!
//! Thread: the shard. The owner checks, the store applies in one transaction with an outbox row, the owner journals
//! the event, and everyone is told once that is committed. An outcome that is not known freezes this queue until
//! the same transaction has been repeated; sends and reads go on.
//!
//! Invariants: versions are journaled in order, each once; the outbox row is confirmed after the commit.
//! Limits: [`QUEUE_MAX`] commands wait in a room, [`INTENTS_MAX`] removals while the store is away. What can
//! fail: a check, the store (`unavailable`, `unknown`).

mod apply;
mod rules;

use std::collections::VecDeque;

use lynk_domain::{Key, Nanos, Seq};
use lynk_model::{
    MetaChange, MetaEvent, MetaOutcome, MetaTransaction, OutboxRow, StoreError, StoreReply, StoreRequest,
};
use lynk_protocol::{Command, Done, ErrorCode, Reject, encode_error, encode_ok};

use self::rules::Planned;
use super::books::Held;
use super::books::{Ask, Books, Found, Pending, Timer};
use super::room::Room;
use crate::context::Context;
use crate::mail::ConnectionRef;

/// Metadata commands that wait for the one under way.
const QUEUE_MAX: usize = 16;
/// Kicks, bans and mutes that hold in memory until the store returns.
const INTENTS_MAX: usize = 16;
/// Time between two tries of what the store or the journal did not take.
const RETRY_NANOS: u64 = Nanos::SECOND;
/// Time after which a client is told that the outcome is not known.
const UNKNOWN_NANOS: u64 = 10 * Nanos::SECOND;

/// A room's metadata commands.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    running: Option<Running>,
    /// Removals and mutes that hold already and that the store must be told first.
    intents: VecDeque<MetaTransaction>,
    pub(super) queue: VecDeque<Held>,
    /// The command of this connection asks the store about its message or its key before it can run.
    looking: Option<ConnectionRef>,
    /// Events that are applied and that the journal does not take now, with who asked.
    unjournaled: VecDeque<(OutboxRow, Option<Asker>)>,
    /// Events journaled whose outbox rows are not confirmed.
    unconfirmed: Vec<(u64, Seq)>,
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

/// Who asked, and what for.
#[derive(Clone, Copy, Debug)]
struct Asker {
    from: ConnectionRef,
    re: u64,
    hash: u64,
}

impl Metadata {
    /// Whether the next command may run.
    pub(super) fn is_free(&self) -> bool {
        self.running.is_none()
            && self.looking.is_none()
            && self.unjournaled.is_empty()
            && self.intents.is_empty()
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
    fn store_away(&self) -> bool {
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
        if room.metadata.store_away() {
            return self.metadata_while_away(cx, room, ask, command);
        }
        if room.metadata.is_free() {
            return self.start(cx, room, ask, command, found);
        }
        if room.metadata.queue.len() >= QUEUE_MAX {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 1_000));
        }
        room.engage(ask.from);
        room.metadata.queue.push_back(ask.hold());
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
        if let Some(used) = self.keys.used(&Self::scope(room, ask.user, key)) {
            return self.repeat(cx, room, ask, &used, hash);
        }
        if let Found::Key(Some(used)) = found {
            return self.repeat(cx, room, ask, &used, hash);
        }
        match rules::plan(room, ask.user, command, cx.now, &cx.shared.config, &found) {
            // What is refused now may be what it did before. (The store itself recognises a repeated change.)
            Err(_) if matches!(found, Found::Unasked) && self.must_ask_key(room, ask, key) => {
                self.ask_key(cx, room, ask, key);
                room.metadata.look(room.busy.contains(&ask.from), ask.from);
            }
            Err(reject) => self.refuse(cx, room, ask, reject),
            Ok(Planned::Already) => self.ok(cx, room, ask, &Done { room: Some(room.id), ..Done::default() }),
            Ok(Planned::Look(target)) => {
                self.ask_target(cx, room, ask.hold(), target, 1);
                room.metadata.look(room.busy.contains(&ask.from), ask.from);
            }
            Ok(Planned::Change(change)) => self.transact(cx, room, ask, key, hash, change),
        }
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
        let allowed = match change {
            MetaChange::Block { .. } => Ok(()),
            _ => self.may_append(cx),
        };
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
        let asker = Asker { from: ask.from, re: ask.re, hash };
        self.ask(cx, room, StoreRequest::Apply(tx.clone()), Pending::Apply);
        room.metadata.running = Some(Running {
            tx,
            asker: Some(asker),
            since: cx.now.mono,
            asked: true,
            doubtful: false,
            intent: false,
        });
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
            _ => self.finish(cx, room, running.asker, Err(ErrorCode::Internal.into())),
        }
        if room.metadata.running.is_none() {
            self.next_intent(cx, room);
        }
    }

    fn outcome(&mut self, cx: &mut Context<'_>, room: &mut Room, running: Running, outcome: MetaOutcome) {
        let Running { tx, asker, intent, .. } = running;
        let fresh = |version: u64| version > room.last_version();
        match outcome {
            MetaOutcome::Applied { .. } | MetaOutcome::Repeated { .. }
                if matches!(tx.change, MetaChange::Block { .. }) =>
            {
                self.block_applied(cx, room, &tx.change);
                self.finish(cx, room, asker, Ok(Seq(0)));
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
                self.finish(cx, room, asker, Ok(seq));
            }
            MetaOutcome::Exists if matches!(&tx.change, MetaChange::Create { row, .. } if row.kind == lynk_domain::RoomKind::Direct) =>
            {
                self.finish(cx, room, asker, Ok(Seq(0)));
            }
            MetaOutcome::Conflict => {
                self.finish(cx, room, asker, Err(ErrorCode::IdempotencyConflict.into()));
            }
            MetaOutcome::NameTaken => self.finish(cx, room, asker, Err(ErrorCode::NameTaken.into())),
            MetaOutcome::Exists => self.finish(cx, room, asker, Err(ErrorCode::Conflict.into())),
            MetaOutcome::Missing => self.finish(cx, room, asker, Err(ErrorCode::RoomNotFound.into())),
            MetaOutcome::Blocked => {
                let reject = Reject::because(ErrorCode::Blocked, "a block stands between you and that user");
                self.finish(cx, room, asker, Err(reject));
            }
            MetaOutcome::Limit => {
                let detail = match tx.change {
                    MetaChange::Block { .. } => "you block as many users as you may",
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
        let Some(Asker { from, re, .. }) = asker else { return };
        room.disengage(from);
        match result {
            Ok(seq) => {
                let done = Done { room: Some(room.id), seq, ..Done::default() };
                let frame = cx.shared.pool.frame(|out| encode_ok(out, re, &done));
                self.answer(cx, room, from, frame);
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

    /// The store is away. Removals and mutes hold all the same, and reach it first when it returns.
    fn unavailable(&mut self, cx: &mut Context<'_>, room: &mut Room, mut running: Running) {
        let away = Reject::after(ErrorCode::Unavailable, 1_000);
        let MetaChange::Event(event) = &running.tx.change else {
            return self.finish(cx, room, running.asker, Err(away));
        };
        if !holds_in_memory(event) {
            return self.finish(cx, room, running.asker, Err(away));
        }
        if !running.intent {
            let event = event.clone();
            Self::hold_in_memory(cx, room, running.tx.actor, &event);
            self.finish(cx, room, running.asker.take(), Err(in_force()));
        }
        running.intent = true;
        running.asked = false;
        room.metadata.running = Some(running);
        self.arm_metadata(cx, room);
        // Those behind it need not wait for the store.
        while let Some(held) = room.metadata.queue.pop_front() {
            room.disengage(held.from);
            self.run_held(cx, room, &held, Found::Unasked);
        }
    }

    /// A metadata command while removals wait for the store.
    fn metadata_while_away(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
    ) {
        let away = Reject::after(ErrorCode::Unavailable, 1_000);
        let (key, hash) = (rules::key_of(command, room.id), rules::hash_of(command));
        let metadata = &room.metadata;
        let running = metadata.running.iter().map(|running| &*running.tx);
        if metadata.intents.iter().chain(running).any(|tx| tx.actor == ask.user && tx.key == key) {
            return self.refuse(cx, room, ask, in_force());
        }
        match rules::plan(room, ask.user, command, cx.now, &cx.shared.config, &Found::Unasked) {
            Err(reject) => self.refuse(cx, room, ask, reject),
            Ok(Planned::Change(MetaChange::Event(event)))
                if holds_in_memory(&event) && room.metadata.intents.len() < INTENTS_MAX =>
            {
                Self::hold_in_memory(cx, room, ask.user, &event);
                room.metadata.intents.push_back(MetaTransaction {
                    room: room.id,
                    actor: ask.user,
                    key,
                    content_hash: hash,
                    wall: cx.now.wall,
                    change: MetaChange::Event(event),
                });
                self.refuse(cx, room, ask, in_force());
            }
            Ok(_) => self.refuse(cx, room, ask, away),
        }
    }

    /// The room's timer: repeats what was not taken.
    pub(super) fn retry_metadata(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        room.metadata.timer = false;
        self.journal_waiting(cx, room);
        for (version, seq) in std::mem::take(&mut room.metadata.unconfirmed) {
            self.confirm(cx, room, version, seq);
        }
        if let Some(running) = &mut room.metadata.running {
            let late = cx.now.mono.since(running.since) >= UNKNOWN_NANOS;
            let asker = if late { running.asker.take() } else { None };
            if !running.asked {
                running.asked = true;
                let request = StoreRequest::Apply(running.tx.clone());
                self.ask(cx, room, request, Pending::Apply);
            }
            self.finish(cx, room, asker, Err(Reject::after(ErrorCode::Unknown, 1_000)));
            while late && let Some(held) = room.metadata.queue.pop_front() {
                room.disengage(held.from);
                self.refuse_held(cx, room, &held, Reject::after(ErrorCode::Busy, 1_000));
            }
        } else {
            self.next_intent(cx, room);
        }
        if room.metadata.running.is_some() || !room.metadata.unjournaled.is_empty() {
            self.arm_metadata(cx, room);
        }
        self.settle(cx, room);
    }

    fn next_intent(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if !room.metadata.unjournaled.is_empty() {
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

    fn arm_metadata(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if !room.metadata.timer {
            room.metadata.timer = true;
            self.wheel.insert(cx.now.mono.after(RETRY_NANOS), Timer::Metadata(room.id));
        }
    }

    /// Has the outbox row dropped once the event's record is committed.
    fn confirm(&mut self, cx: &mut Context<'_>, room: &mut Room, version: u64, seq: Seq) {
        room.metadata.unconfirmed.push((version, seq));
        let request = StoreRequest::Confirm { room: room.id, version, seq };
        self.ask(cx, room, request, Pending::Confirm { version, seq });
    }

    pub(super) fn confirmed(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        version: u64,
        seq: Seq,
        reply: &StoreReply,
    ) {
        match reply {
            StoreReply::Confirmed => room.metadata.unconfirmed.retain(|known| *known != (version, seq)),
            _ => self.arm_metadata(cx, room),
        }
    }
}

/// Removals and mutes protect a room: they do not wait for the store.
fn holds_in_memory(event: &MetaEvent) -> bool {
    matches!(event, MetaEvent::Kicked { .. } | MetaEvent::Banned { .. } | MetaEvent::Muted { .. })
}

/// What is said of something that holds but is not kept yet.
fn in_force() -> Reject {
    let mut reject = Reject::after(ErrorCode::Unavailable, 1_000);
    reject.detail =
        "in force, but a restart would forget it until the store is back; retry with the same key".into();
    reject
}
