//! [`LocalEphemeral`]: what lives for minutes, in the memory of one process.
//!
//! Thread: any; one lock, held for a few operations on maps and never while waiting. It is what a server has that nobody
//! gave Redis to, and where a server with Redis goes on while Redis is away.
//!
//! Invariants: deadlines are monotonic, so a wall clock that jumps moves none; only counters go by the wall clock, as in a
//! store that several processes share. Limits: [`CODES_MAX`], [`ONCE_MAX`], [`COUNTERS_MAX`], [`PRESENT_MAX`],
//! [`NAME_FILTER_BYTES`] and [`NAMES_MAX`]. What can fail: nothing; what has no room is [`Kept::Full`].

mod codes;
mod counters;
mod names;
mod once;
mod presence;

use std::fmt;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lynk_domain::{Nanos, Now, UserId};

use crate::StoreError;
use crate::account::{Charge, Charged};
use crate::port::{Call, Ephemeral, Kept, NewCode, NewOnce, OnceKind, Seen, Tried};

pub use codes::CODES_MAX;
pub use counters::COUNTERS_MAX;
pub(crate) use counters::{Counted, Slices};
pub use names::{NAME_FILTER_BYTES, NAMES_MAX};
pub use once::ONCE_MAX;
pub use presence::PRESENT_MAX;

/// `millis` after `now`.
fn after(now: Now, millis: u64) -> Nanos {
    now.mono.after(millis.saturating_mul(Nanos::MILLISECOND))
}

/// Whole milliseconds from `now` until `at`, rounded up; 0 when it is over.
fn until(now: Now, at: Nanos) -> u64 {
    at.since(now.mono).div_ceil(Nanos::MILLISECOND)
}

#[derive(Default)]
struct Tables {
    codes: codes::Codes,
    tickets: once::Once,
    registrations: once::Once,
    challenges: once::Once,
    counters: counters::Counters,
    present: presence::Present,
    names: names::NameFilter,
}

impl Tables {
    fn once(&mut self, kind: OnceKind) -> &mut once::Once {
        match kind {
            OnceKind::Ticket => &mut self.tickets,
            OnceKind::Registration => &mut self.registrations,
            OnceKind::Challenge => &mut self.challenges,
        }
    }
}

/// [`Ephemeral`] in memory.
#[derive(Default)]
pub struct LocalEphemeral(Mutex<Tables>);

impl LocalEphemeral {
    /// The tables hold at any moment: a thread that died in between left them whole.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LocalEphemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables();
        let (codes, tickets) = (tables.codes.len(), tables.tickets.len());
        write!(f, "LocalEphemeral({codes} codes, {tickets} tickets)")
    }
}

fn done<'a, T: Send + 'a>(value: T) -> Call<'a, T> {
    Box::pin(ready(Ok::<T, StoreError>(value)))
}

impl Ephemeral for LocalEphemeral {
    fn code_wait(&self, now: Now, number: [u8; 16]) -> Call<'_, u64> {
        done(self.tables().codes.wait(now, number))
    }

    fn put_code(&self, now: Now, code: NewCode) -> Call<'_, Kept> {
        done(self.tables().codes.put(now, code))
    }

    fn try_code(&self, now: Now, request: [u8; 16], proof: [u8; 32]) -> Call<'_, Tried> {
        done(self.tables().codes.take(now, request, proof))
    }

    fn set_tries(&self, now: Now, request: [u8; 16], tries: u32) -> Call<'_, ()> {
        self.tables().codes.set_tries(now, request, tries);
        done(())
    }

    fn end_code(&self, now: Now, number: [u8; 16]) -> Call<'_, ()> {
        self.tables().codes.end(now, number);
        done(())
    }

    fn put_once(&self, now: Now, once: NewOnce) -> Call<'_, Kept> {
        done(self.tables().once(once.kind).put(now, once))
    }

    fn look_once(&self, now: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        done(self.tables().once(kind).look(now, &key))
    }

    fn take_once(&self, now: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        done(self.tables().once(kind).take(now, &key))
    }

    fn drop_owner(&self, _: Now, kind: OnceKind, owner: [u8; 16]) -> Call<'_, ()> {
        self.tables().once(kind).drop_owner(owner);
        done(())
    }

    fn charge(&self, now: Now, charges: Vec<Charge>) -> Call<'_, Charged> {
        done(self.tables().counters.charge(now.wall, &charges))
    }

    fn mirror_presence(&self, now: Now, seen: Vec<Seen>, lease_millis: u64) -> Call<'_, ()> {
        self.tables().present.mirror(now, &seen, lease_millis);
        done(())
    }

    fn mirrored_presence(&self, now: Now, users: Vec<UserId>) -> Call<'_, Vec<bool>> {
        let tables = self.tables();
        done(users.iter().map(|user| tables.present.is_online(now, *user)).collect())
    }

    fn add_name(&self, name: String) -> Call<'_, ()> {
        self.tables().names.add(&name);
        done(())
    }

    fn may_have_name(&self, name: String) -> Call<'_, bool> {
        done(self.tables().names.may_have(&name))
    }

    fn names_are_full(&self) -> bool {
        self.tables().names.is_full()
    }
}

#[cfg(test)]
mod tests;
