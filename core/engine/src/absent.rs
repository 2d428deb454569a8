//! The owner part is not in this build: commands for rooms are answered with `unavailable`.

use lynk_domain::{Lsn, Nanos, RoomId, ShardId};
use lynk_model::{RequestId, SourceId, StoreReply};
use lynk_protocol::{Command, ErrorCode, Reject, decode, encode_error};

use crate::context::Context;
use crate::mail::{ConnectionRef, Mail, Principal};
use crate::{EngineConfig, UndrainedRecord};

pub(crate) struct Owner;

impl Owner {
    pub(crate) fn new(_: &EngineConfig, _: Vec<UndrainedRecord>) -> Self {
        Self
    }

    #[expect(clippy::too_many_arguments, reason = "agreed between the parts")]
    pub(crate) fn command(
        &mut self,
        cx: &mut Context<'_>,
        _: RoomId,
        from: ConnectionRef,
        _: Principal,
        re: u64,
        _: &Command<'_>,
        _: &str,
    ) {
        let reject = Reject::new(ErrorCode::Unavailable);
        let frame = cx.shared.pool.frame(|out| encode_error(out, re, &reject, 0));
        cx.post(from.shard, Mail::Reply { to: from, frame });
    }

    pub(crate) fn mail(&mut self, cx: &mut Context<'_>, _: ShardId, mail: Mail) {
        if let Mail::Command { room, from, principal, raw } = mail {
            let text = std::str::from_utf8(raw.payload()).unwrap_or_default();
            let decoded = decode(text);
            if let Ok(command) = decoded.command {
                self.command(cx, room, from, principal, decoded.re, &command, text);
            }
        }
    }

    pub(crate) fn mail_refused(&mut self, _: &mut Context<'_>, _: ShardId, _: Mail) {}

    pub(crate) fn reply(&mut self, _: &mut Context<'_>, _: RequestId, reply: StoreReply) -> Result<(), StoreReply> {
        Err(reply)
    }

    pub(crate) fn committed(&mut self, _: &mut Context<'_>, _: Lsn) {}

    pub(crate) fn drained(&mut self, _: &mut Context<'_>, _: SourceId, _: Lsn) {}

    pub(crate) fn deadline(&mut self, _: &mut Context<'_>) {}

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        None
    }

    pub(crate) fn idle(&self) -> bool {
        true
    }
}
