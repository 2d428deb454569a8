//! From an encoded error back to what it answers.

use lynk_domain::RoomId;
use serde::Deserialize;

use super::envelope::Id;

/// Which command an encoded error answers: its `re`, and the room that it names. `None` for what is no error.
#[must_use]
pub fn refused_command(answer: &[u8]) -> Option<(u64, Option<RoomId>)> {
    #[derive(Deserialize)]
    struct Error {
        re: u64,
        room: Option<Id>,
    }
    if !answer.starts_with(br#"{"ev":"error""#) {
        return None;
    }
    let error: Error = serde_json::from_slice(answer).ok()?;
    Some((error.re, error.room.map(|room| RoomId(room.0))))
}
