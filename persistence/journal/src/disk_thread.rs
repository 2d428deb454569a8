//! A thread that executes one shard's durable writes, for drivers that cannot do so without blocking.
//!
//! Thread: the shard holds [`DiskThread`], whose calls never block; the thread itself blocks in the disk.
//! Limits: one op at a time, as the [`Writer`](crate::Writer) hands out no more.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::disk::DiskFile;
use crate::writer::{WriteOp, WriteOutcome, execute};

/// The running thread. Dropping it waits for the op in progress.
#[derive(Debug)]
pub struct DiskThread<F> {
    ops: Option<Sender<WriteOp<F>>>,
    done: Receiver<(WriteOp<F>, WriteOutcome)>,
    thread: Option<JoinHandle<()>>,
}

impl<F: DiskFile + Send + 'static> DiskThread<F> {
    /// Starts a thread named `name`. `wake` is called on it after every op.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn spawn(name: String, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (ops, incoming) = bounded::<WriteOp<F>>(1);
        let (outgoing, done) = bounded(1);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            for op in incoming {
                let outcome = execute(&op);
                if outgoing.send((op, outcome)).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { ops: Some(ops), done, thread: Some(thread) })
    }

    /// Starts an op.
    ///
    /// # Panics
    /// When the op before it was not taken back, or the thread has died.
    pub fn submit(&self, op: WriteOp<F>) {
        let accepted = self.ops.as_ref().is_some_and(|ops| ops.try_send(op).is_ok());
        assert!(accepted, "one write at a time, on a living thread");
    }

    /// The finished op and its outcome, for [`Writer::finish`](crate::Writer::finish).
    #[must_use]
    pub fn take(&self) -> Option<(WriteOp<F>, WriteOutcome)> {
        self.done.try_recv().ok()
    }
}

impl<F> Drop for DiskThread<F> {
    fn drop(&mut self) {
        self.ops = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own message; the process aborts on panic.
            let _ended = thread.join();
        }
    }
}
