//! Second factors, recovery codes, suspensions: one transaction each.

use lynk_domain::{Millis, Revocation, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::account::{AuditEvent, AuditKind, Enrolled, Factor, Which};
use lynk_model::port::FactorStore;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Accounts;
use super::write::{begin, end_sessions, execute, note};
use crate::Fault;
use crate::sqlite::{bits, commit, number};

impl FactorStore for Accounts {
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError> {
        self.noted(one_factor(&self.connection, user))
    }

    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError> {
        let result = enrol(&mut self.connection, user, sealed, wall);
        self.noted(result)
    }

    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let result = confirm(&mut self.connection, seen, step, proofs, (by, wall));
        self.noted(result)
    }

    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let result = accept_step(&mut self.connection, seen, step, sealed);
        self.noted(result)
    }

    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let result = use_recovery(&mut self.connection, user, proof, wall);
        self.noted(result)
    }

    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError> {
        self.noted(recovery_left(&self.connection, user))
    }

    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let result = replace_recovery(&mut self.connection, user, proofs, (by, wall));
        self.noted(result)
    }

    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError> {
        let result = remove(&mut self.connection, user, (by, wall));
        self.noted(result)
    }

    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        let result = begin(&mut self.connection).and_then(|tx| {
            note(&tx, event.user, event.session, event.kind, event.at)?;
            commit(tx)
        });
        self.noted(result)
    }

    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError> {
        self.noted(suspended(&self.connection, user))
    }

    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        let result = suspend(&mut self.connection, user, wall);
        self.noted(result)
    }

    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError> {
        let result = resume(&mut self.connection, user, wall);
        self.noted(result)
    }
}

pub(super) fn factor(row: &Row<'_>) -> rusqlite::Result<Factor> {
    Ok(Factor {
        user: UserId(row.get(0)?),
        sealed: row.get(1)?,
        enrolled: Millis(number(row, 2)?),
        confirmed: row.get::<_, Option<i64>>(3)?.map(|at| Millis(at.cast_unsigned())),
        last_step: number(row, 4)?,
    })
}

fn one_factor(connection: &Connection, user: UserId) -> Result<Option<Factor>, Fault> {
    let sql = "SELECT user, sealed, enrolled, confirmed, last_step FROM factors WHERE user = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([user.0], factor).optional()?)
}

/// Puts a row in place of the one that is there.
pub(super) fn put(tx: &Transaction<'_>, app: &Factor) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO factors (user, sealed, enrolled, confirmed, last_step)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let confirmed = app.confirmed.map(|at| bits(at.0));
    let values = params![app.user.0, app.sealed, bits(app.enrolled.0), confirmed, bits(app.last_step)];
    execute(tx, sql, values)?;
    Ok(())
}

/// Removes everything of a user.
pub(super) fn forget(tx: &Transaction<'_>, user: UserId) -> Result<(), Fault> {
    for table in ["factors", "recovery", "suspended"] {
        execute(tx, &format!("DELETE FROM {table} WHERE user = ?1"), [user.0])?;
    }
    Ok(())
}

fn has_account(tx: &Transaction<'_>, user: UserId) -> Result<bool, Fault> {
    Ok(tx.prepare_cached("SELECT 1 FROM accounts WHERE user = ?1")?.exists([user.0])?)
}

fn has_app(tx: &Transaction<'_>, user: UserId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM factors WHERE user = ?1 AND confirmed IS NOT NULL";
    Ok(tx.prepare_cached(sql)?.exists([user.0])?)
}

fn enrol(connection: &mut Connection, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, Fault> {
    let tx = begin(connection)?;
    if !has_account(&tx, user)? {
        return Ok(Enrolled::NoAccount);
    }
    if has_app(&tx, user)? {
        return Ok(Enrolled::HasOne);
    }
    let app = Factor { user, sealed: sealed.to_vec(), enrolled: wall, confirmed: None, last_step: 0 };
    put(&tx, &app)?;
    commit(tx)?;
    Ok(Enrolled::Waits)
}

fn replace(tx: &Transaction<'_>, user: UserId, proofs: &[[u8; 32]]) -> Result<(), Fault> {
    execute(tx, "DELETE FROM recovery WHERE user = ?1", [user.0])?;
    for proof in proofs {
        execute(tx, "INSERT INTO recovery (user, proof) VALUES (?1, ?2)", params![user.0, proof])?;
    }
    Ok(())
}

/// Whether the row is still as it was seen, and not confirmed or confirmed as it was then.
const AS_SEEN: &str = "user = ?1 AND sealed = ?2 AND enrolled = ?3 AND confirmed IS ?4 AND last_step = ?5";

fn confirm(
    connection: &mut Connection,
    seen: &Factor,
    step: u64,
    proofs: &[[u8; 32]],
    (by, wall): (SessionId, Millis),
) -> Result<bool, Fault> {
    if seen.confirmed.is_some() {
        return Ok(false);
    }
    let tx = begin(connection)?;
    let sql = format!("UPDATE factors SET confirmed = ?6, last_step = ?7 WHERE {AS_SEEN}");
    let confirmed: Option<i64> = None;
    let (user, enrolled, last) = (seen.user.0, bits(seen.enrolled.0), bits(seen.last_step));
    let values = params![user, seen.sealed, enrolled, confirmed, last, bits(wall.0), bits(step)];
    if execute(&tx, &sql, values)? == 0 {
        return Ok(false);
    }
    replace(&tx, seen.user, proofs)?;
    note(&tx, seen.user, by, AuditKind::FactorOn, wall)?;
    commit(tx)?;
    Ok(true)
}

fn accept_step(
    connection: &mut Connection,
    seen: &Factor,
    step: u64,
    sealed: Option<&[u8]>,
) -> Result<bool, Fault> {
    let tx = begin(connection)?;
    let sql = format!("UPDATE factors SET last_step = ?6, sealed = coalesce(?7, sealed) WHERE {AS_SEEN}");
    let confirmed = seen.confirmed.map(|at| bits(at.0));
    let (user, enrolled, last) = (seen.user.0, bits(seen.enrolled.0), bits(seen.last_step));
    let values = params![user, seen.sealed, enrolled, confirmed, last, bits(step), sealed];
    let changed = execute(&tx, &sql, values)?;
    commit(tx)?;
    Ok(changed == 1)
}

fn use_recovery(
    connection: &mut Connection,
    user: UserId,
    proof: &[u8; 32],
    wall: Millis,
) -> Result<bool, Fault> {
    let tx = begin(connection)?;
    let sql = "DELETE FROM recovery WHERE user = ?1 AND proof = ?2";
    if execute(&tx, sql, params![user.0, proof])? == 0 {
        return Ok(false);
    }
    note(&tx, user, SessionId::NIL, AuditKind::RecoveryUsed, wall)?;
    commit(tx)?;
    Ok(true)
}

fn recovery_left(connection: &Connection, user: UserId) -> Result<u32, Fault> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM recovery WHERE user = ?1")?;
    Ok(statement.query_row([user.0], |row| row.get(0))?)
}

fn replace_recovery(
    connection: &mut Connection,
    user: UserId,
    proofs: &[[u8; 32]],
    (by, wall): (SessionId, Millis),
) -> Result<bool, Fault> {
    let tx = begin(connection)?;
    if !has_app(&tx, user)? {
        return Ok(false);
    }
    replace(&tx, user, proofs)?;
    note(&tx, user, by, AuditKind::RecoveryMade, wall)?;
    commit(tx)?;
    Ok(true)
}

fn remove(connection: &mut Connection, user: UserId, (by, wall): (SessionId, Millis)) -> Result<bool, Fault> {
    let tx = begin(connection)?;
    if !has_app(&tx, user)? {
        return Ok(false);
    }
    execute(&tx, "DELETE FROM factors WHERE user = ?1", [user.0])?;
    replace(&tx, user, &[])?;
    note(&tx, user, by, AuditKind::FactorOff, wall)?;
    commit(tx)?;
    Ok(true)
}

fn suspended(connection: &Connection, user: UserId) -> Result<Option<Millis>, Fault> {
    let mut statement = connection.prepare_cached("SELECT since FROM suspended WHERE user = ?1")?;
    Ok(statement.query_row([user.0], |row| Ok(Millis(number(row, 0)?))).optional()?)
}

fn suspend(
    connection: &mut Connection,
    user: UserId,
    wall: Millis,
) -> Result<Option<Vec<Revocation>>, Fault> {
    let tx = begin(connection)?;
    if !has_account(&tx, user)? {
        return Ok(None);
    }
    let sql = "INSERT INTO suspended (user, since) VALUES (?1, ?2) ON CONFLICT (user) DO NOTHING";
    if execute(&tx, sql, params![user.0, bits(wall.0)])? == 1 {
        note(&tx, user, SessionId::NIL, AuditKind::Suspended, wall)?;
    }
    let ended = end_sessions(&tx, user, Which::All, AuditKind::Suspended, wall)?;
    commit(tx)?;
    Ok(Some(ended))
}

fn resume(connection: &mut Connection, user: UserId, wall: Millis) -> Result<bool, Fault> {
    let tx = begin(connection)?;
    if execute(&tx, "DELETE FROM suspended WHERE user = ?1", [user.0])? == 0 {
        return Ok(false);
    }
    note(&tx, user, SessionId::NIL, AuditKind::Resumed, wall)?;
    commit(tx)?;
    Ok(true)
}
