//! The server's log: one line per event on standard output, written by a thread of its own.
//!
//! A shard that logs formats its line and puts it into a bounded queue; it never waits for a slow reader of the log. When
//! the queue is full the line is dropped and counted, and the next line that fits is preceded by one that says so.
//!
//! What can fail: standard output. Then lines are dropped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;

use crate::config::{LogFormat, LogLevel};

/// Lines that wait to be written.
const LINES_MAX: usize = 4_096;
/// What a flush takes at most: who reads standard output may be stuck, and a process that must end still ends.
const FLUSH_TIME: Duration = Duration::from_secs(1);
/// Time between two tries to put a flush into a full queue.
const FLUSH_RETRY: Duration = Duration::from_millis(5);

enum Item {
    Line(Vec<u8>),
    /// Answer when everything before it is written.
    Flush(SyncSender<()>),
}

/// The log of this process.
#[derive(Clone)]
pub(crate) struct Log {
    queue: SyncSender<Item>,
    level: reload::Handle<Targets, tracing_subscriber::Registry>,
}

/// Of libraries warnings only: what else they say is about themselves, and may quote what they were given.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("lynk", level)
}

impl Log {
    /// Starts the log of the process.
    ///
    /// # Errors
    /// The thread cannot be started, or the process has a log already.
    pub(crate) fn start(level: LogLevel, format: LogFormat) -> anyhow::Result<Self> {
        let (queue, lines) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&lines, &counter))?;
        let (level, handle) = reload::Layer::new(filter(level));
        let base = tracing_subscriber::registry().with(level);
        let writer = LineMaker { queue: queue.clone(), dropped };
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_target(false)
            .with_span_events(FmtSpan::NONE);
        match format {
            LogFormat::Json => {
                let json = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
                tracing::subscriber::set_global_default(base.with(json))?;
            }
            LogFormat::Text => tracing::subscriber::set_global_default(base.with(layer.with_ansi(false)))?,
        }
        Ok(Self { queue, level: handle })
    }

    /// Changes the least severe level.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // It fails only when the process has no log any more.
        let _ = self.level.reload(filter(level));
    }

    /// Returns when everything logged so far is written, or after [`FLUSH_TIME`].
    pub(crate) fn flush(&self) {
        flush(&self.queue);
    }
}

fn flush(queue: &SyncSender<Item>) {
    let until = Instant::now() + FLUSH_TIME;
    let (done, wait) = sync_channel(1);
    let mut item = Item::Flush(done);
    while let Err(error) = queue.try_send(item) {
        match error {
            TrySendError::Full(back) if Instant::now() < until => item = back,
            TrySendError::Full(_) | TrySendError::Disconnected(_) => return,
        }
        std::thread::sleep(FLUSH_RETRY);
    }
    let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
}

fn write_lines(lines: &Receiver<Item>, dropped: &AtomicU64) {
    let mut out = io::BufWriter::with_capacity(16 << 10, io::stdout());
    // Everything that waits is written before the buffer is: one call to the kernel for a burst.
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut waiting = Vec::new();
        while let Some(item) = next {
            match item {
                Item::Line(line) => {
                    let _ = out.write_all(&line);
                }
                Item::Flush(done) => waiting.push(done),
            }
            next = lines.try_recv().ok();
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(out, r#"{{"level":"WARN","event":"log_dropped","lines":{count}}}"#);
        }
        let _ = out.flush();
        for done in waiting {
            let _ = done.try_send(());
        }
    }
}

#[derive(Clone)]
struct LineMaker {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

/// Collects one line and queues it when it is dropped.
struct Line {
    bytes: Vec<u8>,
    maker: LineMaker,
}

impl<'a> MakeWriter<'a> for LineMaker {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { bytes: Vec::new(), maker: self.clone() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() && self.maker.queue.try_send(Item::Line(bytes)).is_err() {
            self.maker.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_ends_although_nobody_takes_the_lines() {
        let (queue, _stuck) = sync_channel(1);
        assert!(queue.try_send(Item::Line(Vec::new())).is_ok());
        let (ended, end) = sync_channel(1);
        std::thread::spawn(move || {
            flush(&queue);
            let _ = ended.send(());
        });
        assert!(end.recv_timeout(60 * FLUSH_TIME).is_ok(), "the flush waits for ever");
    }
}
