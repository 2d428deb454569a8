//! The thread that answers requests.
//!
//! Requests run side by side on one runtime: those of an outside store wait for its answers, those of an embedded one are done when they
//! are polled, one after the other. Shards get their answers in the order in which they come.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use lynk_bridge::{Circuit, Desks};
use lynk_domain::{Nanos, ShardId};
use lynk_journal::{Disk, SharedReader};
use lynk_model::port::{Files, LastFault, MessageStore, RoomStore, StoreFault};
use lynk_model::{
    MetaChange, MetaEvent, MetaOutcome, RequestId, StoreError, StoreReply, StoreRequest, execute, fold_name,
    name_is_unique,
};
use lynk_telemetry::Board;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::tap::Hold;
use crate::{Named, RequestSnapshot, StoreHealth, failed, succeeded};

/// Requests taken before shards are woken: bounds what the first of a burst waits, and saves wakes.
const BURST: usize = 32;
/// Longest sleep; numbers are published between.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// Sleep while requests wait whose replies would not fit.
const SLEEP_SHORT: Duration = Duration::from_millis(1);
/// How long a copy that wants to hold requests waits for those that are under way; no other is begun meanwhile.
const REQUESTS_END_MAX: Duration = Duration::from_secs(2);
/// Time between two published snapshots.
const PUBLISH: Duration = Duration::from_millis(250);

pub(crate) struct Answering<D: Disk, M, R> {
    pub(crate) desks: Desks<(RequestId, StoreRequest), (RequestId, StoreReply)>,
    /// Woken by shards, and to end.
    pub(crate) woken: Arc<Notify>,
    /// Wishes to be held for a moment.
    pub(crate) holds: Receiver<Hold<()>>,
    pub(crate) messages: M,
    pub(crate) rooms: R,
    pub(crate) named: Named,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) records: SharedReader<D>,
    pub(crate) in_flight_max: usize,
    pub(crate) circuits: Circuits,
    pub(crate) health: StoreHealth,
    pub(crate) counts: RequestSnapshot,
    pub(crate) board: Board<RequestSnapshot>,
}

/// Circuits of outside stores. An embedded one has none: its failures cost no time.
#[derive(Default)]
pub(crate) struct Circuits {
    pub(crate) messages: Option<Circuit>,
    pub(crate) rooms: Option<Circuit>,
}

/// The parts that a request needs.
#[derive(Clone, Copy)]
struct Needs {
    messages: bool,
    rooms: bool,
}

impl Needs {
    fn of(request: &StoreRequest) -> Self {
        let (messages, rooms) = match request {
            StoreRequest::LoadRoom { .. } | StoreRequest::FindOld { .. } => (true, true),
            StoreRequest::Page { .. }
            | StoreRequest::Event { .. }
            | StoreRequest::FindTime { .. }
            | StoreRequest::FindKey { .. }
            | StoreRequest::CountNotUnread { .. } => (true, false),
            StoreRequest::Memberships { .. }
            | StoreRequest::FindName { .. }
            | StoreRequest::Discover(_)
            | StoreRequest::Note { .. }
            | StoreRequest::Requests { .. }
            | StoreRequest::Blocks { .. }
            | StoreRequest::Relations { .. }
            | StoreRequest::List { .. }
            | StoreRequest::Hidden { .. }
            | StoreRequest::Clear { .. }
            | StoreRequest::Wrote { .. }
            | StoreRequest::Apply(_)
            | StoreRequest::Confirm { .. } => (false, true),
            // Whoever keeps files has a health of its own.
            StoreRequest::Attach { .. }
            | StoreRequest::TakePicture { .. }
            | StoreRequest::KeepPicture { .. }
            | StoreRequest::Release { .. }
            | StoreRequest::Posted { .. }
            | StoreRequest::Leave { .. }
            | StoreRequest::Passed { .. }
            | StoreRequest::EndFiles { .. } => (false, false),
        };
        Self { messages, rooms }
    }
}

/// A request that has been answered.
struct Answered {
    shard: ShardId,
    id: RequestId,
    reply: StoreReply,
    /// The name that a room got, folded.
    name: Option<String>,
    needs: Needs,
    taken: Instant,
    messages_fault: Option<StoreFault>,
    rooms_fault: Option<StoreFault>,
}

impl Circuits {
    /// Whether a request may go to what it needs. A part that admits it is told of the outcome by [`Self::learn`].
    fn admit(&mut self, needs: Needs, now: Nanos) -> bool {
        let mut parts = [(needs.messages, &mut self.messages), (needs.rooms, &mut self.rooms)];
        let asked = |part: &&mut (bool, &mut Option<Circuit>)| part.0;
        // Looked at first: a probe of one part must not be lost because the other one refuses.
        let open = parts.iter_mut().filter(asked).any(|(_, circuit)| {
            circuit.as_mut().is_some_and(|circuit| circuit.is_open() && !circuit.clone().admits(now))
        });
        !open && parts.iter_mut().filter(asked).all(|(_, c)| c.as_mut().is_none_or(|c| c.admits(now)))
    }

    /// Learns from what became of a request: it succeeded, or failed, in the parts of `failed` that it got to.
    fn learn(&mut self, needs: Needs, outcome: Result<(), Needs>, now: Nanos, random: u64) {
        let failed = outcome.err();
        for (needed, failed, circuit) in [
            (needs.messages, failed.map(|part| part.messages), &mut self.messages),
            (needs.rooms, failed.map(|part| part.rooms), &mut self.rooms),
        ] {
            let Some(circuit) = circuit.as_mut().filter(|_| needed) else { continue };
            match failed {
                None => circuit.succeeded(),
                Some(true) => circuit.failed(now, random),
                Some(false) => circuit.untried(now),
            }
        }
    }
}

impl<D, M, R> Answering<D, M, R>
where
    D: Disk,
    M: MessageStore + LastFault + Clone,
    R: RoomStore + LastFault + Clone,
{
    /// Until every shard is gone, or the flag is set, and nothing waits.
    pub(crate) fn run(&mut self, runtime: &Runtime, stop: &AtomicBool) {
        runtime.block_on(self.serve(stop));
        self.publish(0);
    }

    async fn serve(&mut self, stop: &AtomicBool) {
        let started = Instant::now();
        let clock = || Nanos(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let mut published = Instant::now();
        let mut open = FuturesUnordered::new();
        loop {
            if let Ok(hold) = self.holds.try_recv() {
                let since = Instant::now();
                while let Some(left) = REQUESTS_END_MAX.checked_sub(since.elapsed())
                    && let Ok(Some(answered)) = timeout(left, open.next()).await
                {
                    self.finish(answered, clock());
                }
                self.desks.ring();
                // A store that is slow is not waited for: the copy is given up, and says so.
                if open.is_empty() {
                    hold.keep(()).await;
                }
            }
            let mut moved = 0;
            while moved < BURST && open.len() < self.in_flight_max {
                let Some((shard, (id, request))) = self.desks.take() else { break };
                moved += 1;
                let needs = Needs::of(&request);
                if self.circuits.admit(needs, clock()) {
                    open.push(self.begin(shard, id, needs, request));
                } else {
                    self.counts.refused += 1;
                    self.desks.reply(shard, (id, StoreReply::Failed(StoreError::Unavailable)));
                }
            }
            while let Some(Some(answered)) = open.next().now_or_never() {
                moved += 1;
                self.finish(answered, clock());
            }
            self.desks.ring();
            if published.elapsed() >= PUBLISH {
                published = Instant::now();
                self.publish(open.len());
            }
            if moved > 0 {
                // Connections get their turn.
                tokio::task::yield_now().await;
                continue;
            }
            if open.is_empty() && (self.desks.is_closed() || stop.load(Ordering::Acquire)) {
                return;
            }
            if !self.desks.may_sleep() {
                continue;
            }
            let blocked = self.desks.waiting() > 0 && open.len() < self.in_flight_max;
            let answered = {
                let mut rung = pin!(self.woken.notified());
                let mut late = pin!(tokio::time::sleep(if blocked { SLEEP_SHORT } else { SLEEP_MAX }));
                poll_fn(|context| {
                    if let Poll::Ready(Some(answered)) = open.poll_next_unpin(context) {
                        return Poll::Ready(Some(answered));
                    }
                    let over =
                        rung.as_mut().poll(context).is_ready() | late.as_mut().poll(context).is_ready();
                    if over { Poll::Ready(None) } else { Poll::Pending }
                })
                .await
            };
            self.desks.wake_up();
            if let Some(answered) = answered {
                self.finish(answered, clock());
                self.desks.ring();
            }
        }
    }

    fn publish(&mut self, open: usize) {
        self.counts.waiting = self.desks.waiting() as u64;
        self.counts.in_flight = open as u64;
        let is_open = |circuit: &Option<Circuit>| circuit.as_ref().is_some_and(Circuit::is_open);
        self.counts.circuits_open = [is_open(&self.circuits.messages), is_open(&self.circuits.rooms)];
        let counts = &self.counts;
        self.board.publish(|copy| copy.clone_from(counts));
    }

    fn begin(
        &self,
        shard: ShardId,
        id: RequestId,
        needs: Needs,
        request: StoreRequest,
    ) -> impl Future<Output = Answered> + use<D, M, R> {
        let (messages, mut rooms) = (self.messages.clone(), self.rooms.clone());
        let (mut records, files) = (self.records.clone(), Arc::clone(&self.files));
        async move {
            let taken = Instant::now();
            let reply = execute(&request, &messages, &mut rooms, &mut records, &*files).await;
            let name = name_of(&request, &reply);
            let (messages_fault, rooms_fault) = (messages.last_fault(), rooms.last_fault());
            Answered { shard, id, reply, name, needs, taken, messages_fault, rooms_fault }
        }
    }

    fn finish(&mut self, answered: Answered, now: Nanos) {
        let Answered { shard, id, reply, name, needs, taken, messages_fault, rooms_fault } = answered;
        if let Some(name) = name {
            (self.named)(&name);
        }
        let nanos = u64::try_from(taken.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let error = match &reply {
            StoreReply::Failed(error) => Some(*error),
            _ => None,
        };
        self.counts.count(nanos, error);
        let away = matches!(error, Some(StoreError::Unavailable | StoreError::Unknown));
        let outcome = match error {
            None => Ok(()),
            Some(_) => Err(Needs {
                messages: away && messages_fault.is_some(),
                rooms: away && rooms_fault.is_some(),
            }),
        };
        self.circuits.learn(needs, outcome, now, random());
        self.tell(needs, error, messages_fault, rooms_fault);
        self.desks.reply(shard, (id, reply));
    }

    /// Health follows from what requests meet.
    fn tell(
        &self,
        needs: Needs,
        error: Option<StoreError>,
        messages_fault: Option<StoreFault>,
        rooms_fault: Option<StoreFault>,
    ) {
        let StoreHealth { messages, rooms, .. } = &self.health;
        let Some(error) = error else {
            if needs.messages {
                succeeded("messages", messages);
            }
            if needs.rooms {
                succeeded("rooms", rooms);
            }
            return;
        };
        let mut told = false;
        for (part, health, fault) in [("messages", messages, messages_fault), ("rooms", rooms, rooms_fault)] {
            if let Some(StoreFault { kind, detail }) = fault {
                failed(part, health, kind, &detail);
                told = true;
            }
        }
        if !told && (needs.messages || needs.rooms) {
            // Neither store complained: a record could not be read from its journal.
            failed("messages", messages, "journal", &format!("a journaled record cannot be read: {error:?}"));
        }
    }
}

/// The folded name that a request gave to a room, if it did, or may have. One that need not be unique may be among them.
fn name_of(request: &StoreRequest, reply: &StoreReply) -> Option<String> {
    let StoreRequest::Apply(transaction) = request else { return None };
    let done = match reply {
        StoreReply::Applied(outcome) => matches!(**outcome, MetaOutcome::Applied { .. }),
        StoreReply::Failed(error) => *error == StoreError::Unknown,
        _ => false,
    };
    let name = match &transaction.change {
        MetaChange::Create { row, .. } if name_is_unique(row.kind) => &row.name,
        MetaChange::Event(MetaEvent::Settings { name, .. }) => name,
        _ => return None,
    };
    done.then(|| fold_name(name))
}

/// Bits that spread pauses; when there are none, pauses are not spread.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lynk_bridge::FAILURES_MAX;

    use super::*;

    const BOTH: Needs = Needs { messages: true, rooms: true };
    const MESSAGES: Needs = Needs { messages: true, rooms: false };
    const ROOMS: Needs = Needs { messages: false, rooms: true };

    #[test]
    fn a_part_that_is_away_stops_only_what_needs_it() {
        let mut circuits = Circuits { messages: Some(Circuit::default()), rooms: Some(Circuit::default()) };
        for _ in 0..FAILURES_MAX {
            assert!(circuits.admit(BOTH, Nanos(0)));
            circuits.learn(BOTH, Err(MESSAGES), Nanos(0), 0);
        }
        assert!(!circuits.admit(MESSAGES, Nanos(0)) && !circuits.admit(BOTH, Nanos(0)));
        assert!(circuits.admit(ROOMS, Nanos(0)));
        let later = Nanos(Nanos::SECOND);
        assert!(circuits.admit(BOTH, later), "a probe");
        assert!(!circuits.admit(MESSAGES, later), "one probe");
        circuits.learn(BOTH, Err(ROOMS), later, 0);
        assert!(circuits.admit(MESSAGES, later), "the probe did not get there, so the next request is one");
        circuits.learn(MESSAGES, Ok(()), later, 0);
        assert!(circuits.admit(MESSAGES, later) && circuits.admit(MESSAGES, later));
    }

    #[test]
    fn an_embedded_store_is_always_asked() {
        let mut circuits = Circuits::default();
        for _ in 0..2 * FAILURES_MAX {
            circuits.learn(BOTH, Err(BOTH), Nanos(0), 0);
        }
        assert!(circuits.admit(BOTH, Nanos(0)));
    }
}
