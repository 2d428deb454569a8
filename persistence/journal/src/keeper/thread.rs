//! The keeper's thread, and the end of it that a shard holds.
//!
//! A shard asks with [`SegmentSupply::ask`] and looks for the answer with [`SegmentSupply::take`]; neither
//! blocks. A request that meets a full disk, or that finds no descriptor or memory left, is answered
//! [`Supplied::Refused`] at once and repeated by the keeper until it succeeds.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use lynk_domain::ShardId;

use super::{Keeper, PrepareError};
use crate::disk::{Disk, DiskError};
use crate::limits::FULL_RETRY_NANOS;
use crate::writer::PreparedSegment;

/// Answers that one shard may have waiting: a refusal and the segment after it.
const ANSWERS_MAX: usize = 2;

/// What the keeper has for a shard.
#[derive(Debug)]
pub enum Supplied<F> {
    /// The segment asked for: [`Writer::supply`](crate::Writer::supply).
    Segment(PreparedSegment<F>),
    /// No space, no descriptor or no memory; it follows when there is: [`Writer::supply_refused`](crate::Writer::supply_refused).
    Refused,
}

/// A shard's end of the keeper.
#[derive(Debug)]
pub struct SegmentSupply<F> {
    shard: ShardId,
    asked: bool,
    requests: Sender<ShardId>,
    answers: Receiver<Supplied<F>>,
}

impl<F> SegmentSupply<F> {
    /// Asks for a segment, unless that was done and not answered yet.
    pub fn ask(&mut self) {
        // The channel holds one request per shard, and each has at most one waiting.
        if !self.asked && self.requests.try_send(self.shard).is_ok() {
            self.asked = true;
        }
    }

    /// The next answer, when there is one.
    pub fn take(&mut self) -> Option<Supplied<F>> {
        let answer = self.answers.try_recv().ok()?;
        if matches!(answer, Supplied::Segment(_)) {
            self.asked = false;
        }
        Some(answer)
    }
}

/// The running keeper. It ends when every [`SegmentSupply`] is dropped.
#[derive(Debug)]
pub struct KeeperThread {
    thread: JoinHandle<()>,
}

struct Desk<F> {
    answers: Sender<Supplied<F>>,
    wake: Box<dyn Fn() + Send>,
    /// The shard's request is not served yet.
    open: bool,
    refused: bool,
}

impl KeeperThread {
    /// Starts the thread. `wakes[i]` is called when shard i has an answer to take; `fatal` when the disk
    /// failed, after which nothing more is made: the process should end with exit code 70.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    ///
    /// # Panics
    /// When `wakes` does not have one entry per shard.
    pub fn spawn<D>(
        keeper: Keeper<D>,
        wakes: Vec<Box<dyn Fn() + Send>>,
        fatal: impl FnOnce(DiskError) + Send + 'static,
    ) -> io::Result<(Self, Vec<SegmentSupply<D::File>>)>
    where
        D: Disk + Send + 'static,
        D::File: Send + 'static,
    {
        assert_eq!(wakes.len(), usize::from(keeper.shard_count()), "one wake per shard");
        let (requests, incoming) = bounded(wakes.len().max(1));
        let mut desks = Vec::new();
        let mut supplies = Vec::new();
        for (shard, wake) in (0..).zip(wakes) {
            let (answers, taken) = bounded(ANSWERS_MAX);
            desks.push(Desk { answers, wake, open: false, refused: false });
            supplies.push(SegmentSupply {
                shard: ShardId(shard),
                asked: false,
                requests: requests.clone(),
                answers: taken,
            });
        }
        drop(requests);
        let thread = std::thread::Builder::new()
            .name("journal-keeper".to_owned())
            .spawn(move || run(keeper, &incoming, &mut desks, fatal))?;
        Ok((Self { thread }, supplies))
    }

    /// Waits for the thread to end; drop every [`SegmentSupply`] first.
    pub fn join(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn run<D: Disk>(
    mut keeper: Keeper<D>,
    incoming: &Receiver<ShardId>,
    desks: &mut [Desk<D::File>],
    fatal: impl FnOnce(DiskError),
) {
    loop {
        let pause =
            if desks.iter().any(|d| d.open) { Duration::from_nanos(FULL_RETRY_NANOS) } else { Duration::MAX };
        match incoming.recv_timeout(pause) {
            Ok(shard) => {
                if let Some(desk) = desks.get_mut(shard.index()) {
                    desk.open = true;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for (shard, desk) in (0..).map(ShardId).zip(desks.iter_mut()).filter(|(_, d)| d.open) {
            if let Err(error) = serve(&mut keeper, shard, desk) {
                return fatal(error);
            }
        }
    }
}

fn serve<D: Disk>(keeper: &mut Keeper<D>, shard: ShardId, desk: &mut Desk<D::File>) -> Result<(), DiskError> {
    let answer = match keeper.prepare(shard) {
        Ok(segment) => {
            desk.open = false;
            desk.refused = false;
            Supplied::Segment(segment)
        }
        Err(PrepareError::Full | PrepareError::Exhausted(_)) if desk.refused => return Ok(()),
        Err(PrepareError::Full) => {
            desk.refused = true;
            Supplied::Refused
        }
        Err(PrepareError::Exhausted(error)) => {
            tracing::warn!(
                event = "segment_refused",
                shard = shard.0,
                %error,
                "no descriptor or memory for the next journal segment, it is tried again; raise the limit of open files \
                 (LimitNOFILE, ulimit -n)"
            );
            desk.refused = true;
            Supplied::Refused
        }
        Err(PrepareError::Failed(error)) => return Err(error),
    };
    // The channel holds a refusal and the segment after it, and no further request comes before the segment
    // is taken; it is refused only when the shard is gone.
    if desk.answers.try_send(answer).is_ok() {
        (desk.wake)();
    }
    Ok(())
}
