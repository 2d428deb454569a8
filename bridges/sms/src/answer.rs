//! What an answer of the carrier means.
//!
//! Pure. The status decides whether the message was taken; the carrier's number in the body only says why not. Whatever leaves
//! that open is [`Verdict::Unknown`].

use std::time::Duration;

use serde::Deserialize;

use crate::Cause;
use crate::client::Answer;

/// What became of a message that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The carrier took it.
    Taken,
    /// It certainly did not.
    NotTaken(Cause),
    /// It certainly did not, because we ask too often; when to ask again, if it said so.
    Later(Option<Duration>),
    /// It may have.
    Unknown(Cause),
}

/// A verdict and the carrier's own number for it, which is for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) code: Option<u32>,
}

/// The members of a body that are looked at: of a message as of an error.
#[derive(Deserialize, Default)]
struct Body {
    /// Of an error.
    code: Option<u32>,
    /// Of a message that failed at once.
    error_code: Option<u32>,
}

impl Answer {
    pub(crate) fn judge(&self) -> Judged {
        let body: Body = serde_json::from_slice(&self.body).unwrap_or_default();
        let known = |default: Cause| match body.code.map_or(default, Cause::of_code) {
            Cause::Other => default,
            cause => cause,
        };
        let (verdict, code) = match self.status {
            // Made, and failed in the same moment: it has a number, and is not sent.
            200..=299 => match body.error_code {
                Some(code) => (Verdict::NotTaken(Cause::of_code(code)), Some(code)),
                None => (Verdict::Taken, None),
            },
            429 => (Verdict::Later(self.retry_after), body.code),
            401 => (Verdict::NotTaken(Cause::Credentials), body.code),
            403 => (Verdict::NotTaken(known(Cause::Credentials)), body.code),
            404 => (Verdict::NotTaken(known(Cause::Sender)), body.code),
            // A proxy between us and the carrier may have given up after it passed the request on.
            408 => (Verdict::Unknown(Cause::Unanswered), body.code),
            // Somebody who is not the API: it answers to what it was asked.
            300..=399 => (Verdict::NotTaken(Cause::Sender), body.code),
            400..=499 => (Verdict::NotTaken(known(Cause::Other)), body.code),
            _ => (Verdict::Unknown(Cause::Server), body.code),
        };
        Judged { verdict, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> (Verdict, Option<u32>) {
        let answer = Answer { status, retry_after: Some(Duration::from_secs(3)), body: body.into() };
        let Judged { verdict, code } = answer.judge();
        (verdict, code)
    }

    #[test]
    fn the_status_decides_and_the_number_says_why() {
        use Verdict::{Later, NotTaken, Taken, Unknown};
        for (status, body, expected) in [
            (201, r#"{"sid":"SM1","status":"queued","error_code":null}"#, (Taken, None)),
            (201, "", (Taken, None)),
            (201, "no JSON", (Taken, None)),
            (201, r#"{"status":"failed","error_code":30006}"#, (NotTaken(Cause::Number), Some(30006))),
            (400, r#"{"code":21211,"status":400}"#, (NotTaken(Cause::Number), Some(21211))),
            (400, r#"{"code":21610,"status":400}"#, (NotTaken(Cause::Blocked), Some(21610))),
            (400, r#"{"code":21408,"status":400}"#, (NotTaken(Cause::Region), Some(21408))),
            (400, r#"{"code":21606,"status":400}"#, (NotTaken(Cause::Sender), Some(21606))),
            (400, r#"{"code":99999}"#, (NotTaken(Cause::Other), Some(99999))),
            (400, "<html>", (NotTaken(Cause::Other), None)),
            (401, r#"{"code":20003,"status":401}"#, (NotTaken(Cause::Credentials), Some(20003))),
            (403, r#"{"code":20005}"#, (NotTaken(Cause::Account), Some(20005))),
            (404, r#"{"code":20404}"#, (NotTaken(Cause::Sender), Some(20404))),
            (307, "", (NotTaken(Cause::Sender), None)),
            (408, "", (Unknown(Cause::Unanswered), None)),
            (429, r#"{"code":20429}"#, (Later(Some(Duration::from_secs(3))), Some(20429))),
            (500, r#"{"code":20500}"#, (Unknown(Cause::Server), Some(20500))),
            (502, "", (Unknown(Cause::Server), None)),
            (503, r#"{"code":20503}"#, (Unknown(Cause::Server), Some(20503))),
            (504, "", (Unknown(Cause::Server), None)),
        ] {
            assert_eq!(judged(status, body), expected, "{status} {body}");
        }
    }
}
