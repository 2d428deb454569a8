//! Conversations of two that strangers begin: who may say what until they are accepted, and who hears of them.
//!
//! Who is a stranger is decided here by the rooms that the store has, which is told of every transaction in its order.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Millis, RoomId, RoomKind, UserId};
use lynk_model::{
    MESSAGE_REQUEST_AGAIN_MILLIS, MESSAGE_REQUEST_MESSAGES_MAX, MetaChange, MetaEvent, MetaTransaction,
    RequestChange,
};

use super::{Check, Entry, Ledger, RoomTruth, Said, Step};
use crate::wire::{Ev, Item};

/// What became of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Pending,
    Accepted,
    Declined,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Conversation {
    asker: UserId,
    user: UserId,
    state: State,
    /// Messages before it was asked, the last time, and when that was.
    base: u64,
    at: Millis,
    /// When it was declined.
    declined: Millis,
    /// How often something became of it.
    turns: u64,
    /// When who declined it was told so.
    told: Option<Step>,
}

impl Conversation {
    fn side(&self, user: UserId) -> Option<&'static str> {
        match self.state {
            State::Accepted => None,
            _ if user == self.asker => Some("sent"),
            State::Pending => Some("received"),
            State::Declined => None,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    of: BTreeMap<RoomId, Conversation>,
    /// Members whom somebody added who was a stranger to them, and who have not written since.
    added: BTreeSet<(RoomId, UserId)>,
    /// Mail is refused now and then: whoever declined may hear of it for a moment.
    pub(super) late: bool,
}

impl Ledger {
    /// Mail between shards may be refused.
    pub(crate) fn mail_is_late(&mut self) {
        self.conversations.late = true;
    }

    /// The store carried out a transaction. `asked`: as a request.
    pub(super) fn converse(&mut self, tx: &MetaTransaction, asked: bool) -> Check {
        match &tx.change {
            MetaChange::Begin { user, .. } => {
                let (asker, user) = (tx.actor, *user);
                let stranger = !self.knows(user, asker);
                if stranger != asked {
                    return Err(format!(
                        "{}: {asker} and {user}: strangers {stranger}, asked {asked}",
                        tx.room
                    ));
                }
                if asked {
                    let state = State::Pending;
                    let at = tx.wall;
                    let one =
                        Conversation { asker, user, state, base: 0, at, declined: at, turns: 0, told: None };
                    self.conversations.of.insert(tx.room, one);
                }
                Ok(())
            }
            MetaChange::Conversation(change) => {
                let Some(one) = self.conversations.of.get_mut(&tx.room) else {
                    return Err(format!("{}: {change:?} of what nobody asked", tx.room));
                };
                let by = if matches!(change, RequestChange::Again { .. }) { one.asker } else { one.user };
                if tx.actor != by {
                    return Err(format!("{}: {change:?} by {}", tx.room, tx.actor));
                }
                let before = one.state;
                match *change {
                    RequestChange::Accept => one.state = State::Accepted,
                    RequestChange::Decline { seq, .. } => {
                        if before == State::Accepted {
                            return Err(format!("{}: declined after it was accepted", tx.room));
                        }
                        one.state = State::Declined;
                        let user = one.user;
                        if before == State::Pending {
                            one.turns += 1;
                            one.declined = tx.wall;
                            self.clear(tx.room, user, seq.0);
                        }
                        return Ok(());
                    }
                    RequestChange::Again { seq, n, .. } => {
                        if before == State::Accepted {
                            return Err(format!("{}: asked again after it was accepted", tx.room));
                        }
                        let passed = |since: Millis| tx.wall.0 >= since.0 + MESSAGE_REQUEST_AGAIN_MILLIS;
                        if !passed(one.at) {
                            return Ok(());
                        }
                        (one.at, one.base) = (tx.wall, n.0);
                        if before == State::Pending || !passed(one.declined) {
                            return Ok(());
                        }
                        one.state = State::Pending;
                        one.turns += 1;
                        one.told = None;
                        let user = one.user;
                        self.clear(tx.room, user, seq.0);
                        return Ok(());
                    }
                }
                if before != one.state {
                    one.turns += 1;
                    one.told = None;
                }
                Ok(())
            }
            MetaChange::Event(MetaEvent::Joined { user, .. }) => {
                match tx.actor == *user || self.knows(*user, tx.actor) {
                    true => self.conversations.added.remove(&(tx.room, *user)),
                    false => self.conversations.added.insert((tx.room, *user)),
                };
                Ok(())
            }
            MetaChange::Enter { .. } => {
                self.conversations.added.remove(&(tx.room, tx.actor));
                Ok(())
            }
            MetaChange::Accept { user } => {
                self.conversations.added.remove(&(tx.room, *user));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a user shares a room with another, by the rooms that the store has: not one that is not accepted, nor one to which a
    /// stranger added the user who has not written there.
    fn knows(&self, user: UserId, other: UserId) -> bool {
        let shared = |room: &RoomTruth| {
            let both = [user, other].iter().all(|who| self.granted.contains(&(room.room, *who)));
            both && self.shows(room.room) && !self.conversations.added.contains(&(room.room, user))
        };
        self.rooms.values().any(shared)
    }

    /// The store was told that a member has written.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn wrote(&mut self, room: RoomId, user: UserId) -> Check {
        let said = |entry: &Entry| entry.sender == user && matches!(entry.said, Said::Message { .. });
        if !self.rooms.get(&room).is_some_and(|truth| truth.events.values().any(said)) {
            return Err(format!("{room}: the store is told that {user} wrote, who did not"));
        }
        self.conversations.added.remove(&(room, user));
        Ok(())
    }

    /// Whether an event may be in a room that is not accepted.
    pub(super) fn may_say(&self, room: RoomId, sender: UserId, said: &Said) -> Check {
        let Some(one) = self.conversations.of.get(&room).filter(|one| one.state != State::Accepted) else {
            return Ok(());
        };
        let told = |what: &str| Err(format!("{room}: {what} of {sender} before it is accepted: {said:?}"));
        match said {
            Said::Edit { .. } | Said::Reaction { .. } => told("a change"),
            Said::Message { .. } if sender != one.asker => told("a message"),
            Said::Message { files, .. } if !files.is_empty() => told("files"),
            Said::Message { n, .. } if *n > one.base + MESSAGE_REQUEST_MESSAGES_MAX => {
                told("a message too many")
            }
            _ => Ok(()),
        }
    }

    /// Whether a user has declined a room.
    pub(crate) fn keeps_out(&self, room: RoomId, user: UserId) -> bool {
        let one = self.conversations.of.get(&room);
        one.is_some_and(|one| one.state == State::Declined && one.user == user)
    }

    /// Rooms that wait for a user to accept them.
    pub(crate) fn waiting_for(&self, user: UserId) -> Vec<RoomId> {
        let of = self.conversations.of.iter();
        of.filter(|(_, one)| one.state == State::Pending && one.user == user).map(|(room, _)| *room).collect()
    }

    /// A user was told that it has declined a room.
    pub(crate) fn declined(&mut self, room: RoomId, user: UserId, step: Step) {
        if let Some(one) = self.conversations.of.get_mut(&room)
            && one.user == user
            && one.state == State::Declined
        {
            one.told.get_or_insert(step);
        }
    }

    /// An event goes to a user: not after it was told to have declined the room.
    pub(super) fn may_hear(&self, user: UserId, room: RoomId, entry: &Entry) -> Check {
        let told = self.conversations.of.get(&room).filter(|one| one.user == user).and_then(|one| one.told);
        let after = told.is_some_and(|told| entry.committed.is_some_and(|at| at > told));
        if after && !self.conversations.late && self.keeps_out(room, user) {
            return Err(format!("{room}: event {} goes to {user}, who has declined it", entry.seq));
        }
        Ok(())
    }

    /// A question about a room that was asked at `issued` was answered.
    pub(super) fn may_ask(&self, user: UserId, room: RoomId, issued: Step) -> Check {
        let told = self.conversations.of.get(&room).filter(|one| one.user == user).and_then(|one| one.told);
        if told.is_some_and(|told| told < issued) && self.keeps_out(room, user) {
            return Err(format!("{room}: answered to {user}, who has declined it"));
        }
        Ok(())
    }

    /// Version of what a user is told of its being in a room, beyond that of the room's log.
    pub(crate) fn turns(&self, room: RoomId, user: UserId) -> u64 {
        let one = self.conversations.of.get(&room).filter(|one| one.user == user);
        one.map_or(0, |one| one.turns)
    }

    /// A user is told that a 1:1 comes back, or goes, without an event of its log. `false` when it is about an event.
    pub(super) fn turn_told(&self, item: &Item, users: &[UserId]) -> bool {
        let Some(room) = item.room.and_then(|room| self.rooms.get(&room)) else { return false };
        let Some(one) = self.conversations.of.get(&room.room) else { return false };
        let turn = item.version.saturating_sub(room.version());
        room.kind == RoomKind::Direct
            && (1..=one.turns).contains(&turn)
            && users.iter().all(|who| *who == one.user)
    }

    /// The side of a conversation that a user is told.
    pub(crate) fn side_is(&self, room: RoomId, user: UserId, told: Option<&str>) -> Check {
        let Some(one) = self.conversations.of.get(&room) else {
            return if told.is_none() {
                Ok(())
            } else {
                Err(format!("{room}: request {told:?} of no request"))
            };
        };
        let expected = if user == one.asker { "sent" } else { "received" };
        let right = match told {
            Some(told) => told == expected,
            None => one.side(user).is_none(),
        };
        if right {
            Ok(())
        } else {
            Err(format!("{room}: request {told:?} for {user}, it is {:?}", one.state))
        }
    }

    /// As [`Self::side_is`], when nothing changes any more.
    pub(super) fn side_stands(&self, room: RoomId, user: UserId, told: Option<&str>) -> Check {
        let expected = self.conversations.of.get(&room).and_then(|one| one.side(user));
        if expected == told {
            Ok(())
        } else {
            Err(format!("{room}: request {told:?} for {user}, not {expected:?}"))
        }
    }

    /// Users are told that somebody accepted.
    pub(super) fn accepted_told(&self, item: &Item, users: &[UserId]) -> Check {
        let room = item.room.ok_or("a frame without its room")?;
        let Some(one) = self.conversations.of.get(&room) else {
            return Err(format!("{room}: {:?} of no request", Ev::ConversationAccepted));
        };
        let theirs = users.iter().all(|user| [one.asker, one.user].contains(user));
        if one.state != State::Accepted || item.user != Some(one.user) || !theirs {
            return Err(format!("{room}: told to be accepted by {:?} to {users:?}: {one:?}", item.user));
        }
        Ok(())
    }

    /// Whether a room of two shows them to each other.
    pub(super) fn shows(&self, room: RoomId) -> bool {
        self.conversations.of.get(&room).is_none_or(|one| one.state == State::Accepted)
    }
}
