//! Accounts that are erased: nothing that they said is readable afterwards.

use lynk_domain::UserId;

use super::{Check, Ledger, Step};
use crate::wire::{Ev, Item};

impl Ledger {
    /// An account is no more; what it said is taken back from now on.
    pub(crate) fn erase(&mut self, user: UserId) {
        self.erased.entry(user).or_insert(None);
    }

    /// Whether it is.
    pub(crate) fn is_erased(&self, user: UserId) -> bool {
        self.erased.contains_key(&user)
    }

    /// All that it said is taken back.
    pub(crate) fn erasure_done(&mut self, user: UserId, step: Step) {
        self.erased.insert(user, Some(step));
    }

    /// Whom a user blocks, as the store has it.
    pub(crate) fn blocked_by(&self, user: UserId) -> Option<UserId> {
        self.stored_blocks.iter().find(|(by, _)| *by == user).map(|(_, whom)| *whom)
    }

    /// An event of a page that was asked for at `issued`.
    pub(super) fn says_nothing_of_erased(&self, item: &Item, issued: Step) -> Check {
        let Some(Some(done)) = item.sender().and_then(|user| self.erased.get(&user)) else { return Ok(()) };
        let says = item.text.as_deref().is_some_and(|text| !text.is_empty()) || !item.attachments.is_empty();
        if *done < issued && matches!(item.ev, Ev::Message | Ev::Edit) && says && item.deleted == 0 {
            return Err(format!("{:?} {} of an account that is erased", item.ev, item.seq));
        }
        Ok(())
    }

    /// Nothing changes any more: no message of an erased account stands.
    ///
    /// # Errors
    /// When one does.
    pub(crate) fn erased_is_gone(&self) -> Check {
        for room in self.rooms.values().filter(|room| !room.is_deleted()) {
            for (seq, current) in room.state(|_| true) {
                let done = self.erased.get(&current.sender).is_some_and(Option::is_some);
                if done && current.deleted == 0 && seq > room.floor() {
                    return Err(format!("{}: message {seq} of an erased account stands", room.room));
                }
            }
        }
        Ok(())
    }
}
