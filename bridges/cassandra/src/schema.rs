//! The tables, and how they come to be.
//!
//! Thread: whoever migrates, on a runtime. Steps are numbered and go forward only. Each may be repeated (a column that is there is not
//! added again), so a migration that was cut off is run again; two at a time are not tried, because a cluster does not order changes of its schema. The role that migrates owns the
//! keyspace; the role that serves is granted what it needs, table by table.
//!
//! What can fail: the server, or a right that the role does not have.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::statement::unprepared::Statement;

use crate::connect::{self, Connect, ConnectError, check_name};
use crate::{Fault, FaultKind, grants};

/// Version of the tables that this program makes and needs.
pub const VERSION: i32 = 3;
/// A change of the schema is agreed on by all nodes, each of which writes it: on a busy cluster that takes many seconds.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often rows are kept, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replication {
    /// `SimpleStrategy`: so many copies anywhere. For one node, or a test.
    Simple(u8),
    /// `NetworkTopologyStrategy`: copies by data centre. Three, in three racks, is usual.
    Datacenters(Vec<(String, u8)>),
}

/// What a migration needs to know beside [`Connect`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Migration {
    /// For a keyspace that is made. One that is there keeps what it has.
    pub replication: Replication,
    /// The role that serves: it may read and write rows of these tables, and nothing else.
    pub grant_to: Option<String>,
}

/// Statements of one version. `{ks}` is the keyspace.
struct Step {
    version: i32,
    /// The oldest program that can use the tables after this step, by the version that it knows.
    usable_by: i32,
    statements: &'static [&'static str],
    /// Columns that it adds: table, name, type.
    columns: &'static [(&'static str, &'static str, &'static str)],
}

const STEPS: &[Step] = &[
    Step {
        version: 1,
        usable_by: 1,
        columns: &[],
        statements: &[
            "CREATE TABLE IF NOT EXISTS {ks}.messages (room uuid, bucket bigint, seq bigint, facts blob, body text, edited bigint, \
         deleted bigint, PRIMARY KEY ((room, bucket), seq))",
            "CREATE TABLE IF NOT EXISTS {ks}.events (room uuid, bucket bigint, seq bigint, event blob, \
         PRIMARY KEY ((room, bucket), seq))",
            "CREATE TABLE IF NOT EXISTS {ks}.reactions (room uuid, bucket bigint, target bigint, user_id uuid, emoji text, rev bigint, \
         standing boolean, PRIMARY KEY ((room, bucket), target, user_id, emoji))",
            "CREATE TABLE IF NOT EXISTS {ks}.sent (room uuid, bucket bigint, sender_id uuid, seq bigint, \
         PRIMARY KEY ((room, bucket), sender_id, seq))",
            "CREATE TABLE IF NOT EXISTS {ks}.deleted (room uuid, bucket bigint, seq bigint, PRIMARY KEY ((room, bucket), seq))",
            // Whole files leave when their day is over: these are the only rows that expire in masses.
            "CREATE TABLE IF NOT EXISTS {ks}.used_keys (shard int, slot int, room uuid, sender_id uuid, used_key uuid, used blob, \
         PRIMARY KEY ((shard, slot), room, sender_id, used_key)) WITH gc_grace_seconds = 86400 AND compaction = \
         {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 1}",
            "CREATE TABLE IF NOT EXISTS {ks}.positions (room uuid, user_id uuid, read_to blob, delivered_to bigint, \
         PRIMARY KEY (room, user_id)) WITH compaction = {'class': 'LeveledCompactionStrategy'}",
            "CREATE TABLE IF NOT EXISTS {ks}.intents (room uuid, actor_id uuid, used_key uuid, intent blob, \
         PRIMARY KEY (room, actor_id, used_key)) WITH gc_grace_seconds = 86400",
            // One row each of what is overwritten all the time.
            "CREATE TABLE IF NOT EXISTS {ks}.heads (shard int, room uuid, top bigint, top_n bigint, version bigint, reserved bigint, \
         PRIMARY KEY (shard, room)) WITH compaction = {'class': 'LeveledCompactionStrategy'}",
            "CREATE TABLE IF NOT EXISTS {ks}.cursors (source text PRIMARY KEY, lsn bigint) \
         WITH compaction = {'class': 'LeveledCompactionStrategy'}",
        ],
    },
    Step {
        version: 2,
        // A program of version 1 shows texts without what is beside them.
        usable_by: 1,
        columns: &[("messages", "parts", "blob")],
        statements: &[
            "CREATE TABLE IF NOT EXISTS {ks}.mentioned (room uuid, bucket bigint, user_id uuid, seq bigint, \
         PRIMARY KEY ((room, bucket), user_id, seq))",
        ],
    },
    Step {
        version: 3,
        // A program of an earlier version shows what is removed until it is swept, and does not tell that it is gone.
        usable_by: 1,
        columns: &[("heads", "floor", "bigint")],
        statements: &[
            // What is to be removed, and how much of it is.
            "CREATE TABLE IF NOT EXISTS {ks}.sweeps (shard int, room uuid, floor bigint, done bigint, PRIMARY KEY (shard, room)) \
         WITH compaction = {'class': 'LeveledCompactionStrategy'}",
        ],
    },
];

/// Brings the tables to [`VERSION`], makes the keyspace when there is none, and grants. Returns the version that was there before, 0 for
/// none. `connect` names a role that may do that. Repeating it is harmless.
///
/// # Errors
/// When there is no connection, or the server refuses. What was done stays; run it again.
pub async fn migrate(connect: &Connect, migration: &Migration) -> Result<i32, ConnectError> {
    let keyspace = check_name(&connect.keyspace)?;
    let replication = replication_map(&migration.replication)?;
    let session = connect::session(connect).await?;
    let run = async |statement: String| -> Result<(), ConnectError> {
        let mut statement = Statement::new(statement);
        statement.set_request_timeout(Some(CHANGE_TIMEOUT));
        session.query_unpaged(statement, ()).await.map_err(|error| Fault::of_write(&error))?;
        Ok(())
    };
    if !has_keyspace(&session, keyspace).await? {
        run(format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}")).await?;
    }
    run(format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.versions (part text PRIMARY KEY, version int, usable_by int)"
    ))
    .await?;
    let (found, usable_by) = versions(&session, keyspace).await?;
    if usable_by > VERSION {
        return Err(ConnectError::Schema { found, needed: VERSION });
    }
    for step in STEPS.iter().filter(|step| step.version > found) {
        for statement in step.statements {
            run(statement.replace("{ks}", keyspace)).await?;
        }
        for (table, column, kind) in step.columns {
            if !has_column(&session, keyspace, table, column).await? {
                run(format!("ALTER TABLE {keyspace}.{table} ADD {column} {kind}")).await?;
            }
        }
        let Step { version, usable_by, .. } = step;
        // The version is its own timestamp, so it does not go back.
        run(format!(
            "INSERT INTO {keyspace}.versions (part, version, usable_by) VALUES ('messages', {version}, {usable_by}) \
             USING TIMESTAMP {version}"
        ))
        .await?;
    }
    if let Some(role) = &migration.grant_to {
        let role = check_name(role)?;
        for statement in grants::of_tables(keyspace, role) {
            run(statement).await?;
        }
    }
    Ok(found)
}

/// The map of a keyspace's replication, as CQL.
///
/// # Errors
/// The name of a data centre cannot be one.
pub fn replication_map(replication: &Replication) -> Result<String, ConnectError> {
    match replication {
        Replication::Simple(copies) => {
            Ok(format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"))
        }
        Replication::Datacenters(copies) => {
            let mut map = "{'class': 'NetworkTopologyStrategy'".to_owned();
            for (name, copies) in copies {
                if name.contains('\'') || name.is_empty() {
                    return Err(ConnectError::Name(name.clone()));
                }
                map.push_str(&format!(", '{name}': {copies}"));
            }
            map.push('}');
            Ok(map)
        }
    }
}

async fn has_keyspace(session: &Session, keyspace: &str) -> Result<bool, ConnectError> {
    let query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = session.query_unpaged(query, (keyspace,)).await.map_err(|error| Fault::of_read(&error))?;
    let rows = found.into_rows_result().map_err(Fault::from)?;
    Ok(rows.rows_num() > 0)
}

async fn has_column(
    session: &Session,
    keyspace: &str,
    table: &str,
    column: &str,
) -> Result<bool, ConnectError> {
    let query = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ? \
                 AND column_name = ?";
    let found = session.query_unpaged(query, (keyspace, table, column)).await;
    let rows = found.map_err(|error| Fault::of_read(&error))?.into_rows_result().map_err(Fault::from)?;
    Ok(rows.rows_num() > 0)
}

/// Version of the tables, and the oldest program that can use them; zeroes when there are none.
async fn versions(session: &Session, keyspace: &str) -> Result<(i32, i32), Fault> {
    let query = format!("SELECT version, usable_by FROM {keyspace}.versions WHERE part = 'messages'");
    let found = session.query_unpaged(query, ()).await.map_err(|error| Fault::of_read(&error))?;
    let rows = found.into_rows_result()?;
    Ok(rows.maybe_first_row::<(i32, i32)>().map_err(Fault::corrupt)?.unwrap_or_default())
}

/// Whether this program can use the tables.
pub(crate) async fn check(session: &Session, keyspace: &str) -> Result<(), ConnectError> {
    let (found, usable_by) = match versions(session, keyspace).await {
        // The server says the same of a keyspace that is not there and of one that is not ours.
        Err(fault) if fault.kind == FaultKind::Refused && missing(&fault) => (0, 0),
        other => other?,
    };
    if found < VERSION || usable_by > VERSION {
        return Err(ConnectError::Schema { found, needed: VERSION });
    }
    Ok(())
}

fn missing(fault: &Fault) -> bool {
    fault.detail.contains("does not exist") || fault.detail.contains("unconfigured table")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn steps_are_numbered_without_holes_up_to_the_version() {
        assert!(STEPS.iter().map(|step| step.version).eq(1..=VERSION));
        assert!(STEPS.iter().all(|step| step.usable_by <= step.version));
    }

    #[test]
    fn every_granted_table_is_made_and_every_table_is_granted() {
        let made = STEPS.iter().flat_map(|step| step.statements).filter_map(|statement| {
            let rest = statement.strip_prefix("CREATE TABLE IF NOT EXISTS {ks}.")?;
            rest.split_once(" (").map(|(table, _)| table)
        });
        let made: BTreeSet<_> = made.chain(["versions"]).collect();
        assert_eq!(grants::GRANTS.iter().map(|grant| grant.table).collect::<BTreeSet<_>>(), made);
    }

    #[test]
    fn replication_is_written_as_the_server_reads_it() {
        let three = Replication::Datacenters(vec![("dc1".to_owned(), 3), ("dc2".to_owned(), 2)]);
        assert_eq!(
            replication_map(&three).as_deref(),
            Ok("{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}")
        );
        assert!(replication_map(&Replication::Datacenters(vec![("a'b".to_owned(), 1)])).is_err());
    }
}
