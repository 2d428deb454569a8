//! Takes back what erased users said: every room is looked through, messages are deleted as their writers could have, and rooms are left.
//!
//! Thread: `eraser`, with a runtime of its own. It asks shards in the name of the user as the server ([`Principal::eraser`]), so each delete is a
//! record of the room's journal, in order with all others: it is drained everywhere, and no replay brings a text back. All rooms are looked
//! through, not those that the user is a member of: who left a room left messages in it.
//!
//! Invariants: how far it has come is on disk after each page, so that it goes on there after a restart; whatever is done twice is done once.
//! Limits: one erasure and one command at a time, so that people notice nothing. What can fail: shards that are busy and stores that are away; it
//! waits and goes on.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::select;
use lynk_domain::{Key, Millis, RoomId, Seq, UserId, uuid_v7};
use lynk_engine::Principal;
use lynk_model::account::Erasure;
use lynk_protocol::{ErrorCode, Reject};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};

use super::counts::AccountCounts;
use super::desk::Desk;
use super::erase::ROOMS_MILLIS_MAX;
use super::{Avatars, Blocks, Notices};
use crate::{Clock, Shards};

/// After the end of its sessions an account's last commands have come to their rooms.
const SETTLE_MILLIS: u64 = 2_000;
/// Messages that one command looks at.
const HISTORY_PAGE: u32 = 500;
/// Rooms that are asked for at a time.
const ROOMS_PAGE: u32 = 100;
/// Life of the permission of one command.
const COMMAND_MILLIS: u64 = 60_000;
/// Pause when there is nothing to do; a new erasure ends it.
const IDLE: Duration = Duration::from_secs(60);
/// Pause when something was not possible, and nobody said for how long.
const RETRY: Duration = Duration::from_secs(1);
/// Erasures that are tried one after the other while none can go on.
const TRIES_MAX: usize = 16;
/// Names are looked through so often.
const NAMES_MILLIS: u64 = 60 * 60 * 1_000;
/// All of a room.
const WHOLE: Seq = Seq(u64::MAX);

/// What the thread works with.
pub(super) struct Means {
    pub(super) desk: Desk,
    pub(super) shards: Shards,
    pub(super) blocks: Arc<dyn Blocks>,
    pub(super) avatars: Arc<dyn Avatars>,
    pub(super) notices: Option<Arc<dyn Notices>>,
    pub(super) counts: Arc<AccountCounts>,
    pub(super) clock: Clock,
}

/// Tells the thread that there is something to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Wake(Arc<Notify>);

impl Wake {
    pub(super) fn wake(&self) {
        self.0.notify_one();
    }
}

/// The thread.
#[derive(Debug)]
pub(super) struct Eraser {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Eraser {
    /// Starts it.
    ///
    /// # Errors
    /// No thread, or no runtime.
    pub(super) fn start(means: Means, wake: Wake) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name("eraser".to_owned()).spawn(move || {
            let mut stopped = stopped;
            runtime.block_on(async {
                let (work, end) = (pin!(means.work(&wake)), pin!(stopped.changed()));
                select(work, end).await;
            });
            // A read of a store that does not answer is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it, wherever it is: it goes on there after the next start.
    pub(super) fn finish(self) {
        let _ = self.stop.send(true);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Why it cannot go on for now.
struct Later(Duration);

impl From<Reject> for Later {
    fn from(reject: Reject) -> Self {
        let told = reject.retry_after_millis.map(|millis| Duration::from_millis(millis.into()));
        Self(told.unwrap_or(RETRY).max(Duration::from_millis(50)))
    }
}

impl Means {
    async fn work(&self, wake: &Wake) {
        let mut names_due = Millis(0);
        loop {
            let wall = (self.clock)().wall;
            if wall >= names_due {
                names_due = Millis(wall.0.saturating_add(NAMES_MILLIS));
                self.forget_names().await;
            }
            let pause = match self.round().await {
                Ok(None) => IDLE,
                Ok(Some(pause)) => pause,
                Err(Later(pause)) => pause,
            };
            let _woken = tokio::time::timeout(pause, wake.0.notified()).await;
        }
    }

    async fn forget_names(&self) {
        let now = (self.clock)();
        // What fails now is done an hour later.
        while self.desk.ask(move |desk| desk.forget_names(now)).await.is_ok_and(|forgotten| forgotten > 0) {}
    }

    /// Carries out the oldest erasure that can be. When to look again; `None` when there is nothing to do.
    async fn round(&self) -> Result<Option<Duration>, Later> {
        let waiting = self.desk.ask(|desk| desk.erasures(1_000)).await?;
        self.counts.erasing(waiting.len() as u64);
        let mut late = None;
        for erasure in waiting.iter().take(TRIES_MAX) {
            let age = (self.clock)().wall.0.saturating_sub(erasure.begun.0);
            if age < SETTLE_MILLIS {
                let rest = Duration::from_millis(SETTLE_MILLIS - age);
                return Ok(Some(late.map_or(rest, |late| rest.min(late))));
            }
            if age > ROOMS_MILLIS_MAX {
                tracing::warn!(event = "erasure_late", user = %erasure.user, "an erasure takes longer than receipts promise");
            }
            match self.erase(erasure).await {
                Ok(()) => return Ok(Some(Duration::ZERO)),
                // One that cannot go on, because of something damaged, holds up no other.
                Err(Later(pause)) => late = Some(late.map_or(pause, |late: Duration| late.min(pause))),
            }
        }
        Ok(late)
    }

    async fn erase(&self, erasure: &Erasure) -> Result<(), Later> {
        let user = erasure.user;
        self.avatars.end(user).await?;
        self.withdraw(user).await?;
        let mut after = erasure.room;
        if !after.is_nil() && erasure.seq != WHOLE {
            self.room(user, after, erasure.seq).await?;
        }
        loop {
            let rooms = self.blocks.rooms(after, ROOMS_PAGE).await?;
            let Some(last) = rooms.last().copied() else { break };
            for room in rooms {
                self.room(user, room, Seq(0)).await?;
            }
            after = last;
        }
        self.blocks.forget_requests(user).await?;
        // What was under way at the beginning may have ended since.
        self.withdraw(user).await?;
        self.avatars.end(user).await?;
        if let Some(notices) = &self.notices {
            notices.forget(user).await?;
        }
        let now = (self.clock)().wall;
        self.desk.ask(move |desk| desk.advance_erasure(user, after, WHOLE, Some(now))).await?;
        tracing::info!(event = "erasure_done", %user, "what an erased account said is taken back");
        Ok(())
    }

    /// Takes back whom the user blocks and what it asked of rooms.
    async fn withdraw(&self, user: UserId) -> Result<(), Later> {
        for blocked in self.blocks.by(user).await? {
            let key = self.key();
            self.may_be_refused(user, json!({"op": "unblock", "user": blocked.to_string(), "key": key}))
                .await?;
        }
        let mut command = json!({"op": "my_requests"});
        while let Some(page) = self.may_be_refused(user, command).await? {
            for request in page["requests"].as_array().into_iter().flatten() {
                let key = self.key();
                let withdraw = json!({"op": "withdraw_request", "room": request["room"], "key": key});
                self.may_be_refused(user, withdraw).await?;
            }
            let Some(next) = page["next"].as_str() else { break };
            command = json!({"op": "my_requests", "after": next});
        }
        Ok(())
    }

    /// Takes back what the user said in a room, and leaves it.
    async fn room(&self, user: UserId, room: RoomId, mut after: Seq) -> Result<(), Later> {
        loop {
            let command =
                json!({"op": "history", "room": room.to_string(), "after": after.0, "limit": HISTORY_PAGE});
            let Some(page) = self.may_be_refused(user, command).await? else { break };
            let own = user.to_string();
            let stands = |event: &&Value| {
                event["ev"] == "message" && event["from"] == own.as_str() && event["deleted"].is_null()
            };
            for event in page["events"].as_array().into_iter().flatten().filter(stands) {
                let (key, room) = (self.key(), room.to_string());
                let delete = json!({"op": "delete", "room": room, "seq": event["seq"], "key": key});
                if self.may_be_refused(user, delete).await?.is_some() {
                    self.counts.erased();
                }
            }
            let reached = page["covers"]["to"].as_u64().map(Seq).filter(|to| *to > after);
            let (true, Some(to)) = (page["more"] == true, reached) else { break };
            after = to;
            self.desk.ask(move |desk| desk.advance_erasure(user, room, to, None)).await?;
        }
        self.leave(user, room).await?;
        Ok(self.desk.ask(move |desk| desk.advance_erasure(user, room, WHOLE, None)).await?)
    }

    /// Leaves a room, if the user is in it. The last owner hands it to whoever may do most there.
    async fn leave(&self, user: UserId, room: RoomId) -> Result<(), Later> {
        let room = room.to_string();
        for _ in 0..2 {
            let leave = json!({"op": "leave", "room": room, "key": self.key()});
            match self.ask(user, leave).await {
                Err(reject) if reject.code == ErrorCode::LastOwner => {}
                // Not in it, or a conversation of two, which nobody leaves.
                Err(reject) if !is_passing(reject.code) => return Ok(()),
                other => return Ok(other.map(drop)?),
            }
            let members = json!({"op": "members", "room": room, "limit": HISTORY_PAGE});
            let Some(page) = self.may_be_refused(user, members).await? else { return Ok(()) };
            let Some(heir) = heir(&page, user) else { return Ok(()) };
            let transfer = json!({"op": "transfer", "room": room, "user": heir, "key": self.key()});
            self.may_be_refused(user, transfer).await?;
        }
        Ok(())
    }

    /// The answer to a command; `None` when it is refused for good, because what it is about is not there, or is so already.
    async fn may_be_refused(&self, user: UserId, command: Value) -> Result<Option<Value>, Later> {
        match self.ask(user, command).await {
            Ok(answer) => Ok(Some(answer)),
            Err(reject) if is_passing(reject.code) => Err(reject.into()),
            Err(_) => Ok(None),
        }
    }

    async fn ask(&self, user: UserId, command: Value) -> Result<Value, Reject> {
        let fields: Map<String, Value> = command.as_object().cloned().unwrap_or_default();
        let expires = Millis((self.clock)().wall.0.saturating_add(COMMAND_MILLIS));
        let frame = self.shards.ask(Principal::eraser(user), expires, fields).await?;
        serde_json::from_slice(frame.payload()).map_err(|_| ErrorCode::Internal.into())
    }

    fn key(&self) -> String {
        let mut random = [0; 10];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        Key(uuid_v7((self.clock)().wall.0, random)).to_string()
    }
}

/// Whether a refusal passes by itself.
fn is_passing(code: ErrorCode) -> bool {
    code.retryable() || matches!(code, ErrorCode::Internal | ErrorCode::ClockSkew | ErrorCode::KeyExpired)
}

/// Who of a page of members gets the room: the highest role, of these the first.
fn heir(page: &Value, user: UserId) -> Option<String> {
    let own = user.to_string();
    let rank = |role: &Value| match role.as_str() {
        Some("owner") => 3,
        Some("admin") => 2,
        Some("moderator") => 1,
        _ => 0,
    };
    let members = page["members"].as_array()?.iter().filter(|one| one["user"] != own.as_str());
    // Of equal ones the last would be taken.
    let best = members.rev().max_by_key(|one| rank(&one["role"]))?;
    best["user"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_role_inherits_a_room_and_of_equal_ones_the_first() {
        let user = UserId([1; 16]);
        let of = |members: &[(&str, &str)]| {
            let members: Vec<_> =
                members.iter().map(|(user, role)| json!({"user": user, "role": role})).collect();
            heir(&json!({ "members": members }), user)
        };
        let own = user.to_string();
        assert_eq!(of(&[(&own, "owner")]), None);
        let some = [("a", "member"), ("b", "moderator"), (&*own, "owner"), ("c", "moderator")];
        assert_eq!(of(&some).as_deref(), Some("b"));
        assert_eq!(of(&[("a", "member"), ("b", "admin")]).as_deref(), Some("b"));
    }
}
