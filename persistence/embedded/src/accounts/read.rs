//! Reads of accounts and sessions.

use lynk_domain::{Family, Millis, Phone, ROTATIONS_KEPT, Revocation, SecretHash, SessionId, UserId};
use lynk_model::account::{
    Account, AuditEvent, AuditKind, Findable, FoundAccounts, SEARCH_WORDS_MAX, SearchMark, Session,
    search_along,
};
use lynk_model::after_prefix;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::Fault;
use crate::sqlite::{bits, number, unreadable};

/// What [`account`] reads, of the table `a`.
macro_rules! account_columns {
    () => {
        "a.user, a.phone, a.user_name, a.display_name, a.created, a.bio, a.avatar, a.updated, a.by_name, a.by_phone"
    };
}
pub(super) use account_columns;

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let phone: String = row.get(1)?;
    let created = number(row, 4)?;
    Ok(Account {
        user: UserId(row.get(0)?),
        phone: Phone::from_e164(&phone).ok_or_else(|| unreadable(1, "not a telephone number"))?,
        user_name: row.get(2)?,
        display_name: row.get(3)?,
        created: Millis(created),
        bio: row.get(5)?,
        avatar: row.get(6)?,
        updated: Millis(number(row, 7)?.max(created)),
        findable: Findable { by_name: row.get(8)?, by_phone: row.get(9)? },
    })
}

pub(super) fn account_of_phone(connection: &Connection, phone: &Phone) -> Result<Option<Account>, Fault> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts a WHERE a.phone = ?1"
    ))?;
    Ok(statement.query_row([phone.as_e164()], account).optional()?)
}

pub(super) fn account_of_name(connection: &Connection, folded: &str) -> Result<Option<Account>, Fault> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        account_columns!(),
        " FROM names n JOIN accounts a ON a.user = n.user WHERE n.folded = ?1 AND n.freed IS NULL"
    ))?;
    Ok(statement.query_row([folded], account).optional()?)
}

pub(super) fn accounts(connection: &Connection, users: &[UserId]) -> Result<Vec<Account>, Fault> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts a WHERE a.user = ?1"
    ))?;
    let mut found = Vec::new();
    for user in users {
        found.extend(statement.query_row([user.0], account).optional()?);
    }
    Ok(found)
}

pub(super) fn search(
    connection: &Connection,
    words: &[String],
    after: Option<&SearchMark>,
    limit: u32,
) -> Result<FoundAccounts, Fault> {
    let Some((along, others)) = search_along(words) else { return Ok(FoundAccounts::default()) };
    // Of somebody with several words that begin so, the first one counts.
    let sql = concat!(
        "WITH place AS MATERIALIZED (
            SELECT word, user FROM words
            WHERE word >= ?1 AND word < ?2 AND (word, user) > (?3, ?4) ORDER BY word, user LIMIT ?5)
        SELECT ",
        account_columns!(),
        ", place.word,
            NOT EXISTS (SELECT 1 FROM words w WHERE w.user = place.user AND w.word >= ?1 AND w.word < place.word)
        FROM place JOIN accounts a ON a.user = place.user ORDER BY place.word, place.user"
    );
    let (from, by) = after.map_or(("", &[][..]), |after| (after.word.as_str(), &after.user.0[..]));
    // One more than is looked at tells whether there is more.
    let places_max = SEARCH_WORDS_MAX + 1;
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![along, after_prefix(along), from, by, places_max])?;
    let mut has = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM words WHERE user = ?1 AND word >= ?2 AND word < ?3)")?;
    let (mut found, mut last, mut looked) = (FoundAccounts::default(), None, 0);
    while let Some(row) = rows.next()? {
        if looked == SEARCH_WORDS_MAX || found.accounts.len() == limit as usize {
            found.next = last;
            break;
        }
        looked += 1;
        let account = account(row)?;
        last = Some(SearchMark { word: row.get(10)?, user: account.user });
        let mut wanted = row.get(11)?;
        for other in &others {
            wanted =
                wanted && has.query_row((account.user.0, other, after_prefix(other)), |row| row.get(0))?;
        }
        if wanted {
            found.accounts.push(account);
        }
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
