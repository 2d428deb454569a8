//! [`PushBridge`]: the thread that feeds a notifier, sends what it claims, and answers questions about devices and pushes.
//!
//! Thread: `push`, with the runtime that the stores' connections live on; pushes are tasks there. Everything else asks through a [`PushDesk`].
//!
//! Invariants: connections to the provider stand before anything is claimed; a claim is written to them at once. Sessions that ended are removed
//! from the store, or kept here until the store works. At the end nothing more is claimed, and what is on its way has
//! [`PushOptions::final_wait`]: what has no answer then is never sent again.
//!
//! Limits: [`IN_FLIGHT_MAX`] pushes, one that has several devices may pass it; [`QUEUE_MAX`] questions. What can fail: stores and providers, each
//! asked again after pauses that grow to [`PAUSE_MAX`].

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use lynk_bridge::{BridgeThread, Turned, spawn};
use lynk_domain::{MessageId, Millis, RoomId, Seq, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::event::{Event, EventBody, Subject, Topic};
use lynk_model::notify::{Device, Known, Push, PushCause, PushId, PushState};
use lynk_model::port::{Audience, Delivered, EventSink, LastFault, NotifyStore, PushNote, PushSender};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::PushCounts;
use crate::decide::Rules;
use crate::notifier::{Clock, Ended, Notifier, Plan, Timing, Trouble};

/// Pushes on their way at a time.
pub const IN_FLIGHT_MAX: usize = 16;
/// Questions that wait.
const QUEUE_MAX: usize = 256;
/// Time between two looks for new messages when there were none.
const LOOK: Duration = Duration::from_millis(100);
/// First and longest pause after a store or a provider failed.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Time between two rounds of forgetting, and of looking for what dead processes had claimed.
const UPKEEP: Duration = Duration::from_secs(60);
/// What was claimed so long ago is of a process that is gone, in milliseconds. Longer than any push takes.
const ABANDONED_MILLIS: u64 = 3 * 60 * 1_000;
/// Later than any claim, also one of a clock that was wrong.
const EVER: u64 = i64::MAX.cast_unsigned();
/// Sessions that ended which are remembered, so that a device that is registered at the same moment is refused.
const GONE_MAX: usize = 4_096;
/// Pushes that were given up which are told at a time.
const DEAD_ROWS: u32 = 100;

/// What a feed did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fed {
    /// A batch was taken; there may be more.
    Some,
    /// There is nothing new.
    Idle,
    /// It did not work; nothing to do for this time.
    Wait(Duration),
}

/// Where messages come from, at least once and in the order of each room.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait Feed {
    /// Gives the next batch to `sink`, and moves on when it was taken.
    async fn step<S: EventSink>(&mut self, sink: &mut S) -> Fed;

    /// Passes everything that there is, because nobody has a device.
    fn skip(&mut self) {}

    /// Records that are not given out yet, as far as is known.
    fn backlog(&mut self) -> u64 {
        0
    }

    /// Keeps how far it is, at the end.
    fn finish(&mut self) {}
}

/// Nothing comes: another process takes messages in.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFeed;

impl Feed for NoFeed {
    async fn step<S: EventSink>(&mut self, _: &mut S) -> Fed {
        Fed::Idle
    }
}

/// Publishes that pushes were given up.
pub type DeadSink = Box<dyn FnMut(&[Event]) -> Result<(), StoreError> + Send>;

/// How a bridge works.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Who is told of what.
    pub rules: Rules,
    /// A room has one push to somebody in such a time.
    pub window: Duration,
    /// Pause before the second try of a push at most; doubled up to the longest.
    pub retry_min: Duration,
    /// Longest pause.
    pub retry_max: Duration,
    /// Tries of a push before it is given up.
    pub attempts_max: u32,
    /// How long decisions and pushes are remembered.
    pub keep: Duration,
    /// How many of each, at most.
    pub keep_rows: u64,
    /// Whether this bridge takes messages in and sends; otherwise it only answers for devices.
    pub sends: bool,
    /// Whether no other process sends for this store: what is claimed at the start is of one that died.
    pub alone: bool,
    /// Time that pushes on their way have at the end.
    pub final_wait: Duration,
}

/// What a bridge is made of.
pub struct PushParts<S, A, F, P> {
    /// The store of notifications.
    pub store: S,
    /// What is known of rooms and connections.
    pub audience: A,
    /// Messages.
    pub feed: F,
    /// Providers.
    pub sender: P,
    /// The runtime of the stores' connections, of one thread.
    pub runtime: Runtime,
    /// Wall time.
    pub wall: Clock,
    /// Random.
    pub seed: u64,
    /// Sessions that ended while nobody was told.
    pub ended: Vec<SessionId>,
    /// Where it is published that pushes were given up.
    pub dead: Option<DeadSink>,
}

impl<S, A, F, P> std::fmt::Debug for PushParts<S, A, F, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushParts").finish_non_exhaustive()
    }
}

/// Why a question has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Too many wait.
    Busy,
    /// The bridge has ended.
    Ended,
    /// The store.
    Store(StoreError),
}

type Reply<T> = oneshot::Sender<Result<T, Asked>>;

enum Question {
    Put(Box<Device>, Reply<u32>),
    Remove(SessionId, Reply<()>),
    Devices(UserId, Reply<Vec<Device>>),
    Trial(UserId, SessionId, Reply<Option<Delivered>>),
    Why(UserId, RoomId, Seq, Reply<(Known, bool)>),
    Dead(u32, Reply<Vec<Push>>),
    Revive(Vec<PushId>, Reply<u32>),
    Erase(UserId, Reply<()>),
}

/// Asks a bridge. Cheap to clone.
#[derive(Clone)]
pub struct PushDesk {
    questions: mpsc::Sender<Question>,
    ended: Arc<Mutex<BTreeSet<SessionId>>>,
}

impl std::fmt::Debug for PushDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushDesk").finish_non_exhaustive()
    }
}

impl PushDesk {
    fn post<T>(
        &self,
        make: impl FnOnce(Reply<T>) -> Question,
    ) -> Result<oneshot::Receiver<Result<T, Asked>>, Asked> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(make(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Asked::Busy,
            mpsc::error::TrySendError::Closed(_) => Asked::Ended,
        })?;
        Ok(answer)
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Question) -> Result<T, Asked> {
        self.post(make)?.await.unwrap_or(Err(Asked::Ended))
    }

    fn ask_blocking<T>(&self, make: impl FnOnce(Reply<T>) -> Question) -> Result<T, Asked> {
        self.post(make)?.blocking_recv().unwrap_or(Err(Asked::Ended))
    }

    /// Registers a device. Returns how many others went for it.
    ///
    /// # Errors
    /// See [`Asked`].
    pub async fn put(&self, device: Device) -> Result<u32, Asked> {
        self.ask(|reply| Question::Put(Box::new(device), reply)).await
    }

    /// Removes the device of a session that goes on.
    ///
    /// # Errors
    /// See [`Asked`].
    pub async fn remove(&self, session: SessionId) -> Result<(), Asked> {
        self.ask(|reply| Question::Remove(session, reply)).await
    }

    /// The devices of an account.
    ///
    /// # Errors
    /// See [`Asked`].
    pub async fn devices(&self, user: UserId) -> Result<Vec<Device>, Asked> {
        self.ask(|reply| Question::Devices(user, reply)).await
    }

    /// Sends a trial to a session's device; `None` when it has none.
    ///
    /// # Errors
    /// See [`Asked`].
    pub async fn trial(&self, user: UserId, session: SessionId) -> Result<Option<Delivered>, Asked> {
        self.ask(|reply| Question::Trial(user, session, reply)).await
    }

    /// Forgets everything about a user.
    ///
    /// # Errors
    /// See [`Asked`].
    pub async fn erase(&self, user: UserId) -> Result<(), Asked> {
        self.ask(|reply| Question::Erase(user, reply)).await
    }

    /// A session ended: its device goes. Does not block, and is not lost while this process lives.
    pub fn ended(&self, session: SessionId) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(session);
    }

    /// Everything about a message and a user, and whether the user is connected now. Blocks.
    ///
    /// # Errors
    /// See [`Asked`].
    pub fn why(&self, user: UserId, room: RoomId, seq: Seq) -> Result<(Known, bool), Asked> {
        self.ask_blocking(|reply| Question::Why(user, room, seq, reply))
    }

    /// Pushes that were given up, newest first. Blocks.
    ///
    /// # Errors
    /// See [`Asked`].
    pub fn dead(&self, limit: u32) -> Result<Vec<Push>, Asked> {
        self.ask_blocking(|reply| Question::Dead(limit, reply))
    }

    /// Tries pushes again that were given up; returns how many. Blocks.
    ///
    /// # Errors
    /// See [`Asked`].
    pub fn revive(&self, ids: Vec<PushId>) -> Result<u32, Asked> {
        self.ask_blocking(|reply| Question::Revive(ids, reply))
    }
}

/// The running bridge.
#[derive(Debug)]
pub struct PushBridge {
    thread: BridgeThread,
    desk: PushDesk,
    counts: Arc<PushCounts>,
}

impl PushBridge {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start<S, A, F, P>(parts: PushParts<S, A, F, P>, options: PushOptions) -> io::Result<Self>
    where
        S: NotifyStore + LastFault + Send + 'static,
        A: Audience + Send + 'static,
        F: Feed + Send + 'static,
        P: PushSender + Send + 'static,
    {
        let (questions, asked) = mpsc::channel(QUEUE_MAX);
        let ended = Arc::new(Mutex::new(parts.ended.iter().copied().collect()));
        let desk = PushDesk { questions, ended: Arc::clone(&ended) };
        let counts = Arc::<PushCounts>::default();
        let counted = Arc::clone(&counts);
        let thread = spawn("push", move |stop| {
            let PushParts { store, audience, feed, sender, runtime, wall, seed, dead, .. } = parts;
            let timing = Timing {
                window_millis: millis(options.window),
                retry_min_millis: millis(options.retry_min),
                retry_max_millis: millis(options.retry_max),
                attempts_max: options.attempts_max,
            };
            let notifier = Notifier::new(store, audience, options.rules, timing, Arc::clone(&counted), seed);
            let (ends, ended_pushes) = mpsc::unbounded_channel();
            let mut running = Running {
                notifier,
                feed,
                sender: Rc::new(sender),
                wall,
                options,
                counts: counted,
                asked,
                ended,
                gone: VecDeque::new(),
                ends,
                ended_pushes,
                in_flight: 0,
                dead,
                untold: false,
                stores: Pause::default(),
                providers: Pause::default(),
                upkeep_at: Instant::now(),
            };
            LocalSet::new().block_on(&runtime, running.run(stop));
        })?;
        Ok(Self { thread, desk, counts })
    }

    /// Where it is asked.
    #[must_use]
    pub fn desk(&self) -> &PushDesk {
        &self.desk
    }

    /// What is counted, and how stores and providers are.
    #[must_use]
    pub fn counts(&self) -> &Arc<PushCounts> {
        &self.counts
    }

    /// Ends the bridge; see the module.
    pub fn finish(self) {
        self.thread.stop();
        self.thread.join();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// When something that failed is tried again.
#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    last: Duration,
}

impl Pause {
    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn begin(&mut self) {
        self.last = (self.last * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.until = Some(Instant::now() + self.last);
    }

    fn end(&mut self) {
        *self = Self::default();
    }
}

struct Running<S, A, F, P> {
    notifier: Notifier<S, A>,
    feed: F,
    sender: Rc<P>,
    wall: Clock,
    options: PushOptions,
    counts: Arc<PushCounts>,
    asked: mpsc::Receiver<Question>,
    /// Sessions whose devices are to be removed.
    ended: Arc<Mutex<BTreeSet<SessionId>>>,
    /// Those whose were.
    gone: VecDeque<SessionId>,
    ends: mpsc::UnboundedSender<Ended>,
    ended_pushes: mpsc::UnboundedReceiver<Ended>,
    in_flight: usize,
    dead: Option<DeadSink>,
    /// Whether something may have been given up since that was told.
    untold: bool,
    stores: Pause,
    providers: Pause,
    upkeep_at: Instant,
}

/// What ended a wait.
enum Woken {
    Ended(Box<Ended>),
    Asked(Question),
    Time,
}

/// The notifier as what takes events.
struct Intake<'a, S, A> {
    notifier: &'a mut Notifier<S, A>,
    wall: &'a Clock,
    failed: Option<StoreError>,
}

impl<S: NotifyStore, A: Audience> EventSink for Intake<'_, S, A> {
    async fn publish(&mut self, batch: &[Event]) -> Result<(), StoreError> {
        let taken = self.notifier.take(batch, (self.wall)()).await;
        self.failed = taken.err();
        // Whatever it is, the batch comes again: nothing of the journal is damaged.
        taken.map_err(|_| StoreError::Unavailable)
    }
}

impl<S, A, F, P> Running<S, A, F, P>
where
    S: NotifyStore + LastFault,
    A: Audience,
    F: Feed,
    P: PushSender + 'static,
{
    async fn run(&mut self, stop: &AtomicBool) {
        let mut began = false;
        while !stop.load(Ordering::Acquire) {
            self.answer().await;
            if !self.stores.is_over() {
                self.wait(LOOK).await;
                continue;
            }
            if !began && self.options.sends {
                began = self.begin().await;
                continue;
            }
            let mut wait = LOOK;
            match self.work().await {
                Ok(Fed::Some) => wait = Duration::ZERO,
                Ok(Fed::Idle) => {}
                Ok(Fed::Wait(time)) => wait = time.min(LOOK),
                Err(trouble) => self.trouble(trouble),
            }
            self.wait(wait).await;
        }
        self.finish().await;
    }

    /// What an earlier process had claimed is not sent again.
    async fn begin(&mut self) -> bool {
        let now = (self.wall)();
        let before = if self.options.alone { EVER } else { now.0.saturating_sub(ABANDONED_MILLIS) };
        match self.notifier.abandon(Millis(before), now).await {
            Ok(_) => true,
            Err(error) => {
                self.trouble(error.into());
                false
            }
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Store(error) => {
                let fault = self.notifier.store.last_fault();
                let detail = fault.map_or_else(|| format!("{error:?}"), |fault| fault.to_string());
                self.counts.store_failed();
                if self.counts.stores.fail("store", &detail) == Turned::Bad {
                    tracing::warn!(
                        event = "push_store_failed",
                        detail,
                        "the stores of notifications do not work"
                    );
                }
                self.stores.begin();
            }
            Trouble::Provider(cause) => {
                self.counts.failed(cause);
                if self.counts.providers.fail(cause.word(), "nothing can be sent") == Turned::Bad {
                    tracing::warn!(
                        event = "push_provider_failed",
                        cause = cause.word(),
                        "notifications cannot be sent"
                    );
                }
                self.providers.begin();
            }
        }
    }

    /// One round: sessions that ended, messages, pushes, and from time to time what is old.
    async fn work(&mut self) -> Result<Fed, Trouble> {
        self.remove_devices().await?;
        let mut fed = Fed::Idle;
        if self.options.sends {
            if !self.notifier.store.any_device().await? {
                self.feed.skip();
                self.counts.backlog(0);
                return self.worked(fed).await;
            }
            let mut intake = Intake { notifier: &mut self.notifier, wall: &self.wall, failed: None };
            fed = self.feed.step(&mut intake).await;
            if let Some(error) = intake.failed {
                return Err(error.into());
            }
            self.counts.backlog(self.feed.backlog());
            self.turn().await?;
            // What ended is noted now.
            if std::mem::take(&mut self.untold) {
                self.tell_dead().await?;
            }
        }
        self.worked(fed).await
    }

    /// What comes after each round that went well.
    async fn worked(&mut self, fed: Fed) -> Result<Fed, Trouble> {
        if self.upkeep_at <= Instant::now() {
            self.upkeep().await?;
            self.upkeep_at = Instant::now() + UPKEEP;
        }
        if let Turned::Good(after) = self.counts.stores.succeed() {
            tracing::info!(
                event = "push_store_recovered",
                seconds = after.as_secs(),
                "the stores of notifications work"
            );
        }
        self.stores.end();
        Ok(fed)
    }

    async fn remove_devices(&mut self) -> Result<(), StoreError> {
        let ended: Vec<_> = {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.iter().copied().collect()
        };
        if ended.is_empty() {
            return Ok(());
        }
        self.notifier.store.remove_devices(&ended).await?;
        self.gone.extend(&ended);
        while self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
        let mut left = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().for_each(|session| {
            left.remove(session);
        });
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), Trouble> {
        let room = if self.providers.is_over() { IN_FLIGHT_MAX.saturating_sub(self.in_flight) } else { 0 };
        let now = (self.wall)();
        let mut plan = self.notifier.plan(room, now).await?;
        let mut failed = None;
        if plan.sends() > 0 {
            match self.sender.ready(plan.sends()).await {
                Ok(()) => {
                    if let Turned::Good(after) = self.counts.providers.succeed() {
                        tracing::info!(
                            event = "push_provider_recovered",
                            seconds = after.as_secs(),
                            "notifications are sent"
                        );
                    }
                    self.providers.end();
                }
                Err(cause) => {
                    failed = Some(cause);
                    plan = Plan::default();
                }
            }
        }
        for note in self.notifier.commit(plan, (self.wall)()).await? {
            self.send(note);
        }
        failed.map_or(Ok(()), |cause| Err(Trouble::Provider(cause)))
    }

    fn send(&mut self, note: PushNote) {
        self.in_flight += 1;
        self.counts.in_flight(self.in_flight);
        let (sender, ends, counts) = (Rc::clone(&self.sender), self.ends.clone(), Arc::clone(&self.counts));
        tokio::task::spawn_local(async move {
            let begun = Instant::now();
            let delivered = sender.send(&note).await;
            counts.took(begun.elapsed());
            // The bridge is there as long as its tasks are.
            let _ = ends.send(Ended { note, delivered });
        });
    }

    fn noted(&mut self, ended: &Ended) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.counts.in_flight(self.in_flight);
        let now = (self.wall)();
        self.notifier.ended(ended, now);
        self.untold |= matches!(ended.delivered, Delivered::Refused(_) | Delivered::Failed { .. });
        if let Delivered::Failed { cause: cause @ (PushCause::Credentials | PushCause::Tls), .. } =
            ended.delivered
        {
            self.trouble(Trouble::Provider(cause));
        }
    }

    /// Waits for the end of a push, a question, or the time.
    async fn wait(&mut self, time: Duration) {
        while let Ok(ended) = self.ended_pushes.try_recv() {
            self.noted(&ended);
        }
        if time.is_zero() {
            // Tasks get their turn.
            return tokio::task::yield_now().await;
        }
        if self.notifier.has_finished() {
            return tokio::task::yield_now().await;
        }
        let mut sleep = pin!(tokio::time::sleep(time));
        let woken = poll_fn(|cx| {
            if let Poll::Ready(Some(ended)) = self.ended_pushes.poll_recv(cx) {
                return Poll::Ready(Woken::Ended(Box::new(ended)));
            }
            // When nobody can ask any more there is the time left to wait for.
            if let Poll::Ready(Some(question)) = self.asked.poll_recv(cx) {
                return Poll::Ready(Woken::Asked(question));
            }
            sleep.as_mut().poll(cx).map(|()| Woken::Time)
        });
        match woken.await {
            Woken::Ended(ended) => self.noted(&ended),
            Woken::Asked(question) => self.reply(question).await,
            Woken::Time => {}
        }
    }

    async fn answer(&mut self) {
        while let Ok(question) = self.asked.try_recv() {
            self.reply(question).await;
        }
    }

    async fn reply(&mut self, question: Question) {
        let now = (self.wall)();
        let (store, stored) = (&mut self.notifier.store, |error| Asked::Store(error));
        // Whoever asked may be gone.
        match question {
            Question::Put(device, reply) => {
                let ended =
                    self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&device.session);
                let put = match ended || self.gone.contains(&device.session) {
                    true => Err(Asked::Ended),
                    false => store.put_device(&device).await.map_err(stored),
                };
                let _ = reply.send(put);
            }
            Question::Remove(session, reply) => {
                let _ = reply.send(store.remove_devices(&[session]).await.map(|_| ()).map_err(stored));
            }
            Question::Devices(user, reply) => {
                let _ = reply.send(store.devices(user).await.map_err(stored));
            }
            Question::Erase(user, reply) => {
                let _ = reply.send(store.erase(user).await.map_err(stored));
            }
            Question::Dead(limit, reply) => {
                let _ = reply.send(store.dead(false, limit).await.map_err(stored));
            }
            Question::Revive(ids, reply) => {
                let _ = reply.send(store.revive(&ids, now).await.map_err(stored));
            }
            Question::Why(user, room, seq, reply) => {
                let known = store.why(user, room, seq).await.map_err(stored);
                let active =
                    self.notifier.audience.active(&[user]).await.is_ok_and(|active| active == [true]);
                let _ = reply.send(known.map(|known| (known, active)));
            }
            Question::Trial(user, session, reply) => match store.devices(user).await {
                Err(error) => {
                    let _ = reply.send(Err(Asked::Store(error)));
                }
                Ok(devices) => match devices.into_iter().find(|device| device.session == session) {
                    None => {
                        let _ = reply.send(Ok(None));
                    }
                    Some(device) => {
                        let sender = Rc::clone(&self.sender);
                        tokio::task::spawn_local(async move {
                            let note = trial(device, now);
                            let _ = reply.send(Ok(Some(sender.send(&note).await)));
                        });
                    }
                },
            },
        }
    }

    async fn upkeep(&mut self) -> Result<(), StoreError> {
        let now = (self.wall)();
        if self.options.sends {
            let before = Millis(now.0.saturating_sub(ABANDONED_MILLIS));
            self.notifier.abandon(before, now).await?;
            self.tell_dead().await?;
        }
        let before = Millis(now.0.saturating_sub(millis(self.options.keep)));
        self.notifier.store.prune(before, self.options.keep_rows).await?;
        Ok(())
    }

    async fn tell_dead(&mut self) -> Result<(), StoreError> {
        let Some(sink) = &mut self.dead else { return Ok(()) };
        let dead = self.notifier.store.dead(true, DEAD_ROWS).await?;
        if dead.is_empty() {
            return Ok(());
        }
        let events: Vec<Event> = dead.iter().map(event_of).collect();
        if sink(&events).is_err() {
            // It comes with the next round; whoever publishes tells why it failed.
            return Ok(());
        }
        let ids: Vec<PushId> = dead.iter().map(|push| push.id).collect();
        self.notifier.store.mark_told(&ids).await
    }

    async fn finish(&mut self) {
        let until = Instant::now() + self.options.final_wait;
        while self.in_flight > 0 && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.ended_pushes.recv()).await {
                Ok(Some(ended)) => self.noted(&ended),
                _ => break,
            }
        }
        let now = (self.wall)();
        if let Err(error) = self.notifier.commit(Plan::default(), now).await {
            tracing::warn!(event = "push_store_failed", ?error, "how the last pushes ended is not known");
        }
        let _ = self.remove_devices().await;
        self.feed.finish();
    }
}

/// `notification.dead`.
fn event_of(push: &Push) -> Event {
    Event {
        topic: Topic::NotificationDead,
        subject: Subject::Room(push.room),
        seq: push.upto,
        at: push.at,
        by: UserId::NIL,
        command: lynk_domain::Key::NIL,
        body: EventBody::Dead {
            user: push.user,
            error: push.cause.word().to_owned(),
            attempts: push.attempts,
        },
    }
}

/// What a device gets when its user asks for a trial.
fn trial(device: Device, now: Millis) -> PushNote {
    let push = Push {
        id: PushId([0; 16]),
        user: device.user,
        room: RoomId::NIL,
        session: device.session,
        from: Seq(0),
        upto: Seq(0),
        message: MessageId::NIL,
        messages: 0,
        mention: false,
        state: PushState::Claimed,
        cause: PushCause::None,
        dropped: None,
        attempts: 1,
        at: now,
        next: Millis(0),
        told: false,
    };
    PushNote { push, device, badge: 0, unread: 0, request: false, trial: true }
}
