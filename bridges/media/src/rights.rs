//! Who may read a file: its owner until it is attached; then whoever may see what it is attached to. A picture of an account is for whoever may see
//! the profile, one of a room for whoever may see the room, also through a link into it.
//!
//! Thread: the API's runtime. A room is asked in the name of the reader, on the shard that owns it, by the commands that a socket has: so a member
//! who was removed a moment ago is none. What is hidden is answered as what is not there. What can fail: the room cannot be asked; the reader comes
//! back.

use lynk_api::{ApiError, Shards};
use lynk_domain::{MediaId, Millis, RoomId, Seq};
use lynk_engine::Principal;
use lynk_model::media::{Media, MediaState, Purpose};
use lynk_protocol::ErrorCode;
use serde_json::{Map, Value, json};

use crate::{MediaApi, missing};

/// Messages among which that of a file is looked for of which it is not noted yet.
const SEARCHED: u32 = 100;

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
        Purpose::Attachment => is_said(shards, reader, media, attached.at).await,
        Purpose::RoomAvatar => {
            match (about(shards, reader, media.room).await.map_err(hidden).map(drop), code) {
                (Err(error), Some(code)) if !error.code.retryable() => {
                    through_link(shards, reader, media.room, code).await
                }
                (seen, _) => seen,
            }
        }
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

/// Whether a message that `reader` is shown has a file. It is read as any member reads it: one that is deleted or removed says no files, and what
/// was said before the reader joined, where that is hidden, is not told. A file of which nothing was noted yet is looked for where it was attached:
/// its message comes at once behind, or it is found by the look for such files.
async fn is_said(shards: &Shards, reader: Reader, media: &Media, attached: Millis) -> Result<(), ApiError> {
    let room = media.room.to_string();
    let asked = match media.seq {
        Some(Seq(seq)) => {
            json!({"op": "history", "room": room, "after": seq.saturating_sub(1), "all": true, "limit": 1})
        }
        None => json!({"op": "history", "room": room, "at": attached.0, "limit": SEARCHED}),
    };
    let page = ask(shards, reader, asked).await.map_err(hidden)?;
    let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_said = events.iter().any(|event| event["ev"] == "message" && says(event, media.id));
    if is_said { Ok(()) } else { Err(missing()) }
}

/// Whether a message says a file.
fn says(message: &Value, file: MediaId) -> bool {
    let files = message["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    files.iter().any(|said| said["id"].as_str().and_then(MediaId::parse) == Some(file))
}

/// A refusal that tells nothing of what is there.
fn hidden(error: ApiError) -> ApiError {
    if error.code.retryable() || error.code == ErrorCode::Internal { error } else { missing() }
}
