//! JSON bodies. What is wrong with one is told without repeating any of it: it may hold a secret.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use lynk_protocol::ErrorCode;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::ApiError;

/// Whether a body says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The JSON object in a request's body.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::media_type());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(refused)?;
        parse(&bytes).map(Self)
    }
}

/// The JSON object in `bytes`.
///
/// # Errors
/// What is wrong, by place and by names of the API's own.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Derived types would take an array of the members' values, too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::because(ErrorCode::BadRequest, "the body is not a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let at = format!("at line {} column {}", error.line(), error.column());
        // A number where one of some words is wanted is no JSON to the reader of such words.
        if !error.is_data() && serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            return ApiError::because(ErrorCode::BadRequest, format!("the body is not JSON {at}"));
        }
        let text = error.to_string();
        let named = ["missing field `", "duplicate field `"].iter().any(|start| text.starts_with(start));
        let what = if named { text } else { format!("a field has another type, or is out of range, {at}") };
        ApiError::because(ErrorCode::InvalidField, what)
    })
}

fn refused(rejection: BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::because(ErrorCode::TooLarge, "the body is longer than 128 KiB")
        }
        _ => ApiError::because(ErrorCode::BadRequest, "the body cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    struct Optional {
        on: Option<bool>,
    }

    #[derive(serde::Deserialize, Debug)]
    enum Word {
        One,
    }

    #[test]
    fn a_field_of_another_type_is_no_fault_of_the_body() {
        #[derive(serde::Deserialize, Debug)]
        struct Wanted {
            word: Word,
        }
        assert!(matches!(parse::<Wanted>(br#"{"word":"One"}"#).expect("an object").word, Word::One));
        for (bytes, code) in [
            (&br#"{"word":1}"#[..], ErrorCode::InvalidField),
            (br#"{"word":"Two"}"#, ErrorCode::InvalidField),
            (br#"{"word":}"#, ErrorCode::BadRequest),
        ] {
            assert_eq!(parse::<Wanted>(bytes).expect_err("another type").code, code);
        }
    }

    #[test]
    fn an_array_is_no_object_even_where_every_member_may_be_missing() {
        assert_eq!(parse::<Optional>(br#" {"on":true}"#).expect("an object").on, Some(true));
        for bytes in [&b"[]"[..], b"[true]", b"null", b"", b"  "] {
            let error = parse::<Optional>(bytes).expect_err("no object");
            assert_eq!(error.code, ErrorCode::BadRequest);
        }
    }
}
