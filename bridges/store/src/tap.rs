//! A tap on the drain, for whoever copies the message log while the server serves.
//!
//! A copy reads rows in the background and gets every batch that is drained meanwhile ([`Tee`]): both together are what the log holds. At
//! its end the drain is held between two batches ([`Holding`]), and what journals hold beyond that is read from them.
//!
//! Thread: [`Tap`] and what it gives belong to the copying thread. The bridge's threads look for wishes between two pieces of work.
//!
//! Limits: one tee at a time, [`TEE_BATCHES_MAX`] batches wait for it, and one that takes nothing for [`TEE_PATIENCE`] is let go: its copy
//! has failed, the drain goes on. A hold of the drain ends after [`DRAIN_HELD_MAX`], one of the requests after [`REQUESTS_HELD_MAX`], and
//! its maker asks whether it still is before it relies on it. **Lost when full: the copy**, which its maker sees and tells. What can fail:
//! the bridge ends.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use lynk_domain::Lsn;
use lynk_journal::{Batch, Disk, ReaderAccess, SharedReader};
use lynk_model::{OwnedRecord, SourceId, StoreError};
use tokio::sync::Notify;

/// Batches that may wait for a copy.
const TEE_BATCHES_MAX: usize = 4;
/// How long the drain waits for a copy that takes nothing.
const TEE_PATIENCE: Duration = Duration::from_secs(60);
/// Longest hold of the drain. Journals and their index grow meanwhile; both have room for far more than a minute of traffic.
const DRAIN_HELD_MAX: Duration = Duration::from_secs(60);
/// Longest hold of the requests: shards wait for their answers.
const REQUESTS_HELD_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at a hold, or at a full tee.
const LOOK: Duration = Duration::from_millis(1);
/// Records and bytes of one read of a journal.
const READ_RECORDS: u64 = 1_024;
const READ_BYTES: usize = 1 << 20;

/// The bridge has ended, or has given the copy up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TapEnded;

/// What a tee brings.
#[derive(Debug)]
pub enum Teed {
    /// A batch that the message log has now.
    Records(Vec<OwnedRecord>),
    /// The drain has ended: everything was drained, or not.
    End {
        /// Whether journals hold nothing more.
        drained: bool,
    },
}

/// Wish to hold one of the two threads.
pub(crate) struct Hold<T> {
    /// Gets since when it is held, and its state.
    held: Sender<(Instant, T)>,
    until: Receiver<()>,
    max: Duration,
}

impl<T> Hold<T> {
    /// Tells that the thread is held, and waits until it no longer is.
    pub(crate) async fn keep(self, state: T) {
        let since = Instant::now();
        if self.held.send((since, state)).is_err() {
            return;
        }
        while self.until.try_recv() == Err(TryRecvError::Empty) && since.elapsed() < self.max {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What the draining thread is asked.
pub(crate) enum DrainWish {
    Tee { to: SyncSender<Teed>, begun: Sender<()> },
    Hold(Hold<Vec<(SourceId, Lsn)>>),
}

/// The draining thread's end of a tee.
#[derive(Default)]
pub(crate) struct TeeEnd(Option<SyncSender<Teed>>);

impl TeeEnd {
    pub(crate) fn set(&mut self, to: SyncSender<Teed>) {
        self.0 = Some(to);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Hands it on; lets go of a copy that does not take it.
    pub(crate) async fn send(&mut self, mut teed: Teed) {
        let since = Instant::now();
        while let Some(to) = &self.0 {
            match to.try_send(teed) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) if since.elapsed() < TEE_PATIENCE => teed = back,
                Err(_) => {
                    self.0 = None;
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Journals as a copy reads them.
trait Journals: Send {
    fn last(&mut self, source: SourceId) -> Lsn;
    fn read(
        &mut self,
        source: SourceId,
        after: Lsn,
        records: usize,
        batch: &mut Batch,
    ) -> Result<(), StoreError>;
}

impl<D: Disk + Send> Journals for SharedReader<D>
where
    D::File: Send,
{
    fn last(&mut self, source: SourceId) -> Lsn {
        self.with(|reader| reader.last(source))
    }

    fn read(
        &mut self,
        source: SourceId,
        after: Lsn,
        records: usize,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        self.with(|reader| reader.read_batch(source, after, records, READ_BYTES, batch))
    }
}

/// Both threads' ends of the tap.
pub(crate) struct TapEnds {
    pub(crate) drain: Receiver<DrainWish>,
    pub(crate) requests: Receiver<Hold<()>>,
}

/// See the module.
pub struct Tap {
    drain: Sender<DrainWish>,
    drain_woken: Arc<Notify>,
    requests: Sender<Hold<()>>,
    requests_woken: Arc<Notify>,
    journals: Box<dyn Journals>,
}

impl Tap {
    pub(crate) fn new<D>(
        reader: SharedReader<D>,
        drain_woken: Arc<Notify>,
        requests_woken: Arc<Notify>,
    ) -> (Self, TapEnds)
    where
        D: Disk + Send + 'static,
        D::File: Send + 'static,
    {
        let (drain, drain_end) = channel();
        let (requests, requests_end) = channel();
        let tap = Self { drain, drain_woken, requests, requests_woken, journals: Box::new(reader) };
        (tap, TapEnds { drain: drain_end, requests: requests_end })
    }

    /// From when this returns on, every batch that is drained comes to the tee; all before are in the log.
    ///
    /// # Errors
    /// The bridge ends.
    pub fn tee(&self) -> Result<Tee, TapEnded> {
        let ((to, batches), (begun, begins)) = (sync_channel(TEE_BATCHES_MAX), channel());
        self.drain.send(DrainWish::Tee { to, begun }).map_err(|_| TapEnded)?;
        self.drain_woken.notify_one();
        begins.recv().map_err(|_| TapEnded)?;
        Ok(Tee { batches })
    }

    /// Asks the drain to stop between two batches. Whoever waits for it must go on taking from the tee.
    ///
    /// # Errors
    /// The bridge ends.
    pub fn hold_drain(&self) -> Result<Holding, TapEnded> {
        let ((held, told), (release, until)) = (channel(), channel());
        self.drain.send(DrainWish::Hold(Hold { held, until, max: DRAIN_HELD_MAX })).map_err(|_| TapEnded)?;
        self.drain_woken.notify_one();
        Ok(Holding { told, since: None, _release: release })
    }

    /// Holds the thread that answers requests: no relational change is made, and none is confirmed, until the answer is dropped, or
    /// [`REQUESTS_HELD_MAX`] is over. Waits for those that are under way.
    ///
    /// # Errors
    /// The bridge ends, or requests do not.
    pub fn hold_requests(&self) -> Result<RequestsHeld, TapEnded> {
        let ((held, told), (release, until)) = (channel(), channel());
        let hold = Hold { held, until, max: REQUESTS_HELD_MAX };
        self.requests.send(hold).map_err(|_| TapEnded)?;
        self.requests_woken.notify_one();
        let (since, ()) = told.recv_timeout(2 * REQUESTS_HELD_MAX).map_err(|_| TapEnded)?;
        Ok(RequestsHeld { since, _release: release })
    }

    /// The last committed record of each of these journals.
    pub fn committed(&mut self, of: &[(SourceId, Lsn)]) -> Vec<(SourceId, Lsn)> {
        of.iter().map(|(source, _)| (*source, self.journals.last(*source))).collect()
    }

    /// Records of a journal after `after`, up to `last`: a batch of them; empty when there are none. The drain must be held.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails, `Corrupt` on damage.
    pub fn read(
        &mut self,
        source: SourceId,
        after: Lsn,
        last: Lsn,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let left = last.0.saturating_sub(after.0).min(READ_RECORDS);
        self.journals.read(source, after, usize::try_from(left).unwrap_or(0), batch)
    }
}

/// Where drained batches come to.
pub struct Tee {
    batches: Receiver<Teed>,
}

impl Tee {
    /// What waits; `None` when nothing does.
    ///
    /// # Errors
    /// The copy was let go.
    pub fn take(&self) -> Result<Option<Teed>, TapEnded> {
        match self.batches.try_recv() {
            Ok(teed) => Ok(Some(teed)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(TapEnded),
        }
    }
}

/// A drain that is held, or soon will be; it goes on when this is dropped.
pub struct Holding {
    told: Receiver<(Instant, Vec<(SourceId, Lsn)>)>,
    since: Option<Instant>,
    _release: Sender<()>,
}

impl Holding {
    /// How far each journal is drained, once, when the drain is held: everything drained before is in the tee.
    ///
    /// # Errors
    /// The bridge ended.
    pub fn held(&mut self) -> Result<Option<Vec<(SourceId, Lsn)>>, TapEnded> {
        match self.told.try_recv() {
            Ok((since, cursors)) => {
                self.since = Some(since);
                Ok(Some(cursors))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(TapEnded),
        }
    }

    /// Whether the drain still is held: what was read since is void otherwise.
    #[must_use]
    pub fn still(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() < DRAIN_HELD_MAX)
    }
}

/// Requests that are held; they go on when this is dropped.
pub struct RequestsHeld {
    since: Instant,
    _release: Sender<()>,
}

impl RequestsHeld {
    /// Whether they still are: what was done since is void otherwise.
    #[must_use]
    pub fn still(&self) -> bool {
        self.since.elapsed() < REQUESTS_HELD_MAX
    }
}
