//! Dumping and filling accounts.
//!
//! Thread: that of whoever copies. A page is filled in one transaction. What can fail: see [`Fault`].

use futures_util::future::try_join_all;
use lynk_domain::{Millis, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::account::{AuditEvent, AuditKind, Session as Opened};
use lynk_model::dump::{AccountsMark, AccountsRow, DumpPage};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use tokio_postgres::Row;

use super::{PostgresAccounts, erasures, factors, read, write};
use crate::Fault;
use crate::column::{bits, get, id, known, number, uuid};
use crate::database::{Held, Session, Verdict, count};

/// Accounts as they were at one moment, while others go on. It takes a connection of the pool, and keeps the server from cleaning up what is
/// newer.
pub struct AccountsSnapshot(Held);

impl PostgresAccounts {
    /// The accounts as they are now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn snapshot(&self) -> Result<AccountsSnapshot, StoreError> {
        let held = self.database.hold("SELECT 1 FROM accounts.accounts LIMIT 1").await;
        self.database.noted(held).map(AccountsSnapshot)
    }
}

impl LastFault for AccountsSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.0.take_fault().map(StoreFault::from)
    }
}

impl Dump for AccountsSnapshot {
    type Row = AccountsRow;

    async fn rows(
        &mut self,
        mark: &AccountsMark,
        limit: u32,
    ) -> Result<DumpPage<AccountsRow, AccountsMark>, StoreError> {
        let found = self.0.read(async |session| {
            let rows = ask(session, mark, i64::from(limit)).await?;
            rows.iter().map(|row| one(mark, row)).collect::<Result<Vec<_>, Fault>>()
        });
        let rows = found.await?;
        Ok(DumpPage::at(mark, rows, limit))
    }

    async fn find(&mut self, rows: &[AccountsRow]) -> Result<Vec<AccountsRow>, StoreError> {
        let found =
            self.0.read(async |session| try_join_all(rows.iter().map(|row| under_key(session, row))).await);
        Ok(found.await?.into_iter().flatten().collect())
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        let tables = [
            "accounts.accounts",
            "accounts.names",
            "accounts.sessions",
            "accounts.counters",
            "accounts.audit",
            "accounts.outbox",
            "accounts.factors",
            "accounts.recovery",
            "accounts.suspended",
            "accounts.erasures",
        ];
        count(&self.0, &tables).await
    }
}

async fn ask(session: &Session, mark: &AccountsMark, limit: i64) -> Result<Vec<Row>, Fault> {
    match mark {
        AccountsMark::Accounts(after) => {
            let sql = concat!(
                "SELECT ",
                read::account_columns!(),
                " FROM accounts.accounts a WHERE a.user_id > $1 ORDER BY a.user_id LIMIT $2"
            );
            session.rows(sql, &[&uuid(after.0), &limit]).await
        }
        AccountsMark::Names(after) => {
            let sql = "SELECT folded, user_id, freed FROM accounts.names WHERE folded > $1 ORDER BY folded LIMIT $2";
            session.rows(sql, &[after, &limit]).await
        }
        AccountsMark::Sessions(after) => {
            let sql = "SELECT session, user_id, device, created, last_used, epoch, generation, hash, rotations, idle_expires,
                    expires, revoked
                FROM accounts.sessions WHERE session > $1 ORDER BY session LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await
        }
        AccountsMark::Counters(key, slice) => {
            let sql = "SELECT key, slice, count, until FROM accounts.counters
                WHERE (key, slice) > ($1, $2) ORDER BY key, slice LIMIT $3";
            session.rows(sql, &[&key.as_slice(), &bits(*slice), &limit]).await
        }
        AccountsMark::Audit(after) => {
            let sql = "SELECT id, at, user_id, session, kind FROM accounts.audit WHERE id > $1 ORDER BY id LIMIT $2";
            session.rows(sql, &[&bits(*after), &limit]).await
        }
        AccountsMark::Outbox(after) => {
            let sql = "SELECT id, user_id, created FROM accounts.outbox WHERE id > $1 ORDER BY id LIMIT $2";
            session.rows(sql, &[&bits(*after), &limit]).await
        }
        AccountsMark::Factors(after) => {
            let sql = "SELECT user_id, sealed, enrolled, confirmed, last_step FROM accounts.factors
                WHERE user_id > $1 ORDER BY user_id LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await
        }
        AccountsMark::Recovery(user, proof) => {
            let sql = "SELECT user_id, proof FROM accounts.recovery
                WHERE (user_id, proof) > ($1, $2) ORDER BY user_id, proof LIMIT $3";
            session.rows(sql, &[&uuid(user.0), &proof.as_slice(), &limit]).await
        }
        AccountsMark::Suspended(after) => {
            let sql = "SELECT user_id, since FROM accounts.suspended
                WHERE user_id > $1 ORDER BY user_id LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await
        }
        AccountsMark::Erasures(after) => {
            let sql = "SELECT user_id, begun, room, seq, done FROM accounts.erasures
                WHERE user_id > $1 ORDER BY user_id LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await
        }
    }
}

fn one(mark: &AccountsMark, row: &Row) -> Result<(AccountsRow, AccountsMark), Fault> {
    Ok(match mark {
        AccountsMark::Accounts(_) => {
            let account = read::account(row)?;
            let mark = AccountsMark::Accounts(account.user);
            (AccountsRow::Account(account), mark)
        }
        AccountsMark::Names(_) => {
            let (folded, freed): (String, Option<i64>) = (get(row, 0)?, get(row, 2)?);
            let (user, freed) = (UserId(id(row, 1)?), freed.map(|at| Millis(at.cast_unsigned())));
            (AccountsRow::Name { folded: folded.clone(), user, freed }, AccountsMark::Names(folded))
        }
        AccountsMark::Sessions(_) => {
            let (session, revoked): (_, Option<i64>) = (read::session(row)?, get(row, 11)?);
            let mark = AccountsMark::Sessions(session.session);
            let revoked = revoked.map(|at| Millis(at.cast_unsigned()));
            (AccountsRow::Session { session, revoked }, mark)
        }
        AccountsMark::Counters(..) => {
            let key: &[u8] = get(row, 0)?;
            let key = key.try_into().map_err(|_| Fault::corrupt("a counter's key has another length"))?;
            let (slice, count, until) = (number(row, 1)?, number(row, 2)?, number(row, 3)?);
            (AccountsRow::Counter { key, slice, count, until }, AccountsMark::Counters(key, slice))
        }
        AccountsMark::Audit(_) => {
            let (at, user, session) = (Millis(number(row, 1)?), UserId(id(row, 2)?), SessionId(id(row, 3)?));
            let event = AuditEvent { at, user, session, kind: known(row, 4, AuditKind::from_u8)? };
            (AccountsRow::Audit(event), AccountsMark::Audit(number(row, 0)?))
        }
        AccountsMark::Outbox(_) => {
            let (user, created) = (UserId(id(row, 1)?), Millis(number(row, 2)?));
            (AccountsRow::Waiting { user, created }, AccountsMark::Outbox(number(row, 0)?))
        }
        AccountsMark::Factors(_) => {
            let app = factors::factor(row)?;
            let mark = AccountsMark::Factors(app.user);
            (AccountsRow::Factor(app), mark)
        }
        AccountsMark::Recovery(..) => {
            let (user, proof): (_, &[u8]) = (UserId(id(row, 0)?), get(row, 1)?);
            let proof = proof.try_into().map_err(|_| Fault::corrupt("not a hash"))?;
            (AccountsRow::Recovery { user, proof }, AccountsMark::Recovery(user, proof))
        }
        AccountsMark::Suspended(_) => {
            let (user, since) = (UserId(id(row, 0)?), Millis(number(row, 1)?));
            (AccountsRow::Suspended { user, since }, AccountsMark::Suspended(user))
        }
        AccountsMark::Erasures(_) => {
            let one = erasures::erasure(row)?;
            (AccountsRow::Erasure(one), AccountsMark::Erasures(one.user))
        }
    })
}

/// The row that is there under the key of another.
async fn under_key(session: &Session, row: &AccountsRow) -> Result<Option<AccountsRow>, Fault> {
    let (of, found) = match row {
        AccountsRow::Account(account) => {
            let sql = concat!(
                "SELECT ",
                read::account_columns!(),
                " FROM accounts.accounts a WHERE a.user_id = $1"
            );
            (AccountsMark::Accounts(account.user), session.row(sql, &[&uuid(account.user.0)]).await?)
        }
        AccountsRow::Name { folded, .. } => {
            let sql = "SELECT folded, user_id, freed FROM accounts.names WHERE folded = $1";
            (AccountsMark::Names(String::new()), session.row(sql, &[folded]).await?)
        }
        AccountsRow::Session { session: of, .. } => {
            let sql = "SELECT session, user_id, device, created, last_used, epoch, generation, hash, rotations, idle_expires,
                    expires, revoked
                FROM accounts.sessions WHERE session = $1";
            (AccountsMark::Sessions(of.session), session.row(sql, &[&uuid(of.session.0)]).await?)
        }
        AccountsRow::Counter { key, slice, .. } => {
            let sql = "SELECT key, slice, count, until FROM accounts.counters WHERE key = $1 AND slice = $2";
            let found = session.row(sql, &[&key.as_slice(), &bits(*slice)]).await?;
            (AccountsMark::Counters(*key, *slice), found)
        }
        AccountsRow::Audit(event) => {
            let sql = "SELECT id, at, user_id, session, kind FROM accounts.audit
                WHERE user_id = $2 AND at = $1 AND session = $3 AND kind = $4";
            let (user, of) = (uuid(event.user.0), uuid(event.session.0));
            let found = session.row(sql, &[&bits(event.at.0), &user, &of, &(event.kind as i16)]).await?;
            (AccountsMark::Audit(0), found)
        }
        AccountsRow::Waiting { user, .. } => {
            let sql = "SELECT id, user_id, created FROM accounts.outbox WHERE user_id = $1";
            (AccountsMark::Outbox(0), session.row(sql, &[&uuid(user.0)]).await?)
        }
        AccountsRow::Factor(app) => {
            let sql = "SELECT user_id, sealed, enrolled, confirmed, last_step FROM accounts.factors WHERE user_id = $1";
            (AccountsMark::Factors(app.user), session.row(sql, &[&uuid(app.user.0)]).await?)
        }
        AccountsRow::Recovery { user, proof } => {
            let sql = "SELECT user_id, proof FROM accounts.recovery WHERE user_id = $1 AND proof = $2";
            let found = session.row(sql, &[&uuid(user.0), &proof.as_slice()]).await?;
            (AccountsMark::Recovery(*user, *proof), found)
        }
        AccountsRow::Suspended { user, .. } => {
            let sql = "SELECT user_id, since FROM accounts.suspended WHERE user_id = $1";
            (AccountsMark::Suspended(*user), session.row(sql, &[&uuid(user.0)]).await?)
        }
        AccountsRow::Erasure(one) => {
            let sql = "SELECT user_id, begun, room, seq, done FROM accounts.erasures WHERE user_id = $1";
            (AccountsMark::Erasures(one.user), session.row(sql, &[&uuid(one.user.0)]).await?)
        }
    };
    Ok(found.map(|row| one(&of, &row)).transpose()?.map(|(row, _)| row))
}

impl Fill for PostgresAccounts {
    type Row = AccountsRow;

    async fn fill(&mut self, rows: &[AccountsRow]) -> Result<(), StoreError> {
        let filled = self.database.change(async |session| {
            // One after the other: lines of the audit log, and the outbox, keep their order.
            for row in rows {
                put(session, row).await?;
            }
            Ok(Verdict::Commit(()))
        });
        self.database.noted(filled.await)
    }

    async fn take_out(&mut self, rows: &[AccountsRow]) -> Result<(), StoreError> {
        let gone = self.database.change(async |session| {
            try_join_all(rows.iter().map(|row| take_out(session, row))).await?;
            Ok(Verdict::Commit(()))
        });
        self.database.noted(gone.await)
    }
}

async fn take_out(session: &Session, row: &AccountsRow) -> Result<(), Fault> {
    match row {
        AccountsRow::Account(account) => {
            let user = uuid(account.user.0);
            session.execute("DELETE FROM accounts.words WHERE user_id = $1", &[&user]).await?;
            session.execute("DELETE FROM accounts.accounts WHERE user_id = $1", &[&user]).await?
        }
        // Nor may the role.
        AccountsRow::Erasure(_) => return Err(Fault::corrupt("erasures are never taken out")),
        AccountsRow::Name { folded, .. } => {
            let sql = "DELETE FROM accounts.names WHERE folded = $1";
            session.execute(sql, &[folded]).await?
        }
        AccountsRow::Session { session: of, .. } => {
            let sql = "DELETE FROM accounts.sessions WHERE session = $1";
            session.execute(sql, &[&uuid(of.session.0)]).await?
        }
        AccountsRow::Counter { key, slice, .. } => {
            let sql = "DELETE FROM accounts.counters WHERE key = $1 AND slice = $2";
            session.execute(sql, &[&key.as_slice(), &bits(*slice)]).await?
        }
        AccountsRow::Audit(event) => {
            let sql =
                "DELETE FROM accounts.audit WHERE user_id = $2 AND at = $1 AND session = $3 AND kind = $4";
            let (user, of) = (uuid(event.user.0), uuid(event.session.0));
            session.execute(sql, &[&bits(event.at.0), &user, &of, &(event.kind as i16)]).await?
        }
        AccountsRow::Waiting { user, .. } => {
            let sql = "DELETE FROM accounts.outbox WHERE user_id = $1";
            session.execute(sql, &[&uuid(user.0)]).await?
        }
        AccountsRow::Factor(app) => {
            let sql = "DELETE FROM accounts.factors WHERE user_id = $1";
            session.execute(sql, &[&uuid(app.user.0)]).await?
        }
        AccountsRow::Recovery { user, proof } => {
            let sql = "DELETE FROM accounts.recovery WHERE user_id = $1 AND proof = $2";
            session.execute(sql, &[&uuid(user.0), &proof.as_slice()]).await?
        }
        AccountsRow::Suspended { user, .. } => {
            let sql = "DELETE FROM accounts.suspended WHERE user_id = $1";
            session.execute(sql, &[&uuid(user.0)]).await?
        }
    };
    Ok(())
}

async fn put(session: &Session, row: &AccountsRow) -> Result<(), Fault> {
    match row {
        AccountsRow::Account(account) => {
            let (user, phone) = (uuid(account.user.0), account.phone.as_e164());
            let words = "DELETE FROM accounts.words
                WHERE user_id IN (SELECT user_id FROM accounts.accounts WHERE phone = $2 AND user_id <> $1)";
            session.execute(words, &[&user, &phone]).await?;
            let other = "DELETE FROM accounts.accounts WHERE phone = $2 AND user_id <> $1";
            session.execute(other, &[&user, &phone]).await?;
            write::put_account(session, account).await?;
            1
        }
        AccountsRow::Name { folded, user, freed } => {
            let sql = "INSERT INTO accounts.names (folded, user_id, freed) VALUES ($1, $2, $3)
                ON CONFLICT (folded) DO UPDATE SET user_id = excluded.user_id, freed = excluded.freed";
            session.execute(sql, &[folded, &uuid(user.0), &freed.map(|at| bits(at.0))]).await?
        }
        AccountsRow::Session { session: opened, revoked } => put_session(session, opened, *revoked).await?,
        AccountsRow::Counter { key, slice, count, until } => {
            let sql = "INSERT INTO accounts.counters (key, slice, count, until) VALUES ($1, $2, $3, $4)
                ON CONFLICT (key, slice) DO UPDATE SET count = excluded.count, until = excluded.until";
            session.execute(sql, &[&key.as_slice(), &bits(*slice), &bits(*count), &bits(*until)]).await?
        }
        AccountsRow::Audit(event) => {
            let sql = "INSERT INTO accounts.audit (at, user_id, session, kind)
                SELECT $1::bigint, $2::uuid, $3::uuid, $4::smallint WHERE NOT EXISTS (SELECT 1 FROM accounts.audit
                    WHERE user_id = $2 AND at = $1 AND session = $3 AND kind = $4)";
            let (user, of) = (uuid(event.user.0), uuid(event.session.0));
            session.execute(sql, &[&bits(event.at.0), &user, &of, &(event.kind as i16)]).await?
        }
        AccountsRow::Waiting { user, created } => {
            let sql = "INSERT INTO accounts.outbox (user_id, created) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING";
            session.execute(sql, &[&uuid(user.0), &bits(created.0)]).await?
        }
        AccountsRow::Erasure(one) => erasures::put(session, one).await?,
        AccountsRow::Factor(app) => factors::put(session, app).await?,
        AccountsRow::Recovery { user, proof } => {
            let sql = "INSERT INTO accounts.recovery (user_id, proof) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            session.execute(sql, &[&uuid(user.0), &proof.as_slice()]).await?
        }
        AccountsRow::Suspended { user, since } => {
            // The role may not change it, only make and remove it.
            let id = uuid(user.0);
            session.execute("DELETE FROM accounts.suspended WHERE user_id = $1", &[&id]).await?;
            let sql = "INSERT INTO accounts.suspended (user_id, since) VALUES ($1, $2)";
            session.execute(sql, &[&id, &bits(since.0)]).await?
        }
    };
    Ok(())
}

async fn put_session(session: &Session, opened: &Opened, revoked: Option<Millis>) -> Result<u64, Fault> {
    let family = &opened.family;
    let ends = revoked.unwrap_or(Millis(u64::MAX)).min(family.ends());
    let id = uuid(opened.session.0);
    session.execute("DELETE FROM accounts.sessions WHERE session = $1", &[&id]).await?;
    let sql = "INSERT INTO accounts.sessions (session, user_id, device, created, last_used, epoch, generation, hash, rotations,
            idle_expires, expires, ends, revoked)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    session
        .execute(
            sql,
            &[
                &id,
                &uuid(opened.user.0),
                &opened.device,
                &bits(opened.created.0),
                &bits(opened.last_used.0),
                &i64::from(opened.epoch),
                &i64::from(family.generation),
                &family.hash.0.as_slice(),
                &write::times(family),
                &bits(family.idle_expires.0),
                &bits(family.expires.0),
                &bits(ends.0),
                &revoked.map(|at| bits(at.0)),
            ],
        )
        .await
}
