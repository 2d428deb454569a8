//! Reads of accounts and sessions.

use lynk_domain::{Family, Millis, Phone, ROTATIONS_KEPT, Revocation, SecretHash, SessionId, UserId};
use lynk_model::account::{Account, AuditEvent, AuditKind, Session};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::Fault;
use crate::sqlite::{bits, number, unreadable};

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let phone: String = row.get(1)?;
    Ok(Account {
        user: UserId(row.get(0)?),
        phone: Phone::from_e164(&phone).ok_or_else(|| unreadable(1, "not a telephone number"))?,
        user_name: row.get(2)?,
        display_name: row.get(3)?,
        created: Millis(number(row, 4)?),
    })
}

pub(super) fn account_of_phone(connection: &Connection, phone: &Phone) -> Result<Option<Account>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT user, phone, user_name, display_name, created FROM accounts WHERE phone = ?1",
    )?;
    Ok(statement.query_row([phone.as_e164()], account).optional()?)
}

pub(super) fn account_of_name(connection: &Connection, folded: &str) -> Result<Option<Account>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT a.user, a.phone, a.user_name, a.display_name, a.created
         FROM names n JOIN accounts a ON a.user = n.user WHERE n.folded = ?1 AND n.freed IS NULL",
    )?;
    Ok(statement.query_row([folded], account).optional()?)
}

pub(super) fn accounts(connection: &Connection, users: &[UserId]) -> Result<Vec<Account>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT user, phone, user_name, display_name, created FROM accounts WHERE user = ?1",
    )?;
    let mut found = Vec::new();
    for user in users {
        found.extend(statement.query_row([user.0], account).optional()?);
    }
    Ok(found)
}

pub(super) const SESSION_COLUMNS: &str =
    "session, user, device, created, last_used, epoch, generation, hash, rotations, idle_expires, expires";

pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let rotations: Vec<u8> = row.get(8)?;
    let (times, rest) = rotations.as_chunks::<8>();
    if !rest.is_empty() || times.len() > ROTATIONS_KEPT {
        return Err(unreadable(8, "not a list of times"));
    }
    Ok(Session {
        session: SessionId(row.get(0)?),
        user: UserId(row.get(1)?),
        device: row.get(2)?,
        created: Millis(number(row, 3)?),
        last_used: Millis(number(row, 4)?),
        epoch: row.get(5)?,
        family: Family {
            generation: row.get(6)?,
            hash: SecretHash(row.get(7)?),
            rotations: times.iter().map(|time| Millis(u64::from_le_bytes(*time))).collect(),
            idle_expires: Millis(number(row, 9)?),
            expires: Millis(number(row, 10)?),
        },
    })
}

pub(super) fn one_session(connection: &Connection, id: SessionId) -> Result<Option<Session>, Fault> {
    let sql = format!("SELECT {SESSION_COLUMNS} FROM sessions WHERE session = ?1 AND revoked IS NULL");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([id.0], session).optional()?)
}

pub(super) fn sessions(connection: &Connection, user: UserId, wall: Millis) -> Result<Vec<Session>, Fault> {
    let sql = format!(
        "SELECT {SESSION_COLUMNS} FROM sessions
         WHERE user = ?1 AND revoked IS NULL AND ends > ?2 ORDER BY created, session"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user.0, bits(wall.0)], session)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn revoked_since(
    connection: &Connection,
    since: Millis,
) -> Result<Vec<(Millis, Revocation)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT revoked, user, session, epoch FROM sessions WHERE revoked >= ?1 ORDER BY revoked, session",
    )?;
    let rows = statement.query_map([bits(since.0)], |row| {
        let revocation =
            Revocation { user: UserId(row.get(1)?), session: SessionId(row.get(2)?), epoch: row.get(3)? };
        Ok((Millis(number(row, 0)?), revocation))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn audit(connection: &Connection, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT at, session, kind FROM audit WHERE user = ?1 ORDER BY id DESC LIMIT ?2")?;
    let rows = statement.query_map(params![user.0, limit], |row| {
        let kind =
            AuditKind::from_u8(row.get(2)?).ok_or_else(|| unreadable(2, "an unknown kind of event"))?;
        Ok(AuditEvent { at: Millis(number(row, 0)?), user, session: SessionId(row.get(1)?), kind })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn unpublished(connection: &Connection, limit: u32) -> Result<Vec<(UserId, Millis)>, Fault> {
    let sql = "SELECT user, created FROM outbox ORDER BY id LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![limit], |row| Ok((UserId(row.get(0)?), Millis(number(row, 1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
