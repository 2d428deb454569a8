//! The operations over HTTP: what a request means, and what its answer looks like.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lynk_auth::{Code, CodeRequest, OneTimeKind, RefreshToken};
use lynk_domain::{SessionId, UserId};
use lynk_model::account::Which;
use lynk_protocol::{ErrorCode, Reject};

use super::counts::Coded;
use super::number::Number;
use super::service::{Proved, Registration};
use super::{AccountsState, names, number, wire};
use crate::body::Json;
use crate::{ApiError, Caller, Client, Enrolling};

pub(super) type Answer<T> = Result<T, ApiError>;
pub(super) type Body<T> = axum::Json<T>;

pub(super) async fn code(
    State(state): State<AccountsState>,
    Client(from): Client,
    Json(body): Json<wire::CodeBody>,
) -> Answer<Body<wire::CodeSent>> {
    // Where nobody sends codes, whoever asks for one is told so, whatever the number is.
    if state.sms.is_none() {
        return Err(no_codes().into());
    }
    send_code(&state, from, number::parse(&body.phone)?).await
}

fn no_codes() -> Reject {
    Reject::because(ErrorCode::Unavailable, "this server sends no codes")
}

/// Makes a code and has it sent.
pub(super) async fn send_code(
    state: &AccountsState,
    from: IpAddr,
    number: Number,
) -> Answer<Body<wire::CodeSent>> {
    let Some(sms) = state.sms.clone() else { return Err(no_codes().into()) };
    let countries = &state.policies.codes.countries;
    let allowed = |country: &String| countries.iter().any(|one| one.eq_ignore_ascii_case(country));
    if !countries.is_empty() && !number.country.as_ref().is_some_and(allowed) {
        return Err(
            Reject::because(ErrorCode::Forbidden, "no codes are sent to numbers of this country").into()
        );
    }
    // Room to send is taken first: a code that cannot go out is not made.
    let Ok(permit) = state.sending.clone().try_acquire_owned() else {
        return Err(Reject::after(ErrorCode::Busy, 1_000).into());
    };
    let now = (state.clock)();
    let price = state.policies.codes.price_of(number.country.as_deref());
    let asked = state.desk.ask(move |desk| desk.request_code(now, from, &number.phone, price)).await;
    let requested = asked.inspect_err(|_| state.counts.coded(Coded::Refused))?;
    if requested.sms.is_none() {
        state.counts.coded(Coded::Withheld);
    }
    if let Some(message) = requested.sms {
        let (desk, counts) = (state.desk.clone(), Arc::clone(&state.counts));
        // The answer waits for no carrier: it would tell those numbers apart that get a message.
        tokio::spawn(async move {
            let sent = sms.send(&message).await;
            counts.coded(match sent {
                Ok(()) => Coded::Sent,
                Err(error) if error.is_certain() => Coded::Failed,
                Err(_) => Coded::Unknown,
            });
            if let Err(error) = sent {
                tracing::warn!(event = "sms_failed", to = message.to.masked(), %error, "a code may not have been sent");
                // A message whose fate nobody knows may arrive, and its reader must not be told that the code is wrong.
                if error.is_certain() {
                    desk.tell(move |desk| desk.cancel_code(now, requested.request));
                }
            }
            drop(permit);
        });
    }
    let policy = &state.policies.codes;
    Ok(axum::Json(wire::CodeSent {
        request_id: UserId(requested.request.0).to_string(),
        expires_in_ms: policy.life_millis,
        resend_in_ms: policy.resend_millis,
    }))
}

pub(super) async fn verify(
    State(state): State<AccountsState>,
    Client(from): Client,
    Json(body): Json<wire::VerifyBody>,
) -> Answer<Body<wire::Verified>> {
    let device = names::device(body.device.as_deref())?;
    let wrong = || Reject::new(ErrorCode::InvalidCode);
    // A request id of another form is one that was never made.
    let request = UserId::parse(&body.request_id).map(|id| CodeRequest(id.0)).ok_or_else(wrong)?;
    let code = Code::parse(&body.code)
        .ok_or_else(|| Reject::because(ErrorCode::InvalidField, "code must be six digits"))?;
    let now = (state.clock)();
    let proved = state.desk.ask(move |desk| desk.verify(now, from, request, &code, device)).await?;
    Ok(axum::Json(match proved {
        Proved::SignedIn(signed) => {
            let (issued, account) = *signed;
            wire::Verified::SignedIn { tokens: issued.into(), user: (&account).into() }
        }
        Proved::SecondFactor(challenge) => wire::Verified::SecondFactor {
            challenge: challenge.reveal().to_owned(),
            expires_in_ms: OneTimeKind::CHALLENGE.life_millis,
        },
        Proved::New(registration) => wire::Verified::New { registration: registration.reveal().to_owned() },
    }))
}

pub(super) async fn register(
    State(state): State<AccountsState>,
    Client(from): Client,
    Json(body): Json<wire::RegisterBody>,
) -> Answer<(StatusCode, Body<wire::SignedIn>)> {
    let user_name = names::user_name(&body.user_name)?;
    let display_name = names::display_name(body.display_name.as_deref(), &user_name)?;
    let device = names::device(body.device.as_deref())?;
    let asked = Registration { token: body.registration, user_name, display_name, device };
    let now = (state.clock)();
    let (issued, account) = state.desk.ask(move |desk| desk.register(now, from, &asked)).await?;
    let answer = wire::SignedIn { status: "signed_in", tokens: issued.into(), user: (&account).into() };
    Ok((StatusCode::CREATED, axum::Json(answer)))
}

pub(super) async fn refresh(
    State(state): State<AccountsState>,
    Json(body): Json<wire::RefreshBody>,
) -> Answer<Body<wire::Tokens>> {
    // What this server never made reaches no store.
    let token = RefreshToken::parse(&body.refresh_token, &state.server).ok_or(ErrorCode::InvalidToken)?;
    let now = (state.clock)();
    let issued = state.desk.ask(move |desk| desk.refresh(now, &token)).await?;
    Ok(axum::Json(issued.into()))
}

pub(super) async fn logout(
    State(state): State<AccountsState>,
    Enrolling { claims }: Enrolling,
) -> Answer<StatusCode> {
    let now = (state.clock)();
    state.desk.ask(move |desk| desk.end(now, &claims, Which::One(claims.session))).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn ticket(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
) -> Answer<Body<wire::Ticket>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let now = (state.clock)();
    let ticket = state.desk.ask(move |desk| desk.ticket(now, claims)).await?;
    let ticket = ticket.reveal().to_owned();
    Ok(axum::Json(wire::Ticket { ticket, expires_in_ms: OneTimeKind::TICKET.life_millis }))
}

pub(super) async fn me(
    State(state): State<AccountsState>,
    Enrolling { claims }: Enrolling,
) -> Answer<Body<wire::Me>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let account = state.desk.ask(move |desk| desk.me(&claims)).await?;
    Ok(axum::Json((&account).into()))
}

pub(super) async fn sessions(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
) -> Answer<Body<wire::Sessions>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let now = (state.clock)();
    let sessions = state.desk.ask(move |desk| desk.sessions(now, &claims)).await?;
    let sessions = sessions.iter().map(|one| wire::SessionRow::new(one, claims.session)).collect();
    Ok(axum::Json(wire::Sessions { sessions }))
}

pub(super) async fn end_session(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    session: Result<Path<String>, PathRejection>,
) -> Answer<StatusCode> {
    let session =
        session.ok().and_then(|Path(text)| SessionId::parse(&text)).ok_or(ErrorCode::SessionNotFound)?;
    let now = (state.clock)();
    let ended = state.desk.ask(move |desk| desk.end(now, &claims, Which::One(session))).await?;
    if ended == 0 { Err(ErrorCode::SessionNotFound.into()) } else { Ok(StatusCode::NO_CONTENT) }
}

pub(super) async fn end_others(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
) -> Answer<Body<wire::Revoked>> {
    let now = (state.clock)();
    let revoked = state.desk.ask(move |desk| desk.end(now, &claims, Which::Others(claims.session))).await?;
    Ok(axum::Json(wire::Revoked { revoked }))
}

pub(super) async fn jwks(State(state): State<AccountsState>) -> Response {
    let ring = state.keys.current();
    let keys = ring
        .accepted()
        .keys()
        .iter()
        .map(|key| wire::Jwk {
            kty: "OKP",
            crv: "Ed25519",
            usage: "sig",
            alg: "EdDSA",
            kid: key.kid().to_owned(),
            x: URL_SAFE_NO_PAD.encode(key.as_bytes()),
        })
        .collect();
    axum::Json(wire::Jwks { keys }).into_response()
}
