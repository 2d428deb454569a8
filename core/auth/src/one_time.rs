//! Tokens that are good once, and for a short time: socket tickets, and registrations between a proved number and a name.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lynk_domain::Nanos;

use crate::secret::{SECRET_BYTES, decode, mac};
use crate::{Opaque, ServerSecret};

/// Tokens of one kind that wait at a time, over all owners.
pub const ONE_TIME_MAX: usize = 65_536;
/// Tokens of one kind that one owner may have waiting; a further one takes the oldest one's place.
pub const ONE_TIME_PER_OWNER_MAX: usize = 8;

const _: () = assert!(ONE_TIME_PER_OWNER_MAX < ONE_TIME_MAX);

/// What a token is for: its life and how it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneTimeKind {
    /// How the token begins, so that a leaked one can be searched for.
    pub prefix: &'static str,
    /// How long it is good.
    pub life_millis: u64,
}

impl OneTimeKind {
    /// Opens one socket.
    pub const TICKET: Self = Self { prefix: "lt1_", life_millis: 30_000 };
    /// Turns one proved number into an account.
    pub const REGISTRATION: Self = Self { prefix: "lg1_", life_millis: 10 * 60_000 };
}

/// [`ONE_TIME_MAX`] tokens wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneTimeFull;

struct Waiting<T> {
    owner: [u8; 16],
    expires: Nanos,
    value: T,
}

/// Tokens of one kind that wait to be used, with what they stand for. Keeps hashes of them only.
pub struct OneTime<T> {
    kind: OneTimeKind,
    waiting: BTreeMap<[u8; 32], Waiting<T>>,
    by_owner: BTreeMap<[u8; 16], Vec<[u8; 32]>>,
    /// What waits, by when it expires. Exactly that: a token that was used takes nobody's place.
    by_end: BTreeSet<(Nanos, [u8; 32])>,
}

impl<T: Clone> OneTime<T> {
    /// A table of tokens of `kind`.
    #[must_use]
    pub fn new(kind: OneTimeKind) -> Self {
        Self { kind, waiting: BTreeMap::new(), by_owner: BTreeMap::new(), by_end: BTreeSet::new() }
    }

    /// Makes a token for `value` out of 32 random bytes.
    ///
    /// # Errors
    /// When too many wait.
    pub fn make(
        &mut self,
        now: Nanos,
        server: &ServerSecret,
        owner: [u8; 16],
        random: [u8; SECRET_BYTES],
        value: T,
    ) -> Result<Opaque, OneTimeFull> {
        self.forget(now);
        if let Some(oldest) = self.by_owner.get(&owner).filter(|own| own.len() >= ONE_TIME_PER_OWNER_MAX) {
            let oldest = oldest[0];
            self.remove(&oldest);
        }
        if self.waiting.len() >= ONE_TIME_MAX {
            return Err(OneTimeFull);
        }
        let hash = self.hash(server, &random);
        let expires = now.after(self.kind.life_millis.saturating_mul(Nanos::MILLISECOND));
        self.waiting.insert(hash, Waiting { owner, expires, value });
        self.by_owner.entry(owner).or_default().push(hash);
        self.by_end.insert((expires, hash));
        Ok(Opaque::encode(self.kind.prefix, &random))
    }

    /// What a token stands for, while it is good. Does not use it up.
    pub fn look(&mut self, now: Nanos, server: &ServerSecret, text: &str) -> Option<T> {
        let hash = self.find(now, server, text)?;
        self.waiting.get(&hash).map(|waiting| waiting.value.clone())
    }

    /// What a token stands for; it is used up by that.
    pub fn take(&mut self, now: Nanos, server: &ServerSecret, text: &str) -> Option<T> {
        let hash = self.find(now, server, text)?;
        self.remove(&hash)
    }

    /// Drops what waits for an owner.
    pub fn drop_owner(&mut self, owner: [u8; 16]) {
        for hash in self.by_owner.remove(&owner).unwrap_or_default() {
            if let Some(waiting) = self.waiting.remove(&hash) {
                self.by_end.remove(&(waiting.expires, hash));
            }
        }
    }

    fn find(&mut self, now: Nanos, server: &ServerSecret, text: &str) -> Option<[u8; 32]> {
        self.forget(now);
        let secret: [u8; SECRET_BYTES] = decode(self.kind.prefix, text)?;
        // The search compares hashes under a key that the client does not have: its time says nothing of the secret.
        let hash = self.hash(server, &secret);
        self.waiting.get(&hash).filter(|waiting| now < waiting.expires).map(|_| hash)
    }

    fn remove(&mut self, hash: &[u8; 32]) -> Option<T> {
        let waiting = self.waiting.remove(hash)?;
        self.by_end.remove(&(waiting.expires, *hash));
        if let Entry::Occupied(mut own) = self.by_owner.entry(waiting.owner) {
            own.get_mut().retain(|other| other != hash);
            if own.get().is_empty() {
                own.remove();
            }
        }
        Some(waiting.value)
    }

    fn forget(&mut self, now: Nanos) {
        while let Some((_, hash)) = self.by_end.first().copied().filter(|(expires, _)| *expires <= now) {
            self.remove(&hash);
        }
    }

    fn hash(&self, server: &ServerSecret, secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
        mac(&server.one_time, &[self.kind.prefix.as_bytes(), secret])
    }
}

impl<T> fmt::Debug for OneTime<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneTime({}, {} waiting)", self.kind.prefix, self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = Nanos::SECOND;

    fn server() -> ServerSecret {
        ServerSecret::new([1; 32])
    }

    fn tickets() -> OneTime<u32> {
        OneTime::new(OneTimeKind::TICKET)
    }

    #[test]
    fn a_ticket_is_good_once_and_for_thirty_seconds() {
        let (mut tickets, server) = (tickets(), server());
        let make = |tickets: &mut OneTime<u32>, byte: u8| {
            tickets
                .make(Nanos(0), &server, [byte; 16], [byte; 32], u32::from(byte))
                .expect("room")
                .reveal()
                .to_owned()
        };
        let (first, second) = (make(&mut tickets, 1), make(&mut tickets, 2));
        assert!(first.starts_with("lt1_"));
        assert_eq!(tickets.look(Nanos(0), &server, &first), Some(1));
        assert_eq!(tickets.take(Nanos(30 * SECOND - 1), &server, &first), Some(1));
        assert_eq!(tickets.take(Nanos(30 * SECOND - 1), &server, &first), None, "replayed");
        assert_eq!(tickets.take(Nanos(30 * SECOND), &server, &second), None, "too late");
        assert_eq!(tickets.take(Nanos(0), &server, &second), None, "and gone for good");
    }

    #[test]
    fn a_token_of_another_kind_server_or_form_is_nothing() {
        let (mut tickets, server) = (tickets(), server());
        let text = tickets.make(Nanos(0), &server, [1; 16], [1; 32], 1).expect("room").reveal().to_owned();
        let mut other = OneTime::<u32>::new(OneTimeKind::REGISTRATION);
        other.make(Nanos(0), &server, [1; 16], [1; 32], 1).expect("room");
        assert_eq!(other.take(Nanos(0), &server, &text), None);
        assert_eq!(tickets.take(Nanos(0), &server, &text.replace("lt1_", "lg1_")), None);
        assert_eq!(tickets.take(Nanos(0), &ServerSecret::new([2; 32]), &text), None);
        for bad in ["", "lt1_", &text[..20], &format!("{text}A")] {
            assert_eq!(tickets.take(Nanos(0), &server, bad), None, "{bad}");
        }
        assert_eq!(tickets.take(Nanos(0), &server, &text), Some(1));
    }

    #[test]
    fn an_owner_has_few_and_all_have_a_bounded_number() {
        let (mut tickets, server) = (tickets(), server());
        let random = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            bytes
        };
        let texts: Vec<_> = (0..9u32)
            .map(|n| {
                tickets.make(Nanos(0), &server, [1; 16], random(n), n).expect("room").reveal().to_owned()
            })
            .collect();
        assert_eq!(tickets.look(Nanos(0), &server, &texts[0]), None, "the oldest made room");
        assert_eq!(tickets.look(Nanos(0), &server, &texts[1]), Some(1));
        tickets.drop_owner([1; 16]);
        assert_eq!(tickets.look(Nanos(0), &server, &texts[8]), None);
        let made = (9..ONE_TIME_MAX as u32 + 9)
            .filter(|n| {
                let mut owner = [0; 16];
                owner[..4].copy_from_slice(&n.to_be_bytes());
                tickets.make(Nanos(0), &server, owner, random(*n), *n).is_ok()
            })
            .count();
        assert_eq!(made, ONE_TIME_MAX);
        assert!(tickets.make(Nanos(30 * SECOND), &server, [1; 16], random(0), 0).is_ok(), "time makes room");
        assert_eq!(tickets.waiting.len(), 1);
        assert_eq!(tickets.by_owner.len(), 1);
    }

    #[test]
    fn one_owner_that_asks_without_end_takes_nobody_elses_place() {
        let (mut tickets, server) = (tickets(), server());
        for n in 0..ONE_TIME_MAX as u32 + 1 {
            let mut random = [0; 32];
            random[..4].copy_from_slice(&n.to_be_bytes());
            let text = tickets.make(Nanos(0), &server, [1; 16], random, n).expect("room").reveal().to_owned();
            // Used up, taken by a further one, dropped with its owner.
            match n % 3 {
                0 => assert_eq!(tickets.take(Nanos(0), &server, &text), Some(n)),
                1 => {}
                _ => tickets.drop_owner([if n % 2 == 0 { 1 } else { 3 }; 16]),
            }
        }
        assert!(tickets.make(Nanos(0), &server, [2; 16], [0xff; 32], 0).is_ok());
        assert_eq!(tickets.by_end.len(), tickets.waiting.len());
        assert!(tickets.waiting.len() <= ONE_TIME_PER_OWNER_MAX + 1);
    }
}
