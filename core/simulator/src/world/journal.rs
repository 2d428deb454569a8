//! A shard's journal in the simulated world: its writes and syncs, what they meet, and the keeper's segments.

use lynk_domain::{Now, ShardId};
use lynk_engine::JournalState;
use lynk_journal::limits::BLOCK_BYTES;
use lynk_journal::{PrepareError, Progress, State, WriteOutcome};

use super::shard::{Shard, Supply};
use super::turn::Told;
use super::{Event, World};
use crate::faults::Sabotage;

impl World {
    /// Tells the engine when the journal opens or closes.
    pub(super) fn look_at_journal(&mut self, shard: &mut Shard, now: Now) -> Result<(), String> {
        let state = match shard.writer.state() {
            State::Open => JournalState::Open,
            State::Busy => JournalState::Behind,
            State::DiskFull => JournalState::Full,
        };
        if state != shard.state {
            shard.state = state;
            self.tell(shard, now, Told::Journal(state))?;
        }
        Ok(())
    }

    pub(super) fn start_write(&mut self, shard: &mut Shard, now: Now) -> Result<(), String> {
        if shard.writer.wants_segment() && !shard.keeper_asked {
            shard.keeper_asked = true;
            let delay = self.random.delay(500_000);
            self.after(delay, Event::Keeper(shard.id));
        }
        let free = self.desk(shard.id).is_some_and(|desk| desk.in_flight.is_none() && desk.written.is_none());
        if free && let Some(op) = shard.writer.next_write(now.mono) {
            if let Some(desk) = self.desk(shard.id) {
                desk.in_flight = Some(op);
            }
            let delay = self.random.delay(self.plan.scenario.faults.disk.sync_nanos);
            self.after(delay, Event::Written(shard.id));
        }
        self.look_at_journal(shard, now)
    }

    /// The disk has done, or not done, the write in flight.
    pub(super) fn write_done(&mut self, id: ShardId) -> Result<(), String> {
        let faults = self.plan.scenario.faults.disk;
        let healed = self.healed;
        let mut fate = |permille: u32| !healed && self.random.chance(permille);
        let (short, interrupted) = (fate(faults.short_permille), fate(faults.interrupted_permille));
        let (failed, full) = (fate(faults.failed_permille), fate(faults.full_permille));
        let skip = self.plan.sabotage == Sabotage::SkipSync;
        let Some(op) = self.desk(id).and_then(|desk| desk.in_flight.take()) else { return Ok(()) };
        let half = (op.bytes().len() / 2).next_multiple_of(BLOCK_BYTES);
        self.disk.set_write_bytes_max(if short { half } else { usize::MAX });
        self.disk.set_writes_full(full);
        self.disk.set_syncs_fail(failed);
        let outcome = if interrupted {
            WriteOutcome::Interrupted
        } else if skip {
            write_unsynced(&op)
        } else {
            lynk_journal::execute(&op)
        };
        self.disk.set_write_bytes_max(usize::MAX);
        self.disk.set_writes_full(false);
        self.disk.set_syncs_fail(false);
        self.trace.line(|| format!("s{} write of {} bytes: {outcome:?}", id.0, op.bytes().len()));
        if let Some(desk) = self.desk(id) {
            desk.written = Some((op, outcome));
        }
        self.wake_shard(id, 10_000);
        Ok(())
    }

    pub(super) fn finish_write(&mut self, shard: &mut Shard, now: Now) -> Result<(), String> {
        let Some((op, outcome)) = self.desk(shard.id).and_then(|desk| desk.written.take()) else {
            return Ok(());
        };
        match shard.writer.finish(op, outcome, now.mono) {
            Ok(Progress::Committed(lsn)) => {
                self.ledger.commit(shard.journal, lsn.0, self.step)?;
                self.trace.line(|| format!("s{} commits {}", shard.id.0, lsn.0));
                self.tell(shard, now, Told::Committed(lsn))?;
            }
            Ok(Progress::Unfinished) => {}
            Err(fatal) => {
                // Exit 70. After a failed write the page cache proves nothing, which a power cut models best.
                let expected =
                    self.plan.scenario.faults.disk.failed_permille > 0 || self.disk.changes_left() == 0;
                if !expected {
                    return Err(format!("an unexpected end: {fatal}"));
                }
                self.dying = true;
            }
        }
        self.look_at_journal(shard, now)
    }

    pub(super) fn take_supplies(&mut self, shard: &mut Shard) {
        while let Some(supply) = self.desk(shard.id).and_then(|desk| desk.supplies.pop_front()) {
            match supply {
                Supply::Segment(segment) => {
                    shard.keeper_asked = false;
                    shard.writer.supply(segment);
                }
                Supply::Refused => shard.writer.supply_refused(),
            }
        }
    }

    /// The keeper makes a segment, or finds no space and tries again later.
    pub(super) fn keep(&mut self, id: ShardId) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let supply = match process.keeper.prepare(id) {
            Ok(segment) => Supply::Segment(segment),
            Err(PrepareError::Full | PrepareError::Exhausted(_)) => {
                self.after(200_000_000, Event::Keeper(id));
                Supply::Refused
            }
            Err(error) if self.disk.changes_left() == 0 => {
                self.trace.line(|| format!("the keeper meets the end: {error}"));
                self.dying = true;
                return Ok(());
            }
            Err(error) => return Err(format!("the keeper fails: {error}")),
        };
        if let Some(desk) = self.desk(id) {
            desk.supplies.push_back(supply);
        }
        self.wake_shard(id, 20_000);
        Ok(())
    }
}

/// The write, which is not durable.
pub(super) fn write_unsynced(op: &lynk_journal::WriteOp<lynk_journal::MemoryFile>) -> WriteOutcome {
    match op.file().write_unsynced(op.bytes(), op.offset()) {
        Ok(count) if count == op.bytes().len() => WriteOutcome::Durable,
        Ok(count) => WriteOutcome::Short(count),
        Err(_) => WriteOutcome::Full,
    }
}
