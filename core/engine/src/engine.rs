//! One shard's engine: takes an input to the part it concerns, and local mail from part to part.

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_auth::KeySet;
use lynk_domain::{Nanos, Now, ShardId};
use lynk_model::{RequestId, StoreReply};

use crate::api::ApiInput;
use crate::context::{Context, Shared};
use crate::home::{Home, Order};
use crate::io::{Effects, Input};
use crate::mail::Mail;
use crate::owner::Owner;
use crate::user::Users;
use crate::{Counters, EngineConfig, UndrainedRecord};

/// The state machine of one shard. See the crate's documentation.
pub struct Engine {
    shared: Shared,
    home: Home,
    users: Users,
    owner: Owner,
    /// Mail to the own shard. Empty between two calls.
    local: VecDeque<Mail>,
}

impl Engine {
    /// An engine without connections. `boot` are the records of this shard's rooms that recovery found and the message
    /// store may not have.
    #[must_use]
    pub fn new(config: EngineConfig, keys: Arc<KeySet>, boot: Vec<UndrainedRecord>, now: Now) -> Self {
        let home = Home::new(&config, keys, now.mono);
        let users = Users::new(&config);
        let owner = Owner::new(&config, boot);
        Self { shared: Shared::new(config), home, users, owner, local: VecDeque::new() }
    }

    /// Takes another set of keys; tokens that were accepted stay accepted until they expire.
    pub fn replace_keys(&mut self, keys: Arc<KeySet>) {
        self.home.replace_keys(keys);
    }

    /// Handles one input to its end. Appends to `effects`, never reads or clears them.
    pub fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        let Self { shared, home, users, owner, local } = self;
        let cx = &mut Context { now, shared, fx: effects, local };
        match input {
            Input::Accepted { slot, ip } => home.accepted(cx, slot, ip),
            Input::Upgraded { slot } => home.upgraded(cx, slot),
            Input::Text { slot, text } => {
                if let Some(order) = home.text(cx, slot, text) {
                    let Order { room, from, principal, re, command } = order;
                    owner.command(cx, room, from, principal, re, &command, text);
                }
            }
            Input::SendQueue { slot, level } => home.send_queue(cx, slot, level),
            Input::Closed { slot } => home.closed(cx, slot),
            Input::Mail { from, mail } => take_mail(home, users, owner, cx, from, mail),
            Input::MailRefused { to, mail } => take_refused(home, users, owner, cx, to, mail),
            Input::Api(input) => take_api(home, users, owner, cx, input),
            Input::Reply { id, reply } => take_reply(home, users, owner, cx, id, reply),
            Input::Committed { lsn } => {
                debug_assert!(lsn <= cx.shared.appended, "the journal commits what was appended");
                cx.shared.committed = cx.shared.committed.max(lsn);
                owner.committed(cx, lsn);
            }
            Input::Journal(state) => cx.shared.journal = state,
            Input::Drained { source, lsn } => owner.drained(cx, source, lsn),
            Input::Deadline => {
                for (to, mail) in cx.shared.kept.take_due(now.mono) {
                    cx.post(to, mail);
                }
                home.deadline(cx);
                users.deadline(cx);
                owner.deadline(cx);
            }
            Input::Flush => home.flush(cx),
            Input::Drain { deadline } => {
                owner.start_drain(cx);
                home.start_drain(cx, deadline);
            }
        }
        let shard = cx.shared.config.shard;
        while let Some(mail) = cx.local.pop_front() {
            take_mail(home, users, owner, cx, shard, mail);
        }
        cx.fx.drained = home.drained() && owner.idle();
    }

    /// When [`Self::handle`] wants [`Input::Deadline`], at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Nanos> {
        let parts = [
            self.home.next_deadline(),
            self.users.next_deadline(),
            self.owner.next_deadline(),
            self.shared.kept.next_deadline(),
        ];
        parts.into_iter().flatten().min()
    }

    /// What was counted since the engine was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Users of this shard that are online or watched.
    #[must_use]
    pub fn users_known(&self) -> usize {
        self.users.len()
    }

    #[cfg(test)]
    pub(crate) fn timers_of_connections(&self) -> usize {
        self.home.timers()
    }

    /// Connections of this shard, half-open and closing ones included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.home.connections()
    }
}

fn take_api(home: &mut Home, users: &mut Users, owner: &mut Owner, cx: &mut Context<'_>, input: ApiInput) {
    match input {
        ApiInput::Command { slot, principal, expires, text } => {
            let may = users.admit_request(cx, principal.user);
            if let Some(order) = home.request(cx, slot, principal, expires, may, &text) {
                let Order { room, from, principal, re, command } = order;
                owner.command(cx, room, from, principal, re, &command, &text);
            }
        }
        ApiInput::Ticket { to, re, outcome } => home.ticket_known(cx, to, re, outcome),
        ApiInput::PresenceChanged { user } => users.presence_changed(cx, user),
        ApiInput::Revoke { user, session, until } => {
            cx.shared.revoked.insert(cx.now.wall, session, until);
            users.revoke(cx, user, session);
        }
    }
}

fn take_mail(
    home: &mut Home,
    users: &mut Users,
    owner: &mut Owner,
    cx: &mut Context<'_>,
    from: ShardId,
    mail: Mail,
) {
    match mail {
        Mail::Command { .. } | Mail::Unsubscribed { .. } | Mail::Refill { .. } | Mail::Peek { .. } => {
            owner.mail(cx, from, mail);
        }
        Mail::Reply { .. }
        | Mail::Parked { .. }
        | Mail::Subscribed { .. }
        | Mail::Event { .. }
        | Mail::Skip { .. }
        | Mail::Dismissed { .. }
        | Mail::Ephemeral { .. }
        | Mail::Admitted { .. }
        | Mail::Presence { .. }
        | Mail::Noticed { .. }
        | Mail::IpRefused { .. }
        | Mail::Revoked { .. }
        | Mail::Here { .. }
        | Mail::HereUsers { .. }
        | Mail::Peeked { .. } => home.mail(cx, from, mail),
        Mail::BlockChanged { .. } => {
            owner.blocks_changed();
            users.mail(cx, mail);
        }
        Mail::SignedIn { .. }
        | Mail::SignedOut { .. }
        | Mail::Watch { .. }
        | Mail::Notice { .. }
        | Mail::Hint { .. }
        | Mail::Notices { .. }
        | Mail::IpAcquire { .. }
        | Mail::IpRelease { .. } => users.mail(cx, mail),
    }
}

fn take_refused(
    home: &mut Home,
    users: &mut Users,
    owner: &mut Owner,
    cx: &mut Context<'_>,
    to: ShardId,
    mail: Mail,
) {
    match mail {
        Mail::Reply { .. }
        | Mail::Parked { .. }
        | Mail::Subscribed { .. }
        | Mail::Event { .. }
        | Mail::Skip { .. }
        | Mail::Dismissed { .. }
        | Mail::Ephemeral { .. }
        | Mail::BlockChanged { .. }
        | Mail::Notice { .. }
        | Mail::Hint { .. }
        | Mail::Notices { .. }
        | Mail::Peeked { .. } => owner.mail_refused(cx, to, mail),
        Mail::Admitted { .. }
        | Mail::Presence { .. }
        | Mail::Noticed { .. }
        | Mail::Revoked { .. }
        | Mail::IpRefused { .. } => {
            users.mail_refused(cx, to, mail);
        }
        Mail::Command { .. }
        | Mail::Unsubscribed { .. }
        | Mail::Refill { .. }
        | Mail::SignedIn { .. }
        | Mail::SignedOut { .. }
        | Mail::Watch { .. }
        | Mail::IpAcquire { .. }
        | Mail::IpRelease { .. }
        | Mail::Here { .. }
        | Mail::HereUsers { .. }
        | Mail::Peek { .. } => home.mail_refused(cx, to, mail),
    }
}

/// Each request belongs to one part; the owner has most.
fn take_reply(
    home: &mut Home,
    users: &mut Users,
    owner: &mut Owner,
    cx: &mut Context<'_>,
    id: RequestId,
    reply: StoreReply,
) {
    cx.shared.requests_in_flight = cx.shared.requests_in_flight.saturating_sub(1);
    let rest = owner
        .reply(cx, id, reply)
        .or_else(|reply| home.store_reply(cx, id, reply))
        .or_else(|reply| users.store_reply(cx, id, reply));
    debug_assert!(rest.is_ok(), "a reply answers a request of this shard");
}
