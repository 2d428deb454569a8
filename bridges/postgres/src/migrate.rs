//! [`migrate`]: brings a database to the newest schema, forward only, and the check by which a program knows whether it fits.
//!
//! Thread: that of a command of the operator, on a tokio runtime. Invariants: the role [`MIGRATE`](crate::grants::MIGRATE) and no other
//! changes the schema; each step is one transaction with its row in `lynk.schema_version`; two migrations at a time take turns. A row says
//! which programs its schema still takes (`oldest`): each step takes at least the programs of the step before, so that a fleet is migrated first
//! and replaced one by one. What a step takes away, the step before must have made unnecessary.
//!
//! Limits: a step waits [`LOCK_WAIT`] for tables in use, so that it does not hold up those who wait behind it. What can fail: rights, a schema
//! that is too new, the connection; a migration may be repeated after any failure.

use std::time::Duration;

use deadpool_postgres::HookError;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::grants::{self, MIGRATE, ROLES};
use crate::locks::{Of, lock};
use crate::{Connect, Fault, FaultKind, OpenError};

/// How long a step waits for tables that are in use.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// One step of the schema. Steps are never changed, only added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Schema version that it leads to, from 1, without gaps.
    pub version: u32,
    /// What it is about, for people.
    pub name: &'static str,
    /// Programs of this schema version and newer can work with it: the step before, at least.
    pub oldest: u32,
    /// Statements, run in one transaction.
    pub sql: &'static str,
}

/// All steps.
pub const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "rooms and accounts",
        oldest: 1,
        sql: include_str!("../steps/0001_rooms_and_accounts.sql"),
    },
    Step {
        version: 2,
        name: "outbox of accounts",
        oldest: 1,
        sql: include_str!("../steps/0002_outbox_of_accounts.sql"),
    },
    Step {
        version: 3,
        name: "second factors",
        oldest: 2,
        sql: include_str!("../steps/0003_second_factors.sql"),
    },
    Step { version: 4, name: "erasures", oldest: 3, sql: include_str!("../steps/0004_erasures.sql") },
    Step {
        version: 5,
        name: "settings of rooms",
        oldest: 4,
        sql: include_str!("../steps/0005_rooms_settings.sql"),
    },
    Step {
        version: 6,
        name: "profiles and search",
        oldest: 5,
        sql: include_str!("../steps/0006_profiles_and_search.sql"),
    },
    Step { version: 7, name: "hidden presence", oldest: 6, sql: include_str!("../steps/0007_hidden.sql") },
    Step {
        version: 8,
        name: "personal settings",
        oldest: 7,
        sql: include_str!("../steps/0008_personal.sql"),
    },
    Step {
        version: 9,
        name: "notifications",
        oldest: 8,
        sql: include_str!("../steps/0009_notifications.sql"),
    },
    Step {
        version: 10,
        name: "retention of rooms",
        oldest: 9,
        sql: include_str!("../steps/0010_rooms_retention.sql"),
    },
    Step { version: 11, name: "media", oldest: 10, sql: include_str!("../steps/0011_media.sql") },
    Step {
        version: 12,
        name: "who begins conversations",
        oldest: 11,
        sql: include_str!("../steps/0012_direct_from.sql"),
    },
    Step {
        version: 13,
        name: "links into rooms",
        oldest: 12,
        sql: include_str!("../steps/0013_rooms_links.sql"),
    },
    Step {
        version: 14,
        name: "discovery and requests to join",
        oldest: 13,
        sql: include_str!("../steps/0014_rooms_asking.sql"),
    },
    Step {
        version: 15,
        name: "acts of moderators",
        oldest: 14,
        sql: include_str!("../steps/0015_moderation.sql"),
    },
    Step {
        version: 16,
        name: "files leave with messages",
        oldest: 15,
        sql: include_str!("../steps/0016_media_leaves.sql"),
    },
    Step {
        version: 17,
        name: "messages of files",
        oldest: 16,
        sql: include_str!("../steps/0017_media_seq.sql"),
    },
    Step {
        version: 18,
        name: "message requests",
        oldest: 17,
        sql: include_str!("../steps/0018_message_requests.sql"),
    },
    Step {
        version: 19,
        name: "members whom strangers added",
        oldest: 18,
        sql: include_str!("../steps/0019_added_by_strangers.sql"),
    },
];

/// Schema version that this program is written for.
const KNOWN: u32 = newest(STEPS);

/// The last version of well-formed steps.
const fn newest(steps: &[Step]) -> u32 {
    let mut at = 0;
    while at < steps.len() {
        let step = &steps[at];
        assert!(step.version == at as u32 + 1, "steps are numbered from 1 without gaps");
        assert!(step.oldest >= 1 && step.oldest <= step.version);
        assert!(at == 0 || step.oldest < step.version, "the programs of the step before go on working");
        at += 1;
    }
    at as u32
}

/// What a migration did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// Version that was found; 0 for an empty database.
    pub from: u32,
    /// Version that is there now. Newer than the program's when a newer program was first; then nothing was done.
    pub to: u32,
}

/// Brings the database to the newest schema and its roles to the rights of [`grants`]. `connect` is that of the role
/// [`MIGRATE`](crate::grants::MIGRATE), which owns the database. May be repeated.
///
/// # Errors
/// `Refused` for another role or a database of somebody else; `Schema` when roles are missing or the database is too new; `Unavailable`,
/// `Unknown`: repeat it.
pub async fn migrate(connect: &Connect) -> Result<Migrated, Fault> {
    migrate_with(connect, STEPS).await
}

/// [`migrate`] with other steps than this program's.
///
/// # Errors
/// See [`migrate`].
///
/// # Panics
/// When the steps are not well-formed.
pub async fn migrate_with(connect: &Connect, steps: &[Step]) -> Result<Migrated, Fault> {
    let known = newest(steps);
    if connect.user != MIGRATE {
        let detail = format!("the schema is changed by the role {MIGRATE} only, not by {}", connect.user);
        return Err(Fault::new(FaultKind::Refused, detail));
    }
    let client = open(connect).await?;
    prepare(&client).await?;
    let mut from = None;
    loop {
        begin(&client).await?;
        let (found, oldest) = versions(&client).await?;
        let first = *from.get_or_insert(found);
        if found > known {
            // Its tables and rights are a newer program's business.
            plain(&client, "ROLLBACK").await?;
            return if oldest > known {
                Err(too_new(found, oldest, known))
            } else {
                Ok(Migrated { from: first, to: found })
            };
        }
        let Some(step) = steps.get(found as usize) else {
            plain(&client, &grants::sql(&database(&client).await?)).await?;
            commit(&client).await?;
            return Ok(Migrated { from: first, to: found });
        };
        plain(&client, step.sql).await?;
        let row = "INSERT INTO lynk.schema_version (version, oldest, name) VALUES ($1, $2, $3)";
        let (version, oldest) = (i64::from(step.version), i64::from(step.oldest));
        answered(client.execute(row, &[&version, &oldest, &step.name]).await)?;
        commit(&client).await?;
    }
}

fn answered<T>(result: Result<T, Error>) -> Result<T, Fault> {
    result.map_err(|error| Fault { again: false, ..Fault::of_statement(&error) })
}

async fn plain(client: &Client, sql: &str) -> Result<(), Fault> {
    answered(client.batch_execute(sql).await)
}

async fn commit(client: &Client) -> Result<(), Fault> {
    client.batch_execute("COMMIT").await.map_err(|error| Fault { again: false, ..Fault::of_commit(&error) })
}

async fn open(connect: &Connect) -> Result<Client, Fault> {
    let wrong = |error: OpenError| Fault::new(FaultKind::Unavailable, error);
    let (settings, tls) = (connect.settings(false).map_err(wrong)?, connect.tls().map_err(wrong)?);
    let connected = timeout(connect.timeouts.connect, settings.connect(tls)).await;
    let (client, connection) = answered(connected.map_err(|_| Fault::late("a connection"))?)?;
    // It ends with the client; its errors are those of the client's calls.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Whether this is the database and the server that a migration is for.
async fn prepare(client: &Client) -> Result<(), Fault> {
    let sql =
        "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()";
    let row = answered(client.query_one(sql, &[]).await)?;
    if !answered(row.try_get::<_, bool>(0))? {
        let detail = format!("the database is not {MIGRATE}'s: ALTER DATABASE … OWNER TO {MIGRATE}");
        return Err(Fault::new(FaultKind::Refused, detail));
    }
    let rows = answered(
        client.query("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)", &[&&ROLES[..]]).await,
    )?;
    let there = rows.iter().map(|row| answered(row.try_get(0))).collect::<Result<Vec<String>, _>>()?;
    let missing: Vec<_> = ROLES.into_iter().filter(|role| !there.iter().any(|name| name == role)).collect();
    if !missing.is_empty() {
        let detail = format!("roles are missing, make them first: {}", missing.join(", "));
        return Err(Fault::new(FaultKind::Schema, detail));
    }
    Ok(())
}

/// Opens a transaction in which nobody else migrates, and in which the table of versions is there.
async fn begin(client: &Client) -> Result<(), Fault> {
    plain(client, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    plain(client, &format!("SET LOCAL lock_timeout = {}", LOCK_WAIT.as_millis())).await?;
    let turn = "SELECT pg_advisory_xact_lock($1)";
    answered(client.execute(turn, &[&lock(Of::Schema, b"")]).await)?;
    let table = "SET LOCAL client_min_messages = warning;
        CREATE SCHEMA IF NOT EXISTS lynk;
        CREATE TABLE IF NOT EXISTS lynk.schema_version (
            version bigint PRIMARY KEY,
            oldest bigint NOT NULL,
            name text NOT NULL,
            applied timestamptz NOT NULL DEFAULT now()
        )";
    plain(client, table).await
}

const VERSIONS: &str = "SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM lynk.schema_version";

async fn versions(client: &Client) -> Result<(u32, u32), Fault> {
    let row = answered(client.query_one(VERSIONS, &[]).await)?;
    let at = |column| crate::column::small(&row, column);
    Ok((at(0)?, at(1)?))
}

/// Its name, quoted.
async fn database(client: &Client) -> Result<String, Fault> {
    let row = answered(client.query_one("SELECT quote_ident(current_database())", &[]).await)?;
    answered(row.try_get(0))
}

fn too_new(found: u32, oldest: u32, known: u32) -> Fault {
    let detail = format!(
        "the schema has version {found}, which takes programs of version {oldest} and newer; this one is of version {known}: start a newer program"
    );
    Fault::new(FaultKind::Schema, detail)
}

/// Whether this program can work with the schema that a new connection finds.
///
/// # Errors
/// A message for the operator when it cannot; else what the server or the connection said.
pub(crate) async fn check(client: &Client) -> Result<(), HookError> {
    let row = client.query_one(VERSIONS, &[]).await.map_err(|error| {
        let missing =
            [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME, SqlState::INSUFFICIENT_PRIVILEGE];
        if error.code().is_some_and(|code| missing.contains(code)) {
            HookError::message(
                "the database has no schema for this role: run the migration first, as lynk_migrate",
            )
        } else {
            HookError::Backend(error)
        }
    })?;
    let at = |column| crate::column::small(&row, column).map_err(|fault| HookError::message(fault.detail));
    let (found, oldest) = (at(0)?, at(1)?);
    if found < KNOWN {
        return Err(HookError::message(format!(
            "the schema has version {found}, this program needs version {KNOWN}: run the migration first, as lynk_migrate"
        )));
    }
    if oldest > KNOWN {
        return Err(HookError::message(too_new(found, oldest, KNOWN).detail));
    }
    Ok(())
}
