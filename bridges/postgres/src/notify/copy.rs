//! Dumping and filling notifications.
//!
//! Thread: that of whoever copies. A page is filled in one transaction. What can fail: see [`Fault`].

use futures_util::future::try_join_all;
use lynk_domain::{Millis, RoomId, Seq};
use lynk_model::StoreError;
use lynk_model::dump::{DumpPage, NotifyMark, NotifyRow};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use tokio_postgres::Row;

use super::{PostgresNotify, read, write};
use crate::Fault;
use crate::column::{bits, id, number, uuid};
use crate::database::{Held, Session, Verdict, count};

/// Notifications as they were at one moment, while others go on. It takes a connection of the pool, and keeps the server from cleaning up what
/// is newer.
pub struct NotifySnapshot(Held);

impl PostgresNotify {
    /// The notifications as they are now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn snapshot(&self) -> Result<NotifySnapshot, StoreError> {
        let held = self.database.hold("SELECT 1 FROM notify.devices LIMIT 1").await;
        self.database.noted(held).map(NotifySnapshot)
    }
}

impl LastFault for NotifySnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.0.take_fault().map(StoreFault::from)
    }
}

impl Dump for NotifySnapshot {
    type Row = NotifyRow;

    async fn rows(
        &mut self,
        mark: &NotifyMark,
        limit: u32,
    ) -> Result<DumpPage<NotifyRow, NotifyMark>, StoreError> {
        let found = self.0.read(async |session| {
            let rows = ask(session, mark, i64::from(limit)).await?;
            rows.iter().map(|row| one(mark, row)).collect::<Result<Vec<_>, Fault>>()
        });
        let rows = found.await?;
        let marked = |row: NotifyRow| {
            let mark = row.mark();
            (row, mark)
        };
        Ok(DumpPage::at(mark, rows.into_iter().map(marked).collect(), limit))
    }

    async fn find(&mut self, rows: &[NotifyRow]) -> Result<Vec<NotifyRow>, StoreError> {
        let found =
            self.0.read(async |session| try_join_all(rows.iter().map(|row| under_key(session, row))).await);
        Ok(found.await?.into_iter().flatten().collect())
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        let tables =
            ["notify.devices", "notify.taken", "notify.pending", "notify.pushes", "notify.decisions"];
        count(&self.0, &tables).await
    }
}

async fn ask(session: &Session, mark: &NotifyMark, limit: i64) -> Result<Vec<Row>, Fault> {
    match mark {
        NotifyMark::Devices(after) => {
            let sql = format!(
                "SELECT {} FROM notify.devices WHERE session > $1 ORDER BY session LIMIT $2",
                read::DEVICE
            );
            session.rows(&sql, &[&uuid(after.0), &limit]).await
        }
        NotifyMark::Taken(after) => {
            let sql = "SELECT room, seq, at FROM notify.taken WHERE room > $1 ORDER BY room LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await
        }
        NotifyMark::Pending(user, room) => {
            let sql = format!(
                "SELECT {} FROM notify.pending WHERE (user_id, room) > ($1, $2) ORDER BY user_id, room LIMIT $3",
                read::PENDING
            );
            session.rows(&sql, &[&uuid(user.0), &uuid(room.0), &limit]).await
        }
        NotifyMark::Pushes(after) => {
            let sql = format!("SELECT {} FROM notify.pushes WHERE id > $1 ORDER BY id LIMIT $2", read::PUSH);
            session.rows(&sql, &[&uuid(after.0), &limit]).await
        }
        NotifyMark::Decisions(user, room, first) => {
            let sql = "SELECT user_id, room, first, last, reason, at FROM notify.decisions
                WHERE (user_id, room, first) > ($1, $2, $3) ORDER BY user_id, room, first LIMIT $4";
            session.rows(sql, &[&uuid(user.0), &uuid(room.0), &bits(first.0), &limit]).await
        }
    }
}

fn one(mark: &NotifyMark, row: &Row) -> Result<NotifyRow, Fault> {
    Ok(match mark {
        NotifyMark::Devices(_) => NotifyRow::Device(read::device(row)?),
        NotifyMark::Taken(_) => {
            let (seq, at) = (Seq(number(row, 1)?), Millis(number(row, 2)?));
            NotifyRow::Taken { room: RoomId(id(row, 0)?), seq, at }
        }
        NotifyMark::Pending(..) => NotifyRow::Pending(read::pending(row)?),
        NotifyMark::Pushes(_) => NotifyRow::Push(read::push(row)?),
        NotifyMark::Decisions(..) => NotifyRow::Decision(read::decision(row)?),
    })
}

/// The row that is there under the key of another.
async fn under_key(session: &Session, row: &NotifyRow) -> Result<Option<NotifyRow>, Fault> {
    let found = match row {
        NotifyRow::Device(device) => {
            let sql = format!("SELECT {} FROM notify.devices WHERE session = $1", read::DEVICE);
            session.row(&sql, &[&uuid(device.session.0)]).await?
        }
        NotifyRow::Taken { room, .. } => {
            session.row("SELECT room, seq, at FROM notify.taken WHERE room = $1", &[&uuid(room.0)]).await?
        }
        NotifyRow::Pending(pending) => {
            let sql =
                format!("SELECT {} FROM notify.pending WHERE user_id = $1 AND room = $2", read::PENDING);
            session.row(&sql, &[&uuid(pending.wanted.user.0), &uuid(pending.wanted.room.0)]).await?
        }
        NotifyRow::Push(push) => {
            let sql = format!("SELECT {} FROM notify.pushes WHERE id = $1", read::PUSH);
            session.row(&sql, &[&uuid(push.id.0)]).await?
        }
        NotifyRow::Decision(decision) => {
            let sql = "SELECT user_id, room, first, last, reason, at FROM notify.decisions
                WHERE user_id = $1 AND room = $2 AND first = $3";
            let (user, room) = (uuid(decision.user.0), uuid(decision.room.0));
            session.row(sql, &[&user, &room, &bits(decision.first.0)]).await?
        }
    };
    found.map(|found| one(&row.mark(), &found)).transpose()
}

impl Fill for PostgresNotify {
    type Row = NotifyRow;

    async fn fill(&mut self, rows: &[NotifyRow]) -> Result<(), StoreError> {
        let filled = self.database.change(async |session| {
            for row in rows {
                put(session, row).await?;
            }
            Ok(Verdict::Commit(()))
        });
        self.database.noted(filled.await)
    }

    async fn take_out(&mut self, rows: &[NotifyRow]) -> Result<(), StoreError> {
        let gone = self.database.change(async |session| {
            try_join_all(rows.iter().map(|row| take_out(session, row))).await?;
            Ok(Verdict::Commit(()))
        });
        self.database.noted(gone.await)
    }
}

async fn take_out(session: &Session, row: &NotifyRow) -> Result<(), Fault> {
    match row {
        NotifyRow::Device(device) => {
            let sql = "DELETE FROM notify.devices WHERE session = $1";
            session.execute(sql, &[&uuid(device.session.0)]).await?
        }
        NotifyRow::Taken { room, .. } => {
            session.execute("DELETE FROM notify.taken WHERE room = $1", &[&uuid(room.0)]).await?
        }
        NotifyRow::Pending(pending) => {
            let sql = "DELETE FROM notify.pending WHERE user_id = $1 AND room = $2";
            session.execute(sql, &[&uuid(pending.wanted.user.0), &uuid(pending.wanted.room.0)]).await?
        }
        NotifyRow::Push(push) => {
            session.execute("DELETE FROM notify.pushes WHERE id = $1", &[&uuid(push.id.0)]).await?
        }
        NotifyRow::Decision(decision) => {
            let sql = "DELETE FROM notify.decisions WHERE user_id = $1 AND room = $2 AND first = $3";
            let (user, room) = (uuid(decision.user.0), uuid(decision.room.0));
            session.execute(sql, &[&user, &room, &bits(decision.first.0)]).await?
        }
    };
    Ok(())
}

async fn put(session: &Session, row: &NotifyRow) -> Result<(), Fault> {
    match row {
        NotifyRow::Device(device) => {
            write::free_token(session, device).await?;
            write::insert_device(session, device).await
        }
        NotifyRow::Taken { room, seq, at } => {
            let sql = "INSERT INTO notify.taken (room, seq, at) VALUES ($1, $2, $3)
                ON CONFLICT (room) DO UPDATE SET seq = excluded.seq, at = excluded.at";
            session.execute(sql, &[&uuid(room.0), &bits(seq.0), &bits(at.0)]).await?;
            Ok(())
        }
        NotifyRow::Pending(pending) => write::put_pending(session, pending).await,
        NotifyRow::Push(push) => write::put_push(session, push).await,
        NotifyRow::Decision(decision) => write::insert_decision(session, decision).await,
    }
}
