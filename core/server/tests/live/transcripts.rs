//! The golden transcripts of `docs/protocol.md`, replayed against the real server. They stay valid for ever.
//!
//! A line `> alice {…}` is sent by that client; `< alice {…}` must arrive there, in this order. An expected object may
//! leave members out; what it names must be equal. `"$name"` stands for a value: the first time it is kept, later it must
//! be the same; `$token_NAME`, `$user_NAME` and `$key_…` exist from the start. `"*"` is anything. Lists have equal length.
//! `- alice` closes a connection; `# …` is a comment. A client connects with its first line.

use std::collections::BTreeMap;
use std::path::Path;

use lynk_domain::UserId;
use serde_json::Value;

use crate::support::{Chatter, Server, key, user};

struct Replay<'a> {
    server: &'a Server,
    clients: BTreeMap<String, Chatter>,
    users: BTreeMap<String, UserId>,
    values: BTreeMap<String, Value>,
}

impl Replay<'_> {
    fn user(&mut self, name: &str) -> UserId {
        *self.users.entry(name.to_owned()).or_insert_with(user)
    }

    /// The value that a `$name` stands for, made up if it is one that exists from the start.
    fn value(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        let value: Value = if let Some(who) = name.strip_prefix("token_") {
            let user = self.user(who);
            self.server.token(user).into()
        } else if let Some(who) = name.strip_prefix("user_") {
            self.user(who).to_string().into()
        } else if name.starts_with("key_") {
            key().to_string().into()
        } else {
            return None;
        };
        self.values.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn fill(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(name) = text.strip_prefix('$') {
                    let name = name.to_owned();
                    *value = self.value(&name).unwrap_or_else(|| panic!("${name} has no value yet"));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.fill(member)),
            _ => {}
        }
    }

    fn matches(&mut self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::String(text), _) if text == "*" => true,
            (Value::String(text), _) if text.starts_with('$') => {
                let name = text[1..].to_owned();
                match self.value(&name) {
                    Some(known) => known == *found,
                    None => {
                        self.values.insert(name, found.clone());
                        true
                    }
                }
            }
            (Value::Object(expected), Value::Object(found)) => expected
                .iter()
                .all(|(name, value)| found.get(name).is_some_and(|member| self.matches(value, member))),
            (Value::Array(expected), Value::Array(found)) => {
                expected.len() == found.len()
                    && expected.iter().zip(found).all(|(value, item)| self.matches(value, item))
            }
            _ => expected == found,
        }
    }

    fn line(&mut self, place: &str, line: &str) {
        let (sign, rest) = line.split_at(1);
        let (who, json) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
        let server = self.server;
        match sign {
            ">" => {
                let mut command: Value =
                    serde_json::from_str(json).unwrap_or_else(|error| panic!("{place}: {error}"));
                self.fill(&mut command);
                let client = self.clients.entry(who.to_owned()).or_insert_with(|| Chatter::connect(server));
                client.sender.text(&command.to_string()).expect("the connection stands");
            }
            "<" => {
                let expected: Value =
                    serde_json::from_str(json).unwrap_or_else(|error| panic!("{place}: {error}"));
                let client =
                    self.clients.get_mut(who).unwrap_or_else(|| panic!("{place}: {who} is not connected"));
                let own = self.users.get(who).map(UserId::to_string);
                // News of one's own rooms come when they come; a client that does not know them passes over them. So does how far one has
                // read oneself, which is told where a connection that has just ended still counts.
                let found = loop {
                    let found =
                        client.next().unwrap_or_else(|| panic!("{place}: closed: {:?}", client.closed));
                    let news =
                        ["added", "removed", "conversation_accepted"].iter().any(|ev| found["ev"] == *ev)
                            || found["ev"] == "read" && found["user"].as_str() == own.as_deref();
                    if !news || found["ev"] == expected["ev"] {
                        break found;
                    }
                };
                assert!(
                    self.matches(&expected, &found),
                    "{place}:\n  expected {expected}\n  found    {found}"
                );
            }
            "-" => {
                let mut client = self.clients.remove(who).unwrap_or_else(|| panic!("{place}: no {who}"));
                client.sender.close(1_000).expect("the connection stands");
                // Its end is known before it comes back.
                client.close_code();
            }
            _ => panic!("{place}: a line starts with >, <, - or #"),
        }
    }
}

fn replay(server: &Server, path: &Path) {
    let text = std::fs::read_to_string(path).expect("readable");
    let mut replay =
        Replay { server, clients: BTreeMap::new(), users: BTreeMap::new(), values: BTreeMap::new() };
    for (number, line) in (1..).zip(text.lines()) {
        if !line.trim().is_empty() && !line.starts_with('#') {
            replay.line(&format!("{} line {number}", path.display()), line);
        }
    }
}

#[test]
fn every_transcript_still_holds() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/transcripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).expect("docs/transcripts").map(|e| e.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    for backend in ["epoll", "auto"] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let server = Server::start(temp.path(), &["--backend", backend, "--shards", "2"]);
        for path in &paths {
            replay(&server, path);
        }
    }
}
