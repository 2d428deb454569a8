//! Rooms that strangers find, and what they ask of those that they cannot join by themselves.

use lynk_domain::{MediaId, Millis, RoomId, UserId};

/// Requests that are open in one room at a time.
pub const JOIN_REQUESTS_PER_ROOM_MAX: u32 = 1_000;
/// Requests that one user has open at a time.
pub const JOIN_REQUESTS_PER_USER_MAX: u32 = 100;
/// How long a request waits for an answer, in milliseconds: 30 days.
pub const JOIN_REQUEST_LIFE_MILLIS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long whoever was declined waits until asking again, in milliseconds: 7 days.
pub const JOIN_REQUEST_AGAIN_MILLIS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Longest text of a request, in characters.
pub const JOIN_REQUEST_CHARS_MAX: usize = 300;
/// Members of a room that strangers find are counted up to here: then there are as many or more.
pub const MEMBERS_COUNTED_MAX: u32 = 10_000;

/// Somebody asks to become a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinRequest {
    /// Who.
    pub user: UserId,
    /// What they say; empty once it is declined.
    pub text: String,
    /// When they asked.
    pub at: Millis,
    /// When it was declined; 0 while it was not.
    pub declined: Millis,
    /// By whom; nil while it was not.
    pub by: UserId,
}

impl JoinRequest {
    /// Whether it waits for an answer at a wall time.
    #[must_use]
    pub fn is_open(&self, wall: Millis) -> bool {
        self.declined == Millis(0) && wall.0 < self.at.0.saturating_add(JOIN_REQUEST_LIFE_MILLIS)
    }

    /// Whether something follows from it at a wall time: it waits, or keeps its user from asking again.
    #[must_use]
    pub fn counts(&self, wall: Millis) -> bool {
        let again = self.declined.0.saturating_add(JOIN_REQUEST_AGAIN_MILLIS);
        self.is_open(wall) || self.declined > Millis(0) && wall.0 < again
    }

    /// The moments before which a request that was made, or declined, counts no more at a wall time.
    #[must_use]
    pub fn oldest(wall: Millis) -> (Millis, Millis) {
        let before = |life: u64| Millis(wall.0.saturating_sub(life));
        (before(JOIN_REQUEST_LIFE_MILLIS), before(JOIN_REQUEST_AGAIN_MILLIS))
    }
}

/// A request as its user sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnRequest {
    /// The room.
    pub room: RoomId,
    /// Its name; empty for a room that is hidden by now.
    pub name: String,
    /// Its picture; nil for none, and for a room that is hidden by now.
    pub avatar: MediaId,
    /// The request.
    pub request: JoinRequest,
}

/// Which public rooms somebody wants to see: ascending by the form of their names, then by id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoverQuery {
    /// Who looks. Rooms that keep them out are not told.
    pub user: UserId,
    /// What the names begin with, as [`listed_name`](crate::listed_name) makes it; empty for all.
    pub prefix: String,
    /// Rooms after this form and id; empty and nil for the start.
    pub after: (String, RoomId),
    /// The time now.
    pub wall: Millis,
    /// Items at most.
    pub limit: u32,
}

/// A public room that somebody found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discovered {
    /// The room.
    pub room: RoomId,
    /// The form of its name: where a page goes on.
    pub listed: String,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Its picture; nil for none.
    pub avatar: MediaId,
    /// How many members it has, at most [`MEMBERS_COUNTED_MAX`].
    pub members: u32,
    /// How many it may have; 0 for the server's limit.
    pub members_max: u32,
    /// Whether who looks is one of them.
    pub member: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_thirty_days_and_a_refusal_counts_seven() {
        let day = 24 * 60 * 60 * 1_000;
        let open = JoinRequest {
            user: UserId([1; 16]),
            text: String::new(),
            at: Millis(1_000),
            declined: Millis(0),
            by: UserId::NIL,
        };
        let last = Millis(999 + 30 * day);
        assert!(open.is_open(last) && open.counts(last));
        assert!(!open.is_open(Millis(last.0 + 1)) && !open.counts(Millis(last.0 + 1)));
        let declined = JoinRequest { declined: Millis(2_000), ..open };
        assert!(!declined.is_open(Millis(2_000)) && declined.counts(Millis(1_999 + 7 * day)));
        assert!(!declined.counts(Millis(2_000 + 7 * day)));
        assert_eq!(JoinRequest::oldest(Millis(40 * day)), (Millis(10 * day), Millis(33 * day)));
    }
}
