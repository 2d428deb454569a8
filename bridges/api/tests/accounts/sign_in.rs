//! Codes, registration, names.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lynk_api::accounts::NoBlocks;
use serde_json::json;

use crate::support::{START, Server, lax, text};

const ALICE: &str = "+4915112345601";
const BOB: &str = "+4915112345602";

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

#[test]
fn a_number_becomes_an_account_and_signs_in_to_it_again() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    assert_eq!((text(&made, "status"), text(&made["user"], "user_name")), ("signed_in", "alice"));
    assert!(text(&made, "refresh_token").starts_with("lr1_"));
    assert_eq!(made["access_expires_at"], START / 1_000 * 1_000 + 900_000);
    let me = server.get("/v1/me", text(&made, "access_token")).ok(200);
    assert_eq!((text(&me, "phone"), text(&me, "display_name")), ("+49…01", "alice"));
    assert_eq!((&me["created_at"], &me["user"]), (&json!(START), &made["user"]["user"]));
    let again = server.sign_in("+49 151 12345601", "laptop");
    assert_eq!(again["user"], made["user"]);
    assert_ne!(again["session"], made["session"]);
}

#[test]
fn a_right_code_is_good_once_and_a_wrong_one_is_told_like_any_other() {
    let server = Server::new();
    let (request, code) = server.code_for(ALICE);
    let verify = |request: &str, code: &str| {
        server.post("/v1/auth/verify", &json!({ "request_id": request, "code": code }))
    };
    let wrong = format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000);
    let mut told = Vec::new();
    for answer in [
        verify(&request, &wrong),
        verify("00000000-0000-4000-8000-000000000000", &code),
        verify("no id", &code),
    ] {
        assert_eq!(answer.code(401), "invalid_code");
        told.push(answer.body["message"].clone());
    }
    assert_eq!(verify(&request, "12345").code(400), "invalid_field");
    let proved = verify(&request, &code).ok(200);
    let replayed = verify(&request, &code);
    assert_eq!(replayed.code(401), "invalid_code");
    told.push(replayed.body["message"].clone());
    // One that is over, and one that was tried too often.
    server.advance(60_000);
    let (request, code) = server.code_for(ALICE);
    server.advance(300_000);
    told.push(verify(&request, &code).body["message"].clone());
    let (request, code) = server.code_for(ALICE);
    let wrong = format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000);
    for _ in 0..5 {
        told.push(verify(&request, &wrong).body["message"].clone());
    }
    told.push(verify(&request, &code).body["message"].clone());
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
    assert!(text(&proved, "registration").starts_with("lg1_"));
}

#[test]
fn a_registration_is_good_once_for_ten_minutes_and_survives_a_taken_name() {
    let server = Server::new();
    server.sign_up(ALICE, "Straße");
    let proved = server.prove(BOB, "");
    let register = |registration: &str, name: &str| {
        server.post("/v1/auth/register", &json!({ "registration": registration, "user_name": name }))
    };
    let registration = text(&proved, "registration");
    assert_eq!(register(registration, "STRASSE").code(409), "name_taken");
    assert_eq!(register(registration, "a b").code(400), "invalid_field");
    assert_eq!(register("lg1_AAAA", "bob").code(401), "invalid_token");
    let made = register(registration, "bob").ok(201);
    assert_eq!(register(registration, "bob2").code(401), "invalid_token");
    assert_eq!(text(&made["user"], "display_name"), "bob");
    let proved = server.prove("+4915112345603", "");
    server.advance(600_000);
    assert_eq!(register(text(&proved, "registration"), "carol").code(401), "invalid_token");
}

#[test]
fn two_registrations_of_one_number_make_one_account() {
    let server = Server::new();
    let first = server.prove(ALICE, "");
    server.advance(60_000);
    let second = server.prove(ALICE, "");
    let register = |proved: &serde_json::Value, name: &str| {
        let body = json!({ "registration": proved["registration"], "user_name": name });
        server.post("/v1/auth/register", &body)
    };
    register(&first, "alice").ok(201);
    assert_eq!(register(&second, "alicia").code(401), "invalid_token", "the first one closed it");
    server.advance(60_000);
    assert_eq!(server.prove(ALICE, "")["user"]["user_name"], "alice");
}

#[test]
fn known_unknown_and_exhausted_numbers_get_the_same_answer() {
    let server = Server::new();
    server.sign_up(ALICE, "alice");
    for _ in 0..4 {
        server.advance(60_000);
        server.code_for(ALICE);
    }
    server.advance(60_000);
    let sent = server.messages(5).len();
    let exhausted = server.post("/v1/auth/code", &json!({ "phone": ALICE })).ok(200);
    let unknown = server.post("/v1/auth/code", &json!({ "phone": BOB })).ok(200);
    server.sign_up("+4915112345604", "carol");
    server.advance(60_000);
    let known = server.post("/v1/auth/code", &json!({ "phone": "+4915112345604" })).ok(200);
    for answer in [&exhausted, &unknown, &known] {
        assert_eq!((&answer["expires_in_ms"], &answer["resend_in_ms"]), (&json!(300_000), &json!(60_000)));
        assert_eq!(answer.as_object().expect("an object").len(), 3);
        assert_eq!(text(answer, "request_id").len(), 36);
    }
    let sent = &server.messages(sent + 3)[sent..];
    assert!(sent.iter().all(|sms| sms.to.as_e164() != ALICE), "the exhausted number got none");
}

#[test]
fn an_exhausted_number_is_told_to_wait_like_any_other() {
    let mut policies = lax();
    policies.codes.per_number_day = 1;
    let server = Server::with(policies);
    server.code_for(ALICE);
    server.advance(60_000);
    let ask = |phone: &str| server.post("/v1/auth/code", &json!({ "phone": phone }));
    for phone in [ALICE, BOB] {
        ask(phone).ok(200);
    }
    server.advance(59_000);
    for phone in [ALICE, BOB] {
        let soon = ask(phone);
        assert_eq!(
            (soon.code(429), &soon.body["retry_after_ms"]),
            ("rate_limited", &json!(1_000)),
            "{phone}"
        );
    }
    server.advance(1_000);
    for phone in [ALICE, BOB] {
        ask(phone).ok(200);
    }
    assert_eq!(server.messages(2).iter().filter(|sms| sms.to.as_e164() == ALICE).count(), 1);
}

#[test]
fn sends_are_limited_by_number_address_prefix_hour_and_country() {
    let mut policies = lax();
    policies.codes.per_address_hour = 3;
    policies.codes.per_prefix_hour = 4;
    policies.codes.messages_hour = 6;
    policies.codes.countries = vec!["DE".to_owned()];
    let server = Server::with(policies);
    let ask =
        |from: u8, phone: &str| server.post_from(address(from), "/v1/auth/code", &json!({ "phone": phone }));
    ask(1, "+4915112345601").ok(200);
    let soon = ask(1, "+4915112345601");
    assert_eq!(soon.code(429), "rate_limited");
    assert_eq!((&soon.body["retry_after_ms"], soon.header("retry-after")), (&json!(60_000), Some("60")));
    ask(1, "+4915112345602").ok(200);
    ask(1, "+4915112345603").ok(200);
    assert_eq!(ask(1, "+4915112345604").code(429), "rate_limited", "the address");
    ask(2, "+4915112345604").ok(200);
    assert_eq!(ask(2, "+4915112345605").code(429), "rate_limited", "the prefix");
    ask(3, "+4915112445601").ok(200);
    ask(3, "+4915112445602").ok(200);
    assert_eq!(ask(4, "+4915112445603").code(429), "rate_limited", "the hour");
    assert_eq!(ask(5, "+12025550123").code(403), "forbidden", "the country");
    assert_eq!(ask(5, "12025550123").code(400), "invalid_field");
    server.advance(2 * 3_600_000);
    ask(1, "+4915112345604").ok(200);
}

#[test]
fn limits_outlive_the_process() {
    let mut policies = lax();
    policies.codes.per_number_day = 1;
    let server = Server::with(policies.clone());
    server.code_for(ALICE);
    let data = Arc::clone(&server.data);
    server.end();
    let server = Server::over(data, policies, Arc::new(NoBlocks), START + 120_000);
    server.post("/v1/auth/code", &json!({ "phone": ALICE })).ok(200);
    server.post("/v1/auth/code", &json!({ "phone": BOB })).ok(200);
    let sent = server.messages(1);
    assert_eq!(sent.iter().map(|sms| sms.to.as_e164()).collect::<Vec<_>>(), [BOB]);
}

#[test]
fn one_address_tries_twenty_times_a_minute() {
    let mut policies = lax();
    policies.codes.attempts_per_address_minute = 20;
    let server = Server::with(policies);
    let try_one = |from: u8| {
        let body = json!({ "request_id": "00000000-0000-4000-8000-000000000000", "code": "123456" });
        server.post_from(address(from), "/v1/auth/verify", &body)
    };
    for _ in 0..20 {
        assert_eq!(try_one(1).code(401), "invalid_code");
    }
    assert_eq!(try_one(1).code(429), "rate_limited");
    assert_eq!(try_one(2).code(401), "invalid_code");
    server.advance(3_000);
    assert_eq!(try_one(1).code(401), "invalid_code");
}

#[test]
fn a_code_that_cannot_be_sent_is_no_code() {
    let server = Server::new();
    server.carrier.broken.store(true, Ordering::Relaxed);
    let asked = server.post("/v1/auth/code", &json!({ "phone": ALICE })).ok(200);
    let until = Instant::now() + Duration::from_secs(60);
    while server.carrier.failed.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < until, "nothing was sent");
        std::thread::sleep(Duration::from_millis(2));
    }
    server.carrier.broken.store(false, Ordering::Relaxed);
    server.advance(60_000);
    let (request, code) = server.code_for(ALICE);
    assert_ne!(text(&asked, "request_id"), request);
    server.post("/v1/auth/verify", &json!({ "request_id": request, "code": code })).ok(200);
}
