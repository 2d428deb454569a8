//! Durable shapes and store ports: what a record is, what a store must offer, and how a shard asks for it.
//!
//! Thread: any; nothing here does I/O. A shard sees [`StoreRequest`] and [`StoreReply`]; the traits in
//! [`port`] are implemented by stores and called on a bridge thread.
//!
//! Invariants: every durable event of a room has a [`Seq`](lynk_domain::Seq); a row is written only when its
//! `rev` is greater than the stored one, so a replay never brings anything back.

#![forbid(unsafe_code)]

pub mod account;
mod asking;
mod attachment;
mod body;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod dump;
pub mod event;
mod execute;
mod join;
mod link;
pub mod local;
pub mod media;
pub mod memory;
mod meta;
mod moderation;
mod name;
pub mod notify;
mod parts;
mod personal;
pub mod port;
mod record;
mod report;
mod request;
mod row;
mod stranger;

pub use asking::{
    DiscoverQuery, Discovered, JOIN_REQUEST_AGAIN_MILLIS, JOIN_REQUEST_CHARS_MAX, JOIN_REQUEST_LIFE_MILLIS,
    JOIN_REQUESTS_PER_ROOM_MAX, JOIN_REQUESTS_PER_USER_MAX, JoinRequest, MEMBERS_COUNTED_MAX, OwnRequest,
};
pub use attachment::{ATTACHMENT_NAME_BYTES_MAX, ATTACHMENT_TYPE_BYTES_MAX, ATTACHMENTS_MAX, Attachment};
pub use body::{Body, BodyError, MessageView, Reaction, StoredBody, StoredEvent};
pub use execute::{execute, kept_since};
pub use join::Overlay;
pub use link::{LINKS_PER_ROOM_MAX, Link};
pub use meta::{
    BLOCKS_PER_USER_MAX, MemberRow, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, MoreSettings,
    OutboxRow, ROOMS_BY_OTHERS_MAX, ROOMS_PER_USER_MAX, RoomRow, Sentence, rooms_max,
};
pub use moderation::{Act, ActKind, MODERATION_LIFE_MILLIS};
pub use name::{
    NAME_RESERVED_MILLIS, after_prefix, fold_name, listed_name, name_is_unique, search_words, unique_name,
};
pub use parts::{MENTIONED_USERS_MAX, Mentions, Parts};
pub use personal::{DirectFrom, Personal, RoomWish, Wish};
pub use record::{OwnedRecord, Record, RecordAt, RecordHead, RecordKind, SourceId};
pub use report::{
    REPORT_CHARS_MAX, REPORT_DAY_MILLIS, REPORT_TEXT_BYTES_MAX, REPORTS_PER_DAY_MAX, REPORTS_PER_ROOM_MAX,
    Report, ReportKind, ReportOutcome, ReportQuery, ReportReason, Resolution,
};
pub use request::{
    AttachRefusal, FoundKey, ListQuery, Listed, LoadedRoom, MENTIONS_COUNTED_MAX, Membership, PageQuery,
    PageReply, ReadState, RequestId, RoomHead, SentenceKind, StoreError, StoreReply, StoreRequest, TooOld,
};
pub use row::{MessageFacts, MessageRow, MessageState, PageBuilder, Position, ReactionRow};
pub use stranger::{
    MESSAGE_REQUEST_AGAIN_MILLIS, MESSAGE_REQUEST_MESSAGES_MAX, MESSAGE_REQUESTS_RECEIVED_MAX,
    MESSAGE_REQUESTS_WINDOW_MILLIS, MessageRequest, RequestChange, RequestSide, RequestState, may_ask_at,
};
