//! Who watches one user, what each was told, and who must not know.

use lynk_domain::{Nanos, UserId};

use crate::mail::ConnectionRef;

/// One watching connection.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    connection: ConnectionRef,
    user: UserId,
    /// What it was told last; `None` before the first time.
    told: Option<bool>,
}

/// Pairs (who blocks, whom) that name the user.
#[derive(Default, Debug)]
pub(super) enum Blocks {
    /// Not asked for yet.
    #[default]
    Unknown,
    /// The store was asked. `stale`: a block changed since.
    Asked { stale: bool },
    /// Kept up to date by mail.
    Known(Vec<(UserId, UserId)>),
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
    pub(super) blocks: Blocks,
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
            blocks: Blocks::default(),
            told_at: None,
            look_at: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Adds a watcher, or forgets what it was told.
    pub(super) fn add(&mut self, connection: ConnectionRef, user: UserId) {
        let watcher = Watcher { connection, user, told: None };
        match self.find(connection) {
            Ok(at) => self.watchers[at] = watcher,
            Err(at) => {
                self.watchers.insert(at, watcher);
                if at < self.cursor {
                    self.cursor += 1;
                }
            }
        }
    }

    pub(super) fn remove(&mut self, connection: ConnectionRef) {
        if let Ok(at) = self.find(connection) {
            self.watchers.remove(at);
            if at < self.cursor {
                self.cursor -= 1;
            }
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
        news(self.user, &mut self.watchers[at], &self.blocks, online)
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
            if let Some(online) = news(self.user, watcher, &self.blocks, online) {
                post(watcher.connection, online);
                told += 1;
            }
        }
        self.cursor = 0;
        resumed
    }

    pub(super) fn block_changed(&mut self, by: UserId, whom: UserId, on: bool) {
        match &mut self.blocks {
            Blocks::Unknown => {}
            Blocks::Asked { stale } => *stale = true,
            Blocks::Known(pairs) => {
                pairs.retain(|pair| *pair != (by, whom));
                if on {
                    pairs.push((by, whom));
                }
            }
        }
    }
}

/// What `watcher` is to be told of `user` now. Across a block the user is offline; while blocks are not known, nothing
/// is told.
fn news(user: UserId, watcher: &mut Watcher, blocks: &Blocks, online: bool) -> Option<bool> {
    let Blocks::Known(pairs) = blocks else { return None };
    let other = watcher.user;
    let hidden = pairs.iter().any(|pair| *pair == (user, other) || *pair == (other, user));
    let visible = online && !hidden;
    if watcher.told == Some(visible) {
        return None;
    }
    watcher.told = Some(visible);
    Some(visible)
}
