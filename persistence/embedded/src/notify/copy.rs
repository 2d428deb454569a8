//! Dumping and filling notifications.

use std::cell::RefCell;
use std::path::Path;

use lynk_domain::{Millis, RoomId, Seq};
use lynk_model::StoreError;
use lynk_model::dump::{DumpPage, NotifyMark, NotifyRow};
use lynk_model::notify::Pending;
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use rusqlite::{Connection, Row, ToSql, Transaction, params};

use super::{Notifications, read, write};
use crate::sqlite::{bits, commit, number, snapshot};
use crate::{Fault, OpenError};

/// The notifications of `<data>/notify.sqlite` as they are when this is opened, while their owner goes on. The write-ahead log grows as long
/// as this is open.
pub struct NotificationsSnapshot {
    connection: Connection,
    fault: RefCell<Option<Fault>>,
}

impl NotificationsSnapshot {
    /// Opens the file, which must exist, for reading.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let touch = "SELECT count(*) FROM (SELECT 1 FROM devices LIMIT 1)";
        let connection = snapshot(&data.join("notify.sqlite"), touch)?;
        Ok(Self { connection, fault: RefCell::default() })
    }
}

impl LastFault for NotificationsSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.fault.take().map(StoreFault::from)
    }
}

impl Dump for NotificationsSnapshot {
    type Row = NotifyRow;

    async fn rows(
        &mut self,
        mark: &NotifyMark,
        limit: u32,
    ) -> Result<DumpPage<NotifyRow, NotifyMark>, StoreError> {
        let rows = page(&self.connection, mark, limit).map_err(|fault| {
            let error = fault.store_error();
            self.fault.replace(Some(fault));
            error
        })?;
        let marked = |row: NotifyRow| {
            let mark = row.mark();
            (row, mark)
        };
        Ok(DumpPage::at(mark, rows.into_iter().map(marked).collect(), limit))
    }
}

fn taken(row: &Row<'_>) -> rusqlite::Result<NotifyRow> {
    Ok(NotifyRow::Taken { room: RoomId(row.get(0)?), seq: Seq(number(row, 1)?), at: Millis(number(row, 2)?) })
}

fn page(connection: &Connection, mark: &NotifyMark, limit: u32) -> Result<Vec<NotifyRow>, Fault> {
    type Of = fn(&Row<'_>) -> rusqlite::Result<NotifyRow>;
    let ask = |sql: &str, params: &[&dyn ToSql], of: Of| -> Result<Vec<NotifyRow>, Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    match mark {
        NotifyMark::Devices(after) => {
            let sql =
                format!("SELECT {} FROM devices WHERE session > ?1 ORDER BY session LIMIT ?2", read::DEVICE);
            ask(&sql, &[&after.0, &limit], |row| read::device(row).map(NotifyRow::Device))
        }
        NotifyMark::Taken(after) => {
            let sql = "SELECT room, seq, at FROM taken WHERE room > ?1 ORDER BY room LIMIT ?2";
            ask(sql, &[&after.0, &limit], taken)
        }
        NotifyMark::Pending(user, room) => {
            let sql = format!(
                "SELECT {} FROM pending WHERE (user, room) > (?1, ?2) ORDER BY user, room LIMIT ?3",
                read::PENDING
            );
            ask(&sql, &[&user.0, &room.0, &limit], |row| read::pending(row).map(NotifyRow::Pending))
        }
        NotifyMark::Pushes(after) => {
            let sql = format!("SELECT {} FROM pushes WHERE id > ?1 ORDER BY id LIMIT ?2", read::PUSH);
            ask(&sql, &[&after.0, &limit], |row| read::push(row).map(NotifyRow::Push))
        }
        NotifyMark::Decisions(user, room, first) => {
            let sql = "SELECT user, room, first, last, reason, at FROM decisions
                WHERE (user, room, first) > (?1, ?2, ?3) ORDER BY user, room, first LIMIT ?4";
            ask(sql, &[&user.0, &room.0, &bits(first.0), &limit], |row| {
                read::decision(row).map(NotifyRow::Decision)
            })
        }
    }
}

impl Fill for Notifications {
    type Row = NotifyRow;

    async fn fill(&mut self, rows: &[NotifyRow]) -> Result<(), StoreError> {
        let result = fill(&mut self.connection, rows);
        self.noted(result)
    }

    async fn take_out(&mut self, rows: &[NotifyRow]) -> Result<(), StoreError> {
        let result = take_out(&mut self.connection, rows);
        self.noted(result)
    }
}

fn take_out(connection: &mut Connection, rows: &[NotifyRow]) -> Result<(), Fault> {
    let tx = write::begin(connection)?;
    for row in rows {
        match row {
            NotifyRow::Device(device) => {
                tx.prepare_cached("DELETE FROM devices WHERE session = ?1")?.execute([device.session.0])?;
            }
            NotifyRow::Taken { room, .. } => {
                tx.prepare_cached("DELETE FROM taken WHERE room = ?1")?.execute([room.0])?;
            }
            NotifyRow::Pending(pending) => {
                let sql = "DELETE FROM pending WHERE user = ?1 AND room = ?2";
                tx.prepare_cached(sql)?.execute(params![pending.wanted.user.0, pending.wanted.room.0])?;
            }
            NotifyRow::Push(push) => {
                tx.prepare_cached("DELETE FROM pushes WHERE id = ?1")?.execute([push.id.0])?;
            }
            NotifyRow::Decision(decision) => {
                let sql = "DELETE FROM decisions WHERE user = ?1 AND room = ?2 AND first = ?3";
                let (user, room) = (decision.user.0, decision.room.0);
                tx.prepare_cached(sql)?.execute(params![user, room, bits(decision.first.0)])?;
            }
        }
    }
    commit(tx)
}

fn fill(connection: &mut Connection, rows: &[NotifyRow]) -> Result<(), Fault> {
    let tx = write::begin(connection)?;
    for row in rows {
        match row {
            NotifyRow::Device(device) => write::insert_device(&tx, device)?,
            NotifyRow::Taken { room, seq, at } => {
                let sql = "INSERT OR REPLACE INTO taken (room, seq, at) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![room.0, bits(seq.0), bits(at.0)])?;
            }
            NotifyRow::Pending(pending) => put_pending(&tx, pending)?,
            NotifyRow::Push(push) => write::insert_push(&tx, push)?,
            NotifyRow::Decision(decision) => write::insert_decision(&tx, decision)?,
        }
    }
    commit(tx)
}

fn put_pending(tx: &Transaction<'_>, pending: &Pending) -> Result<(), Fault> {
    let wanted = &pending.wanted;
    let sql =
        "INSERT OR REPLACE INTO pending (user, room, first, upto, message, messages, mention, since, due, window_end, pushed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    tx.prepare_cached(sql)?.execute(params![
        wanted.user.0,
        wanted.room.0,
        bits(wanted.from.0),
        bits(wanted.upto.0),
        wanted.message.0,
        wanted.messages,
        wanted.mention,
        bits(wanted.since.0),
        bits(wanted.due.0),
        bits(pending.window_end.0),
        bits(pending.pushed.0),
    ])?;
    Ok(())
}
