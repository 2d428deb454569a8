//! HTTP requests of a user: they share the rate of the account with its connections.
//!
//! All requests of a user together count as one more connection while there are any, and for some seconds after the last.
//! Limits: [`REQUESTING_MAX`] users at a time, the next is told to come back.

use lynk_domain::{Nanos, UserId};
use lynk_protocol::{ErrorCode, Reject};

use super::{Users, share_of, tell_share};
use crate::bucket::Bucket;
use crate::context::Context;
use crate::home::{BURST_SECONDS, BUSY_RETRY_MILLIS, rate_of};

/// Time after the last request at which the connections get their share back.
const QUIET_NANOS: u64 = 5 * Nanos::SECOND;
/// Users with requests of the last seconds, at most.
const REQUESTING_MAX: usize = 64 << 10;

/// Requests of one user.
#[derive(Default)]
pub(super) struct Requests {
    bucket: Bucket,
    last: Nanos,
}

impl Users {
    /// Whether a user may make one more request now.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn admit_request(&mut self, cx: &mut Context<'_>, user: UserId) -> Result<(), Reject> {
        let limits = &cx.shared.config.limits;
        let (own, account) =
            (limits.commands_per_connection_per_second, limits.commands_per_account_per_second);
        let full = self.requesting.len() >= REQUESTING_MAX;
        let index = self.entry(user);
        let entry = &mut self.slab[index];
        if entry.requests.is_none() {
            if full {
                self.trim(user);
                return Err(Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
            }
            entry.requests = Some(Box::default());
            self.requesting.push_back((cx.now.mono.after(QUIET_NANOS), user));
            entry.share = share_of(account, entry.sources());
            tell_share(cx, entry);
        }
        let rate = rate_of(own, entry.share);
        let Some(requests) = entry.requests.as_mut() else { return Ok(()) };
        requests.last = cx.now.mono;
        requests
            .bucket
            .take(cx.now.mono, rate, rate.saturating_mul(BURST_SECONDS))
            .map_err(|millis| Reject::after(ErrorCode::RateLimited, millis))
    }

    /// Gives connections the share back of users that make no requests any more.
    pub(super) fn forget_requests(&mut self, cx: &mut Context<'_>) {
        while let Some((at, user)) = self.requesting.front().copied() {
            if at > cx.now.mono {
                return;
            }
            self.requesting.pop_front();
            let Some(index) = self.by_user.get(&user).copied() else { continue };
            let entry = &mut self.slab[index];
            let quiet_at = entry.requests.as_ref().map(|requests| requests.last.after(QUIET_NANOS));
            if let Some(at) = quiet_at.filter(|at| *at > cx.now.mono) {
                self.requesting.push_back((at, user));
                continue;
            }
            entry.requests = None;
            entry.share = share_of(cx.shared.config.limits.commands_per_account_per_second, entry.sources());
            tell_share(cx, entry);
            self.trim(user);
        }
    }
}
