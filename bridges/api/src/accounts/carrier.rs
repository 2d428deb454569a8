//! Calls of a carrier: what became of a message, told to a path that anybody can reach.
//!
//! Thread: the API's runtime. Whether a call is the carrier's is for the sender to say, before anything of it is used; a
//! message that does not arrive ends its code. It is no operation of the API: clients have no use for it.
//!
//! Limits: [`CALL_BYTES_MAX`]. What can fail: the call; refusals say why and repeat nothing of it.

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use lynk_auth::{SmsCall, SmsCallError, SmsReport};
use lynk_protocol::ErrorCode;

use super::AccountsState;
use crate::ApiError;

/// Longest body of a call. A carrier's have some hundred bytes.
const CALL_BYTES_MAX: usize = 8 << 10;

/// What the call is signed with.
const SIGNATURE: &str = "x-twilio-signature";

pub(super) async fn status(
    State(state): State<AccountsState>,
    uri: Uri,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let Some(sms) = &state.sms else { return Err(refusal(SmsCallError::NotServed)) };
    let Ok(body) = to_bytes(body, CALL_BYTES_MAX).await else {
        state.counts.call_refused(None);
        return Err(ApiError::because(ErrorCode::TooLarge, "the call is longer than 8 KiB, or was cut off"));
    };
    let mut signatures = headers.get_all(SIGNATURE).iter();
    let signature = signatures.next().filter(|_| signatures.next().is_none());
    let call = SmsCall {
        path: uri.path_and_query().map_or("", |path| path.as_str()),
        reference: &reference,
        signature: signature.map(|value| value.as_bytes()),
        body: &body,
    };
    match sms.report(&call) {
        Ok(SmsReport::Noted) => {}
        Ok(SmsReport::Lost(request)) => {
            state.counts.cancelled();
            let now = (state.clock)();
            state.desk.tell(move |desk| desk.cancel_code(now, request));
        }
        Err(error) => {
            state.counts.call_refused(Some(error));
            return Err(refusal(error));
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn refusal(error: SmsCallError) -> ApiError {
    let (code, why) = match error {
        SmsCallError::Signature => (ErrorCode::Forbidden, "the signature is not that of the carrier"),
        SmsCallError::Malformed => (ErrorCode::BadRequest, "the call is not of the carrier's form"),
        SmsCallError::UnknownMessage => (ErrorCode::MessageNotFound, "no message has this reference now"),
        SmsCallError::Replayed => (ErrorCode::Conflict, "this status was told before"),
        SmsCallError::NotServed => (ErrorCode::UnknownOp, "no such path"),
    };
    ApiError::because(code, why)
}
