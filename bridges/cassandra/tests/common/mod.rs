//! The real server for the tests, found by LYNK_SERVICES, and the store on it.

#![allow(dead_code, reason = "every test binary uses some of it")]

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lynk_bridge::Secret;
use lynk_cassandra::{CassandraMessages, Connect, Identity, Limits, Migration, Replication, Tls, migrate};
use lynk_domain::{Epoch, Key, Lsn, Millis, RoomId, Seq, UserId};
use lynk_model::dump::LogRow;
use lynk_model::port::{MessageDump, MessageStore, NotUnread};
use lynk_model::{
    FoundKey, MessageState, MetaTransaction, PageQuery, PageReply, ReadState, Record, RoomHead, StoreError,
    StoredEvent,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::runtime::{Builder, Runtime};

pub(crate) use lynk_cassandra::{MESSAGES, MIGRATE};

/// What `scripts/services` wrote.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) directory: PathBuf,
    values: HashMap<String, String>,
}

impl Server {
    /// `None` when there is none, which is said past the test harness.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let Some(path) = std::env::var_os("LYNK_SERVICES") else {
            let _unseen = writeln!(
                std::io::stderr(),
                "== SKIPPED {test}: no Cassandra. scripts/services up target/services cassandra && \
                 LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-cassandra"
            );
            return None;
        };
        let text = std::fs::read_to_string(&path).expect("LYNK_SERVICES names a file that can be read");
        let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let values = text.lines().filter_map(pair).collect();
        let directory = Path::new(&path).parent().expect("a file is in a directory").to_owned();
        Some(Self { directory, values })
    }

    pub(crate) fn value(&self, key: &str) -> &str {
        self.values.get(key).unwrap_or_else(|| panic!("{key} is in LYNK_SERVICES"))
    }

    pub(crate) fn file(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.value(key)).expect("the services wrote it")
    }

    pub(crate) fn password(&self, role: &str) -> String {
        String::from_utf8(self.file(&format!("{}_PASSWORD_FILE", role.to_uppercase()))).expect("text")
    }

    pub(crate) fn node(&self) -> String {
        format!("{}:{}", self.value("CASSANDRA_HOST"), self.value("CASSANDRA_PORT"))
    }

    pub(crate) fn pid(&self) -> String {
        let text = std::fs::read_to_string(self.value("CASSANDRA_PID_FILE")).expect("it runs");
        text.lines().next().expect("a pid").to_owned()
    }

    pub(crate) fn identity(&self, role: &str, from: &str) -> Identity {
        let name = role.to_uppercase();
        Identity {
            certificate: self.file(&format!("{name}{from}_CERT")),
            key: Secret::new(self.file(&format!("{name}{from}_KEY"))),
        }
    }

    pub(crate) fn connect(&self, role: &str, keyspace: &str) -> Connect {
        Connect {
            nodes: vec![self.node()],
            datacenter: Some("datacenter1".to_owned()),
            keyspace: keyspace.to_owned(),
            installation: "test".to_owned(),
            user: role.to_owned(),
            password: Secret::new(self.password(role)),
            tls: Tls { ca: self.file("TLS_CA"), identity: Some(self.identity(role, "")) },
            limits: Limits {
                connect_timeout: Duration::from_secs(30),
                request_timeout: Duration::from_secs(20),
                ..Limits::default()
            },
        }
    }

    /// A session that says whatever it is told to.
    pub(crate) async fn session(&self, role: &str) -> Session {
        let roots =
            CertificateDer::pem_slice_iter(&self.file("TLS_CA")).map(|c| c.expect("PEM")).collect::<Vec<_>>();
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(roots);
        let name = role.to_uppercase();
        let chain = CertificateDer::from_pem_slice(&self.file(&format!("{name}_CERT"))).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(&self.file(&format!("{name}_KEY"))).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(store)
            .with_client_auth_cert(vec![chain], key)
            .expect("a pair");
        SessionBuilder::new()
            .known_node(self.node())
            .user(role, self.password(role))
            .tls_context(Some(Arc::new(tls)))
            .schema_agreement_interval(Duration::from_millis(20))
            .build()
            .await
            .expect("the role gets in")
    }
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A keyspace of its own with the tables in it, which goes with this.
pub(crate) struct Keyspace {
    pub(crate) server: Server,
    pub(crate) name: String,
}

impl Keyspace {
    pub(crate) fn new(server: &Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let migration =
            Migration { replication: Replication::Simple(1), grant_to: Some(MESSAGES.to_owned()) };
        let made = runtime().block_on(migrate(&server.connect(MIGRATE, &name), &migration));
        assert_eq!(made, Ok(0), "a new keyspace has no version before");
        Self { server: server.clone(), name }
    }

    pub(crate) fn connect(&self) -> Connect {
        self.server.connect(MESSAGES, &self.name)
    }

    pub(crate) fn store(&self) -> Blocking {
        Blocking::open(&self.connect())
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        runtime().block_on(async {
            let session = self.server.session(MIGRATE).await;
            session
                .query_unpaged(format!("DROP KEYSPACE {}", self.name), ())
                .await
                .expect("it is the migration's");
        });
    }
}

/// The store for callers that do not wait: each call runs to its end on a runtime of its own.
pub(crate) struct Blocking {
    pub(crate) runtime: Runtime,
    pub(crate) store: CassandraMessages,
}

impl Blocking {
    pub(crate) fn open(connect: &Connect) -> Self {
        let runtime = runtime();
        let store = runtime.block_on(CassandraMessages::connect(connect)).expect("connects");
        Self { runtime, store }
    }
}

impl MessageStore for Blocking {
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.append(source, cursor, batch))
    }
    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError> {
        self.runtime.block_on(self.store.cursor(source))
    }
    async fn forget(&mut self, source: &str) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.forget(source))
    }
    async fn page(&self, query: &PageQuery) -> Result<PageReply, StoreError> {
        self.runtime.block_on(self.store.page(query))
    }
    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, StoreError> {
        self.runtime.block_on(self.store.event(room, seq))
    }
    async fn message(&self, room: RoomId, seq: Seq) -> Result<Option<MessageState>, StoreError> {
        self.runtime.block_on(self.store.message(room, seq))
    }
    async fn count_not_unread(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
    ) -> Result<NotUnread, StoreError> {
        self.runtime.block_on(self.store.count_not_unread(room, user, after, except))
    }
    async fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
        limit: u32,
    ) -> Result<Vec<(Seq, UserId)>, StoreError> {
        self.runtime.block_on(self.store.mentions(room, user, after, except, limit))
    }
    async fn head(&self, room: RoomId) -> Result<RoomHead, StoreError> {
        self.runtime.block_on(self.store.head(room))
    }
    async fn reads(&self, room: RoomId) -> Result<Vec<ReadState>, StoreError> {
        self.runtime.block_on(self.store.reads(room))
    }
    async fn find_key(&self, room: RoomId, sender: UserId, key: Key) -> Result<Option<FoundKey>, StoreError> {
        self.runtime.block_on(self.store.find_key(room, sender, key))
    }
    async fn intents(&self, room: RoomId) -> Result<Vec<MetaTransaction>, StoreError> {
        self.runtime.block_on(self.store.intents(room))
    }
    /// A whole round: what is to be swept may lie in any of the parts.
    async fn sweep(&mut self) -> Result<bool, StoreError> {
        let mut swept = false;
        for _ in 0..256 {
            swept |= self.runtime.block_on(self.store.sweep())?;
        }
        Ok(swept)
    }
}

impl MessageDump for Blocking {
    async fn logged_rooms(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.runtime.block_on(self.store.logged_rooms(after, limit))
    }
    async fn log_rows(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, StoreError> {
        self.runtime.block_on(self.store.log_rows(room, from, to))
    }
    async fn log_keys(
        &self,
        room: RoomId,
        rows: &[LogRow],
        since: Millis,
    ) -> Result<Vec<LogRow>, StoreError> {
        self.runtime.block_on(self.store.log_keys(room, rows, since))
    }
    async fn fill_log(&mut self, room: RoomId, rows: &[LogRow]) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.fill_log(room, rows))
    }
    async fn settle(&mut self) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.settle())
    }
    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.runtime.block_on(self.store.epoch())
    }
    async fn raise_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.raise_epoch(epoch))
    }
}
