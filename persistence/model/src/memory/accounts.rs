//! [`MemoryAccounts`]: accounts as tables. See the parent module.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use lynk_domain::{Family, Millis, Phone, Revocation, SessionId, UserId};

use super::factors::Factors;
use crate::account::{
    Account, AccountChange, AuditEvent, AuditKind, Changed, Charge, Charged, ENDED_SESSION_KEPT_MILLIS,
    FoundAccounts, NewSession, Registered, SEARCH_WORDS_MAX, SearchMark, Session, Which, search_along,
};
use crate::dump::{AccountsMark, AccountsRow, DumpPage};
use crate::local::{Counted, Slices};
use crate::port::{AccountStore, Dump, Fill, LastFault};
use crate::{NAME_RESERVED_MILLIS, StoreError, fold_name};

/// [`AccountStore`] in memory.
#[derive(Clone, Default, Debug)]
pub struct MemoryAccounts {
    accounts: BTreeMap<UserId, Account>,
    /// Folded name → who has it, or gave it up and when.
    names: BTreeMap<String, (UserId, Option<Millis>)>,
    sessions: BTreeMap<SessionId, Kept>,
    counted: Slices,
    audit: Vec<AuditEvent>,
    /// Accounts whose event waits, in the order in which they were made.
    outbox: Vec<(UserId, Millis)>,
    pub(super) factors: Factors,
}

#[derive(Clone, Debug)]
struct Kept {
    session: Session,
    revoked: Option<Millis>,
}

impl Kept {
    fn ends(&self) -> Millis {
        self.revoked.unwrap_or(Millis(u64::MAX)).min(self.session.family.ends())
    }
}

impl MemoryAccounts {
    /// Forgets names that were given up for longer than they stay closed.
    pub(super) fn forget_freed(&mut self, wall: Millis, limit: u32) -> u32 {
        let over = |at: &Millis| at.0.saturating_add(NAME_RESERVED_MILLIS) <= wall.0;
        let freed = self.names.iter().filter(|(_, (_, freed))| freed.as_ref().is_some_and(over));
        let names: Vec<String> = freed.take(limit as usize).map(|(folded, _)| folded.clone()).collect();
        for folded in &names {
            self.names.remove(folded);
        }
        names.len() as u32
    }

    pub(super) fn has_account(&self, user: UserId) -> bool {
        self.accounts.contains_key(&user)
    }

    pub(super) fn note(&mut self, user: UserId, session: SessionId, kind: AuditKind, at: Millis) {
        self.audit.push(AuditEvent { at, user, session, kind });
    }

    /// Takes a name; `false` when another account has it or gave it up too recently.
    fn take_name(&mut self, user: UserId, folded: &str, wall: Millis) -> bool {
        if let Some((holder, freed)) = self.names.get(folded)
            && *holder != user
            && freed.is_none_or(|at| wall.0 < at.0.saturating_add(NAME_RESERVED_MILLIS))
        {
            return false;
        }
        self.names.insert(folded.to_owned(), (user, None));
        true
    }

    fn put_session(&mut self, user: UserId, new: &NewSession) {
        let session = Session {
            session: new.session,
            user,
            device: new.device.clone(),
            created: new.created,
            last_used: new.created,
            epoch: 1,
            family: new.family.clone(),
        };
        self.sessions.insert(new.session, Kept { session, revoked: None });
        self.note(user, new.session, AuditKind::SignedIn, new.created);
    }

    pub(super) fn end_sessions(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Vec<Revocation> {
        let mut ended = Vec::new();
        for kept in self.sessions.values_mut() {
            let named = match which {
                Which::One(session) => kept.session.session == session,
                Which::Others(session) => kept.session.session != session,
                Which::All => true,
            };
            if named && kept.session.user == user && kept.revoked.is_none() {
                kept.revoked = Some(wall);
                kept.session.epoch += 1;
                let (session, epoch) = (kept.session.session, kept.session.epoch);
                ended.push(Revocation { user, session, epoch });
            }
        }
        for one in &ended {
            self.note(user, one.session, reason, wall);
        }
        ended
    }
}

impl LastFault for MemoryAccounts {}

impl AccountStore for MemoryAccounts {
    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError> {
        Ok(self.accounts.values().find(|account| account.phone == *phone).cloned())
    }

    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        let holder = self.names.get(folded).filter(|(_, freed)| freed.is_none());
        Ok(holder.and_then(|(user, _)| self.accounts.get(user).cloned()))
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        let closed = |freed: &Option<Millis>| {
            freed.is_none_or(|at| wall.0 < at.0.saturating_add(NAME_RESERVED_MILLIS))
        };
        Ok(self.names.get(folded).is_some_and(|(_, freed)| closed(freed)))
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let rest = self.names.range::<str, _>((Excluded(after), Unbounded));
        Ok(rest.take(limit as usize).map(|(name, _)| name.clone()).collect())
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
        Ok(users.iter().filter_map(|user| self.accounts.get(user).cloned()).collect())
    }

    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError> {
        let Some(account) = self.accounts.get(&user) else { return Ok(Changed::Missing) };
        let after = change.apply(account, wall);
        let (old, new) = (fold_name(&account.user_name), fold_name(&after.user_name));
        if old != new {
            if !self.take_name(user, &new, wall) {
                return Ok(Changed::NameTaken);
            }
            self.names.insert(old, (user, Some(wall)));
        }
        self.accounts.insert(user, after.clone());
        Ok(Changed::Done(Box::new(after)))
    }

    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError> {
        let Some((along, others)) = search_along(words) else { return Ok(FoundAccounts::default()) };
        let of = |account: &Account| {
            let user = account.user;
            account.words().into_iter().map(move |word| SearchMark { word, user })
        };
        let all: BTreeSet<SearchMark> = self.accounts.values().flat_map(of).collect();
        let range = all.iter().filter(|at| at.word.starts_with(along));
        let places: Vec<_> = range.filter(|at| after.is_none_or(|after| *at > after)).collect();
        let mut found = FoundAccounts::default();
        for (index, at) in places.iter().enumerate() {
            if index == SEARCH_WORDS_MAX as usize || found.accounts.len() == limit as usize {
                found.next = Some((*places[index - 1]).clone());
                break;
            }
            let account = &self.accounts[&at.user];
            let words = account.words();
            let has = |wanted: &str| words.iter().any(|word| word.starts_with(wanted));
            let first = words.iter().find(|word| word.starts_with(along)) == Some(&at.word);
            if first && others.iter().all(|wanted| has(wanted)) {
                found.accounts.push(account.clone());
            }
        }
        Ok(found)
    }

    async fn index_words(&mut self, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }

    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError> {
        if self.accounts.values().any(|other| other.phone == account.phone) {
            return Ok(Registered::PhoneTaken);
        }
        if !self.take_name(account.user, &fold_name(&account.user_name), account.created) {
            return Ok(Registered::NameTaken);
        }
        self.accounts.insert(account.user, account.clone());
        self.note(account.user, SessionId::NIL, AuditKind::Registered, account.created);
        self.outbox.push((account.user, account.created));
        self.put_session(account.user, session);
        Ok(Registered::Made)
    }

    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError> {
        if self.accounts.remove(&user).is_none() {
            return Ok(Vec::new());
        }
        for (holder, freed) in self.names.values_mut() {
            if *holder == user && freed.is_none() {
                *freed = Some(wall);
            }
        }
        self.factors.forget(user);
        let ended = self.end_sessions(user, Which::All, AuditKind::Removed, wall);
        self.note(user, SessionId::NIL, AuditKind::Removed, wall);
        Ok(ended)
    }

    async fn open_session(
        &mut self,
        user: UserId,
        session: &NewSession,
    ) -> Result<Vec<Revocation>, StoreError> {
        let wall = session.created;
        self.sessions.retain(|_, kept| kept.ends().0.saturating_add(ENDED_SESSION_KEPT_MILLIS) > wall.0);
        let mut open: Vec<_> = self
            .sessions
            .values()
            .filter(|kept| kept.session.user == user && kept.ends() > wall)
            .map(|kept| (kept.session.last_used, kept.session.session))
            .collect();
        open.sort_unstable();
        let too_many = open.len().saturating_sub(session.sessions_max.saturating_sub(1) as usize);
        let mut ended = Vec::new();
        // The later one first, as they are found from the top.
        for (_, old) in open[..too_many].iter().rev() {
            ended.extend(self.end_sessions(user, Which::One(*old), AuditKind::Displaced, wall));
        }
        self.put_session(user, session);
        Ok(ended)
    }

    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        let kept = self.sessions.get(&session).filter(|kept| kept.revoked.is_none());
        Ok(kept.map(|kept| kept.session.clone()))
    }

    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError> {
        let open = self.sessions.values().filter(|kept| kept.revoked.is_none() && kept.ends() > wall);
        let mut sessions: Vec<_> =
            open.map(|kept| kept.session.clone()).filter(|session| session.user == user).collect();
        sessions.sort_by_key(|session| (session.created, session.session));
        Ok(sessions)
    }

    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &Family,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let Some(kept) = self.sessions.get_mut(&session) else { return Ok(false) };
        if kept.revoked.is_some() || kept.session.family.generation != generation {
            return Ok(false);
        }
        kept.session.family = family.clone();
        kept.session.last_used = wall;
        Ok(true)
    }

    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError> {
        Ok(self.end_sessions(user, which, reason, wall))
    }

    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError> {
        let mut revoked: Vec<_> = self
            .sessions
            .values()
            .filter_map(|kept| Some((kept.revoked.filter(|at| *at >= since)?, &kept.session)))
            .map(|(at, of)| (at, Revocation { user: of.user, session: of.session, epoch: of.epoch }))
            .collect();
        revoked.sort_by_key(|(at, revocation)| (*at, revocation.session));
        Ok(revoked)
    }

    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError> {
        Ok(self.counted.charge(wall, charges))
    }

    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let events = self.audit.iter().rev().filter(|event| event.user == user);
        Ok(events.take(limit as usize).copied().collect())
    }

    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        Ok(self.outbox.iter().take(limit as usize).copied().collect())
    }

    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        self.outbox.retain(|(user, _)| !users.contains(user));
        Ok(())
    }
}

impl Dump for MemoryAccounts {
    type Row = AccountsRow;

    async fn rows(
        &mut self,
        mark: &AccountsMark,
        limit: u32,
    ) -> Result<DumpPage<AccountsRow, AccountsMark>, StoreError> {
        let size = limit as usize;
        let rows: Vec<(AccountsRow, AccountsMark)> = match mark {
            AccountsMark::Accounts(after) => {
                let rows = self.accounts.iter().filter(|(user, _)| *user > after).take(size);
                rows.map(|(u, a)| (AccountsRow::Account(a.clone()), AccountsMark::Accounts(*u))).collect()
            }
            AccountsMark::Names(after) => {
                let rows = self.names.iter().filter(|(folded, _)| *folded > after).take(size);
                let row = |(folded, (user, freed)): (&String, &(UserId, Option<Millis>))| {
                    let row = AccountsRow::Name { folded: folded.clone(), user: *user, freed: *freed };
                    (row, AccountsMark::Names(folded.clone()))
                };
                rows.map(row).collect()
            }
            AccountsMark::Sessions(after) => {
                let rows = self.sessions.iter().filter(|(id, _)| *id > after).take(size);
                let row = |(id, kept): (&SessionId, &Kept)| {
                    let row = AccountsRow::Session { session: kept.session.clone(), revoked: kept.revoked };
                    (row, AccountsMark::Sessions(*id))
                };
                rows.map(row).collect()
            }
            AccountsMark::Counters(key, slice) => {
                let rows = self.counted.after(*key, *slice).take(size);
                let row = |(&(key, slice), &Counted { count, until }): (&([u8; 16], u64), &Counted)| {
                    (AccountsRow::Counter { key, slice, count, until }, AccountsMark::Counters(key, slice))
                };
                rows.map(row).collect()
            }
            AccountsMark::Audit(after) => {
                let rows = (1..).zip(&self.audit).filter(|(id, _)| id > after).take(size);
                rows.map(|(id, event)| (AccountsRow::Audit(*event), AccountsMark::Audit(id))).collect()
            }
            AccountsMark::Outbox(after) => {
                let rows = (1..).zip(&self.outbox).filter(|(id, _)| id > after).take(size);
                let row = |(id, &(user, created)): (u64, &(UserId, Millis))| {
                    (AccountsRow::Waiting { user, created }, AccountsMark::Outbox(id))
                };
                rows.map(row).collect()
            }
            AccountsMark::Factors(after) => {
                let rows = self.factors.apps.range((Excluded(*after), Unbounded)).take(size);
                rows.map(|(user, app)| (AccountsRow::Factor(app.clone()), AccountsMark::Factors(*user)))
                    .collect()
            }
            AccountsMark::Recovery(user, proof) => {
                let rows = self.factors.recovery.range((Excluded((*user, *proof)), Unbounded)).take(size);
                let row = |&(user, proof): &(UserId, [u8; 32])| {
                    (AccountsRow::Recovery { user, proof }, AccountsMark::Recovery(user, proof))
                };
                rows.map(row).collect()
            }
            AccountsMark::Suspended(after) => {
                let rows = self.factors.suspended.range((Excluded(*after), Unbounded)).take(size);
                let row = |(&user, &since): (&UserId, &Millis)| {
                    (AccountsRow::Suspended { user, since }, AccountsMark::Suspended(user))
                };
                rows.map(row).collect()
            }
            AccountsMark::Erasures(after) => {
                let rows = self.factors.erasures.range((Excluded(*after), Unbounded)).take(size);
                rows.map(|(user, one)| (AccountsRow::Erasure(*one), AccountsMark::Erasures(*user))).collect()
            }
        };
        Ok(DumpPage::at(mark, rows, limit))
    }
}

impl Fill for MemoryAccounts {
    type Row = AccountsRow;

    async fn fill(&mut self, rows: &[AccountsRow]) -> Result<(), StoreError> {
        for row in rows {
            match row {
                AccountsRow::Account(account) => {
                    self.accounts.retain(|_, other| other.phone != account.phone);
                    self.accounts.insert(account.user, account.clone());
                }
                AccountsRow::Name { folded, user, freed } => {
                    self.names.insert(folded.clone(), (*user, *freed));
                }
                AccountsRow::Session { session, revoked } => {
                    self.sessions
                        .insert(session.session, Kept { session: session.clone(), revoked: *revoked });
                }
                AccountsRow::Counter { key, slice, count, until } => {
                    self.counted.put(*key, *slice, Counted { count: *count, until: *until });
                }
                AccountsRow::Audit(event) => {
                    if !self.audit.contains(event) {
                        self.audit.push(*event);
                    }
                }
                AccountsRow::Waiting { user, created } => {
                    if self.outbox.iter().all(|(other, _)| other != user) {
                        self.outbox.push((*user, *created));
                    }
                }
                AccountsRow::Factor(app) => {
                    self.factors.apps.insert(app.user, app.clone());
                }
                AccountsRow::Recovery { user, proof } => {
                    self.factors.recovery.insert((*user, *proof));
                }
                AccountsRow::Suspended { user, since } => {
                    self.factors.suspended.insert(*user, *since);
                }
                AccountsRow::Erasure(one) => {
                    self.factors.erasures.insert(one.user, *one);
                }
            }
        }
        Ok(())
    }

    async fn take_out(&mut self, rows: &[AccountsRow]) -> Result<(), StoreError> {
        if rows.iter().any(|row| matches!(row, AccountsRow::Erasure(_))) {
            return Err(StoreError::Corrupt);
        }
        for row in rows {
            match row {
                AccountsRow::Erasure(_) => {}
                AccountsRow::Name { folded, .. } => drop(self.names.remove(folded)),
                AccountsRow::Account(account) => drop(self.accounts.remove(&account.user)),
                AccountsRow::Session { session, .. } => drop(self.sessions.remove(&session.session)),
                AccountsRow::Counter { key, slice, .. } => self.counted.take_out(*key, *slice),
                AccountsRow::Audit(event) => self.audit.retain(|other| other != event),
                AccountsRow::Waiting { user, .. } => self.outbox.retain(|(other, _)| other != user),
                AccountsRow::Factor(app) => drop(self.factors.apps.remove(&app.user)),
                AccountsRow::Recovery { user, proof } => {
                    self.factors.recovery.remove(&(*user, *proof));
                }
                AccountsRow::Suspended { user, .. } => {
                    self.factors.suspended.remove(user);
                }
            }
        }
        Ok(())
    }
}
