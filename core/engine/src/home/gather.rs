//! Questions that the store or several shards answer: `find`, `sync`, `discover`, `my_requests`, and who is in a room.
//!
//! **Who is here** means: users with a connection that is subscribed to the room now. Only a subscriber may ask, which
//! makes membership certain without asking the owner; for an HTTP request the store is asked for it. Every shard tells its subscribers' users (all of them up to
//! `presence_room_members_max`, beyond that a count of connections and a sample); users that block the asker, are
//! blocked by the asker, or hide that they are online are left out. Who hides is asked when the others are known.
//!
//! Limits: [`GATHERS_MAX`] at a time, the next is told `busy`; [`GATHER_NANOS`] each, after which the answer is made of
//! what has arrived (`sync`) or refused (`here`). Memory of a gather is bounded by its page or its sample.

mod asking;

use std::collections::VecDeque;

use lynk_domain::{FixedMap, Millis, Nanos, RoomId, Seq, ShardId, UserId, fixed_map, shard_of_room};
use lynk_model::{Membership, Personal, RequestId, RoomWish, StoreError, StoreReply, StoreRequest, Wish};
use lynk_protocol::{Done, ErrorCode, Json, Reject, encode_side};

use super::Home;
use super::command::{BUSY_RETRY_MILLIS, CREDIT_PER_SHARD_MAX};
use crate::context::Context;
use crate::io::Slot;
use crate::mail::{ConnectionRef, Mail, RoomNumbers};

/// Questions under way on one shard at most.
const GATHERS_MAX: usize = 128;
/// Time that all parts of an answer have.
const GATHER_NANOS: u64 = 5 * Nanos::SECOND;
/// Rooms of a `sync` page when the client names no number.
const SYNC_PAGE_DEFAULT: u32 = 50;
/// Rooms of a `sync` page at most.
const SYNC_PAGE_MAX: u32 = 100;
/// Users named when a room has too many to name all.
const HERE_SAMPLE: usize = 20;

/// A question under way.
struct Gather {
    to: ConnectionRef,
    re: u64,
    parts: Parts,
}

enum Parts {
    /// A room's name was asked of the store.
    Name,
    /// Public rooms, or the user's requests, were asked of the store.
    List { limit: u32 },
    /// The user's rooms were asked of the store.
    Rooms { limit: u32 },
    /// The numbers of the rooms were asked of their owners; `missing` have not answered.
    Sync { rows: Vec<(Membership, Option<RoomNumbers>)>, missing: usize, limit: u32 },
    /// Every shard and the store were asked.
    Here {
        room: RoomId,
        users: Vec<UserId>,
        count: u64,
        missing: usize,
        blocks: Option<Vec<UserId>>,
        member: Option<bool>,
        /// Who hides was asked.
        hiding: bool,
    },
}

/// All questions of a shard, by a number that is never used again.
pub(crate) struct Gathers {
    open: FixedMap<u32, Gather>,
    /// Which question a store request belongs to.
    requests: FixedMap<RequestId, u32>,
    /// By age: all have the same time.
    ages: VecDeque<(Nanos, u32)>,
    last: u32,
    searches: asking::Searches,
}

impl Gathers {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            open: fixed_map(seed),
            requests: fixed_map(seed),
            ages: VecDeque::new(),
            last: 0,
            searches: asking::Searches::new(seed),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.ages.front().map(|(at, _)| *at)
    }

    fn open(&mut self, now: Nanos, to: ConnectionRef, re: u64, parts: Parts) -> u32 {
        self.last = self.last.wrapping_add(1);
        while self.ages.front().is_some_and(|(_, gather)| !self.open.contains_key(gather)) {
            self.ages.pop_front();
        }
        self.open.insert(self.last, Gather { to, re, parts });
        self.ages.push_back((now.after(GATHER_NANOS), self.last));
        self.last
    }
}

impl Home {
    /// Counts a command that is answered later, from here. False, and refused, when there are too many.
    fn may_gather(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64) -> bool {
        if self.gathers.open.len() >= GATHERS_MAX || !cx.may_request() {
            self.refuse(cx, slot, re, &Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
            return false;
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            session.in_flight += 1;
        }
        true
    }

    /// `sync`: a page of the user's rooms with their numbers.
    pub(crate) fn sync(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        after: Option<RoomId>,
        limit: Option<u32>,
    ) {
        if !self.may_gather(cx, slot, re) {
            return;
        }
        let to = self.sessions.reference(self.shard, slot);
        let Some(user) = self.sessions.live(to).map(|s| s.principal.user) else { return };
        let limit = limit.unwrap_or(SYNC_PAGE_DEFAULT).clamp(1, SYNC_PAGE_MAX);
        let gather = self.gathers.open(cx.now.mono, to, re, Parts::Rooms { limit });
        let after = after.unwrap_or(RoomId::NIL);
        let request = cx.request(StoreRequest::Memberships { user, after, limit });
        self.gathers.requests.insert(request, gather);
    }

    /// `find`: the room of a name.
    pub(crate) fn find(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, name: &str) {
        if name.chars().count() > cx.shared.config.limits.room_name_chars_max as usize {
            self.refuse(cx, slot, re, &ErrorCode::TooLarge.into());
            return;
        }
        if name.chars().any(char::is_control) {
            // No room is called so, and not every store can be asked.
            self.refuse(cx, slot, re, &ErrorCode::RoomNotFound.into());
            return;
        }
        if !self.may_gather(cx, slot, re) {
            return;
        }
        let to = self.sessions.reference(self.shard, slot);
        let gather = self.gathers.open(cx.now.mono, to, re, Parts::Name);
        let request = cx.request(StoreRequest::FindName { name: name.to_owned() });
        self.gathers.requests.insert(request, gather);
    }

    /// The store knows a name, or does not.
    fn named(&mut self, cx: &mut Context<'_>, gather: u32, room: Option<RoomId>) {
        let Some(open) = self.gathers.open.get(&gather) else { return };
        let (to, re) = (open.to, open.re);
        let Some(room) = room else {
            return self.end_gather(cx, gather, Err(ErrorCode::RoomNotFound.into()));
        };
        self.gathers.open.remove(&gather);
        if self.sessions.live(to).is_some() {
            self.done(cx, to.slot, re, &Done { room: Some(room), ..Done::default() });
            self.answered(cx, self.shard, to);
        }
    }

    /// `presence` with a room: who of it is here.
    pub(crate) fn here(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, room: RoomId) {
        let request = slot.api_number().is_some();
        let subscribed = self
            .topics
            .find(room)
            .is_some_and(|topic| self.sessions.get(slot).is_some_and(|s| s.position_in(topic).is_some()));
        if !subscribed && !request {
            let reject = Reject::because(ErrorCode::NotAMember, "subscribe to the room first");
            self.refuse(cx, slot, re, &reject);
            return;
        }
        if !self.may_gather(cx, slot, re) {
            return;
        }
        let to = self.sessions.reference(self.shard, slot);
        let Some(user) = self.sessions.live(to).map(|s| s.principal.user) else { return };
        let missing = usize::from(cx.shared.config.shard_count);
        let member = (!request).then_some(true);
        let parts =
            Parts::Here { room, users: Vec::new(), count: 0, missing, blocks: None, member, hiding: false };
        let gather = self.gathers.open(cx.now.mono, to, re, parts);
        if request {
            let after = RoomId(u128::from_be_bytes(room.0).saturating_sub(1).to_be_bytes());
            let asked = cx.request(StoreRequest::Memberships { user, after, limit: 1 });
            self.gathers.requests.insert(asked, gather);
        }
        let asked = cx.request(StoreRequest::Blocks { user });
        self.gathers.requests.insert(asked, gather);
        for shard in 0..cx.shared.config.shard_count {
            cx.post(ShardId(shard), Mail::Here { gather, from: self.shard, room });
        }
    }

    /// Another shard asks who is here.
    pub(crate) fn here_asked(&mut self, cx: &mut Context<'_>, gather: u32, from: ShardId, room: RoomId) {
        let topic = self.topics.find(room).and_then(|topic| self.topics.get(topic));
        let subscribers = topic.map(|topic| topic.subscribers.as_slice()).unwrap_or_default();
        let all = subscribers.len() <= cx.shared.config.limits.presence_room_members_max as usize;
        let named = if all { subscribers } else { &subscribers[..HERE_SAMPLE.min(subscribers.len())] };
        let mut users: Vec<UserId> = named
            .iter()
            .filter_map(|subscriber| self.sessions.get(subscriber.slot).map(|s| s.principal.user))
            .collect();
        users.sort_unstable();
        users.dedup();
        let count = if all { users.len() } else { subscribers.len() } as u32;
        cx.post(from, Mail::HereUsers { gather, users: users.into(), count });
    }

    /// One shard's part of who is here.
    pub(crate) fn here_answered(
        &mut self,
        cx: &mut Context<'_>,
        gather: u32,
        told: &[UserId],
        told_count: u32,
    ) {
        let Some(Gather { parts: Parts::Here { users, count, missing, .. }, .. }) =
            self.gathers.open.get_mut(&gather)
        else {
            return;
        };
        users.extend_from_slice(told);
        *count += u64::from(told_count);
        *missing = missing.saturating_sub(1);
        self.finish_gather(cx, gather);
    }

    /// An owner's numbers of one room, or that it could not tell.
    pub(crate) fn peeked(
        &mut self,
        cx: &mut Context<'_>,
        gather: u32,
        room: RoomId,
        numbers: Option<RoomNumbers>,
    ) {
        let Some(Gather { parts: Parts::Sync { rows, missing, .. }, .. }) =
            self.gathers.open.get_mut(&gather)
        else {
            return;
        };
        if let Ok(at) = rows.binary_search_by_key(&room, |(row, _)| row.room) {
            rows[at].1 = numbers;
        }
        *missing = missing.saturating_sub(1);
        self.finish_gather(cx, gather);
    }

    /// A question could not be posted.
    pub(crate) fn gather_refused(&mut self, cx: &mut Context<'_>, gather: u32) {
        self.end_gather(cx, gather, Err(Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS)));
    }

    /// A store answered; gives the reply back when it is not for a question of this part.
    pub(crate) fn store_reply(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        reply: StoreReply,
    ) -> Result<(), StoreReply> {
        let Some(gather) = self.gathers.requests.remove(&id) else { return Err(reply) };
        match reply {
            StoreReply::Named(room) => self.named(cx, gather, room),
            StoreReply::Discovered(rooms) => self.discovered(cx, gather, &rooms),
            StoreReply::Requests(requests) => self.own_requests(cx, gather, &requests),
            StoreReply::Memberships(rooms) => self.memberships(cx, gather, rooms),
            StoreReply::Blocks(pairs) => {
                let Some(Gather { to, parts: Parts::Here { blocks, .. }, .. }) =
                    self.gathers.open.get_mut(&gather)
                else {
                    return Ok(());
                };
                let asker = self.sessions.live(*to).map_or(UserId::NIL, |s| s.principal.user);
                let others = pairs.iter().map(|(by, whom)| if *by == asker { *whom } else { *by });
                *blocks = Some(others.collect());
                self.finish_gather(cx, gather);
            }
            StoreReply::Hidden(hidden) => {
                if let Some(Gather { to, parts: Parts::Here { blocks: Some(left_out), .. }, .. }) =
                    self.gathers.open.get_mut(&gather)
                {
                    let asker = self.sessions.live(*to).map(|s| s.principal.user);
                    left_out.extend(hidden.into_iter().filter(|user| Some(*user) != asker));
                    self.end_gather(cx, gather, Ok(()));
                }
            }
            StoreReply::Withheld => {
                if let Some(Gather { to, parts: Parts::Here { users, count, .. }, .. }) =
                    self.gathers.open.get_mut(&gather)
                {
                    // Also where connections are counted and not named.
                    let asker = self.sessions.live(*to).map(|s| s.principal.user);
                    users.retain(|user| Some(*user) == asker);
                    users.dedup();
                    *count = users.len() as u64;
                    self.end_gather(cx, gather, Ok(()));
                }
            }
            StoreReply::Failed(error) => {
                cx.shared.counters.store_failures += 1;
                let code = match error {
                    StoreError::Corrupt => ErrorCode::Internal,
                    _ => ErrorCode::Unavailable,
                };
                self.end_gather(cx, gather, Err(Reject::after(code, BUSY_RETRY_MILLIS)));
            }
            other => unreachable!("{other:?} answers no question of this part"),
        }
        Ok(())
    }

    /// Rooms of the asking user.
    fn memberships(&mut self, cx: &mut Context<'_>, gather: u32, rooms: Vec<Membership>) {
        if let Some(Gather { parts: Parts::Here { room, member, .. }, .. }) =
            self.gathers.open.get_mut(&gather)
        {
            *member = Some(rooms.iter().any(|one| one.room == *room));
            return self.finish_gather(cx, gather);
        }
        self.peek_rooms(cx, gather, rooms);
    }

    /// The user's rooms are known: asks each owner for its numbers.
    fn peek_rooms(&mut self, cx: &mut Context<'_>, gather: u32, rooms: Vec<Membership>) {
        let Some(open) = self.gathers.open.get_mut(&gather) else { return };
        let Parts::Rooms { limit } = open.parts else { return };
        let Some(user) = self.sessions.live(open.to).map(|s| s.principal.user) else {
            self.gathers.open.remove(&gather);
            return;
        };
        let mut rows: Vec<_> = rooms.into_iter().map(|room| (room, None)).collect();
        rows.sort_unstable_by_key(|(row, _)| row.room);
        let asked: Vec<RoomId> = rows.iter().map(|(row, _)| row.room).collect();
        open.parts = Parts::Sync { missing: rows.len(), rows, limit };
        for room in asked {
            let owner = shard_of_room(room, cx.shared.config.shard_count);
            if owner == self.shard || self.borrow_credit(owner, CREDIT_PER_SHARD_MAX) {
                cx.post(owner, Mail::Peek { gather, from: self.shard, room, user });
            } else {
                self.peeked(cx, gather, room, None);
            }
        }
        self.finish_gather(cx, gather);
    }

    /// Answers when every part is there.
    fn finish_gather(&mut self, cx: &mut Context<'_>, gather: u32) {
        let Some(open) = self.gathers.open.get_mut(&gather) else { return };
        match &mut open.parts {
            Parts::Sync { missing: 0, .. } => self.end_gather(cx, gather, Ok(())),
            Parts::Here {
                missing: 0, blocks: Some(_), member: Some(member), hiding, users, room, ..
            } => {
                if users.is_empty() || !*member {
                    self.end_gather(cx, gather, Ok(()));
                } else if !std::mem::replace(hiding, true) {
                    users.sort_unstable();
                    let mut named = users.clone();
                    named.dedup();
                    let asked = cx.request(StoreRequest::Hidden { room: *room, users: named });
                    self.gathers.requests.insert(asked, gather);
                }
            }
            Parts::Sync { .. }
            | Parts::Here { .. }
            | Parts::Name
            | Parts::List { .. }
            | Parts::Rooms { .. } => {}
        }
    }

    /// Answers what has waited too long.
    pub(crate) fn expire_gathers(&mut self, cx: &mut Context<'_>) {
        while let Some((at, gather)) = self.gathers.ages.front().copied() {
            if at > cx.now.mono && self.gathers.open.contains_key(&gather) {
                break;
            }
            self.gathers.ages.pop_front();
            let outcome = match self.gathers.open.get(&gather).map(|open| &open.parts) {
                None => continue,
                // Rooms whose owner is late are listed without numbers.
                Some(Parts::Sync { .. }) => Ok(()),
                Some(_) => Err(Reject::after(ErrorCode::Unavailable, BUSY_RETRY_MILLIS)),
            };
            self.end_gather(cx, gather, outcome);
        }
    }

    fn end_gather(&mut self, cx: &mut Context<'_>, gather: u32, outcome: Result<(), Reject>) {
        let Some(Gather { to, re, parts }) = self.gathers.open.remove(&gather) else { return };
        if self.sessions.live(to).is_none() {
            return;
        }
        match (outcome, parts) {
            (Err(reject), _) => self.refuse(cx, to.slot, re, &reject),
            (Ok(()), Parts::Sync { rows, limit, .. }) => {
                let frame = cx.shared.pool.frame(|out| encode_sync(out, re, &rows, limit));
                cx.reply(to.slot, frame);
            }
            (Ok(()), Parts::Here { member: Some(false), .. }) => {
                self.refuse(cx, to.slot, re, &ErrorCode::NotAMember.into());
            }
            (Ok(()), Parts::Here { room, users, count, blocks, .. }) => {
                let max = cx.shared.config.limits.presence_room_members_max as usize;
                let here = Here::of(users, count, &blocks.unwrap_or_default(), max);
                let frame = cx.shared.pool.frame(|out| here.encode(out, re, room));
                cx.reply(to.slot, frame);
            }
            (Ok(()), Parts::Name | Parts::List { .. } | Parts::Rooms { .. }) => {
                unreachable!("answered or refused elsewhere")
            }
        }
        self.answered(cx, self.shard, to);
    }
}

/// Who is here, ready to be told.
#[derive(PartialEq, Eq, Debug)]
struct Here {
    users: Vec<UserId>,
    count: u64,
    sample: bool,
}

impl Here {
    /// Joins the shards' parts: a user with connections on two shards counts once, as long as all are named.
    fn of(mut users: Vec<UserId>, count: u64, hidden: &[UserId], max: usize) -> Self {
        let named = users.len() as u64;
        users.sort_unstable();
        users.dedup();
        let all = named == count && users.len() <= max;
        users.retain(|user| !hidden.contains(user));
        if all {
            let count = users.len() as u64;
            return Self { users, count, sample: false };
        }
        users.truncate(HERE_SAMPLE);
        Self { users, count, sample: true }
    }

    /// `{"ev":"here","re":…,"room":…,"count":…,"sample":…,"users":[…]}`
    fn encode(&self, out: &mut Vec<u8>, re: u64, room: RoomId) {
        let mut json = Json::new(out);
        json.open(b'{').key("ev").text("here").key("re").number(re).key("room").id(&room.0);
        json.key("count").number(self.count).key("sample").bool(self.sample).key("users").open(b'[');
        for user in &self.users {
            json.id(&user.0);
        }
        json.close(b']').close(b'}');
    }
}

/// `{"ev":"sync","re":…,"rooms":[{"room":…,"kind":…,"name":…,"role":…,"avatar"?:…,"peer"?:…,"request"?:…,"epoch"?:…,"top"?:…,"read"?:…,
/// "unread"?:…,"mentions"?:…,"active"?:…,"hidden"?:true,"cleared"?:…,"muted_until"?:…,"mentions_only"?:…}],"next"?:room}`. `next` is
/// there when more rooms may follow; a room whose owner could not tell its numbers comes without them. `hidden`: there is no message
/// after what the user has deleted for itself.
fn encode_sync(out: &mut Vec<u8>, re: u64, rows: &[(Membership, Option<RoomNumbers>)], limit: u32) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("sync").key("re").number(re).key("rooms").open(b'[');
    for (row, numbers) in rows {
        json.open(b'{').key("room").id(&row.room.0).key("kind").text(row.kind.name());
        json.key("name").text(&row.name).key("role").text(row.role.name());
        if !row.avatar.is_nil() {
            json.key("avatar").id(&row.avatar.0);
        }
        if !row.peer.is_nil() {
            json.key("peer").id(&row.peer.0);
        }
        encode_side(&mut json, row.request);
        if let Some(numbers) = numbers {
            json.key("epoch").number(u64::from(numbers.epoch.0)).key("top").number(numbers.top.0);
            json.key("read").number(numbers.read.0);
            if numbers.unread != u64::MAX {
                json.key("unread").number(numbers.unread);
            }
            if let Some(mentions) = numbers.mentions {
                json.key("mentions").number(u64::from(mentions));
            }
            json.key("active").time(numbers.active);
            if row.personal.cleared > Seq(0) && numbers.top_n <= row.personal.cleared_n {
                json.key("hidden").bool(true);
            }
        }
        encode_personal(&mut json, &row.personal);
        json.close(b'}');
    }
    json.close(b']');
    if rows.len() >= limit as usize
        && let Some((last, _)) = rows.last()
    {
        json.key("next").id(&last.room.0);
    }
    json.close(b'}');
}

/// What the user has set for itself, where it is not what everybody has.
fn encode_personal(json: &mut Json<'_>, personal: &Personal) {
    let Personal { wish: RoomWish { muted_until, wish }, cleared, .. } = *personal;
    if cleared > Seq(0) {
        json.key("cleared").number(cleared.0);
    }
    if muted_until > Millis(0) {
        json.key("muted_until").number(muted_until.0);
    }
    match wish {
        Wish::Default => {}
        Wish::All => _ = json.key("mentions_only").bool(false),
        Wish::Mentions => _ = json.key("mentions_only").bool(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u8) -> UserId {
        UserId([n; 16])
    }

    #[test]
    fn a_small_room_names_each_user_once_and_hides_blocked_ones() {
        let here = Here::of(vec![user(1), user(2), user(1), user(3)], 4, &[user(3)], 500);
        assert_eq!(here, Here { users: vec![user(1), user(2)], count: 2, sample: false });
    }

    #[test]
    fn a_large_room_is_a_count_and_a_sample() {
        let here = Here::of((0..40).map(user).collect(), 10_000, &[user(0)], 500);
        assert_eq!((here.count, here.sample, here.users.len()), (10_000, true, HERE_SAMPLE));
        assert!(!here.users.contains(&user(0)));
    }
}
