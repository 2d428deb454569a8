//! Who watches one user, what each was told, and who may know.

use std::collections::BTreeSet;

use lynk_domain::{Nanos, UserId};
use lynk_model::RequestId;

use crate::mail::ConnectionRef;

/// One watching connection.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    connection: ConnectionRef,
    user: UserId,
    /// Of the mail that started it.
    number: u32,
    /// What it was told last; `None` before the first time.
    told: Option<bool>,
    relation: Relation,
}

/// Whether a watcher may see the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relation {
    /// To be asked for.
    Unknown,
    /// The store was asked. `stale`: something changed since.
    Asked { stale: bool },
    /// As the store said, and nothing changed since.
    Known(bool),
}

/// The watchers of one user.
#[derive(Debug)]
pub(super) struct Watch {
    /// Whose presence.
    user: UserId,
    /// Ascending by connection.
    watchers: Vec<Watcher>,
    /// Watchers before this one are told what is true; 0 when nobody is being told.
    cursor: usize,
    /// The question under way; at most one, so that an answer belongs to whoever is marked as asked about.
    pub(super) asked: Option<RequestId>,
    /// The user waits in the queue of those to be asked about.
    pub(super) queued: bool,
    /// When the watchers were last told.
    pub(super) told_at: Option<Nanos>,
    /// When they are looked at next.
    pub(super) look_at: Option<Nanos>,
}

impl Watch {
    pub(super) fn new(user: UserId) -> Self {
        Self {
            user,
            watchers: Vec::new(),
            cursor: 0,
            asked: None,
            queued: false,
            told_at: None,
            look_at: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Adds a watcher, or forgets what it was told and whether it may see the user. One that is older than what is
    /// listed changes nothing.
    pub(super) fn add(&mut self, connection: ConnectionRef, user: UserId, number: u32) {
        // One sees oneself.
        let relation = if user == self.user { Relation::Known(true) } else { Relation::Unknown };
        let watcher = Watcher { connection, user, number, told: None, relation };
        match self.find(connection) {
            Ok(at) if self.watchers[at].number > number => {}
            Ok(at) => self.watchers[at] = watcher,
            Err(at) => {
                self.watchers.insert(at, watcher);
                if at < self.cursor {
                    self.cursor += 1;
                }
            }
        }
    }

    /// Removes a watcher, unless it started again after this was posted.
    pub(super) fn remove(&mut self, connection: ConnectionRef, number: u32) {
        if let Ok(at) = self.find(connection)
            && self.watchers[at].number <= number
        {
            self.watchers.remove(at);
            if at < self.cursor {
                self.cursor -= 1;
            }
        }
    }

    /// Whether the store is to be asked about somebody now.
    pub(super) fn must_ask(&self) -> bool {
        self.asked.is_none() && self.watchers.iter().any(|watcher| watcher.relation == Relation::Unknown)
    }

    /// Marks watchers as asked about; returns their users, each once, at most `max`.
    pub(super) fn ask(&mut self, max: usize) -> Vec<UserId> {
        let mut others = BTreeSet::new();
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.relation == Relation::Unknown) {
            if others.len() < max || others.contains(&watcher.user) {
                others.insert(watcher.user);
                watcher.relation = Relation::Asked { stale: false };
            }
        }
        others.into_iter().collect()
    }

    /// The store said which of those asked about may see the user.
    pub(super) fn answered(&mut self, seen: &[UserId]) {
        for watcher in &mut self.watchers {
            match watcher.relation {
                Relation::Asked { stale: false } => {
                    watcher.relation = Relation::Known(seen.contains(&watcher.user));
                }
                Relation::Asked { stale: true } => watcher.relation = Relation::Unknown,
                Relation::Unknown | Relation::Known(_) => {}
            }
        }
    }

    /// The store did not say.
    pub(super) fn unanswered(&mut self) {
        let asked = |watcher: &&mut Watcher| matches!(watcher.relation, Relation::Asked { .. });
        self.watchers.iter_mut().filter(asked).for_each(|watcher| watcher.relation = Relation::Unknown);
    }

    /// What was known of one other user, or of all, may not hold any more.
    pub(super) fn invalidate(&mut self, other: Option<UserId>) {
        let own = self.user;
        let named = |user: UserId| user != own && other.is_none_or(|other| other == user);
        for watcher in self.watchers.iter_mut().filter(|watcher| named(watcher.user)) {
            watcher.relation = match watcher.relation {
                Relation::Asked { .. } => Relation::Asked { stale: true },
                Relation::Unknown | Relation::Known(_) => Relation::Unknown,
            };
        }
    }

    /// Forgets what a watcher was told.
    pub(super) fn untell(&mut self, connection: ConnectionRef) {
        if let Ok(at) = self.find(connection) {
            self.watchers[at].told = None;
        }
    }

    fn find(&self, connection: ConnectionRef) -> Result<usize, usize> {
        self.watchers.binary_search_by_key(&connection, |watcher| watcher.connection)
    }

    /// What a watcher is to be told, `None` when it knows.
    pub(super) fn tell_one(&mut self, connection: ConnectionRef, online: bool) -> Option<bool> {
        let at = self.find(connection).ok()?;
        news(&mut self.watchers[at], online)
    }

    /// Tells at most `max` watchers what they do not know yet. True when more are left to be looked at.
    pub(super) fn tell(
        &mut self,
        online: bool,
        max: usize,
        mut post: impl FnMut(ConnectionRef, bool),
    ) -> bool {
        let mut told = 0;
        // A run that was interrupted goes on where it was and then starts over once, for what changed meanwhile.
        let resumed = self.cursor > 0;
        while let Some(watcher) = self.watchers.get_mut(self.cursor) {
            if told == max {
                return true;
            }
            self.cursor += 1;
            if let Some(online) = news(watcher, online) {
                post(watcher.connection, online);
                told += 1;
            }
        }
        self.cursor = 0;
        resumed
    }
}

/// What a watcher is to be told now. To whoever may not see it the user is offline; while that is not known, nothing is
/// told.
fn news(watcher: &mut Watcher, online: bool) -> Option<bool> {
    let Relation::Known(seen) = watcher.relation else { return None };
    let visible = online && seen;
    if watcher.told == Some(visible) {
        return None;
    }
    watcher.told = Some(visible);
    Some(visible)
}
