//! A bucket over TLS: a service whose certificate is of an authority of one's own, before the real one, where what requests say can be seen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

const HOW: &str = "x-amz-server-side-encryption";
const WHOSE: &str = "x-amz-server-side-encryption-aws-kms-key-id";

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("random numbers");
        Self(CertifiedIssuer::self_signed(params, key).expect("signs"))
    }

    /// A file with its certificate.
    fn file(&self, path: &Path) -> String {
        std::fs::write(path, self.0.pem()).expect("ours");
        path.display().to_string()
    }

    fn server(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("random numbers");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("signs");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .expect("a pair");
        Arc::new(config)
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Whether it makes an object: a whole one, or one whose parts follow.
    fn creates(&self) -> bool {
        match self.method.as_str() {
            "PUT" => !self.target.contains("partNumber="),
            "POST" => self.target.contains("uploads") && !self.target.contains("uploadId="),
            _ => false,
        }
    }
}

type Heads = Arc<Mutex<Vec<Head>>>;

/// A service at `https://localhost`, which hands everything to the real one. A connection has one request. Its thread ends with the process.
fn before(service: &str, config: Arc<ServerConfig>) -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let (heads, service) = (Heads::default(), service.trim_start_matches("http://").to_owned());
    let seen = Arc::clone(&heads);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, service, seen) = (Arc::clone(&config), service.clone(), Arc::clone(&seen));
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("a connection");
                // Who does not trust us goes away.
                let _over = hand_on(StreamOwned::new(connection, socket), &service, &seen);
            });
        }
    });
    (port, heads)
}

fn hand_on(
    client: StreamOwned<ServerConnection, TcpStream>,
    service: &str,
    seen: &Heads,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let head = Head { method, target, headers };
    let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    seen.lock().expect("no panic").push(head);
    let mut service = TcpStream::connect(service)?;
    service.write_all(format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    service.write_all(&body)?;
    let client = client.get_mut();
    std::io::copy(&mut service, client)?;
    client.conn.send_close_notify();
    client.flush()
}

/// Files in the bucket behind `https://localhost:port`.
fn options(outside: &Outside, port: u16, authority: &str, encryption: &str) -> Vec<String> {
    let mut options = outside.files(&name());
    for setting in [
        format!("s3.endpoint=https://localhost:{port}"),
        format!("s3.ca_file={authority}"),
        format!("s3.encryption={encryption}"),
    ] {
        options.extend(["--set".to_owned(), setting]);
    }
    options
}

#[test]
fn a_bucket_over_tls_is_who_the_authority_says_and_told_how_to_encrypt() {
    let Some((outside, _turn)) = alone("a_bucket_over_tls_is_who_the_authority_says") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (ours, other) = (authority.file(&path("ours.pem")), stranger.file(&path("other.pem")));
    let (port, heads) = before(outside.value("S3_ENDPOINT"), authority.server());
    let taken = || std::mem::take(&mut *heads.lock().expect("no panic"));

    for (encryption, how, whose) in [
        ("aes256", Some("AES256"), None),
        ("kms:alias/chat", Some("aws:kms"), Some("alias/chat")),
        ("bucket", None, None),
    ] {
        let options = options(outside, port, &ours, encryption);
        let server = start(&path(&encryption.replace([':', '/'], "-")), &options);
        let mut owner = Owner::new(&server);
        // At once, and in parts.
        owner.put(10);
        owner.put(9 << 20);
        owner.all_there();
        wait_ready(&server, "ok");
        assert!(server.stop().success());
        let heads = taken();
        let (creates, others): (Vec<_>, Vec<_>) = heads.iter().partition(|head| head.creates());
        assert!(creates.iter().any(|head| head.method == "PUT"), "{encryption}");
        assert!(creates.iter().any(|head| head.method == "POST"), "{encryption}");
        assert!(others.iter().any(|head| head.target.contains("partNumber=2")), "{encryption}");
        for head in creates {
            assert_eq!((head.header(HOW), head.header(WHOSE)), (how, whose), "{encryption}: {head:?}");
            // What is not signed could be taken away on the way.
            let signed =
                head.target.split(['?', '&']).find_map(|one| one.strip_prefix("X-Amz-SignedHeaders="));
            let signed: Vec<_> = signed.expect("they are named").split("%3B").collect();
            assert_eq!(signed.contains(&HOW), how.is_some(), "{signed:?}");
            assert_eq!(signed.contains(&WHOSE), whose.is_some(), "{signed:?}");
        }
        for head in others {
            assert_eq!((head.header(HOW), head.header(WHOSE)), (None, None), "{encryption}: {head:?}");
        }
    }

    // A service that another authority vouches for learns nothing, and files wait.
    let options = options(outside, port, &other, "aes256");
    let data = path("stranger");
    let (verdict, found) = diagnosis(&data, &options);
    assert!(verdict == "fail" && found.contains("certificate"), "{verdict}: {found}");
    let server = start(&data, &options);
    let told = wait_ready(&server, "degraded");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("certificate")), "{told}");
    let mut owner = Owner::new(&server);
    let media = owner.put(1_000);
    server.wait_metric("lynk_media_looked_at_total{outcome=\"again\"}", 1.0);
    assert_eq!(owner.state(&media), "scanning");
    assert!(server.stop().success());
    assert!(taken().is_empty(), "no request came through");
}
