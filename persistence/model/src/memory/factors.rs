//! Second factors of [`MemoryAccounts`]. See the parent module.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Millis, Revocation, RoomId, Seq, SessionId, UserId};

use super::MemoryAccounts;
use crate::StoreError;
use crate::account::{AuditEvent, AuditKind, Enrolled, Erasure, Factor, Which};
use crate::port::{AccountStore as _, ErasureStore, FactorStore};

/// The tables.
#[derive(Clone, Default, Debug)]
pub(super) struct Factors {
    pub(super) apps: BTreeMap<UserId, Factor>,
    pub(super) recovery: BTreeSet<(UserId, [u8; 32])>,
    pub(super) suspended: BTreeMap<UserId, Millis>,
    pub(super) erasures: BTreeMap<UserId, Erasure>,
}

impl Factors {
    /// Forgets what is of a user.
    pub(super) fn forget(&mut self, user: UserId) {
        self.apps.remove(&user);
        self.suspended.remove(&user);
        self.recovery.retain(|(of, _)| *of != user);
    }

    fn replace(&mut self, user: UserId, proofs: &[[u8; 32]]) {
        self.recovery.retain(|(of, _)| *of != user);
        self.recovery.extend(proofs.iter().map(|proof| (user, *proof)));
    }

    fn has_app(&self, user: UserId) -> bool {
        self.apps.get(&user).is_some_and(|app| app.confirmed.is_some())
    }
}

impl FactorStore for MemoryAccounts {
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError> {
        Ok(self.factors.apps.get(&user).cloned())
    }

    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError> {
        if !self.has_account(user) {
            return Ok(Enrolled::NoAccount);
        }
        if self.factors.has_app(user) {
            return Ok(Enrolled::HasOne);
        }
        let app = Factor { user, sealed: sealed.to_vec(), enrolled: wall, confirmed: None, last_step: 0 };
        self.factors.apps.insert(user, app);
        Ok(Enrolled::Waits)
    }

    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let Some(app) = self.factors.apps.get_mut(&seen.user).filter(|app| *app == seen) else {
            return Ok(false);
        };
        if app.confirmed.is_some() {
            return Ok(false);
        }
        (app.confirmed, app.last_step) = (Some(wall), step);
        self.factors.replace(seen.user, proofs);
        self.note(seen.user, by, AuditKind::FactorOn, wall);
        Ok(true)
    }

    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let Some(app) = self.factors.apps.get_mut(&seen.user).filter(|app| *app == seen) else {
            return Ok(false);
        };
        app.last_step = step;
        if let Some(sealed) = sealed {
            app.sealed = sealed.to_vec();
        }
        Ok(true)
    }

    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let used = self.factors.recovery.remove(&(user, *proof));
        if used {
            self.note(user, SessionId::NIL, AuditKind::RecoveryUsed, wall);
        }
        Ok(used)
    }

    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError> {
        let left = self.factors.recovery.iter().filter(|(of, _)| *of == user).count();
        Ok(u32::try_from(left).unwrap_or(u32::MAX))
    }

    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        if !self.factors.has_app(user) {
            return Ok(false);
        }
        self.factors.replace(user, proofs);
        self.note(user, by, AuditKind::RecoveryMade, wall);
        Ok(true)
    }

    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError> {
        if !self.factors.has_app(user) {
            return Ok(false);
        }
        self.factors.apps.remove(&user);
        self.factors.replace(user, &[]);
        self.note(user, by, AuditKind::FactorOff, wall);
        Ok(true)
    }

    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        self.note(event.user, event.session, event.kind, event.at);
        Ok(())
    }

    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError> {
        Ok(self.factors.suspended.get(&user).copied())
    }

    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        if !self.has_account(user) {
            return Ok(None);
        }
        if let Entry::Vacant(place) = self.factors.suspended.entry(user) {
            place.insert(wall);
            self.note(user, SessionId::NIL, AuditKind::Suspended, wall);
        }
        Ok(Some(self.end_sessions(user, Which::All, AuditKind::Suspended, wall)))
    }

    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError> {
        let was = self.factors.suspended.remove(&user).is_some();
        if was {
            self.note(user, SessionId::NIL, AuditKind::Resumed, wall);
        }
        Ok(was)
    }
}

impl ErasureStore for MemoryAccounts {
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        if !self.has_account(user) {
            return Ok(None);
        }
        let ended = self.remove(user, wall).await?;
        self.note(user, SessionId::NIL, AuditKind::Erased, wall);
        let erasure = Erasure { user, begun: wall, room: RoomId::NIL, seq: Seq(0), done: None };
        self.factors.erasures.insert(user, erasure);
        Ok(Some(ended))
    }

    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        Ok(self.factors.erasures.get(&user).copied())
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        let mut waiting: Vec<_> =
            self.factors.erasures.values().filter(|one| one.done.is_none()).copied().collect();
        waiting.sort_by_key(|one| (one.begun, one.user));
        waiting.truncate(limit as usize);
        Ok(waiting)
    }

    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError> {
        if let Some(one) = self.factors.erasures.get_mut(&user).filter(|one| one.done.is_none()) {
            (one.room, one.seq) = (one.room, one.seq).max((room, seq));
            one.done = done;
        }
        Ok(())
    }

    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError> {
        Ok(self.forget_freed(wall, limit))
    }
}
