//! [`JournalFeed`]: messages out of the journals of this process, behind the message store.
//!
//! Thread: the notifications'. The place is the journals' cursor of notifications: what was given out and not passed comes again after a crash.

use std::time::{Duration, Instant};

use lynk_domain::Nanos;
use lynk_journal::{PublishStep, Publisher, ReaderAccess as _, RealDisk, SharedReader};
use lynk_model::event::Stream;
use lynk_model::port::EventSink;
use lynk_push::{Fed, Feed};

/// See the module.
pub(crate) struct JournalFeed {
    publisher: Publisher,
    reader: SharedReader<RealDisk>,
    started: Instant,
}

impl JournalFeed {
    pub(crate) fn new(publisher: Publisher, reader: SharedReader<RealDisk>) -> Self {
        Self { publisher, reader, started: Instant::now() }
    }

    fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Where messages come from in the server.
pub(crate) enum Source {
    /// Its own journals.
    Journals(Box<JournalFeed>),
    /// Nowhere: another process takes them in.
    None,
}

impl Feed for Source {
    async fn step<S: EventSink>(&mut self, sink: &mut S) -> Fed {
        match self {
            Self::Journals(feed) => feed.step(sink).await,
            Self::None => Fed::Idle,
        }
    }

    fn skip(&mut self) {
        if let Self::Journals(feed) = self {
            feed.skip();
        }
    }

    fn backlog(&mut self) -> u64 {
        match self {
            Self::Journals(feed) => feed.backlog(),
            Self::None => 0,
        }
    }

    fn finish(&mut self) {
        if let Self::Journals(feed) = self {
            feed.finish();
        }
    }
}

impl Feed for JournalFeed {
    async fn step<S: EventSink>(&mut self, sink: &mut S) -> Fed {
        let now = self.now();
        match self.publisher.step(sink, &RealDisk, &mut self.reader, now).await {
            PublishStep::Published { .. } => Fed::Some,
            PublishStep::Idle => Fed::Idle,
            PublishStep::Waiting(at) => Fed::Wait(Duration::from_nanos(at.since(now))),
            PublishStep::Stuck { source, after, .. } => {
                let why =
                    self.reader.with(|reader| reader.damage().map(ToString::to_string)).unwrap_or_default();
                tracing::error!(
                    event = "push_stuck", journal = ?source, after = after.0, why,
                    "a journal cannot be read on for notifications"
                );
                Fed::Some
            }
        }
    }

    fn skip(&mut self) {
        let now = self.now();
        let publisher = &mut self.publisher;
        self.reader.with(|reader| publisher.pass(reader));
        publisher.keep(&RealDisk, now);
    }

    fn backlog(&mut self) -> u64 {
        let publisher = &self.publisher;
        self.reader.with(|reader| publisher.backlog(reader, Stream::Notified))
    }

    fn finish(&mut self) {
        self.publisher.finish(&RealDisk);
    }
}
