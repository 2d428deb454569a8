//! The thread of the store, and the queue in front of it.
//!
//! Thread: `media`, which owns the store, so that every operation ends before the next begins. Handlers, the threads that look at files, and the
//! thread that answers store requests ask and wait for the reply.
//!
//! Limits: [`QUEUE_MAX`] operations wait; the next is answered `busy`. An operation whose asker went away is carried out all the same. What can
//! fail: the store.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};
use lynk_model::StoreError;
use lynk_model::media::{Attach, AttachOutcome, Begun, Media, PictureOf, Quota, Settled, Usage};
use lynk_model::port::{LastFault, MediaStore};
use lynk_protocol::{ErrorCode, Reject};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::counts::MediaCounts;
use crate::options::QUEUE_MAX;

/// When to come back to a full queue.
const FULL_RETRY_MILLIS: u32 = 250;
/// When to come back to a store that is away.
const AWAY_RETRY_MILLIS: u32 = 1_000;

/// The store as whoever waits for it sees it. Each call blocks.
pub(crate) trait Rows {
    fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError>;
    fn usage(&mut self, owner: UserId, now: Millis) -> Result<Usage, StoreError>;
    fn find(&mut self, id: MediaId) -> Result<Option<Media>, StoreError>;
    fn find_all(&mut self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError>;
    fn of_owner(&mut self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError>;
    fn settle(&mut self, id: MediaId, settled: &Settled, now: Millis) -> Result<Option<Media>, StoreError>;
    fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError>;
    fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError>;
    fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError>;
    fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError>;
    fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError>;
    fn posted(&mut self, of: (RoomId, Key), ids: &[MediaId], seq: Seq) -> Result<(), StoreError>;
    fn attached(&mut self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError>;
    fn has_files(&mut self, room: RoomId) -> Result<bool, StoreError>;
    fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError>;
    fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError>;
    fn doom_orphans(&mut self, pending: Millis, unused: Millis, now: Millis) -> Result<u32, StoreError>;
    fn scanning(&mut self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError>;
    fn doomed(&mut self, limit: u32) -> Result<Vec<Media>, StoreError>;
    fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError>;
    fn forget(&mut self, now: Millis) -> Result<u32, StoreError>;
}

/// A store with the runtime that its connections live on.
pub(crate) struct Stored<S> {
    pub(crate) store: S,
    pub(crate) runtime: Runtime,
    pub(crate) counts: Arc<MediaCounts>,
}

impl<S: MediaStore + LastFault> Stored<S> {
    fn run<T>(&mut self, ask: impl AsyncFnOnce(&mut S) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Self { store, runtime, counts } = self;
        let result = runtime.block_on(ask(store));
        counts.stored(&result, || store.last_fault());
        result
    }
}

impl<S: MediaStore + LastFault> Rows for Stored<S> {
    fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError> {
        self.run(async |store| store.begin(media, quota).await)
    }

    fn usage(&mut self, owner: UserId, now: Millis) -> Result<Usage, StoreError> {
        self.run(async |store| store.usage(owner, now).await)
    }

    fn find(&mut self, id: MediaId) -> Result<Option<Media>, StoreError> {
        self.run(async |store| Ok(store.media(&[id]).await?.pop()))
    }

    fn find_all(&mut self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError> {
        self.run(async |store| store.media(ids).await)
    }

    fn of_owner(&mut self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.run(async |store| store.of_owner(owner, after, limit).await)
    }

    fn settle(&mut self, id: MediaId, settled: &Settled, now: Millis) -> Result<Option<Media>, StoreError> {
        self.run(async |store| store.settle(id, settled, now).await)
    }

    fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError> {
        self.run(async |store| store.attach(attach).await)
    }

    fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.release(ids, now).await)
    }

    fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.release_room(room, now).await)
    }

    fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.release_owner(owner, now).await)
    }

    fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.keep_picture(of, keep, now).await)
    }

    fn posted(&mut self, (room, key): (RoomId, Key), ids: &[MediaId], seq: Seq) -> Result<(), StoreError> {
        self.run(async |store| store.posted(room, key, ids, seq).await)
    }

    fn attached(&mut self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.run(async |store| store.attached(unknown, after, limit).await)
    }

    fn has_files(&mut self, room: RoomId) -> Result<bool, StoreError> {
        self.run(async |store| store.has_files(room).await)
    }

    fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError> {
        self.run(async |store| store.leave(room, ids, to).await)
    }

    fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.release_left(room, floor, now).await)
    }

    fn doom_orphans(&mut self, pending: Millis, unused: Millis, now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.doom_orphans(pending, unused, now).await)
    }

    fn scanning(&mut self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.run(async |store| store.scanning(before, limit).await)
    }

    fn doomed(&mut self, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.run(async |store| store.doomed(limit).await)
    }

    fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError> {
        self.run(async |store| store.emptied(ids).await)
    }

    fn forget(&mut self, now: Millis) -> Result<u32, StoreError> {
        self.run(async |store| store.forget(now).await)
    }
}

/// What is to be done with the store.
type Work = Box<dyn FnOnce(&mut dyn Rows) + Send>;

enum Job {
    Do(Work),
    End,
}

/// Why a question has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unasked {
    /// Too many wait.
    Busy,
    /// The thread has ended.
    Ended,
    /// The store.
    Store(StoreError),
}

impl From<Unasked> for Reject {
    fn from(unasked: Unasked) -> Self {
        match unasked {
            Unasked::Busy => Self::after(ErrorCode::Busy, FULL_RETRY_MILLIS),
            Unasked::Ended => ErrorCode::Draining.into(),
            Unasked::Store(StoreError::Unknown) => ErrorCode::Unknown.into(),
            Unasked::Store(StoreError::Unavailable) => Self::after(ErrorCode::Unavailable, AWAY_RETRY_MILLIS),
            Unasked::Store(_) => ErrorCode::Internal.into(),
        }
    }
}

/// Where it is asked. Clones share the thread.
#[derive(Clone)]
pub(crate) struct Desk(SyncSender<Job>);

/// The thread's end of the queue.
pub(crate) struct Queue(Receiver<Job>);

impl Desk {
    pub(crate) fn new() -> (Self, Queue) {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        (Self(jobs), Queue(queue))
    }

    fn post<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, Unasked> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Do(Box::new(move |rows| {
            // Nobody may be waiting any more.
            let _gone = answer.send(ask(rows));
        }));
        self.0.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Unasked::Busy,
            TrySendError::Disconnected(_) => Unasked::Ended,
        })?;
        Ok(answered)
    }

    /// Has `ask` carried out and waits for what it returns.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unasked> {
        self.post(ask)?.await.unwrap_or(Err(StoreError::Unavailable)).map_err(Unasked::Store)
    }

    /// As [`Self::ask`]. Blocks.
    pub(crate) fn ask_here<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unasked> {
        self.post(ask)?.blocking_recv().unwrap_or(Err(StoreError::Unavailable)).map_err(Unasked::Store)
    }

    /// Ends the thread when it has done what was asked before. Blocks while the queue is full.
    pub(crate) fn end(&self) {
        // It may have ended.
        let _ended = self.0.send(Job::End);
    }
}

impl Queue {
    /// Carries out what is asked until the end, and `sweep` each time that `every` has passed.
    pub(crate) fn run(self, rows: &mut dyn Rows, every: Duration, mut sweep: impl FnMut(&mut dyn Rows)) {
        let mut next = Instant::now();
        loop {
            match self.0.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Job::Do(job)) => job(rows),
                Ok(Job::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next {
                sweep(rows);
                next = Instant::now() + every;
            }
        }
    }
}
