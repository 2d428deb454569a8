//! What a shard asks of the store bridge, and what comes back.
//!
//! A request carries a [`RequestId`] chosen by the shard; exactly one reply with that id returns, unless the
//! bridge thread dies, which ends the process. Requests of one shard are answered in any order.

use lynk_domain::{
    Epoch, Key, MediaId, MessageId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, ShardId, UserId,
};

use crate::{
    Act, Attachment, DiscoverQuery, Discovered, JoinRequest, Link, MemberRow, MessageRequest, MetaOutcome,
    MetaTransaction, OutboxRow, OwnRequest, OwnedRecord, Personal, RecordAt, Report, RequestSide, RoomRow,
    Sentence, StoredEvent,
};

/// Correlates a reply with its request, within one shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// A range of a room's log. Both ends count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageQuery {
    /// The room.
    pub room: RoomId,
    /// Lowest seq wanted.
    pub from: Seq,
    /// Highest seq wanted.
    pub to: Seq,
    /// Newest first (cut at the low end), or oldest first (cut at the high end).
    pub backward: bool,
    /// Items at most.
    pub limit: u32,
    /// Bytes of content ([`StoredEvent::content_bytes`]) at most; at least one item is returned.
    pub bytes: u32,
    /// Every event, or messages only.
    pub all: bool,
}

/// Mentions are counted up to here: then there are as many or more.
pub const MENTIONS_COUNTED_MAX: u32 = 100;

/// A question to the store bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreRequest {
    /// Everything an owner shard needs to serve a room. `undrained` are the room's records that the message
    /// store may not have yet: the answer's head, events and read states have them applied, and they come
    /// back beside them.
    LoadRoom {
        /// The room.
        room: RoomId,
        /// Events for the recent window, at most.
        window: u32,
        /// All such records of the room, ascending by seq.
        undrained: Vec<RecordAt>,
    },
    /// A page of history.
    Page {
        /// The range.
        query: PageQuery,
        /// Records of the range, and later changes to its messages, that the store may not have yet.
        undrained: Vec<RecordAt>,
        /// Edits and deletes of messages before the range that the store may not have yet: the message, and the record.
        /// An edit in the range shows what its message says now, and only the store knows which ones are there: these
        /// records are read when they matter.
        changes: Vec<(Seq, RecordAt)>,
    },
    /// One event in its current state.
    Event {
        /// The room.
        room: RoomId,
        /// Its seq.
        seq: Seq,
        /// Records about it that the store may not have yet.
        undrained: Vec<RecordAt>,
    },
    /// Between which messages of a range a wall time lies.
    FindTime {
        /// The room.
        room: RoomId,
        /// The time.
        at: Millis,
        /// Lowest seq of the range.
        from: Seq,
        /// Highest seq of the range.
        to: Seq,
        /// Messages of the range that the store may not have yet, ascending by seq; perhaps not all.
        undrained: Vec<(Seq, RecordAt)>,
    },
    /// What `sender` used `key` for, when memory does not know all of it.
    FindKey {
        /// The room.
        room: RoomId,
        /// Who sent it.
        sender: UserId,
        /// Its idempotency key.
        key: Key,
        /// It is of a metadata command: the room store knows the hash of its content.
        metadata: bool,
    },
    /// Messages after `after` that do not count as unread for `user`: own ones, and deleted ones of others. And those that
    /// mention `user` and do count.
    CountNotUnread {
        /// The room.
        room: RoomId,
        /// Whose unread.
        user: UserId,
        /// The read cursor.
        after: Seq,
        /// Ordinal of the room's last message.
        top_n: Ordinal,
        /// Records after the cursor that the store may not have yet.
        undrained: Vec<RecordAt>,
    },
    /// Rooms of a shard whose first messages are older than messages are kept. Files of those messages are noted to leave with them, and
    /// those of messages that are removed already, and of rooms that are deleted, are over. With the first page, some files of messages are
    /// looked at: those whose message is deleted or never came are over.
    FindOld {
        /// Rooms after this one; nil for the start.
        after: RoomId,
        /// Rooms that are looked at, at most.
        limit: u32,
        /// The time now.
        now: Millis,
        /// For how long messages are kept, in milliseconds; 0 for ever. A room may keep them for a shorter time.
        life: u64,
        /// For how long a message may be sent after its key says that it was made, in milliseconds.
        key_life: u64,
        /// The shard.
        shard: ShardId,
        /// How many there are.
        shards: u16,
    },
    /// A page of the rooms that a user is a member of, ordered by room id.
    Memberships {
        /// Who.
        user: UserId,
        /// Rooms after this one; nil for the start.
        after: RoomId,
        /// Items at most.
        limit: u32,
    },
    /// The room that has a unique name.
    FindName {
        /// The name as the user typed it; folded by [`crate::execute`].
        name: String,
    },
    /// A page of public rooms.
    Discover(Box<DiscoverQuery>),
    /// A page of a user's requests to become a member that count, ascending by room.
    Requests {
        /// Who.
        user: UserId,
        /// Those of rooms after this one; nil for the start.
        after: RoomId,
        /// Wall time at which they count.
        wall: Millis,
        /// Items at most.
        limit: u32,
    },
    /// Whom a user blocks and who blocks the user.
    Blocks {
        /// Who.
        user: UserId,
    },
    /// Who of `others` may see whether a user is online: those in a room with the user, across no block.
    Relations {
        /// Whose presence.
        user: UserId,
        /// Who watch; each once.
        others: Vec<UserId>,
    },
    /// A page of one of a room's lists.
    List {
        /// The room.
        room: RoomId,
        /// Which, and from where.
        query: ListQuery,
    },
    /// Who of `users` hide from everybody whether they are online; all of them in a 1:1 that is not accepted.
    Hidden {
        /// Where they are.
        room: RoomId,
        /// Whom.
        users: Vec<UserId>,
    },
    /// A member deletes the past of a room for itself.
    Clear {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Up to here.
        seq: Seq,
        /// Ordinal of the last message of that past.
        n: Ordinal,
    },
    /// A member has written in a room to which somebody added it: it is in it by itself from now on.
    Wrote {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
    },
    /// Files become those of a message that is about to be posted. Repeated with the same key, it answers the same.
    Attach {
        /// The room.
        room: RoomId,
        /// Whose files they are, and whose message it is.
        owner: UserId,
        /// Idempotency key of the `send`.
        key: Key,
        /// Which, in the order of the message; each once.
        files: Vec<MediaId>,
    },
    /// A picture becomes one that a room has, before its settings name it. Repeated, it answers the same.
    TakePicture {
        /// The room.
        room: RoomId,
        /// Whose upload it is.
        owner: UserId,
        /// Which.
        picture: MediaId,
    },
    /// A room has this picture by its settings: others that it had are over.
    KeepPicture {
        /// The room.
        room: RoomId,
        /// Which; nil for none.
        keep: MediaId,
    },
    /// Files are in no message any more, because it was deleted or never posted.
    Release {
        /// The room.
        room: RoomId,
        /// Which.
        files: Vec<MediaId>,
    },
    /// A message with files is in the log: note where.
    Posted {
        /// The room.
        room: RoomId,
        /// The message's key.
        key: Key,
        /// Its files.
        files: Vec<MediaId>,
        /// The message.
        seq: Seq,
    },
    /// A message is about to be deleted: note that its files leave with it.
    Leave {
        /// The room.
        room: RoomId,
        /// Which.
        files: Vec<MediaId>,
        /// The message.
        to: Seq,
    },
    /// Messages of a room up to here are removed: files that were noted to leave with them are over.
    Passed {
        /// The room.
        room: RoomId,
        /// The last message that is removed.
        floor: Seq,
    },
    /// A room is deleted: its files are over.
    EndFiles {
        /// The room.
        room: RoomId,
    },
    /// Keep what a moderator did without a metadata command.
    Note {
        /// The room.
        room: RoomId,
        /// What.
        act: Box<Act>,
    },
    /// A metadata command.
    Apply(Box<MetaTransaction>),
    /// The outbox row `version` is journaled and committed as `seq`: drop it.
    Confirm {
        /// The room.
        room: RoomId,
        /// The row.
        version: u64,
        /// Seq of its event, kept with the idempotency result.
        seq: Seq,
    },
}

/// A list that a room has beside its members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListQuery {
    /// Bans or mutes that stand, ascending by user.
    Sentences {
        /// Which of the two.
        what: SentenceKind,
        /// Those of users after this one; nil for the start.
        after: UserId,
        /// Wall time at which they stand.
        wall: Millis,
        /// Items at most.
        limit: u32,
    },
    /// Reports of messages and members, newest first.
    Reports {
        /// Open ones, or those that are not.
        open: bool,
        /// Those before this number; 0 for the newest.
        before: u64,
        /// Who looks: those about this user are not told.
        viewer: UserId,
        /// Items at most.
        limit: u32,
    },
    /// What moderators did, newest first.
    Acts {
        /// Those before this number; 0 for the newest.
        before: u64,
        /// The time now: what is too old is not told.
        wall: Millis,
        /// Items at most.
        limit: u32,
    },
    /// Requests to become a member that are open, ascending by user.
    Requests {
        /// Those of users after this one; nil for the start.
        after: UserId,
        /// Wall time at which they are open.
        wall: Millis,
        /// Items at most.
        limit: u32,
    },
}

/// What keeps somebody from posting, or out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SentenceKind {
    /// Out of the room.
    Ban,
    /// In it, and silent.
    Mute,
}

/// The answer to a [`ListQuery`]; fewer than its limit means the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listed {
    /// Bans or mutes.
    Sentences(Vec<Sentence>),
    /// Requests.
    Requests(Vec<JoinRequest>),
    /// What moderators did.
    Acts(Vec<Act>),
    /// Reports.
    Reports(Vec<Report>),
}

/// Highest numbers of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoomHead {
    /// History number.
    pub epoch: Epoch,
    /// Last event.
    pub top: Seq,
    /// Last message's ordinal.
    pub top_n: Ordinal,
    /// Metadata version of the last `Meta` event.
    pub version: u64,
    /// Last reserved seq; 0 for none.
    pub reserved: Seq,
    /// Everything up to here is removed for good; 0 for nothing.
    pub floor: Seq,
}

/// How far a member has read and stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadState {
    /// Who.
    pub user: UserId,
    /// [Round](crate::RecordHead::round) of `read`.
    pub round: u64,
    /// Read up to.
    pub read: Seq,
    /// Stored by a device up to.
    pub delivered: Seq,
}

/// A room as it comes from the stores and the journals. `row` is `None` for a room that does not exist.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoadedRoom {
    /// The room's row.
    pub row: Option<RoomRow>,
    /// Members.
    pub members: Vec<MemberRow>,
    /// Bans that were not lifted.
    pub bans: Vec<Sentence>,
    /// Mutes that were not lifted.
    pub mutes: Vec<Sentence>,
    /// Seqs of pinned messages.
    pub pins: Vec<Seq>,
    /// Links, ascending by id; some may live no more.
    pub links: Vec<Link>,
    /// Requests to become a member, ascending by user; some may count no more.
    pub requests: Vec<JoinRequest>,
    /// For a 1:1 that a stranger began: how.
    pub message_request: Option<MessageRequest>,
    /// For a 1:1: pairs (who blocks, whom).
    pub blocks: Vec<(UserId, UserId)>,
    /// Metadata events not confirmed yet, ascending by version.
    pub outbox: Vec<OutboxRow>,
    /// Versions of outbox rows whose events the message store has, with their seqs.
    pub journaled: Vec<(u64, Seq)>,
    /// Kicks, bans and mutes of the message store and the undrained records that the room store may not have.
    pub intents: Vec<MetaTransaction>,
    /// What the message store and the undrained records know; zeroes for a new room.
    pub head: RoomHead,
    /// Last events of both, in their current state, ascending.
    pub recent: Vec<StoredEvent>,
    /// Read states of both.
    pub reads: Vec<ReadState>,
    /// The records asked for, in the order asked for, without those whose journal is gone because the store
    /// has them. They are applied above already; they carry what rows do not (keys and texts as sent).
    pub undrained: Vec<OwnedRecord>,
}

/// A page of history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PageReply {
    /// Events, in the order asked for.
    pub events: Vec<StoredEvent>,
    /// Lowest seq that the page speaks for: everything wanted in `from..=to` is in `events`.
    pub covers_from: Seq,
    /// Highest seq that the page speaks for. A cut page covers everything up to the first event left out.
    pub covers_to: Seq,
    /// Whether the range holds more beyond what the page covers.
    pub more: bool,
}

/// A room in a user's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The room.
    pub room: RoomId,
    /// Who can find and join it.
    pub kind: RoomKind,
    /// Display name.
    pub name: String,
    /// Its picture; nil for none.
    pub avatar: MediaId,
    /// The user's role.
    pub role: Role,
    /// For a 1:1, the other user; nil otherwise.
    pub peer: UserId,
    /// For a 1:1 that is not accepted yet: on which side the user is.
    pub request: Option<RequestSide>,
    /// What the user has set for itself.
    pub personal: Personal,
}

/// Why files cannot be those of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AttachRefusal {
    /// One is still being uploaded or looked at.
    NotReady,
    /// One is not there, is somebody else's, or is in another message.
    NotFound,
}

/// Why the store did not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Not done, and may be tried again.
    Unavailable,
    /// May or may not be done: repeat it with the same key.
    Unknown,
    /// Done and final: the stored data cannot be read. The operator is told by the bridge.
    Corrupt,
}

/// A room with messages that are too old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooOld {
    /// The room.
    pub room: RoomId,
    /// Its last message that is.
    pub to: Seq,
    /// For how many days it kept messages when that was looked for; 0 for no time of its own.
    pub days: u32,
}

/// The answer to a [`StoreRequest`] of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreReply {
    /// To `LoadRoom`.
    Loaded(Box<LoadedRoom>),
    /// To `Page`.
    Page(Box<PageReply>),
    /// To `Event`; `None` when there is no such event.
    Event(Option<Box<StoredEvent>>),
    /// To `FindTime`.
    Time {
        /// The last message that was met and is older than the time; the seq before the range when there is none.
        after: Seq,
        /// The seq before the first message that was met and is not older; the end of the range when there is none.
        to: Seq,
    },
    /// To `FindKey`; `None` when the key was not used. The seq is 0 when only the room store knows the use.
    Key(Option<FoundKey>),
    /// To `CountNotUnread`.
    NotUnread {
        /// Own messages after the cursor.
        own: u64,
        /// Deleted messages of others after the cursor.
        deleted: u64,
        /// Ordinal of the last message at or before the cursor.
        cursor_n: Ordinal,
        /// Messages after the cursor that mention the user, at most [`MENTIONS_COUNTED_MAX`]: not deleted, not own, not across
        /// a block. `None` when it is not known who stands across one.
        mentions: Option<u32>,
    },
    /// To `FindOld`.
    Old {
        /// Rooms that have some.
        found: Vec<TooOld>,
        /// The last room that was looked at; `None` at the end.
        next: Option<RoomId>,
    },
    /// To `Memberships`, ordered by room id; fewer than the limit means the end.
    Memberships(Vec<Membership>),
    /// To `FindName`; `None` when no room has the name.
    Named(Option<RoomId>),
    /// To `Discover`; fewer than the limit means the end.
    Discovered(Vec<Discovered>),
    /// To `Requests`; fewer than the limit means the end.
    Requests(Vec<OwnRequest>),
    /// To `Blocks`: pairs (who blocks, whom).
    Blocks(Vec<(UserId, UserId)>),
    /// To `Relations`: those who may, in the order asked for.
    Relations(Vec<UserId>),
    /// To `List`.
    Listed(Box<Listed>),
    /// To `Hidden`, in the order asked for.
    Hidden(Vec<UserId>),
    /// To `Hidden` of a 1:1 that is not accepted: nobody is shown there, and nobody counted.
    Withheld,
    /// To `Clear`: whether the user is a member.
    Cleared(bool),
    /// To `Attach`, and to `TakePicture`, which describes none: what they are, in the order asked for, or why they cannot be.
    Attached(Result<Vec<Attachment>, AttachRefusal>),
    /// To `KeepPicture`, `Release`, `Posted`, `Leave`, `Passed` and `EndFiles`.
    Released,
    /// To `Note` and `Wrote`.
    Noted,
    /// To `Apply`.
    Applied(Box<MetaOutcome>),
    /// To `Confirm`.
    Confirmed,
    /// The request failed.
    Failed(StoreError),
}

/// What is remembered of a used idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundKey {
    /// Position of the event that it led to; 0 for none, or when it is not known.
    pub seq: Seq,
    /// Ordinal of a message; 0 for other events.
    pub n: Ordinal,
    /// Id of a message; nil for other events.
    pub id: MessageId,
    /// Server wall time of the event, milliseconds.
    pub wall: u64,
    /// [`body_hash`](crate::port::body_hash) of the event as sent; of a metadata command the hash of its transaction.
    pub content_hash: Option<u64>,
}
