//! Commands of HTTP requests: admitted by other rules than those of a connection, then carried out in the same way.

use lynk_domain::Millis;
use lynk_protocol::{Command, Decoded, ErrorCode, Reject, decode};

use super::Home;
use super::command::Order;
use crate::context::Context;
use crate::io::Slot;
use crate::mail::Principal;
use crate::revoked::Standing;

/// Whether a command means something without a connection.
fn is_possible(command: &Command<'_>) -> bool {
    match command {
        Command::Hello { .. }
        | Command::Refresh { .. }
        | Command::Ping
        | Command::Subscribe(_)
        | Command::Unsubscribe { .. } => false,
        Command::Presence { room, watch, unwatch } => {
            room.is_some() && watch.is_empty() && unwatch.is_empty()
        }
        _ => true,
    }
}

impl Home {
    /// The command of a request of a user of this shard, whose rate allows it or not (`may`). Returns a command that the
    /// owner part of this shard must carry out.
    pub(crate) fn request<'t>(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        principal: Principal,
        expires: Millis,
        may: Result<(), Reject>,
        text: &'t str,
    ) -> Option<Order<'t>> {
        self.sessions.open_request(slot, principal);
        let Decoded { re, command } = decode(text);
        debug_assert!(re > 0, "the bridge finds its requests by their numbers");
        cx.shared.counters.commands += 1;
        let standing = match cx.shared.revoked.standing(principal.session, expires) {
            Standing::Good if expires > cx.now.wall => Ok(()),
            Standing::Good | Standing::Stale => Err(ErrorCode::TokenExpired.into()),
            Standing::Revoked => Err(Reject::because(ErrorCode::InvalidToken, "the session was revoked")),
        };
        let command = standing.and(may).and(command).and_then(|command| {
            if is_possible(&command) { Ok(command) } else { Err(ErrorCode::UnknownOp.into()) }
        });
        match command {
            Ok(command) => self.dispatch(cx, slot, re, command, text),
            Err(reject) => {
                self.refuse(cx, slot, re, &reject);
                None
            }
        }
    }
}
