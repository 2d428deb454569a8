//! The service account: its file, and what its key signs.
//!
//! Thread: boot, and the bridge's. Nothing of the key is printed or repeated by an error. What can fail: see [`SetupError`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lynk_domain::Millis;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

/// What access tokens are asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long a JWT that asks for one is good, in seconds: the longest that Google takes.
const LIFE_SECONDS: u64 = 3_600;

/// Why pushes cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// An URL cannot be used: which, and why.
    Url(&'static str, &'static str),
    /// The service account's file cannot be used: why.
    Account(&'static str),
    /// Certificates cannot be used: why.
    Roots(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(which, why) => write!(f, "{which} {why}"),
            Self::Account(why) => write!(f, "the service account's file {why}"),
            Self::Roots(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SetupError {}

/// The fields of the file that Google gives out.
#[derive(Deserialize)]
struct Fields {
    project_id: String,
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// A service account.
pub struct ServiceAccount {
    project_id: String,
    key_id: Option<String>,
    email: String,
    token_uri: String,
    key: RsaKeyPair,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("project_id", &self.project_id).finish_non_exhaustive()
    }
}

impl ServiceAccount {
    /// Reads the JSON file that Google gives out for an account.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, SetupError> {
        let fields: Fields = serde_json::from_slice(json).map_err(|_| {
            SetupError::Account(
                "is not the JSON of a service account: it needs project_id, private_key, client_email and token_uri",
            )
        })?;
        let is_name = |text: &str| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        if !is_name(&fields.project_id) {
            return Err(SetupError::Account("has a project_id that cannot be one"));
        }
        let bad_key =
            SetupError::Account("has a private_key that is not an RSA key of 2048 bits or more in PEM");
        let der =
            PrivateKeyDer::from_pem_slice(fields.private_key.as_bytes()).map_err(|_| bad_key.clone())?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(bad_key),
        };
        Ok(Self {
            project_id: fields.project_id,
            key_id: fields.private_key_id,
            email: fields.client_email,
            token_uri: fields.token_uri,
            key: key.map_err(|_| bad_key)?,
        })
    }

    /// The project.
    #[must_use]
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    pub(super) fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// A JWT that asks for an access token (RFC 7523), signed with RS256; `None` when there is no randomness.
    pub(super) fn assertion(&self, wall: Millis) -> Option<String> {
        let (now, mut header) = (wall.0 / 1_000, json!({"alg": "RS256", "typ": "JWT"}));
        if let Some(id) = &self.key_id {
            header["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + LIFE_SECONDS,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut text = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_service_account_is_refused_without_being_repeated() {
        let key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
        let account = |project: &str| json!({"project_id": project, "private_key": key, "client_email": "a@b.example", "token_uri": "https://x.example/t"});
        for text in ["", "{}", "[]", &account("my project").to_string(), &account("my-project").to_string()] {
            let error = ServiceAccount::parse(text.as_bytes()).expect_err("refused").to_string();
            assert!(error.starts_with("the service account's file") && !error.contains("hunter"), "{error}");
        }
    }
}
