//! Who may do what: the one table that the file of users and the page about it are made from.
//!
//! Thread: any. Pure. Invariant: a user that is not here may do nothing; a command that is not listed for a kind of key is
//! refused on it by the server, also to a program that has been taken over, and also inside a script.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// The server's user, and the only one.
pub const USER: &str = "lynk_ephemeral";

/// What may be done with one kind of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The part of the key after the prefix.
    pub keys: &'static str,
    /// What they are.
    pub what: &'static str,
    /// Commands.
    pub commands: &'static [&'static str],
    /// Whether the server must have cuckoo filters for that.
    pub filter: bool,
}

const fn grant(keys: &'static str, what: &'static str, commands: &'static [&'static str]) -> Grant {
    Grant { keys, what, commands, filter: false }
}

/// Commands without keys, or whose keys are those of what they run.
pub const GENERAL: &[&str] = &["ping", "time", "script|load", "evalsha", "multi", "exec"];

/// The table.
pub const GRANTS: &[Grant] = &[
    grant("probe", "what a new connection writes", &["set"]),
    grant("code:*", "codes that wait", &["hset", "hmget", "hincrby", "pexpire", "exists", "del"]),
    grant("number:*", "the code that a number has", &["get", "set", "del"]),
    grant("wait:*", "numbers that wait for their next code", &["pttl", "set"]),
    grant("once:*", "tickets, registrations, challenges", &["hset", "hget", "hmget", "pexpire", "del"]),
    grant("owner:*", "whose they are", &["rpush", "lpop", "llen", "lrange", "lrem", "pexpire", "del"]),
    grant("count:*", "counters", &["hgetall", "hincrby", "hdel", "pexpire"]),
    grant("online:*", "who is online", &["zadd", "zrem", "zcount", "pexpire"]),
    Grant { filter: true, ..grant("names", "the filter of names", &["cf.addnx", "cf.exists", "exists"]) },
];

/// Whether all keys of a server may begin with `text`: nothing in it means something to Redis's patterns.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

/// How a password is written into a file of users: its SHA-256, in hexadecimal.
#[must_use]
pub fn password_hash(password: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, password.as_bytes()).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The lines of an `aclfile`: the default user is off, ours may do what the table says on keys that begin with `prefix` and
/// a colon. `hash` is that of [`password_hash`]. `filter` is for servers that have the commands `CF.*`; others refuse a file
/// that names them.
#[must_use]
pub fn file(prefix: &str, hash: &str, filter: bool) -> String {
    let mut text = String::from("user default off resetpass resetkeys resetchannels -@all\n");
    let _ = write!(text, "user {USER} on #{hash} resetkeys resetchannels -@all");
    for command in GENERAL {
        let _ = write!(text, " +{command}");
    }
    // Of the general commands only scripts name keys; what a script then does is checked against the selectors.
    let _ = write!(text, " ~{prefix}:*");
    for Grant { keys, commands, .. } in GRANTS.iter().filter(|grant| filter || !grant.filter) {
        let _ = write!(text, " (~{prefix}:{keys}");
        for command in *commands {
            let _ = write!(text, " +{command}");
        }
        text.push(')');
    }
    text.push('\n');
    text
}

/// The table as a page shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| keys | what | commands |\n|---|---|---|\n");
    let list = |commands: &[&str]| {
        commands
            .iter()
            .map(|one| format!("`{}`", one.to_uppercase().replace('|', " ")))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let _ = writeln!(text, "| | | {} |", list(GENERAL));
    for Grant { keys, what, commands, .. } in GRANTS {
        let _ = writeln!(text, "| `lynk:{keys}` | {what} | {} |", list(commands));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_no_password_and_nobody_else() {
        let hash = password_hash("very secret");
        // By `printf 'very secret' | sha256sum`.
        assert_eq!(hash, "546bb0a05a36cf112fbc47938f3d554e4d339a2ef033948e40a66ebe63a35a77");
        let text = file("lynk", &hash, false);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.starts_with("user default off ") && !text.contains("cf.") && !text.contains("very secret")
        );
        assert!(text.contains(" (~lynk:wait:* +pttl +set)"), "{text}");
        assert!(file("lynk", &hash, true).contains(" (~lynk:names +cf.addnx +cf.exists +exists)"));
        for forbidden in ["flushall", "+keys", "config", "+@", "+eval ", "allkeys", "allcommands", "nopass"] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }
}
