//! Reads of accounts and sessions.
//!
//! Thread: the bridge's. One statement each.

use std::collections::BTreeMap;

use lynk_domain::{Family, Millis, Phone, ROTATIONS_KEPT, Revocation, SecretHash, SessionId, UserId};
use lynk_model::account::{
    Account, AuditEvent, AuditKind, Findable, FoundAccounts, SEARCH_WORDS_MAX, SearchMark, Session,
    search_along,
};
use lynk_model::after_prefix;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Fault;
use crate::column::{bits, get, id, is_closed, known, number, small, uuid};
use crate::database::{Database, Params};

pub(super) async fn one<T>(
    database: &Database,
    sql: &str,
    params: Params<'_>,
    of: fn(&Row) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let row = database.read(async |session| session.row(sql, params).await).await?;
    row.as_ref().map(of).transpose()
}

pub(super) async fn all<T>(
    database: &Database,
    sql: &str,
    params: Params<'_>,
    of: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let rows = database.read(async |session| session.rows(sql, params).await).await?;
    rows.iter().map(of).collect()
}

/// What [`account`] reads, of the table `a`.
macro_rules! account_columns {
    () => {
        "a.user_id, a.phone, a.user_name, a.display_name, a.created, a.bio, a.avatar, a.updated, a.by_name, a.by_phone"
    };
}
pub(super) use account_columns;

pub(super) fn account(row: &Row) -> Result<Account, Fault> {
    let phone: &str = get(row, 1)?;
    let created = number(row, 4)?;
    Ok(Account {
        user: UserId(id(row, 0)?),
        phone: Phone::from_e164(phone).ok_or_else(|| Fault::corrupt("not a telephone number"))?,
        user_name: get(row, 2)?,
        display_name: get(row, 3)?,
        created: Millis(created),
        bio: get(row, 5)?,
        avatar: get::<Option<Uuid>>(row, 6)?.map(Uuid::into_bytes),
        updated: Millis(number(row, 7)?.max(created)),
        findable: Findable { by_name: get(row, 8)?, by_phone: get(row, 9)? },
    })
}

pub(super) async fn account_of_phone(database: &Database, phone: &Phone) -> Result<Option<Account>, Fault> {
    let sql = concat!("SELECT ", account_columns!(), " FROM accounts.accounts a WHERE a.phone = $1");
    one(database, sql, &[&phone.as_e164()], account).await
}

pub(super) async fn account_of_name(database: &Database, folded: &str) -> Result<Option<Account>, Fault> {
    let sql = concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts.names n JOIN accounts.accounts a ON a.user_id = n.user_id
         WHERE n.folded = $1 AND n.freed IS NULL"
    );
    one(database, sql, &[&folded], account).await
}

pub(super) async fn name_is_taken(database: &Database, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let sql = "SELECT freed FROM accounts.names WHERE folded = $1";
    let closed = one(database, sql, &[&folded], |row| get::<Option<i64>>(row, 0)).await?;
    Ok(closed.is_some_and(|freed| is_closed(freed, wall)))
}

pub(super) async fn names(database: &Database, after: &str, limit: u32) -> Result<Vec<String>, Fault> {
    let sql = "SELECT folded FROM accounts.names WHERE folded > $1 ORDER BY folded LIMIT $2";
    all(database, sql, &[&after, &i64::from(limit)], |row| get(row, 0)).await
}

pub(super) async fn accounts(database: &Database, users: &[UserId]) -> Result<Vec<Account>, Fault> {
    let sql = concat!("SELECT ", account_columns!(), " FROM accounts.accounts a WHERE a.user_id = ANY ($1)");
    let ids: Vec<_> = users.iter().map(|user| uuid(user.0)).collect();
    let found = all(database, sql, &[&ids], account).await?;
    let found: BTreeMap<_, _> = found.into_iter().map(|account| (account.user, account)).collect();
    Ok(users.iter().filter_map(|user| found.get(user).cloned()).collect())
}

pub(super) async fn search(
    database: &Database,
    words: &[String],
    after: Option<&SearchMark>,
    limit: u32,
) -> Result<FoundAccounts, Fault> {
    let Some((along, others)) = search_along(words) else { return Ok(FoundAccounts::default()) };
    // Of somebody with several words that begin so, the first one counts.
    let sql = concat!(
        "WITH place AS MATERIALIZED (
            SELECT word, user_id FROM accounts.words
            WHERE word >= $1 AND word < $2 AND (word, user_id) > ($3, $4) ORDER BY word, user_id LIMIT $5)
        SELECT ",
        account_columns!(),
        ", place.word, NOT EXISTS (
                SELECT 1 FROM accounts.words w WHERE w.user_id = place.user_id AND w.word >= $1 AND w.word < place.word)
            AND NOT EXISTS (
                SELECT 1 FROM unnest($6::text[], $7::text[]) AS other (first, last) WHERE NOT EXISTS (
                    SELECT 1 FROM accounts.words w
                    WHERE w.user_id = place.user_id AND w.word >= other.first AND w.word < other.last))
        FROM place JOIN accounts.accounts a ON a.user_id = place.user_id ORDER BY place.word, place.user_id"
    );
    let (from, by) = after.map_or(("", Uuid::nil()), |after| (after.word.as_str(), uuid(after.user.0)));
    // One more than is looked at tells whether there is more.
    let places_max = i64::from(SEARCH_WORDS_MAX) + 1;
    let ends: Vec<String> = others.iter().map(|other| after_prefix(other)).collect();
    let params: Params<'_> = &[&along, &after_prefix(along), &from, &by, &places_max, &others, &ends];
    let rows = database.read(async |session| session.rows(sql, params).await).await?;
    let (mut found, mut last) = (FoundAccounts::default(), None);
    for (looked, row) in rows.iter().enumerate() {
        if looked == SEARCH_WORDS_MAX as usize || found.accounts.len() == limit as usize {
            found.next = last;
            break;
        }
        let account = account(row)?;
        last = Some(SearchMark { word: get(row, 10)?, user: account.user });
        if get(row, 11)? {
            found.accounts.push(account);
        }
    }
    Ok(found)
}

pub(super) fn session(row: &Row) -> Result<Session, Fault> {
    let rotations: Vec<i64> = get(row, 8)?;
    if rotations.len() > ROTATIONS_KEPT {
        return Err(Fault::corrupt("too many times of rotations"));
    }
    let hash: &[u8] = get(row, 7)?;
    let hash = hash.try_into().map_err(|_| Fault::corrupt("not a hash"))?;
    Ok(Session {
        session: SessionId(id(row, 0)?),
        user: UserId(id(row, 1)?),
        device: get(row, 2)?,
        created: Millis(number(row, 3)?),
        last_used: Millis(number(row, 4)?),
        epoch: small(row, 5)?,
        family: Family {
            generation: small(row, 6)?,
            hash: SecretHash(hash),
            rotations: rotations.into_iter().map(|time| Millis(time.cast_unsigned())).collect(),
            idle_expires: Millis(number(row, 9)?),
            expires: Millis(number(row, 10)?),
        },
    })
}

pub(super) async fn one_session(database: &Database, of: SessionId) -> Result<Option<Session>, Fault> {
    let sql = "SELECT session, user_id, device, created, last_used, epoch, generation, hash, rotations, idle_expires, expires
               FROM accounts.sessions WHERE session = $1 AND revoked IS NULL";
    one(database, sql, &[&uuid(of.0)], session).await
}

pub(super) async fn sessions(database: &Database, user: UserId, wall: Millis) -> Result<Vec<Session>, Fault> {
    let sql = "SELECT session, user_id, device, created, last_used, epoch, generation, hash, rotations, idle_expires, expires
               FROM accounts.sessions
               WHERE user_id = $1 AND revoked IS NULL AND ends > $2 ORDER BY created, session";
    all(database, sql, &[&uuid(user.0), &bits(wall.0)], session).await
}

pub(super) async fn revoked_since(
    database: &Database,
    since: Millis,
) -> Result<Vec<(Millis, Revocation)>, Fault> {
    let sql = "SELECT revoked, user_id, session, epoch FROM accounts.sessions
               WHERE revoked >= $1 ORDER BY revoked, session";
    all(database, sql, &[&bits(since.0)], |row| {
        let revocation =
            Revocation { user: UserId(id(row, 1)?), session: SessionId(id(row, 2)?), epoch: small(row, 3)? };
        Ok((Millis(number(row, 0)?), revocation))
    })
    .await
}

pub(super) async fn audit(database: &Database, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, Fault> {
    let sql = "SELECT at, session, kind FROM accounts.audit WHERE user_id = $1 ORDER BY id DESC LIMIT $2";
    all(database, sql, &[&uuid(user.0), &i64::from(limit)], |row| {
        let kind = known(row, 2, AuditKind::from_u8)?;
        Ok(AuditEvent { at: Millis(number(row, 0)?), user, session: SessionId(id(row, 1)?), kind })
    })
    .await
}

pub(super) async fn unpublished(database: &Database, limit: u32) -> Result<Vec<(UserId, Millis)>, Fault> {
    let sql = "SELECT user_id, created FROM accounts.outbox ORDER BY id LIMIT $1";
    all(database, sql, &[&i64::from(limit)], |row| Ok((UserId(id(row, 0)?), Millis(number(row, 1)?)))).await
}
