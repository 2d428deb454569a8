//! Names of certificates and of hosts.
//!
//! Thread: any. Pure.

use std::fmt;
use std::net::IpAddr;

/// What a server is called by those who connect to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Host {
    /// A DNS name; its first label may be `*`.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Parses a DNS name or an address.
    ///
    /// # Errors
    /// What it must be.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let wrong = || format!("must be a DNS name such as db.example.org, or an address, not {text:?}");
        let name = text.to_ascii_lowercase();
        let rest = name.strip_prefix("*.").unwrap_or(&name);
        // A last label of digits would be taken for an address by some and for a name by others.
        let digits = rest.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let wild_top = rest.len() < name.len() && !rest.contains('.');
        if name.len() > 253 || digits || wild_top || !rest.split('.').all(label) {
            return Err(wrong());
        }
        Ok(Self::Name(name))
    }
}

fn label(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    letters && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Checks the name of a certificate, which becomes part of paths and the name of a role.
///
/// # Errors
/// What it must be.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let letters =
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    // The common name of a certificate has room for 64.
    let taken = matches!(name, "ca" | "crl" | "authority");
    if letters && (1..=64).contains(&name.len()) && !name.starts_with('-') && !taken {
        return Ok(());
    }
    Err(format!(
        "must be 1 to 64 of a-z, 0-9, _ and -, not begin with -, and not be ca, crl or authority, not {name:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in ["db.example.org", "postgres", "10.0.0.7", "::1", "*.cassandra.lynk.svc", "a-1.b"] {
            assert_eq!(Host::parse(good).expect(good).to_string(), good);
        }
        assert_eq!(Host::parse("DB.Example.org").expect("a name").to_string(), "db.example.org");
        for bad in ["", "a b", "-a", "a-", "a..b", "*", "*.org", "a.*.b", "10.0.0.256", "a_b", "host:1", "1"]
        {
            assert!(Host::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_cannot_leave_the_directory() {
        for good in ["lynk_rooms", "postgres", "a", "kafka-1"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "../x", "a/b", "a.b", "A", "-a", "ca", "crl", "authority", "a b", "ä"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
