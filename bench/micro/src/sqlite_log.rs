//! The message log as it would be in SQLite: the same rows for posted messages, and the same promise.

use std::path::Path;

use anyhow::{Context, Result};
use lynk_domain::Lsn;
use lynk_model::port::content_hash;
use lynk_model::{Body, Record};
use rusqlite::{Connection, TransactionBehavior, params};

/// Takes messages only; enough to be measured against the shipped log.
pub(crate) struct SqliteLog {
    connection: Connection,
}

impl SqliteLog {
    pub(crate) fn open(data: &Path) -> Result<Self> {
        let connection = Connection::open(data.join("messages.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -32_768)?;
        connection.pragma_update(None, "wal_autocheckpoint", 16_384)?;
        connection.execute_batch(
            "CREATE TABLE messages (room BLOB NOT NULL, seq INTEGER NOT NULL, rev INTEGER NOT NULL,
                id BLOB NOT NULL, n INTEGER NOT NULL, wall INTEGER NOT NULL, sender BLOB NOT NULL,
                key BLOB NOT NULL, text TEXT NOT NULL, PRIMARY KEY (room, seq)) STRICT, WITHOUT ROWID;
             CREATE TABLE own (room BLOB NOT NULL, sender BLOB NOT NULL, seq INTEGER NOT NULL,
                PRIMARY KEY (room, sender, seq)) STRICT, WITHOUT ROWID;
             CREATE TABLE keys (room BLOB NOT NULL, sender BLOB NOT NULL, key BLOB NOT NULL,
                wall INTEGER NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL, id BLOB NOT NULL,
                hash INTEGER NOT NULL, PRIMARY KEY (room, sender, key)) STRICT, WITHOUT ROWID;
             CREATE TABLE heads (room BLOB NOT NULL PRIMARY KEY, top INTEGER NOT NULL, n INTEGER NOT NULL)
                STRICT, WITHOUT ROWID;
             CREATE TABLE cursors (source TEXT NOT NULL PRIMARY KEY, lsn INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
        )?;
        connection.set_prepared_statement_cache_capacity(16);
        Ok(Self { connection })
    }

    /// Writes a batch and the cursor in one synced transaction. Heads are written once per room and batch.
    pub(crate) fn append(&mut self, cursor: Lsn, batch: &[Record<'_>]) -> Result<()> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut heads = std::collections::HashMap::new();
        {
            let mut message = tx.prepare_cached(
                "INSERT INTO messages VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            )?;
            let mut own = tx.prepare_cached("INSERT INTO own VALUES (?1, ?2, ?3)")?;
            let mut key = tx.prepare_cached("INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
            for record in batch {
                let head = &record.head;
                let body = Body::decode(head.kind, record.payload).context("a payload")?;
                let Body::Message { id, n, reply_to, text, parts } = body else { continue };
                let (seq, n, wall) = (head.seq.0 as i64, n.0 as i64, head.wall.0 as i64);
                message.execute(params![head.room.0, seq, id.0, n, wall, head.sender.0, head.key.0, text])?;
                own.execute(params![head.room.0, head.sender.0, seq])?;
                let hash = content_hash(reply_to, text, &parts) as i64;
                key.execute(params![head.room.0, head.sender.0, head.key.0, wall, seq, n, id.0, hash])?;
                heads.insert(head.room, (seq, n));
            }
            let mut put = tx.prepare_cached("INSERT OR REPLACE INTO heads VALUES (?1, ?2, ?3)")?;
            for (room, (seq, n)) in heads {
                put.execute(params![room.0, seq, n])?;
            }
            tx.prepare_cached("INSERT OR REPLACE INTO cursors VALUES ('1/0', ?1)")?
                .execute([cursor.0 as i64])?;
        }
        Ok(tx.commit()?)
    }
}
