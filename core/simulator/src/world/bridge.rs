//! The store bridge: the real request logic over memory stores, behind faults.

use std::collections::BTreeMap;

use lynk_domain::{Lsn, ShardId};
use lynk_journal::DrainStep;
use lynk_model::memory::MemoryMessages;
use lynk_model::port::{MessageStore, ready};
use lynk_model::{
    MetaChange, MetaOutcome, PageQuery, PageReply, ReadState, Record, RequestId, RoomHead, StoreError,
    StoreReply, StoreRequest, StoredBody, StoredEvent, execute,
};

use super::{Event, World};
use crate::faults::Sabotage;
use crate::oracle::Journal;

/// Requests on their way through the bridge.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    waiting: BTreeMap<(ShardId, RequestId), StoreRequest>,
    /// When the last request is carried out: later ones follow it, unless they may overtake.
    last_at: u64,
}

impl Bridge {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Name of a request, for traces.
fn name(request: &StoreRequest) -> &'static str {
    match request {
        StoreRequest::LoadRoom { .. } => "load_room",
        StoreRequest::Page { .. } => "page",
        StoreRequest::Event { .. } => "event",
        StoreRequest::FindTime { .. } => "find_time",
        StoreRequest::FindOld { .. } => "find_old",
        StoreRequest::FindKey { .. } => "find_key",
        StoreRequest::FindName { .. } => "find_name",
        StoreRequest::CountNotUnread { .. } => "count_not_unread",
        StoreRequest::Memberships { .. } => "memberships",
        StoreRequest::Discover(_) => "discover",
        StoreRequest::Note { .. } => "note",
        StoreRequest::Requests { .. } => "requests",
        StoreRequest::Blocks { .. } => "blocks",
        StoreRequest::Relations { .. } => "relations",
        StoreRequest::List { .. } => "list",
        StoreRequest::Hidden { .. } => "hidden",
        StoreRequest::Clear { .. } => "clear",
        StoreRequest::Wrote { .. } => "wrote",
        StoreRequest::Attach { .. } => "attach",
        StoreRequest::TakePicture { .. } => "take_picture",
        StoreRequest::KeepPicture { .. } => "keep_picture",
        StoreRequest::Release { .. } => "release",
        StoreRequest::Posted { .. } => "posted",
        StoreRequest::Leave { .. } => "leave",
        StoreRequest::Passed { .. } => "passed",
        StoreRequest::EndFiles { .. } => "end_files",
        StoreRequest::Apply(_) => "apply",
        StoreRequest::Confirm { .. } => "confirm",
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Done,
    Refused,
    DoneUnknown,
    Lost,
    Zombie,
}

impl World {
    /// A shard asks the bridge.
    pub(super) fn ask_store(
        &mut self,
        shard: ShardId,
        id: RequestId,
        request: StoreRequest,
    ) -> Result<(), String> {
        let faults = self.plan.scenario.faults.store;
        let mut delay = self.random.delay(faults.nanos);
        if !self.healed && self.random.chance(faults.late_permille) {
            delay = delay.saturating_mul(self.random.between(5, 60));
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut at = self.now + delay;
        if !faults.reordered {
            at = at.max(process.bridge.last_at + 1);
            process.bridge.last_at = at;
        }
        self.trace.line(|| format!("shard {} asks {} {:?}: {request:?}", shard.0, name(&request), id));
        if process.bridge.waiting.insert((shard, id), request).is_some() {
            return Err(format!("shard {} used request {} twice", shard.0, id.0));
        }
        let limit = self.plan.scenario.limits.store_requests_in_flight_max as usize;
        if process.bridge.waiting.keys().filter(|(s, _)| *s == shard).count() > limit {
            return Err(format!("shard {} has more than {limit} store requests in flight", shard.0));
        }
        self.at(at, Event::Store(shard, id));
        Ok(())
    }

    /// Carries out a request, or not.
    pub(super) fn serve_store(&mut self, shard: ShardId, id: RequestId) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(request) = process.bridge.waiting.remove(&(shard, id)) else { return Ok(()) };
        let faults = self.plan.scenario.faults.store;
        let fate = if self.stores.away && relational(&request) {
            Fate::Refused
        } else if self.healed {
            Fate::Done
        } else {
            let rest = 1_000u32.saturating_sub(
                faults.refused_permille
                    + faults.unknown_permille
                    + faults.lost_permille
                    + faults.zombie_permille,
            );
            self.random.weighted(&[
                (rest, Fate::Done),
                (faults.refused_permille, Fate::Refused),
                (faults.unknown_permille, Fate::DoneUnknown),
                (faults.lost_permille, Fate::Lost),
                (faults.zombie_permille, Fate::Zombie),
            ])
        };
        let (reply, delay) = match fate {
            Fate::Done => (self.carry_out(&request)?, self.random.delay(50_000)),
            Fate::Refused => (StoreReply::Failed(StoreError::Unavailable), self.random.delay(50_000)),
            Fate::DoneUnknown => {
                let _unheard = self.carry_out(&request)?;
                (StoreReply::Failed(StoreError::Unknown), self.random.delay(300_000_000))
            }
            Fate::Lost => (StoreReply::Failed(StoreError::Unknown), self.random.delay(300_000_000)),
            Fate::Zombie => {
                // The bridge gives up, and the store does it all the same, later.
                if let (Some(process), StoreRequest::Apply(_)) = (&mut self.process, &request) {
                    // One that already is a ghost stays one: nobody waits for it.
                    let ghost = RequestId(id.0.max(u64::MAX - id.0));
                    process.bridge.waiting.insert((shard, ghost), request.clone());
                    let later = self.random.delay(200_000_000);
                    self.after(later, Event::Store(shard, ghost));
                }
                (StoreReply::Failed(StoreError::Unknown), self.random.delay(100_000_000))
            }
        };
        self.trace.number(id.0 ^ (fate as u64) << 56);
        self.trace.line(|| {
            let mut text = format!("{reply:?}");
            text.truncate(text.floor_char_boundary(600));
            format!("store: {} {} of shard {}: {fate:?}, {text}", name(&request), id.0, shard.0)
        });
        if id.0 < u64::MAX / 2 {
            self.after(delay, Event::Reply(shard, id, Box::new(reply)));
        }
        Ok(())
    }

    fn carry_out(&mut self, request: &StoreRequest) -> Result<StoreReply, String> {
        let Some(process) = &mut self.process else {
            return Ok(StoreReply::Failed(StoreError::Unavailable));
        };
        let sabotage = self.plan.sabotage;
        if sabotage == Sabotage::ForgetKeys && matches!(request, StoreRequest::FindKey { .. }) {
            return Ok(StoreReply::Key(None));
        }
        if sabotage == Sabotage::HoardPictures && matches!(request, StoreRequest::KeepPicture { .. }) {
            return Ok(StoreReply::Released);
        }
        let stores = &mut self.stores;
        if let StoreRequest::Release { room, files } = request {
            self.ledger.given_back(*room, files)?;
            self.account.reached.released += files.len() as u64;
        }
        match request {
            StoreRequest::Passed { room, floor } => self.ledger.passed(*room, *floor)?,
            StoreRequest::Posted { room, files, seq, .. } => self.ledger.posted(*room, files, *seq)?,
            StoreRequest::EndFiles { room } => self.ledger.ended(*room)?,
            StoreRequest::KeepPicture { room, keep } => {
                self.account.reached.pictures += self.ledger.kept_picture(*room, *keep)?;
            }
            _ => {}
        }
        let mut reply =
            ready(execute(request, &stores.messages, &mut stores.rooms, &mut process.reader, &stores.files));
        match (request, &mut reply) {
            (StoreRequest::Apply(tx), StoreReply::Applied(outcome)) => {
                let asked = matches!(**outcome, MetaOutcome::Requested { repeated: None, .. });
                if outcome.written().is_some() {
                    self.ledger.transaction(tx, asked)?;
                    self.reach(&tx.change);
                }
            }
            (StoreRequest::Clear { room, user, seq, .. }, StoreReply::Cleared(true)) => {
                self.ledger.clear(*room, *user, seq.0);
                self.account.reached.cleared += 1;
            }
            (StoreRequest::TakePicture { room, owner, picture }, StoreReply::Attached(Ok(_))) => {
                self.ledger.took_picture(*room, *owner, *picture)?;
            }
            (StoreRequest::Wrote { room, user }, StoreReply::Noted) => self.ledger.wrote(*room, *user)?,
            (_, StoreReply::NotUnread { own, .. }) if sabotage == Sabotage::MiscountUnread => *own += 1,
            (StoreRequest::Page { query, .. }, StoreReply::Page(page)) if sabotage == Sabotage::Resurrect => {
                self.resurrect(query, page);
            }
            _ => {}
        }
        Ok(reply)
    }

    /// Counts what a quiet run does not come to.
    fn reach(&mut self, change: &MetaChange) {
        let reached = &mut self.account.reached;
        match change {
            MetaChange::Enter { .. } => reached.entered += 1,
            MetaChange::Accept { .. } | MetaChange::Decline { .. } => reached.decided += 1,
            MetaChange::Resolve(_) => reached.resolved += 1,
            MetaChange::Conversation(_) => reached.conversed += 1,
            _ => {}
        }
    }

    /// Puts deleted text back into a page.
    fn resurrect(&self, query: &PageQuery, page: &mut PageReply) {
        let Some(truth) = self.ledger.room(query.room) else { return };
        for event in &mut page.events {
            if let StoredBody::Message(view) = &mut event.body
                && view.deleted.0 > 0
                && let Some(entry) = truth.events.get(&event.seq.0)
                && let crate::oracle::Said::Message { text, .. } = &entry.said
            {
                view.deleted.0 = 0;
                view.edited.0 = 0;
                view.text.clone_from(text);
            }
        }
    }

    /// One step of the drainer.
    pub(super) fn drain_step(&mut self) -> Result<(), String> {
        let now = self.mono();
        let faults = self.plan.scenario.faults.store;
        let fails = !self.healed && self.random.chance(faults.drain_permille);
        let done = self.random.chance(500);
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut store = Faulty {
            messages: &mut self.stores.messages,
            drained: &mut self.stores.drained,
            fails,
            done,
            skip: self.plan.sabotage == Sabotage::SkipDrain,
        };
        let step = ready(process.drainer.step(&mut store, &self.disk, &mut process.reader, now));
        self.ledger.drain(&self.stores.drained);
        let mean = if self.healed { faults.drain_nanos.min(20_000_000) } else { faults.drain_nanos };
        let mut next = self.now + self.random.delay(mean);
        match step {
            DrainStep::Drained { source, lsn, records } => {
                self.trace.number(lsn.0);
                self.trace.line(|| format!("drained source {} to {} ({records} records)", source.0, lsn.0));
                let shards = process.desks.len();
                for desk in &mut process.desks {
                    desk.drained.push_back((source, lsn));
                }
                for shard in 0..shards {
                    self.wake_shard(ShardId(shard as u16), 20_000);
                }
            }
            DrainStep::Gone { source } => self.trace.number(u64::from(source.0)),
            DrainStep::Stuck { source, after } => {
                let damage = process.reader.damage().map(ToString::to_string).unwrap_or_default();
                return Err(format!(
                    "the drainer is stuck in source {} after {}: {damage}",
                    source.0, after.0
                ));
            }
            DrainStep::Waiting(at) => next = next.max(at.0),
            DrainStep::Idle => {}
        }
        self.at(next, Event::Drain);
        Ok(())
    }

    /// Whether every committed record is in the message store.
    pub(super) fn drained_all(&self) -> bool {
        self.process.as_ref().is_some_and(|p| p.drainer.backlog(&p.reader) == 0 && p.drainer.earlier_gone())
    }
}

fn relational(request: &StoreRequest) -> bool {
    matches!(
        request,
        StoreRequest::Apply(_)
            | StoreRequest::Confirm { .. }
            | StoreRequest::LoadRoom { .. }
            | StoreRequest::FindName { .. }
            | StoreRequest::Memberships { .. }
            | StoreRequest::Discover(_)
            | StoreRequest::Note { .. }
            | StoreRequest::Requests { .. }
            | StoreRequest::Blocks { .. }
            | StoreRequest::Relations { .. }
            | StoreRequest::Hidden { .. }
            | StoreRequest::List { .. }
            | StoreRequest::Clear { .. }
            | StoreRequest::Wrote { .. }
            | StoreRequest::Attach { .. }
            | StoreRequest::Release { .. }
            | StoreRequest::Passed { .. }
            | StoreRequest::EndFiles { .. }
            | StoreRequest::TakePicture { .. }
            | StoreRequest::KeepPicture { .. }
            | StoreRequest::Posted { .. }
            | StoreRequest::Leave { .. }
            | StoreRequest::FindOld { .. }
    )
}

/// The message store as the drainer meets it.
struct Faulty<'a> {
    messages: &'a mut MemoryMessages,
    drained: &'a mut BTreeMap<Journal, u64>,
    /// The next append fails; done or not.
    fails: bool,
    done: bool,
    skip: bool,
}

impl MessageStore for Faulty<'_> {
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError> {
        if self.fails && !self.done {
            return Err(StoreError::Unavailable);
        }
        let batch = if self.skip && batch.len() > 2 { &batch[..batch.len() - 1] } else { batch };
        self.messages.append(source, cursor, batch).await?;
        let mut parts = source.split('/').filter_map(|part| part.parse::<u32>().ok());
        if let (Some(generation), Some(shard)) = (parts.next(), parts.next()) {
            let known = self.drained.entry((generation, shard as u16)).or_default();
            *known = cursor.0.max(*known);
        }
        if self.fails { Err(StoreError::Unknown) } else { Ok(()) }
    }

    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError> {
        self.messages.cursor(source).await
    }

    async fn forget(&mut self, source: &str) -> Result<(), StoreError> {
        if self.fails && !self.done {
            return Err(StoreError::Unavailable);
        }
        self.messages.forget(source).await?;
        if self.fails { Err(StoreError::Unavailable) } else { Ok(()) }
    }

    async fn page(&self, query: &PageQuery) -> Result<PageReply, StoreError> {
        self.messages.page(query).await
    }

    async fn event(
        &self,
        room: lynk_domain::RoomId,
        seq: lynk_domain::Seq,
    ) -> Result<Option<StoredEvent>, StoreError> {
        self.messages.event(room, seq).await
    }

    async fn message(
        &self,
        room: lynk_domain::RoomId,
        seq: lynk_domain::Seq,
    ) -> Result<Option<lynk_model::MessageState>, StoreError> {
        self.messages.message(room, seq).await
    }

    async fn count_not_unread(
        &self,
        room: lynk_domain::RoomId,
        user: lynk_domain::UserId,
        after: lynk_domain::Seq,
        except: &std::collections::BTreeSet<lynk_domain::Seq>,
    ) -> Result<lynk_model::port::NotUnread, StoreError> {
        self.messages.count_not_unread(room, user, after, except).await
    }

    async fn mentions(
        &self,
        room: lynk_domain::RoomId,
        user: lynk_domain::UserId,
        after: lynk_domain::Seq,
        except: &std::collections::BTreeSet<lynk_domain::Seq>,
        limit: u32,
    ) -> Result<Vec<(lynk_domain::Seq, lynk_domain::UserId)>, StoreError> {
        self.messages.mentions(room, user, after, except, limit).await
    }

    async fn head(&self, room: lynk_domain::RoomId) -> Result<RoomHead, StoreError> {
        self.messages.head(room).await
    }

    async fn reads(&self, room: lynk_domain::RoomId) -> Result<Vec<ReadState>, StoreError> {
        self.messages.reads(room).await
    }

    async fn find_key(
        &self,
        room: lynk_domain::RoomId,
        sender: lynk_domain::UserId,
        key: lynk_domain::Key,
    ) -> Result<Option<lynk_model::FoundKey>, StoreError> {
        self.messages.find_key(room, sender, key).await
    }

    async fn intents(
        &self,
        room: lynk_domain::RoomId,
    ) -> Result<Vec<lynk_model::MetaTransaction>, StoreError> {
        self.messages.intents(room).await
    }
}
