//! Names of keys: prefix, kind, and what it is about in hexadecimal.

use std::fmt::Write as _;

/// Bytes as a part of a key.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Makes keys under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What all keys of a kind begin with.
    pub(crate) fn all(&self, kind: &str) -> String {
        format!("{}:{kind}:", self.prefix)
    }

    /// The key of a kind for `of`.
    pub(crate) fn of(&self, kind: &str, of: &[u8]) -> String {
        let mut key = self.all(kind);
        key.push_str(&hex(of));
        key
    }

    /// A key that there is one of.
    pub(crate) fn single(&self, kind: &str) -> String {
        format!("{}:{kind}", self.prefix)
    }
}
