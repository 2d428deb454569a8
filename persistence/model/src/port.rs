//! The ports that a store implements. Called on a bridge thread; they may block there.

mod accounts;
mod dump;
mod ephemeral;
mod erasures;
mod events;
mod factors;
mod files;
mod media;
mod notify;

pub use accounts::AccountStore;
pub use dump::{
    AccountDump, AccountFill, Dump, Fill, MarkOf, MediaDump, MediaFill, MessageDump, NotifyDump, NotifyFill,
    PageOf, RoomDump, RoomFill, key_of,
};
pub use ephemeral::{
    Call, Ephemeral, Kept, NewCode, NewOnce, ONCE_PER_OWNER_MAX, OnceKind, PRESENCE_PER_CALL_MAX, Seen, Tried,
};
pub use erasures::ErasureStore;
pub use events::EventSink;
pub use factors::FactorStore;
pub use files::{AttachedFile, Files, FilesAnswer, NoFiles};
pub use media::MediaStore;
pub use notify::{Audience, Delivered, NotifyStore, PushNote, PushSender};

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lynk_domain::{Key, Lsn, MediaId, Millis, Ordinal, RoomId, Seq, UserId};

use crate::request::FoundKey;
use crate::row::MessageState;
use crate::{
    Act, Body, DirectFrom, DiscoverQuery, Discovered, ListQuery, Listed, LoadedRoom, Membership, Mentions,
    MetaOutcome, MetaTransaction, OwnRequest, PageQuery, PageReply, Parts, ReadState, Record, RecordKind,
    Report, ReportQuery, RoomHead, RoomWish, SourceId, StoreError, StoredEvent,
};

/// Hash of what a `send` says, kept with its key: FNV-1a over reply_to, text, and the other parts if there are any; of files their
/// ids, which is what the command has of them. Part of the stored format.
#[must_use]
pub fn content_hash(reply_to: Seq, text: &str, parts: &Parts) -> u64 {
    let hash = said(fnv(&[&reply_to.0.to_le_bytes(), text.as_bytes()]), &parts.mentions);
    if parts.attachments.is_empty() { hash } else { carried(hash, parts.media()) }
}

/// [`content_hash`] of a `send` whose files are known by their ids only.
#[must_use]
pub fn command_hash(reply_to: Seq, text: &str, parts: &Parts, files: &[MediaId]) -> u64 {
    let hash = content_hash(reply_to, text, parts);
    if files.is_empty() { hash } else { carried(hash, files.iter().copied()) }
}

/// Goes on hashing with what is said beside a text. No text holds the byte between the two.
fn said(hash: u64, mentions: &Mentions) -> u64 {
    if mentions.is_empty() {
        return hash;
    }
    // With the number of parts that there was when there were no others.
    let mut bytes = vec![0xff, 1];
    mentions.encode(&mut bytes);
    fnv_from(hash, &[&bytes])
}

/// Goes on hashing with files. No text holds the byte before them, and it is not the one before mentions.
fn carried(hash: u64, files: impl Iterator<Item = MediaId>) -> u64 {
    files.fold(fnv_from(hash, &[&[0xfe]]), |hash, file| fnv_from(hash, &[&file.0]))
}

/// Hash of what a command says, kept with its key: [`content_hash`] of a message, FNV-1a over kind, target and content of
/// a change. `None` for metadata, whose event does not say all that the command said. Part of the stored format.
#[must_use]
pub fn body_hash(body: &Body<'_>) -> Option<u64> {
    let change = |kind: RecordKind, target: &Seq, rest: &[&[u8]]| {
        let (kind, target) = ([kind as u8], target.0.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![&kind, &target];
        parts.extend(rest);
        Some(fnv(&parts))
    };
    match body {
        Body::Message { reply_to, text, parts, .. } => Some(content_hash(*reply_to, text, parts)),
        Body::Edit { target, text, parts } => {
            // Its files are those of the message, not of the command.
            change(RecordKind::Edit, target, &[text.as_bytes()]).map(|hash| said(hash, &parts.mentions))
        }
        Body::Delete { target } => change(RecordKind::Delete, target, &[]),
        Body::Reaction { target, on, emoji } => {
            change(RecordKind::Reaction, target, &[&[u8::from(*on)], emoji.as_bytes()])
        }
        Body::Meta { .. } | Body::Intent { .. } | Body::Empty => None,
    }
}

fn fnv(parts: &[&[u8]]) -> u64 {
    fnv_from(0xcbf2_9ce4_8422_2325, parts)
}

fn fnv_from(start: u64, parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .copied()
        .flatten()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What [`MessageStore::count_not_unread`] counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NotUnread {
    /// The user's own messages after the cursor, deleted or not.
    pub own: u64,
    /// Deleted messages of others after the cursor.
    pub deleted: u64,
    /// Position and ordinal of the first message after the cursor.
    pub next: Option<(Seq, Ordinal)>,
}

/// The message log: room, seq → event in its current state.
///
/// Every write is conditional on `rev`: a row changes only when the record's rev is greater than the row's,
/// so any batch may be written again, in any order, and nothing that was deleted comes back. Rows are a function of the
/// set of records applied.
///
/// A store without transactions over a whole batch writes the rows first and the cursor when all of them are durable. Until
/// an append has returned, readers may then see some of its records; all of those are beyond the cursor, so whoever asks
/// joins them in any case ([`Overlay`](crate::Overlay)). An answer made of several rows must be right for whichever of them are there.
///
/// What lies at or below a room's [floor](RoomHead::floor) is removed, at once or little by little: whoever asks for it may still
/// get it. It does not come back to where it was removed, whatever is appended again. Of a key that led there no more may be known
/// than that it was used; positions and intents stay.
#[expect(async_fn_in_trait, reason = "called on a bridge thread by concrete type; no Send bound is wanted")]
pub trait MessageStore {
    /// Writes a batch and, not before any of its rows, the drain cursor of its source: `cursor` is the last lsn
    /// of the batch. Durable when it returns. Whatever happens, a cursor that can be read covers durable rows only.
    ///
    /// # Errors
    /// `Unavailable`: nothing was written; `Unknown`: all, some or nothing was, the cursor only with all: repeat the batch;
    /// `Corrupt`: a payload cannot be decoded, nothing was written.
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError>;

    /// The drain cursor of a source, by its stable name; `Lsn(0)` when it never drained.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError>;

    /// Forgets a source whose journal is gone.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn forget(&mut self, source: &str) -> Result<(), StoreError>;

    /// A page of a room's log. Changes whose message has not arrived are not shown.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn page(&self, query: &PageQuery) -> Result<PageReply, StoreError>;

    /// One event in its current state.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, StoreError>;

    /// The whole state of the message at `seq`, also when only changes of it have arrived; `None` when
    /// nothing has. Records that are not stored yet are applied to it.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn message(&self, room: RoomId, seq: Seq) -> Result<Option<MessageState>, StoreError>;

    /// Messages after `after` that are not unread for `user`, without looking at those in `except`.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn count_not_unread(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
    ) -> Result<NotUnread, StoreError>;

    /// Messages after `after` that mention `user` as they stand now, with their senders: not deleted ones, not the user's own.
    /// The first `limit`, ascending, without looking at those in `except`.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
        limit: u32,
    ) -> Result<Vec<(Seq, UserId)>, StoreError>;

    /// Highest numbers of a room, zeroes when it has no event.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn head(&self, room: RoomId) -> Result<RoomHead, StoreError>;

    /// Read states of a room's members.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn reads(&self, room: RoomId) -> Result<Vec<ReadState>, StoreError>;

    /// The read state of one member; `None` when there is none yet.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn read_state(&self, room: RoomId, user: UserId) -> Result<Option<ReadState>, StoreError> {
        Ok(self.reads(room).await?.into_iter().find(|state| state.user == user))
    }

    /// The event that a key led to. Keys are found for at least 7 days after their event.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn find_key(&self, room: RoomId, sender: UserId, key: Key) -> Result<Option<FoundKey>, StoreError>;

    /// Kicks, bans and mutes of a room that once held before the room store had them, by actor and key; those that it
    /// has now among them. They are kept for about 6 days: less than the keys that tell whether they are done.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn intents(&self, room: RoomId) -> Result<Vec<MetaTransaction>, StoreError>;

    /// Removes some of what lies below floors, in a store that does not do so by itself; whether there was something. Called now and
    /// then.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: the rest is removed later.
    async fn sweep(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// Rooms, members, bans and blocks: the relational side.
#[expect(async_fn_in_trait, reason = "called on a bridge thread by concrete type; no Send bound is wanted")]
pub trait RoomStore {
    /// The relational part of a room; `row` is `None` when it does not exist (`blocks` may still be filled).
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn load(&self, room: RoomId) -> Result<LoadedRoom, StoreError>;

    /// One metadata command: rows, idempotency result, outbox row, and what it is among the acts of moderators, in one transaction.
    ///
    /// # Errors
    /// `Unavailable`: nothing was written; `Unknown`: repeat it with the same key.
    async fn apply(&mut self, tx: &MetaTransaction) -> Result<MetaOutcome, StoreError>;

    /// Hash of the content that a metadata command of `actor` with `key` had; `None` when there was none, or its result
    /// is forgotten.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn result_hash(&self, room: RoomId, actor: UserId, key: Key) -> Result<Option<u64>, StoreError>;

    /// Drops an outbox row and notes the seq of its event. Repeating it is harmless.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn confirm(&mut self, room: RoomId, version: u64, seq: Seq) -> Result<(), StoreError>;

    /// A page of a user's rooms after `after` (nil for the start), ordered by room id; without 1:1s that the user has declined.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn memberships(
        &self,
        user: UserId,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<Membership>, StoreError>;

    /// The room that has a unique name now; names that were given up find nothing. `folded` is the form of
    /// [`crate::fold_name`].
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find_name(&self, folded: &str) -> Result<Option<RoomId>, StoreError>;

    /// Whether a unique name cannot be had at `wall`: a room has it, or gave it up less than
    /// [`NAME_RESERVED_MILLIS`](crate::NAME_RESERVED_MILLIS) ago.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError>;

    /// A page of unique names in an order of the store's own, those that were given up among them. `after` is the last one of the page before,
    /// empty for the start.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError>;

    /// Pairs (who blocks, whom) that name the user on either side.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn blocks(&self, user: UserId) -> Result<Vec<(UserId, UserId)>, StoreError>;

    /// Those of `others` who stand across a block of `user`, either way.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn apart(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError>;

    /// A page of those whom a user blocks, after `after` (nil for the start), ordered by id.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn blocked(&self, by: UserId, after: UserId, limit: u32) -> Result<Vec<UserId>, StoreError>;

    /// Sets whether a user hides from everybody whether they are online.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn set_hidden(&mut self, user: UserId, hidden: bool) -> Result<(), StoreError>;

    /// Those of `users` who hide whether they are online, in their order.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn hidden(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError>;

    /// Whether a room is a 1:1 that a stranger began and that is not accepted.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn awaits(&self, room: RoomId) -> Result<bool, StoreError>;

    /// Sets who may begin a conversation of two with a user. Those that were begun stay.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn set_direct_from(&mut self, user: UserId, from: DirectFrom) -> Result<(), StoreError>;

    /// Who may begin a conversation of two with a user.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn direct_from(&self, user: UserId) -> Result<DirectFrom, StoreError>;

    /// Sets what a member wants to be told of a room. `false` when the user is no member.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn set_wish(&mut self, room: RoomId, user: UserId, wish: RoomWish) -> Result<bool, StoreError>;

    /// Deletes the past of a room for a member up to `seq`, whose last message has the ordinal `n`; never less than before. `false` when
    /// the user is no member.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn clear(&mut self, room: RoomId, user: UserId, seq: Seq, n: Ordinal) -> Result<bool, StoreError>;

    /// A member has written in a room: it counts as one that the member shares with others, whoever added it
    /// ([`MemberRow::by_stranger`](crate::MemberRow::by_stranger)). Of no member it does nothing.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn wrote(&mut self, room: RoomId, user: UserId) -> Result<(), StoreError>;

    /// Forgets the requests of strangers that name a user, who is no more, on either side. 1:1s that were not accepted have no members then;
    /// accepted ones are as any other. To be repeated as often as one likes.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn forget_requests(&mut self, user: UserId) -> Result<(), StoreError>;

    /// A page of rooms after `after` (nil for the start), ordered by id, with the days for which each keeps messages: every room, or
    /// only those that say so.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn retained(
        &self,
        every: bool,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<(RoomId, u32)>, StoreError>;

    /// A page of deleted rooms after `after` (nil for the start), ordered by id, whose last event is not confirmed.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn ending(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError>;

    /// Whether `watcher` may see whether `user` is online: `user` does not hide it, both are members of a room, and neither
    /// blocks the other. A 1:1 that `watcher` opened does not count, or anybody could make one to see it, nor does one that is not
    /// accepted.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn may_see(&self, watcher: UserId, user: UserId) -> Result<bool, StoreError>;

    /// A page of one of a room's lists; of a room that does not exist all are empty.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn list(&self, room: RoomId, query: &ListQuery) -> Result<Listed, StoreError>;

    /// A page of the reports of all rooms.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn reports(&self, query: &ReportQuery) -> Result<Vec<Report>, StoreError>;

    /// Keeps what a moderator did without a metadata command: a message that was deleted. Repeating it is harmless.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    async fn note(&mut self, room: RoomId, act: &Act) -> Result<(), StoreError>;

    /// A page of public rooms, but for those from which who looks is banned.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn discover(&self, query: &DiscoverQuery) -> Result<Vec<Discovered>, StoreError>;

    /// A page of a user's requests that count at `wall`, in rooms after `after` (nil for the start), ordered by room.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn requests_of(
        &self,
        user: UserId,
        after: RoomId,
        wall: Millis,
        limit: u32,
    ) -> Result<Vec<OwnRequest>, StoreError>;
}

/// A failure of a store in words for the operator, without anybody's data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreFault {
    /// What kind, from a fixed list of the store.
    pub kind: &'static str,
    /// What the system said.
    pub detail: String,
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// A store that remembers why its last call failed: a [`StoreError`] only says what the caller must do.
pub trait LastFault {
    /// The last failure of this handle since it was asked for, if there was one and it is known.
    fn last_fault(&self) -> Option<StoreFault> {
        None
    }
}

impl<S: LastFault> LastFault for Option<S> {
    fn last_fault(&self) -> Option<StoreFault> {
        self.as_ref().and_then(S::last_fault)
    }
}

/// Stable name of a journal in a store's cursor table: generation and shard, decimal.
#[must_use]
pub fn source_name(generation: u32, shard: u16) -> String {
    format!("{generation}/{shard}")
}

/// Reads single records out of journals; the store bridge joins them with what the store has.
pub trait RecordSource {
    /// The record at `lsn` of `source`; `None` when that journal is gone, because it was drained.
    ///
    /// # Errors
    /// `Unavailable` on an I/O error, `Corrupt` when the record's checksum is wrong.
    fn read(&mut self, source: SourceId, lsn: Lsn) -> Result<Option<crate::OwnedRecord>, StoreError>;
}

/// The result of a store future that never waits: embedded and in-memory stores do their work when polled.
///
/// # Panics
/// When the future waits for something, which only a store of an outside system does.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("an embedded store finishes at once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attachment;

    #[test]
    fn a_command_and_its_record_have_one_hash_and_other_files_another() {
        let file =
            |i: u8| Attachment { id: MediaId([i; 16]), kind: "a/b".to_owned(), ..Attachment::default() };
        let said = Parts::of_mentions(Mentions::new(true, vec![UserId([9; 16])]));
        for mentions in [Parts::default(), said] {
            let posted = Parts { attachments: vec![file(1), file(2)], ..mentions.clone() };
            let of = |ids: &[u8]| {
                let ids: Vec<MediaId> = ids.iter().map(|i| MediaId([*i; 16])).collect();
                command_hash(Seq(3), "text", &mentions, &ids)
            };
            assert_eq!(of(&[1, 2]), content_hash(Seq(3), "text", &posted));
            assert_eq!(of(&[]), content_hash(Seq(3), "text", &mentions));
            for other in [&[][..], &[1], &[2, 1], &[1, 2, 3]] {
                assert_ne!(of(other), of(&[1, 2]), "{other:?}");
            }
        }
        // As it was kept before there were files.
        let before = fnv(&[&3_u64.to_le_bytes(), b"text", &[0xff, 1, 1, 17, 0, 1], &[9; 16]]);
        let mentions = Parts::of_mentions(Mentions::new(true, vec![UserId([9; 16])]));
        assert_eq!(content_hash(Seq(3), "text", &mentions), before);
    }
}
