//! Finding the server, a database for one test, and stores whose calls wait.

mod media;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lynk_bridge::Secret;
use lynk_domain::{
    AckLevel, Family, HistoryVisibility, Key, Millis, Ordinal, Phone, Revocation, Role, RoomId, RoomKind,
    SecretHash, Seq, SessionId, UserId,
};
use lynk_model::account::{
    Account, AccountChange, AuditEvent, AuditKind, Changed, Charge, Charged, Enrolled, Erasure, Factor,
    FoundAccounts, NewSession, Registered, SearchMark, Session, Which,
};
use lynk_model::notify::{Device, Known, Pending, Push, PushId, Taking, Took, Turn, Turned};
use lynk_model::port::{
    AccountStore, Dump, ErasureStore, FactorStore, Fill, MarkOf, NotifyStore, PageOf, RoomStore,
};
use lynk_model::{
    Act, DirectFrom, DiscoverQuery, Discovered, ListQuery, Listed, LoadedRoom, Membership, MetaChange,
    MetaEvent, MetaOutcome, MetaTransaction, OwnRequest, Report, ReportQuery, RoomRow, RoomWish, StoreError,
};
use lynk_postgres::{
    Connect, PostgresAccounts, PostgresMedia, PostgresNotify, PostgresRooms, Timeouts, migrate,
};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What `DIR/env` says.
#[derive(Clone)]
pub(crate) struct Services(BTreeMap<String, String>);

/// The server of `LYNK_SERVICES`; `None`, with a loud word, when there is none.
pub(crate) fn services(test: &str) -> Option<Services> {
    let Some(path) = std::env::var_os("LYNK_SERVICES") else {
        // Not by a macro: what those print a test that passes does not show. In one piece, because tests run side by side.
        let how = "scripts/services up && LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-postgres";
        let text = format!("\n*** SKIPPED {test}: no PostgreSQL. {how} ***\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
        return None;
    };
    Some(Services::read(Path::new(&path)))
}

impl Services {
    pub(crate) fn read(path: &Path) -> Self {
        // A test of a package runs in the package's directory; the variable is often set from the root.
        let rooted = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        let text = std::fs::read_to_string(path)
            .or_else(|_| std::fs::read_to_string(rooted))
            .expect("LYNK_SERVICES");
        Self(
            text.lines()
                .filter_map(|line| line.split_once('='))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("{key} is not in the env of the services"))
    }

    pub(crate) fn of(&self, role: &str, what: &str) -> PathBuf {
        PathBuf::from(self.get(&format!("{}_{what}", role.to_uppercase())))
    }

    pub(crate) fn password(&self, role: &str) -> String {
        std::fs::read_to_string(self.of(role, "PASSWORD_FILE")).expect("a password")
    }

    /// All passwords that were generated.
    pub(crate) fn passwords(&self) -> Vec<String> {
        let files = self.0.iter().filter(|(key, _)| key.ends_with("_PASSWORD_FILE"));
        files.map(|(_, path)| std::fs::read_to_string(path).expect("a password")).collect()
    }

    pub(crate) fn connect(&self, role: &str, database: &str) -> Connect {
        Connect {
            host: self.get("POSTGRES_HOST").to_owned(),
            port: self.get("POSTGRES_PORT").parse().expect("a port"),
            database: database.to_owned(),
            user: role.to_owned(),
            password: Secret::from_file(&self.of(role, "PASSWORD_FILE")).expect("a password"),
            ca: PathBuf::from(self.get("TLS_CA")),
            certificate: self.of(role, "CERT"),
            key: self.of(role, "KEY"),
            pool_size: 2,
            timeouts: Timeouts {
                connect: Duration::from_secs(20),
                statement: Duration::from_secs(20),
                operation: Duration::from_secs(30),
            },
        }
    }

    /// A plain client, for what the stores do not do.
    pub(crate) async fn client(&self, role: &str, database: &str) -> Client {
        let connect = self.connect(role, database);
        let (client, connection) =
            raw(&connect, Some((&connect.certificate, &connect.key)), &self.password(role))
                .await
                .expect("the right identity is let in");
        tokio::spawn(async move { drop(connection.await) });
        client
    }

    /// The server's administrator.
    pub(crate) async fn admin(&self, database: &str) -> Client {
        self.client("postgres_admin", database).await
    }

    /// A database without a schema, gone with the value.
    pub(crate) fn empty(&self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let database = Database { services: self.clone(), name };
        database.on_server(&format!("DROP DATABASE IF EXISTS {0} WITH (FORCE)", database.name));
        database
            .on_server(&format!("CREATE DATABASE {} OWNER lynk_migrate TEMPLATE template0", database.name));
        database
    }

    /// A database with the schema.
    pub(crate) fn database(&self) -> Database {
        let database = self.empty();
        runtime().block_on(migrate(&database.connect("lynk_migrate"))).expect("migrates");
        database
    }
}

type Connection = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <tokio_postgres_rustls::MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<
        tokio_postgres::Socket,
    >>::Stream,
>;

/// Signs in with any combination of certificate and password.
pub(crate) async fn raw(
    connect: &Connect,
    identity: Option<(&Path, &Path)>,
    password: &str,
) -> Result<(Client, Connection), tokio_postgres::Error> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&connect.ca).expect("a CA") {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let tls = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)
                .expect("a file")
                .map(|one| one.expect("a certificate"));
            let key = PrivateKeyDer::from_pem_file(key).expect("a key");
            builder.with_client_auth_cert(chain.collect(), key).expect("an identity")
        }
    };
    let mut config = tokio_postgres::Config::new();
    config
        .host(&connect.host)
        .port(connect.port)
        .dbname(&connect.database)
        .user(&connect.user)
        .password(password)
        .ssl_mode(tokio_postgres::config::SslMode::Require);
    config.connect(tokio_postgres_rustls::MakeRustlsConnect::new(tls)).await
}

/// A database of one test.
pub(crate) struct Database {
    pub(crate) services: Services,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn connect(&self, role: &str) -> Connect {
        self.services.connect(role, &self.name)
    }

    fn on_server(&self, sql: &str) {
        // Its own thread: a value may end inside a runtime.
        std::thread::scope(|scope| {
            let done = scope.spawn(|| {
                runtime().block_on(async { self.services.admin("postgres").await.batch_execute(sql).await })
            });
            done.join().expect("no panic").expect("the administrator may");
        });
    }

    /// Statements of the administrator.
    pub(crate) fn sql(&self, sql: &str) {
        runtime()
            .block_on(async { self.services.admin(&self.name).await.batch_execute(sql).await })
            .expect("the administrator may");
    }

    /// A number that the administrator asks for.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        runtime()
            .block_on(async { self.services.admin(&self.name).await.query_one(sql, &[]).await })
            .expect("the administrator may")
            .get(0)
    }

    pub(crate) fn rooms(&self) -> Waiting<PostgresRooms> {
        Waiting::new(PostgresRooms::new(&self.connect("lynk_rooms")).expect("a store"))
    }

    pub(crate) fn notify(&self) -> Waiting<PostgresNotify> {
        Waiting::new(PostgresNotify::new(&self.connect("lynk_notify")).expect("a store"))
    }

    pub(crate) fn media(&self) -> Waiting<PostgresMedia> {
        Waiting::new(PostgresMedia::new(&self.connect("lynk_media")).expect("a store"))
    }

    pub(crate) fn accounts(&self) -> Waiting<PostgresAccounts> {
        Waiting::new(PostgresAccounts::new(&self.connect("lynk_accounts")).expect("a store"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.on_server(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// A store whose calls return when they are done, so that `ready` can drive them.
pub(crate) struct Waiting<S> {
    // Before the runtime: connections are tasks of it.
    pub(crate) store: S,
    pub(crate) runtime: Rc<Runtime>,
}

impl<S> Waiting<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, runtime: Rc::new(runtime()) }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl RoomStore for Waiting<PostgresRooms> {
    async fn load(&self, room: RoomId) -> Result<LoadedRoom, StoreError> {
        self.wait(self.store.load(room))
    }
    async fn apply(&mut self, tx: &MetaTransaction) -> Result<MetaOutcome, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.apply(tx))
    }
    async fn result_hash(&self, room: RoomId, actor: UserId, key: Key) -> Result<Option<u64>, StoreError> {
        self.wait(self.store.result_hash(room, actor, key))
    }
    async fn confirm(&mut self, room: RoomId, version: u64, seq: Seq) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.confirm(room, version, seq))
    }
    async fn memberships(
        &self,
        user: UserId,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<Membership>, StoreError> {
        self.wait(self.store.memberships(user, after, limit))
    }
    async fn find_name(&self, folded: &str) -> Result<Option<RoomId>, StoreError> {
        self.wait(self.store.find_name(folded))
    }
    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.wait(self.store.name_is_taken(folded, wall))
    }
    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.wait(self.store.names(after, limit))
    }
    async fn blocks(&self, user: UserId) -> Result<Vec<(UserId, UserId)>, StoreError> {
        self.wait(self.store.blocks(user))
    }
    async fn apart(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.wait(self.store.apart(user, others))
    }
    async fn blocked(&self, by: UserId, after: UserId, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.wait(self.store.blocked(by, after, limit))
    }
    async fn set_hidden(&mut self, user: UserId, hidden: bool) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.set_hidden(user, hidden))
    }
    async fn hidden(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.wait(self.store.hidden(users))
    }
    async fn awaits(&self, room: RoomId) -> Result<bool, StoreError> {
        self.wait(self.store.awaits(room))
    }
    async fn set_direct_from(&mut self, user: UserId, from: DirectFrom) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.set_direct_from(user, from))
    }
    async fn direct_from(&self, user: UserId) -> Result<DirectFrom, StoreError> {
        self.wait(self.store.direct_from(user))
    }
    async fn set_wish(&mut self, room: RoomId, user: UserId, wish: RoomWish) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.set_wish(room, user, wish))
    }
    async fn clear(&mut self, room: RoomId, user: UserId, seq: Seq, n: Ordinal) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.clear(room, user, seq, n))
    }
    async fn forget_requests(&mut self, user: UserId) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.forget_requests(user))
    }
    async fn wrote(&mut self, room: RoomId, user: UserId) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.wrote(room, user))
    }
    async fn retained(
        &self,
        every: bool,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<(RoomId, u32)>, StoreError> {
        self.wait(self.store.retained(every, after, limit))
    }
    async fn ending(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.wait(self.store.ending(after, limit))
    }
    async fn may_see(&self, watcher: UserId, user: UserId) -> Result<bool, StoreError> {
        self.wait(self.store.may_see(watcher, user))
    }
    async fn list(&self, room: RoomId, query: &ListQuery) -> Result<Listed, StoreError> {
        self.wait(self.store.list(room, query))
    }
    async fn reports(&self, query: &ReportQuery) -> Result<Vec<Report>, StoreError> {
        self.wait(self.store.reports(query))
    }
    async fn note(&mut self, room: RoomId, act: &Act) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.note(room, act))
    }
    async fn discover(&self, query: &DiscoverQuery) -> Result<Vec<Discovered>, StoreError> {
        self.wait(self.store.discover(query))
    }
    async fn requests_of(
        &self,
        user: UserId,
        after: RoomId,
        wall: Millis,
        limit: u32,
    ) -> Result<Vec<OwnRequest>, StoreError> {
        self.wait(self.store.requests_of(user, after, wall, limit))
    }
}

impl AccountStore for Waiting<PostgresAccounts> {
    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError> {
        self.wait(self.store.account_of_phone(phone))
    }
    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        self.wait(self.store.account_of_name(folded))
    }
    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.wait(self.store.name_is_taken(folded, wall))
    }
    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.wait(self.store.names(after, limit))
    }
    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
        self.wait(self.store.accounts(users))
    }
    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.change(user, change, wall))
    }
    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError> {
        self.wait(self.store.search(words, after, limit))
    }
    async fn index_words(&mut self, limit: u32) -> Result<u32, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.index_words(limit))
    }
    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.register(account, session))
    }
    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.remove(user, wall))
    }
    async fn open_session(
        &mut self,
        user: UserId,
        session: &NewSession,
    ) -> Result<Vec<Revocation>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.open_session(user, session))
    }
    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.wait(self.store.session(session))
    }
    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError> {
        self.wait(self.store.sessions(user, wall))
    }
    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &Family,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.rotate(session, generation, family, wall))
    }
    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.revoke(user, which, reason, wall))
    }
    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError> {
        self.wait(self.store.revoked_since(since))
    }
    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.charge(charges, wall))
    }
    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.wait(self.store.audit(user, limit))
    }
    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        self.wait(self.store.unpublished(limit))
    }
    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.mark_published(users))
    }
}

impl FactorStore for Waiting<PostgresAccounts> {
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError> {
        self.wait(self.store.factor(user))
    }
    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.enrol(user, sealed, wall))
    }
    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.confirm(seen, step, proofs, by, wall))
    }
    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.accept_step(seen, step, sealed))
    }
    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.use_recovery(user, proof, wall))
    }
    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError> {
        self.wait(self.store.recovery_left(user))
    }
    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.replace_recovery(user, proofs, by, wall))
    }
    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.remove_factor(user, by, wall))
    }
    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.note(event))
    }
    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError> {
        self.wait(self.store.suspended(user))
    }
    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.suspend(user, wall))
    }
    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.resume(user, wall))
    }
}

impl ErasureStore for Waiting<PostgresAccounts> {
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.erase(user, wall))
    }
    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        self.wait(self.store.erasure(user))
    }
    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        self.wait(self.store.erasures(limit))
    }
    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.advance_erasure(user, room, seq, done))
    }
    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.forget_names(wall, limit))
    }
}

pub(crate) const OWNER: UserId = UserId([1; 16]);
pub(crate) const ROOM: RoomId = RoomId([0x70; 16]);

pub(crate) fn user(n: u8) -> UserId {
    UserId([n; 16])
}

pub(crate) fn command(room: RoomId, key: u32, change: MetaChange) -> MetaTransaction {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&key.to_be_bytes());
    let (key, wall) = (Key(bytes), Millis(1_000 + u64::from(key)));
    MetaTransaction { room, actor: OWNER, key, content_hash: 5, wall, change }
}

pub(crate) fn create(room: RoomId, key: u32, kind: RoomKind, name: &str) -> MetaTransaction {
    let row = RoomRow::new(room, kind, name, OWNER, Millis(5));
    command(room, key, MetaChange::Create { row, members: vec![(OWNER, Role::Owner)] })
}

pub(crate) fn join(room: RoomId, key: u32, who: UserId) -> MetaTransaction {
    command(room, key, MetaChange::Event(MetaEvent::Joined { user: who, role: Role::Member }))
}

pub(crate) fn pin(room: RoomId, key: u32) -> MetaTransaction {
    command(room, key, MetaChange::Event(MetaEvent::Pinned { target: Seq(u64::from(key)), on: true }))
}

pub(crate) fn settings(room: RoomId, key: u32, name: &str) -> MetaTransaction {
    let event = MetaEvent::Settings {
        name: name.to_owned(),
        level: AckLevel::Local,
        visibility: HistoryVisibility::All,
        slow_mode_seconds: 0,
        more: None,
    };
    command(room, key, MetaChange::Event(event))
}

pub(crate) fn family(generation: u32) -> Family {
    Family {
        generation,
        hash: SecretHash([generation as u8; 32]),
        rotations: vec![Millis(u64::from(generation)); generation.min(8) as usize],
        idle_expires: Millis(1_000_000),
        expires: Millis(2_000_000),
    }
}

pub(crate) fn account(n: u8, name: &str) -> Account {
    let phone = Phone::from_e164(&format!("+4915112345{n:03}")).expect("a number");
    Account::new(user(n), phone, name.to_owned(), name.to_owned(), Millis(1_000))
}

pub(crate) fn new_session(n: u8) -> NewSession {
    NewSession {
        session: SessionId([n; 16]),
        device: String::new(),
        created: Millis(1_000 + u64::from(n)),
        family: family(0),
        sessions_max: 30,
    }
}

impl<F: Fill> Fill for Waiting<F> {
    type Row = F::Row;

    async fn fill(&mut self, rows: &[F::Row]) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.fill(rows))
    }

    async fn take_out(&mut self, rows: &[F::Row]) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.take_out(rows))
    }
}

impl<D: Dump> Dump for Waiting<D> {
    type Row = D::Row;

    async fn rows(&mut self, mark: &MarkOf<D>, limit: u32) -> Result<PageOf<D>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.rows(mark, limit))
    }

    async fn find(&mut self, rows: &[D::Row]) -> Result<Vec<D::Row>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.find(rows))
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.count())
    }
}

impl NotifyStore for Waiting<PostgresNotify> {
    async fn devices(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        self.wait(self.store.devices(user))
    }
    async fn any_device(&self) -> Result<bool, StoreError> {
        self.wait(self.store.any_device())
    }
    async fn with_devices(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.wait(self.store.with_devices(users))
    }
    async fn taken(&self, rooms: &[RoomId]) -> Result<Vec<Seq>, StoreError> {
        self.wait(self.store.taken(rooms))
    }
    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<Pending>, StoreError> {
        self.wait(self.store.due(now, limit))
    }
    async fn retries(&self, now: Millis, limit: u32) -> Result<Vec<Push>, StoreError> {
        self.wait(self.store.retries(now, limit))
    }
    async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        self.wait(self.store.next_due())
    }
    async fn rooms_of(&self, user: UserId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.wait(self.store.rooms_of(user, limit))
    }
    async fn why(&self, user: UserId, room: RoomId, seq: Seq) -> Result<Known, StoreError> {
        self.wait(self.store.why(user, room, seq))
    }
    async fn dead(&self, untold: bool, limit: u32) -> Result<Vec<Push>, StoreError> {
        self.wait(self.store.dead(untold, limit))
    }
    async fn put_device(&mut self, device: &Device) -> Result<u32, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.put_device(device))
    }
    async fn remove_devices(&mut self, sessions: &[SessionId]) -> Result<u32, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.remove_devices(sessions))
    }
    async fn take(&mut self, taking: &Taking, now: Millis) -> Result<Took, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.take(taking, now))
    }
    async fn turn(&mut self, turn: &Turn, now: Millis) -> Result<Turned, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.turn(turn, now))
    }
    async fn abandon(&mut self, before: Millis, now: Millis) -> Result<Vec<Push>, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.abandon(before, now))
    }
    async fn mark_told(&mut self, ids: &[PushId]) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.mark_told(ids))
    }
    async fn revive(&mut self, ids: &[PushId], now: Millis) -> Result<u32, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.revive(ids, now))
    }
    async fn prune(&mut self, before: Millis, rows_max: u64) -> Result<u64, StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.prune(before, rows_max))
    }
    async fn erase(&mut self, user: UserId) -> Result<(), StoreError> {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(self.store.erase(user))
    }
}
