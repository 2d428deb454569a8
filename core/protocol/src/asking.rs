//! Finding rooms and asking to be let in: where a page of public rooms goes on, and what is told of a request; and what is told of a report.

use lynk_domain::{RoomId, UserId};

use crate::Json;

/// Longest form of a name in a cursor, in bytes: 64 characters.
const LISTED_BYTES_MAX: usize = 256;

/// Where a page of public rooms ended: 32 hexadecimal digits of the last room's id, and the form of its name. For clients it is a text
/// without a meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoverCursor {
    /// The last room.
    pub room: RoomId,
    /// The form of its name.
    pub listed: String,
}

impl DiscoverCursor {
    /// The cursor of a text; `None` for a text of another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, listed) = text.split_at_checked(32)?;
        if listed.len() > LISTED_BYTES_MAX
            || listed.chars().any(char::is_control)
            || !digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return None;
        }
        let room = RoomId(u128::from_str_radix(digits, 16).ok()?.to_be_bytes());
        Some(Self { room, listed: listed.to_owned() })
    }

    /// The cursor as text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:032x}{}", u128::from_be_bytes(self.room.0), self.listed)
    }
}

/// `{"ev":"join_request","room":…,"user":…,"state":…}`, without a seq: somebody asks, or was declined.
pub fn encode_join_request(out: &mut Vec<u8>, room: RoomId, user: UserId, state: &str) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("join_request").key("room").id(&room.0).key("user").id(&user.0);
    json.key("state").text(state).close(b'}');
}

/// `{"ev":"report","room":…,"number":…,"state":…}`, without a seq: a report is open, or was resolved.
pub fn encode_report_news(out: &mut Vec<u8>, room: RoomId, number: u64, state: &str) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("report").key("room").id(&room.0).key("number").number(number);
    json.key("state").text(state).close(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        for listed in ["", "the cafe", "田中"] {
            let cursor = DiscoverCursor { room: RoomId([0x0f; 16]), listed: listed.to_owned() };
            assert_eq!(cursor.text(), format!("{}{listed}", "0f".repeat(16)));
            assert_eq!(DiscoverCursor::parse(&cursor.text()), Some(cursor));
        }
        let long = "0".repeat(32 + LISTED_BYTES_MAX + 1);
        let control = format!("{}\0", "0f".repeat(16));
        for bad in ["", "0f", &control, &"0f".repeat(16)[1..], &"+f".repeat(16), &"é".repeat(16), &long] {
            assert_eq!(DiscoverCursor::parse(bad), None, "{bad}");
        }
    }
}
