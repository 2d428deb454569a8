//! What one wants to be told of a room.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use lynk_domain::{Millis, RoomId};
use lynk_model::{RoomWish, Wish};
use lynk_protocol::{ErrorCode, MAX_SAFE_INTEGER, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccountsState;
use super::handlers::{Answer, Body};
use crate::Caller;
use crate::body::Json;

/// `PUT /v1/rooms/{room}/notifications`, and its answer: all of it, so what is left out is as it is at first.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Notifications {
    /// Nothing before this time, in milliseconds since 1970; left out for no such time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_SAFE_INTEGER))]
    muted_until: Option<u64>,
    /// `true` for mentions only, `false` for everything; left out for what the server does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    mentions_only: Option<bool>,
}

/// `PUT /v1/rooms/{room}/notifications`
pub(super) async fn put(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    room: Result<Path<String>, PathRejection>,
    Json(body): Json<Notifications>,
) -> Answer<Body<Notifications>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let wrong = |what: &'static str| Reject::because(ErrorCode::InvalidField, what);
    let room = room.ok().and_then(|Path(text)| RoomId::parse(&text));
    let room = room.ok_or_else(|| wrong("`room` of the path is not an id"))?;
    let muted_until = body.muted_until.unwrap_or(0);
    if muted_until > MAX_SAFE_INTEGER {
        return Err(wrong("muted_until must be at most 9007199254740991").into());
    }
    let wish = match body.mentions_only {
        None => Wish::Default,
        Some(false) => Wish::All,
        Some(true) => Wish::Mentions,
    };
    // The token may be of a session that has ended.
    state.desk.ask(move |desk| desk.me(&claims)).await?;
    let wish = RoomWish { muted_until: Millis(muted_until), wish };
    if !state.room_people.set_wish(room, claims.user, wish).await? {
        return Err(ErrorCode::NotAMember.into());
    }
    Ok(axum::Json(Notifications { muted_until: body.muted_until.filter(|at| *at > 0), ..body }))
}
