//! What an administrator runs once on each outside system, so that Lynk's roles are there with what they need and nothing more.
//!
//! Everything is made from the tables of the bridges. Passwords are random, lie in files beside the certificates (`ROLE.password`, 0600),
//! and are in none of the texts: those have what a server checks a password with. A text may be run again.
//!
//! Thread: a command's. What can fail: the disk, and names that cannot be quoted.

#[cfg(feature = "cassandra")]
pub(crate) mod cassandra;
pub(crate) mod password;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;

/// Whether a name can stand in SQL and CQL as it is.
pub(crate) fn plain_name(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    letters && (1..=48).contains(&text.len()) && text.starts_with(|first: char| first.is_ascii_lowercase())
}
