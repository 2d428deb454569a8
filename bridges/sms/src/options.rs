//! How to reach the carrier, and as whom.
//!
//! Nothing of [`Options`] that is secret is shown by `Debug` or repeated by an error. What can fail: see [`SetupError`].

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use lynk_bridge::Secret;
use lynk_https::Roots;

/// Who we are for the carrier.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account's SID, `AC…`.
    pub account: String,
    /// SID of an API key, `SK…`; the account's own where the secret is the account's token.
    pub user: String,
    /// The key's secret, or the account's token.
    pub secret: Secret,
}

/// How the carrier tells what became of messages.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Where this server is for the carrier: `https://chat.example`.
    pub public_url: String,
    /// The account's token, and the next or last one while it is being changed. Calls are signed with it, never with a key's secret.
    pub tokens: Vec<Secret>,
}

/// Everything about the carrier.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its API is.
    pub api_url: String,
    /// Who we are.
    pub credentials: Credentials,
    /// The sender: a number in E.164 form, a name, or the SID of a messaging service, `MG…`.
    pub sender: String,
    /// Whom we trust.
    pub roots: Roots,
    /// `None` when the carrier is not to tell anything.
    pub reports: Option<Reports>,
    /// For one message, with all its repeats.
    pub timeout: Duration,
}

/// Why messages cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// An URL cannot be used: which, and why.
    Url(&'static str, &'static str),
    /// A name or secret cannot be one of the carrier's: which.
    Name(&'static str),
    /// Certificates cannot be used: why.
    Roots(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(which, why) => write!(f, "{which} {why}"),
            Self::Name(which) => write!(f, "{which} has not the form that Twilio gives it"),
            Self::Roots(why) => write!(f, "certificates of authorities cannot be used: {why}"),
        }
    }
}

impl std::error::Error for SetupError {}

/// A SID: two letters, and 32 hexadecimal digits.
fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The parameter that names a sender.
///
/// # Errors
/// It is none.
pub(crate) fn sender(text: &str) -> Result<&'static str, SetupError> {
    let is_number =
        |digits: &str| (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    // What carriers show in place of a number has 11 characters, of which one is a letter.
    let is_name = (1..=11).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-_&".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphabetic());
    if is_sid(text, "MG") {
        Ok("MessagingServiceSid")
    } else if is_number(text.strip_prefix('+').unwrap_or(text)) || is_name {
        Ok("From")
    } else {
        Err(SetupError::Name("the sender"))
    }
}

impl Credentials {
    /// The header that proves who we are.
    pub(crate) fn header(&self) -> Result<HeaderValue, SetupError> {
        if !is_sid(&self.account, "AC") {
            return Err(SetupError::Name("the account's SID"));
        }
        if !is_sid(&self.user, "SK") && self.user != self.account {
            return Err(SetupError::Name("the key's SID"));
        }
        check(&self.secret, "the secret")?;
        let both = [self.user.as_bytes(), b":", self.secret.reveal()].concat();
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(both)))
            .map_err(|_| SetupError::Name("the secret"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Whether a secret can be one: an empty one, or one with the line's end of its file, would only be refused later.
pub(crate) fn check(secret: &Secret, which: &'static str) -> Result<(), SetupError> {
    let good = (1..=256).contains(&secret.reveal().len()) && secret.reveal().iter().all(u8::is_ascii_graphic);
    if good { Ok(()) } else { Err(SetupError::Name(which)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        let account = format!("AC{}", "0a".repeat(16));
        Credentials { user: account.clone(), account, secret: Secret::new("hunter2") }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let options = Options {
            api_url: "https://api.example".to_owned(),
            credentials: credentials(),
            sender: "+15005550006".to_owned(),
            roots: Roots::System,
            reports: Some(Reports { public_url: String::new(), tokens: vec![Secret::new("hunter3")] }),
            timeout: Duration::from_secs(1),
        };
        let header = options.credentials.header().expect("good");
        let shown = format!("{options:?} {options:#?} {header:?}");
        assert!(!shown.contains("hunter") && !shown.contains("aHVudGVy"), "{shown}");
        for secret in ["", "hunter2\n", "hunter 2", "hünter"] {
            let wrong = Credentials { secret: Secret::new(secret), ..credentials() }.header();
            let error = wrong.expect_err("no secret").to_string();
            assert!(error.contains("the secret") && !error.contains("nter"), "{error}");
        }
    }

    #[test]
    fn names_are_those_of_the_carrier() {
        let key = Credentials { user: format!("SK{}", "f0".repeat(16)), ..credentials() };
        assert!(key.header().is_ok());
        assert!(Credentials { user: "me".to_owned(), ..credentials() }.header().is_err());
        assert!(Credentials { account: "AC1".to_owned(), ..credentials() }.header().is_err());
        for (text, parameter) in [
            ("+15005550006", "From"),
            ("72345", "From"),
            ("Lynk", "From"),
            (&format!("MG{}", "0".repeat(32)), "MessagingServiceSid"),
        ] {
            assert_eq!(sender(text), Ok(parameter), "{text}");
        }
        for text in ["", "+", "a name of twelve", "MG1&Body=x", "+4915112345678901"] {
            assert!(sender(text).is_err(), "{text}");
        }
    }
}
