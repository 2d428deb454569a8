//! What the client makes of the server's answers.

use lynk_domain::UserId;
use serde_json::{Value, json};

/// The event that others are told when an own command took effect; this connection is told the `ok` instead.
pub(super) fn own_event(op: &str, command: &Value, ok: &Value, me: UserId) -> Option<Value> {
    let seq = ok.get("seq")?.as_u64()?;
    let ev = match op {
        "send" => "message",
        "react" => "reaction",
        "edit" | "delete" | "role" => op,
        "kick" => "kicked",
        "ban" => "banned",
        "unban" => "unbanned",
        "mute" => "muted",
        "unmute" => "unmuted",
        "invite" => "joined",
        _ => "other",
    };
    let mut event = json!({"ev": ev, "own": true, "room": ok["room"], "seq": seq, "from": me.to_string()});
    for field in ["n", "id", "time"] {
        if let Some(value) = ok.get(field) {
            event[field] = value.clone();
        }
    }
    for field in ["text", "emoji", "on", "user", "role", "reason", "reply_to"] {
        if let Some(value) = command.get(field) {
            event[field] = value.clone();
        }
    }
    if let Some(target) = command.get("seq") {
        event["target"] = target.clone();
    }
    Some(event)
}

/// Milliseconds since the epoch of a time as the server writes it: `2026-11-23T17:48:51.123Z`.
pub(super) fn parse_time(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1_970 {
        return None;
    }
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era_days = year / 400 * 146_097;
    let of_era = year % 400;
    let days =
        era_days + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    Some(seconds * 1_000 + number(20..23)?)
}

#[cfg(test)]
mod tests {
    use lynk_domain::Millis;

    use super::*;

    #[test]
    fn the_servers_times_parse() {
        for millis in [0, 951_782_400_000, 1_709_251_199_999, 1_795_456_131_123, 4_107_542_400_000] {
            let mut text = Vec::new();
            lynk_protocol::write_time(&mut text, Millis(millis));
            assert_eq!(parse_time(std::str::from_utf8(&text).expect("ASCII")), Some(millis));
        }
        assert_eq!(parse_time("soon"), None);
    }
}
