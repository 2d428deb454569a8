//! Threads of bridges.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};

/// A running bridge thread.
#[derive(Debug)]
pub struct BridgeThread {
    handle: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl BridgeThread {
    /// Asks the thread to end and wakes it. It sees that in the flag which its body was given.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.handle.thread().unpark();
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The thread, to unpark it.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// Waits for the thread to end.
    pub fn join(self) {
        if let Err(panic) = self.handle.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Starts a bridge thread. `body` returns when the flag is set, or when its work is over; when it panics, the process
/// ends at once, because shards wait for its answers.
///
/// # Errors
/// When the operating system refuses a thread.
pub fn spawn(name: &str, body: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<BridgeThread> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let guard = EndWithProcess;
        body(&flag);
        drop(guard);
    })?;
    Ok(BridgeThread { handle, stop })
}

/// Ends the process when it is dropped by a panic. Releases abort at the panic itself; this covers other profiles.
struct EndWithProcess;

impl Drop for EndWithProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic hook has printed the reason.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_ends_when_asked() {
        let thread = spawn("bridge-test", |stop| {
            while !stop.load(Ordering::Acquire) {
                std::thread::park();
            }
        })
        .expect("a thread");
        assert!(!thread.is_finished());
        thread.stop();
        thread.join();
    }
}
