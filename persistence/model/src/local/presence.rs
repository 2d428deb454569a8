//! Who is online, as leases.

use std::collections::BTreeMap;

use lynk_domain::{Nanos, Now, UserId};

use super::after;
use crate::port::Seen;

/// Users that are mirrored at a time; further ones are left out.
pub const PRESENT_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Present(BTreeMap<UserId, Nanos>);

impl Present {
    pub(super) fn mirror(&mut self, now: Now, seen: &[Seen], lease_millis: u64) {
        if self.0.len() + seen.len() > PRESENT_MAX {
            self.0.retain(|_, until| *until > now.mono);
        }
        for Seen { user, online } in seen {
            if !online {
                self.0.remove(user);
            } else if self.0.len() < PRESENT_MAX || self.0.contains_key(user) {
                self.0.insert(*user, after(now, lease_millis));
            }
        }
    }

    pub(super) fn is_online(&self, now: Now, user: UserId) -> bool {
        self.0.get(&user).is_some_and(|until| *until > now.mono)
    }
}
