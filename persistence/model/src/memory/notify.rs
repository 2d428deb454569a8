//! [`MemoryNotify`]: notifications as tables. See the parent module.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use lynk_domain::{Millis, RoomId, Seq, SessionId, UserId};

use crate::StoreError;
use crate::dump::{DumpPage, NotifyMark, NotifyRow};
use crate::notify::{
    Attempted, Claim, DEVICES_PER_ACCOUNT_MAX, Decision, Device, Fate, Finished, Known, Pending, Push,
    PushCause, PushId, PushState, Taking, Took, Turn, Turned, Wanted,
};
use crate::port::{Dump, Fill, LastFault, NotifyStore};

/// Pushes that one answer about a message has at most.
const WHY_PUSHES_MAX: usize = 100;

/// A row with the mark after it.
fn marked(row: NotifyRow) -> (NotifyRow, NotifyMark) {
    let mark = row.mark();
    (row, mark)
}

/// [`NotifyStore`] in memory.
#[derive(Clone, Default, Debug)]
pub struct MemoryNotify {
    devices: BTreeMap<SessionId, Device>,
    taken: BTreeMap<RoomId, (Seq, Millis)>,
    pending: BTreeMap<(UserId, RoomId), Pending>,
    pushes: BTreeMap<PushId, Push>,
    decisions: BTreeMap<(UserId, RoomId, Seq), Decision>,
}

impl MemoryNotify {
    /// Removes others that have the device's token; returns how many.
    fn free_token(&mut self, device: &Device) -> usize {
        let before = self.devices.len();
        self.devices.retain(|session, other| {
            *session == device.session || (other.provider, &other.token) != (device.provider, &device.token)
        });
        before - self.devices.len()
    }

    fn note(&mut self, decision: &Decision) {
        let of = (decision.user, decision.room);
        let last = self.decisions.range_mut((of.0, of.1, Seq(0))..=(of.0, of.1, Seq(u64::MAX))).next_back();
        match last {
            Some((_, last)) if last.reason == decision.reason => {
                last.last = decision.last;
                last.at = decision.at;
            }
            _ => {
                self.decisions.insert((of.0, of.1, decision.first), *decision);
            }
        }
    }

    fn want(&mut self, wanted: &Wanted) {
        let key = (wanted.user, wanted.room);
        let Some(pending) = self.pending.get_mut(&key) else {
            let new = Pending { wanted: wanted.clone(), window_end: Millis(0), pushed: Seq(0) };
            self.pending.insert(key, new);
            return;
        };
        let old = &mut pending.wanted;
        if old.messages == 0 {
            *old = Wanted { due: wanted.due.max(pending.window_end), ..wanted.clone() };
        } else {
            old.upto = wanted.upto;
            old.message = wanted.message;
            old.messages = old.messages.saturating_add(wanted.messages);
            old.mention |= wanted.mention;
        }
    }

    fn finish(&mut self, finished: &Finished, now: Millis) {
        let Some(push) = self.pushes.get_mut(&finished.id).filter(|push| push.state == PushState::Claimed)
        else {
            return;
        };
        push.at = now;
        push.next = Millis(0);
        push.cause = PushCause::None;
        match finished.attempted {
            Attempted::Sent => {
                push.state = PushState::Sent;
                if let Some(device) = self.devices.get_mut(&push.session) {
                    device.last_ok = Some(now);
                }
            }
            Attempted::Again { next, cause } => {
                (push.state, push.next, push.cause) = (PushState::Waiting, next, cause);
            }
            Attempted::Dead(cause) => (push.state, push.cause) = (PushState::Dead, cause),
            Attempted::Unregistered => {
                (push.state, push.cause) = (PushState::Unregistered, PushCause::Unregistered);
                let session = push.session;
                if self.devices.get(&session).is_some_and(|device| device.token == finished.token) {
                    self.devices.remove(&session);
                }
            }
        }
    }

    fn claim(&mut self, claim: &Claim, now: Millis) -> bool {
        let wanted = &claim.wanted;
        let first = match &claim.fate {
            Fate::Push(to) => to.first().map(|(id, _)| *id),
            Fate::Drop(id, _) => Some(*id),
        };
        if first.is_some_and(|id| self.pushes.contains_key(&id)) {
            return true;
        }
        let Some(pending) = self
            .pending
            .get_mut(&(wanted.user, wanted.room))
            .filter(|pending| pending.wanted.messages > 0 && pending.wanted == *wanted)
        else {
            return false;
        };
        pending.wanted.messages = 0;
        let push = |id: PushId, session: SessionId| wanted.claimed(id, session, now);
        match &claim.fate {
            Fate::Push(to) => {
                pending.window_end = claim.window_end;
                pending.pushed = wanted.upto;
                for (id, session) in to {
                    self.pushes.insert(*id, push(*id, *session));
                }
            }
            Fate::Drop(id, reason) => {
                let dropped = Push {
                    state: PushState::Dropped,
                    cause: PushCause::NotWanted,
                    dropped: Some(*reason),
                    attempts: 0,
                    ..push(*id, SessionId::NIL)
                };
                self.pushes.insert(*id, dropped);
            }
        }
        true
    }
}

impl LastFault for MemoryNotify {}

impl NotifyStore for MemoryNotify {
    async fn put_device(&mut self, device: &Device) -> Result<u32, StoreError> {
        let mut gone = self.free_token(device);
        self.devices.insert(device.session, device.clone());
        let mut own: Vec<_> = self
            .devices
            .values()
            .filter(|other| other.user == device.user && other.session != device.session)
            .map(|other| (other.created, other.session))
            .collect();
        own.sort_unstable();
        let many = (own.len() + 1).saturating_sub(DEVICES_PER_ACCOUNT_MAX as usize);
        for (_, session) in &own[..many] {
            self.devices.remove(session);
        }
        gone += many;
        Ok(gone as u32)
    }

    async fn remove_devices(&mut self, sessions: &[SessionId]) -> Result<u32, StoreError> {
        let removed = sessions.iter().filter(|session| self.devices.remove(session).is_some()).count();
        Ok(removed as u32)
    }

    async fn devices(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        let mut own: Vec<_> = self.devices.values().filter(|device| device.user == user).cloned().collect();
        own.sort_by_key(|device| (device.created, device.session));
        Ok(own)
    }

    async fn any_device(&self) -> Result<bool, StoreError> {
        Ok(!self.devices.is_empty())
    }

    async fn with_devices(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let have: BTreeSet<_> = self.devices.values().map(|device| device.user).collect();
        let found: BTreeSet<_> = users.iter().copied().filter(|user| have.contains(user)).collect();
        Ok(found.into_iter().collect())
    }

    async fn taken(&self, rooms: &[RoomId]) -> Result<Vec<Seq>, StoreError> {
        Ok(rooms.iter().map(|room| self.taken.get(room).map_or(Seq(0), |(seq, _)| *seq)).collect())
    }

    async fn take(&mut self, taking: &Taking, now: Millis) -> Result<Took, StoreError> {
        let is = |room: &RoomId| self.taken.get(room).map_or(Seq(0), |(seq, _)| *seq);
        if taking.rooms.iter().any(|taken| is(&taken.room) != taken.from) {
            return Ok(Took::Behind);
        }
        for taken in &taking.rooms {
            self.taken.insert(taken.room, (taken.to, now));
        }
        taking.wanted.iter().for_each(|wanted| self.want(wanted));
        taking.decisions.iter().for_each(|decision| self.note(decision));
        Ok(Took::Done)
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<Pending>, StoreError> {
        let waits = |pending: &&Pending| pending.wanted.messages > 0 && pending.wanted.due <= now;
        let mut due: Vec<_> = self.pending.values().filter(waits).cloned().collect();
        due.sort_by_key(|pending| (pending.wanted.due, pending.wanted.user, pending.wanted.room));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn retries(&self, now: Millis, limit: u32) -> Result<Vec<Push>, StoreError> {
        let waits = |push: &&Push| push.state == PushState::Waiting && push.next <= now;
        let mut due: Vec<_> = self.pushes.values().filter(waits).cloned().collect();
        due.sort_by_key(|push| (push.next, push.id));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        let pending = self.pending.values().filter(|pending| pending.wanted.messages > 0);
        let retries = self.pushes.values().filter(|push| push.state == PushState::Waiting);
        Ok(pending.map(|pending| pending.wanted.due).chain(retries.map(|push| push.next)).min())
    }

    async fn turn(&mut self, turn: &Turn, now: Millis) -> Result<Turned, StoreError> {
        turn.finished.iter().for_each(|finished| self.finish(finished, now));
        let claims = turn.claims.iter().map(|claim| self.claim(claim, now)).collect();
        let mut again = Vec::new();
        for id in &turn.again {
            let push = self.pushes.get_mut(id).filter(|push| push.state == PushState::Waiting);
            again.push(push.is_some());
            if let Some(push) = push {
                push.state = PushState::Claimed;
                push.attempts = push.attempts.saturating_add(1);
                push.at = now;
            }
        }
        Ok(Turned { claims, again })
    }

    async fn abandon(&mut self, before: Millis, now: Millis) -> Result<Vec<Push>, StoreError> {
        let mut gone = Vec::new();
        for push in self.pushes.values_mut().filter(|p| p.state == PushState::Claimed && p.at < before) {
            push.state = PushState::Unknown;
            push.at = now;
            gone.push(push.clone());
        }
        Ok(gone)
    }

    async fn rooms_of(&self, user: UserId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        let own = self.pending.values().filter(|pending| pending.wanted.user == user);
        let mut rooms: Vec<_> = own.map(|pending| (pending.window_end, pending.wanted.room)).collect();
        rooms.sort_by_key(|(end, room)| (std::cmp::Reverse(*end), *room));
        rooms.truncate(limit as usize);
        Ok(rooms.into_iter().map(|(_, room)| room).collect())
    }

    async fn why(&self, user: UserId, room: RoomId, seq: Seq) -> Result<Known, StoreError> {
        let of = |user: UserId| {
            let found = self.decisions.range((user, room, Seq(0))..=(user, room, seq)).next_back();
            found.map(|(_, decision)| *decision).filter(|decision| decision.last >= seq)
        };
        let tells =
            |push: &&Push| (push.user, push.room) == (user, room) && push.from <= seq && seq <= push.upto;
        let mut pushes: Vec<_> = self.pushes.values().filter(tells).cloned().collect();
        pushes.sort_by_key(|push| (push.upto, push.id));
        pushes.truncate(WHY_PUSHES_MAX);
        Ok(Known {
            decision: of(user).or_else(|| of(UserId::NIL)),
            pending: self.pending.get(&(user, room)).cloned(),
            pushes,
            devices: self.devices(user).await?,
            taken: self.taken.get(&room).map_or(Seq(0), |(seq, _)| *seq),
        })
    }

    async fn dead(&self, untold: bool, limit: u32) -> Result<Vec<Push>, StoreError> {
        let dead = |push: &&Push| push.state == PushState::Dead && !(untold && push.told);
        let mut dead: Vec<_> = self.pushes.values().filter(dead).cloned().collect();
        dead.sort_by_key(|push| (push.at, push.id));
        if !untold {
            dead.reverse();
        }
        dead.truncate(limit as usize);
        Ok(dead)
    }

    async fn mark_told(&mut self, ids: &[PushId]) -> Result<(), StoreError> {
        for id in ids {
            if let Some(push) = self.pushes.get_mut(id).filter(|push| push.state == PushState::Dead) {
                push.told = true;
            }
        }
        Ok(())
    }

    async fn revive(&mut self, ids: &[PushId], now: Millis) -> Result<u32, StoreError> {
        let mut count = 0;
        for id in ids {
            if let Some(push) = self.pushes.get_mut(id).filter(|push| push.state == PushState::Dead) {
                (push.state, push.attempts, push.at, push.next) = (PushState::Waiting, 0, now, now);
                push.told = false;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn prune(&mut self, before: Millis, rows_max: u64) -> Result<u64, StoreError> {
        let count = |store: &Self| {
            (store.decisions.len() + store.pushes.len() + store.pending.len() + store.taken.len()) as u64
        };
        let all = count(self);
        self.decisions.retain(|_, decision| decision.at >= before);
        self.pushes.retain(|_, push| !push.state.is_over() || push.at >= before);
        self.pending.retain(|_, pending| pending.wanted.messages > 0 || pending.window_end >= before);
        self.taken.retain(|_, (_, at)| *at >= before);
        let mut old: Vec<_> = self.decisions.iter().map(|(key, decision)| (decision.at, *key)).collect();
        old.sort_unstable();
        for (_, key) in &old[..old.len().saturating_sub(usize::try_from(rows_max).unwrap_or(usize::MAX))] {
            self.decisions.remove(key);
        }
        let over = self.pushes.values().filter(|push| push.state.is_over());
        let mut old: Vec<_> = over.map(|push| (push.at, push.id)).collect();
        old.sort_unstable();
        for (_, id) in &old[..old.len().saturating_sub(usize::try_from(rows_max).unwrap_or(usize::MAX))] {
            self.pushes.remove(id);
        }
        Ok(all - count(self))
    }

    async fn erase(&mut self, user: UserId) -> Result<(), StoreError> {
        self.devices.retain(|_, device| device.user != user);
        self.pending.retain(|(of, _), _| *of != user);
        self.pushes.retain(|_, push| push.user != user);
        self.decisions.retain(|(of, ..), _| *of != user);
        Ok(())
    }
}

impl Dump for MemoryNotify {
    type Row = NotifyRow;

    async fn rows(
        &mut self,
        mark: &NotifyMark,
        limit: u32,
    ) -> Result<DumpPage<NotifyRow, NotifyMark>, StoreError> {
        let size = limit as usize;
        let rows: Vec<NotifyRow> = match mark {
            NotifyMark::Devices(after) => {
                let rows = self.devices.range((Excluded(*after), Unbounded));
                rows.take(size).map(|(_, device)| NotifyRow::Device(device.clone())).collect()
            }
            NotifyMark::Taken(after) => {
                let rows = self.taken.range((Excluded(*after), Unbounded)).take(size);
                rows.map(|(room, (seq, at))| NotifyRow::Taken { room: *room, seq: *seq, at: *at }).collect()
            }
            NotifyMark::Pending(user, room) => {
                let rows = self.pending.range((Excluded((*user, *room)), Unbounded));
                rows.take(size).map(|(_, pending)| NotifyRow::Pending(pending.clone())).collect()
            }
            NotifyMark::Pushes(after) => {
                let rows = self.pushes.range((Excluded(*after), Unbounded));
                rows.take(size).map(|(_, push)| NotifyRow::Push(push.clone())).collect()
            }
            NotifyMark::Decisions(user, room, first) => {
                let rows = self.decisions.range((Excluded((*user, *room, *first)), Unbounded));
                rows.take(size).map(|(_, decision)| NotifyRow::Decision(*decision)).collect()
            }
        };
        let rows = rows.into_iter().map(marked).collect();
        Ok(DumpPage::at(mark, rows, limit))
    }
}

impl Fill for MemoryNotify {
    type Row = NotifyRow;

    async fn fill(&mut self, rows: &[NotifyRow]) -> Result<(), StoreError> {
        for row in rows {
            match row {
                NotifyRow::Device(device) => {
                    self.free_token(device);
                    self.devices.insert(device.session, device.clone());
                }
                NotifyRow::Taken { room, seq, at } => {
                    self.taken.insert(*room, (*seq, *at));
                }
                NotifyRow::Pending(pending) => {
                    self.pending.insert((pending.wanted.user, pending.wanted.room), pending.clone());
                }
                NotifyRow::Push(push) => {
                    self.pushes.insert(push.id, push.clone());
                }
                NotifyRow::Decision(decision) => {
                    self.decisions.insert((decision.user, decision.room, decision.first), *decision);
                }
            }
        }
        Ok(())
    }

    async fn take_out(&mut self, rows: &[NotifyRow]) -> Result<(), StoreError> {
        for row in rows {
            match row {
                NotifyRow::Device(device) => drop(self.devices.remove(&device.session)),
                NotifyRow::Taken { room, .. } => drop(self.taken.remove(room)),
                NotifyRow::Pending(pending) => {
                    self.pending.remove(&(pending.wanted.user, pending.wanted.room));
                }
                NotifyRow::Push(push) => drop(self.pushes.remove(&push.id)),
                NotifyRow::Decision(decision) => {
                    self.decisions.remove(&(decision.user, decision.room, decision.first));
                }
            }
        }
        Ok(())
    }
}
