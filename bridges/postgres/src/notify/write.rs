//! Changes of notifications: one transaction each.
//!
//! Thread: the bridge's. Rows that two processes may change are changed on a condition, in one order; those who lose see it by the count.

use lynk_domain::{Millis, SessionId, UserId};
use lynk_model::notify::{
    Attempted, Claim, DEVICES_PER_ACCOUNT_MAX, Decision, Device, Fate, Finished, Push, PushCause, PushId,
    PushState, Taking, Took, Turn, Turned, Wanted,
};

use super::read;
use crate::Fault;
use crate::column::{bits, uuid};
use crate::database::{Database, Session, Verdict};
use crate::locks::{Locks, Of, TAKE};

/// Rows of each kind that one call drops, so that no call pays for many.
const PRUNED_MAX: i64 = 1_000;

fn count(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

pub(super) async fn insert_device(session: &Session, device: &Device) -> Result<(), Fault> {
    let sql =
        "INSERT INTO notify.devices (session, user_id, provider, token, token_digest, platform, id_only, created, last_ok)
        VALUES ($1, $2, $3, $4, sha256(convert_to($4, 'UTF8')), $5, $6, $7, $8)
        ON CONFLICT (session) DO UPDATE SET user_id = excluded.user_id, provider = excluded.provider,
            token = excluded.token, token_digest = excluded.token_digest, platform = excluded.platform, id_only = excluded.id_only,
            created = excluded.created, last_ok = excluded.last_ok";
    let last_ok = device.last_ok.map(|at| bits(at.0));
    session
        .execute(
            sql,
            &[
                &uuid(device.session.0),
                &uuid(device.user.0),
                &(device.provider as i16),
                &device.token.reveal(),
                &(device.platform as i16),
                &device.id_only,
                &bits(device.created.0),
                &last_ok,
            ],
        )
        .await?;
    Ok(())
}

/// Removes the device of another session that has the token.
pub(super) async fn free_token(session: &Session, device: &Device) -> Result<u64, Fault> {
    let sql =
        "DELETE FROM notify.devices WHERE provider = $1 AND token_digest = sha256(convert_to($2, 'UTF8'))
        AND session <> $3";
    let of = (device.provider as i16, device.token.reveal(), uuid(device.session.0));
    session.execute(sql, &[&of.0, &of.1, &of.2]).await
}

pub(super) async fn put_device(database: &Database, device: &Device) -> Result<u32, Fault> {
    // The account's devices are counted, and the token must be nobody else's.
    let locks = Locks::default()
        .with(Of::Devices, &device.user.0)
        .with(Of::PushToken, device.token.reveal().as_bytes())
        .sorted();
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let own = uuid(device.session.0);
            let mut gone = free_token(session, device).await?;
            insert_device(session, device).await?;
            let many = "DELETE FROM notify.devices WHERE session IN (
                SELECT session FROM notify.devices WHERE user_id = $1 AND session <> $2
                ORDER BY created DESC, session DESC OFFSET $3)";
            let room = i64::from(DEVICES_PER_ACCOUNT_MAX - 1);
            gone += session.execute(many, &[&uuid(device.user.0), &own, &room]).await?;
            Ok(Verdict::Commit(count(gone)))
        })
        .await
}

pub(super) async fn remove_devices(database: &Database, sessions: &[SessionId]) -> Result<u32, Fault> {
    if sessions.is_empty() {
        return Ok(0);
    }
    let ids: Vec<_> = sessions.iter().map(|session| uuid(session.0)).collect();
    let sql = "DELETE FROM notify.devices WHERE session = ANY ($1)";
    database.change(async |session| Ok(Verdict::Commit(count(session.execute(sql, &[&ids]).await?)))).await
}

pub(super) async fn take(database: &Database, taking: &Taking, now: Millis) -> Result<Took, Fault> {
    let mut rooms = taking.rooms.clone();
    rooms.sort_unstable_by_key(|taken| taken.room);
    let rounds = rounds(&taking.decisions);
    database
        .change(async |session| {
            for taken in &rooms {
                let (room, to, at) = (uuid(taken.room.0), bits(taken.to.0), bits(now.0));
                let changed = if taken.from.0 == 0 {
                    let sql =
                        "INSERT INTO notify.taken (room, seq, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
                    session.execute(sql, &[&room, &to, &at]).await?
                } else {
                    let sql = "UPDATE notify.taken SET seq = $2, at = $3 WHERE room = $1 AND seq = $4";
                    session.execute(sql, &[&room, &to, &at, &bits(taken.from.0)]).await?
                };
                if changed == 0 {
                    return Ok(Verdict::Rollback(Took::Behind));
                }
            }
            want(session, &taking.wanted).await?;
            for round in &rounds {
                note(session, round).await?;
            }
            Ok(Verdict::Commit(Took::Done))
        })
        .await
}

/// What waits grows; what did not wait begins to, not before its window is over.
async fn want(session: &Session, wanted: &[Wanted]) -> Result<(), Fault> {
    if wanted.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO notify.pending AS p
            (user_id, room, first, upto, message, messages, mention, since, due, window_end, pushed)
        SELECT n.*, 0, 0 FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::bigint[],
            $7::boolean[], $8::bigint[], $9::bigint[]) AS n
        ON CONFLICT (user_id, room) DO UPDATE SET
            first = CASE WHEN p.messages = 0 THEN excluded.first ELSE p.first END,
            upto = excluded.upto,
            message = excluded.message,
            mention = CASE WHEN p.messages = 0 THEN excluded.mention ELSE p.mention OR excluded.mention END,
            since = CASE WHEN p.messages = 0 THEN excluded.since ELSE p.since END,
            due = CASE WHEN p.messages = 0 THEN greatest(excluded.due, p.window_end) ELSE p.due END,
            messages = least(p.messages + excluded.messages, 4294967295)";
    let mut sorted: Vec<&Wanted> = wanted.iter().collect();
    sorted.sort_unstable_by_key(|wanted| (wanted.user, wanted.room));
    let ids = |of: fn(&Wanted) -> [u8; 16]| sorted.iter().map(|wanted| uuid(of(wanted))).collect::<Vec<_>>();
    let numbers = |of: fn(&Wanted) -> u64| sorted.iter().map(|wanted| bits(of(wanted))).collect::<Vec<_>>();
    let mentions: Vec<bool> = sorted.iter().map(|wanted| wanted.mention).collect();
    session
        .execute(
            sql,
            &[
                &ids(|wanted| wanted.user.0),
                &ids(|wanted| wanted.room.0),
                &numbers(|wanted| wanted.from.0),
                &numbers(|wanted| wanted.upto.0),
                &ids(|wanted| wanted.message.0),
                &numbers(|wanted| wanted.messages.into()),
                &mentions,
                &numbers(|wanted| wanted.since.0),
                &numbers(|wanted| wanted.due.0),
            ],
        )
        .await?;
    Ok(())
}

/// Decisions in rounds: in each, those of different users and rooms; those of one follow each other.
fn rounds(decisions: &[Decision]) -> Vec<Vec<&Decision>> {
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    let mut rounds: Vec<Vec<&Decision>> = Vec::new();
    for decision in decisions {
        let round = seen.entry((decision.user, decision.room)).or_default();
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(decision);
        *round += 1;
    }
    rounds
}

async fn note(session: &Session, decisions: &[&Decision]) -> Result<(), Fault> {
    let sql = "INSERT INTO notify.decisions AS d (user_id, room, first, last, reason, at)
        SELECT n.user_id, n.room, coalesce(
                (SELECT o.first FROM (SELECT first, reason FROM notify.decisions
                    WHERE user_id = n.user_id AND room = n.room ORDER BY first DESC LIMIT 1) AS o
                 WHERE o.reason = n.reason),
                n.first), n.last, n.reason, n.at
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[])
            AS n (user_id, room, first, last, reason, at)
        ON CONFLICT (user_id, room, first) DO UPDATE SET last = excluded.last, reason = excluded.reason, at = excluded.at";
    let mut sorted = decisions.to_vec();
    sorted.sort_unstable_by_key(|decision| (decision.user, decision.room));
    let users: Vec<_> = sorted.iter().map(|decision| uuid(decision.user.0)).collect();
    let rooms: Vec<_> = sorted.iter().map(|decision| uuid(decision.room.0)).collect();
    let firsts: Vec<_> = sorted.iter().map(|decision| bits(decision.first.0)).collect();
    let lasts: Vec<_> = sorted.iter().map(|decision| bits(decision.last.0)).collect();
    let reasons: Vec<_> = sorted.iter().map(|decision| decision.reason as i16).collect();
    let ats: Vec<_> = sorted.iter().map(|decision| bits(decision.at.0)).collect();
    session.execute(sql, &[&users, &rooms, &firsts, &lasts, &reasons, &ats]).await?;
    Ok(())
}

pub(super) async fn insert_decision(session: &Session, decision: &Decision) -> Result<(), Fault> {
    let sql = "INSERT INTO notify.decisions (user_id, room, first, last, reason, at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (user_id, room, first) DO UPDATE SET last = excluded.last, reason = excluded.reason, at = excluded.at";
    let (user, room) = (uuid(decision.user.0), uuid(decision.room.0));
    let (first, last) = (bits(decision.first.0), bits(decision.last.0));
    session
        .execute(sql, &[&user, &room, &first, &last, &(decision.reason as i16), &bits(decision.at.0)])
        .await?;
    Ok(())
}

pub(super) async fn turn(database: &Database, turn: &Turn, now: Millis) -> Result<Turned, Fault> {
    database
        .change(async |session| {
            for finished in &turn.finished {
                finish(session, finished, now).await?;
            }
            let mut turned = Turned::default();
            for claimed in &turn.claims {
                turned.claims.push(claim(session, claimed, now).await?);
            }
            for id in &turn.again {
                let sql = "UPDATE notify.pushes SET state = 1, attempts = attempts + 1, at = $2
                    WHERE id = $1 AND state = 2";
                turned.again.push(session.execute(sql, &[&uuid(id.0), &bits(now.0)]).await? == 1);
            }
            Ok(Verdict::Commit(turned))
        })
        .await
}

async fn finish(session: &Session, finished: &Finished, now: Millis) -> Result<(), Fault> {
    let (state, cause, next) = match finished.attempted {
        Attempted::Sent => (PushState::Sent, PushCause::None, Millis(0)),
        Attempted::Again { next, cause } => (PushState::Waiting, cause, next),
        Attempted::Dead(cause) => (PushState::Dead, cause, Millis(0)),
        Attempted::Unregistered => (PushState::Unregistered, PushCause::Unregistered, Millis(0)),
    };
    let sql =
        "UPDATE notify.pushes SET state = $2, cause = $3, next = $4, at = $5 WHERE id = $1 AND state = 1
        RETURNING session";
    let (id, at) = (uuid(finished.id.0), bits(now.0));
    let row = session.row(sql, &[&id, &(state as i16), &(cause as i16), &bits(next.0), &at]).await?;
    let Some(row) = row else { return Ok(()) };
    let of = uuid(crate::column::id(&row, 0)?);
    match finished.attempted {
        Attempted::Sent => {
            session.execute("UPDATE notify.devices SET last_ok = $2 WHERE session = $1", &[&of, &at]).await?;
        }
        Attempted::Unregistered => {
            let sql = "DELETE FROM notify.devices WHERE session = $1 AND token = $2";
            session.execute(sql, &[&of, &finished.token.reveal()]).await?;
        }
        Attempted::Again { .. } | Attempted::Dead(_) => {}
    }
    Ok(())
}

async fn claim(session: &Session, claim: &Claim, now: Millis) -> Result<bool, Fault> {
    let wanted = &claim.wanted;
    let first = match &claim.fate {
        Fate::Push(to) => to.first().map(|(id, _)| *id),
        Fate::Drop(id, _) => Some(*id),
    };
    if let Some(id) = first
        && session.row("SELECT 1 FROM notify.pushes WHERE id = $1", &[&uuid(id.0)]).await?.is_some()
    {
        return Ok(true);
    }
    let (window_end, pushed) = match claim.fate {
        Fate::Push(_) => (Some(bits(claim.window_end.0)), Some(bits(wanted.upto.0))),
        Fate::Drop(..) => (None, None),
    };
    let sql = "UPDATE notify.pending
        SET messages = 0, window_end = coalesce($5, window_end), pushed = coalesce($6, pushed)
        WHERE user_id = $1 AND room = $2 AND upto = $3 AND messages = $4 AND messages > 0";
    let (user, room) = (uuid(wanted.user.0), uuid(wanted.room.0));
    let (upto, messages) = (bits(wanted.upto.0), i64::from(wanted.messages));
    if session.execute(sql, &[&user, &room, &upto, &messages, &window_end, &pushed]).await? == 0 {
        return Ok(false);
    }
    let push = |id: PushId, session: SessionId| wanted.claimed(id, session, now);
    match &claim.fate {
        Fate::Push(to) => {
            for (id, of) in to {
                put_push(session, &push(*id, *of)).await?;
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
            put_push(session, &dropped).await?;
        }
    }
    Ok(true)
}

pub(super) async fn put_push(session: &Session, push: &Push) -> Result<(), Fault> {
    let id = uuid(push.id.0);
    session.execute("DELETE FROM notify.pushes WHERE id = $1", &[&id]).await?;
    let sql = "INSERT INTO notify.pushes (id, user_id, room, session, first, upto, message, messages, mention, state, cause,
            dropped, attempts, at, next, told)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    session
        .execute(
            sql,
            &[
                &id,
                &uuid(push.user.0),
                &uuid(push.room.0),
                &uuid(push.session.0),
                &bits(push.from.0),
                &bits(push.upto.0),
                &uuid(push.message.0),
                &i64::from(push.messages),
                &push.mention,
                &(push.state as i16),
                &(push.cause as i16),
                &push.dropped.map_or(0, |reason| reason as i16),
                &i64::from(push.attempts),
                &bits(push.at.0),
                &bits(push.next.0),
                &push.told,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn put_pending(
    session: &Session,
    pending: &lynk_model::notify::Pending,
) -> Result<(), Fault> {
    let wanted = &pending.wanted;
    let (user, room) = (uuid(wanted.user.0), uuid(wanted.room.0));
    session.execute("DELETE FROM notify.pending WHERE user_id = $1 AND room = $2", &[&user, &room]).await?;
    let sql = "INSERT INTO notify.pending (user_id, room, first, upto, message, messages, mention, since, due, window_end, pushed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    session
        .execute(
            sql,
            &[
                &user,
                &room,
                &bits(wanted.from.0),
                &bits(wanted.upto.0),
                &uuid(wanted.message.0),
                &i64::from(wanted.messages),
                &wanted.mention,
                &bits(wanted.since.0),
                &bits(wanted.due.0),
                &bits(pending.window_end.0),
                &bits(pending.pushed.0),
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn abandon(database: &Database, before: Millis, now: Millis) -> Result<Vec<Push>, Fault> {
    let sql = format!(
        "UPDATE notify.pushes SET state = 6, at = $2 WHERE state = 1 AND at < $1 RETURNING {}",
        read::PUSH
    );
    database
        .change(async |session| {
            let rows = session.rows(&sql, &[&bits(before.0), &bits(now.0)]).await?;
            let gone = rows.iter().map(read::push).collect::<Result<Vec<_>, _>>()?;
            Ok(if gone.is_empty() { Verdict::Rollback(gone) } else { Verdict::Commit(gone) })
        })
        .await
}

fn ids_of(ids: &[PushId]) -> Vec<uuid::Uuid> {
    ids.iter().map(|id| uuid(id.0)).collect()
}

pub(super) async fn mark_told(database: &Database, ids: &[PushId]) -> Result<(), Fault> {
    let ids = ids_of(ids);
    let sql = "UPDATE notify.pushes SET told = true WHERE id = ANY ($1) AND state = 4";
    database
        .change(async |session| {
            session.execute(sql, &[&ids]).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}

pub(super) async fn revive(database: &Database, ids: &[PushId], now: Millis) -> Result<u32, Fault> {
    let ids = ids_of(ids);
    let sql = "UPDATE notify.pushes SET state = 2, attempts = 0, at = $2, next = $2, told = false
        WHERE id = ANY ($1) AND state = 4";
    database
        .change(async |session| {
            Ok(Verdict::Commit(count(session.execute(sql, &[&ids, &bits(now.0)]).await?)))
        })
        .await
}

pub(super) async fn prune(database: &Database, before: Millis, rows_max: u64) -> Result<u64, Fault> {
    let by_time = [
        "DELETE FROM notify.decisions WHERE (user_id, room, first) IN (
            SELECT user_id, room, first FROM notify.decisions WHERE at < $1 ORDER BY at LIMIT $2
            FOR UPDATE SKIP LOCKED)",
        "DELETE FROM notify.pushes WHERE id IN (
            SELECT id FROM notify.pushes WHERE at < $1 AND state NOT IN (1, 2) ORDER BY at LIMIT $2
            FOR UPDATE SKIP LOCKED)",
        "DELETE FROM notify.pending WHERE (user_id, room) IN (
            SELECT user_id, room FROM notify.pending WHERE window_end < $1 AND messages = 0 ORDER BY window_end
            LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM notify.taken WHERE room IN (
            SELECT room FROM notify.taken WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ];
    let by_count = [
        (
            "SELECT count(*) FROM notify.decisions",
            "DELETE FROM notify.decisions WHERE (user_id, room, first) IN (
                SELECT user_id, room, first FROM notify.decisions ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        ),
        (
            "SELECT count(*) FROM notify.pushes WHERE state NOT IN (1, 2)",
            "DELETE FROM notify.pushes WHERE id IN (
                SELECT id FROM notify.pushes WHERE state NOT IN (1, 2) ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        ),
    ];
    database
        .change(async |session| {
            let mut gone = 0;
            for sql in by_time {
                gone += session.execute(sql, &[&bits(before.0), &PRUNED_MAX]).await?;
            }
            for (counted, sql) in by_count {
                let row = session.row(counted, &[]).await?;
                let rows = row.as_ref().map_or(Ok(0), |row| crate::column::number(row, 0))?;
                let many = i64::try_from(rows.saturating_sub(rows_max)).unwrap_or(i64::MAX).min(PRUNED_MAX);
                if many > 0 {
                    gone += session.execute(sql, &[&many]).await?;
                }
            }
            Ok(if gone == 0 { Verdict::Rollback(0) } else { Verdict::Commit(gone) })
        })
        .await
}

pub(super) async fn erase(database: &Database, user: UserId) -> Result<(), Fault> {
    let id = uuid(user.0);
    database
        .change(async |session| {
            for table in ["devices", "pending", "pushes", "decisions"] {
                session.execute(&format!("DELETE FROM notify.{table} WHERE user_id = $1"), &[&id]).await?;
            }
            Ok(Verdict::Commit(()))
        })
        .await
}
