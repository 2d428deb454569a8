//! Places of transfers: so many for everybody, and so many of them for one account.
//!
//! Thread: any. Limits: one entry for each account that has a place. Nothing can fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lynk_domain::UserId;

/// Places of one direction. Clones share them.
#[derive(Clone)]
pub(crate) struct Shares(Arc<Inner>);

struct Inner {
    all_max: u32,
    account_max: u32,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: u32,
    accounts: HashMap<UserId, u32>,
}

/// Who has as many as may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// All together.
    Everybody,
    /// The account alone.
    Account,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    inner: Arc<Inner>,
    account: UserId,
}

impl Shares {
    pub(crate) fn new(all_max: u32, account_max: u32) -> Self {
        Self(Arc::new(Inner { all_max, account_max, taken: Mutex::default() }))
    }

    /// A place for one transfer of an account.
    ///
    /// # Errors
    /// Who has too many.
    pub(crate) fn take(&self, account: UserId) -> Result<Place, Full> {
        let mut taken = self.0.taken();
        let own = taken.accounts.get(&account).copied().unwrap_or_default();
        if own >= self.0.account_max {
            return Err(Full::Account);
        }
        if taken.all >= self.0.all_max {
            return Err(Full::Everybody);
        }
        taken.all += 1;
        taken.accounts.insert(account, own + 1);
        Ok(Place { inner: Arc::clone(&self.0), account })
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.inner.taken();
        taken.all -= 1;
        let left = taken.accounts.get_mut(&self.account).map_or(0, |own| {
            *own -= 1;
            *own
        });
        if left == 0 {
            taken.accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_share_and_everybody_together_no_more_than_there_are() {
        let shares = Shares::new(3, 2);
        let user = |n: u8| UserId([n; 16]);
        let first = shares.take(user(1)).ok();
        let second = shares.take(user(1)).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(shares.take(user(1)).err(), Some(Full::Account));
        let other = shares.take(user(2)).ok();
        assert!(other.is_some(), "one account does not take all");
        assert_eq!(shares.take(user(2)).err(), Some(Full::Everybody));
        assert_eq!(shares.take(user(1)).err(), Some(Full::Account), "what it can do something about");
        drop(first);
        let again = shares.clone().take(user(2)).ok();
        assert!(again.is_some(), "a place is given back");
        drop((second, other, again));
        let taken = shares.0.taken();
        assert_eq!((taken.all, taken.accounts.len()), (0, 0), "nothing is left of who has none");
    }
}
