//! The shard's journal: appends, one batch at a time to the disk, segments from the keeper.

use lynk_domain::{Lsn, Nanos};
use lynk_engine::{JournalState, Records};
use lynk_journal::{
    Fatal, Progress, RealFile, SegmentSupply, State, Supplied, WriteOp, WriteOutcome, Writer, WriterCounts,
};
use lynk_telemetry::Histogram;

pub(crate) struct Journal {
    writer: Writer<RealFile>,
    supply: SegmentSupply<RealFile>,
    /// What the engine was told last.
    told: JournalState,
    handed_at: Nanos,
    synced: Histogram,
}

impl Journal {
    pub(crate) fn new(writer: Writer<RealFile>, supply: SegmentSupply<RealFile>) -> Self {
        Self { writer, supply, told: JournalState::Open, handed_at: Nanos(0), synced: Histogram::default() }
    }

    /// Adds the engine's records to the batch that fills.
    ///
    /// # Panics
    /// When the engine breaks its side: a gap in the numbers, a payload beyond the limit, or appends that go on after it
    /// was told to stop. Dropping a record instead would acknowledge what was never stored.
    pub(crate) fn append(&mut self, records: &Records) {
        for (lsn, record) in records.iter() {
            if let Err(error) = self.writer.append(&record, lsn) {
                panic!("the journal refuses record {}: {error}", lsn.0);
            }
        }
    }

    /// The state, when it is another than the engine was told.
    pub(crate) fn news(&mut self) -> Option<JournalState> {
        let state = match self.writer.state() {
            State::Open => JournalState::Open,
            State::Busy => JournalState::Behind,
            State::DiskFull => JournalState::Full,
        };
        (std::mem::replace(&mut self.told, state) != state).then_some(state)
    }

    /// Asks the keeper for a segment when one is wanted, and takes its answers. Returns whether there was one.
    pub(crate) fn supply(&mut self) -> bool {
        let mut any = false;
        while let Some(answer) = self.supply.take() {
            any = true;
            match answer {
                Supplied::Segment(segment) => self.writer.supply(segment),
                Supplied::Refused => self.writer.supply_refused(),
            }
        }
        if self.writer.wants_segment() {
            self.supply.ask();
        }
        any
    }

    /// The next batch to write, when one is due and none is out.
    pub(crate) fn next_write(&mut self, now: Nanos) -> Option<WriteOp<RealFile>> {
        let op = self.writer.next_write(now)?;
        self.handed_at = now;
        Some(op)
    }

    /// Takes a written batch back; the position up to which everything is committed now.
    pub(crate) fn finish(
        &mut self,
        op: WriteOp<RealFile>,
        outcome: WriteOutcome,
        now: Nanos,
    ) -> Result<Option<Lsn>, Fatal> {
        match self.writer.finish(op, outcome, now)? {
            Progress::Committed(lsn) => {
                self.synced.record(now.since(self.handed_at));
                Ok(Some(lsn))
            }
            Progress::Unfinished => Ok(None),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.writer.next_deadline()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.writer.is_idle()
    }

    pub(crate) fn counts(&self) -> WriterCounts {
        self.writer.counts()
    }

    pub(crate) fn synced(&self) -> &Histogram {
        &self.synced
    }
}
