//! Changes of accounts and sessions: one transaction each.

use lynk_domain::{Family, Millis, Revocation, SessionId, UserId};
use lynk_model::account::{
    AUDIT_KEPT_MILLIS, Account, AccountChange, AuditKind, COUNTER_SLICES, Changed, Charge, Charged,
    ENDED_SESSION_KEPT_MILLIS, NewSession, Registered, Which,
};
use lynk_model::{NAME_RESERVED_MILLIS, fold_name};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior, params};

use super::read;
use crate::Fault;
use crate::sqlite::{bits, commit, number};

/// Rows of each kind that one call drops because their time is over, so that no call pays for many.
const PRUNED_MAX: u32 = 64;
/// How the words of an account are made; part of the stored format.
const WORDS_VERSION: u32 = 1;

pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Fault> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

pub(super) fn execute(tx: &Transaction<'_>, sql: &str, params: impl Params) -> Result<usize, Fault> {
    Ok(tx.prepare_cached(sql)?.execute(params)?)
}

pub(super) fn note(
    tx: &Transaction<'_>,
    user: UserId,
    session: SessionId,
    kind: AuditKind,
    at: Millis,
) -> Result<(), Fault> {
    execute(
        tx,
        "INSERT INTO audit (at, user, session, kind) VALUES (?1, ?2, ?3, ?4)",
        params![bits(at.0), user.0, session.0, kind as u8],
    )?;
    Ok(())
}

pub(super) fn register(
    connection: &mut Connection,
    account: &Account,
    session: &NewSession,
) -> Result<Registered, Fault> {
    let tx = begin(connection)?;
    let phone = [account.phone.as_e164()];
    if tx.prepare_cached("SELECT 1 FROM accounts WHERE phone = ?1")?.exists(phone)? {
        return Ok(Registered::PhoneTaken);
    }
    if !take_name(&tx, account.user, &fold_name(&account.user_name), account.created)? {
        return Ok(Registered::NameTaken);
    }
    put_account(&tx, account)?;
    let waits = "INSERT INTO outbox (user, created) VALUES (?1, ?2) ON CONFLICT (user) DO NOTHING";
    execute(&tx, waits, params![account.user.0, bits(account.created.0)])?;
    note(&tx, account.user, SessionId::NIL, AuditKind::Registered, account.created)?;
    put_session(&tx, account.user, session)?;
    commit(tx)?;
    Ok(Registered::Made)
}

/// Writes an account and its words, whatever was there.
pub(super) fn put_account(tx: &Transaction<'_>, account: &Account) -> Result<(), Fault> {
    let updated = if account.updated == account.created { 0 } else { account.updated.0 };
    execute(
        tx,
        "INSERT OR REPLACE INTO accounts
             (user, phone, user_name, display_name, created, bio, avatar, updated, by_name, by_phone, words)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            account.user.0,
            account.phone.as_e164(),
            account.user_name,
            account.display_name,
            bits(account.created.0),
            account.bio,
            account.avatar,
            bits(updated),
            account.findable.by_name,
            account.findable.by_phone,
            WORDS_VERSION
        ],
    )?;
    put_words(tx, account)
}

fn put_words(tx: &Transaction<'_>, account: &Account) -> Result<(), Fault> {
    execute(tx, "DELETE FROM words WHERE user = ?1", [account.user.0])?;
    for word in account.words() {
        execute(tx, "INSERT INTO words (word, user) VALUES (?1, ?2)", params![word, account.user.0])?;
    }
    Ok(())
}

pub(super) fn change(
    connection: &mut Connection,
    user: UserId,
    change: &AccountChange,
    wall: Millis,
) -> Result<Changed, Fault> {
    let tx = begin(connection)?;
    let Some(before) = read::accounts(&tx, &[user])?.pop() else { return Ok(Changed::Missing) };
    let after = change.apply(&before, wall);
    let (old, new) = (fold_name(&before.user_name), fold_name(&after.user_name));
    if old != new {
        if !take_name(&tx, user, &new, wall)? {
            return Ok(Changed::NameTaken);
        }
        let sql = "UPDATE names SET freed = ?2 WHERE folded = ?1 AND user = ?3";
        execute(&tx, sql, params![old, bits(wall.0), user.0])?;
    }
    if after != before {
        put_account(&tx, &after)?;
    }
    commit(tx)?;
    Ok(Changed::Done(Box::new(after)))
}

pub(super) fn index_words(connection: &mut Connection, limit: u32) -> Result<u32, Fault> {
    let tx = begin(connection)?;
    let users: Vec<UserId> = tx
        .prepare_cached("SELECT user FROM accounts WHERE words = 0 ORDER BY user LIMIT ?1")?
        .query_map([limit], |row| Ok(UserId(row.get(0)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let accounts = read::accounts(&tx, &users)?;
    for account in &accounts {
        put_words(&tx, account)?;
        let sql = "UPDATE accounts SET words = ?2 WHERE user = ?1";
        execute(&tx, sql, params![account.user.0, WORDS_VERSION])?;
    }
    commit(tx)?;
    Ok(accounts.len() as u32)
}

fn take_name(tx: &Transaction<'_>, user: UserId, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let holder = tx
        .prepare_cached("SELECT user, freed FROM names WHERE folded = ?1")?
        .query_row([folded], |row| Ok((UserId(row.get(0)?), row.get::<_, Option<i64>>(1)?)))
        .optional()?;
    if let Some((holder, freed)) = holder
        && holder != user
    {
        let free_from = freed.map(|at| at.cast_unsigned().saturating_add(NAME_RESERVED_MILLIS));
        if free_from.is_none_or(|from| wall.0 < from) {
            return Ok(false);
        }
    }
    let sql = "INSERT INTO names (folded, user, freed) VALUES (?1, ?2, NULL)
               ON CONFLICT (folded) DO UPDATE SET user = excluded.user, freed = NULL";
    execute(tx, sql, params![folded, user.0])?;
    Ok(true)
}

pub(super) fn remove(
    connection: &mut Connection,
    user: UserId,
    wall: Millis,
) -> Result<Vec<Revocation>, Fault> {
    let tx = begin(connection)?;
    let Some(ended) = remove_in(&tx, user, wall)? else { return Ok(Vec::new()) };
    commit(tx)?;
    Ok(ended)
}

/// Removes an account as a part of a transaction; `None` when there is none.
pub(super) fn remove_in(
    tx: &Transaction<'_>,
    user: UserId,
    wall: Millis,
) -> Result<Option<Vec<Revocation>>, Fault> {
    if execute(tx, "DELETE FROM accounts WHERE user = ?1", [user.0])? == 0 {
        return Ok(None);
    }
    execute(
        tx,
        "UPDATE names SET freed = ?2 WHERE user = ?1 AND freed IS NULL",
        params![user.0, bits(wall.0)],
    )?;
    super::factors::forget(tx, user)?;
    execute(tx, "DELETE FROM words WHERE user = ?1", [user.0])?;
    let ended = end_sessions(tx, user, Which::All, AuditKind::Removed, wall)?;
    note(tx, user, SessionId::NIL, AuditKind::Removed, wall)?;
    Ok(Some(ended))
}

pub(super) fn open_session(
    connection: &mut Connection,
    user: UserId,
    session: &NewSession,
) -> Result<Vec<Revocation>, Fault> {
    let tx = begin(connection)?;
    prune(&tx, session.created)?;
    let room = session.sessions_max.saturating_sub(1);
    // The least recently used of those that are too many.
    let sql = "SELECT session FROM sessions WHERE user = ?1 AND revoked IS NULL AND ends > ?2
               ORDER BY last_used DESC, session DESC LIMIT -1 OFFSET ?3";
    let too_many: Vec<[u8; 16]> = tx
        .prepare_cached(sql)?
        .query_map(params![user.0, bits(session.created.0), room], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut ended = Vec::new();
    for old in too_many {
        let which = Which::One(SessionId(old));
        ended.extend(end_sessions(&tx, user, which, AuditKind::Displaced, session.created)?);
    }
    put_session(&tx, user, session)?;
    commit(tx)?;
    Ok(ended)
}

fn put_session(tx: &Transaction<'_>, user: UserId, new: &NewSession) -> Result<(), Fault> {
    let family = &new.family;
    execute(
        tx,
        "INSERT INTO sessions (session, user, device, created, last_used, epoch, generation, hash, rotations,
             idle_expires, expires, ends)
         VALUES (?1, ?2, ?3, ?4, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            new.session.0,
            user.0,
            new.device,
            bits(new.created.0),
            family.generation,
            family.hash.0,
            times(family),
            bits(family.idle_expires.0),
            bits(family.expires.0),
            bits(family.ends().0),
        ],
    )?;
    note(tx, user, new.session, AuditKind::SignedIn, new.created)
}

pub(super) fn times(family: &Family) -> Vec<u8> {
    family.rotations.iter().flat_map(|at| at.0.to_le_bytes()).collect()
}

pub(super) fn rotate(
    connection: &mut Connection,
    session: SessionId,
    generation: u32,
    family: &Family,
    wall: Millis,
) -> Result<bool, Fault> {
    let tx = begin(connection)?;
    let changed = execute(
        &tx,
        "UPDATE sessions SET last_used = ?3, generation = ?4, hash = ?5, rotations = ?6, idle_expires = ?7, ends = ?8
         WHERE session = ?1 AND generation = ?2 AND revoked IS NULL",
        params![
            session.0,
            generation,
            bits(wall.0),
            family.generation,
            family.hash.0,
            times(family),
            bits(family.idle_expires.0),
            bits(family.ends().0),
        ],
    )?;
    commit(tx)?;
    Ok(changed == 1)
}

pub(super) fn revoke(
    connection: &mut Connection,
    user: UserId,
    which: Which,
    reason: AuditKind,
    wall: Millis,
) -> Result<Vec<Revocation>, Fault> {
    let tx = begin(connection)?;
    let ended = end_sessions(&tx, user, which, reason, wall)?;
    commit(tx)?;
    Ok(ended)
}

/// Ends sessions that have not ended: raises their epoch, and notes each.
pub(super) fn end_sessions(
    tx: &Transaction<'_>,
    user: UserId,
    which: Which,
    reason: AuditKind,
    wall: Millis,
) -> Result<Vec<Revocation>, Fault> {
    let (condition, session) = match which {
        Which::One(session) => ("session = ?3", session),
        Which::Others(session) => ("session <> ?3", session),
        Which::All => ("?3 IS NOT NULL", SessionId::NIL),
    };
    let sql = format!(
        "UPDATE sessions SET revoked = ?2, ends = min(ends, ?2), epoch = epoch + 1
         WHERE user = ?1 AND revoked IS NULL AND {condition} RETURNING session, epoch"
    );
    let revocation =
        |row: &Row<'_>| Ok(Revocation { user, session: SessionId(row.get(0)?), epoch: row.get(1)? });
    let ended: Vec<Revocation> = tx
        .prepare_cached(&sql)?
        .query_map(params![user.0, bits(wall.0), session.0], revocation)?
        .collect::<rusqlite::Result<_>>()?;
    for one in &ended {
        note(tx, user, one.session, reason, wall)?;
    }
    Ok(ended)
}

pub(super) fn charge(
    connection: &mut Connection,
    charges: &[Charge],
    wall: Millis,
) -> Result<Charged, Fault> {
    let tx = begin(connection)?;
    for (index, charge) in charges.iter().enumerate() {
        if let Some(retry_after_millis) = is_at_limit(&tx, charge, wall)? {
            return Ok(Charged::Refused { index, retry_after_millis });
        }
        let width = width(charge);
        let slice = wall.0 - wall.0 % width;
        let until = slice.saturating_add(width).saturating_add(charge.window_millis);
        let sql = "INSERT INTO counters (key, slice, count, until) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (key, slice) DO UPDATE SET count = count + excluded.count";
        execute(&tx, sql, params![charge.key, bits(slice), charge.amount, bits(until)])?;
    }
    let sql = "DELETE FROM counters WHERE (key, slice) IN
               (SELECT key, slice FROM counters WHERE until <= ?1 ORDER BY until LIMIT ?2)";
    execute(&tx, sql, params![bits(wall.0), PRUNED_MAX])?;
    commit(tx)?;
    Ok(Charged::Done)
}

fn width(charge: &Charge) -> u64 {
    (charge.window_millis / COUNTER_SLICES).max(1)
}

/// Milliseconds until there may be as much more as is charged, if there may not be now. A clock that jumped back still counts what lies up
/// to one window ahead of it.
fn is_at_limit(tx: &Transaction<'_>, charge: &Charge, wall: Millis) -> Result<Option<u64>, Fault> {
    let (window, width) = (charge.window_millis, width(charge));
    let from = wall.0.saturating_sub(window).saturating_sub(width);
    let sql =
        "SELECT slice, count FROM counters WHERE key = ?1 AND slice >= ?2 AND slice <= ?3 ORDER BY slice";
    let slices: Vec<(u64, u64)> = tx
        .prepare_cached(sql)?
        .query_map(params![charge.key, bits(from), bits(wall.0.saturating_add(window))], |row| {
            Ok((number(row, 0)?, number(row, 1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let touches = |slice: u64| slice.saturating_add(width).saturating_add(window) > wall.0;
    let slices: Vec<_> = slices.into_iter().filter(|(slice, _)| touches(*slice)).collect();
    let fits = |counted: u64| counted.saturating_add(charge.amount.into()) <= u64::from(charge.max);
    let mut counted: u64 = slices.iter().map(|(_, count)| count).sum();
    if fits(counted) {
        return Ok(None);
    }
    for (slice, count) in &slices {
        counted -= count;
        if fits(counted) {
            return Ok(Some((slice + width).saturating_add(window).saturating_sub(wall.0)));
        }
    }
    Ok(Some(window))
}

/// Drops sessions that ended long ago, and old audit events.
fn prune(tx: &Transaction<'_>, wall: Millis) -> Result<(), Fault> {
    let ended = wall.0.saturating_sub(ENDED_SESSION_KEPT_MILLIS);
    let sql = "DELETE FROM sessions WHERE session IN
               (SELECT session FROM sessions WHERE ends <= ?1 ORDER BY ends LIMIT ?2)";
    execute(tx, sql, params![bits(ended), PRUNED_MAX])?;
    let old = wall.0.saturating_sub(AUDIT_KEPT_MILLIS);
    let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at <= ?1 ORDER BY at LIMIT ?2)";
    execute(tx, sql, params![bits(old), PRUNED_MAX])?;
    Ok(())
}

/// Removes rows of the outbox.
pub(super) fn mark_published(connection: &mut Connection, users: &[UserId]) -> Result<(), Fault> {
    if users.is_empty() {
        return Ok(());
    }
    let tx = begin(connection)?;
    for user in users {
        execute(&tx, "DELETE FROM outbox WHERE user = ?1", [user.0])?;
    }
    commit(tx)
}
