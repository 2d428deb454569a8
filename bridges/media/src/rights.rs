//! Who may read a file: its owner until it is attached; then whoever may see what it is attached to. A picture of an account is for whoever may see
//! the profile, one of a room for whoever may see the room, also through a link into it.
//!
//! Thread: the API's runtime. A room is asked in the name of the reader, on the shard that owns it, by the commands that a socket has: so a member
//! who was removed a moment ago is none. What is hidden is answered as what is not there. What can fail: the room cannot be asked; the reader comes
//! back.

use lynk_api::{ApiError, Shards};
use lynk_domain::{Millis, RoomId, Seq};
use lynk_engine::Principal;
use lynk_model::media::{Media, MediaState, Purpose};
use lynk_protocol::{ErrorCode, write_time};
use serde_json::{Map, Value, json};

use crate::{MediaApi, missing};

/// Who reads, until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) principal: Principal,
    pub(crate) expires: Millis,
}

/// Asks a room in somebody's name.
pub(crate) async fn ask(shards: &Shards, reader: Reader, command: Value) -> Result<Value, ApiError> {
    let Value::Object(fields) = command else { return Err(ErrorCode::Internal.into()) };
    let fields: Map<String, Value> = fields;
    let frame = shards.ask(reader.principal, reader.expires, fields).await?;
    serde_json::from_slice(frame.payload()).map_err(|_| ErrorCode::Internal.into())
}

/// What a room is, as `reader` may know it.
pub(crate) async fn about(shards: &Shards, reader: Reader, room: RoomId) -> Result<Value, ApiError> {
    ask(shards, reader, json!({"op": "about", "room": room.to_string()})).await
}

/// Whether `reader` may have a file's bytes now, perhaps by the code of a link into its room.
pub(crate) async fn may_read(
    state: &MediaApi,
    reader: Reader,
    media: &Media,
    code: Option<&str>,
) -> Result<(), ApiError> {
    let shards = &state.authority.shards;
    let own = media.owner == reader.principal.user;
    match media.state {
        MediaState::Ready => {}
        MediaState::Pending | MediaState::Scanning if own => {
            let why = "the file is awaited or looked at; come back";
            return Err(ApiError::because(ErrorCode::AttachmentNotReady, why));
        }
        _ => return Err(missing()),
    }
    let Some(attached) = media.attached else {
        return if own { Ok(()) } else { Err(missing()) };
    };
    match media.purpose {
        Purpose::Attachment => {
            in_room(shards, reader, media.room, Some(attached.at)).await?;
            match media.leaves {
                Some(with) => stands(shards, reader, media.room, with).await,
                None => Ok(()),
            }
        }
        Purpose::RoomAvatar => match (in_room(shards, reader, media.room, None).await, code) {
            (Err(error), Some(code)) if !error.code.retryable() => {
                through_link(shards, reader, media.room, code).await
            }
            (seen, _) => seen,
        },
        Purpose::Avatar if own => Ok(()),
        Purpose::Avatar => {
            let apart = state.blocks.across(reader.principal.user, &[media.owner]).await?;
            if apart.is_empty() { Ok(()) } else { Err(missing()) }
        }
    }
}

/// Whether a code lets one look into a room.
async fn through_link(shards: &Shards, reader: Reader, room: RoomId, code: &str) -> Result<(), ApiError> {
    let seen = ask(shards, reader, json!({"op": "look", "code": code})).await.map_err(hidden)?;
    if seen["room"] == room.to_string() { Ok(()) } else { Err(missing()) }
}

/// Whether `reader` may see a room; with a time, what was said in it then.
async fn in_room(
    shards: &Shards,
    reader: Reader,
    room: RoomId,
    said: Option<Millis>,
) -> Result<(), ApiError> {
    let about = about(shards, reader, room).await.map_err(hidden)?;
    let Some(said) = said else { return Ok(()) };
    if about["role"].is_null() {
        return Err(missing());
    }
    if about["visibility"] != "since_join" {
        return Ok(());
    }
    // What was said before one came is a gap; the first that is told behind it is that one came. Times are of one form, so they compare as text.
    let asked = json!({"op": "history", "room": room.to_string(), "at": said.0, "all": true, "limit": 2});
    let page = ask(shards, reader, asked).await.map_err(hidden)?;
    let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(first) = events.first() else { return Ok(()) };
    if first["ev"] != "gap" || first["reason"] != "not_visible" {
        return Ok(());
    }
    let mut then = Vec::new();
    write_time(&mut then, said);
    let came = events.iter().find_map(|event| event["time"].as_str());
    if came.is_some_and(|came| came.as_bytes() <= &then[..]) { Ok(()) } else { Err(missing()) }
}

/// Whether the message stands with which a file leaves. That is noted before a delete, and a process may end before the file is over; so what it is
/// noted for is looked at. Of files that leave for their age it is the last message of those that go: once that is gone, theirs is.
async fn stands(shards: &Shards, reader: Reader, room: RoomId, seq: Seq) -> Result<(), ApiError> {
    let after = seq.0.saturating_sub(1);
    let asked = json!({"op": "history", "room": room.to_string(), "after": after, "all": true, "limit": 1});
    let page = ask(shards, reader, asked).await.map_err(hidden)?;
    let there = page["events"].as_array().and_then(|events| events.first());
    let stands = there.is_some_and(|event| event["ev"] != "gap" && event.get("deleted").is_none());
    if stands { Ok(()) } else { Err(missing()) }
}

/// A refusal that tells nothing of what is there.
fn hidden(error: ApiError) -> ApiError {
    if error.code.retryable() || error.code == ErrorCode::Internal { error } else { missing() }
}
