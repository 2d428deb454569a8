//! A refresh that meets another one between its look at the store and its write, at exactly the wrong moment.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use crate::support::{SECRET, START, Server, lax, text};
use lynk_api::accounts::NoBlocks;
use lynk_auth::{Refresh, RefreshToken, ServerSecret, SessionPolicy, refresh};
use lynk_domain::{Family, Millis, Phone, Revocation, RoomId, Seq, SessionId, UserId};
use lynk_embedded::Accounts;
use lynk_model::StoreError;
use lynk_model::account::{
    Account, AccountChange, AuditEvent, AuditKind, Changed, Charge, Charged, Enrolled, Erasure, Factor,
    FoundAccounts, NewSession, Registered, SearchMark, Session, Which,
};
use lynk_model::port::{AccountStore, ErasureStore, FactorStore, LastFault, ready};

/// What the rival does, after a session was read and before the reader does anything with it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Rival {
    Sleeps,
    /// Turns the family with the newest token.
    Turns,
    /// Ends the session.
    Ends,
}

/// The real store, with a rival on it. What it does next is the test's to say.
struct Raced {
    store: RefCell<Accounts>,
    rival: Arc<Mutex<(Rival, Option<RefreshToken>)>>,
}

impl Raced {
    fn act(&self, session: &Session) {
        let mut store = self.store.borrow_mut();
        let mut rival = self.rival.lock().expect("whole");
        let wall = Millis(START + 60_001);
        match std::mem::replace(&mut rival.0, Rival::Sleeps) {
            Rival::Sleeps => {}
            Rival::Ends => {
                let which = Which::One(session.session);
                ready(store.revoke(session.user, which, AuditKind::Revoked, wall)).expect("ends");
            }
            Rival::Turns => {
                let token = rival.1.clone().expect("the newest token");
                let verdict = refresh(
                    &session.family,
                    &token,
                    &ServerSecret::new(SECRET),
                    wall,
                    &SessionPolicy::default(),
                );
                let Refresh::Rotate { family, .. } = verdict else { panic!("{verdict:?}") };
                let generation = session.family.generation;
                assert_eq!(ready(store.rotate(session.session, generation, &family, wall)), Ok(true));
            }
        }
    }
}

impl FactorStore for Raced {
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError> {
        ready(self.store.borrow().factor(user))
    }

    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError> {
        self.store.get_mut().enrol(user, sealed, wall).await
    }

    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.store.get_mut().confirm(seen, step, proofs, by, wall).await
    }

    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        self.store.get_mut().accept_step(seen, step, sealed).await
    }

    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.store.get_mut().use_recovery(user, proof, wall).await
    }

    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError> {
        ready(self.store.borrow().recovery_left(user))
    }

    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.store.get_mut().replace_recovery(user, proofs, by, wall).await
    }

    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError> {
        self.store.get_mut().remove_factor(user, by, wall).await
    }

    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        self.store.get_mut().note(event).await
    }

    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError> {
        ready(self.store.borrow().suspended(user))
    }

    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        self.store.get_mut().suspend(user, wall).await
    }

    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError> {
        self.store.get_mut().resume(user, wall).await
    }
}

impl ErasureStore for Raced {
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        self.store.get_mut().erase(user, wall).await
    }

    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        ready(self.store.borrow().erasure(user))
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        ready(self.store.borrow().erasures(limit))
    }

    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError> {
        self.store.get_mut().advance_erasure(user, room, seq, done).await
    }

    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError> {
        self.store.get_mut().forget_names(wall, limit).await
    }
}

impl LastFault for Raced {}

impl AccountStore for Raced {
    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        let read = ready(self.store.borrow().session(session))?;
        if let Some(session) = &read {
            self.act(session);
        }
        Ok(read)
    }

    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError> {
        ready(self.store.borrow().account_of_phone(phone))
    }

    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        ready(self.store.borrow().account_of_name(folded))
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        ready(self.store.borrow().name_is_taken(folded, wall))
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        ready(self.store.borrow().names(after, limit))
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
        ready(self.store.borrow().accounts(users))
    }

    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError> {
        ready(self.store.get_mut().change(user, change, wall))
    }

    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError> {
        ready(self.store.borrow().search(words, after, limit))
    }

    async fn index_words(&mut self, limit: u32) -> Result<u32, StoreError> {
        ready(self.store.get_mut().index_words(limit))
    }

    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError> {
        self.store.get_mut().register(account, session).await
    }

    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError> {
        self.store.get_mut().remove(user, wall).await
    }

    async fn open_session(&mut self, user: UserId, new: &NewSession) -> Result<Vec<Revocation>, StoreError> {
        self.store.get_mut().open_session(user, new).await
    }

    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError> {
        ready(self.store.borrow().sessions(user, wall))
    }

    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &Family,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.store.get_mut().rotate(session, generation, family, wall).await
    }

    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.store.get_mut().revoke(user, which, reason, wall).await
    }

    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError> {
        ready(self.store.borrow().revoked_since(since))
    }

    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError> {
        self.store.get_mut().charge(charges, wall).await
    }

    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        ready(self.store.borrow().audit(user, limit))
    }
    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        ready(self.store.borrow().unpublished(limit))
    }
    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        ready(self.store.borrow_mut().mark_published(users))
    }
}

#[test]
fn a_refresh_that_loses_the_race_gets_the_winners_successor_or_learns_of_the_end() {
    let data = Arc::new(tempfile::tempdir().expect("a directory"));
    let rival = Arc::new(Mutex::new((Rival::Sleeps, None)));
    let store = Accounts::open(data.path()).expect("opens");
    let raced = Raced { store: RefCell::new(store), rival: Arc::clone(&rival) };
    let server = Server::on(raced, data, lax(), Arc::new(NoBlocks), START);
    let made = server.sign_up("+4915112345601", "alice");
    server.advance(60_000);
    let secret = ServerSecret::new(SECRET);
    let arm = |what: Rival, token: &serde_json::Value| {
        let token = RefreshToken::parse(token.as_str().expect("text"), &secret);
        *rival.lock().expect("whole") = (what, token);
    };
    // The rival turns the family between our read and our write: ours is refused by the store, looks again, and finds the
    // token used a moment ago.
    let first = &made["refresh_token"];
    arm(Rival::Turns, first);
    let lost = server.refresh(first).ok(200);
    assert_eq!(rival.lock().expect("whole").0, Rival::Sleeps, "it acted");
    let again = server.refresh(first).ok(200);
    assert_eq!(lost["refresh_token"], again["refresh_token"], "one successor, whoever made it");
    // The rival ends the session in between: nothing turns any more.
    arm(Rival::Ends, first);
    assert_eq!(server.refresh(&lost["refresh_token"]).code(401), "invalid_token");
    assert_eq!(server.get("/v1/me", text(&lost, "access_token")).code(401), "invalid_token");
}
