//! The thread that answers requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lynk_bridge::Desks;
use lynk_embedded::{Fault, MessageLog, Rooms};
use lynk_journal::{Disk, SharedReader};
use lynk_model::port::ready;
use lynk_model::{RequestId, StoreError, StoreReply, StoreRequest, execute};
use lynk_telemetry::Board;

use crate::{RequestSnapshot, StoreHealth, failed, succeeded};

/// Requests answered before shards are woken: bounds what the first of a burst waits, and saves wakes.
const BURST: usize = 32;
/// Longest sleep; numbers are published between.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// Sleep while requests wait whose replies would not fit.
const SLEEP_SHORT: Duration = Duration::from_millis(1);
/// Time between two published snapshots.
const PUBLISH: Duration = Duration::from_millis(250);

pub(crate) struct Answering<D: Disk> {
    pub(crate) desks: Desks<(RequestId, StoreRequest), (RequestId, StoreReply)>,
    pub(crate) messages: MessageLog,
    pub(crate) rooms: Rooms,
    pub(crate) records: SharedReader<D>,
    pub(crate) health: StoreHealth,
    pub(crate) counts: RequestSnapshot,
    pub(crate) board: Board<RequestSnapshot>,
}

impl<D: Disk> Answering<D> {
    /// Until every shard is gone, or the flag is set and nothing waits.
    pub(crate) fn run(&mut self, stop: &AtomicBool) {
        let mut published = Instant::now();
        loop {
            let answered = self.burst();
            if published.elapsed() >= PUBLISH {
                published = Instant::now();
                self.publish();
            }
            if answered > 0 {
                continue;
            }
            if self.desks.is_closed() || stop.load(Ordering::Acquire) {
                break;
            }
            let blocked = self.desks.waiting() > 0;
            self.desks.sleep(if blocked { SLEEP_SHORT } else { SLEEP_MAX });
        }
        self.publish();
    }

    fn publish(&mut self) {
        self.counts.waiting = self.desks.waiting() as u64;
        let counts = &self.counts;
        self.board.publish(|copy| copy.clone_from(counts));
    }

    /// Answers some requests and wakes those who asked; returns how many.
    fn burst(&mut self) -> usize {
        let mut answered = 0;
        while answered < BURST {
            let Some((shard, (id, request))) = self.desks.take() else { break };
            let started = Instant::now();
            let reply = ready(execute(&request, &self.messages, &mut self.rooms, &mut self.records));
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let error = match &reply {
                StoreReply::Failed(error) => Some(*error),
                _ => None,
            };
            self.counts.count(nanos, error);
            self.learn(&request, error);
            self.desks.reply(shard, (id, reply));
            answered += 1;
        }
        self.desks.ring();
        answered
    }

    /// Health follows from what requests meet.
    fn learn(&self, request: &StoreRequest, error: Option<StoreError>) {
        let (of_messages, of_rooms) = match request {
            StoreRequest::LoadRoom { .. } => (true, true),
            StoreRequest::Page { .. }
            | StoreRequest::Event { .. }
            | StoreRequest::FindKey { .. }
            | StoreRequest::CountNotUnread { .. } => (true, false),
            StoreRequest::Memberships { .. }
            | StoreRequest::FindName { .. }
            | StoreRequest::Blocks { .. }
            | StoreRequest::Relations { .. }
            | StoreRequest::Apply(_)
            | StoreRequest::Confirm { .. } => (false, true),
        };
        let StoreHealth { messages, rooms, .. } = &self.health;
        let Some(error) = error else {
            if of_messages {
                succeeded("messages", messages);
            }
            if of_rooms {
                succeeded("rooms", rooms);
            }
            return;
        };
        let mut told = false;
        let (log_fault, rooms_fault) = (self.messages.take_fault(), self.rooms.take_fault());
        for (part, health, fault) in [("messages", messages, log_fault), ("rooms", rooms, rooms_fault)] {
            if let Some(Fault { kind, detail }) = fault {
                failed(part, health, kind.name(), &detail);
                told = true;
            }
        }
        if !told {
            // Neither store complained: a record could not be read from its journal.
            failed("messages", messages, "journal", &format!("a journaled record cannot be read: {error:?}"));
        }
    }
}
