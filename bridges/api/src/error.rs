//! Errors of the API: the codes of the socket, each with one HTTP status.
//!
//! A handler answers with an [`ApiError`]; its body is written when the answer leaves, where the request's id is known. What
//! the framework answers by itself (no such path, wrong method, body too long) gets a body there too.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lynk_protocol::{ErrorCode, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a client is told to wait when nobody said how long.
const RETRY_MILLIS: u32 = 1_000;

/// The body of every answer that is not a success.
#[derive(Clone, Serialize, Deserialize, JsonSchema, Debug)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// Stable code; `docs/protocol.md` lists them all.
    pub code: Cow<'static, str>,
    /// What exactly, for people.
    pub message: Cow<'static, str>,
    /// Whether the same request, with the same key, may succeed later.
    pub retryable: bool,
    /// Milliseconds to wait, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// Names this answer in the server's log; the same as the header `x-request-id`.
    pub request_id: String,
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    /// Stable code.
    pub code: ErrorCode,
    /// Status, where it is not that of the code.
    status: Option<StatusCode>,
    /// What exactly, for people.
    message: Cow<'static, str>,
    retry_after_millis: Option<u32>,
}

impl ApiError {
    /// With the code's own words.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Reject::new(code).into()
    }

    /// That says what exactly was wrong. Never put in what a client sent: it may be a secret.
    #[must_use]
    pub fn because(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Reject::because(code, message).into()
    }

    /// That names a time to wait.
    #[must_use]
    pub fn after(code: ErrorCode, millis: u32) -> Self {
        Reject::after(code, millis).into()
    }

    /// Of a status that the framework chose.
    fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::NOT_FOUND => (ErrorCode::UnknownOp, "no such path"),
            StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::UnknownOp, "this path has other methods"),
            StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::TooLarge, "the body is too long"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (ErrorCode::BadRequest, "the body must be application/json")
            }
            StatusCode::REQUEST_TIMEOUT => (ErrorCode::BadRequest, "the request did not arrive in time"),
            status if status.is_server_error() => (ErrorCode::Internal, ""),
            _ => (ErrorCode::BadRequest, "not a request of this API"),
        };
        Self { status: Some(status), ..Self::because(code, message) }
    }

    /// The request took too long to arrive.
    #[must_use]
    pub fn timeout() -> Self {
        Self::of_status(StatusCode::REQUEST_TIMEOUT)
    }

    /// The part that a request wants is not there.
    #[must_use]
    pub fn unsatisfiable() -> Self {
        let why = "the file does not have that part";
        Self {
            status: Some(StatusCode::RANGE_NOT_SATISFIABLE),
            ..Self::because(ErrorCode::InvalidField, why)
        }
    }

    /// A body in another format.
    pub(crate) fn media_type() -> Self {
        Self::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }

    /// As the engine encoded it; `None` for what is no error.
    pub(crate) fn decode(answer: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Encoded {
            code: String,
            message: String,
            retry_after_ms: Option<u32>,
        }
        let encoded: Encoded = serde_json::from_slice(answer).ok()?;
        let code = ErrorCode::ALL.into_iter().find(|code| code.name() == encoded.code)?;
        let retry_after_millis = encoded.retry_after_ms;
        Some(Self { code, status: None, message: encoded.message.into(), retry_after_millis })
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| status_of(self.code))
    }

    fn retry_after_millis(&self) -> Option<u32> {
        let wanted = matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        self.retry_after_millis.or(wanted.then_some(RETRY_MILLIS))
    }

    fn into_answer(self, request_id: &str) -> Response {
        let retry = self.retry_after_millis();
        let body = ErrorBody {
            code: self.code.name().into(),
            retryable: self.code.retryable(),
            retry_after_ms: retry,
            request_id: request_id.to_owned(),
            message: self.message.clone(),
        };
        let mut answer = (self.status(), Json(body)).into_response();
        let headers = answer.headers_mut();
        if let Some(millis) = retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1_000)));
        }
        if answer.status() == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl From<Reject> for ApiError {
    fn from(reject: Reject) -> Self {
        let message = match reject.code {
            // The code's own words speak of sockets.
            ErrorCode::NotSignedIn if reject.detail.is_empty() => "send a bearer token".into(),
            ErrorCode::TokenExpired if reject.detail.is_empty() => "get a new token".into(),
            code if reject.detail.is_empty() => code.advice().into(),
            _ => reject.detail,
        };
        Self { code: reject.code, status: None, message, retry_after_millis: reject.retry_after_millis }
    }
}

impl From<ApiError> for Reject {
    fn from(error: ApiError) -> Self {
        Self { code: error.code, detail: error.message, retry_after_millis: error.retry_after_millis }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl IntoResponse for ApiError {
    /// A status with the error at hand; [`finish`] writes the body.
    fn into_response(self) -> Response {
        let mut answer = self.status().into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

/// Writes the body of an answer that is an error and has none of its own; leaves every other answer as it is.
pub(crate) fn finish(mut answer: Response, request_id: &str) -> Response {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return answer;
    }
    let error = answer.extensions_mut().remove::<ApiError>();
    let is_json = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if error.is_none() && is_json {
        return answer;
    }
    let kept = [header::ALLOW, header::CONNECTION, header::CONTENT_RANGE];
    let kept = kept.map(|name| (answer.headers_mut().remove(&name), name));
    let mut answer = error.unwrap_or_else(|| ApiError::of_status(status)).into_answer(request_id);
    for (value, name) in kept {
        if let Some(value) = value {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// The one table of statuses.
#[must_use]
pub fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NotSignedIn
        | ErrorCode::InvalidToken
        | ErrorCode::TokenExpired
        | ErrorCode::InvalidCode => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden
        | ErrorCode::Banned
        | ErrorCode::Muted
        | ErrorCode::Blocked
        | ErrorCode::NotAMember
        | ErrorCode::RequestPending
        | ErrorCode::StepUpRequired
        | ErrorCode::SecondFactorRequired
        | ErrorCode::AccountSuspended => StatusCode::FORBIDDEN,
        ErrorCode::RoomNotFound
        | ErrorCode::MessageNotFound
        | ErrorCode::UserNotFound
        | ErrorCode::SessionNotFound
        | ErrorCode::AttachmentNotFound
        | ErrorCode::UnknownOp => StatusCode::NOT_FOUND,
        ErrorCode::Conflict
        | ErrorCode::IdempotencyConflict
        | ErrorCode::NameTaken
        | ErrorCode::LastOwner
        | ErrorCode::AttachmentNotReady
        | ErrorCode::LimitReached => StatusCode::CONFLICT,
        ErrorCode::KeyExpired => StatusCode::GONE,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::ClockSkew => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimited | ErrorCode::SlowMode => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Busy
        | ErrorCode::Unavailable
        | ErrorCode::Draining
        | ErrorCode::StorageFull
        | ErrorCode::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_of_an_error_and_what_may_be_retried_says_so() {
        for code in ErrorCode::ALL {
            let status = status_of(code);
            assert!(status.is_client_error() || status.is_server_error(), "{}", code.name());
            assert!(status != StatusCode::SERVICE_UNAVAILABLE || code.retryable(), "{}", code.name());
        }
    }

    #[test]
    fn an_error_of_the_engine_keeps_its_words_and_its_time_to_wait() {
        let mut encoded = Vec::new();
        lynk_protocol::encode_error(&mut encoded, 7, None, &Reject::after(ErrorCode::SlowMode, 1_500), 9);
        let error = ApiError::decode(&encoded).expect("an error");
        let answer = error.into_answer("0123");
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2", "rounded up");
        assert_eq!(ApiError::decode(br#"{"ev":"ok","re":1}"#), None);
    }
}
