//! The real servers that `scripts/services` runs, as a server under test uses them.
//!
//! Tests share one database and one keyspace: their users and rooms are of their own, and each data directory has a name of its own.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::LYNK;

/// Keyspace of these tests.
const KEYSPACE: &str = "lynk_tests";

/// What `scripts/services` wrote.
#[derive(Debug)]
pub(crate) struct Outside {
    directory: PathBuf,
    values: HashMap<String, String>,
}

impl Outside {
    /// The servers, with tables in them; `None` when there are none, which is said past the test harness.
    pub(crate) fn find(test: &str) -> Option<&'static Self> {
        let found = Self::get();
        if found.is_none() {
            let _unseen = writeln!(
                std::io::stderr(),
                "== SKIPPED {test}: no outside servers. scripts/services up && \
                 LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-server --test outside -- --test-threads 1"
            );
        }
        found
    }

    fn get() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Outside>> = OnceLock::new();
        let look = || {
            let path = std::env::var_os("LYNK_SERVICES")?;
            let text = std::fs::read_to_string(&path).expect("LYNK_SERVICES names a file that can be read");
            let pair =
                |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            let directory = Path::new(&path).parent().expect("a file is in a directory").to_owned();
            let outside = Self { directory, values: text.lines().filter_map(pair).collect() };
            outside.migrate();
            Some(outside)
        };
        FOUND.get_or_init(look).as_ref()
    }

    /// The servers, when every server under test is to use them.
    pub(crate) fn for_all() -> Option<&'static Self> {
        std::env::var_os("LYNK_TEST_OUTSIDE").and_then(|_| Self::get())
    }

    pub(crate) fn value(&self, key: &str) -> &str {
        self.values.get(key).unwrap_or_else(|| panic!("{key} is in LYNK_SERVICES"))
    }

    /// Options of `lynk` that use all of them.
    pub(crate) fn options(&self) -> Vec<String> {
        let node = format!("{}:{}", self.value("CASSANDRA_HOST"), self.value("CASSANDRA_PORT"));
        let settings = [
            ("store.relational", "postgres"),
            ("store.messages", "cassandra"),
            ("credentials.dir", self.value("CREDENTIALS_DIR")),
            ("postgres.host", self.value("POSTGRES_HOST")),
            ("postgres.port", self.value("POSTGRES_PORT")),
            ("postgres.database", self.value("POSTGRES_DATABASE")),
            ("postgres.pool_size", "4"),
            ("cassandra.nodes", &node),
            ("cassandra.keyspace", KEYSPACE),
            ("cassandra.replicas", "1"),
        ];
        settings.into_iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
    }

    fn migrate(&self) {
        self.migrate_with(&self.options());
    }

    fn migrate_with(&self, options: &[String]) {
        let done = Command::new(LYNK).arg("migrate").args(options).output().expect("lynk can be started");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Options for a new database and a new keyspace, both empty and with tables.
    pub(crate) fn empty(&self) -> Vec<String> {
        let name = format!("lynk_{:016x}", u64::from_le_bytes(super::random()));
        self.administer(&format!("CREATE DATABASE {name} OWNER lynk_migrate"));
        let mut options = self.options();
        for option in &mut options {
            if option.starts_with("postgres.database=") {
                *option = format!("postgres.database={name}");
            }
            if option.starts_with("cassandra.keyspace=") {
                *option = format!("cassandra.keyspace={name}");
            }
        }
        self.migrate_with(&options);
        options
    }

    /// A statement of PostgreSQL's administrator.
    fn administer(&self, sql: &str) {
        let mut programs: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin/psql")))
            .collect();
        programs.sort();
        let program = programs.pop().unwrap_or_else(|| PathBuf::from("psql"));
        let done = Command::new(program)
            .args(["-X", "-q", "-h", self.value("POSTGRES_HOST"), "-p", self.value("POSTGRES_PORT")])
            .args(["-U", "postgres_admin", "-d", "postgres", "-c", sql])
            .env("PGPASSFILE", self.directory.join("postgres/pgpass"))
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", self.value("TLS_CA"))
            .env("PGSSLCERT", self.value("POSTGRES_ADMIN_CERT"))
            .env("PGSSLKEY", self.value("POSTGRES_ADMIN_KEY"))
            .output()
            .expect("psql can be started");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Brings servers up that are not: again after a kill, with their data.
    pub(crate) fn up(&self, servers: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
        let done = Command::new(script).arg("up").arg(&self.directory).args(servers).output();
        let done = done.expect("the script can be started");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Pids of a server: the one that was started, and its children.
    pub(crate) fn pids(&self, server: &str) -> Vec<String> {
        let file = self.directory.join(server).join("pid");
        let text = std::fs::read_to_string(file).expect("it was started");
        let first = text.lines().next().expect("a pid").to_owned();
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        let children = children.unwrap_or_default();
        std::iter::once(first).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    /// Signals a server as a whole.
    pub(crate) fn signal(&self, server: &str, signal: &str) {
        let done = Command::new("kill").arg(format!("-{signal}")).args(self.pids(server)).output();
        assert!(done.expect("kill can be started").status.success(), "{server} runs");
    }
}

/// A server that is frozen until this goes.
pub(crate) struct Frozen<'a> {
    outside: &'a Outside,
    server: &'a str,
}

impl<'a> Frozen<'a> {
    pub(crate) fn new(outside: &'a Outside, server: &'a str) -> Self {
        outside.signal(server, "STOP");
        Self { outside, server }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.outside.signal(self.server, "CONT");
    }
}
