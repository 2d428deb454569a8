//! The real servers that `scripts/services` runs, as a server under test uses them.
//!
//! Each data directory has a database of its own, because people and rooms have names. All share one keyspace: rooms have random ids there.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::LYNK;

/// Keyspace of these tests.
const KEYSPACE: &str = "lynk_tests";

/// What `scripts/services` wrote.
#[derive(Debug)]
pub(crate) struct Outside {
    directory: PathBuf,
    values: HashMap<String, String>,
    /// Databases by data directory.
    databases: Mutex<HashMap<PathBuf, String>>,
}

impl Outside {
    /// The servers; `None` when there are none, which is said past the test harness.
    pub(crate) fn find(test: &str) -> Option<&'static Self> {
        let found = Self::get();
        if found.is_none() {
            let _unseen = writeln!(
                std::io::stderr(),
                "== SKIPPED {test}: no outside servers. scripts/services up && \
                 LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-server --test outside"
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
            let values = text.lines().filter_map(pair).collect();
            Some(Self { directory, values, databases: Mutex::default() })
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

    /// Options of `lynk` with which the server of `data` uses all of them. There are tables then.
    pub(crate) fn options(&self, data: &Path) -> Vec<String> {
        let mut databases = self.databases.lock().expect("no panic");
        if let Some(database) = databases.get(data) {
            return self.settings(database);
        }
        let database = self.database();
        let options = self.settings(&database);
        migrate(&options);
        databases.insert(data.to_owned(), database);
        options
    }

    /// Options for a new database and a new keyspace, both empty and with tables, and nothing else outside.
    pub(crate) fn empty(&self) -> Vec<String> {
        let keyspace = format!("{KEYSPACE}_{:016x}", u64::from_be_bytes(super::random()));
        let options = options_of(self.stores(&self.database(), &keyspace));
        migrate(&options);
        options
    }

    /// Options for a new database, empty and with tables; everything else is where it is without options.
    pub(crate) fn empty_tables(&self) -> Vec<String> {
        let options = options_of(self.relational(&self.database()));
        migrate(&options);
        options
    }

    /// A new database; it goes when a later process makes one.
    fn database(&self) -> String {
        let (name, pid) = (format!("{:016x}", u64::from_be_bytes(super::random())), std::process::id());
        self.script(&["database"], &[&name, &pid.to_string()]);
        format!("lynk_test_{name}_{pid}")
    }

    fn settings(&self, database: &str) -> Vec<String> {
        let mut settings = self.stores(database, KEYSPACE);
        settings.extend([
            ("store.ephemeral", "redis".to_owned()),
            // Beside everything else on this machine.
            ("redis.call_time", "5s".to_owned()),
            ("redis.host", self.value("REDIS_HOST").to_owned()),
            ("redis.port", self.value("REDIS_PORT").to_owned()),
        ]);
        settings.extend(self.bucket(database));
        if cfg!(feature = "kafka") {
            let bootstrap = self.value("KAFKA_BOOTSTRAP").to_owned();
            settings.extend([("events.sink", "kafka".to_owned()), ("kafka.bootstrap", bootstrap)]);
        }
        options_of(settings)
    }

    /// Files in the bucket, at a prefix of their own.
    pub(crate) fn bucket(&self, name: &str) -> Vec<(&'static str, String)> {
        let value = |key| self.value(key).to_owned();
        vec![
            ("media.store", "s3".to_owned()),
            ("s3.endpoint", value("S3_ENDPOINT")),
            ("s3.region", value("S3_REGION")),
            ("s3.bucket", value("S3_BUCKET")),
            ("s3.access_key", value("S3_ACCESS_KEY_ID")),
            ("s3.path_style", "true".to_owned()),
            ("s3.prefix", format!("tests/{name}/")),
            ("s3.ca_file", value("TLS_CA")),
        ]
    }

    /// Options of `lynk` with which files are in the bucket, and nothing else is outside.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let mut settings = self.bucket(name);
        settings.push(("credentials.dir", self.value("CREDENTIALS_DIR").to_owned()));
        options_of(settings)
    }

    /// Where the service keeps the objects of a data directory that [`Self::options`] was asked for: it has a file for each.
    pub(crate) fn objects(&self, data: &Path) -> Option<PathBuf> {
        let databases = self.databases.lock().expect("no panic");
        databases.get(data).map(|name| self.objects_of(name))
    }

    /// The same at the prefix of [`Self::bucket`].
    pub(crate) fn objects_of(&self, name: &str) -> PathBuf {
        self.directory.join("s3/data").join(self.value("S3_BUCKET")).join("tests").join(name)
    }

    fn stores(&self, database: &str, keyspace: &str) -> Vec<(&'static str, String)> {
        let value = |key| self.value(key).to_owned();
        let mut settings = self.relational(database);
        settings.extend([
            ("store.messages", "cassandra".to_owned()),
            ("cassandra.nodes", format!("{}:{}", value("CASSANDRA_HOST"), value("CASSANDRA_PORT"))),
            ("cassandra.keyspace", keyspace.to_owned()),
            ("cassandra.replicas", "1".to_owned()),
        ]);
        settings
    }

    fn relational(&self, database: &str) -> Vec<(&'static str, String)> {
        let value = |key| self.value(key).to_owned();
        vec![
            ("store.relational", "postgres".to_owned()),
            ("credentials.dir", value("CREDENTIALS_DIR")),
            ("postgres.host", value("POSTGRES_HOST")),
            ("postgres.port", value("POSTGRES_PORT")),
            ("postgres.database", database.to_owned()),
            ("postgres.pool_size", "4".to_owned()),
        ]
    }

    /// Brings servers up that are not: again after a kill, with their data.
    pub(crate) fn up(&self, servers: &[&str]) {
        self.script(&["up"], servers);
    }

    fn script(&self, command: &[&str], words: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
        let done = Command::new(script).args(command).arg(&self.directory).args(words).output();
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
        let send = |pids: &[String]| {
            let done = Command::new("kill").arg(format!("-{signal}")).args(pids).output();
            done.expect("kill can be started").status.success()
        };
        let before = self.pids(server);
        assert!(send(&before[..1]), "{server} runs");
        // One that is stopped makes no more of them; one that is killed has none any more.
        let all = if signal == "KILL" { before } else { self.pids(server) };
        if all.len() > 1 {
            let _some_may_have_ended = send(&all[1..]);
        }
    }
}

fn options_of(settings: Vec<(&str, String)>) -> Vec<String> {
    settings.into_iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
}

fn migrate(options: &[String]) {
    let done = Command::new(LYNK).arg("migrate").args(options).output().expect("lynk can be started");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
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
