//! Reading the few fields that matter out of server frames, without a JSON parser on the hot path, and writing
//! commands. The server writes its fields in a fixed order and escapes text, so a field name in quotes followed by
//! a colon before the text field is the field.

use lynk_domain::{Key, RoomId, uuid_v7};

/// What a frame is, as far as the generator cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen<'a> {
    /// A message with its seq and its text.
    Message { seq: u64, text: &'a str },
    /// An acknowledgement.
    Ok { re: u64, seq: u64 },
    /// A refusal.
    Error { re: u64, code: &'a str },
    /// The answer to a subscription.
    Subscribed { top: u64 },
    /// The connection was too slow: events are missing on the wire on purpose.
    Resync,
    /// Another event that took a seq.
    Event { seq: u64 },
    /// Anything else.
    Other,
}

fn after<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    memchr::memmem::find(json.as_bytes(), name.as_bytes()).map(|at| &json[at + name.len()..])
}

fn number(json: &str, name: &str) -> u64 {
    after(json, name).map_or(0, |rest| {
        rest.bytes()
            .take_while(u8::is_ascii_digit)
            .fold(0u64, |n, d| n.wrapping_mul(10).wrapping_add(u64::from(d - b'0')))
    })
}

fn text<'a>(json: &'a str, name: &str) -> &'a str {
    after(json, name).map_or("", |rest| &rest[..memchr::memchr(b'"', rest.as_bytes()).unwrap_or(rest.len())])
}

/// Classifies one server frame.
pub(crate) fn see(json: &str) -> Seen<'_> {
    match text(json, "{\"ev\":\"") {
        "message" => Seen::Message { seq: number(json, "\"seq\":"), text: text(json, "\"text\":\"") },
        "ok" => Seen::Ok { re: number(json, "\"re\":"), seq: number(json, "\"seq\":") },
        "error" => Seen::Error { re: number(json, "\"re\":"), code: text(json, "\"code\":\"") },
        "subscribed" => Seen::Subscribed { top: number(json, "\"top\":") },
        "resync" => Seen::Resync,
        "typing" | "read" | "delivered" | "presence" | "gap" | "draining" => Seen::Other,
        _ => match number(json, "\"seq\":") {
            0 => Seen::Other,
            seq => Seen::Event { seq },
        },
    }
}

/// Makes idempotency keys: UUIDv7 with a counter, unique within and between runs.
pub(crate) struct Keys {
    base: [u8; 10],
    count: u64,
}

impl Keys {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut base = [0; 10];
        getrandom::fill(&mut base).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        Ok(Self { base, count: 0 })
    }

    pub(crate) fn next(&mut self) -> Key {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        self.count += 1;
        let mut random = self.base;
        random[3..10].copy_from_slice(&self.count.to_be_bytes()[1..]);
        Key(uuid_v7(wall, random))
    }
}

/// A `send` whose text begins with the intended time in nanoseconds, padded to `payload` bytes.
pub(crate) fn send(re: u64, room: RoomId, key: Key, intended_nanos: u64, payload: usize) -> String {
    let mut command = format!(
        "{{\"id\":{re},\"op\":\"send\",\"room\":\"{room}\",\"key\":\"{key}\",\"text\":\"{intended_nanos:016x}"
    );
    command.extend(std::iter::repeat_n('x', payload.saturating_sub(16)));
    command.push_str("\"}");
    command
}

/// The intended time at the front of a text that [`send`] wrote.
pub(crate) fn intended(text: &str) -> Option<u64> {
    u64::from_str_radix(text.get(..16)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_matter_are_found() {
        let message = r#"{"ev":"message","room":"r","seq":12,"n":3,"id":"i","from":"u","time":"t","text":"00000000000000ffxx"}"#;
        assert_eq!(see(message), Seen::Message { seq: 12, text: "00000000000000ffxx" });
        assert_eq!(intended("00000000000000ffxx"), Some(255));
        assert_eq!(see(r#"{"ev":"ok","re":4,"room":"r","seq":9}"#), Seen::Ok { re: 4, seq: 9 });
        assert_eq!(
            see(r#"{"ev":"error","re":4,"code":"busy","message":"m"}"#),
            Seen::Error { re: 4, code: "busy" }
        );
        assert_eq!(see(r#"{"ev":"joined","room":"r","seq":2}"#), Seen::Event { seq: 2 });
        assert_eq!(
            see(r#"{"ev":"subscribed","re":1,"room":"r","epoch":0,"top":7}"#),
            Seen::Subscribed { top: 7 }
        );
    }

    #[test]
    fn keys_differ_and_are_version_seven() {
        let mut keys = Keys::new().expect("random numbers");
        let (a, b) = (keys.next(), keys.next());
        assert_ne!(a, b);
        assert!(a.v7_millis().is_some() && b.v7_millis().is_some());
    }
}
