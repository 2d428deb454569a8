//! The rooms that hash to this shard: order, membership, journal, history, unread.
//!
//! Thread: the shard that owns it.

use lynk_domain::{Lsn, Nanos, RoomId, ShardId};
use lynk_model::{RequestId, SourceId, StoreReply};
use lynk_protocol::Command;

use crate::EngineConfig;
use crate::context::Context;
use crate::io::UndrainedRecord;
use crate::mail::{ConnectionRef, Mail, Principal};

/// Every room of one shard.
pub(crate) struct Owner {}

impl Owner {
    pub(crate) fn new(_config: &EngineConfig, _boot: Vec<UndrainedRecord>) -> Self {
        Self {}
    }

    #[expect(clippy::too_many_arguments, reason = "one call per command, all of it needed")]
    pub(crate) fn command(
        &mut self,
        _cx: &mut Context<'_>,
        _room: RoomId,
        _from: ConnectionRef,
        _principal: Principal,
        _re: u64,
        _command: &Command<'_>,
        _raw: &str,
    ) {
    }

    pub(crate) fn mail(&mut self, _cx: &mut Context<'_>, _from: ShardId, _mail: Mail) {}

    pub(crate) fn mail_refused(&mut self, _cx: &mut Context<'_>, _to: ShardId, _mail: Mail) {}

    pub(crate) fn reply(
        &mut self,
        _cx: &mut Context<'_>,
        _id: RequestId,
        reply: StoreReply,
    ) -> Result<(), StoreReply> {
        Err(reply)
    }

    pub(crate) fn committed(&mut self, _cx: &mut Context<'_>, _lsn: Lsn) {}

    pub(crate) fn drained(&mut self, _cx: &mut Context<'_>, _source: SourceId, _lsn: Lsn) {}

    pub(crate) fn deadline(&mut self, _cx: &mut Context<'_>) {}

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        None
    }

    /// Whether nothing waits for the journal.
    pub(crate) fn idle(&self) -> bool {
        true
    }
}
