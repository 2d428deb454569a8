//! A server that demands a second factor of everybody.

use std::sync::Arc;

use lynk_api::accounts::{NoBlocks, Policies, operations};
use lynk_auth::{TOTP_STEP_MILLIS, TotpSecret};
use lynk_domain::Millis;
use lynk_telemetry::{Metric, Snapshot, Value as Number};
use serde_json::{Value, json};

use crate::factors::decode;
use crate::support::{Answer, Server, lax, ring, text};

const ALICE: &str = "+4915112345601";
const BOB: &str = "+4915112345602";
const MINUTE: u64 = 60_000;
const CODE: &str = "second_factor_required";

fn demanding() -> Policies {
    let mut policies = lax();
    policies.codes.per_number_day = 9;
    policies.factors.required = true;
    policies
}

fn access(of: &Value) -> &str {
    text(of, "access_token")
}

/// Whether tokens are good for turning on an app only: as the answer says, as the token says, and as the server does.
#[track_caller]
fn is_held(server: &Server, tokens: &Value) -> bool {
    let claims = ring(1).accepted().verify(access(tokens), Millis(server.wall())).expect("a good token");
    let ticket = server.call("POST", "/v1/auth/ticket", Some(access(tokens)), None);
    if ticket.status == 403 {
        assert_eq!(ticket.code(403), CODE);
    } else {
        assert_eq!(ticket.status, 200);
    }
    let told = tokens.get("second_factor_required");
    assert_eq!(told.is_some(), claims.enrolling, "left out where it is false: {tokens}");
    assert_eq!((told.is_some(), ticket.status == 403), (told == Some(&json!(true)), claims.enrolling));
    claims.enrolling
}

fn code(server: &Server, app: &TotpSecret) -> String {
    app.code(server.wall() / TOTP_STEP_MILLIS).reveal().to_owned()
}

fn begin(server: &Server, token: &str) -> Answer {
    server.call("POST", "/v1/me/totp", Some(token), None)
}

fn confirm(server: &Server, token: &str, code: &str) -> Answer {
    server.call("POST", "/v1/me/totp/confirm", Some(token), Some(&json!({ "code": code })))
}

#[test]
fn a_session_without_a_second_factor_can_turn_one_on_and_nothing_else() {
    let server = Server::with(demanding());
    let made = server.sign_up(ALICE, "alice");
    assert!(is_held(&server, &made));
    let token = access(&made);
    let id = "01010101-0101-4101-8101-010101010101";
    let mut open = Vec::new();
    for operation in operations().into_iter().filter(|operation| operation.auth && operation.name != "logout")
    {
        let (method, name) = (operation.method.as_str(), operation.name);
        let path =
            operation.path.replace("{session}", id).replace("{user_name}", "nobody").replace("{room}", id);
        // What no body could be: it is refused before it is looked at.
        let body = operation.request.is_some().then(|| json!([]));
        let answer = server.call(method, &path, Some(token), body.as_ref());
        assert_eq!(answer.body["code"] != CODE, operation.enrolling, "{name}: {}", answer.body);
        if operation.enrolling {
            open.push(name);
        } else {
            assert_eq!(answer.status, 403, "{name}");
            assert!(text(&answer.body, "message").contains("/v1/me/totp"), "it says what to do");
        }
    }
    open.sort_unstable();
    let expected =
        ["begin_totp", "confirm_totp", "end_totp", "erase", "me", "request_step_up_code", "step_up", "totp"];
    assert_eq!(open, expected);
    // A refresh changes nothing about it, and signing out is open.
    let next = server.refresh(&made["refresh_token"]).ok(200);
    assert!(is_held(&server, &next));
    assert_eq!(server.get("/v1/me", access(&next)).ok(200)["user_name"], "alice");
    server.call("POST", "/v1/auth/logout", Some(access(&next)), None).ok(204);
    assert_eq!(server.get("/v1/me", access(&next)).code(401), "invalid_token");
    let mut snapshot = Snapshot::new();
    server.state.counts().add_to(&mut snapshot);
    let counted =
        snapshot.series().iter().find(|one| one.metric == Metric::AccountsEnrolling).expect("counted");
    assert!(matches!(counted.value, Number::Number(count) if count >= 2.0), "the sign-up and the refresh");
}

#[test]
fn the_first_code_of_an_app_opens_the_session_at_once_and_the_app_stays() {
    let server = Server::with(demanding());
    let made = server.sign_up(ALICE, "alice");
    let token = access(&made);
    let standing = server.get("/v1/me/totp", token).ok(200);
    assert_eq!((&standing["enabled"], &standing["required"]), (&json!(false), &json!(true)));
    let app = decode(text(&begin(&server, token).ok(200), "secret"));
    assert_eq!(confirm(&server, token, "000000").code(401), "invalid_code");
    let confirmed = confirm(&server, token, &code(&server, &app)).ok(200);
    assert!(!is_held(&server, &confirmed), "the answer has a token");
    server.get("/v1/sessions", access(&confirmed)).ok(200);
    assert!(confirmed["access_expires_at"].as_u64().expect("a time") > server.wall());
    assert_eq!(server.get("/v1/sessions", token).code(403), CODE, "the token of before");
    assert!(!is_held(&server, &server.refresh(&made["refresh_token"]).ok(200)), "the same session");

    server.advance(2 * TOTP_STEP_MILLIS);
    let off = json!({ "code": code(&server, &app) });
    let refused = server.call("DELETE", "/v1/me/totp", Some(access(&confirmed)), Some(&off));
    assert_eq!(refused.code(403), "forbidden");
    assert_eq!(server.get("/v1/me/totp", access(&confirmed)).ok(200)["enabled"], true);
    // The code was not used up by that.
    server.advance(MINUTE);
    let proved = server.prove(ALICE, "ignored");
    assert_eq!(proved["status"], "second_factor");
    let body = json!({ "challenge": proved["challenge"], "code": code(&server, &app) });
    let signed = server.post("/v1/auth/second_factor", &body).ok(200);
    assert!(!is_held(&server, &signed));
}

#[test]
fn an_app_ends_sessions_that_were_opened_without_one() {
    let server = Server::with(demanding());
    let owner = server.sign_up(ALICE, "alice");
    server.advance(MINUTE);
    // Somebody who reads the messages to that number.
    let other = server.sign_in(ALICE, "elsewhere");
    assert!(is_held(&server, &other));
    let app = decode(text(&begin(&server, access(&owner)).ok(200), "secret"));
    let confirmed = confirm(&server, access(&owner), &code(&server, &app)).ok(200);
    assert_eq!(confirmed["other_sessions"], 0);
    assert_eq!(server.refresh(&other["refresh_token"]).code(401), "invalid_token");
    assert_eq!(
        server.call("POST", "/v1/me/totp/recovery", Some(access(&other)), None).code(401),
        "invalid_token"
    );
    assert!(!is_held(&server, &server.refresh(&owner["refresh_token"]).ok(200)));
}

#[test]
fn sessions_of_before_are_held_to_it_at_their_next_refresh_and_freed_with_the_demand() {
    let mut policies = demanding();
    policies.factors.required = false;
    let server = Server::with(policies.clone());
    let alice = server.sign_up(ALICE, "alice");
    let bob = server.sign_up(BOB, "bob");
    let standing = server.get("/v1/me/totp", access(&bob)).ok(200);
    assert_eq!(standing["required"], false);
    let app = decode(text(&begin(&server, access(&bob)).ok(200), "secret"));
    let confirmed = confirm(&server, access(&bob), &code(&server, &app)).ok(200);
    assert_eq!(confirmed.get("access_token"), None, "nothing was closed");
    let (data, wall) = (Arc::clone(&server.data), server.wall());
    server.end();

    let server = Server::over(Arc::clone(&data), demanding(), Arc::new(NoBlocks), wall + 6 * MINUTE);
    assert!(!is_held(&server, &alice), "until its next refresh");
    let held = server.refresh(&alice["refresh_token"]).ok(200);
    assert!(is_held(&server, &held));
    let repeated = server.refresh(&alice["refresh_token"]).ok(200);
    assert!(is_held(&server, &repeated), "a repetition as well");
    assert!(!is_held(&server, &server.refresh(&bob["refresh_token"]).ok(200)), "who has an app");
    // Its sign-in is too long ago for an enrolment: a proof is asked for, and opens nothing else.
    assert_eq!(begin(&server, access(&held)).code(403), "step_up_required");
    let before = server.messages_to(ALICE, 0).len();
    let asked = server.call("POST", "/v1/auth/step_up/code", Some(access(&held)), None).ok(200);
    let sent = server.messages_to(ALICE, before + 1).last().expect("sent").code.reveal().to_owned();
    let body = json!({ "request_id": asked["request_id"], "code": sent });
    let proved = server.call("POST", "/v1/auth/step_up", Some(access(&held)), Some(&body)).ok(200);
    let claims = ring(1).accepted().verify(access(&proved), Millis(server.wall())).expect("a good token");
    assert!(claims.enrolling);
    assert_eq!(server.get("/v1/sessions", access(&proved)).code(403), CODE);
    begin(&server, access(&proved)).ok(200);
    let again = server.sign_in(ALICE, "laptop");
    assert!(is_held(&server, &again), "an app that waits for its first code is none");
    let wall = server.wall();
    server.end();

    let server = Server::over(data, policies, Arc::new(NoBlocks), wall + MINUTE);
    assert!(!is_held(&server, &server.refresh(&again["refresh_token"]).ok(200)));
}
