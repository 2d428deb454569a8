//! `discover` and `my_requests`: lists that the store makes for a user, whatever room they are about.
//!
//! Limits: a user searches [`SEARCHES_BURST`] times at once and [`SEARCHES_PER_SECOND`] times a second after that, on each shard that the
//! user's connections are on; [`SEARCHERS_MAX`] users at a time, the next is told to come back.

use lynk_domain::{FixedMap, Millis, Nanos, RoomId, UserId, fixed_map};
use lynk_model::{
    DiscoverQuery, Discovered, JOIN_REQUEST_AGAIN_MILLIS, JOIN_REQUEST_LIFE_MILLIS, OwnRequest, StoreRequest,
    listed_name,
};
use lynk_protocol::{DiscoverCursor, ErrorCode, Json, Reject, encode_avatar};

use super::{Gather, Home, Parts};
use crate::bucket::Bucket;
use crate::context::Context;
use crate::home::command::BUSY_RETRY_MILLIS;
use crate::io::Slot;

/// Rooms of a page when the client names no number, and at most.
const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 50;
/// Requests of a page at most, and when the client names no number.
const REQUESTS_MAX: u32 = 100;
/// Searches a second, and at once.
const SEARCHES_PER_SECOND: u32 = 2;
const SEARCHES_BURST: u32 = 30;
/// Users of whom it is known how often they searched lately.
const SEARCHERS_MAX: usize = 16 << 10;

/// How often users search.
pub(super) struct Searches(FixedMap<UserId, Bucket>);

impl Searches {
    pub(super) fn new(seed: u64) -> Self {
        Self(fixed_map(seed))
    }

    fn take(&mut self, now: Nanos, user: UserId) -> Result<(), Reject> {
        if self.0.len() >= SEARCHERS_MAX && !self.0.contains_key(&user) {
            self.0.retain(|_, bucket| !bucket.is_full(now));
            if self.0.len() >= SEARCHERS_MAX {
                return Err(Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
            }
        }
        let bucket = self.0.entry(user).or_default();
        let taken = bucket.take(now, SEARCHES_PER_SECOND, SEARCHES_BURST);
        taken.map_err(|millis| Reject::after(ErrorCode::RateLimited, millis))
    }
}

impl Home {
    /// `discover`: a page of public rooms whose names begin so.
    pub(crate) fn discover(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        (name, cursor, limit): (Option<&str>, Option<&DiscoverCursor>, Option<u32>),
    ) {
        let Some(user) = self.sessions.get(slot).map(|session| session.principal.user) else { return };
        let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let name = name.unwrap_or_default();
        if name.chars().count() > cx.shared.config.limits.room_name_chars_max as usize {
            return self.refuse(cx, slot, re, &ErrorCode::TooLarge.into());
        }
        if let Err(reject) = self.gathers.searches.take(cx.now.mono, user) {
            return self.refuse(cx, slot, re, &reject);
        }
        let prefix = listed_name(name);
        if prefix.is_empty() && !name.trim().is_empty() {
            // There is nothing in it that a name can begin with.
            let frame = cx.shared.pool.frame(|out| encode_discovered(out, re, &[], 1, 0));
            return cx.reply(slot, frame);
        }
        if !self.may_gather(cx, slot, re) {
            return;
        }
        let to = self.sessions.reference(self.shard, slot);
        let gather = self.gathers.open(cx.now.mono, to, re, Parts::List { limit });
        let after = cursor.map_or((String::new(), RoomId::NIL), |at| (at.listed.clone(), at.room));
        let query = DiscoverQuery { user, prefix, after, wall: cx.now.wall, limit };
        let request = cx.request(StoreRequest::Discover(Box::new(query)));
        self.gathers.requests.insert(request, gather);
    }

    /// `my_requests`: a page of what the user has asked for.
    pub(crate) fn my_requests(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        after: Option<RoomId>,
        limit: Option<u32>,
    ) {
        let Some(user) = self.sessions.get(slot).map(|session| session.principal.user) else { return };
        if !self.may_gather(cx, slot, re) {
            return;
        }
        let limit = limit.unwrap_or(REQUESTS_MAX).clamp(1, REQUESTS_MAX);
        let to = self.sessions.reference(self.shard, slot);
        let gather = self.gathers.open(cx.now.mono, to, re, Parts::List { limit });
        let (after, wall) = (after.unwrap_or(RoomId::NIL), cx.now.wall);
        let request = cx.request(StoreRequest::Requests { user, after, wall, limit });
        self.gathers.requests.insert(request, gather);
    }

    /// The store found public rooms.
    pub(super) fn discovered(&mut self, cx: &mut Context<'_>, gather: u32, rooms: &[Discovered]) {
        let members_max = cx.shared.config.limits.room_members_max;
        self.answer_list(cx, gather, |out, re, limit| encode_discovered(out, re, rooms, limit, members_max));
    }

    /// The store found the user's requests.
    pub(super) fn own_requests(&mut self, cx: &mut Context<'_>, gather: u32, requests: &[OwnRequest]) {
        let wall = cx.now.wall;
        self.answer_list(cx, gather, |out, re, limit| encode_own_requests(out, re, requests, limit, wall));
    }

    fn answer_list(
        &mut self,
        cx: &mut Context<'_>,
        gather: u32,
        encode: impl FnOnce(&mut Vec<u8>, u64, usize),
    ) {
        let Some(Gather { to, re, parts: Parts::List { limit } }) = self.gathers.open.remove(&gather) else {
            return;
        };
        if self.sessions.live(to).is_some() {
            let frame = cx.shared.pool.frame(|out| encode(out, re, limit as usize));
            cx.reply(to.slot, frame);
            self.answered(cx, self.shard, to);
        }
    }
}

/// `{"ev":"discover","re":…,"rooms":[{"room":…,"name":…,"description":…,"avatar":…,"members":…,"member":…,"open":…}],"next"?:…}`.
/// `open`: there is a place for one more, as far as members are counted.
fn encode_discovered(out: &mut Vec<u8>, re: u64, rooms: &[Discovered], limit: usize, members_max: u32) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("discover").key("re").number(re).key("rooms").open(b'[');
    for row in rooms {
        let max = if row.members_max == 0 { members_max } else { row.members_max.min(members_max) };
        json.open(b'{').key("room").id(&row.room.0).key("name").text(&row.name);
        json.key("description").text(&row.description);
        encode_avatar(&mut json, row.avatar);
        json.key("members").number(u64::from(row.members)).key("member").bool(row.member);
        json.key("open").bool(row.members < max).close(b'}');
    }
    json.close(b']');
    if rooms.len() >= limit
        && let Some(last) = rooms.last()
    {
        let cursor = DiscoverCursor { room: last.room, listed: last.listed.clone() };
        json.key("next").text(&cursor.text());
    }
    json.close(b'}');
}

/// `{"ev":"my_requests","re":…,"requests":[{"room":…,"name"?:…,"avatar"?:…,"state":…,"at":…,"until":…,"text"?:…}],"next"?:room}`.
/// `until`: when it expires; of a declined one, from when on the user may ask again.
fn encode_own_requests(out: &mut Vec<u8>, re: u64, requests: &[OwnRequest], limit: usize, wall: Millis) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("my_requests").key("re").number(re).key("requests").open(b'[');
    for OwnRequest { room, name, avatar, request } in requests {
        json.open(b'{').key("room").id(&room.0);
        if !name.is_empty() {
            json.key("name").text(name);
            encode_avatar(&mut json, *avatar);
        }
        let (state, until) = match request.is_open(wall) {
            true => ("open", request.at.0.saturating_add(JOIN_REQUEST_LIFE_MILLIS)),
            false => ("declined", request.declined.0.saturating_add(JOIN_REQUEST_AGAIN_MILLIS)),
        };
        json.key("state").text(state).key("at").time(request.at).key("until").time(Millis(until));
        if !request.text.is_empty() {
            json.key("text").text(&request.text);
        }
        json.close(b'}');
    }
    json.close(b']');
    if requests.len() >= limit
        && let Some(last) = requests.last()
    {
        json.key("next").id(&last.room.0);
    }
    json.close(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_searches_so_often_and_each_has_its_own_pace() {
        let mut searches = Searches::new(1);
        let (now, user) = (Nanos(5 * Nanos::SECOND), UserId([1; 16]));
        let taken = (0..100).filter(|_| searches.take(now, user).is_ok()).count();
        assert_eq!(taken, SEARCHES_BURST as usize);
        assert_eq!(searches.take(now, user).expect_err("too many").code, ErrorCode::RateLimited);
        assert!(searches.take(now, UserId([2; 16])).is_ok());
        assert!(searches.take(now.after(Nanos::SECOND), user).is_ok());
    }

    #[test]
    fn those_who_search_are_remembered_up_to_a_number() {
        let mut searches = Searches::new(1);
        let now = Nanos(5 * Nanos::SECOND);
        let user = |n: usize| UserId((n as u128 + 1).to_be_bytes());
        assert!((0..SEARCHERS_MAX).all(|n| searches.take(now, user(n)).is_ok()));
        assert_eq!(searches.take(now, user(SEARCHERS_MAX)).expect_err("full").code, ErrorCode::Busy);
        assert!(searches.take(now, user(0)).is_ok(), "who is known goes on");
        assert!(searches.take(now.after(2 * Nanos::SECOND), user(SEARCHERS_MAX)).is_ok());
        assert!(searches.0.len() < 3, "who has not searched lately is forgotten");
    }
}
