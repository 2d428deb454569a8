//! Whether a name can be had, before somebody tries to have it.
//!
//! The filter of names answers for those that certainly nobody has, the store for the others. Both are a hint: another one may be faster.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use lynk_auth::address_key;
use lynk_domain::UserId;
use lynk_engine::check_room_name;
use lynk_model::fold_name;
use lynk_protocol::{ErrorCode, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vault::Found;
use super::{AccountsState, names};
use crate::names::NameOf;
use crate::{ApiError, Caller, Client};

/// A name of a room.
#[derive(Deserialize, JsonSchema)]
pub(super) struct RoomNameQuery {
    /// As it would be given to `POST /v1/rooms`.
    name: String,
}

/// A name of a user.
#[derive(Deserialize, JsonSchema)]
pub(super) struct UserNameQuery {
    /// As it would be given to `POST /v1/auth/register`.
    user_name: String,
}

/// Why a name cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Debug)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// Somebody has it, or gave it up less than 30 days ago.
    Taken,
    /// It is none.
    Invalid,
}

/// Whether a name can be had.
#[derive(Serialize, JsonSchema, Debug)]
pub(super) struct Availability {
    /// For all that is known now; whoever is faster has it.
    available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
    /// The same for people, in the words of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Availability {
    fn refused(why: Why, reject: &Reject) -> Self {
        Self { available: false, reason: Some(why), message: Some(reject.message().to_owned()) }
    }

    fn of(taken: bool) -> Self {
        if taken {
            return Self::refused(Why::Taken, &Reject::new(ErrorCode::NameTaken));
        }
        Self { available: true, reason: None, message: None }
    }
}

type Answer = Result<axum::Json<Availability>, ApiError>;

fn missing(_: QueryRejection) -> Reject {
    Reject::because(ErrorCode::InvalidField, "the query must have the name, once")
}

/// `GET /v1/rooms/name_available`
pub(super) async fn room_name(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    query: Result<Query<RoomNameQuery>, QueryRejection>,
) -> Answer {
    state.pace.take((state.clock)().mono, claims.user)?;
    let Query(RoomNameQuery { name }) = query.map_err(missing)?;
    if let Err(reject) = check_room_name(&name, state.room_name_chars_max) {
        return Ok(axum::Json(Availability::refused(Why::Invalid, &reject)));
    }
    let folded = fold_name(&name);
    let taken = !state.names.certainly_free(NameOf::Room, &folded).await
        && state.room_names.is_taken(&folded, (state.clock)().wall).await?;
    Ok(axum::Json(Availability::of(taken)))
}

/// `GET /v1/users/name_available`: for those who have an account, and those who proved a number and are about to make one.
pub(super) async fn user_name(
    State(state): State<AccountsState>,
    Client(from): Client,
    headers: HeaderMap,
    query: Result<Query<UserNameQuery>, QueryRejection>,
) -> Answer {
    let now = (state.clock)();
    // Before the token is looked at: whoever has none asks no further than others.
    state.pace.take(now.mono, UserId(address_key(from)))?;
    may_ask(&state, &headers).await?;
    let Query(UserNameQuery { user_name }) = query.map_err(missing)?;
    let name = match names::user_name(&user_name) {
        Ok(name) => name,
        Err(reject) => return Ok(axum::Json(Availability::refused(Why::Invalid, &reject))),
    };
    let folded = fold_name(&name);
    let taken = !state.names.certainly_free(NameOf::User, &folded).await
        && state.desk.ask(move |desk| desk.name_is_taken(&folded, now.wall)).await?;
    Ok(axum::Json(Availability::of(taken)))
}

/// Lets through whoever shows an access token, or a registration, which is not used up by that.
async fn may_ask(state: &AccountsState, headers: &HeaderMap) -> Result<(), ApiError> {
    let value = headers.get(header::AUTHORIZATION).ok_or(ErrorCode::NotSignedIn)?;
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_start())
        .ok_or(ErrorCode::InvalidToken)?;
    let refused = match state.authority.verify(token) {
        Ok(caller) => return Ok(state.pace.take((state.clock)().mono, caller.claims.user)?),
        Err(refused) => refused,
    };
    match state.vault.registration((state.clock)(), token).await {
        Found::Good(_) => Ok(()),
        Found::Bad => Err(refused),
        Found::Away => Err(Reject::after(ErrorCode::Unavailable, 1_000).into()),
    }
}
