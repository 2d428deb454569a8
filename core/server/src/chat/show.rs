//! What the terminal client tells, for people and for programs.

use serde_json::{Value, json};

use crate::people::name_of;
use lynk_domain::UserId;

/// One thing to tell.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Show {
    /// Signed in, all rooms resumed.
    Online(UserId),
    /// Not connected; why, and milliseconds until the next attempt.
    Offline(String, u64),
    /// Entered a room: its id, name and the server's `subscribed`.
    Entered(String, String, Value),
    /// A durable event or a gap, in order: the room's name and the event. The flag: from the past, asked for.
    Event(String, Value, bool),
    /// An own command was acknowledged: what it was, and the `ok`.
    Acked(Value, Value),
    /// Typing, receipts, presence: the room's name and the event.
    Passing(String, Value),
    /// An answer to a question: its name and the reply.
    Answer(&'static str, Value),
    /// A command was refused: what it was and the error.
    Refused(String, Value),
    /// A line of input that is no command: what is wrong with it.
    Unread(String),
    /// Something to know.
    Note(String),
}

/// A line for a program: one JSON object.
pub(crate) fn json_line(show: &Show) -> String {
    let value = match show {
        Show::Online(user) => json!({"type": "online", "user": user.to_string()}),
        Show::Offline(why, millis) => json!({"type": "offline", "why": why, "retry_after_ms": millis}),
        Show::Entered(id, name, reply) => json!({
            "type": "entered", "room": id, "name": name, "top": reply["top"], "members": reply["members"]
        }),
        Show::Event(name, event, past) => {
            json!({"type": "event", "room_name": name, "past": past, "event": event})
        }
        Show::Acked(command, ok) => json!({"type": "acked", "command": command, "ok": ok}),
        Show::Passing(name, event) => json!({"type": "passing", "room_name": name, "event": event}),
        Show::Answer(what, reply) => json!({"type": "answer", "to": what, "reply": reply}),
        Show::Refused(what, error) => json!({"type": "refused", "command": what, "error": error}),
        Show::Unread(why) => json!({"type": "unread", "why": why}),
        Show::Note(note) => json!({"type": "note", "text": note}),
    };
    format!("{value}\n")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn person(value: &Value, field: &str) -> String {
    UserId::parse(text(value, field)).map_or_else(|| "?".to_owned(), name_of)
}

/// Control characters of others must not reach the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn clock(event: &Value) -> &str {
    text(event, "time").get(11..16).unwrap_or("--:--")
}

/// A line for people; `None` for what they need not see.
pub(crate) fn text_line(show: &Show) -> Option<String> {
    Some(match show {
        Show::Online(user) => format!("* connected as {}\n", name_of(*user)),
        Show::Offline(why, millis) => {
            format!("* not connected ({}); trying again in {:.1} s\n", clean(why), *millis as f64 / 1e3)
        }
        Show::Entered(_, name, reply) => {
            let unread = reply["unread"]
                .as_u64()
                .filter(|n| *n > 0)
                .map_or(String::new(), |n| format!(", {n} unread"));
            format!("* you are in {} ({} members{unread})\n", clean(name), reply["members"])
        }
        Show::Event(name, event, _) => format!("{}\n", event_line(name, event)?),
        Show::Acked(..) => return None,
        Show::Passing(name, event) => match text(event, "ev") {
            "typing" if event["on"] == true => {
                format!("* {} is typing in {}\n", person(event, "user"), clean(name))
            }
            "presence" => {
                let state = if event["online"] == true { "here" } else { "gone" };
                format!("* {} is {state}\n", person(event, "user"))
            }
            _ => return None,
        },
        Show::Answer(what, reply) => answer(what, reply),
        Show::Refused(what, error) => {
            format!("! {what}: {} ({})\n", clean(text(error, "message")), text(error, "code"))
        }
        Show::Unread(why) => format!("! {why}\n"),
        Show::Note(note) => format!("{}\n", note.trim_end()),
    })
}

fn event_line(name: &str, event: &Value) -> Option<String> {
    let seq = event["seq"].as_u64().unwrap_or(0);
    let from = person(event, "from");
    let user = person(event, "user");
    let what = match text(event, "ev") {
        "message" if event.get("deleted").is_some() => format!("{from}: (deleted)"),
        "message" => {
            let edited = if event.get("edited").is_some() { " (edited)" } else { "" };
            let answer = event["reply_to"].as_u64().map_or(String::new(), |to| format!("↩{to} "));
            format!("{from}: {answer}{}{edited}", clean(text(event, "text")))
        }
        "edit" => format!("{from} changed {} to: {}", event["target"], clean(text(event, "text"))),
        "delete" => format!("{from} deleted {}", event["target"]),
        "reaction" if event["on"] == false => {
            format!("{from} took {} back from {}", clean(text(event, "emoji")), event["target"])
        }
        "reaction" => format!("{from} put {} on {}", clean(text(event, "emoji")), event["target"]),
        "created" => format!("{from} made the room {}", clean(text(event, "name"))),
        "joined" => format!("{user} joined"),
        "left" => format!("{user} left"),
        "kicked" | "banned" | "muted" | "unbanned" | "unmuted" => {
            format!("{from} {} {user} {}", text(event, "ev"), clean(text(event, "reason")))
                .trim_end()
                .to_owned()
        }
        "role" => format!("{from} made {user} {}", text(event, "role")),
        "transferred" => format!("{from} handed the room to {user}"),
        "pinned" => {
            format!("{from} {} {}", if event["on"] == false { "unpinned" } else { "pinned" }, event["target"])
        }
        "settings" => format!("{from} changed the settings"),
        "gap" => {
            return Some(format!(
                "[{}] … {} to {} are not available: {}",
                clean(name),
                event["from"],
                event["to"],
                text(event, "reason")
            ));
        }
        _ => return None,
    };
    Some(format!("{} [{} {seq}] {what}", clock(event), clean(name)))
}

fn answer(what: &str, reply: &Value) -> String {
    let list = ["users", "members", "rooms", "online", "sample"]
        .iter()
        .find_map(|field| reply.get(*field)?.as_array());
    let mut out = format!("* {what}:");
    if let Some(count) = reply.get("count").and_then(Value::as_u64) {
        out += &format!(" {count}");
    }
    for item in list.into_iter().flatten() {
        let user = item
            .as_str()
            .map(str::to_owned)
            .or_else(|| Some(text(item, "user").to_owned()).filter(|u| !u.is_empty()));
        match user.and_then(|user| UserId::parse(&user)) {
            Some(user) => {
                let role = Some(text(item, "role"))
                    .filter(|role| !role.is_empty())
                    .map_or(String::new(), |r| format!(" ({r})"));
                out += &format!(" {}{role}", name_of(user));
            }
            None => {
                out += &format!(
                    "\n    {} {} unread {}",
                    text(item, "room"),
                    clean(text(item, "name")),
                    item["unread"]
                )
            }
        }
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::user_of;

    #[test]
    fn a_message_is_told_with_its_author_and_without_control_characters() {
        let alice = user_of("alice").expect("a name").to_string();
        let event = json!({"ev": "message", "seq": 7, "from": alice, "time": "2026-11-23T17:48:51.123Z", "text": "hi\u{1b}[2J"});
        let line = text_line(&Show::Event("lobby".to_owned(), event.clone(), false)).expect("a line");
        assert_eq!(line, "17:48 [lobby 7] alice: hi\u{fffd}[2J\n");
        let parsed: Value =
            serde_json::from_str(&json_line(&Show::Event("lobby".to_owned(), event, false))).expect("JSON");
        assert_eq!(parsed["event"]["seq"], 7);
    }
}
