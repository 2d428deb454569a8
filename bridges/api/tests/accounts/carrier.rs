//! What a carrier says, at once and later, and what messages cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lynk_api::accounts::NoBlocks;
use lynk_auth::{CountryPrice, SmsError};
use lynk_telemetry::{Metric, Snapshot, Value as Number};
use serde_json::{Value, json};

use crate::support::{Answer, START, Server, lax};

const ALICE: &str = "+4915112345601";
const US: &str = "+12025550123";

fn numbers(server: &Server, metric: Metric) -> Vec<f64> {
    let mut snapshot = Snapshot::new();
    server.state.counts().add_to(&mut snapshot);
    let of_metric = snapshot.series().iter().filter(|series| series.metric == metric);
    of_metric.map(|one| if let Number::Number(number) = one.value { number } else { f64::NAN }).collect()
}

#[track_caller]
fn wait_until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn call(server: &Server, reference: &str, signature: &str, body: &str) -> Answer {
    server.raw(&format!(
        "POST /v1/sms/status/{reference} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{signature}content-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

const SIGNED: &str = "x-twilio-signature: signed\r\n";

#[test]
fn a_message_that_is_lost_takes_its_code_with_it() {
    let server = Server::new();
    let (request, code) = server.code_for(ALICE);
    let verify = || server.post("/v1/auth/verify", &json!({ "request_id": request, "code": code }));
    assert_eq!(call(&server, "0", SIGNED, "noted").status, 204);
    assert_eq!(call(&server, "0", SIGNED, "lost").status, 204);
    // Both went through one queue.
    assert_eq!(verify().code(401), "invalid_code");
    assert_eq!(numbers(&server, Metric::AccountsCodesCancelled), [1.0]);
    server.advance(60_000);
    let (request, code) = server.code_for(ALICE);
    assert_eq!(call(&server, "1", SIGNED, "noted").status, 204);
    server.post("/v1/auth/verify", &json!({ "request_id": request, "code": code })).ok(200);
}

#[test]
fn a_call_that_is_not_believed_is_refused_counted_and_changes_nothing() {
    let server = Server::new();
    let (request, code) = server.code_for(ALICE);
    for signature in
        ["", "x-twilio-signature: other\r\n", "x-twilio-signature: signed\r\nx-twilio-signature: signed\r\n"]
    {
        assert_eq!(call(&server, "0", signature, "lost").code(403), "forbidden");
    }
    assert_eq!(call(&server, "7", SIGNED, "lost").code(404), "message_not_found");
    assert_eq!(call(&server, "0", SIGNED, "again").code(409), "conflict");
    assert_eq!(call(&server, "0", SIGNED, "nonsense").code(400), "bad_request");
    assert_eq!(call(&server, "0", SIGNED, &"lost".repeat(2_049)).code(413), "too_large");
    assert_eq!(server.call("GET", "/v1/sms/status/0", None, None).status, 405);
    assert_eq!(numbers(&server, Metric::SmsCallsRefused), [3.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(numbers(&server, Metric::AccountsCodesCancelled), [0.0]);
    server.post("/v1/auth/verify", &json!({ "request_id": request, "code": code })).ok(200);
}

#[test]
fn a_code_of_unknown_fate_stays_good_and_one_that_was_refused_does_not() {
    let server = Server::new();
    server.carrier.broken.store(true, Ordering::Relaxed);
    let mut asked = Vec::new();
    for (n, error) in [SmsError::Unknown, SmsError::Refused].into_iter().enumerate() {
        *server.carrier.error.lock().expect("whole") = Some(error);
        let phone = format!("+491511234560{n}");
        asked.push(server.post("/v1/auth/code", &json!({ "phone": phone })).ok(200));
        wait_until("offered", || server.carrier.failed.load(Ordering::Relaxed) > n);
    }
    let outcomes = || numbers(&server, Metric::AccountsCodes);
    wait_until("counted", || outcomes()[3] + outcomes()[4] == 2.0);
    assert_eq!(outcomes(), [0.0, 0.0, 0.0, 1.0, 1.0]);
    let codes = server.carrier.offered();
    let verify = |n: usize| {
        let code = codes[n].code.reveal();
        server.post("/v1/auth/verify", &json!({ "request_id": asked[n]["request_id"], "code": code }))
    };
    verify(0).ok(200);
    assert_eq!(verify(1).code(401), "invalid_code");
}

#[test]
fn the_money_of_a_day_is_spent_by_country_and_not_given_back_by_a_restart() {
    let mut policies = lax();
    policies.codes.price = 5_000;
    policies.codes.prices =
        vec![CountryPrice { country: *b"DE", price: 950 }, CountryPrice { country: *b"US", price: 79 }];
    policies.codes.spend_day = 2_000;
    policies.codes.resend_millis = 1_000;
    let server = Server::with(policies.clone());
    let ask =
        |server: &Server, phone: &str| -> Answer { server.post("/v1/auth/code", &json!({ "phone": phone })) };
    ask(&server, "+4915112345601").ok(200);
    // Switzerland is not on the list, and the others are dearer than the day.
    assert_eq!(ask(&server, "+41781234567").code(429), "rate_limited");
    ask(&server, "+4915112345602").ok(200);
    let over = ask(&server, "+4915112345603");
    assert_eq!(over.code(429), "rate_limited");
    assert!(over.body["retry_after_ms"].as_u64().is_some_and(|millis| millis > 3_600_000), "{}", over.body);
    ask(&server, US).ok(200);
    assert_eq!(numbers(&server, Metric::AccountsSpent), [0.1979]);
    assert_eq!(numbers(&server, Metric::AccountsOverBudget), [2.0]);
    assert_eq!(numbers(&server, Metric::AccountsCodes)[2], 2.0, "refused, as by any other limit");
    let data = Arc::clone(&server.data);
    server.end();
    let server = Server::over(Arc::clone(&data), policies.clone(), Arc::new(NoBlocks), START + 120_000);
    assert_eq!(ask(&server, US).code(429), "rate_limited", "21 are left, and it costs 79");
    server.end();
    let later = START + 26 * 3_600_000;
    let server = Server::over(data, policies, Arc::new(NoBlocks), later);
    ask(&server, "+4915112345604").ok(200);
    let answer: Value = ask(&server, "+4915112345605").ok(200);
    assert_eq!(answer.as_object().expect("an object").len(), 3);
}
