//! The look at files that are attached for messages: whether the message is there, and still says them.
//!
//! A file is attached before its message is ordered, and given back after its delete is in the log; a refusal or the end of the process in
//! between leaves it with a message that never came, or that is deleted. Each look takes some files ([`Files::attached`]) and goes by the message log
//! alone: what that has is there to stay. A file whose message is deleted or removed, or says other files, is over; so is one without a message,
//! once its key is too old for one to come.
//!
//! That there is none is said only after all that the room has was read. Times do not tell where it would be: clocks are set back and forth.
//!
//! Limits: [`FILES_LOOKED_AT`] files of each kind in one look, and [`SEARCHED_MAX`] messages in which those are searched whose key is forgotten: in a
//! room with more than that the file stays. What can fail: the message log; whoever keeps files, which is left to a later
//! look.

use lynk_domain::{Millis, Seq};

use crate::port::{AttachedFile, Files, MessageStore};
use crate::{PageQuery, StoreError, StoredBody};

/// Files of each kind in one look.
const FILES_LOOKED_AT: u32 = 64;
/// Messages that are read in one look to find those of files.
const SEARCHED_MAX: usize = 8_192;
/// Messages that are read at a time.
const SEARCH_PAGE: u32 = 256;
/// How old a key is at least of which no message is said to come any more: a drain may lag, a clock be wrong, and keys may have lived longer once.
const KEY_LIFE_LEAST_MILLIS: u64 = 7 * DAY_MILLIS;
/// How much later than its key allows a message may be in the log.
const SLACK_MILLIS: u64 = DAY_MILLIS;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// What is known of a file's message.
enum Message {
    /// It is here, and says the file.
    At(Seq),
    /// It is deleted or removed, or none can come any more.
    None,
    /// That cannot be told now.
    Unknown,
}

/// Looks at some files.
pub(super) async fn look_at_files<M: MessageStore>(
    messages: &M,
    files: &dyn Files,
    now: Millis,
    key_life: u64,
) -> Result<(), StoreError> {
    // What this fails for is counted by whoever keeps files, and done by a later look.
    let Ok(some) = files.attached(FILES_LOOKED_AT).await else { return Ok(()) };
    let mut left = SEARCHED_MAX;
    for file in some {
        match message_of(messages, &file, (now, key_life), &mut left).await {
            Ok(Message::At(seq)) if file.seq != Some(seq) => {
                let _later = files.posted(file.room, file.key, &[file.id], seq).await;
            }
            Ok(Message::None) => {
                let _later = files.release(file.room, &[file.id]).await;
            }
            // What cannot be read keeps nothing else from being looked at.
            Ok(Message::At(_) | Message::Unknown) | Err(StoreError::Corrupt) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn message_of<M: MessageStore>(
    messages: &M,
    file: &AttachedFile,
    (now, key_life): (Millis, u64),
    left: &mut usize,
) -> Result<Message, StoreError> {
    let head = messages.head(file.room).await?;
    let known = match file.seq {
        Some(seq) => Some(seq),
        None => {
            let used = messages.find_key(file.room, file.owner, file.key).await?;
            // Without an ordinal it is the key of something else, which keeps a message from having it.
            used.filter(|used| used.n.0 > 0 && used.seq > Seq(0)).map(|used| used.seq)
        }
    };
    if let Some(seq) = known {
        if seq <= head.floor {
            return Ok(Message::None);
        }
        // One that is not in the log yet will be.
        let Some(event) = messages.event(file.room, seq).await? else { return Ok(Message::Unknown) };
        return Ok(if says(&event.body, file) { Message::At(seq) } else { Message::None });
    }
    // Keys of messages tell when they were made.
    let Some(made) = file.key.v7_millis() else { return Ok(Message::Unknown) };
    let last = made.saturating_add(key_life.max(KEY_LIFE_LEAST_MILLIS));
    if last.saturating_add(SLACK_MILLIS) > now.0 {
        return Ok(Message::Unknown);
    }
    search(messages, file, (head.floor.next(), head.top), left).await
}

/// Whether a message says a file. One that is deleted says nothing.
fn says(body: &StoredBody, file: &AttachedFile) -> bool {
    matches!(body, StoredBody::Message(view) if view.parts.media().any(|id| id == file.id))
}

/// Reads all that was said and stands.
async fn search<M: MessageStore>(
    messages: &M,
    file: &AttachedFile,
    (first, to): (Seq, Seq),
    left: &mut usize,
) -> Result<Message, StoreError> {
    if to == Seq(0) {
        // A room without any event is not one whose log this is.
        return Ok(Message::Unknown);
    }
    let mut from = first;
    while from <= to {
        let limit = u32::try_from(*left).unwrap_or(u32::MAX).min(SEARCH_PAGE);
        if limit == 0 {
            return Ok(Message::Unknown);
        }
        let room = file.room;
        let query = PageQuery { room, from, to, backward: false, limit, bytes: u32::MAX, all: false };
        let page = messages.page(&query).await?;
        *left = left.saturating_sub(page.events.len());
        if let Some(found) = page.events.iter().find(|event| says(&event.body, file)) {
            return Ok(Message::At(found.seq));
        }
        match page.events.last() {
            Some(_) if page.more => from = page.covers_to.min(to).next(),
            // A page that goes on and has nothing would be asked for again for ever.
            None if page.more => return Ok(Message::Unknown),
            _ => break,
        }
    }
    Ok(Message::None)
}
