//! The operations over HTTP.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lynk_auth::{Code, CodeRequest, RecoveryCode};
use lynk_domain::UserId;
use lynk_protocol::{ErrorCode, Reject};

use super::service::{Again, Answered, Fresh, Replacing, Shown};
use super::wire;
use crate::accounts::handlers::{Answer, Body, send_code};
use crate::accounts::{AccountsState, names, number, wire as accounts_wire};
use crate::body::Json;
use crate::{ApiError, Caller, Client, Enrolling};

fn field(what: &'static str) -> ApiError {
    Reject::because(ErrorCode::InvalidField, what).into()
}

fn code(text: &str) -> Answer<Code> {
    Code::parse(text).ok_or_else(|| field("code must be six digits"))
}

/// Exactly one of the two.
fn shown(sent: Option<&str>, recovery: Option<&str>) -> Answer<Shown> {
    match (sent, recovery) {
        (Some(text), None) => Ok(Shown::Code(code(text)?)),
        (None, Some(text)) => RecoveryCode::parse(text)
            .map(Shown::Recovery)
            .ok_or_else(|| field("recovery_code must be 24 letters and digits, or ten of an earlier one")),
        _ => Err(field("send a code of the app or a recovery_code, one of them")),
    }
}

pub(in crate::accounts) async fn second_factor(
    State(state): State<AccountsState>,
    Client(from): Client,
    Json(body): Json<wire::SecondFactorBody>,
) -> Answer<Body<accounts_wire::SignedIn>> {
    let device = names::device(body.device.as_deref())?;
    let shown = shown(body.code.as_deref(), body.recovery_code.as_deref())?;
    let answered = Answered { challenge: body.challenge, shown, device };
    let now = (state.clock)();
    let (issued, account) = state.desk.ask(move |desk| desk.second_factor(now, from, &answered)).await?;
    Ok(axum::Json(accounts_wire::SignedIn {
        status: "signed_in",
        tokens: issued.into(),
        user: (&account).into(),
    }))
}

pub(in crate::accounts) async fn standing(
    State(state): State<AccountsState>,
    Enrolling { claims }: Enrolling,
) -> Answer<Body<wire::Standing>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let standing = state.desk.ask(move |desk| desk.standing(&claims)).await?;
    Ok(axum::Json(wire::Standing {
        enabled: standing.confirmed.is_some(),
        enabled_at: standing.confirmed.map(|at| at.0),
        recovery_codes_left: standing.recovery_left,
        required: state.policies.factors.required,
    }))
}

pub(in crate::accounts) async fn begin(
    State(state): State<AccountsState>,
    Enrolling { claims }: Enrolling,
) -> Answer<Body<wire::Begun>> {
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    let fresh = state.desk.ask(move |desk| desk.enrol(now, &claims)).await?;
    let Fresh { secret, account, replacement } = fresh;
    let policy = &state.policies.factors;
    // The account's label is its name: whoever looks at the telephone reads no number.
    let uri = secret.uri(&policy.issuer, &account.user_name);
    let pictures = state.painter.qr(uri.clone()).await?;
    Ok(axum::Json(wire::Begun {
        secret: secret.base32(),
        uri,
        qr_svg: pictures.svg,
        qr_png: format!("data:image/png;base64,{}", STANDARD.encode(&pictures.png)),
        expires_in_ms: policy.enrolment_millis,
        replacement,
    }))
}

pub(in crate::accounts) async fn confirm(
    State(state): State<AccountsState>,
    Client(from): Client,
    Enrolling { claims }: Enrolling,
    Json(body): Json<wire::ConfirmBody>,
) -> Answer<Body<wire::RecoveryCodes>> {
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    let code = code(&body.code)?;
    let made = match body.replacement {
        Some(replacement) => {
            let current = shown(body.current_code.as_deref(), body.recovery_code.as_deref())?;
            let asked = Replacing { replacement, code, current };
            state.desk.ask(move |desk| desk.replace(now, from, &claims, &asked)).await?
        }
        None if body.current_code.is_some() || body.recovery_code.is_some() => {
            return Err(field("current_code and recovery_code go with replacement"));
        }
        None => state.desk.ask(move |desk| desk.confirm(now, from, &claims, &code)).await?,
    };
    let mut answer = wire::RecoveryCodes::new(&made.codes, made.other_sessions);
    if let Some((token, expires)) = made.opened {
        answer.access_token = Some(token.reveal().to_owned());
        answer.access_expires_at = Some(expires.0);
    }
    Ok(axum::Json(answer))
}

pub(in crate::accounts) async fn turn_off(
    State(state): State<AccountsState>,
    Client(from): Client,
    Enrolling { claims }: Enrolling,
    Json(body): Json<wire::SecondFactor>,
) -> Answer<Body<wire::TurnedOff>> {
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    let shown = shown(body.code.as_deref(), body.recovery_code.as_deref())?;
    let other_sessions = state.desk.ask(move |desk| desk.turn_off(now, from, &claims, &shown)).await?;
    Ok(axum::Json(wire::TurnedOff { other_sessions }))
}

pub(in crate::accounts) async fn new_recovery(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
) -> Answer<Body<wire::RecoveryCodes>> {
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    let made = state.desk.ask(move |desk| desk.new_recovery(now, &claims)).await?;
    Ok(axum::Json(wire::RecoveryCodes::new(&made.codes, made.other_sessions)))
}

pub(in crate::accounts) async fn step_up_code(
    State(state): State<AccountsState>,
    Client(from): Client,
    Enrolling { claims }: Enrolling,
) -> Answer<Body<accounts_wire::CodeSent>> {
    state.pace.take_proof((state.clock)().mono, claims.session)?;
    let account = state.desk.ask(move |desk| desk.sent_to(&claims)).await?;
    send_code(&state, from, number::parse(account.phone.as_e164())?).await
}

pub(in crate::accounts) async fn step_up(
    State(state): State<AccountsState>,
    Client(from): Client,
    Enrolling { claims }: Enrolling,
    Json(body): Json<wire::StepUpBody>,
) -> Answer<Body<wire::SteppedUp>> {
    let now = (state.clock)();
    state.pace.take_proof(now.mono, claims.session)?;
    let again = match (&body.request_id, &body.code) {
        (None, _) => Again::Second(shown(body.code.as_deref(), body.recovery_code.as_deref())?),
        (Some(id), Some(sent)) if body.recovery_code.is_none() => {
            // A request id of another form is one that was never made.
            let request = UserId::parse(id).map(|id| CodeRequest(id.0)).ok_or(ErrorCode::InvalidCode)?;
            Again::Sent(request, code(sent)?)
        }
        (Some(_), _) => return Err(field("with request_id send code and nothing else")),
    };
    let (token, expires) = state.desk.ask(move |desk| desk.step_up(now, from, &claims, &again)).await?;
    Ok(axum::Json(wire::SteppedUp { access_token: token.reveal().to_owned(), access_expires_at: expires.0 }))
}
