//! Finding the server, signing in as anybody, and servers that a test may break.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_domain::{Millis, Nanos, Now};
use lynk_redis::{Connect, RedisBridge, Timeouts, acl};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

pub(crate) fn now() -> Now {
    Now { mono: Nanos(1), wall: Millis(1_795_456_131_000) }
}

/// Repeats `look` until it holds.
pub(crate) fn until(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !look() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What `DIR/env` says.
#[derive(Clone)]
pub(crate) struct Services(BTreeMap<String, String>);

/// The server of `LYNK_SERVICES`; `None`, with a loud word, when there is none.
pub(crate) fn services(test: &str) -> Option<Services> {
    let Some(path) = std::env::var_os("LYNK_SERVICES") else {
        // Not by a macro: what those print a test that passes does not show. In one piece, because tests run side by side.
        let how =
            "scripts/services up redis && LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-redis";
        let text = format!("\n*** SKIPPED {test}: no Redis. {how} ***\n");
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
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("{key} is not in the env of the services"))
    }

    pub(crate) fn of(&self, user: &str, what: &str) -> PathBuf {
        PathBuf::from(self.get(&format!("{}_{what}", user.to_uppercase())))
    }

    pub(crate) fn password(&self, user: &str) -> String {
        std::fs::read_to_string(self.of(user, "PASSWORD_FILE")).expect("a password")
    }

    pub(crate) fn connect(&self) -> Connect {
        Connect {
            host: self.get("REDIS_HOST").to_owned(),
            port: self.get("REDIS_PORT").parse().expect("a port"),
            user: acl::USER.to_owned(),
            password: Secret::from_file(&self.of(acl::USER, "PASSWORD_FILE")).expect("a password"),
            ca: PathBuf::from(self.get("TLS_CA")),
            certificate: self.of(acl::USER, "CERT"),
            key: self.of(acl::USER, "KEY"),
            prefix: "lynk".to_owned(),
            timeouts: Timeouts { connect: Duration::from_secs(20), call: Duration::from_secs(20) },
        }
    }

    /// A bridge that works.
    pub(crate) fn bridge(&self, connect: &Connect) -> RedisBridge {
        let bridge = RedisBridge::start(connect).expect("good settings");
        until("Redis works", || is_up(&bridge));
        bridge
    }

    /// Signs in with any combination of certificate, user and password.
    pub(crate) async fn raw(
        &self,
        identity: Option<(&Path, &Path)>,
        user: Option<(&str, &str)>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.get("TLS_CA")).expect("a CA") {
            roots.add(certificate.expect("a certificate")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_file_iter(certificate).expect("a file");
                let chain = chain.map(|one| one.expect("a certificate")).collect();
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).expect("a key"))
                    .expect("an identity")
            }
        };
        let Connect { host, port, .. } = self.connect();
        let socket = TcpStream::connect((host.as_str(), port)).await?;
        let name = ServerName::try_from(host).expect("an address");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, socket).await?;
        let mut who = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some((user, password)) = user {
            who = who.set_username(user).set_password(password);
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
        let (connection, driver) = MultiplexedConnection::new_with_config(&who, stream, config).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    /// What the server answers to one command of `user`.
    pub(crate) fn ask(&self, user: &str, words: &[&str]) -> Result<Value, RedisError> {
        let (certificate, key) = (self.of(user, "CERT"), self.of(user, "KEY"));
        block_on(async {
            let mut connection =
                self.raw(Some((&certificate, &key)), Some((user, &self.password(user)))).await?;
            let mut command = redis::cmd(words[0]);
            for word in &words[1..] {
                command.arg(*word);
            }
            command.query_async(&mut connection).await
        })
    }

    /// What the administrator does.
    pub(crate) fn admin(&self, words: &[&str]) -> Value {
        self.ask("redis_admin", words).expect("the administrator may")
    }
}

pub(crate) fn is_up(bridge: &RedisBridge) -> bool {
    let store = bridge.handle();
    block_on(lynk_model::port::Ephemeral::code_wait(&store, now(), [0xff; 16])).is_ok()
}

/// A server that a test may break.
pub(crate) struct Server {
    directory: PathBuf,
    pub(crate) services: Services,
}

fn script(command: &str, directory: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let done =
        Command::new(script).arg(command).arg(directory).arg("redis").output().expect("the script runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

impl Server {
    pub(crate) fn start(test: &str) -> Option<Self> {
        let shared = services(test)?;
        let beside = Path::new(shared.get("TLS_CA")).ancestors().nth(3).expect("a folder").to_owned();
        let directory = beside.join(format!("services-{}-{test}", std::process::id()));
        script("up", &directory);
        let services = Services::read(&directory.join("env"));
        Some(Self { directory, services })
    }

    pub(crate) fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.directory.join("redis/pid")).expect("a pid");
        let pid = file.lines().next().expect("a line");
        // One that has ended by itself since is no failure.
        let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid).output();
    }

    pub(crate) fn restart(&self) {
        script("up", &self.directory);
    }

    /// A way whose calls are given up soon.
    pub(crate) fn impatient(&self) -> Connect {
        let timeouts = Timeouts { connect: Duration::from_secs(5), call: Duration::from_secs(2) };
        Connect { timeouts, ..self.services.connect() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("CONT");
        script("down", &self.directory);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
