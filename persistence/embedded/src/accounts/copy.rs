//! Dumping and filling accounts.

use std::cell::RefCell;
use std::path::Path;

use lynk_domain::{Millis, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::account::{AuditEvent, AuditKind, Session};
use lynk_model::dump::{AccountsMark, AccountsRow, DumpPage};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Accounts, erasures, factors, read, write};
use crate::sqlite::{bits, commit, number, snapshot, unreadable};
use crate::{Fault, OpenError};

/// The accounts of `<data>/accounts.sqlite` as they are when this is opened, while their owner goes on. The write-ahead log grows as long as
/// this is open.
pub struct AccountsSnapshot {
    connection: Connection,
    fault: RefCell<Option<Fault>>,
}

impl AccountsSnapshot {
    /// Opens the file, which must exist, for reading.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let touch = "SELECT count(*) FROM (SELECT 1 FROM accounts LIMIT 1)";
        let connection = snapshot(&data.join("accounts.sqlite"), touch)?;
        Ok(Self { connection, fault: RefCell::default() })
    }
}

impl LastFault for AccountsSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.fault.take().map(StoreFault::from)
    }
}

type Rows = Vec<(AccountsRow, AccountsMark)>;

impl Dump for AccountsSnapshot {
    type Row = AccountsRow;

    async fn rows(
        &mut self,
        mark: &AccountsMark,
        limit: u32,
    ) -> Result<DumpPage<AccountsRow, AccountsMark>, StoreError> {
        let rows = page(&self.connection, mark, limit).map_err(|fault| {
            let error = fault.store_error();
            self.fault.replace(Some(fault));
            error
        })?;
        Ok(DumpPage::at(mark, rows, limit))
    }
}

fn page(connection: &Connection, mark: &AccountsMark, limit: u32) -> Result<Rows, Fault> {
    let found = match mark {
        AccountsMark::Accounts(after) => {
            let sql = concat!(
                "SELECT ",
                read::account_columns!(),
                " FROM accounts a WHERE a.user > ?1 ORDER BY a.user LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after.0, limit], |row| {
                let account = read::account(row)?;
                let mark = AccountsMark::Accounts(account.user);
                Ok((AccountsRow::Account(account), mark))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Names(after) => {
            let sql = "SELECT folded, user, freed FROM names WHERE folded > ?1 ORDER BY folded LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after, limit], |row| {
                let (folded, freed): (String, Option<i64>) = (row.get(0)?, row.get(2)?);
                let (user, freed) = (UserId(row.get(1)?), freed.map(|at| Millis(at.cast_unsigned())));
                let mark = AccountsMark::Names(folded.clone());
                Ok((AccountsRow::Name { folded, user, freed }, mark))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Sessions(after) => {
            let columns = read::SESSION_COLUMNS;
            let sql = format!(
                "SELECT {columns}, revoked FROM sessions WHERE session > ?1 ORDER BY session LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![after.0, limit], |row| {
                let (session, revoked) = (read::session(row)?, row.get::<_, Option<i64>>(11)?);
                let mark = AccountsMark::Sessions(session.session);
                let revoked = revoked.map(|at| Millis(at.cast_unsigned()));
                Ok((AccountsRow::Session { session, revoked }, mark))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Counters(key, slice) => {
            let sql = "SELECT key, slice, count, until FROM counters
                WHERE (key, slice) > (?1, ?2) ORDER BY key, slice LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![key, bits(*slice), limit], |row| {
                let (key, slice) = (row.get(0)?, number(row, 1)?);
                let (count, until) = (number(row, 2)?, number(row, 3)?);
                Ok((AccountsRow::Counter { key, slice, count, until }, AccountsMark::Counters(key, slice)))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Audit(after) => {
            let sql = "SELECT id, at, user, session, kind FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![bits(*after), limit], |row| {
                let kind = AuditKind::from_u8(row.get(4)?)
                    .ok_or_else(|| unreadable(4, "an unknown kind of event"))?;
                let (at, user) = (Millis(number(row, 1)?), UserId(row.get(2)?));
                let event = AuditEvent { at, user, session: SessionId(row.get(3)?), kind };
                Ok((AccountsRow::Audit(event), AccountsMark::Audit(number(row, 0)?)))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Outbox(after) => {
            let sql = "SELECT id, user, created FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![bits(*after), limit], |row| {
                let (user, created) = (UserId(row.get(1)?), Millis(number(row, 2)?));
                Ok((AccountsRow::Waiting { user, created }, AccountsMark::Outbox(number(row, 0)?)))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Factors(after) => {
            let sql = "SELECT user, sealed, enrolled, confirmed, last_step FROM factors
                WHERE user > ?1 ORDER BY user LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after.0, limit], |row| {
                let app = factors::factor(row)?;
                let mark = AccountsMark::Factors(app.user);
                Ok((AccountsRow::Factor(app), mark))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Recovery(user, proof) => {
            let sql = "SELECT user, proof FROM recovery WHERE (user, proof) > (?1, ?2)
                ORDER BY user, proof LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![user.0, proof, limit], |row| {
                let (user, proof) = (UserId(row.get(0)?), row.get(1)?);
                Ok((AccountsRow::Recovery { user, proof }, AccountsMark::Recovery(user, proof)))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Suspended(after) => {
            let sql = "SELECT user, since FROM suspended WHERE user > ?1 ORDER BY user LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after.0, limit], |row| {
                let (user, since) = (UserId(row.get(0)?), Millis(number(row, 1)?));
                Ok((AccountsRow::Suspended { user, since }, AccountsMark::Suspended(user)))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
        AccountsMark::Erasures(after) => {
            let columns = erasures::COLUMNS;
            let sql = format!("SELECT {columns} FROM erasures WHERE user > ?1 ORDER BY user LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![after.0, limit], |row| {
                let one = erasures::erasure(row)?;
                Ok((AccountsRow::Erasure(one), AccountsMark::Erasures(one.user)))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        }
    };
    Ok(found?)
}

impl Fill for Accounts {
    type Row = AccountsRow;

    async fn fill(&mut self, rows: &[AccountsRow]) -> Result<(), StoreError> {
        let result = fill(&mut self.connection, rows);
        self.noted(result)
    }

    async fn take_out(&mut self, rows: &[AccountsRow]) -> Result<(), StoreError> {
        let result = take_out(&mut self.connection, rows);
        self.noted(result)
    }
}

fn take_out(connection: &mut Connection, rows: &[AccountsRow]) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        match row {
            AccountsRow::Account(account) => {
                tx.prepare_cached("DELETE FROM accounts WHERE user = ?1")?.execute([account.user.0])?;
                tx.prepare_cached("DELETE FROM words WHERE user = ?1")?.execute([account.user.0])?;
            }
            AccountsRow::Name { folded, .. } => {
                tx.prepare_cached("DELETE FROM names WHERE folded = ?1")?.execute([folded])?;
            }
            AccountsRow::Erasure(_) => return Err(Fault::corrupt("erasures are never taken out")),
            AccountsRow::Session { session, .. } => {
                tx.prepare_cached("DELETE FROM sessions WHERE session = ?1")?.execute([session.session.0])?;
            }
            AccountsRow::Counter { key, slice, .. } => {
                let sql = "DELETE FROM counters WHERE key = ?1 AND slice = ?2";
                tx.prepare_cached(sql)?.execute(params![key, bits(*slice)])?;
            }
            AccountsRow::Audit(event) => {
                let sql = "DELETE FROM audit WHERE user = ?2 AND at = ?1 AND session = ?3 AND kind = ?4";
                let (at, kind) = (bits(event.at.0), event.kind as u8);
                tx.prepare_cached(sql)?.execute(params![at, event.user.0, event.session.0, kind])?;
            }
            AccountsRow::Waiting { user, .. } => {
                tx.prepare_cached("DELETE FROM outbox WHERE user = ?1")?.execute([user.0])?;
            }
            AccountsRow::Factor(app) => {
                tx.prepare_cached("DELETE FROM factors WHERE user = ?1")?.execute([app.user.0])?;
            }
            AccountsRow::Recovery { user, proof } => {
                let sql = "DELETE FROM recovery WHERE user = ?1 AND proof = ?2";
                tx.prepare_cached(sql)?.execute(params![user.0, proof])?;
            }
            AccountsRow::Suspended { user, .. } => {
                tx.prepare_cached("DELETE FROM suspended WHERE user = ?1")?.execute([user.0])?;
            }
        }
    }
    commit(tx)
}

fn fill(connection: &mut Connection, rows: &[AccountsRow]) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        match row {
            AccountsRow::Account(account) => {
                // It takes the place of another account with its number.
                let sql = "DELETE FROM words WHERE user IN (SELECT user FROM accounts WHERE phone = ?1 AND user <> ?2)";
                tx.prepare_cached(sql)?.execute(params![account.phone.as_e164(), account.user.0])?;
                write::put_account(&tx, account)?;
            }
            AccountsRow::Name { folded, user, freed } => {
                let sql = "INSERT OR REPLACE INTO names (folded, user, freed) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![folded, user.0, freed.map(|at| bits(at.0))])?;
            }
            AccountsRow::Session { session, revoked } => put_session(&tx, session, *revoked)?,
            AccountsRow::Counter { key, slice, count, until } => {
                let sql =
                    "INSERT OR REPLACE INTO counters (key, slice, count, until) VALUES (?1, ?2, ?3, ?4)";
                tx.prepare_cached(sql)?.execute(params![key, bits(*slice), bits(*count), bits(*until)])?;
            }
            AccountsRow::Audit(event) => {
                let sql =
                    "INSERT INTO audit (at, user, session, kind) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
                    SELECT 1 FROM audit WHERE user = ?2 AND at = ?1 AND session = ?3 AND kind = ?4)";
                let (at, kind) = (bits(event.at.0), event.kind as u8);
                tx.prepare_cached(sql)?.execute(params![at, event.user.0, event.session.0, kind])?;
            }
            AccountsRow::Waiting { user, created } => {
                let sql = "INSERT INTO outbox (user, created) VALUES (?1, ?2) ON CONFLICT (user) DO NOTHING";
                tx.prepare_cached(sql)?.execute(params![user.0, bits(created.0)])?;
            }
            AccountsRow::Erasure(one) => erasures::put(&tx, one)?,
            AccountsRow::Factor(app) => factors::put(&tx, app)?,
            AccountsRow::Recovery { user, proof } => {
                let sql = "INSERT OR REPLACE INTO recovery (user, proof) VALUES (?1, ?2)";
                tx.prepare_cached(sql)?.execute(params![user.0, proof])?;
            }
            AccountsRow::Suspended { user, since } => {
                let sql = "INSERT OR REPLACE INTO suspended (user, since) VALUES (?1, ?2)";
                tx.prepare_cached(sql)?.execute(params![user.0, bits(since.0)])?;
            }
        }
    }
    commit(tx)
}

fn put_session(tx: &Transaction<'_>, session: &Session, revoked: Option<Millis>) -> Result<(), Fault> {
    let family = &session.family;
    let ends = revoked.unwrap_or(Millis(u64::MAX)).min(family.ends());
    let sql =
        "INSERT OR REPLACE INTO sessions (session, user, device, created, last_used, epoch, generation, hash,
            rotations, idle_expires, expires, ends, revoked)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    tx.prepare_cached(sql)?.execute(params![
        session.session.0,
        session.user.0,
        session.device,
        bits(session.created.0),
        bits(session.last_used.0),
        session.epoch,
        family.generation,
        family.hash.0,
        write::times(family),
        bits(family.idle_expires.0),
        bits(family.expires.0),
        bits(ends.0),
        revoked.map(|at| bits(at.0)),
    ])?;
    Ok(())
}
