//! Changes of notifications: one transaction each.

use lynk_domain::{Millis, SessionId, UserId};
use lynk_model::notify::{
    Attempted, Claim, DEVICES_PER_ACCOUNT_MAX, Decision, Device, Fate, Finished, Push, PushCause, PushId,
    PushState, Taking, Took, Turn, Turned, Wanted,
};
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior, params};

use super::read;
use crate::Fault;
use crate::sqlite::{bits, commit};

/// Rows of each kind that one call drops, so that no call pays for many.
const PRUNED_MAX: u32 = 1_000;

pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Fault> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

fn execute(tx: &Transaction<'_>, sql: &str, params: impl Params) -> Result<usize, Fault> {
    Ok(tx.prepare_cached(sql)?.execute(params)?)
}

pub(super) fn insert_device(tx: &Transaction<'_>, device: &Device) -> Result<(), Fault> {
    execute(
        tx,
        "INSERT OR REPLACE INTO devices (session, user, provider, token, platform, id_only, created, last_ok)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            device.session.0,
            device.user.0,
            device.provider as u8,
            device.token.reveal(),
            device.platform as u8,
            device.id_only,
            bits(device.created.0),
            device.last_ok.map(|at| bits(at.0)),
        ],
    )?;
    Ok(())
}

pub(super) fn put_device(connection: &mut Connection, device: &Device) -> Result<u32, Fault> {
    let tx = begin(connection)?;
    let others = "DELETE FROM devices WHERE provider = ?1 AND token = ?2 AND session <> ?3";
    let of = params![device.provider as u8, device.token.reveal(), device.session.0];
    let mut gone = execute(&tx, others, of)?;
    insert_device(&tx, device)?;
    let many = "DELETE FROM devices WHERE session IN (
        SELECT session FROM devices WHERE user = ?1 AND session <> ?2 ORDER BY created DESC, session DESC
        LIMIT -1 OFFSET ?3)";
    gone += execute(&tx, many, params![device.user.0, device.session.0, DEVICES_PER_ACCOUNT_MAX - 1])?;
    commit(tx)?;
    Ok(u32::try_from(gone).unwrap_or(u32::MAX))
}

pub(super) fn remove_devices(connection: &mut Connection, sessions: &[SessionId]) -> Result<u32, Fault> {
    let tx = begin(connection)?;
    let mut gone = 0;
    for session in sessions {
        gone += execute(&tx, "DELETE FROM devices WHERE session = ?1", [session.0])?;
    }
    commit(tx)?;
    Ok(u32::try_from(gone).unwrap_or(u32::MAX))
}

pub(super) fn take(connection: &mut Connection, taking: &Taking, now: Millis) -> Result<Took, Fault> {
    let tx = begin(connection)?;
    for taken in &taking.rooms {
        if read::taken_of(&tx, taken.room)? != taken.from {
            return Ok(Took::Behind);
        }
        let sql = "INSERT OR REPLACE INTO taken (room, seq, at) VALUES (?1, ?2, ?3)";
        execute(&tx, sql, params![taken.room.0, bits(taken.to.0), bits(now.0)])?;
    }
    for wanted in &taking.wanted {
        want(&tx, wanted)?;
    }
    for decision in &taking.decisions {
        note(&tx, decision)?;
    }
    commit(tx)?;
    Ok(Took::Done)
}

/// What waits grows; what did not wait begins to, not before its window is over.
fn want(tx: &Transaction<'_>, wanted: &Wanted) -> Result<(), Fault> {
    let sql =
        "INSERT INTO pending (user, room, first, upto, message, messages, mention, since, due, window_end, pushed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0)
         ON CONFLICT (user, room) DO UPDATE SET
            first = CASE WHEN messages = 0 THEN excluded.first ELSE first END,
            upto = excluded.upto,
            message = excluded.message,
            mention = CASE WHEN messages = 0 THEN excluded.mention ELSE mention OR excluded.mention END,
            since = CASE WHEN messages = 0 THEN excluded.since ELSE since END,
            due = CASE WHEN messages = 0 THEN max(excluded.due, window_end) ELSE due END,
            messages = min(messages + excluded.messages, 4294967295)";
    execute(
        tx,
        sql,
        params![
            wanted.user.0,
            wanted.room.0,
            bits(wanted.from.0),
            bits(wanted.upto.0),
            wanted.message.0,
            wanted.messages,
            wanted.mention,
            bits(wanted.since.0),
            bits(wanted.due.0),
        ],
    )?;
    Ok(())
}

fn note(tx: &Transaction<'_>, decision: &Decision) -> Result<(), Fault> {
    let last =
        "SELECT first, reason FROM decisions WHERE user = ?1 AND room = ?2 ORDER BY first DESC LIMIT 1";
    let found: Option<(i64, u8)> = tx
        .prepare_cached(last)?
        .query_row(params![decision.user.0, decision.room.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (last, at) = (bits(decision.last.0), bits(decision.at.0));
    match found {
        Some((first, reason)) if reason == decision.reason as u8 => {
            let sql = "UPDATE decisions SET last = ?4, at = ?5 WHERE user = ?1 AND room = ?2 AND first = ?3";
            execute(tx, sql, params![decision.user.0, decision.room.0, first, last, at])?;
        }
        _ => insert_decision(tx, decision)?,
    }
    Ok(())
}

pub(super) fn insert_decision(tx: &Transaction<'_>, decision: &Decision) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO decisions (user, room, first, last, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (first, last) = (bits(decision.first.0), bits(decision.last.0));
    let of =
        params![decision.user.0, decision.room.0, first, last, decision.reason as u8, bits(decision.at.0)];
    execute(tx, sql, of)?;
    Ok(())
}

pub(super) fn turn(connection: &mut Connection, turn: &Turn, now: Millis) -> Result<Turned, Fault> {
    let tx = begin(connection)?;
    for finished in &turn.finished {
        finish(&tx, finished, now)?;
    }
    let mut turned = Turned::default();
    for claimed in &turn.claims {
        turned.claims.push(claim(&tx, claimed, now)?);
    }
    for id in &turn.again {
        let sql = "UPDATE pushes SET state = 1, attempts = attempts + 1, at = ?2 WHERE id = ?1 AND state = 2";
        turned.again.push(execute(&tx, sql, params![id.0, bits(now.0)])? == 1);
    }
    commit(tx)?;
    Ok(turned)
}

fn finish(tx: &Transaction<'_>, finished: &Finished, now: Millis) -> Result<(), Fault> {
    let (state, cause, next) = match finished.attempted {
        Attempted::Sent => (PushState::Sent, PushCause::None, Millis(0)),
        Attempted::Again { next, cause } => (PushState::Waiting, cause, next),
        Attempted::Dead(cause) => (PushState::Dead, cause, Millis(0)),
        Attempted::Unregistered => (PushState::Unregistered, PushCause::Unregistered, Millis(0)),
    };
    let sql = "UPDATE pushes SET state = ?2, cause = ?3, next = ?4, at = ?5 WHERE id = ?1 AND state = 1
        RETURNING session";
    let of = params![finished.id.0, state as u8, cause as u8, bits(next.0), bits(now.0)];
    let session: Option<[u8; 16]> = tx.prepare_cached(sql)?.query_row(of, |row| row.get(0)).optional()?;
    let Some(session) = session else { return Ok(()) };
    match finished.attempted {
        Attempted::Sent => {
            let sql = "UPDATE devices SET last_ok = ?2 WHERE session = ?1";
            execute(tx, sql, params![session, bits(now.0)])?;
        }
        Attempted::Unregistered => {
            let sql = "DELETE FROM devices WHERE session = ?1 AND token = ?2";
            execute(tx, sql, params![session, finished.token.reveal()])?;
        }
        Attempted::Again { .. } | Attempted::Dead(_) => {}
    }
    Ok(())
}

fn claim(tx: &Transaction<'_>, claim: &Claim, now: Millis) -> Result<bool, Fault> {
    let wanted = &claim.wanted;
    let first = match &claim.fate {
        Fate::Push(to) => to.first().map(|(id, _)| *id),
        Fate::Drop(id, _) => Some(*id),
    };
    if let Some(id) = first
        && tx.prepare_cached("SELECT 1 FROM pushes WHERE id = ?1")?.exists([id.0])?
    {
        return Ok(true);
    }
    let (window_end, pushed) = match claim.fate {
        Fate::Push(_) => (Some(bits(claim.window_end.0)), Some(bits(wanted.upto.0))),
        Fate::Drop(..) => (None, None),
    };
    let sql = "UPDATE pending SET messages = 0, window_end = coalesce(?5, window_end), pushed = coalesce(?6, pushed)
        WHERE user = ?1 AND room = ?2 AND upto = ?3 AND messages = ?4 AND messages > 0";
    let of = params![wanted.user.0, wanted.room.0, bits(wanted.upto.0), wanted.messages, window_end, pushed];
    if execute(tx, sql, of)? == 0 {
        return Ok(false);
    }
    let push = |id: PushId, session: SessionId| wanted.claimed(id, session, now);
    match &claim.fate {
        Fate::Push(to) => {
            for (id, session) in to {
                insert_push(tx, &push(*id, *session))?;
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
            insert_push(tx, &dropped)?;
        }
    }
    Ok(true)
}

pub(super) fn insert_push(tx: &Transaction<'_>, push: &Push) -> Result<(), Fault> {
    execute(
        tx,
        "INSERT OR REPLACE INTO pushes (id, user, room, session, first, upto, message, messages, mention, state, cause,
            dropped, attempts, at, next, told)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        params![
            push.id.0,
            push.user.0,
            push.room.0,
            push.session.0,
            bits(push.from.0),
            bits(push.upto.0),
            push.message.0,
            push.messages,
            push.mention,
            push.state as u8,
            push.cause as u8,
            push.dropped.map_or(0, |reason| reason as u8),
            push.attempts,
            bits(push.at.0),
            bits(push.next.0),
            push.told,
        ],
    )?;
    Ok(())
}

pub(super) fn abandon(connection: &mut Connection, before: Millis, now: Millis) -> Result<Vec<Push>, Fault> {
    let tx = begin(connection)?;
    let sql =
        format!("UPDATE pushes SET state = 6, at = ?2 WHERE state = 1 AND at < ?1 RETURNING {}", read::PUSH);
    let gone: Vec<Push> = tx
        .prepare_cached(&sql)?
        .query_map(params![bits(before.0), bits(now.0)], read::push)?
        .collect::<rusqlite::Result<_>>()?;
    commit(tx)?;
    Ok(gone)
}

pub(super) fn mark_told(connection: &mut Connection, ids: &[PushId]) -> Result<(), Fault> {
    let tx = begin(connection)?;
    for id in ids {
        execute(&tx, "UPDATE pushes SET told = 1 WHERE id = ?1 AND state = 4", [id.0])?;
    }
    commit(tx)
}

pub(super) fn revive(connection: &mut Connection, ids: &[PushId], now: Millis) -> Result<u32, Fault> {
    let tx = begin(connection)?;
    let mut count = 0;
    for id in ids {
        let sql = "UPDATE pushes SET state = 2, attempts = 0, at = ?2, next = ?2, told = 0 WHERE id = ?1 AND state = 4";
        count += execute(&tx, sql, params![id.0, bits(now.0)])?;
    }
    commit(tx)?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(super) fn prune(connection: &mut Connection, before: Millis, rows_max: u64) -> Result<u64, Fault> {
    let tx = begin(connection)?;
    let mut gone = 0;
    let by_time = [
        "DELETE FROM decisions WHERE (user, room, first) IN
            (SELECT user, room, first FROM decisions WHERE at < ?1 ORDER BY at LIMIT ?2)",
        "DELETE FROM pushes WHERE id IN
            (SELECT id FROM pushes WHERE at < ?1 AND state NOT IN (1, 2) ORDER BY at LIMIT ?2)",
        "DELETE FROM pending WHERE (user, room) IN
            (SELECT user, room FROM pending WHERE window_end < ?1 AND messages = 0 ORDER BY window_end LIMIT ?2)",
        "DELETE FROM taken WHERE room IN (SELECT room FROM taken WHERE at < ?1 ORDER BY at LIMIT ?2)",
    ];
    for sql in by_time {
        gone += execute(&tx, sql, params![bits(before.0), PRUNED_MAX])?;
    }
    let by_count = [
        (
            "SELECT count(*) FROM decisions",
            "DELETE FROM decisions WHERE (user, room, first) IN
                (SELECT user, room, first FROM decisions ORDER BY at LIMIT ?1)",
        ),
        (
            "SELECT count(*) FROM pushes WHERE state NOT IN (1, 2)",
            "DELETE FROM pushes WHERE id IN
                (SELECT id FROM pushes WHERE state NOT IN (1, 2) ORDER BY at LIMIT ?1)",
        ),
    ];
    for (count, sql) in by_count {
        let count: i64 = tx.prepare_cached(count)?.query_row([], |row| row.get(0))?;
        let many = count.cast_unsigned().saturating_sub(rows_max).min(PRUNED_MAX.into());
        if many > 0 {
            gone += execute(&tx, sql, [bits(many)])?;
        }
    }
    if gone == 0 {
        return Ok(0);
    }
    commit(tx)?;
    Ok(gone as u64)
}

pub(super) fn erase(connection: &mut Connection, user: UserId) -> Result<(), Fault> {
    let tx = begin(connection)?;
    for table in ["devices", "pending", "pushes", "decisions"] {
        execute(&tx, &format!("DELETE FROM {table} WHERE user = ?1"), [user.0])?;
    }
    commit(tx)
}
