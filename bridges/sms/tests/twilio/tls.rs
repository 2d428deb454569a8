use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lynk_auth::{SmsError, SmsSender as _};
use lynk_sms::{Options, Roots, SetupError, Twilio};
use lynk_telemetry::Metric;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::double::Double;
use crate::{metric, options, run, sms};

/// An authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("random numbers");
        Self(CertifiedIssuer::self_signed(params, key).expect("signs"))
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        let text = STANDARD.encode(self.0.der());
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    }

    /// A server with a certificate for `name`.
    fn server(&self, name: &str) -> Double {
        let key = KeyPair::generate().expect("random numbers");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
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
        let config = Arc::new(config);
        Double::over(move |socket| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            Some(StreamOwned::new(connection, socket))
        })
    }
}

fn twilio(double: &Double, roots: &Authority) -> Twilio {
    let url = format!("https://localhost:{}", double.address.port());
    Twilio::new(Options { roots: Roots::Pem(roots.pem()), ..options(url) }).expect("good")
}

#[test]
fn the_carrier_is_who_the_authority_says() {
    let authority = Authority::new();
    let double = authority.server("localhost");
    let twilio = twilio(&double, &authority);
    run(async {
        for n in [1, 2] {
            assert_eq!(twilio.send(&sms(n)).await, Ok(()));
        }
    });
    let seen = double.taken();
    assert_eq!((seen.len(), double.connections()), (2, 1));
    let host = format!("localhost:{}", double.address.port());
    assert_eq!(seen[0].header("host"), Some(host.as_str()));
}

#[test]
fn nobody_else_learns_a_number_a_code_or_the_secret() {
    let authority = Authority::new();
    for (double, trusted) in
        [(authority.server("localhost"), Authority::new()), (Authority::new().server("localhost"), authority)]
    {
        let twilio = twilio(&double, &trusted);
        assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable));
        assert!(double.seen().is_empty());
        assert_eq!(metric(&twilio, Metric::SmsFailures, "tls"), 1);
        assert_eq!(twilio.counts().health.report().last_error, "tls");
    }
    let authority = Authority::new();
    let no_tls = Double::over(|mut socket| {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        Some(socket)
    });
    for double in [authority.server("api.twilio.example"), no_tls] {
        let twilio = twilio(&double, &authority);
        assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable), "another name, or no TLS");
        assert!(double.seen().iter().all(|seen| !seen.taken));
        assert_eq!(metric(&twilio, Metric::SmsFailures, "tls"), 1);
    }
}

#[test]
fn a_handshake_that_does_not_end_is_no_connection() {
    let silent = Double::over(|socket| {
        std::thread::sleep(Duration::from_secs(60));
        drop(socket);
        None::<std::net::TcpStream>
    });
    let url = format!("https://localhost:{}", silent.address.port());
    let roots = Roots::Pem(Authority::new().pem());
    let options = Options { roots, timeout: Duration::from_millis(500), ..options(url) };
    let twilio = Twilio::new(options).expect("good");
    assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable), "certainly not sent");
    assert_eq!(metric(&twilio, Metric::SmsFailures, "unreachable"), 1);
}

#[test]
fn plain_http_is_for_this_machine_only() {
    for url in [
        "http://api.twilio.com",
        "https://user@api.twilio.com",
        "https://api.twilio.com/v1",
        "api.twilio.com",
    ] {
        let refused = Twilio::new(options(url.to_owned()));
        assert!(matches!(refused, Err(SetupError::Url(..))), "{url}");
    }
}
