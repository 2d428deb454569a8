//! Whom messages mention, and how many unread ones mention a member.
//!
//! Thread: the shard. Mentions are counted as unread messages are: never per member when one is sent. The window tells that nobody
//! mentions a member since the position; where somebody does, the store counts, because it knows who stands across a block. Its count
//! holds until a change of mentions concerns the member, a block changes, or the position moves.
//!
//! Limits: `mentions_per_message_max` users in a message; [`CHANGES_MAX`] changes and [`NAMED_MAX`] users in them are remembered for a
//! room; who was counted before those is counted again. What can fail: a count, when a store is away; then the number is unknown.

use std::collections::VecDeque;

use lynk_domain::{Action, Limits, Role, Seq, UserId, allowed};
use lynk_model::Mentions;
use lynk_protocol::{ErrorCode, Reject};

use super::room::{Member, Room};
use super::window::{Entry, Kind};

/// Changes of mentions that a room remembers.
const CHANGES_MAX: usize = 256;
/// Users that those may name.
const NAMED_MAX: usize = 4_096;

/// A message mentions others than before.
#[derive(Debug)]
struct Change {
    target: Seq,
    author: UserId,
    /// Those who are mentioned, or were.
    whom: Mentions,
}

/// The last changes of mentions of a room since it was loaded.
#[derive(Debug, Default)]
pub(super) struct MentionChanges {
    log: VecDeque<Change>,
    /// Users in it.
    named: usize,
    /// Changes so far.
    total: u64,
}

impl MentionChanges {
    /// Notes that the message at `target` mentions `now`, after it mentioned `before`.
    pub(super) fn push(&mut self, target: Seq, author: UserId, before: &Mentions, now: &Mentions) {
        if before == now {
            return;
        }
        let users = before.users().iter().chain(now.users()).copied().collect();
        let whom = Mentions::new(before.all() || now.all(), users);
        self.named += whom.users().len();
        self.log.push_back(Change { target, author, whom });
        self.total += 1;
        while self.log.len() > CHANGES_MAX || self.named > NAMED_MAX {
            let Some(oldest) = self.log.pop_front() else { break };
            self.named -= oldest.whom.users().len();
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether one after the first `seen` is of a message after `read` and concerns `user`, or may be.
    fn concern(&self, seen: u64, user: UserId, read: Seq) -> bool {
        let forgotten = self.total - self.log.len() as u64;
        let Some(skip) = seen.checked_sub(forgotten) else { return true };
        let mut later = self.log.iter().skip(skip as usize);
        later.any(|change| change.target > read && change.author != user && change.whom.concern(user))
    }
}

/// What the store counted for a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mentioned {
    /// Changes of mentions that are counted.
    pub(super) seen: u64,
    /// Version of the blocks that it is for; 0 when nothing is counted.
    pub(super) blocks: u32,
    pub(super) count: u32,
}

impl Room {
    /// Unread messages that mention the member, as far as they are counted; `None` when they must be. `blocks`: the version of
    /// blocks now.
    pub(super) fn mentions(&self, user: UserId, member: &Member, blocks: u32) -> Option<u32> {
        let read = self.unread_after(member);
        if self.window_covers(read) && !self.window.after(read).any(|entry| mentions(entry, user)) {
            return Some(0);
        }
        let known = &member.mentioned;
        let holds = known.blocks == blocks && !self.mention_changes.concern(known.seen, user, read);
        holds.then_some(known.count)
    }
}

/// Whether an entry is a message that mentions `user` as it stands. Nobody mentions himself.
fn mentions(entry: &Entry, user: UserId) -> bool {
    match &entry.kind {
        Kind::Message(posted) => {
            let parts = posted.parts.as_ref().filter(|_| entry.sender != user);
            parts.is_some_and(|parts| parts.mentions.concern(user))
        }
        _ => false,
    }
}

/// Whether a member may mention these; `before` are mentioned already.
pub(super) fn may_mention(
    room: &Room,
    role: Role,
    mentions: &Mentions,
    before: &Mentions,
    limits: &Limits,
) -> Result<(), Reject> {
    if mentions.is_empty() {
        return Ok(());
    }
    if mentions.users().len() > limits.mentions_per_message_max as usize {
        return Err(Reject::because(ErrorCode::TooLarge, "`mentions` names more users than hello announced"));
    }
    if mentions.all() && !before.all() && !allowed(role, Action::MentionAll) {
        return Err(Reject::because(ErrorCode::Forbidden, "`mention_all` is for moderators and above"));
    }
    let stranger =
        |user: &&UserId| !room.members.contains_key(user) && !room.is_aside(**user) && !before.names(**user);
    match mentions.users().iter().find(stranger) {
        None => Ok(()),
        Some(user) => Err(Reject::because(
            ErrorCode::InvalidField,
            format!("field `mentions` names {user}, who is no member of this room"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(byte: u8) -> UserId {
        UserId([byte; 16])
    }

    fn of(users: &[u8]) -> Mentions {
        Mentions::new(false, users.iter().map(|byte| user(*byte)).collect())
    }

    #[test]
    fn a_change_concerns_those_who_are_mentioned_and_those_who_were() {
        let mut changes = MentionChanges::default();
        changes.push(Seq(5), user(1), &of(&[2]), &of(&[3]));
        changes.push(Seq(6), user(1), &of(&[4]), &of(&[4]));
        assert_eq!(changes.total(), 1, "what stays the same is no change");
        let concerned = |read, who| changes.concern(0, user(who), Seq(read));
        assert!(concerned(4, 2) && concerned(4, 3));
        assert!(!concerned(4, 4) && !concerned(4, 1) && !concerned(5, 2));
        assert!(!changes.concern(1, user(2), Seq(0)), "it was counted");
    }

    #[test]
    fn what_is_forgotten_concerns_everybody() {
        let mut changes = MentionChanges::default();
        for seq in 0..CHANGES_MAX as u64 + 2 {
            changes.push(Seq(seq + 1), user(1), &of(&[]), &of(&[2]));
        }
        assert!(changes.concern(1, user(9), Seq(0)));
        assert!(!changes.concern(2, user(9), Seq(0)));
        let crowd: Vec<u8> = (0..=255).collect();
        let mut changes = MentionChanges::default();
        for seq in 0..40 {
            changes.push(Seq(seq + 1), user(1), &of(&[]), &of(&crowd));
        }
        assert!(changes.named <= NAMED_MAX && changes.log.len() == NAMED_MAX / 256);
    }
}
