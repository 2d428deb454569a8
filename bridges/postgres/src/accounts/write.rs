//! Changes of accounts and sessions: one transaction each.
//!
//! Thread: the bridge's. Decisions are made after the call's locks are held, by what is committed then; unique constraints stand behind them.

use std::collections::BTreeMap;

use futures_util::future::try_join;
use lynk_domain::{Family, Millis, Revocation, SessionId, UserId};
use lynk_model::account::{
    AUDIT_KEPT_MILLIS, Account, AccountChange, AuditKind, COUNTER_SLICES, Changed, Charge, Charged,
    ENDED_SESSION_KEPT_MILLIS, NewSession, Registered, Which,
};
use lynk_model::{NAME_RESERVED_MILLIS, fold_name};

use super::read::{self, account_columns};
use crate::Fault;
use crate::column::{bits, get, id, number, small, uuid};
use crate::database::{Database, Session, Verdict};
use crate::locks::{Locks, Of, TAKE};

/// Rows of each kind that one call drops because their time is over, so that no call pays for many.
const PRUNED_MAX: i64 = 64;
/// How the words of an account are made; part of the stored format.
const WORDS_VERSION: i64 = 1;

pub(super) async fn note(
    session: &Session,
    user: UserId,
    of: SessionId,
    kind: AuditKind,
    at: Millis,
) -> Result<(), Fault> {
    let sql = "INSERT INTO accounts.audit (at, user_id, session, kind) VALUES ($1, $2, $3, $4)";
    session.execute(sql, &[&bits(at.0), &uuid(user.0), &uuid(of.0), &(kind as i16)]).await?;
    Ok(())
}

pub(super) async fn register(
    database: &Database,
    account: &Account,
    new: &NewSession,
) -> Result<Registered, Fault> {
    let (phone, folded) = (account.phone.as_e164(), fold_name(&account.user_name));
    let locks = Locks::default()
        .with(Of::Account, &account.user.0)
        .with(Of::Phone, phone.as_bytes())
        .with(Of::UserName, folded.as_bytes())
        .sorted();
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let taken = "SELECT 1 FROM accounts.accounts WHERE phone = $1";
            if session.row(taken, &[&phone]).await?.is_some() {
                return Ok(Verdict::Rollback(Registered::PhoneTaken));
            }
            if !take_name(session, account.user, &folded, account.created).await? {
                return Ok(Verdict::Rollback(Registered::NameTaken));
            }
            put_account(session, account).await?;
            let (user, created) = (uuid(account.user.0), bits(account.created.0));
            let waits = "INSERT INTO accounts.outbox (user_id, created) VALUES ($1, $2)
                ON CONFLICT (user_id) DO NOTHING";
            session.execute(waits, &[&user, &created]).await?;
            note(session, account.user, SessionId::NIL, AuditKind::Registered, account.created).await?;
            put_session(session, account.user, new).await?;
            Ok(Verdict::Commit(Registered::Made))
        })
        .await
}

/// Writes an account and its words, whatever was there.
pub(super) async fn put_account(session: &Session, account: &Account) -> Result<(), Fault> {
    let sql = "INSERT INTO accounts.accounts
             (user_id, phone, user_name, display_name, created, bio, avatar, updated, by_name, by_phone, words)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (user_id) DO UPDATE SET phone = excluded.phone, user_name = excluded.user_name,
             display_name = excluded.display_name, created = excluded.created, bio = excluded.bio,
             avatar = excluded.avatar, updated = excluded.updated, by_name = excluded.by_name,
             by_phone = excluded.by_phone, words = excluded.words";
    let updated = if account.updated == account.created { 0 } else { account.updated.0 };
    session
        .execute(
            sql,
            &[
                &uuid(account.user.0),
                &account.phone.as_e164(),
                &account.user_name,
                &account.display_name,
                &bits(account.created.0),
                &account.bio,
                &account.avatar.map(uuid),
                &bits(updated),
                &account.findable.by_name,
                &account.findable.by_phone,
                &WORDS_VERSION,
            ],
        )
        .await?;
    put_words(session, account).await
}

async fn put_words(session: &Session, account: &Account) -> Result<(), Fault> {
    let user = uuid(account.user.0);
    session.execute("DELETE FROM accounts.words WHERE user_id = $1", &[&user]).await?;
    let words: Vec<String> = account.words().into_iter().collect();
    let sql = "INSERT INTO accounts.words (word, user_id) SELECT word, $2 FROM unnest($1::text[]) AS word";
    session.execute(sql, &[&words, &user]).await?;
    Ok(())
}

pub(super) async fn change(
    database: &Database,
    user: UserId,
    change: &AccountChange,
    wall: Millis,
) -> Result<Changed, Fault> {
    let wanted = change.user_name.as_deref().map(fold_name);
    let locks = Locks::default().with(Of::Account, &user.0);
    let locks = match &wanted {
        Some(folded) => locks.with(Of::UserName, folded.as_bytes()),
        None => locks,
    };
    let locks = locks.sorted();
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let sql =
                concat!("SELECT ", account_columns!(), " FROM accounts.accounts a WHERE a.user_id = $1");
            let Some(row) = session.row(sql, &[&uuid(user.0)]).await? else {
                return Ok(Verdict::Rollback(Changed::Missing));
            };
            let before = read::account(&row)?;
            let after = change.apply(&before, wall);
            let (old, new) = (fold_name(&before.user_name), fold_name(&after.user_name));
            if old != new {
                if !take_name(session, user, &new, wall).await? {
                    return Ok(Verdict::Rollback(Changed::NameTaken));
                }
                let free = "UPDATE accounts.names SET freed = $2 WHERE folded = $1 AND user_id = $3";
                session.execute(free, &[&old, &bits(wall.0), &uuid(user.0)]).await?;
            }
            let changed = after != before;
            if changed {
                put_account(session, &after).await?;
            }
            let done = Changed::Done(Box::new(after));
            Ok(if changed { Verdict::Commit(done) } else { Verdict::Rollback(done) })
        })
        .await
}

pub(super) async fn index_words(database: &Database, limit: u32) -> Result<u32, Fault> {
    database
        .change(async |session| {
            // Those that another process is at are left to it.
            let sql = concat!(
                "SELECT ",
                account_columns!(),
                " FROM accounts.accounts a WHERE a.words = 0 ORDER BY a.user_id LIMIT $1 FOR UPDATE SKIP LOCKED"
            );
            let rows = session.rows(sql, &[&i64::from(limit)]).await?;
            for row in &rows {
                let account = read::account(row)?;
                put_words(session, &account).await?;
                let sql = "UPDATE accounts.accounts SET words = $2 WHERE user_id = $1";
                session.execute(sql, &[&uuid(account.user.0), &WORDS_VERSION]).await?;
            }
            Ok(Verdict::Commit(rows.len() as u32))
        })
        .await
}

async fn take_name(session: &Session, user: UserId, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let held = "SELECT user_id, freed FROM accounts.names WHERE folded = $1";
    if let Some(row) = session.row(held, &[&folded]).await?
        && id(&row, 0)? != user.0
    {
        let freed: Option<i64> = get(&row, 1)?;
        let free_from = freed.map(|at| at.cast_unsigned().saturating_add(NAME_RESERVED_MILLIS));
        if free_from.is_none_or(|from| wall.0 < from) {
            return Ok(false);
        }
    }
    // A row that somebody has, and that is not this account's, is left alone even if it came since.
    let take = "INSERT INTO accounts.names (folded, user_id, freed) VALUES ($1, $2, NULL)
        ON CONFLICT (folded) DO UPDATE SET user_id = excluded.user_id, freed = NULL
        WHERE names.user_id = excluded.user_id OR names.freed IS NOT NULL";
    Ok(session.execute(take, &[&folded, &uuid(user.0)]).await? == 1)
}

pub(super) fn of_account(user: UserId) -> Vec<i64> {
    Locks::default().with(Of::Account, &user.0).sorted()
}

pub(super) async fn remove(
    database: &Database,
    user: UserId,
    wall: Millis,
) -> Result<Vec<Revocation>, Fault> {
    let locks = of_account(user);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            Ok(match remove_in(session, user, wall).await? {
                Some(ended) => Verdict::Commit(ended),
                None => Verdict::Rollback(Vec::new()),
            })
        })
        .await
}

/// Removes an account as a part of a transaction that has its lock; `None` when there is none.
pub(super) async fn remove_in(
    session: &Session,
    user: UserId,
    wall: Millis,
) -> Result<Option<Vec<Revocation>>, Fault> {
    let id = uuid(user.0);
    if session.execute("DELETE FROM accounts.accounts WHERE user_id = $1", &[&id]).await? == 0 {
        return Ok(None);
    }
    let free = "UPDATE accounts.names SET freed = $2 WHERE user_id = $1 AND freed IS NULL";
    session.execute(free, &[&id, &bits(wall.0)]).await?;
    super::factors::forget(session, user).await?;
    session.execute("DELETE FROM accounts.words WHERE user_id = $1", &[&id]).await?;
    let ended = end_sessions(session, user, Which::All, AuditKind::Removed, wall).await?;
    note(session, user, SessionId::NIL, AuditKind::Removed, wall).await?;
    Ok(Some(ended))
}

pub(super) async fn open_session(
    database: &Database,
    user: UserId,
    new: &NewSession,
) -> Result<Vec<Revocation>, Fault> {
    let locks = of_account(user);
    let room = i64::from(new.sessions_max.saturating_sub(1));
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            prune(session, new.created).await?;
            // The least recently used of those that are too many.
            let sql =
                "SELECT session FROM accounts.sessions WHERE user_id = $1 AND revoked IS NULL AND ends > $2
                       ORDER BY last_used DESC, session DESC OFFSET $3";
            let mut ended = Vec::new();
            for row in session.rows(sql, &[&uuid(user.0), &bits(new.created.0), &room]).await? {
                let which = Which::One(SessionId(id(&row, 0)?));
                ended.extend(end_sessions(session, user, which, AuditKind::Displaced, new.created).await?);
            }
            put_session(session, user, new).await?;
            Ok(Verdict::Commit(ended))
        })
        .await
}

async fn put_session(session: &Session, user: UserId, new: &NewSession) -> Result<(), Fault> {
    let family = &new.family;
    let sql = "INSERT INTO accounts.sessions (session, user_id, device, created, last_used, epoch, generation, hash, rotations,
             idle_expires, expires, ends)
         VALUES ($1, $2, $3, $4, $4, 1, $5, $6, $7, $8, $9, $10)";
    session
        .execute(
            sql,
            &[
                &uuid(new.session.0),
                &uuid(user.0),
                &new.device,
                &bits(new.created.0),
                &i64::from(family.generation),
                &family.hash.0.as_slice(),
                &times(family),
                &bits(family.idle_expires.0),
                &bits(family.expires.0),
                &bits(family.ends().0),
            ],
        )
        .await?;
    note(session, user, new.session, AuditKind::SignedIn, new.created).await
}

pub(super) fn times(family: &Family) -> Vec<i64> {
    family.rotations.iter().map(|at| bits(at.0)).collect()
}

/// A compare-and-swap: of two that saw one generation the second waits for the first, and then finds another one.
pub(super) async fn rotate(
    database: &Database,
    of: SessionId,
    generation: u32,
    family: &Family,
    wall: Millis,
) -> Result<bool, Fault> {
    let sql = "UPDATE accounts.sessions
         SET last_used = $3, generation = $4, hash = $5, rotations = $6, idle_expires = $7, ends = $8
         WHERE session = $1 AND generation = $2 AND revoked IS NULL";
    database
        .change(async |session| {
            let changed = session
                .execute(
                    sql,
                    &[
                        &uuid(of.0),
                        &i64::from(generation),
                        &bits(wall.0),
                        &i64::from(family.generation),
                        &family.hash.0.as_slice(),
                        &times(family),
                        &bits(family.idle_expires.0),
                        &bits(family.ends().0),
                    ],
                )
                .await?;
            Ok(if changed == 1 { Verdict::Commit(true) } else { Verdict::Rollback(false) })
        })
        .await
}

pub(super) async fn revoke(
    database: &Database,
    user: UserId,
    which: Which,
    reason: AuditKind,
    wall: Millis,
) -> Result<Vec<Revocation>, Fault> {
    let locks = of_account(user);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let ended = end_sessions(session, user, which, reason, wall).await?;
            Ok(if ended.is_empty() { Verdict::Rollback(ended) } else { Verdict::Commit(ended) })
        })
        .await
}

/// Ends sessions that have not ended: raises their epoch, and notes each.
pub(super) async fn end_sessions(
    session: &Session,
    user: UserId,
    which: Which,
    reason: AuditKind,
    wall: Millis,
) -> Result<Vec<Revocation>, Fault> {
    let (sql, of) = match which {
        Which::One(of) => (END_ONE, of),
        Which::Others(of) => (END_OTHERS, of),
        // No session has the nil id.
        Which::All => (END_OTHERS, SessionId::NIL),
    };
    let rows = session.rows(sql, &[&uuid(user.0), &bits(wall.0), &uuid(of.0)]).await?;
    let mut ended = Vec::with_capacity(rows.len());
    for row in &rows {
        let one = Revocation { user, session: SessionId(id(row, 0)?), epoch: small(row, 1)? };
        note(session, user, one.session, reason, wall).await?;
        ended.push(one);
    }
    Ok(ended)
}

const END_ONE: &str = "UPDATE accounts.sessions SET revoked = $2, ends = least(ends, $2), epoch = epoch + 1
    WHERE user_id = $1 AND revoked IS NULL AND session = $3 RETURNING session, epoch";
const END_OTHERS: &str =
    "UPDATE accounts.sessions SET revoked = $2, ends = least(ends, $2), epoch = epoch + 1
    WHERE user_id = $1 AND revoked IS NULL AND session <> $3 RETURNING session, epoch";

pub(super) async fn charge(database: &Database, charges: &[Charge], wall: Millis) -> Result<Charged, Fault> {
    let locks =
        charges.iter().fold(Locks::default(), |locks, charge| locks.with(Of::Counter, &charge.key)).sorted();
    let keys: Vec<&[u8]> = charges.iter().map(|charge| charge.key.as_slice()).collect();
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let sql = "SELECT key, slice, count FROM accounts.counters WHERE key = ANY ($1)";
            let mut counted = Counted::new();
            for row in session.rows(sql, &[&keys]).await? {
                let key: &[u8] = get(&row, 0)?;
                let key = key.try_into().map_err(|_| Fault::corrupt("not a counter's key"))?;
                counted.insert((key, number(&row, 1)?), number(&row, 2)?);
            }
            let mut more = BTreeMap::new();
            for (index, charge) in charges.iter().enumerate() {
                if let Some(retry_after_millis) = is_at_limit(&counted, charge, wall) {
                    return Ok(Verdict::Rollback(Charged::Refused { index, retry_after_millis }));
                }
                let slice = wall.0 - wall.0 % width(charge);
                *counted.entry((charge.key, slice)).or_default() += u64::from(charge.amount);
                let until = slice.saturating_add(width(charge)).saturating_add(charge.window_millis);
                more.entry((charge.key, slice)).or_insert((0_i64, until)).0 += i64::from(charge.amount);
            }
            try_join(count(session, &more), forget_counters(session, wall)).await?;
            Ok(Verdict::Commit(Charged::Done))
        })
        .await
}

/// Counts by key and slice.
type Counted = BTreeMap<([u8; 16], u64), u64>;

/// Adds to counters: how much, and until when a new one is kept.
async fn count(session: &Session, more: &BTreeMap<([u8; 16], u64), (i64, u64)>) -> Result<(), Fault> {
    let sql = "INSERT INTO accounts.counters (key, slice, count, until)
         SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[])
         ON CONFLICT (key, slice) DO UPDATE SET count = counters.count + excluded.count";
    let keys: Vec<&[u8]> = more.keys().map(|(key, _)| key.as_slice()).collect();
    let slices: Vec<i64> = more.keys().map(|(_, slice)| bits(*slice)).collect();
    let counts: Vec<i64> = more.values().map(|(count, _)| *count).collect();
    let untils: Vec<i64> = more.values().map(|(_, until)| bits(*until)).collect();
    session.execute(sql, &[&keys, &slices, &counts, &untils]).await?;
    Ok(())
}

async fn forget_counters(session: &Session, wall: Millis) -> Result<(), Fault> {
    // Rows that another call is forgetting are left to it.
    let sql = "DELETE FROM accounts.counters WHERE (key, slice) IN (
                   SELECT key, slice FROM accounts.counters WHERE until <= $1 ORDER BY until LIMIT $2
                   FOR UPDATE SKIP LOCKED)";
    session.execute(sql, &[&bits(wall.0), &PRUNED_MAX]).await?;
    Ok(())
}

fn width(charge: &Charge) -> u64 {
    (charge.window_millis / COUNTER_SLICES).max(1)
}

/// Milliseconds until there may be as much more as is charged, if there may not be now. A clock that jumped back still counts what lies up
/// to one window ahead of it.
fn is_at_limit(counted: &Counted, charge: &Charge, wall: Millis) -> Option<u64> {
    let (window, width) = (charge.window_millis, width(charge));
    let fits = |counted: u64| counted.saturating_add(charge.amount.into()) <= u64::from(charge.max);
    let from = wall.0.saturating_sub(window).saturating_sub(width);
    let to = wall.0.saturating_add(window);
    let leaves = |slice: u64| slice.saturating_add(width).saturating_add(window);
    let slices = counted.range((charge.key, from)..=(charge.key, to));
    let slices: Vec<_> = slices
        .map(|((_, slice), count)| (*slice, *count))
        .filter(|(slice, _)| leaves(*slice) > wall.0)
        .collect();
    let mut left: u64 = slices.iter().map(|(_, count)| count).sum();
    if fits(left) {
        return None;
    }
    for (slice, count) in slices {
        left -= count;
        if fits(left) {
            return Some(leaves(slice).saturating_sub(wall.0));
        }
    }
    Some(window)
}

/// Drops sessions that ended long ago, and old audit events.
async fn prune(session: &Session, wall: Millis) -> Result<(), Fault> {
    let sessions = "DELETE FROM accounts.sessions WHERE session IN (
                        SELECT session FROM accounts.sessions WHERE ends <= $1 ORDER BY ends LIMIT $2
                        FOR UPDATE SKIP LOCKED)";
    // The role may not lock what it may not change: two that prune the same events wait for each other.
    let audit = "DELETE FROM accounts.audit WHERE id IN (
                     SELECT id FROM accounts.audit WHERE at <= $1 ORDER BY at LIMIT $2)";
    let ended = bits(wall.0.saturating_sub(ENDED_SESSION_KEPT_MILLIS));
    let old = bits(wall.0.saturating_sub(AUDIT_KEPT_MILLIS));
    try_join(session.execute(sessions, &[&ended, &PRUNED_MAX]), session.execute(audit, &[&old, &PRUNED_MAX]))
        .await?;
    Ok(())
}

/// Removes rows of the outbox.
pub(super) async fn mark_published(database: &Database, users: &[UserId]) -> Result<(), Fault> {
    if users.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = users.iter().map(|user| uuid(user.0)).collect();
    database
        .change(async |session| {
            session.execute("DELETE FROM accounts.outbox WHERE user_id = ANY ($1)", &[&ids]).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}
