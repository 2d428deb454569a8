//! The users that hash to this shard: which connections each has, who watches each, and the networks that hash here.
//!
//! Thread: the shard. **Presence is a lease**: a user is online while one of the listed connections lives, and a
//! connection leaves the list when its home shard says so. Nothing is broadcast on connect; only watchers are told.
//!
//! **Who may know.** Whoever shares a room with the user and stands across no block, in either direction, unless the user hides
//! it from everybody; to others the user is always offline. The store knows, and until it has said so nothing is told. Mail that something changed says
//! only that it is to be asked again, so it may come late and in any order.
//!
//! Limits: [`RELATIONS_IN_FLIGHT_MAX`] questions to the store; connections of an account; [`ANNOUNCE_MAX`] presence mails per call; one change a second per user;
//! watchers are bounded by the watch limit of their connections; those of the mirror are in `mirror`.

mod mirror;
mod network;
mod requests;
mod watch;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use lynk_domain::{FixedMap, IpPrefix, Nanos, SessionId, ShardId, UserId, fixed_map, shard_of_user};
use lynk_model::{RequestId, StoreReply, StoreRequest};
use lynk_protocol::Frame;
use smallvec::SmallVec;

use crate::EngineConfig;
use crate::context::Context;
use crate::mail::{ConnectionRef, Mail, Principal};
use crate::slab::Slab;
use mirror::Mirror;
use network::Networks;
use requests::Requests;
use watch::Watch;

/// Presence mails in one call at most; the rest follows at once, with other input between.
const ANNOUNCE_MAX: usize = 128;
/// Least time between two changes of a user's presence that watchers are told.
const CHANGE_NANOS: u64 = Nanos::SECOND;
/// Time after which nothing that a connection did before it left is told any more: positions are told within a second.
const LEFT_NANOS: u64 = 5 * Nanos::SECOND;
/// Time until what could not be read is asked for again.
const RELATIONS_RETRY: u64 = Nanos::SECOND;
/// Questions of this part at the store, so that rooms and commands find it free: one may take it some ten milliseconds.
const RELATIONS_IN_FLIGHT_MAX: usize = 8;
/// Users that wait for a place among them; further ones are looked at again after [`RELATIONS_RETRY`].
const QUEUE_MAX: usize = 4_096;
/// Watchers that one question names.
const RELATIONS_MAX: usize = 128;

/// One user who is online or watched.
struct User {
    user: UserId,
    connections: SmallVec<[ConnectionRef; 2]>,
    watch: Option<Box<Watch>>,
    /// HTTP requests of the last seconds.
    requests: Option<Box<Requests>>,
    /// Commands per second that each connection was told it may use.
    share: u32,
    /// When a connection left.
    left: Nanos,
}

impl User {
    /// What shares the account's rate: each connection, and all HTTP requests as one more.
    fn sources(&self) -> usize {
        self.connections.len() + usize::from(self.requests.is_some())
    }
}

const _: () = assert!(size_of::<User>() <= 80, "there is one per user online");

/// The user part of a shard.
pub(crate) struct Users {
    shard: ShardId,
    by_user: FixedMap<UserId, u32>,
    slab: Slab<User>,
    /// When a user's watchers are looked at.
    timers: BinaryHeap<Reverse<(Nanos, UserId)>>,
    /// Whose watchers a store request asks about.
    requests: FixedMap<RequestId, UserId>,
    /// Whose watchers wait for a question to come back; each user once.
    queue: VecDeque<UserId>,
    /// Users with HTTP requests, by when that is looked at.
    requesting: VecDeque<(Nanos, UserId)>,
    networks: Networks,
    mirror: Mirror,
}

impl Users {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            shard: config.shard,
            by_user: fixed_map(config.seed),
            slab: Slab::new(),
            timers: BinaryHeap::new(),
            requests: fixed_map(config.seed),
            queue: VecDeque::new(),
            requesting: VecDeque::new(),
            networks: Networks::new(config.seed),
            mirror: Mirror::new(config),
        }
    }

    /// Mail for this part.
    pub(crate) fn mail(&mut self, cx: &mut Context<'_>, mail: Mail) {
        match mail {
            Mail::SignedIn { connection, principal } => self.signed_in(cx, connection, principal),
            Mail::SignedOut { connection, principal } => self.signed_out(cx, connection, principal),
            Mail::Watch { from, watcher, users, on, number } => {
                for user in users {
                    if on {
                        self.watch(cx, from, watcher, user, number);
                    } else {
                        self.unwatch(from, user, number);
                    }
                }
            }
            Mail::BlockChanged { by, user } => {
                for (side, other) in [(by, user), (user, by)] {
                    if shard_of_user(side, cx.shared.config.shard_count) == self.shard {
                        self.relation_changed(cx, side, Some(other));
                    }
                }
            }
            Mail::Notice { user, frame, except, rooms } => self.notice(cx, user, &frame, except, rooms),
            Mail::Hint { user, frame } => self.hint(cx, user, &frame),
            Mail::Notices { users, frame, except } => {
                users.iter().for_each(|user| self.notice(cx, *user, &frame, except, true));
            }
            Mail::IpAcquire { connection, ip } => self.network_acquired(cx, connection, ip),
            Mail::IpRelease { ip } => self.networks.release(cx.now.mono, ip),
            other => unreachable!("{other:?} is not for users"),
        }
    }

    /// A mailbox refused mail that this part posted.
    pub(crate) fn mail_refused(&mut self, cx: &mut Context<'_>, to: ShardId, mail: Mail) {
        match mail {
            // Forget that it was told: the next look at this user's watchers tells it, as it is then.
            Mail::Presence { to, user, .. } => {
                if let Some(watch) = self.watch_mut(user) {
                    watch.untell(to);
                    self.look_at(user, cx.now.mono.after(CHANGE_NANOS));
                }
            }
            // A refusal must arrive; a share that changed is told again at the next change.
            Mail::Admitted { admitted: false, .. }
            | Mail::Noticed { rooms: true, .. }
            | Mail::Revoked { .. } => cx.shared.kept.keep(cx.now.mono, to, mail),
            Mail::Admitted { .. } | Mail::Noticed { .. } | Mail::IpRefused { .. } => {
                cx.shared.counters.shed += 1;
            }
            other => unreachable!("{other:?} is not posted by users"),
        }
    }

    /// Users whose watchers wait for news.
    pub(crate) fn deadline(&mut self, cx: &mut Context<'_>) {
        self.forget_requests(cx);
        self.mirror_again(cx);
        let mut left = ANNOUNCE_MAX;
        while let Some(Reverse((at, user))) = self.timers.peek().copied() {
            if at > cx.now.mono {
                break;
            }
            if left == 0 {
                cx.fx.more = true;
                break;
            }
            self.timers.pop();
            let Some(watch) = self.watch_mut(user).filter(|watch| watch.look_at == Some(at)) else {
                continue;
            };
            watch.look_at = None;
            // A look that tells nothing counts too: many users may be due at once.
            left -= self.tell_watchers(cx, user, left).max(1);
        }
    }

    /// When [`Self::deadline`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let requests = self.requesting.front().map(|(at, _)| *at);
        let timers = self.timers.peek().map(|Reverse((at, _))| *at);
        [timers, requests, self.mirror.next_deadline()].into_iter().flatten().min()
    }

    /// Users that are online or watched.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    fn signed_in(&mut self, cx: &mut Context<'_>, connection: ConnectionRef, principal: Principal) {
        let limits = &cx.shared.config.limits;
        let (max, rate) =
            (limits.connections_per_account_max as usize, limits.commands_per_account_per_second);
        // The home shard may have let it in before it heard that the session is over.
        if cx.shared.revoked.has(principal.session) {
            cx.post(connection.shard, Mail::Revoked { to: connection, session: principal.session });
            return;
        }
        let index = self.entry(principal.user);
        let user = &mut self.slab[index];
        if user.connections.len() >= max {
            cx.post(connection.shard, Mail::Admitted { connection, admitted: false, share: 0 });
            self.trim(principal.user);
            return;
        }
        user.connections.push(connection);
        if user.connections.len() == 1 {
            self.mirror.changed(cx, principal.user, true);
        }
        let share = share_of(rate, user.sources());
        if share == user.share {
            cx.post(connection.shard, Mail::Admitted { connection, admitted: true, share });
        } else {
            user.share = share;
            tell_share(cx, user);
        }
        self.changed(cx, principal.user);
    }

    fn signed_out(&mut self, cx: &mut Context<'_>, connection: ConnectionRef, principal: Principal) {
        let rate = cx.shared.config.limits.commands_per_account_per_second;
        let Some(index) = self.by_user.get(&principal.user).copied() else { return };
        let user = &mut self.slab[index];
        let Some(at) = user.connections.iter().position(|listed| *listed == connection) else { return };
        user.connections.remove(at);
        user.left = cx.now.mono;
        if user.connections.is_empty() {
            self.mirror.changed(cx, principal.user, false);
        }
        let share = share_of(rate, user.sources());
        if share != user.share {
            user.share = share;
            tell_share(cx, user);
        }
        self.changed(cx, principal.user);
        self.trim(principal.user);
    }

    /// Plans to tell a user's watchers, at once or when a second has passed since the last time.
    fn changed(&mut self, cx: &mut Context<'_>, user: UserId) {
        let now = cx.now.mono;
        let Some(watch) = self.watch_mut(user) else { return };
        let at = watch.told_at.map_or(now, |at| at.after(CHANGE_NANOS));
        if at <= now && watch.look_at.is_none() {
            self.tell_watchers(cx, user, ANNOUNCE_MAX);
        } else {
            self.look_at(user, at.max(now));
        }
    }

    fn look_at(&mut self, user: UserId, at: Nanos) {
        let Some(watch) = self.watch_mut(user) else { return };
        if watch.look_at.is_none_or(|planned| planned > at) {
            watch.look_at = Some(at);
            self.timers.push(Reverse((at, user)));
        }
    }

    /// Tells the next watchers, at most `max`, what is true for them, when it is not what they were told. Returns how many.
    fn tell_watchers(&mut self, cx: &mut Context<'_>, user: UserId, max: usize) -> usize {
        let Some(index) = self.by_user.get(&user).copied() else { return 0 };
        let entry = &mut self.slab[index];
        let online = !entry.connections.is_empty();
        let Some(watch) = entry.watch.as_mut() else { return 0 };
        watch.told_at = Some(cx.now.mono);
        let mut told = 0;
        let more = watch.tell(online, max, |to, online| {
            told += 1;
            cx.post(to.shard, Mail::Presence { to, user, online });
        });
        if more {
            self.look_at(user, cx.now.mono);
        }
        self.ask_relations(cx, user);
        told
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnectionRef,
        watcher: UserId,
        user: UserId,
        number: u32,
    ) {
        let index = self.entry(user);
        let entry = &mut self.slab[index];
        let online = !entry.connections.is_empty();
        let watch = entry.watch.get_or_insert_with(|| Box::new(Watch::new(user)));
        watch.add(from, watcher, number);
        if let Some(online) = watch.tell_one(from, online) {
            cx.post(from.shard, Mail::Presence { to: from, user, online });
        }
        self.ask_relations(cx, user);
    }

    fn unwatch(&mut self, from: ConnectionRef, user: UserId, number: u32) {
        if let Some(watch) = self.watch_mut(user) {
            watch.remove(from, number);
        }
        self.trim(user);
    }

    /// Asks the store which of a user's watchers may see it, as far as that is not known. One question per user at a time.
    fn ask_relations(&mut self, cx: &mut Context<'_>, user: UserId) {
        let full = self.requests.len() >= RELATIONS_IN_FLIGHT_MAX;
        let queue_full = self.queue.len() >= QUEUE_MAX;
        let Some(watch) = self.watch_mut(user).filter(|watch| watch.must_ask()) else { return };
        if full && queue_full {
            self.look_at(user, cx.now.mono.after(RELATIONS_RETRY));
            return;
        }
        if full {
            if !std::mem::replace(&mut watch.queued, true) {
                self.queue.push_back(user);
            }
            return;
        }
        if !cx.may_request() {
            self.look_at(user, cx.now.mono.after(RELATIONS_RETRY));
            return;
        }
        let others = watch.ask(RELATIONS_MAX);
        let request = cx.request(StoreRequest::Relations { user, others });
        watch.asked = Some(request);
        self.requests.insert(request, user);
    }

    /// A store answered; gives the reply back when it is not for this part.
    pub(crate) fn store_reply(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        reply: StoreReply,
    ) -> Result<(), StoreReply> {
        let Some(user) = self.requests.remove(&id) else { return Err(reply) };
        self.relations_told(cx, id, user, reply);
        while self.requests.len() < RELATIONS_IN_FLIGHT_MAX
            && let Some(next) = self.queue.pop_front()
        {
            if let Some(watch) = self.watch_mut(next) {
                watch.queued = false;
            }
            self.ask_relations(cx, next);
        }
        Ok(())
    }

    fn relations_told(&mut self, cx: &mut Context<'_>, id: RequestId, user: UserId, reply: StoreReply) {
        // The user may have been forgotten and watched again meanwhile: that is another question.
        let Some(watch) = self.watch_mut(user).filter(|watch| watch.asked == Some(id)) else { return };
        watch.asked = None;
        match reply {
            StoreReply::Relations(seen) => {
                watch.answered(&seen);
                self.tell_watchers(cx, user, ANNOUNCE_MAX);
            }
            StoreReply::Failed(_) => {
                watch.unanswered();
                cx.shared.counters.store_failures += 1;
                self.look_at(user, cx.now.mono.after(RELATIONS_RETRY));
            }
            other => unreachable!("{other:?} does not answer a question for relations"),
        }
    }

    /// A user hides, or no longer does: the store is asked again about all watchers.
    pub(crate) fn presence_changed(&mut self, cx: &mut Context<'_>, user: UserId) {
        self.relation_changed(cx, user, None);
    }

    /// Something between a user and `other`, or all watchers, is not as it was.
    fn relation_changed(&mut self, cx: &mut Context<'_>, user: UserId, other: Option<UserId>) {
        let Some(watch) = self.watch_mut(user) else { return };
        watch.invalidate(other);
        self.ask_relations(cx, user);
    }

    /// Tells a user's connections. One that is in other `rooms` than before shares others with its watchers, and with those
    /// whom it watches.
    fn notice(
        &mut self,
        cx: &mut Context<'_>,
        user: UserId,
        frame: &Arc<Frame>,
        except: Option<ConnectionRef>,
        rooms: bool,
    ) {
        if rooms {
            self.relation_changed(cx, user, None);
        }
        let Some(index) = self.by_user.get(&user).copied() else { return };
        let entry = &self.slab[index];
        let alone = entry.sources() == 1 && cx.now.mono.since(entry.left) > LEFT_NANOS;
        if !rooms && alone {
            // The only one did it itself.
            return;
        }
        for to in entry.connections.iter().copied() {
            let frame = (except != Some(to)).then(|| Arc::clone(frame));
            cx.post(to.shard, Mail::Noticed { to, frame, rooms });
        }
    }

    /// Tells all connections of a user what somebody else did.
    fn hint(&mut self, cx: &mut Context<'_>, user: UserId, frame: &Arc<Frame>) {
        let Some(index) = self.by_user.get(&user).copied() else { return };
        for to in self.slab[index].connections.iter().copied() {
            cx.post(to.shard, Mail::Noticed { to, frame: Some(Arc::clone(frame)), rooms: false });
        }
    }

    /// A session of a user of this shard is over; nothing happens for users of others.
    pub(crate) fn revoke(&mut self, cx: &mut Context<'_>, user: UserId, session: SessionId) {
        let Some(index) = self.by_user.get(&user).copied() else { return };
        for connection in &self.slab[index].connections {
            cx.post(connection.shard, Mail::Revoked { to: *connection, session });
        }
    }

    fn network_acquired(&mut self, cx: &mut Context<'_>, connection: ConnectionRef, ip: IpPrefix) {
        let limits = &cx.shared.config.limits;
        let (max, rate) = (limits.connections_per_ip_max, limits.connects_per_ip_per_second);
        if !self.networks.acquire(cx.now.mono, ip, max, rate) {
            cx.post(connection.shard, Mail::IpRefused { connection });
        }
    }

    fn entry(&mut self, user: UserId) -> u32 {
        if let Some(index) = self.by_user.get(&user) {
            return *index;
        }
        let index = self.slab.insert(User {
            user,
            connections: SmallVec::new(),
            watch: None,
            requests: None,
            share: 0,
            left: Nanos(0),
        });
        self.by_user.insert(user, index);
        index
    }

    fn watch_mut(&mut self, user: UserId) -> Option<&mut Watch> {
        let index = *self.by_user.get(&user)?;
        self.slab.get_mut(index)?.watch.as_deref_mut()
    }

    /// Forgets a user who is neither online nor watched.
    fn trim(&mut self, user: UserId) {
        let Some(index) = self.by_user.get(&user).copied() else { return };
        let entry = &mut self.slab[index];
        debug_assert_eq!(entry.user, user, "the map points at the user's own entry");
        if entry.watch.as_ref().is_some_and(|watch| watch.is_empty()) {
            entry.watch = None;
        }
        if entry.connections.is_empty() && entry.watch.is_none() && entry.requests.is_none() {
            self.by_user.remove(&user);
            self.slab.remove(index);
        }
    }
}

/// What of an account's rate each of `sources` may use; 0 for no limit.
fn share_of(rate: u32, sources: usize) -> u32 {
    if rate == 0 {
        return 0;
    }
    (rate / u32::try_from(sources.max(1)).unwrap_or(u32::MAX)).max(1)
}

fn tell_share(cx: &mut Context<'_>, user: &User) {
    for connection in &user.connections {
        let mail = Mail::Admitted { connection: *connection, admitted: true, share: user.share };
        cx.post(connection.shard, mail);
    }
}

#[cfg(test)]
mod tests;
