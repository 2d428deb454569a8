//! The accounts' thread and the queue in front of it.
//!
//! Thread: one, which owns the store and all tables, so that every operation runs to its end before the next begins and
//! nothing is locked. Handlers ask and wait for the reply without blocking.
//!
//! Limits: [`QUEUE_MAX`] operations wait; the next is answered `busy`, and its client retries. An operation whose client
//! went away is carried out all the same; what it was answered is lost with it, as on a broken connection.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use lynk_protocol::{ErrorCode, Reject};
use tokio::sync::oneshot;

use super::counts::AccountCounts;
use super::service::Actions;

/// Operations that wait for the thread.
const QUEUE_MAX: usize = 256;
/// When to come back to a full queue.
const FULL_RETRY_MILLIS: u32 = 250;

type Job = Box<dyn FnOnce(&mut dyn Actions) + Send>;

/// Where handlers ask.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    jobs: SyncSender<Job>,
    counts: Arc<AccountCounts>,
}

impl Desk {
    /// Starts the thread. It makes its service itself, which need not be movable, and ends when all desks are gone.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn start<A: Actions>(
        make: impl FnOnce() -> A + Send + 'static,
        counts: Arc<AccountCounts>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE_MAX);
        let counted = Arc::clone(&counts);
        let thread = std::thread::Builder::new().name("accounts".to_owned()).spawn(move || {
            let mut service = make();
            while let Ok(job) = queue.recv() {
                counted.taken();
                let started = Instant::now();
                job(&mut service);
                counted.carried_out(started.elapsed());
            }
        })?;
        Ok((Self { jobs, counts }, thread))
    }

    /// Has `ask` carried out and waits for what it returns.
    ///
    /// # Errors
    /// What it refuses, or the queue is full, or the thread has ended.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Actions) -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Reject> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |service| {
            // Nobody may be waiting any more.
            let _ = answer.send(ask(service));
        });
        match self.send(job) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(ErrorCode::Draining.into())),
            Err(TrySendError::Full(_)) => Err(Reject::after(ErrorCode::Busy, FULL_RETRY_MILLIS)),
            Err(TrySendError::Disconnected(_)) => Err(ErrorCode::Draining.into()),
        }
    }

    /// As [`Self::ask`], for a thread without a runtime. Blocks.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) fn ask_here<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Actions) -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Reject> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |service| {
            // Nobody may be waiting any more.
            let _ = answer.send(ask(service));
        });
        match self.send(job) {
            Ok(()) => answered.blocking_recv().unwrap_or_else(|_| Err(ErrorCode::Draining.into())),
            Err(TrySendError::Full(_)) => Err(Reject::after(ErrorCode::Busy, FULL_RETRY_MILLIS)),
            Err(TrySendError::Disconnected(_)) => Err(ErrorCode::Draining.into()),
        }
    }

    /// Has `ask` carried out some time, if there is room.
    pub(super) fn tell(&self, ask: impl FnOnce(&mut dyn Actions) + Send + 'static) {
        let _ = self.send(Box::new(ask));
    }

    fn send(&self, job: Job) -> Result<(), TrySendError<Job>> {
        self.counts.queued();
        self.jobs.try_send(job).inspect_err(|_| self.counts.taken())
    }
}
