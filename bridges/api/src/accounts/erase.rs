//! Erasing an account: what is removed at once, what is taken back by and by, and the receipt that says when the last copy is gone.
//!
//! Thread: handlers, and the accounts' thread for the store; the rooms are looked through by [`eraser`](super::eraser).
//!
//! Invariants: the account is gone with its sessions in one step of the store, which notes in the same step what is left to do; so no crash makes
//! half an erasure. Dates of a receipt are promises: those of files, backups and logs are the operator's, by [`ErasePolicy`].

use axum::extract::State;
use lynk_auth::Claims;
use lynk_domain::{Millis, Now, RoomId, Seq, UserId};
use lynk_model::NAME_RESERVED_MILLIS;
use lynk_model::account::{AUDIT_KEPT_MILLIS, ENDED_SESSION_KEPT_MILLIS, Erasure};
use lynk_model::port::{ErasureStore, LastFault};
use lynk_protocol::{ErrorCode, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccountsState;
use super::handlers::{Answer, Body};
use super::operator::{OperatorActions, Whom};
use super::service::{DAY_MILLIS, HOUR_MILLIS, Service, folded};
use crate::Enrolling;
use crate::body::Json;

/// How long looking through all rooms may take, as it is promised.
pub(super) const ROOMS_MILLIS_MAX: u64 = DAY_MILLIS;

/// How long copies live that the server cannot remove: what an operator promises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErasePolicy {
    /// Until the message log's files are rewritten without what was deleted.
    pub files_kept_millis: u64,
    /// Backups.
    pub backups_kept_millis: u64,
    /// The server's log.
    pub logs_kept_millis: u64,
    /// Events in other systems; 0 where there are none.
    pub events_kept_millis: u64,
}

impl Default for ErasePolicy {
    fn default() -> Self {
        const DAY: u64 = DAY_MILLIS;
        Self {
            files_kept_millis: 30 * DAY,
            backups_kept_millis: 30 * DAY,
            logs_kept_millis: 30 * DAY,
            events_kept_millis: 0,
        }
    }
}

/// `POST /v1/me/erase`
#[derive(Deserialize, JsonSchema)]
pub(super) struct EraseBody {
    /// The account's own user name, so that nobody erases by mistake.
    user_name: String,
}

/// What becomes of everything that the server has of an account.
#[derive(Clone, Serialize, JsonSchema, Debug)]
pub struct Receipt {
    /// Id of the account that was.
    #[schemars(extend("format" = "uuid"))]
    pub user: String,
    /// When it was removed.
    pub erased_at: u64,
    /// Each place, and until when the last copy is there.
    pub places: Vec<Place>,
}

/// A place where something of an account is, or was.
#[derive(Clone, Serialize, JsonSchema, Debug)]
pub struct Place {
    /// Where.
    pub place: &'static str,
    /// What.
    pub what: &'static str,
    /// When the last copy is gone, at the latest; null for what stays, or what is not the server's to remove.
    pub until: Option<u64>,
}

impl ErasePolicy {
    /// The receipt of an account that is removed at `wall`.
    #[must_use]
    pub fn receipt(&self, user: UserId, wall: Millis) -> Receipt {
        let place =
            |place, what, millis: u64| Place { place, what, until: Some(wall.0.saturating_add(millis)) };
        let stays = |place, what| Place { place, what, until: None };
        let mut places = vec![
            place("accounts", "number, names, authenticator app, recovery codes, sessions", 0),
            place(
                "ended sessions",
                "ids and names of devices, so that their tokens stay refused",
                ENDED_SESSION_KEPT_MILLIS,
            ),
            place("user name", "closed to others, in its folded form", NAME_RESERVED_MILLIS),
            place("audit log", "the account's id, without name or number", AUDIT_KEPT_MILLIS),
            place("counters of codes", "a keyed hash of the number", DAY_MILLIS + 2 * HOUR_MILLIS),
            place("messages", "texts, which are taken back room by room", ROOMS_MILLIS_MAX),
            place("notifications", "why the account was notified or not", ROOMS_MILLIS_MAX),
            place("pictures and files", "all but pictures that rooms have", ROOMS_MILLIS_MAX),
            place(
                "files of the message log",
                "bytes of texts that were taken back",
                ROOMS_MILLIS_MAX.saturating_add(self.files_kept_millis),
            ),
            place("backups", "everything, as it was at their moment", self.backups_kept_millis),
            place("the server's log", "the account's id, without name or number", self.logs_kept_millis),
        ];
        if self.events_kept_millis > 0 {
            places.push(place(
                "events",
                "the account's id, and texts where they are published",
                self.events_kept_millis,
            ));
        }
        places.push(stays(
            "rooms",
            "the account's id, without name or number, where it was a member, wrote or reacted; pictures that it gave to rooms",
        ));
        places.push(stays(
            "reports",
            "messages that were reported, and what the account reported, until those reports are resolved and old",
        ));
        places.push(stays("the carrier of codes", "the number, in the carrier's own records"));
        Receipt { user: user.to_string(), erased_at: wall.0, places }
    }
}

pub(super) async fn erase(
    State(state): State<AccountsState>,
    Enrolling { claims }: Enrolling,
    Json(body): Json<EraseBody>,
) -> Answer<Body<Receipt>> {
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    state.desk.ask(move |desk| desk.erase(now, &claims, &body.user_name)).await?;
    state.eraser.wake();
    Ok(axum::Json(state.policies.erase.receipt(claims.user, now.wall)))
}

impl AccountsState {
    /// Erases an account for an operator. Blocks.
    ///
    /// # Errors
    /// `UserNotFound`; the store; `Busy` and `Draining`.
    pub fn erase(&self, whom: Whom) -> Result<Receipt, Reject> {
        let now = (self.clock)();
        let user = self.desk.ask_here(move |desk| desk.erase_of(now, &whom))?;
        self.eraser.wake();
        Ok(self.policies.erase.receipt(user, now.wall))
    }

    /// Erasures that are not done, oldest first. Blocks.
    ///
    /// # Errors
    /// The store; `Busy` and `Draining`.
    pub fn erasures(&self) -> Result<Vec<Erasure>, Reject> {
        self.desk.ask_here(|desk| desk.erasures(1_000))
    }
}

/// What is done on the accounts' thread.
pub(super) trait EraseActions: OperatorActions {
    fn erase(&mut self, now: Now, claims: &Claims, user_name: &str) -> Result<(), Reject>;
    fn erase_of(&mut self, now: Now, whom: &Whom) -> Result<UserId, Reject>;
    fn erasures(&mut self, limit: u32) -> Result<Vec<Erasure>, Reject>;
    fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), Reject>;
    fn forget_names(&mut self, now: Now) -> Result<u32, Reject>;
}

/// Names that are forgotten at a time.
const NAMES_MAX: u32 = 256;

impl<S: ErasureStore + LastFault> Service<S> {
    fn erase_user(&mut self, now: Now, user: UserId) -> Result<(), Reject> {
        let erased = self.runtime.block_on(self.store.erase(user, now.wall));
        let ended = self.wrote(erased)?.ok_or(ErrorCode::UserNotFound)?;
        self.ended(now, &ended);
        tracing::info!(event = "account_erased", %user, "an account was removed; what it said is taken back by and by");
        Ok(())
    }
}

impl<S: ErasureStore + LastFault> EraseActions for Service<S> {
    fn erase(&mut self, now: Now, claims: &Claims, user_name: &str) -> Result<(), Reject> {
        self.session_of(claims)?;
        self.recent(now, claims)?;
        let account = self.account(claims.user)?;
        if folded(user_name) != folded(&account.user_name) {
            return Err(Reject::because(
                ErrorCode::InvalidField,
                "user_name must be that of the account: it is erased for good",
            ));
        }
        self.erase_user(now, claims.user)
    }

    fn erase_of(&mut self, now: Now, whom: &Whom) -> Result<UserId, Reject> {
        let user = self.account_of(whom)?.user;
        self.erase_user(now, user)?;
        Ok(user)
    }

    fn erasures(&mut self, limit: u32) -> Result<Vec<Erasure>, Reject> {
        self.stored(self.runtime.block_on(self.store.erasures(limit)))
    }

    fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), Reject> {
        let noted = self.runtime.block_on(self.store.advance_erasure(user, room, seq, done));
        self.wrote(noted)
    }

    fn forget_names(&mut self, now: Now) -> Result<u32, Reject> {
        let forgotten = self.runtime.block_on(self.store.forget_names(now.wall, NAMES_MAX));
        self.wrote(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_each_place_and_a_date_for_all_but_what_stays() {
        let policy = ErasePolicy { events_kept_millis: 7 * DAY_MILLIS, ..ErasePolicy::default() };
        let receipt = policy.receipt(UserId([1; 16]), Millis(1_000));
        let until = |place: &str| receipt.places.iter().find(|one| one.place == place).expect(place).until;
        assert_eq!(until("accounts"), Some(1_000));
        assert_eq!(until("pictures and files"), Some(1_000 + ROOMS_MILLIS_MAX));
        assert_eq!(until("user name"), Some(1_000 + NAME_RESERVED_MILLIS));
        assert_eq!(until("backups"), Some(1_000 + 30 * DAY_MILLIS));
        assert_eq!(until("events"), Some(1_000 + 7 * DAY_MILLIS));
        assert_eq!((until("rooms"), until("the carrier of codes")), (None, None));
        let without = ErasePolicy::default().receipt(UserId([1; 16]), Millis(1_000));
        assert!(without.places.iter().all(|one| one.place != "events"));
    }
}
