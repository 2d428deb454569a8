//! JSON bodies. What is wrong with one is told without repeating any of it: it may hold a secret.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use lynk_protocol::ErrorCode;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Whether a body says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The JSON object in a request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::media_type());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(refused)?;
        // Derived types would take an array of the members' values, too.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::because(ErrorCode::BadRequest, "the body is not a JSON object"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) if error.is_data() => {
                Err(ApiError::because(ErrorCode::InvalidField, "a field is missing or of the wrong type"))
            }
            Err(_) => Err(ApiError::because(ErrorCode::BadRequest, "the body is not JSON")),
        }
    }
}

fn refused(rejection: BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::because(ErrorCode::TooLarge, "the body is longer than 128 KiB")
        }
        _ => ApiError::because(ErrorCode::BadRequest, "the body cannot be read"),
    }
}
