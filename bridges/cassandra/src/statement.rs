//! Every statement that is ever sent, prepared once, and the rows that writing ones take.
//!
//! Thread: a bridge's. Writes bind a timestamp each, because rows of one request may be changes of different revs. None binds a null:
//! that would be a delete, and a delete that is forgotten lets old cells return.
//!
//! Every statement names its whole partition, so the driver sends it to a replica.

use std::sync::Arc;

use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

/// Rows of a page of the driver's, where a result has no bound of its own.
const PAGE_ROWS: i32 = 1_000;

macro_rules! statements {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $cql:literal;)* }) => {
        $(#[$doc])*
        pub(crate) struct $name { $(pub(crate) $field: PreparedStatement,)* }

        impl $name {
            /// Prepares all, for tables of `keyspace`. They run with `profile`.
            pub(crate) async fn prepare(
                session: &Session,
                keyspace: &str,
                profile: &ExecutionProfileHandle,
            ) -> Result<Self, PrepareError> {
                Ok(Self { $($field: {
                    let mut prepared = session.prepare($cql.replace("{ks}", keyspace)).await?;
                    prepared.set_is_idempotent(true);
                    prepared.set_page_size(PAGE_ROWS);
                    prepared.set_execution_profile_handle(Some(profile.clone()));
                    prepared
                },)* })
            }
        }
    };
}

statements! {
    /// What changes rows.
    Writes {
        post_parts = "INSERT INTO {ks}.messages (room, bucket, seq, facts, body, parts) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        mentioned = "INSERT INTO {ks}.mentioned (room, bucket, user_id, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        post = "INSERT INTO {ks}.messages (room, bucket, seq, facts, body) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        edit = "UPDATE {ks}.messages USING TIMESTAMP ? SET body = ?, parts = ?, edited = ? WHERE room = ? AND bucket = ? AND seq = ?";
        empty = "UPDATE {ks}.messages USING TIMESTAMP ? SET body = '', parts = 0x WHERE room = ? AND bucket = ? AND seq = ?";
        delete = "UPDATE {ks}.messages USING TIMESTAMP ? SET deleted = ? WHERE room = ? AND bucket = ? AND seq = ?";
        deleted = "INSERT INTO {ks}.deleted (room, bucket, seq) VALUES (?, ?, ?) USING TIMESTAMP ?";
        sent = "INSERT INTO {ks}.sent (room, bucket, sender_id, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        event = "INSERT INTO {ks}.events (room, bucket, seq, event) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        reaction = "INSERT INTO {ks}.reactions (room, bucket, target, user_id, emoji, rev, standing) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        used_key = "INSERT INTO {ks}.used_keys (shard, slot, room, sender_id, used_key, used) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
        read_to = "UPDATE {ks}.positions USING TIMESTAMP ? SET read_to = ? WHERE room = ? AND user_id = ?";
        delivered_to = "UPDATE {ks}.positions USING TIMESTAMP ? SET delivered_to = ? WHERE room = ? AND user_id = ?";
        intent = "INSERT INTO {ks}.intents (room, actor_id, used_key, intent) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
        top = "UPDATE {ks}.heads USING TIMESTAMP ? SET top = ? WHERE shard = ? AND room = ?";
        top_n = "UPDATE {ks}.heads USING TIMESTAMP ? SET top_n = ? WHERE shard = ? AND room = ?";
        version = "UPDATE {ks}.heads USING TIMESTAMP ? SET version = ? WHERE shard = ? AND room = ?";
        reserved = "UPDATE {ks}.heads USING TIMESTAMP ? SET reserved = ? WHERE shard = ? AND room = ?";
        floor = "UPDATE {ks}.heads USING TIMESTAMP ? SET floor = ? WHERE shard = ? AND room = ?";
        sweep = "UPDATE {ks}.sweeps USING TIMESTAMP ? SET floor = ? WHERE shard = ? AND room = ?";
        swept = "UPDATE {ks}.sweeps USING TIMESTAMP ? SET done = ? WHERE shard = ? AND room = ?";
        drop_messages = "DELETE FROM {ks}.messages USING TIMESTAMP ? WHERE room = ? AND bucket = ?";
        drop_events = "DELETE FROM {ks}.events USING TIMESTAMP ? WHERE room = ? AND bucket = ?";
        drop_reactions = "DELETE FROM {ks}.reactions USING TIMESTAMP ? WHERE room = ? AND bucket = ?";
        drop_sent = "DELETE FROM {ks}.sent USING TIMESTAMP ? WHERE room = ? AND bucket = ?";
        drop_deleted = "DELETE FROM {ks}.deleted USING TIMESTAMP ? WHERE room = ? AND bucket = ?";
        drop_mentioned = "DELETE FROM {ks}.mentioned USING TIMESTAMP ? WHERE room = ? AND bucket = ?";
        cut_messages = "DELETE FROM {ks}.messages USING TIMESTAMP ? WHERE room = ? AND bucket = ? AND seq <= ?";
        cut_events = "DELETE FROM {ks}.events USING TIMESTAMP ? WHERE room = ? AND bucket = ? AND seq <= ?";
        cut_reactions = "DELETE FROM {ks}.reactions USING TIMESTAMP ? WHERE room = ? AND bucket = ? AND target <= ?";
        cut_deleted = "DELETE FROM {ks}.deleted USING TIMESTAMP ? WHERE room = ? AND bucket = ? AND seq <= ?";
        cursor = "UPDATE {ks}.cursors USING TIMESTAMP ? SET lsn = ? WHERE source = ?";
        forget = "DELETE FROM {ks}.cursors USING TIMESTAMP ? WHERE source = ?";
    }
}

statements! {
    /// What asks.
    Reads {
        message = "SELECT facts, body, parts, edited, deleted FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq = ?";
        messages_up = "SELECT seq, facts, body, parts, edited, deleted FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?";
        messages_down = "SELECT seq, facts, body, parts, edited, deleted FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq DESC LIMIT ?";
        facts_up = "SELECT seq, facts FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?";
        facts_of = "SELECT seq, facts FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq IN ?";
        said_of = "SELECT seq, body, parts FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq IN ?";
        event = "SELECT event FROM {ks}.events WHERE room = ? AND bucket = ? AND seq = ?";
        events_up = "SELECT seq, event FROM {ks}.events WHERE room = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?";
        events_down = "SELECT seq, event FROM {ks}.events WHERE room = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq DESC LIMIT ?";
        reactions = "SELECT target, user_id, emoji, rev, standing FROM {ks}.reactions WHERE room = ? AND bucket = ? AND target >= ? AND target <= ?";
        sent = "SELECT seq FROM {ks}.sent WHERE room = ? AND bucket = ? AND sender_id = ? AND seq >= ?";
        mentioned = "SELECT seq FROM {ks}.mentioned WHERE room = ? AND bucket = ? AND user_id = ? AND seq >= ?";
        mentions_of = "SELECT seq, facts, parts FROM {ks}.messages WHERE room = ? AND bucket = ? AND seq IN ?";
        deleted = "SELECT seq FROM {ks}.deleted WHERE room = ? AND bucket = ? AND seq >= ?";
        used_key = "SELECT used FROM {ks}.used_keys WHERE shard = ? AND slot = ? AND room = ? AND sender_id = ? AND used_key = ?";
        positions = "SELECT user_id, read_to, delivered_to FROM {ks}.positions WHERE room = ?";
        intents = "SELECT actor_id, used_key, intent FROM {ks}.intents WHERE room = ?";
        head = "SELECT top, top_n, version, reserved, floor FROM {ks}.heads WHERE shard = ? AND room = ?";
        sweeps = "SELECT room, floor, done FROM {ks}.sweeps WHERE shard = ?";
        heads_after = "SELECT room FROM {ks}.heads WHERE shard = ? AND room > ? LIMIT ?";
        cursor = "SELECT lsn FROM {ks}.cursors WHERE source = ?";
    }
}

/// Everything prepared.
pub(crate) struct Statements {
    pub(crate) writes: Writes,
    pub(crate) reads: Reads,
}

/// Partition and place of a row that has a seq.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) room: Uuid,
    pub(crate) bucket: i64,
    pub(crate) seq: i64,
}

/// One row, or some cells of one, to be written.
#[derive(Debug)]
pub(crate) enum Row<'a> {
    Post { at: At, facts: Vec<u8>, text: &'a str, stamp: i64 },
    PostParts { at: At, facts: Vec<u8>, text: &'a str, parts: Vec<u8>, stamp: i64 },
    Edit { at: At, text: &'a str, parts: Vec<u8>, rev: i64 },
    Mentioned { at: At, user: Uuid, stamp: i64 },
    Empty { at: At, stamp: i64 },
    Delete { at: At, rev: i64 },
    Deleted { at: At, stamp: i64 },
    Sent { at: At, sender: Uuid, stamp: i64 },
    Event { at: At, event: Vec<u8>, rev: i64 },
    Reaction { at: At, user: Uuid, emoji: &'a str, rev: i64, on: bool },
    UsedKey { part: (i32, i32), room: Uuid, sender: Uuid, key: Uuid, used: Vec<u8>, stamp: i64, life: i32 },
    ReadTo { room: Uuid, user: Uuid, read: [u8; 16], stamp: i64 },
    DeliveredTo { room: Uuid, user: Uuid, delivered: i64 },
    Intent { room: Uuid, actor: Uuid, key: Uuid, intent: Vec<u8>, stamp: i64, life: i32 },
    Top { shard: i32, room: Uuid, number: i64 },
    TopN { shard: i32, room: Uuid, number: i64 },
    Version { shard: i32, room: Uuid, number: i64 },
    Reserved { shard: i32, room: Uuid, number: i64 },
    Floor { shard: i32, room: Uuid, number: i64 },
    Sweep { shard: i32, room: Uuid, number: i64 },
}

impl Row<'_> {
    /// The statement that it is for.
    pub(crate) fn statement<'s>(&self, writes: &'s Writes) -> &'s PreparedStatement {
        match self {
            Self::Post { .. } => &writes.post,
            Self::PostParts { .. } => &writes.post_parts,
            Self::Mentioned { .. } => &writes.mentioned,
            Self::Edit { .. } => &writes.edit,
            Self::Empty { .. } => &writes.empty,
            Self::Delete { .. } => &writes.delete,
            Self::Deleted { .. } => &writes.deleted,
            Self::Sent { .. } => &writes.sent,
            Self::Event { .. } => &writes.event,
            Self::Reaction { .. } => &writes.reaction,
            Self::UsedKey { .. } => &writes.used_key,
            Self::ReadTo { .. } => &writes.read_to,
            Self::DeliveredTo { .. } => &writes.delivered_to,
            Self::Intent { .. } => &writes.intent,
            Self::Top { .. } => &writes.top,
            Self::TopN { .. } => &writes.top_n,
            Self::Version { .. } => &writes.version,
            Self::Reserved { .. } => &writes.reserved,
            Self::Floor { .. } => &writes.floor,
            Self::Sweep { .. } => &writes.sweep,
        }
    }

    /// Bytes of its request, about.
    pub(crate) fn bytes(&self) -> usize {
        let content = match self {
            Self::Post { facts, text, .. } => facts.len() + text.len(),
            Self::PostParts { facts, text, parts, .. } => facts.len() + text.len() + parts.len(),
            Self::Edit { text, parts, .. } => text.len() + parts.len(),
            Self::Event { event, .. } => event.len(),
            Self::Reaction { emoji, .. } => emoji.len(),
            Self::UsedKey { used, .. } => used.len(),
            Self::Intent { intent, .. } => intent.len(),
            _ => 0,
        };
        content + 96
    }
}

impl SerializeRow for Row<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Post { at: At { room, bucket, seq }, facts, text, stamp } => {
                (room, bucket, seq, facts.as_slice(), text, stamp).serialize(context, writer)
            }
            Self::PostParts { at: At { room, bucket, seq }, facts, text, parts, stamp } => {
                (room, bucket, seq, facts.as_slice(), text, parts.as_slice(), stamp)
                    .serialize(context, writer)
            }
            Self::Mentioned { at: At { room, bucket, seq }, user, stamp } => {
                (room, bucket, user, seq, stamp).serialize(context, writer)
            }
            Self::Edit { at: At { room, bucket, seq }, text, parts, rev } => {
                (rev, text, parts.as_slice(), rev, room, bucket, seq).serialize(context, writer)
            }
            Self::Empty { at: At { room, bucket, seq }, stamp } => {
                (stamp, room, bucket, seq).serialize(context, writer)
            }
            Self::Delete { at: At { room, bucket, seq }, rev } => {
                (rev, rev, room, bucket, seq).serialize(context, writer)
            }
            Self::Deleted { at: At { room, bucket, seq }, stamp } => {
                (room, bucket, seq, stamp).serialize(context, writer)
            }
            Self::Sent { at: At { room, bucket, seq }, sender, stamp } => {
                (room, bucket, sender, seq, stamp).serialize(context, writer)
            }
            Self::Event { at: At { room, bucket, seq }, event, rev } => {
                (room, bucket, seq, event.as_slice(), rev).serialize(context, writer)
            }
            Self::Reaction { at: At { room, bucket, seq }, user, emoji, rev, on } => {
                (room, bucket, seq, user, emoji, rev, on, rev).serialize(context, writer)
            }
            Self::UsedKey { part: (shard, slot), room, sender, key, used, stamp, life } => {
                (shard, slot, room, sender, key, used.as_slice(), stamp, life).serialize(context, writer)
            }
            Self::ReadTo { room, user, read, stamp } => {
                (stamp, read.as_slice(), room, user).serialize(context, writer)
            }
            Self::DeliveredTo { room, user, delivered } => {
                (delivered, delivered, room, user).serialize(context, writer)
            }
            Self::Intent { room, actor, key, intent, stamp, life } => {
                (room, actor, key, intent.as_slice(), stamp, life).serialize(context, writer)
            }
            Self::Top { shard, room, number }
            | Self::TopN { shard, room, number }
            | Self::Version { shard, room, number }
            | Self::Reserved { shard, room, number }
            | Self::Floor { shard, room, number }
            | Self::Sweep { shard, room, number } => (number, number, shard, room).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Statements {
    /// Prepares everything; writes run with one profile, reads with another.
    pub(crate) async fn prepare(
        session: &Session,
        keyspace: &str,
        writes: &ExecutionProfileHandle,
        reads: &ExecutionProfileHandle,
    ) -> Result<Arc<Self>, PrepareError> {
        Ok(Arc::new(Self {
            writes: Writes::prepare(session, keyspace, writes).await?,
            reads: Reads::prepare(session, keyspace, reads).await?,
        }))
    }
}
