//! Why a message is pushed to somebody, or not: [`decide`], for a batch of one room's messages.
//!
//! Thread: any. Pure. Who has no device is not decided about: there is nothing to decide, and most people of most servers have none.
//! Rules, in the order in which they are looked at: own messages; what is too old; a block between the two, whoever made it; a request of a
//! stranger, of which the first message alone is told; a mute; mentions
//! only, by the user's wish or in a large room; a device that is connected. What is left is wanted.
//!
//! Limits: those of the batch. Nothing can fail.

use std::collections::BTreeMap;

use lynk_domain::{MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::notify::{Decision, Reason, RoomAudience, Wanted};
use lynk_model::{Mentions, RoomWish, Wish};

/// The rules of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Rooms with more members push mentions only, unless somebody has set otherwise.
    pub large_room: u32,
    /// Rooms with more members have nobody told of a mention of everybody.
    pub everybody_max: u32,
    /// Messages older than this are not pushed any more, in milliseconds.
    pub life_millis: u64,
}

/// A message, as far as decisions need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its place.
    pub seq: Seq,
    /// Its number among the room's messages.
    pub n: Ordinal,
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub sender: UserId,
    /// When.
    pub at: Millis,
    /// Whom it mentions.
    pub mentions: Mentions,
}

/// What is known when messages of a room are decided about.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The room.
    pub audience: &'a RoomAudience,
    /// Those of its members who have a device, ascending.
    pub devices: &'a [UserId],
    /// Those of these who are connected, ascending.
    pub active: &'a [UserId],
    /// By sender, who is across a block, ascending.
    pub blocked: &'a BTreeMap<UserId, Vec<UserId>>,
}

/// What a batch of one room came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decided {
    /// Who is to be told.
    pub wanted: Vec<Wanted>,
    /// Why, and why others are not.
    pub decisions: Vec<Decision>,
}

fn contains(sorted: &[UserId], user: UserId) -> bool {
    sorted.binary_search(&user).is_ok()
}

/// Decides about messages of one room, which are ascending, for everybody with a device.
#[must_use]
pub fn decide(room: RoomId, messages: &[Message], facts: &Facts<'_>, rules: &Rules, now: Millis) -> Decided {
    let mut decided = Decided::default();
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return decided };
    let is_large = facts.audience.size > u64::from(rules.large_room);
    if is_large {
        // For everybody of whom nothing else is noted: a row for each would be the room's size times its messages.
        let (first, last, at) = (first.seq, last.seq, last.at);
        decided.decisions.push(Decision {
            user: UserId::NIL,
            room,
            first,
            last,
            reason: Reason::LargeRoom,
            at,
        });
    }
    let wish = |user: UserId| {
        let wishes = &facts.audience.wishes;
        let at = wishes.binary_search_by_key(&user, |(of, _)| *of);
        at.map_or(RoomWish::default(), |at| wishes[at].1)
    };
    for user in facts.audience.members.iter().copied().filter(|user| contains(facts.devices, *user)) {
        let asked = facts.audience.request.filter(|(asked, _)| *asked == user).map(|(_, before)| before);
        let active = contains(facts.active, user);
        let person = Person { user, wish: wish(user), active, is_large, asked };
        let mut wanted: Option<Wanted> = None;
        let mut run: Option<Decision> = None;
        for message in messages {
            let reason = person.reason(message, facts, rules, now);
            if reason == Reason::Wanted {
                let mention = message.mentions.concern(user);
                let wanted = wanted.get_or_insert(Wanted {
                    user,
                    room,
                    from: message.seq,
                    upto: message.seq,
                    message: message.id,
                    messages: 0,
                    mention: false,
                    since: message.at,
                    due: now,
                });
                (wanted.upto, wanted.message) = (message.seq, message.id);
                wanted.messages = wanted.messages.saturating_add(1);
                wanted.mention |= mention;
            }
            match run.as_mut().filter(|run| run.reason == reason) {
                Some(run) => (run.last, run.at) = (message.seq, message.at),
                None => {
                    let (seq, at) = (message.seq, message.at);
                    let next = Decision { user, room, first: seq, last: seq, reason, at };
                    decided.decisions.extend(run.replace(next));
                }
            }
        }
        decided.wanted.extend(wanted);
        decided.decisions.extend(run);
    }
    decided
}

struct Person {
    user: UserId,
    wish: RoomWish,
    active: bool,
    is_large: bool,
    /// Of a request to the user, how many messages there were before.
    asked: Option<Ordinal>,
}

impl Person {
    fn reason(&self, message: &Message, facts: &Facts<'_>, rules: &Rules, now: Millis) -> Reason {
        let blocked = facts.blocked.get(&message.sender);
        let mentioned = message.mentions.concern(self.user);
        if message.sender == self.user {
            Reason::Sender
        } else if now.0.saturating_sub(message.at.0) > rules.life_millis {
            Reason::Old
        } else if blocked.is_some_and(|blocked| contains(blocked, self.user)) {
            Reason::Blocked
        } else if self.asked.is_some_and(|before| message.n.0 != before.0.saturating_add(1)) {
            Reason::Request
        } else if now < self.wish.muted_until {
            Reason::Muted
        } else if self.wish.wish == Wish::Mentions && !mentioned {
            Reason::MentionsOnly
        } else if self.is_large && self.wish.wish == Wish::Default && !mentioned {
            Reason::LargeRoom
        } else if self.active {
            Reason::Active
        } else {
            Reason::Wanted
        }
    }
}

#[cfg(test)]
mod tests;
