//! Who finds and sees somebody, whom somebody blocks, and conversations with those who are known by number only.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use lynk_domain::UserId;
use lynk_model::DirectFrom;
use lynk_model::account::{ACCOUNTS_PER_QUESTION_MAX, Account, AccountChange, Findable};
use lynk_protocol::{ErrorCode, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::handlers::{Answer, Body};
use super::{AccountsState, number, wire};
use crate::Caller;
use crate::body::Json;

/// People on a page of blocks when the client names no number.
const BLOCKS_DEFAULT: u32 = 50;
const BLOCKS_MAX: u32 = ACCOUNTS_PER_QUESTION_MAX as u32;

/// Who learns that somebody is online.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum PresenceFor {
    /// Everybody who shares a room with the person.
    Rooms,
    /// Nobody.
    Nobody,
}

/// Who may begin a conversation of two.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum DirectFor {
    /// Everybody.
    Everyone,
    /// Everybody who shares a room with the person.
    Rooms,
    /// Nobody: the person begins them.
    Nobody,
}

impl From<DirectFor> for DirectFrom {
    fn from(of: DirectFor) -> Self {
        match of {
            DirectFor::Everyone => Self::Everyone,
            DirectFor::Rooms => Self::Rooms,
            DirectFor::Nobody => Self::Nobody,
        }
    }
}

impl From<DirectFrom> for DirectFor {
    fn from(of: DirectFrom) -> Self {
        match of {
            DirectFrom::Everyone => Self::Everyone,
            DirectFrom::Rooms => Self::Rooms,
            DirectFrom::Nobody => Self::Nobody,
        }
    }
}

/// `PUT /v1/me/privacy`: what is given changes.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PrivacyBody {
    /// Whether the search by name finds the person.
    discoverable_by_name: Option<bool>,
    /// Whether whoever has the number can begin a conversation.
    discoverable_by_phone: Option<bool>,
    /// Who learns that the person is online.
    presence: Option<PresenceFor>,
    /// Who may begin a conversation of two with the person.
    direct_from: Option<DirectFor>,
}

/// How somebody is found and seen.
#[derive(Serialize, JsonSchema)]
pub(super) struct Privacy {
    /// Whether the search by name finds the person; the whole user name does in any case.
    discoverable_by_name: bool,
    /// Whether whoever has the number can begin a conversation.
    discoverable_by_phone: bool,
    /// Who learns that the person is online.
    presence: PresenceFor,
    /// Who may begin a conversation of two with the person. Those that were begun stay.
    direct_from: DirectFor,
}

impl Privacy {
    fn new(account: &Account, hides: bool, from: DirectFrom) -> Self {
        let Findable { by_name, by_phone } = account.findable;
        let presence = if hides { PresenceFor::Nobody } else { PresenceFor::Rooms };
        let direct_from = from.into();
        Self { discoverable_by_name: by_name, discoverable_by_phone: by_phone, presence, direct_from }
    }
}

/// `GET /v1/me/privacy`
pub(super) async fn get(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
) -> Answer<Body<Privacy>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let account = state.desk.ask(move |desk| desk.me(&claims)).await?;
    let hides = state.room_people.hides(claims.user).await?;
    let from = state.room_people.direct_from(claims.user).await?;
    Ok(axum::Json(Privacy::new(&account, hides, from)))
}

/// `PUT /v1/me/privacy`. It is in two stores: after a refusal a part may be changed, and the same request again changes
/// the rest.
pub(super) async fn put(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    Json(body): Json<PrivacyBody>,
) -> Answer<Body<Privacy>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let now = (state.clock)();
    let PrivacyBody { discoverable_by_name, discoverable_by_phone, presence, direct_from } = body;
    let account = state
        .desk
        .ask(move |desk| {
            let Findable { by_name, by_phone } = desk.me(&claims)?.findable;
            let findable = Findable {
                by_name: discoverable_by_name.unwrap_or(by_name),
                by_phone: discoverable_by_phone.unwrap_or(by_phone),
            };
            let change = AccountChange { findable: Some(findable), ..AccountChange::default() };
            desk.change(now, &claims, change)
        })
        .await?;
    let hides = match presence {
        Some(presence) => {
            let hides = presence == PresenceFor::Nobody;
            state.room_people.set_hides(claims.user, hides).await?;
            // Whoever watches is told at once.
            state.authority.shards.presence_changed(claims.user);
            hides
        }
        None => state.room_people.hides(claims.user).await?,
    };
    let from = match direct_from {
        Some(from) => {
            let from = DirectFrom::from(from);
            state.room_people.set_direct_from(claims.user, from).await?;
            from
        }
        None => state.room_people.direct_from(claims.user).await?,
    };
    Ok(axum::Json(Privacy::new(&account, hides, from)))
}

/// Which part of the block list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BlocksQuery {
    /// `next` of the page before.
    #[schemars(extend("format" = "uuid"))]
    after: Option<String>,
    /// People at most; 50 when left out.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

/// Somebody whom one blocks: what one needs to know whom it was.
#[derive(Serialize, JsonSchema)]
pub(super) struct BlockedUser {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    user: String,
    /// Unique name; left out when the account is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    /// What to show; left out when the account is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
}

/// Answer to `GET /v1/blocks`.
#[derive(Serialize, JsonSchema)]
pub(super) struct BlockedUsers {
    /// By id.
    users: Vec<BlockedUser>,
    /// Where it goes on; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    next: Option<String>,
}

/// `GET /v1/blocks`
pub(super) async fn blocks(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    query: Result<Query<BlocksQuery>, QueryRejection>,
) -> Answer<Body<BlockedUsers>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let wrong =
        || Reject::because(ErrorCode::InvalidField, "after must be a user id, limit 1 to 100, once each");
    let Query(BlocksQuery { after, limit }) = query.map_err(|_| wrong())?;
    let limit = limit.unwrap_or(BLOCKS_DEFAULT);
    let after = match after.as_deref().map(wire::user_id) {
        Some(None) => return Err(wrong().into()),
        Some(Some(after)) => after,
        None => UserId::NIL,
    };
    if !(1..=BLOCKS_MAX).contains(&limit) {
        return Err(wrong().into());
    }
    let blocked = state.room_people.blocked(claims.user, after, limit).await?;
    let asked = blocked.clone();
    let accounts = state.desk.ask(move |desk| desk.users(&asked)).await?;
    let next = (blocked.len() == limit as usize).then(|| blocked.last().map(ToString::to_string)).flatten();
    let row = |user: &UserId| {
        let account = accounts.iter().find(|account| account.user == *user);
        BlockedUser {
            user: user.to_string(),
            user_name: account.map(|account| account.user_name.clone()),
            display_name: account.map(|account| account.display_name.clone()),
        }
    };
    Ok(axum::Json(BlockedUsers { users: blocked.iter().map(row).collect(), next }))
}

/// `POST /v1/direct/by_phone`
#[derive(Deserialize, JsonSchema)]
pub(super) struct ByPhoneBody {
    /// Telephone number in international form.
    #[schemars(length(min = 8, max = 32), regex(pattern = r"^\+[0-9 ().\-/]+$"))]
    phone: String,
}

/// Answer to `POST /v1/direct/by_phone`, the same for every number.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tried {}

/// `POST /v1/direct/by_phone`. The answer goes out before anybody looks whether the number has an account, so it tells nothing, and neither
/// does its time; a conversation appears only with those who want to be found by their number.
pub(super) async fn direct_by_phone(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    Json(body): Json<ByPhoneBody>,
) -> Answer<(StatusCode, Body<Tried>)> {
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    let phone = number::parse(&body.phone)?.phone;
    state.desk.ask(move |desk| desk.may_try_phone(now, &claims)).await?;
    tokio::spawn(async move {
        let Ok(Some(user)) = state.desk.ask(move |desk| desk.findable_by_phone(&phone)).await else { return };
        if user == claims.user {
            return;
        }
        let mut command = Map::new();
        command.insert("op".to_owned(), "direct".into());
        command.insert("user".to_owned(), user.to_string().into());
        let caller = Caller { claims };
        // What it was refused with, a block for one, is nothing to tell.
        let _nobody_waits = state.authority.shards.ask(caller.principal(), claims.expires, command).await;
    });
    Ok((StatusCode::ACCEPTED, axum::Json(Tried {})))
}
