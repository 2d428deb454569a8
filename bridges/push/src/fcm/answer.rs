//! What an answer of Firebase means.
//!
//! Pure. A token is unregistered when the error says `UNREGISTERED`, and in no other case: a 404 without that word is a wrong project or a
//! wrong URL, and would cost every device. What is repeated is what Google says to repeat: 429, 500 and 503, and refused credentials.

use lynk_model::notify::PushCause;
use lynk_model::port::Delivered;
use serde_json::Value;

use crate::client::Answer;

/// How long is waited after a 429 that does not say, in milliseconds: what Google asks for.
const QUOTA_MILLIS: u64 = 60_000;
const ERROR_TYPE: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

/// The word of the provider for what went wrong: that of its own list, or else the general one.
fn word(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return (None, None) };
    let error = &value["error"];
    let own = error["details"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|detail| detail["@type"] == ERROR_TYPE)
        .and_then(|detail| detail["errorCode"].as_str().map(str::to_owned));
    (own, error["status"].as_str().map(str::to_owned))
}

pub(super) fn judge(answer: &Answer) -> Delivered {
    let (own, general) = word(&answer.body);
    let own = own.as_deref();
    let after = |default: u64| {
        answer.retry_after.map_or(default, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let failed = |cause, default| Delivered::Failed { cause, retry_after_millis: after(default) };
    match (answer.status, own) {
        (200..=299, _) => Delivered::Taken,
        (404, Some("UNREGISTERED")) => Delivered::Unregistered,
        (_, Some("SENDER_ID_MISMATCH")) => Delivered::Refused(PushCause::Sender),
        (_, Some("THIRD_PARTY_AUTH_ERROR")) => Delivered::Refused(PushCause::ThirdParty),
        (400, _) => Delivered::Refused(PushCause::Invalid),
        (401 | 403, _) => failed(PushCause::Credentials, 0),
        (429, _) => failed(PushCause::Quota, QUOTA_MILLIS),
        (404, _) if general.as_deref() == Some("NOT_FOUND") || own.is_none() => failed(PushCause::Other, 0),
        (500..=599, _) => failed(PushCause::Server, 0),
        _ => Delivered::Refused(PushCause::Other),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn answer(status: u16, word: Option<&str>, general: &str, retry_after: Option<u64>) -> Answer {
        let details = word.map(|word| json!([{"@type": ERROR_TYPE, "errorCode": word}]));
        let body = json!({"error": {"code": status, "message": "m", "status": general, "details": details}});
        Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn only_the_word_unregistered_costs_a_token() {
        assert_eq!(judge(&answer(404, Some("UNREGISTERED"), "NOT_FOUND", None)), Delivered::Unregistered);
        let others = [
            answer(404, None, "NOT_FOUND", None),
            answer(400, Some("INVALID_ARGUMENT"), "INVALID_ARGUMENT", None),
            answer(400, Some("UNREGISTERED"), "INVALID_ARGUMENT", None),
            answer(403, Some("SENDER_ID_MISMATCH"), "PERMISSION_DENIED", None),
            answer(401, Some("THIRD_PARTY_AUTH_ERROR"), "UNAUTHENTICATED", None),
            answer(429, Some("QUOTA_EXCEEDED"), "RESOURCE_EXHAUSTED", None),
            answer(500, Some("INTERNAL"), "INTERNAL", None),
            answer(503, Some("UNAVAILABLE"), "UNAVAILABLE", None),
            Answer { status: 404, retry_after: None, body: b"<html>".to_vec() },
        ];
        for other in others {
            assert_ne!(judge(&other), Delivered::Unregistered, "{}", other.status);
        }
    }

    #[test]
    fn what_google_says_to_repeat_is_repeated_when_it_says() {
        let failed = |cause, retry_after_millis| Delivered::Failed { cause, retry_after_millis };
        let judged = |status, word, retry| judge(&answer(status, word, "X", retry));
        assert_eq!(judged(429, Some("QUOTA_EXCEEDED"), None), failed(PushCause::Quota, 60_000));
        assert_eq!(judged(429, Some("QUOTA_EXCEEDED"), Some(7)), failed(PushCause::Quota, 7_000));
        assert_eq!(judged(503, Some("UNAVAILABLE"), Some(2)), failed(PushCause::Server, 2_000));
        assert_eq!(judged(500, None, None), failed(PushCause::Server, 0));
        assert_eq!(judged(401, None, None), failed(PushCause::Credentials, 0));
        assert_eq!(judged(400, Some("INVALID_ARGUMENT"), None), Delivered::Refused(PushCause::Invalid));
        assert_eq!(judged(418, Some("TEAPOT"), None), Delivered::Refused(PushCause::Other));
        assert_eq!(judged(200, None, None), Delivered::Taken);
    }
}
