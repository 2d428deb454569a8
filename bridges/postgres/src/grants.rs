//! Who may do what: the one table that the grants and the page about them are made from.
//!
//! Thread: any. Pure. Invariant: a role that is not here may do nothing; a verb that is not here is refused by the server, also to a program
//! that has been taken over.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The only role that changes the schema. It owns the database.
pub const MIGRATE: &str = "lynk_migrate";
/// The role of [`PostgresRooms`](crate::PostgresRooms).
pub const ROOMS: &str = "lynk_rooms";
/// The role of [`PostgresAccounts`](crate::PostgresAccounts).
pub const ACCOUNTS: &str = "lynk_accounts";
/// The role of [`PostgresNotify`](crate::PostgresNotify): that of notifications, in the server and in a process of their own.
pub const NOTIFY: &str = "lynk_notify";
/// The role of [`PostgresMedia`](crate::PostgresMedia).
pub const MEDIA: &str = "lynk_media";
/// Roles of the ports.
pub const ROLES: [&str; 4] = [ROOMS, ACCOUNTS, NOTIFY, MEDIA];

/// What may be done with the rows of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verb {
    /// Read.
    Select,
    /// Add.
    Insert,
    /// Change, and lock.
    Update,
    /// Remove.
    Delete,
}

impl Verb {
    /// All, in the order of the page.
    pub const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// Its word in SQL.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// To whom.
    pub role: &'static str,
    /// Schema.
    pub schema: &'static str,
    /// Table in it.
    pub table: &'static str,
    /// What.
    pub verbs: &'static [Verb],
}

const READ: &[Verb] = &[Verb::Select];
/// Rows that are never taken away.
const KEEP: &[Verb] = &[Verb::Select, Verb::Insert, Verb::Update];
/// Rows that come and go and do not change.
const FIXED: &[Verb] = &[Verb::Select, Verb::Insert, Verb::Delete];
const EVERY: &[Verb] = &Verb::ALL;

const fn grant(
    role: &'static str,
    schema: &'static str,
    table: &'static str,
    verbs: &'static [Verb],
) -> Grant {
    Grant { role, schema, table, verbs }
}

/// The table.
pub const GRANTS: &[Grant] = &[
    grant(ROOMS, "rooms", "rooms", KEEP),
    grant(ROOMS, "rooms", "names", KEEP),
    grant(ROOMS, "rooms", "members", EVERY),
    grant(ROOMS, "rooms", "bans", EVERY),
    grant(ROOMS, "rooms", "mutes", EVERY),
    grant(ROOMS, "rooms", "pins", FIXED),
    grant(ROOMS, "rooms", "links", EVERY),
    grant(ROOMS, "rooms", "join_requests", EVERY),
    grant(ROOMS, "rooms", "message_requests", EVERY),
    grant(ROOMS, "rooms", "moderation", EVERY),
    grant(ROOMS, "rooms", "reports", EVERY),
    grant(ROOMS, "rooms", "blocks", EVERY),
    grant(ROOMS, "rooms", "hidden", FIXED),
    grant(ROOMS, "rooms", "direct_from", EVERY),
    grant(ROOMS, "rooms", "results", EVERY),
    grant(ROOMS, "rooms", "outbox", FIXED),
    grant(ROOMS, "lynk", "schema_version", READ),
    grant(ACCOUNTS, "accounts", "accounts", EVERY),
    grant(ACCOUNTS, "accounts", "names", EVERY),
    grant(ACCOUNTS, "accounts", "words", FIXED),
    grant(ACCOUNTS, "accounts", "sessions", EVERY),
    grant(ACCOUNTS, "accounts", "counters", EVERY),
    grant(ACCOUNTS, "accounts", "audit", FIXED),
    grant(ACCOUNTS, "accounts", "outbox", FIXED),
    grant(ACCOUNTS, "accounts", "factors", EVERY),
    grant(ACCOUNTS, "accounts", "recovery", FIXED),
    grant(ACCOUNTS, "accounts", "suspended", FIXED),
    grant(ACCOUNTS, "accounts", "erasures", KEEP),
    grant(ACCOUNTS, "lynk", "schema_version", READ),
    grant(NOTIFY, "notify", "devices", EVERY),
    grant(NOTIFY, "notify", "taken", EVERY),
    grant(NOTIFY, "notify", "pending", EVERY),
    grant(NOTIFY, "notify", "pushes", EVERY),
    grant(NOTIFY, "notify", "decisions", EVERY),
    grant(NOTIFY, "rooms", "members", READ),
    grant(NOTIFY, "rooms", "message_requests", READ),
    grant(NOTIFY, "rooms", "blocks", READ),
    grant(NOTIFY, "lynk", "schema_version", READ),
    grant(MEDIA, "media", "media", EVERY),
    grant(MEDIA, "lynk", "schema_version", READ),
];

/// Statements that leave exactly the table's rights on `database`, whatever was there before. `database` is quoted.
#[must_use]
pub fn sql(database: &str) -> String {
    let schemas: BTreeSet<_> = GRANTS.iter().map(|grant| grant.schema).collect();
    let schemas = schemas.into_iter().collect::<Vec<_>>().join(", ");
    let roles = ROLES.join(", ");
    let mut sql = String::new();
    let mut line = |text: String| {
        sql.push_str(&text);
        sql.push_str(";\n");
    };
    line(format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC, {roles}"));
    line(format!("REVOKE ALL ON SCHEMA public, {schemas} FROM PUBLIC, {roles}"));
    line(format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schemas} FROM PUBLIC, {roles}"));
    line(format!("GRANT CONNECT ON DATABASE {database} TO {roles}"));
    let uses: BTreeSet<_> = GRANTS.iter().map(|grant| (grant.schema, grant.role)).collect();
    for (schema, role) in uses {
        line(format!("GRANT USAGE ON SCHEMA {schema} TO {role}"));
    }
    for Grant { role, schema, table, verbs } in GRANTS {
        let verbs: Vec<_> = verbs.iter().map(|verb| verb.sql()).collect();
        line(format!("GRANT {} ON {schema}.{table} TO {role}", verbs.join(", ")));
    }
    sql
}

/// The table as a page shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text =
        String::from("| role | table | SELECT | INSERT | UPDATE | DELETE |\n|---|---|---|---|---|---|\n");
    for Grant { role, schema, table, verbs } in GRANTS {
        let _ = write!(text, "| `{role}` | `{schema}.{table}` |");
        for verb in Verb::ALL {
            text.push_str(if verbs.contains(&verb) { " yes |" } else { " |" });
        }
        text.push('\n');
    }
    text
}
