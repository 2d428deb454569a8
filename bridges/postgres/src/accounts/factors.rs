//! Second factors, recovery codes, suspensions: one transaction each, under the lock of the account.
//!
//! Thread: the bridge's. What can fail: see [`Fault`].

use lynk_domain::{Millis, Revocation, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::account::{AuditEvent, AuditKind, Enrolled, Factor, Which};
use lynk_model::port::FactorStore;
use tokio_postgres::Row;

use super::PostgresAccounts;
use super::read::one;
use super::write::{end_sessions, note, of_account};
use crate::Fault;
use crate::column::{bits, get, id, number, small, uuid};
use crate::database::{Database, Session, Verdict};
use crate::locks::TAKE;

impl FactorStore for PostgresAccounts {
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError> {
        let sql =
            "SELECT user_id, sealed, enrolled, confirmed, last_step FROM accounts.factors WHERE user_id = $1";
        self.database.noted(one(&self.database, sql, &[&uuid(user.0)], factor).await)
    }

    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError> {
        self.database.noted(enrol(&self.database, user, sealed, wall).await)
    }

    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.database.noted(confirm(&self.database, seen, step, proofs, (by, wall)).await)
    }

    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        self.database.noted(accept_step(&self.database, seen, step, sealed).await)
    }

    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.database.noted(use_recovery(&self.database, user, proof, wall).await)
    }

    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM accounts.recovery WHERE user_id = $1";
        let left = one(&self.database, sql, &[&uuid(user.0)], |row| small(row, 0)).await;
        self.database.noted(left.map(Option::unwrap_or_default))
    }

    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.database.noted(replace_recovery(&self.database, user, proofs, (by, wall)).await)
    }

    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError> {
        self.database.noted(remove(&self.database, user, (by, wall)).await)
    }

    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        let AuditEvent { at, user, session: of, kind } = event;
        let noted = self.database.change(async |session| {
            note(session, user, of, kind, at).await?;
            Ok(Verdict::Commit(()))
        });
        self.database.noted(noted.await)
    }

    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError> {
        let sql = "SELECT since FROM accounts.suspended WHERE user_id = $1";
        let since = one(&self.database, sql, &[&uuid(user.0)], |row| Ok(Millis(number(row, 0)?))).await;
        self.database.noted(since)
    }

    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        self.database.noted(suspend(&self.database, user, wall).await)
    }

    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError> {
        self.database.noted(resume(&self.database, user, wall).await)
    }
}

pub(super) fn factor(row: &Row) -> Result<Factor, Fault> {
    Ok(Factor {
        user: UserId(id(row, 0)?),
        sealed: get(row, 1)?,
        enrolled: Millis(number(row, 2)?),
        confirmed: get::<Option<i64>>(row, 3)?.map(|at| Millis(at.cast_unsigned())),
        last_step: number(row, 4)?,
    })
}

/// Puts a row in place of the one that is there.
pub(super) async fn put(session: &Session, app: &Factor) -> Result<u64, Fault> {
    let sql = "INSERT INTO accounts.factors (user_id, sealed, enrolled, confirmed, last_step) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, enrolled = excluded.enrolled,
            confirmed = excluded.confirmed, last_step = excluded.last_step";
    let (enrolled, confirmed) = (bits(app.enrolled.0), app.confirmed.map(|at| bits(at.0)));
    session.execute(sql, &[&uuid(app.user.0), &app.sealed, &enrolled, &confirmed, &bits(app.last_step)]).await
}

/// Removes everything of a user.
pub(super) async fn forget(session: &Session, user: UserId) -> Result<(), Fault> {
    for sql in [
        "DELETE FROM accounts.factors WHERE user_id = $1",
        "DELETE FROM accounts.recovery WHERE user_id = $1",
        "DELETE FROM accounts.suspended WHERE user_id = $1",
    ] {
        session.execute(sql, &[&uuid(user.0)]).await?;
    }
    Ok(())
}

async fn has_account(session: &Session, user: UserId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM accounts.accounts WHERE user_id = $1";
    Ok(session.row(sql, &[&uuid(user.0)]).await?.is_some())
}

async fn has_app(session: &Session, user: UserId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM accounts.factors WHERE user_id = $1 AND confirmed IS NOT NULL";
    Ok(session.row(sql, &[&uuid(user.0)]).await?.is_some())
}

async fn enrol(database: &Database, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, Fault> {
    let locks = of_account(user);
    let app = Factor { user, sealed: sealed.to_vec(), enrolled: wall, confirmed: None, last_step: 0 };
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            if !has_account(session, user).await? {
                return Ok(Verdict::Rollback(Enrolled::NoAccount));
            }
            if has_app(session, user).await? {
                return Ok(Verdict::Rollback(Enrolled::HasOne));
            }
            put(session, &app).await?;
            Ok(Verdict::Commit(Enrolled::Waits))
        })
        .await
}

async fn replace(session: &Session, user: UserId, proofs: &[[u8; 32]]) -> Result<(), Fault> {
    session.execute("DELETE FROM accounts.recovery WHERE user_id = $1", &[&uuid(user.0)]).await?;
    let proofs: Vec<&[u8]> = proofs.iter().map(|proof| proof.as_slice()).collect();
    let sql = "INSERT INTO accounts.recovery (user_id, proof) SELECT $1::uuid, * FROM unnest($2::bytea[])";
    session.execute(sql, &[&uuid(user.0), &proofs]).await?;
    Ok(())
}

async fn confirm(
    database: &Database,
    seen: &Factor,
    step: u64,
    proofs: &[[u8; 32]],
    (by, wall): (SessionId, Millis),
) -> Result<bool, Fault> {
    let locks = of_account(seen.user);
    let sql = "UPDATE accounts.factors SET confirmed = $5, last_step = $6
        WHERE user_id = $1 AND sealed = $2 AND enrolled = $3 AND last_step = $4 AND confirmed IS NULL";
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let (user, enrolled, last) = (uuid(seen.user.0), bits(seen.enrolled.0), bits(seen.last_step));
            let changed = session
                .execute(sql, &[&user, &seen.sealed, &enrolled, &last, &bits(wall.0), &bits(step)])
                .await?;
            if changed == 0 || seen.confirmed.is_some() {
                return Ok(Verdict::Rollback(false));
            }
            replace(session, seen.user, proofs).await?;
            note(session, seen.user, by, AuditKind::FactorOn, wall).await?;
            Ok(Verdict::Commit(true))
        })
        .await
}

/// A compare-and-swap: of two that saw one state the second waits for the first, and then finds another one.
async fn accept_step(
    database: &Database,
    seen: &Factor,
    step: u64,
    sealed: Option<&[u8]>,
) -> Result<bool, Fault> {
    let sql = "UPDATE accounts.factors SET last_step = $6, sealed = coalesce($7, sealed)
        WHERE user_id = $1 AND sealed = $2 AND enrolled = $3 AND confirmed IS NOT DISTINCT FROM $4 AND last_step = $5";
    database
        .change(async |session| {
            let (user, enrolled, last) = (uuid(seen.user.0), bits(seen.enrolled.0), bits(seen.last_step));
            let confirmed = seen.confirmed.map(|at| bits(at.0));
            let changed = session
                .execute(sql, &[&user, &seen.sealed, &enrolled, &confirmed, &last, &bits(step), &sealed])
                .await?;
            Ok(if changed == 1 { Verdict::Commit(true) } else { Verdict::Rollback(false) })
        })
        .await
}

async fn use_recovery(
    database: &Database,
    user: UserId,
    proof: &[u8; 32],
    wall: Millis,
) -> Result<bool, Fault> {
    let sql = "DELETE FROM accounts.recovery WHERE user_id = $1 AND proof = $2";
    database
        .change(async |session| {
            if session.execute(sql, &[&uuid(user.0), &proof.as_slice()]).await? == 0 {
                return Ok(Verdict::Rollback(false));
            }
            note(session, user, SessionId::NIL, AuditKind::RecoveryUsed, wall).await?;
            Ok(Verdict::Commit(true))
        })
        .await
}

async fn replace_recovery(
    database: &Database,
    user: UserId,
    proofs: &[[u8; 32]],
    (by, wall): (SessionId, Millis),
) -> Result<bool, Fault> {
    let locks = of_account(user);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            if !has_app(session, user).await? {
                return Ok(Verdict::Rollback(false));
            }
            replace(session, user, proofs).await?;
            note(session, user, by, AuditKind::RecoveryMade, wall).await?;
            Ok(Verdict::Commit(true))
        })
        .await
}

async fn remove(database: &Database, user: UserId, (by, wall): (SessionId, Millis)) -> Result<bool, Fault> {
    let locks = of_account(user);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            if !has_app(session, user).await? {
                return Ok(Verdict::Rollback(false));
            }
            session.execute("DELETE FROM accounts.factors WHERE user_id = $1", &[&uuid(user.0)]).await?;
            replace(session, user, &[]).await?;
            note(session, user, by, AuditKind::FactorOff, wall).await?;
            Ok(Verdict::Commit(true))
        })
        .await
}

async fn suspend(database: &Database, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, Fault> {
    let locks = of_account(user);
    let sql =
        "INSERT INTO accounts.suspended (user_id, since) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING";
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            if !has_account(session, user).await? {
                return Ok(Verdict::Rollback(None));
            }
            if session.execute(sql, &[&uuid(user.0), &bits(wall.0)]).await? == 1 {
                note(session, user, SessionId::NIL, AuditKind::Suspended, wall).await?;
            }
            let ended = end_sessions(session, user, Which::All, AuditKind::Suspended, wall).await?;
            Ok(Verdict::Commit(Some(ended)))
        })
        .await
}

async fn resume(database: &Database, user: UserId, wall: Millis) -> Result<bool, Fault> {
    database
        .change(async |session| {
            let sql = "DELETE FROM accounts.suspended WHERE user_id = $1";
            if session.execute(sql, &[&uuid(user.0)]).await? == 0 {
                return Ok(Verdict::Rollback(false));
            }
            note(session, user, SessionId::NIL, AuditKind::Resumed, wall).await?;
            Ok(Verdict::Commit(true))
        })
        .await
}
