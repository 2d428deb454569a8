//! Commands, and what is asked of a restored server.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::pump::{Acked, Pump};
use crate::support::{Chatter, LYNK, NO_RATES, Server};

/// Runs a command to its end.
pub(crate) fn lynk(words: &[&str], options: &[String]) -> Output {
    Command::new(LYNK).args(words).args(options).output().expect("lynk can be started")
}

/// What a command that worked says.
pub(crate) fn told(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a command that failed says.
pub(crate) fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn backup(data: &Path, to: &Path, options: &[String]) -> Output {
    lynk(&["backup", "-o", "json", "--data", text(data), "--to", text(to)], options)
}

pub(crate) fn restore(from: &Path, data: &Path, options: &[String]) -> Output {
    lynk(&["restore", "-o", "json", "--data", text(data), "--from", text(from)], options)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// A server without rates.
pub(crate) fn start(data: &Path, options: &[String]) -> Server {
    let mut all = NO_RATES.to_vec();
    all.extend(options.iter().map(String::as_str));
    Server::start(data, &all)
}

/// Puts the keys of one directory into another: backups have none.
pub(crate) fn take_keys(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from.join("keys")).arg(to).status();
    assert!(done.expect("cp can be started").success());
}

/// People in a room, one of whom posts without end.
pub(crate) struct Talk {
    pub(crate) user: lynk_domain::UserId,
    pub(crate) room: String,
    pub(crate) epoch: u64,
    pub(crate) pump: Pump,
}

impl Talk {
    /// Stops it: who posted, where, in which epoch, and what was acknowledged.
    pub(crate) fn end(self) -> (lynk_domain::UserId, String, u64, Acked) {
        let Self { user, room, epoch, pump } = self;
        let (chatter, acked) = pump.stop();
        drop(chatter);
        (user, room, epoch, acked)
    }

    pub(crate) fn start(server: &Server) -> Self {
        let mut chatter = Chatter::sign_in(server);
        let (user, room) = (chatter.user, chatter.create());
        let mut other = Chatter::sign_in(server);
        other.join(&room);
        let first = chatter.say(&room, "to be edited");
        let (edit, seq) = (crate::support::key().to_string(), first["seq"].clone());
        let edited =
            chatter.ask(json!({"op": "edit", "room": room, "key": edit, "seq": seq, "text": "edited"}));
        assert_eq!(edited["ev"], "ok", "{edited}");
        let react = crate::support::key().to_string();
        let reacted = other
            .ask(json!({"op": "react", "room": room, "key": react, "seq": seq, "emoji": "👍", "on": true}));
        assert_eq!(reacted["ev"], "ok", "{reacted}");
        let epoch = chatter.subscribe(&room)["epoch"].as_u64().expect("a number");
        Self { user, epoch, pump: Pump::start(chatter, &room), room }
    }
}

/// The messages of a room as a server has them now, after the first, which was edited.
pub(crate) fn kept(server: &Server, user: lynk_domain::UserId, room: &str) -> Acked {
    let mut reader = Chatter::sign_in_as(server, user, json!([]));
    let mut log: Vec<Value> = reader.log(room, 0);
    log.retain(|event| event["ev"] == "message");
    let first = log.remove(0);
    assert_eq!(first["text"], "edited", "{first}");
    assert_eq!(first["reactions"].as_array().map(Vec::len), Some(1), "{first}");
    let pair = |event: &Value| {
        let text = event["text"].as_str().expect("a text").to_owned();
        (event["seq"].as_u64().expect("a number"), text)
    };
    log.iter().map(pair).collect()
}

/// Asserts that a restored room holds what was acknowledged up to some moment at or after `least` messages, once each, and nothing else; that
/// cursors of its former life are reset; and that it goes on.
pub(crate) fn assert_restored(
    server: &Server,
    (user, room, epoch): (lynk_domain::UserId, &str, u64),
    acked: &Acked,
    least: usize,
) {
    let found = kept(server, user, room);
    assert!(found.len() >= least, "{} of the {least} that were acknowledged before", found.len());
    assert_eq!(found[..], acked[..found.len()], "a message is missing, double, or another one");
    let mut chatter = Chatter::sign_in_as(server, user, json!([]));
    let seq = found.last().map_or(0, |(seq, _)| *seq);
    let old = chatter.ask(json!({"op": "subscribe", "room": room, "epoch": epoch, "seq": seq}));
    assert_eq!(old["events"][0]["reason"], "reset", "{old}");
    let now = old["epoch"].as_u64().expect("a number");
    assert!(now > epoch, "{old}");
    let ok = chatter.say(room, "after the restore");
    assert!(ok["seq"].as_u64().expect("a number") > seq, "{ok}");
    let again = Chatter::sign_in_as(server, user, json!([]))
        .ask(json!({"op": "subscribe", "room": room, "epoch": now, "seq": seq}));
    assert_eq!(again["events"][0]["text"], "after the restore", "{again}");
}
