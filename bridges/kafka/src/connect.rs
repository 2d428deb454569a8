//! How to reach the brokers, and as whom.
//!
//! Thread: any. TLS with the one authority that is given, the brokers' names checked, our certificate, and SCRAM-SHA-512: nothing turns one of these
//! off. Nothing of a [`Connect`] that is secret is shown by `Debug` or repeated by an error. Keys are handed to librdkafka as text, so no file of
//! them has to be readable later.
//!
//! What can fail: a certificate, key or password that cannot be used ([`OpenError`]).

use std::fmt;
use std::time::Duration;

use lynk_bridge::Secret;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

/// Whom we are for the transport. PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Our certificate, and those between it and the CA.
    pub certificate: Vec<u8>,
    /// Its key, not encrypted.
    pub key: Secret,
}

/// Where the brokers are, and who we are.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Brokers to begin with, `host:port`; they tell of the others.
    pub bootstrap: Vec<String>,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Certificates of the CAs that brokers may be of, PEM. No others are trusted.
    pub ca: Vec<u8>,
    /// `None` only where the brokers ask for none.
    pub identity: Option<Identity>,
    /// Longest time for one batch, or for one question; then it counts as failed.
    pub timeout: Duration,
}

/// What cannot be used. Nothing of its content is repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenError {
    what: &'static str,
    why: &'static str,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

impl std::error::Error for OpenError {}

/// A setting as text.
fn text<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, OpenError> {
    let text = std::str::from_utf8(bytes).map_err(|_| OpenError { what, why: "is not text" })?;
    if text.trim().is_empty() {
        return Err(OpenError { what, why: "is empty" });
    }
    if text.contains('\0') {
        return Err(OpenError { what, why: "holds a zero byte" });
    }
    Ok(text)
}

fn pem<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, OpenError> {
    let text = text(what, bytes)?;
    if text.contains("-----BEGIN ") { Ok(text) } else { Err(OpenError { what, why: "is not PEM" }) }
}

impl Connect {
    /// Settings of a client, without what is particular to publishing or reading.
    pub(crate) fn settings(&self) -> Result<ClientConfig, OpenError> {
        let millis = self.timeout.as_millis().clamp(1_000, 60_000).to_string();
        let mut settings = ClientConfig::new();
        settings
            .set("client.id", "lynk")
            .set("bootstrap.servers", text("the list of brokers", self.bootstrap.join(",").as_bytes())?)
            .set("security.protocol", "sasl_ssl")
            .set("ssl.endpoint.identification.algorithm", "https")
            .set("enable.ssl.certificate.verification", "true")
            .set("ssl.ca.pem", pem("the CA's certificate", &self.ca)?)
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", text("the user", self.user.as_bytes())?)
            .set("sasl.password", text("the password", self.password.reveal())?)
            .set("socket.timeout.ms", &millis)
            .set("socket.connection.setup.timeout.ms", &millis)
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Error);
        if let Some(identity) = &self.identity {
            settings
                .set("ssl.certificate.pem", pem("our certificate", &identity.certificate)?)
                .set("ssl.key.pem", pem("our key", identity.key.reveal())?);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown_and_what_cannot_be_used_is_named() {
        let connect = Connect {
            bootstrap: vec!["localhost:9093".to_owned()],
            user: "lynk_events".to_owned(),
            password: Secret::new("hush"),
            ca: b"-----BEGIN CERTIFICATE-----".to_vec(),
            identity: Some(Identity { certificate: b"hushed".to_vec(), key: Secret::new("hush") }),
            timeout: Duration::from_secs(10),
        };
        let shown = format!("{:?}", Connect { identity: None, ..connect.clone() });
        assert!(!shown.contains("hush"), "{shown}");
        let error = connect.settings().expect_err("no PEM").to_string();
        assert_eq!(error, "our certificate is not PEM");
        for password in ["", "\n", "a\0b"] {
            let connect = Connect { password: Secret::new(password), identity: None, ..connect.clone() };
            assert!(connect.settings().expect_err("refused").to_string().starts_with("the password"));
        }
        let connect = Connect { identity: None, ..connect };
        let settings = connect.settings().expect("usable");
        for (name, value) in [
            ("security.protocol", "sasl_ssl"),
            ("ssl.endpoint.identification.algorithm", "https"),
            ("enable.ssl.certificate.verification", "true"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
        ] {
            assert_eq!(settings.get(name), Some(value));
        }
    }
}
