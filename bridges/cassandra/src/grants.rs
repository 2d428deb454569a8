//! Who may do what: the one table that rights are granted from.
//!
//! Thread: any. Pure. Invariant: a role that is not here may do nothing, and a right that is not here is refused by the server, also to a
//! program that has been taken over.

/// The role that serves.
pub const MESSAGES: &str = "lynk_messages";
/// The only role that changes the tables. It owns those that it made, and grants from them.
pub const MIGRATE: &str = "lynk_cql_migrate";
/// All roles.
pub const ROLES: [&str; 2] = [MESSAGES, MIGRATE];

/// What may be done with the rows of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Read.
    Select,
    /// Write, change, remove: the server does not tell them apart.
    Modify,
}

impl Right {
    /// Its word in CQL.
    #[must_use]
    pub fn cql(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Modify => "MODIFY",
        }
    }
}

/// A line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Table of the keyspace.
    pub table: &'static str,
    /// What [`MESSAGES`] may do with it.
    pub rights: &'static [Right],
}

const READ: &[Right] = &[Right::Select];
const WRITE: &[Right] = &[Right::Select, Right::Modify];

const fn grant(table: &'static str, rights: &'static [Right]) -> Grant {
    Grant { table, rights }
}

/// The table.
pub const GRANTS: &[Grant] = &[
    grant("messages", WRITE),
    grant("events", WRITE),
    grant("reactions", WRITE),
    grant("sent", WRITE),
    grant("deleted", WRITE),
    grant("mentioned", WRITE),
    grant("used_keys", WRITE),
    grant("positions", WRITE),
    grant("intents", WRITE),
    grant("heads", WRITE),
    grant("sweeps", WRITE),
    grant("cursors", WRITE),
    grant("versions", READ),
];

/// Statements that give `role` the rights of [`MESSAGES`] on the tables of `keyspace`, for whoever owns them. Both are plain names.
pub fn of_tables(keyspace: &str, role: &str) -> impl Iterator<Item = String> {
    GRANTS.iter().flat_map(move |Grant { table, rights }| {
        rights.iter().map(move |right| format!("GRANT {} ON TABLE {keyspace}.{table} TO {role}", right.cql()))
    })
}

/// The statement that lets [`MIGRATE`] make tables in `keyspace` and nowhere else, for an administrator.
#[must_use]
pub fn of_keyspace(keyspace: &str) -> String {
    format!("GRANT CREATE ON KEYSPACE {keyspace} TO {MIGRATE}")
}
