//! The mailboxes between the bridge and the shards: sockets and answers in, commands out.
//!
//! Thread: [`Shards`] may be used from any task, mostly those of the bridge's thread; [`Intake`] belongs to the thread.
//!
//! Invariants: a command that was posted is answered by the engine once; whoever waited is told that answer or, after
//! [`COMMAND_TIME`], that the outcome is unknown. A slot is used again as soon as nobody waits for its answer, because an answer
//! carries the number of its command.
//!
//! Limits: [`lynk_engine::API_SLOTS_MAX`] commands per shard and [`COMMANDS_PER_USER_MAX`] per user without an answer; further
//! ones are refused as busy. Ends of sessions wait here while a mailbox is full, and are never dropped.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lynk_bridge::{Handover, Wake};
use lynk_domain::{Millis, SessionId, UserId, shard_of_user};
use lynk_engine::{
    API_ANSWERS_MAX, API_SLOTS_MAX, ApiInput, ApiOutput, Principal, Revoked, Slot, Standing, TicketAsk,
    TicketOutcome,
};
use lynk_mailbox::{Consumer, Doorbell, Producer, Sleeper, channel, sleeper};
use lynk_protocol::{ErrorCode, Frame};
use rustix::event::{EventfdFlags, eventfd};
use serde_json::{Map, Value};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use crate::Redeeming;
use crate::counts::Counts;
use crate::error::ApiError;

/// Time that a command has. The engine answers within about ten seconds whatever is away.
const COMMAND_TIME: Duration = Duration::from_secs(15);
/// Commands of one user without an answer, at most: as for one connection.
const COMMANDS_PER_USER_MAX: u32 = 32;
/// What a client is told to wait when there is no room.
const BUSY_RETRY_MILLIS: u32 = 100;
/// Sockets that one shard may have handed over before the bridge has looked.
const SOCKETS_MAX: usize = 256;
/// Inputs of one shard that it has not taken.
const INPUTS_MAX: usize = 2_048;
/// Time between two attempts to post what found a mailbox full.
const RETRY_TIME: Duration = Duration::from_millis(5);
/// Items taken from one mailbox before the others get their turn.
const TURN_ITEMS: usize = 256;

/// What a shard holds of the bridge. The fields are open so that a reactor can hold them in its own form.
pub struct ShardPort {
    /// Sockets with requests.
    pub sockets: Producer<Handover>,
    /// Answers to commands, and tickets.
    pub answers: Producer<ApiOutput>,
    /// What the bridge says.
    pub inputs: Consumer<ApiInput>,
    /// The bridge's doorbell, to be rung with `wake` after a batch.
    pub bell: Doorbell,
    /// Wakes the bridge.
    pub wake: Wake,
}

/// The bridge's end of one shard's mailboxes.
struct Desk {
    inputs: Producer<ApiInput>,
    /// Ends of sessions and tickets that found the mailbox full, in order.
    waiting: VecDeque<ApiInput>,
    /// Commands under way, by API slot.
    slots: Vec<Option<Command>>,
    free: Vec<u32>,
    by_user: HashMap<UserId, u32>,
    wake: Wake,
}

struct Command {
    number: u64,
    user: UserId,
    answer: oneshot::Sender<Arc<Frame>>,
}

impl Desk {
    /// Posts what must arrive, now or later.
    fn post(&mut self, input: ApiInput) {
        self.waiting.push_back(input);
        self.post_waiting();
    }

    /// Posts what waits, as far as there is room; whether nothing waits any more.
    fn post_waiting(&mut self) -> bool {
        let mut posted = false;
        while let Some(input) = self.waiting.pop_front() {
            if let Err(input) = self.inputs.try_post(input) {
                self.waiting.push_front(input);
                break;
            }
            posted = true;
        }
        if posted {
            (self.wake)();
        }
        self.waiting.is_empty()
    }

    /// Frees a slot of the command with this number, if it still has it.
    fn end(&mut self, slot: u32, number: u64) -> Option<Command> {
        let command = self.slots[slot as usize].take_if(|command| command.number == number)?;
        self.free.push(slot);
        if let Some(count) = self.by_user.get_mut(&command.user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&command.user);
            }
        }
        Some(command)
    }
}

struct Inner {
    desks: Vec<Mutex<Desk>>,
    last: AtomicU64,
    revoked: Mutex<Revoked>,
    counts: Arc<Counts>,
    event: Arc<OwnedFd>,
    /// Something waits for room in a mailbox.
    waiting: AtomicBool,
}

/// The shards as operations see them. Clones are the same.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frees the slot when nobody waits for its answer any more, whatever the reason.
struct Waiting<'a> {
    shards: &'a Inner,
    shard: usize,
    slot: u32,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.shards.desks[self.shard]).end(self.slot, self.number);
        self.shards.counts.commands_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shards {
    /// Gives a command to the shard of its user and waits for the answer, which is a success.
    ///
    /// # Errors
    /// What the engine refused it with; or there is no room, or no answer came in time.
    pub async fn ask(
        &self,
        principal: Principal,
        expires: Millis,
        mut command: Map<String, Value>,
    ) -> Result<Arc<Frame>, ApiError> {
        let number = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        command.insert("id".to_owned(), number.into());
        let text = Value::Object(command).to_string().into_boxed_str();
        let (waiting, answer) = self.begin(number, principal, expires, text)?;
        let answer = tokio::time::timeout(COMMAND_TIME, answer).await;
        drop(waiting);
        let Ok(Ok(frame)) = answer else {
            self.0.counts.commands_late.fetch_add(1, Ordering::Relaxed);
            return Err(ErrorCode::Unknown.into());
        };
        match ApiError::decode(frame.payload()) {
            Some(error) if frame.payload().starts_with(br#"{"ev":"error""#) => Err(error),
            _ => Ok(frame),
        }
    }

    fn begin(
        &self,
        number: u64,
        principal: Principal,
        expires: Millis,
        text: Box<str>,
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Arc<Frame>>), ApiError> {
        let busy = || ApiError::after(ErrorCode::Busy, BUSY_RETRY_MILLIS);
        let shard_count = u16::try_from(self.0.desks.len()).unwrap_or(u16::MAX);
        let shard = shard_of_user(principal.user, shard_count).index();
        let desk = &mut *lock(&self.0.desks[shard]);
        let commands = desk.by_user.get(&principal.user).copied().unwrap_or(0);
        if commands >= COMMANDS_PER_USER_MAX {
            return Err(ApiError::after(ErrorCode::RateLimited, BUSY_RETRY_MILLIS));
        }
        let slot = desk.free.last().copied().ok_or_else(busy)?;
        let input = ApiInput::Command { slot: Slot::api(slot), principal, expires, text };
        // What waits came first: a command must not overtake the end of its own session.
        if !desk.waiting.is_empty() || desk.inputs.try_post(input).is_err() {
            return Err(busy());
        }
        (desk.wake)();
        desk.free.pop();
        desk.by_user.insert(principal.user, commands + 1);
        let (sender, answer) = oneshot::channel();
        desk.slots[slot as usize] = Some(Command { number, user: principal.user, answer: sender });
        self.0.counts.commands.fetch_add(1, Ordering::Relaxed);
        self.0.counts.commands_in_flight.fetch_add(1, Ordering::Relaxed);
        Ok((Waiting { shards: &self.0, shard, slot, number }, answer))
    }

    /// Ends a session before its tokens do, of which the last ends at `until`: sockets of it are closed with 4002, on every
    /// shard, and its tokens are good for nothing from now on. Does not wait.
    pub fn revoke(&self, wall: Millis, user: UserId, session: SessionId, until: Millis) {
        lock(&self.0.revoked).insert(wall, session, until);
        self.0.counts.revocations.fetch_add(1, Ordering::Relaxed);
        for desk in &self.0.desks {
            self.post(desk, ApiInput::Revoke { user, session, until });
        }
    }

    /// Tells the shard of a user that what others see of them is to be asked again. Does not wait.
    pub fn presence_changed(&self, user: UserId) {
        let shard_count = u16::try_from(self.0.desks.len()).unwrap_or(u16::MAX);
        let shard = shard_of_user(user, shard_count).index();
        self.post(&self.0.desks[shard], ApiInput::PresenceChanged { user });
    }

    /// Whether a token of `session` that ends at `expires` may be used, as far as this process knows of ends of sessions.
    ///
    /// # Errors
    /// What to answer.
    pub fn check(&self, session: SessionId, expires: Millis) -> Result<(), ApiError> {
        match lock(&self.0.revoked).standing(session, expires) {
            Standing::Good => Ok(()),
            Standing::Stale => Err(ErrorCode::TokenExpired.into()),
            Standing::Revoked => Err(ApiError::because(ErrorCode::InvalidToken, "the session was revoked")),
        }
    }

    fn post(&self, desk: &Mutex<Desk>, input: ApiInput) {
        let mut desk = lock(desk);
        desk.post(input);
        if !desk.waiting.is_empty() {
            self.0.waiting.store(true, Ordering::Release);
            // The thread looks again in a while.
            wake(&self.0.event);
        }
    }

    fn answered(&self, shard: usize, slot: Slot, frame: Arc<Frame>) {
        let Some((slot, number)) = slot.api_number().zip(number_of(frame.payload())) else { return };
        let command = lock(&self.0.desks[shard]).end(slot, number);
        if let Some(command) = command {
            // Who asked may have gone a moment ago.
            let _gone = command.answer.send(frame);
        }
    }

    /// Posts what waits; whether something still does.
    fn post_waiting(&self) -> bool {
        if !self.0.waiting.load(Ordering::Acquire) {
            return false;
        }
        let mut done = true;
        for desk in &self.0.desks {
            done &= lock(desk).post_waiting();
        }
        self.0.waiting.store(!done, Ordering::Release);
        !done
    }
}

/// The number of the command that a frame answers: every answer of the engine begins in this way.
fn number_of(answer: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(answer.get(..answer.len().min(64))?).ok()?;
    let (_, rest) = text.split_once("\",\"re\":")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

fn wake(event: &OwnedFd) {
    // The only failure is a full counter, which wakes as well.
    let _woken = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// What a shard has for the bridge.
struct Inbox {
    sockets: Consumer<Handover>,
    answers: Consumer<ApiOutput>,
}

/// The bridge's end of all mailboxes.
pub struct Intake {
    pub(crate) shards: Shards,
    inboxes: Vec<Inbox>,
    sleeper: Sleeper,
    event: Arc<OwnedFd>,
}

/// Wakes the bridge's thread for news that are in no mailbox.
#[derive(Clone)]
pub(crate) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(crate) fn ring(&self) {
        wake(&self.0);
    }
}

/// Makes the mailboxes of as many shards as there are `wakes`, which wake them. The ports come back in the same order.
/// `seed` is secret.
///
/// # Errors
/// No descriptor.
pub fn open(
    wakes: Vec<Wake>,
    seed: u64,
    counts: &Arc<Counts>,
) -> io::Result<(Intake, Shards, Vec<ShardPort>)> {
    let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sleeper, bell) = sleeper();
    let (mut ports, mut inboxes, mut desks) = (Vec::new(), Vec::new(), Vec::new());
    for wake_shard in wakes {
        let (socket_in, sockets) = channel(SOCKETS_MAX);
        let (answer_in, answers) = channel(API_ANSWERS_MAX);
        let (inputs, input_out) = channel(INPUTS_MAX);
        let own = Arc::clone(&event);
        ports.push(ShardPort {
            sockets: socket_in,
            answers: answer_in,
            inputs: input_out,
            bell: bell.clone(),
            wake: Arc::new(move || wake(&own)),
        });
        inboxes.push(Inbox { sockets, answers });
        desks.push(Mutex::new(Desk {
            inputs,
            waiting: VecDeque::new(),
            slots: (0..API_SLOTS_MAX).map(|_| None).collect(),
            free: (0..API_SLOTS_MAX).rev().collect(),
            by_user: HashMap::new(),
            wake: wake_shard,
        }));
    }
    let shards = Shards(Arc::new(Inner {
        desks,
        last: AtomicU64::new(0),
        revoked: Mutex::new(Revoked::new(seed)),
        counts: Arc::clone(counts),
        event: Arc::clone(&event),
        waiting: AtomicBool::new(false),
    }));
    Ok((Intake { shards: shards.clone(), inboxes, sleeper, event }, shards, ports))
}

/// What the intake does with what arrives.
pub(crate) trait Takes {
    /// A socket came.
    fn socket(&mut self, handover: Handover);
    /// What is a ticket good for? It is used up by that.
    fn ticket(&mut self, ticket: &str) -> Redeeming;
    /// Called each time the thread wakes; whether to end.
    fn news(&mut self) -> bool;
}

impl Intake {
    pub(crate) fn bell(&self) -> Bell {
        Bell(Arc::clone(&self.event))
    }

    /// Takes what shards post until `takes` says that it is over.
    pub(crate) async fn run(mut self, mut takes: impl Takes) -> io::Result<()> {
        let event = watch(self.event.as_fd().try_clone_to_owned()?)?;
        loop {
            let more = self.take(&mut takes);
            let waiting = self.shards.post_waiting();
            if takes.news() {
                return Ok(());
            }
            let inboxes = &mut self.inboxes;
            let has_mail =
                || inboxes.iter_mut().any(|one| !one.sockets.is_empty() || !one.answers.is_empty());
            if more || !self.sleeper.may_sleep(has_mail) {
                tokio::task::yield_now().await;
                continue;
            }
            if waiting {
                let _elapsed = tokio::time::timeout(RETRY_TIME, rung(&event)).await;
            } else {
                rung(&event).await?;
            }
            self.sleeper.wake_up();
        }
    }

    /// Takes a share of each mailbox; whether there may be more.
    fn take(&mut self, takes: &mut impl Takes) -> bool {
        let mut more = false;
        for (shard, inbox) in self.inboxes.iter_mut().enumerate() {
            let mut left = TURN_ITEMS;
            while left > 0
                && let Some(output) = inbox.answers.take()
            {
                left -= 1;
                match output {
                    ApiOutput::Answer { slot, frame } => self.shards.answered(shard, slot, frame),
                    ApiOutput::Ticket(TicketAsk { to, re, ticket }) => {
                        let (outcome, shards) = (takes.ticket(&ticket), self.shards.clone());
                        // Where it is kept may take its time; the shard ends a connection that waits for too long.
                        tokio::spawn(async move {
                            let outcome = outcome.await;
                            let good = matches!(outcome, TicketOutcome::Good { .. });
                            shards.0.counts.tickets[usize::from(!good)].fetch_add(1, Ordering::Relaxed);
                            shards.post(&shards.0.desks[shard], ApiInput::Ticket { to, re, outcome });
                        });
                    }
                }
            }
            more |= left == 0;
            let mut left = TURN_ITEMS;
            while left > 0
                && let Some(handover) = inbox.sockets.take()
            {
                left -= 1;
                takes.socket(handover);
            }
            more |= left == 0;
        }
        more
    }
}

#[expect(
    deprecated,
    reason = "its successor is an unsafe function, because a type may answer with another descriptor each time it is asked; \
              an owned descriptor does not"
)]
fn watch(event: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(event, Interest::READABLE)
}

/// Waits until somebody has written to the eventfd, and empties it.
async fn rung(event: &AsyncFd<OwnedFd>) -> io::Result<()> {
    event
        .async_io(Interest::READABLE, |fd| {
            let mut count = [0; 8];
            Ok(rustix::io::read(fd, &mut count).map(|_| ())?)
        })
        .await
}
