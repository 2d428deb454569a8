//! A process's beginning and end: recovery, the parts of a process, death.

use std::sync::Arc;

use lynk_domain::{AckLevel, Lsn, ShardId, shard_of_room};
use lynk_engine::{Engine, EngineConfig, UndrainedRecord};
use lynk_journal::disk::is_full;
use lynk_journal::{
    Drainer, Keeper, KeeperOptions, MemoryDisk, Reader, RecoverError, RecoverOptions, Recovered, Writer,
    WriterLimits, recover,
};
use lynk_model::port::{MessageStore, ready};

use super::bridge::Bridge;
use super::shard::{Desk, Shard};
use super::{Event, World};
use crate::oracle::Journal;

/// Bytes that may wait for a commit on one shard.
const UNCOMMITTED_BYTES_MAX: usize = 24 << 10;

/// One life of the server.
#[derive(Debug)]
pub(super) struct Process {
    /// A shard is away while it has its turn.
    pub(super) shards: Vec<Option<Box<Shard>>>,
    pub(super) desks: Vec<Desk>,
    pub(super) keeper: Keeper<MemoryDisk>,
    pub(super) reader: Reader<MemoryDisk>,
    pub(super) drainer: Drainer,
    pub(super) bridge: Bridge,
    /// When it was told to leave, by when it must have.
    pub(super) draining: Option<u64>,
}

impl World {
    /// Recovers what the last process left, and starts the next one.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let shards = self.plan.scenario.shards;
        let count = shards[self.starts % shards.len()];
        self.starts += 1;
        let again = !self.healed && self.random.chance(self.plan.scenario.faults.process.start_permille);
        if again {
            self.disk.stop_after(self.random.below(40));
        }
        let seed = self.random.next();
        let recovered = match self.recover(&self.disk, count, seed) {
            Ok(recovered) => recovered,
            Err(RecoverError::Disk(error)) if self.disk.changes_left() == 0 => {
                self.trace.line(|| format!("the start dies: {error}"));
                self.account.reached.starts_died += 1;
                return self.die(self.random.clone().chance(500));
            }
            Err(RecoverError::Disk(error)) if is_full(&error.error) => {
                // The operator is told to make space; the supervisor tries again.
                self.trace.line(|| format!("no space to start: {error}"));
                self.after(200_000_000, Event::Start);
                return Ok(());
            }
            Err(error) => return Err(format!("the start is refused: {error}")),
        };
        self.trace.number(recovered.undrained_records);
        self.account.reached.cut_tails += recovered.cut_tails;
        self.trace.line(|| {
            format!(
                "start {} with {count} shards: generation {}, {} undrained records of {} sources, {} tails cut",
                self.starts,
                recovered.generation,
                recovered.undrained_records,
                recovered.sources.len(),
                recovered.cut_tails
            )
        });
        self.survivors(&recovered)?;
        let process = match self.assemble(count, &recovered) {
            Ok(process) => process,
            Err(error) if self.disk.changes_left() == 0 => {
                self.trace.line(|| format!("the start dies: {error}"));
                self.account.reached.starts_died += 1;
                return self.die(self.random.clone().chance(500));
            }
            Err(error) => return Err(format!("the start fails: {error}")),
        };
        if again && self.disk.changes_left() == 0 {
            return self.die(true);
        }
        self.disk.stop_after(u64::MAX);
        self.process = Some(process);
        self.network.listening = true;
        std::rc::Rc::make_mut(&mut self.settings).draining = false;
        for shard in 0..count {
            self.after(1, Event::Keeper(ShardId(shard)));
            self.wake_shard(ShardId(shard), 1_000);
        }
        self.after(1_000_000, Event::Drain);
        Ok(())
    }

    fn recover(&self, disk: &MemoryDisk, count: u16, seed: u64) -> Result<Recovered, RecoverError> {
        let options = RecoverOptions::new(self.root.clone(), count, seed);
        let mut cursor = |name: &str| ready(self.stores.messages.cursor(name));
        recover(disk, &options, &mut cursor, &mut |_| {})
    }

    /// Tells the ledger which records are still there.
    fn survivors(&mut self, recovered: &Recovered) -> Result<(), String> {
        let step = self.step;
        let survives = survival(recovered, &self.stores.drained);
        self.account.reached.events_lost += self.ledger.crash(step, survives)?;
        Ok(())
    }

    /// What would be left if power were lost right now, with nothing kept that was not synced?
    pub(super) fn probe(&mut self) -> Result<(), String> {
        let copy = self.disk.fork();
        copy.crash(&mut || 0);
        let recovered = self
            .recover(&copy, 1, 1)
            .map_err(|error| format!("a start after a power cut now would be refused: {error}"))?;
        self.ledger.would_survive(survival(&recovered, &self.stores.drained))
    }

    fn assemble(&mut self, count: u16, recovered: &Recovered) -> Result<Process, String> {
        let options = KeeperOptions {
            segment_bytes: self.plan.scenario.segment_bytes,
            ..KeeperOptions::new(&self.root, recovered.generation, count, self.random.next())
        };
        let keeper = Keeper::create(self.disk.clone(), options, recovered.used_bytes)
            .map_err(|error| error.to_string())?;
        let limits = WriterLimits {
            uncommitted_bytes_high: UNCOMMITTED_BYTES_MAX / 3,
            gather_nanos: 1_000_000,
            uncommitted_bytes_max: UNCOMMITTED_BYTES_MAX,
        };
        let mut boot: Vec<Vec<UndrainedRecord>> = (0..count).map(|_| Vec::new()).collect();
        for (room, records) in &recovered.rooms {
            let list = &mut boot[shard_of_room(*room, count).index()];
            list.extend(records.iter().map(|record| UndrainedRecord {
                at: record.at,
                room: *room,
                kind: record.kind,
                seq: record.seq,
                key: record.key,
                sender: record.sender,
                wall: record.wall,
            }));
        }
        let mut shards = Vec::new();
        let mut live = Vec::new();
        for (number, boot) in (0..count).zip(boot) {
            let shard = ShardId(number);
            let source = recovered.live_source(shard);
            let mut limits_of_engine = self.plan.scenario.limits.clone();
            if self.healed {
                // Every client subscribes to every room of its user for the comparison.
                limits_of_engine.rooms_loaded_per_shard_max = 1_000;
            }
            let config = EngineConfig {
                shard,
                shard_count: count,
                limits: limits_of_engine,
                default_level: AckLevel::Local,
                replicates: true,
                presence_round_nanos: 0,
                source,
                seed: self.random.next(),
                links: lynk_auth::LinkKey::new([7; 32]),
            };
            let engine = Engine::new(config, Arc::clone(&self.keys), boot, self.server_now());
            let journal = (recovered.generation, number);
            let writer = Writer::new(limits);
            live.push(writer.committed());
            shards.push(Some(Box::new(Shard::new(shard, journal, engine, writer))));
        }
        Ok(Process {
            shards,
            desks: (0..count).map(|_| Desk::new(count)).collect(),
            reader: Reader::new(self.disk.clone(), &self.root, recovered, live),
            drainer: Drainer::new(&self.root, recovered, count, keeper.disk_use()),
            keeper,
            bridge: Bridge::default(),
            draining: None,
        })
    }

    /// The process is gone; with `power`, what the disk had not synced is gone or torn.
    pub(super) fn die(&mut self, power: bool) -> Result<(), String> {
        self.account.crashes += 1;
        self.trace.number(u64::from(power));
        self.trace.line(|| format!("the process dies{}", if power { " of a power cut" } else { "" }));
        if let Some(process) = self.process.take() {
            self.count(&process);
            for desk in &process.desks {
                self.cut_short(desk, power);
            }
            let slots = process.shards.into_iter().flatten().flat_map(|shard| shard.slots);
            let accepts = process.desks.into_iter().flat_map(|desk| desk.accepts);
            let sockets = slots.flatten().map(|slot| slot.socket).chain(accepts.map(|(socket, _)| socket));
            for socket in sockets.collect::<Vec<_>>() {
                self.abandon(socket, power);
            }
        }
        for socket in std::mem::take(&mut self.network.opened) {
            self.abandon(socket, power);
        }
        self.network.listening = false;
        self.boot += 1;
        if power {
            let random = &mut self.random;
            self.disk.crash(&mut || random.next());
        } else {
            self.disk.restart();
        }
        let pause = self.random.between(1_000_000, 300_000_000);
        self.after(pause, Event::Start);
        Ok(())
    }

    /// The write in flight when the process dies: a machine that goes on may finish it, one that lost its power has any part of
    /// it.
    fn cut_short(&mut self, desk: &Desk, power: bool) {
        let Some(op) = &desk.in_flight else { return };
        if power {
            super::journal::write_unsynced(op);
        } else if self.random.chance(500) {
            lynk_journal::execute(op);
        }
    }

    /// Adds what a process counted.
    fn count(&mut self, process: &Process) {
        let reached = &mut self.account.reached;
        for shard in process.shards.iter().flatten() {
            let counters = shard.engine.counters();
            reached.resyncs += counters.resyncs;
            reached.repeats += counters.repeats;
            reached.room_loads += counters.room_loads;
            reached.room_evictions += counters.room_evictions;
            reached.store_failures += counters.store_failures;
            reached.retentions += counters.retentions;
            reached.shed += counters.shed;
            reached.rejects += counters.rejects.iter().sum::<u64>();
            reached.full_writes += shard.writer.counts().full_writes;
        }
    }

    /// A socket of a dead process: a killed one's kernel still sends what it was given.
    pub(super) fn abandon(&mut self, socket: usize, power: bool) {
        if let Some(socket) = self.network.socket(socket) {
            if power {
                socket.reset();
            } else {
                socket.server_close();
            }
        }
        if let Some(client) = self.socket_of.get(socket).copied().filter(|c| *c != usize::MAX) {
            self.wake_client(client, self.now + 1_000);
        }
    }
}

/// Whether a record is in the message store or in a journal that was found.
fn survival(
    recovered: &Recovered,
    drained: &std::collections::BTreeMap<Journal, u64>,
) -> impl Fn(Journal, u64) -> bool {
    let found: std::collections::BTreeMap<Journal, (Lsn, Lsn)> =
        recovered.sources.iter().map(|s| ((s.generation, s.shard), (s.first, s.last))).collect();
    let drained = drained.clone();
    move |journal, lsn| {
        drained.get(&journal).is_some_and(|to| lsn <= *to)
            || found.get(&journal).is_some_and(|(first, last)| first.0 <= lsn && lsn <= last.0)
    }
}
