//! Work that keeps a processor busy, off the threads that wait for sockets and stores.
//!
//! [`Compute`] is a bounded queue with a few threads behind it, for any work that ends by itself; what there is to do is beside
//! it ([`qr`]). What decodes pictures of strangers may not end, so [`Images`] runs that in processes that it can kill.
//!
//! Thread: [`Compute::run`] is called on any runtime and waits without blocking it; the work runs on a thread `compute-N`.
//! Invariants: work is done in order of asking by each thread; work whose asker went away is left out. Limits: [`QUEUE_MAX`]
//! pieces wait; the next is refused at once ([`ComputeError::Busy`]) and its asker comes back. What can fail: room, and work
//! that panics, which ends the process as everywhere.

#![forbid(unsafe_code)]

mod counts;
mod images;
mod media_type;
mod qr;
mod strip;
mod thumbnails;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

pub use counts::{ComputeCounts, ImageCounts};
pub use images::{Images, ImagesOptions, Prepared, PreparedThumbnail, Refused, run_child};
pub use media_type::{MediaType, SNIFF_BYTES, sniff};
pub use qr::{Qr, QrError, TEXT_BYTES_MAX, qr};
pub use strip::{FRAMES_MAX, SCANS_MAX, StripError, Stripped, strip};
pub use thumbnails::{
    BOXES, DECODED_BYTES_MAX, PIXELS_MAX, Thumbnail, ThumbnailError, is_small_enough, thumbnails,
};

/// Pieces of work that wait at a time, over all threads.
pub const QUEUE_MAX: usize = 64;

/// Why work was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ComputeError {
    /// Too much waits; come back.
    Busy,
    /// The threads have ended.
    Ended,
}

impl fmt::Display for ComputeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "too much work waits",
            Self::Ended => "the threads have ended",
        })
    }
}

impl std::error::Error for ComputeError {}

type Job = Box<dyn FnOnce() + Send>;

/// Where work is given. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Compute {
    jobs: Sender<Job>,
    counts: Arc<ComputeCounts>,
}

/// The threads. They end when every [`Compute`] is gone and what waits is done.
#[derive(Debug)]
pub struct ComputeThreads(Vec<JoinHandle<()>>);

impl ComputeThreads {
    /// Waits for their end. Blocks while there is a [`Compute`] left.
    pub fn join(self) {
        for thread in self.0 {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Compute {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// No thread.
    pub fn start(threads: usize) -> io::Result<(Self, ComputeThreads)> {
        Self::named("compute", threads, QUEUE_MAX)
    }

    /// Threads of that name, and room for `waiting`.
    pub(crate) fn named(name: &str, threads: usize, waiting: usize) -> io::Result<(Self, ComputeThreads)> {
        let (jobs, queue) = bounded::<Job>(waiting);
        let counts = Arc::<ComputeCounts>::default();
        let handles = (0..threads.max(1))
            .map(|number| {
                let (queue, counts) = (queue.clone(), Arc::clone(&counts));
                let name = format!("{name}-{number}");
                std::thread::Builder::new().name(name).spawn(move || work_off(&queue, &counts))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok((Self { jobs, counts }, ComputeThreads(handles)))
    }

    /// What it counts.
    #[must_use]
    pub fn counts(&self) -> &Arc<ComputeCounts> {
        &self.counts
    }

    /// Has `work` done and waits for what it returns. Dropping the future before the work began leaves it out.
    ///
    /// # Errors
    /// There is no room, or no thread.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !answer.is_closed() {
                // Whoever asked may go away while it is done.
                let _ = answer.send(work());
            }
        });
        self.counts.queued();
        match self.jobs.try_send(job) {
            Ok(()) => answered.await.map_err(|_| ComputeError::Ended),
            Err(refused) => {
                self.counts.refused();
                Err(match refused {
                    TrySendError::Full(_) => ComputeError::Busy,
                    TrySendError::Disconnected(_) => ComputeError::Ended,
                })
            }
        }
    }
}

fn work_off(queue: &Receiver<Job>, counts: &ComputeCounts) {
    while let Ok(job) = queue.recv() {
        counts.taken();
        let started = Instant::now();
        job();
        counts.done(started.elapsed());
    }
}
