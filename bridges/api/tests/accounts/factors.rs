//! Second factors: enrolling an app, signing in with it, what bounds guessing, and proving again who somebody is.

use std::sync::Arc;

use lynk_api::accounts::NoBlocks;
use lynk_auth::{FactorKeys, RecoveryCode, ServerSecret, TOTP_STEP_MILLIS, TotpSecret};
use lynk_domain::{Millis, SessionId, UserId};
use lynk_embedded::Accounts;
use lynk_model::account::AuditKind;
use lynk_model::port::{AccountStore as _, FactorStore as _, ready};
use serde_json::{Value, json};

use crate::support::{Answer, FACTOR_KEY, SECRET, START, Server, lax, text};

const ALICE: &str = "+4915112345601";
const BOB: &str = "+4915112345602";
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn server() -> Server {
    let mut policies = lax();
    policies.codes.per_number_day = 9;
    policies.codes.tries_max = 5;
    Server::with(policies)
}

fn access(of: &Value) -> &str {
    text(of, "access_token")
}

/// An app with its recovery codes, as its owner has them.
struct App {
    secret: TotpSecret,
    recovery: Vec<String>,
}

impl App {
    /// The code at the server's time; `later` steps after it.
    fn code(&self, server: &Server, later: u64) -> String {
        self.secret.code(server.wall() / TOTP_STEP_MILLIS + later).reveal().to_owned()
    }

    /// One that is not good at the server's time.
    fn wrong(&self, server: &Server) -> String {
        let good: Vec<_> =
            (0..3).map(|step| self.secret.code(server.wall() / TOTP_STEP_MILLIS + step - 1)).collect();
        let wrong = (0..9).map(|n| format!("{n:06}"));
        wrong.into_iter().find(|code| good.iter().all(|good| good.reveal() != code)).expect("one of them")
    }
}

/// The bytes of base32, as an app reads them.
pub(crate) fn decode(base32: &str) -> TotpSecret {
    let bits = base32.bytes().map(|byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        _ => byte - b'2' + 26,
    });
    let (mut bytes, mut number, mut count) = (Vec::new(), 0_u32, 0);
    for five in bits {
        (number, count) = (number << 5 | u32::from(five), count + 5);
        if count >= 8 {
            count -= 8;
            bytes.push((number >> count) as u8);
        }
    }
    TotpSecret::new(bytes.try_into().expect("20 bytes"))
}

fn begin(server: &Server, token: &str) -> Answer {
    server.call("POST", "/v1/me/totp", Some(token), None)
}

fn confirm(server: &Server, token: &str, code: &str) -> Answer {
    server.call("POST", "/v1/me/totp/confirm", Some(token), Some(&json!({ "code": code })))
}

/// Turns the app on, in a session that was just opened.
#[track_caller]
fn enrol(server: &Server, token: &str) -> App {
    let begun = begin(server, token).ok(200);
    let secret = decode(text(&begun, "secret"));
    let code = secret.code(server.wall() / TOTP_STEP_MILLIS).reveal().to_owned();
    let made = confirm(server, token, &code).ok(200);
    let recovery = made["recovery_codes"].as_array().expect("a list");
    // The code is used: the next one is of another step.
    server.advance(2 * TOTP_STEP_MILLIS);
    App { secret, recovery: recovery.iter().map(|code| code.as_str().expect("text").to_owned()).collect() }
}

/// Proves the number; the challenge.
#[track_caller]
fn challenge(server: &Server, phone: &str) -> String {
    server.advance(MINUTE);
    let proved = server.prove(phone, "ignored");
    assert_eq!((&proved["status"], &proved["expires_in_ms"]), (&json!("second_factor"), &json!(300_000)));
    assert_eq!(proved.as_object().expect("an object").len(), 3, "nothing else: {proved}");
    text(&proved, "challenge").to_owned()
}

fn answer(server: &Server, challenge: &str, name: &str, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, name: code, "device": "laptop" });
    server.post("/v1/auth/second_factor", &body)
}

fn standing(server: &Server, token: &str) -> (bool, u64) {
    let body = server.get("/v1/me/totp", token).ok(200);
    assert_eq!(body["enabled_at"].is_u64(), body["enabled"] == true);
    (body["enabled"] == true, body["recovery_codes_left"].as_u64().expect("a number"))
}

fn step_up(server: &Server, token: &str, body: &Value) -> Answer {
    server.call("POST", "/v1/auth/step_up", Some(token), Some(body))
}

#[test]
fn an_app_is_asked_for_once_its_first_code_was_shown() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let token = access(&made);
    assert_eq!(standing(&server, token), (false, 0));
    assert_eq!(confirm(&server, token, "123456").code(409), "conflict", "nothing waits");
    let begun = begin(&server, token).ok(200);
    let (secret, uri) = (text(&begun, "secret"), text(&begun, "uri"));
    assert_eq!(
        uri,
        format!("otpauth://totp/Lynk:alice?secret={secret}&issuer=Lynk&algorithm=SHA1&digits=6&period=30")
    );
    assert!(text(&begun, "qr_svg").starts_with("<?xml") && text(&begun, "qr_svg").ends_with("</svg>"));
    assert!(text(&begun, "qr_png").starts_with("data:image/png;base64,iVBORw0KGgo"));
    assert_eq!(server.sign_in(ALICE, "laptop")["status"], "signed_in", "it waits for its first code");
    // A second begin replaces the first.
    let again = begin(&server, token).ok(200);
    let (old, app) = (decode(secret), decode(text(&again, "secret")));
    let code = |of: &TotpSecret| of.code(server.wall() / TOTP_STEP_MILLIS).reveal().to_owned();
    assert_eq!(confirm(&server, token, &code(&old)).code(401), "invalid_code");
    assert_eq!(confirm(&server, token, "12345").code(400), "invalid_field");
    let confirmed = confirm(&server, token, &code(&app)).ok(200);
    assert_eq!(confirmed["other_sessions"], 1, "which may be ended now");
    let mut codes: Vec<_> = confirmed["recovery_codes"].as_array().expect("a list").clone();
    codes.sort_by_key(ToString::to_string);
    codes.dedup();
    assert_eq!(codes.len(), 10);
    for code in &codes {
        let groups: Vec<_> = code.as_str().expect("text").split('-').map(str::len).collect();
        assert_eq!(groups, [4; 6], "24 characters of five bits");
    }
    assert_eq!(standing(&server, token), (true, 10));
    begin(&server, token).ok(200);
    assert_eq!(standing(&server, token), (true, 10), "another that begins changes nothing");
    assert_eq!(confirm(&server, token, &code(&app)).code(409), "conflict");

    let first = challenge(&server, ALICE);
    let signed = answer(&server, &first, "code", &code(&app)).ok(200);
    assert_eq!((&signed["status"], &signed["user"]["user_name"]), (&json!("signed_in"), &json!("alice")));
    let devices = server.get("/v1/sessions", access(&signed)).ok(200);
    assert_eq!(devices["sessions"][2]["device"], "laptop");
    let second = challenge(&server, ALICE);
    assert_eq!(answer(&server, &first, "code", &code(&app)).code(401), "invalid_code", "used");
    answer(&server, &second, "code", &code(&app)).ok(200);
}

#[test]
fn a_code_of_an_app_is_good_once_and_so_is_a_challenge() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let app = enrol(&server, access(&made));
    let (one, other) = (challenge(&server, ALICE), challenge(&server, ALICE));
    let code = app.code(&server, 0);
    answer(&server, &one, "code", &code).ok(200);
    assert_eq!(answer(&server, &other, "code", &code).code(401), "invalid_code", "the code is used");
    assert_eq!(
        answer(&server, &one, "code", &app.code(&server, 1)).code(401),
        "invalid_code",
        "the challenge is"
    );
    // A clock that is ahead by a step, and none that is ahead by two.
    assert_eq!(answer(&server, &other, "code", &app.code(&server, 2)).code(401), "invalid_code");
    answer(&server, &other, "code", &app.code(&server, 1)).ok(200);
    let late = challenge(&server, ALICE);
    server.advance(5 * MINUTE);
    assert_eq!(answer(&server, &late, "code", &app.code(&server, 0)).code(401), "invalid_code", "over");
    // What was used at enrolling is used.
    assert_eq!(answer(&server, "lc1_x", "code", &app.code(&server, 0)).code(401), "invalid_code");
}

#[test]
fn a_wrong_first_factor_and_a_wrong_second_one_are_told_alike() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let app = enrol(&server, access(&made));
    let told = |answer: Answer| {
        let mut body = answer.body.clone();
        body.as_object_mut().expect("an object").remove("request_id");
        (answer.code(401).to_owned(), body)
    };
    server.advance(MINUTE);
    let (request, sent) = server.code_for(ALICE);
    let wrong = format!("{:06}", (sent.parse::<u32>().expect("digits") + 1) % 1_000_000);
    let first = told(server.post("/v1/auth/verify", &json!({ "request_id": request, "code": wrong })));
    let good = challenge(&server, ALICE);
    for (challenge, name, code) in [
        (&*good, "code", app.wrong(&server)),
        (&*good, "recovery_code", "aaaaa-aaaaa".to_owned()),
        ("lc1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "code", app.code(&server, 0)),
        ("nothing", "recovery_code", app.recovery[0].clone()),
    ] {
        assert_eq!(told(answer(&server, challenge, name, &code)), first, "{challenge} {name}");
    }
    for _ in 0..4 {
        answer(&server, &good, "code", &app.wrong(&server)).code(401);
    }
    assert_eq!(told(answer(&server, &good, "code", &app.code(&server, 0))), first, "locked");
    assert_eq!(first.0, "invalid_code");
    for body in [
        json!({ "challenge": good }),
        json!({ "challenge": good, "code": "123456", "recovery_code": "aaaaa-aaaaa" }),
        json!({ "challenge": good, "code": "12345a" }),
        json!({ "challenge": good, "recovery_code": "aaaaa-aaaa1" }),
    ] {
        let refused = server.post("/v1/auth/second_factor", &body);
        assert_eq!(refused.code(400), "invalid_field", "{body}");
    }
}

#[test]
fn five_wrong_codes_lock_the_app_for_an_hour_and_its_owner_has_recovery_codes() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let app = enrol(&server, access(&made));
    let one = challenge(&server, ALICE);
    for _ in 0..5 {
        answer(&server, &one, "code", &app.wrong(&server)).code(401);
    }
    assert_eq!(answer(&server, &one, "code", &app.code(&server, 0)).code(401), "invalid_code", "locked");
    let data = Arc::clone(&server.data);
    answer(&server, &one, "recovery_code", &app.recovery[3]).ok(200);
    let other = challenge(&server, ALICE);
    assert_eq!(answer(&server, &other, "recovery_code", &app.recovery[3]).code(401), "invalid_code", "used");
    assert_eq!(
        answer(&server, &other, "code", &app.code(&server, 0)).code(401),
        "invalid_code",
        "still locked"
    );
    let wall = server.wall();
    server.end();

    // A restart gives nothing back; an hour does.
    let mut policies = lax();
    policies.codes.per_number_day = 9;
    let server = Server::over(data, policies, Arc::new(NoBlocks), wall + MINUTE);
    let other = challenge(&server, ALICE);
    assert_eq!(
        answer(&server, &other, "code", &app.code(&server, 0)).code(401),
        "invalid_code",
        "still locked"
    );
    server.advance(HOUR + 5 * MINUTE);
    let other = challenge(&server, ALICE);
    answer(&server, &other, "code", &app.code(&server, 0)).ok(200);
    let user = UserId::parse(text(&made["user"], "user")).expect("an id");
    let data = Arc::clone(&server.data);
    server.end();
    let store = Accounts::open(data.path()).expect("opens");
    let kinds: Vec<_> =
        ready(store.audit(user, 99)).expect("readable").iter().rev().map(|one| one.kind).collect();
    let expected = [
        AuditKind::Registered,
        AuditKind::SignedIn,
        AuditKind::FactorOn,
        AuditKind::FactorLocked,
        AuditKind::RecoveryUsed,
        AuditKind::SignedIn,
        AuditKind::SignedIn,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn what_is_sensitive_needs_a_proof_of_the_last_minutes() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    server.sign_up(BOB, "bob");
    server.advance(5 * MINUTE + 1_000);
    let made = server.refresh(&made["refresh_token"]).ok(200);
    let token = access(&made);
    let refused = begin(&server, token);
    assert_eq!(refused.code(403), "step_up_required", "a refresh is no proof");
    assert!(text(&refused.body, "message").contains("/v1/auth/step_up"));
    let new_codes = |token: &str| server.call("POST", "/v1/me/totp/recovery", Some(token), None);
    assert_eq!(new_codes(token).code(403), "step_up_required");

    // Without an app: a code to the account's own telephone.
    let ask = || server.call("POST", "/v1/auth/step_up/code", Some(token), None).ok(200);
    let before = server.messages_to(ALICE, 0).len();
    let request = ask()["request_id"].clone();
    let code = server.messages_to(ALICE, before + 1).last().expect("sent").code.reveal().to_owned();
    server.advance(MINUTE);
    let (bobs, bobs_code) = server.code_for(BOB);
    for (body, status, told) in [
        (json!({ "request_id": bobs, "code": bobs_code }), 401, "invalid_code"),
        (json!({ "request_id": "x", "code": code }), 401, "invalid_code"),
        (json!({ "code": code }), 400, "invalid_field"),
        (json!({ "request_id": request }), 400, "invalid_field"),
        (json!({}), 400, "invalid_field"),
    ] {
        assert_eq!(step_up(&server, token, &body).code(status), told, "{body}");
    }
    let proved = step_up(&server, token, &json!({ "request_id": request, "code": code })).ok(200);
    let proof = access(&proved);
    let app = enrol(&server, proof);
    assert_eq!(
        proved["access_expires_at"].as_u64().expect("a time") / 1_000 * 1_000,
        proved["access_expires_at"]
    );
    server.advance(4 * MINUTE);
    assert_eq!(
        server.get("/v1/me", proof).code(401),
        "token_expired",
        "the proof is over after five minutes"
    );

    // With an app: its code, and no message.
    assert_eq!(server.call("POST", "/v1/auth/step_up/code", Some(token), None).code(409), "conflict");
    let sent = json!({ "request_id": request, "code": code });
    assert_eq!(step_up(&server, token, &sent).code(400), "invalid_field");
    assert_eq!(step_up(&server, token, &json!({ "code": app.wrong(&server) })).code(401), "invalid_code");
    let code = app.code(&server, 0);
    let proved = step_up(&server, token, &json!({ "code": code })).ok(200);
    assert_eq!(step_up(&server, token, &json!({ "code": code })).code(401), "invalid_code", "used");
    let renewed = new_codes(access(&proved)).ok(200);
    assert_eq!(renewed["recovery_codes"].as_array().expect("a list").len(), 10);
    assert_eq!(standing(&server, token), (true, 10));
    let old = json!({ "recovery_code": app.recovery[0] });
    assert_eq!(step_up(&server, token, &old).code(401), "invalid_code", "replaced");
    let new = json!({ "recovery_code": renewed["recovery_codes"][0].as_str().expect("text").to_uppercase() });
    step_up(&server, token, &new).ok(200);
    assert_eq!(standing(&server, token), (true, 9));
    // A proof ends with its session.
    server.call("POST", "/v1/auth/logout", Some(token), None).ok(204);
    assert_eq!(server.get("/v1/me", access(&proved)).code(401), "invalid_token");
}

#[test]
fn the_app_is_turned_off_with_a_code_or_a_recovery_code_at_any_time() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let token = access(&made);
    let off = |body: &Value| server.call("DELETE", "/v1/me/totp", Some(token), Some(body));
    assert_eq!(off(&json!({ "code": "123456" })).code(409), "conflict", "it is off");
    let app = enrol(&server, token);
    server.advance(10 * MINUTE);
    assert_eq!(off(&json!({})).code(400), "invalid_field");
    assert_eq!(off(&json!({ "code": app.wrong(&server) })).code(401), "invalid_code");
    assert_eq!(off(&json!({ "code": app.code(&server, 0) })).ok(200), json!({ "other_sessions": 0 }));
    assert_eq!(standing(&server, token), (false, 0));
    let made = server.sign_in(ALICE, "laptop");
    // And on again, with another secret and other codes.
    let again = enrol(&server, access(&made));
    assert!(again.secret != app.secret && again.recovery.iter().all(|code| !app.recovery.contains(code)));
    assert_eq!(
        off(&json!({ "recovery_code": app.recovery[0] })).code(401),
        "invalid_code",
        "of the earlier app"
    );
    assert_eq!(off(&json!({ "recovery_code": again.recovery[9] })).ok(200), json!({ "other_sessions": 1 }));
    assert_eq!(server.sign_in(ALICE, "desk")["status"], "signed_in");
}

#[test]
fn recovery_codes_of_before_are_good_until_they_are_used_or_replaced() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    enrol(&server, access(&made));
    let user = UserId::parse(text(&made["user"], "user")).expect("an id");
    let (data, wall) = (Arc::clone(&server.data), server.wall());
    server.end();
    // What the store has of codes that an earlier version handed out.
    let secret = ServerSecret::new(SECRET);
    let proofs = ["ab765-ab7h7", "bb765-ab7h7", "cb765-ab7h7"]
        .map(|code| RecoveryCode::parse(code).expect("ten characters").proof(&secret, user));
    let mut store = Accounts::open(data.path()).expect("opens");
    ready(store.replace_recovery(user, &proofs, SessionId::NIL, Millis(wall))).expect("written");
    drop(store);

    let mut policies = lax();
    policies.codes.per_number_day = 9;
    let server = Server::over(data, policies, Arc::new(NoBlocks), wall + MINUTE);
    let one = challenge(&server, ALICE);
    let signed = answer(&server, &one, "recovery_code", "AB765 ab7h7").ok(200);
    let token = access(&signed);
    assert_eq!(standing(&server, token), (true, 2));
    let used = json!({ "recovery_code": "ab765-ab7h7" });
    assert_eq!(step_up(&server, token, &used).code(401), "invalid_code", "used");
    step_up(&server, token, &json!({ "recovery_code": "bb765ab7h7" })).ok(200);
    let renewed = server.call("POST", "/v1/me/totp/recovery", Some(token), None).ok(200);
    let replaced = json!({ "recovery_code": "cb765-ab7h7" });
    assert_eq!(step_up(&server, token, &replaced).code(401), "invalid_code", "replaced");
    let new = json!({ "recovery_code": renewed["recovery_codes"][0] });
    step_up(&server, token, &new).ok(200);
    assert_eq!(standing(&server, token), (true, 9));
}

#[test]
fn another_app_takes_the_place_of_the_one_there_is_by_a_code_of_both() {
    let mut policies = lax();
    policies.codes.per_number_day = 9;
    policies.factors.required = true;
    let server = Server::with(policies);
    let made = server.sign_up(ALICE, "alice");
    let user = UserId::parse(text(&made["user"], "user")).expect("an id");
    let old = enrol(&server, access(&made));
    let made = server.refresh(&made["refresh_token"]).ok(200);
    let token = access(&made);
    server.advance(6 * MINUTE);
    let begun = begin(&server, token).ok(200);
    let (replacement, new) = (text(&begun, "replacement"), decode(text(&begun, "secret")));
    let step = |server: &Server| server.wall() / TOTP_STEP_MILLIS;
    let first = |server: &Server| new.code(step(server)).reveal().to_owned();
    let send =
        |token: &str, body: &Value| server.call("POST", "/v1/me/totp/confirm", Some(token), Some(body));
    let body = |code: &str, name: &str, current: &str| json!({ "code": code, "replacement": replacement, name: current });
    let good = |name: &str, current: &str| body(&first(&server), name, current);
    let changed = format!("{}{}", if replacement.starts_with('A') { 'B' } else { 'A' }, &replacement[1..]);
    for (bad, status, told) in [
        (json!({ "code": first(&server) }), 409, "conflict"),
        (json!({ "code": first(&server), "replacement": replacement }), 400, "invalid_field"),
        (json!({ "code": first(&server), "current_code": old.code(&server, 0) }), 400, "invalid_field"),
        (json!({ "code": first(&server), "recovery_code": old.recovery[0] }), 400, "invalid_field"),
        (good("current_code", &old.wrong(&server)), 401, "invalid_code"),
        (good("recovery_code", "aaaaa-aaaaa"), 401, "invalid_code"),
        (body(&old.code(&server, 0), "recovery_code", &old.recovery[0]), 401, "invalid_code"),
        (
            json!({ "code": first(&server), "replacement": "x", "current_code": old.code(&server, 0) }),
            409,
            "conflict",
        ),
        (
            json!({ "code": first(&server), "replacement": changed, "current_code": old.code(&server, 0) }),
            409,
            "conflict",
        ),
    ] {
        assert_eq!(send(token, &bad).code(status), told, "{bad}");
    }
    assert_eq!(standing(&server, token), (true, 10), "a mistyped code of the new app uses nothing up");
    // Of another session, and of another person.
    let other = challenge(&server, ALICE);
    let other = answer(&server, &other, "recovery_code", &old.recovery[9]).ok(200);
    assert_eq!(send(access(&other), &good("recovery_code", &old.recovery[0])).code(409), "conflict");
    let bob = server.sign_up(BOB, "bob");
    enrol(&server, access(&bob));
    let bob = server.refresh(&bob["refresh_token"]).ok(200);
    assert_eq!(send(access(&bob), &good("recovery_code", &old.recovery[0])).code(409), "conflict");

    let replaced = send(token, &good("current_code", &old.code(&server, 0))).ok(200);
    assert_eq!((&replaced["other_sessions"], standing(&server, token)), (&json!(1), (true, 10)));
    assert_eq!(
        send(token, &good("recovery_code", &old.recovery[0])).code(401),
        "invalid_code",
        "they are void"
    );
    server.advance(2 * TOTP_STEP_MILLIS);
    let one = challenge(&server, ALICE);
    assert_eq!(answer(&server, &one, "code", &old.code(&server, 0)).code(401), "invalid_code");
    answer(&server, &one, "code", &first(&server)).ok(200);
    // Who has lost the app: a recovery code in its place. Too late is too late.
    let begun = begin(&server, token).ok(200);
    let spare = replaced["recovery_codes"][0].as_str().expect("text");
    let with = |server: &Server, begun: &Value| {
        let code = decode(text(begun, "secret")).code(step(server)).reveal().to_owned();
        json!({ "code": code, "replacement": begun["replacement"], "recovery_code": spare })
    };
    server.advance(10 * MINUTE + 1);
    let fresh = server.refresh(&made["refresh_token"]).ok(200);
    assert_eq!(send(access(&fresh), &with(&server, &begun)).code(409), "conflict");
    let begun = begin(&server, access(&fresh)).ok(200);
    let replaced = send(access(&fresh), &with(&server, &begun)).ok(200);
    assert_eq!(replaced["recovery_codes"].as_array().expect("a list").len(), 10);
    let data = Arc::clone(&server.data);
    server.end();
    let store = Accounts::open(data.path()).expect("opens");
    let kinds: Vec<_> = ready(store.audit(user, 99)).expect("readable").iter().map(|one| one.kind).collect();
    assert_eq!(kinds[..3], [AuditKind::FactorOn, AuditKind::RecoveryMade, AuditKind::RecoveryUsed]);
}

#[test]
fn an_app_that_takes_too_long_for_its_first_code_begins_again() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let begun = begin(&server, access(&made)).ok(200);
    assert_eq!(begun["expires_in_ms"], 600_000);
    let secret = decode(text(&begun, "secret"));
    server.advance(10 * MINUTE + 1);
    let code = secret.code(server.wall() / TOTP_STEP_MILLIS).reveal().to_owned();
    assert_eq!(confirm(&server, access(&made), &code).code(409), "conflict");
    assert_eq!(standing(&server, access(&made)), (false, 0));
}

#[test]
fn a_registration_of_a_number_whose_account_has_an_app_by_now_does_not_go_round_it() {
    let server = server();
    let proved = server.prove(ALICE, "first");
    server.advance(MINUTE);
    let made = server.sign_up(ALICE, "alice");
    enrol(&server, access(&made));
    let late = json!({ "registration": proved["registration"], "user_name": "mallory" });
    assert_eq!(server.post("/v1/auth/register", &late).code(401), "invalid_token");
}

/// What the disk has is worth nothing without `keys/`; with other keys nobody signs in with less than before.
#[test]
fn secrets_at_rest_are_sealed_and_without_their_key_recovery_codes_are_left() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let begun = begin(&server, access(&made)).ok(200);
    let secret = decode(text(&begun, "secret"));
    let code = secret.code(server.wall() / TOTP_STEP_MILLIS).reveal().to_owned();
    let codes = confirm(&server, access(&made), &code).ok(200);
    let recovery: Vec<_> = codes["recovery_codes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|code| code.as_str().expect("text"))
        .collect();
    let (data, wall) = (Arc::clone(&server.data), server.wall());
    server.end();
    let mut secrets: Vec<Vec<u8>> = recovery.iter().map(|code| code.as_bytes().to_vec()).collect();
    secrets.extend(recovery.iter().map(|code| code.replace('-', "").into_bytes()));
    secrets.push(text(&begun, "secret").as_bytes().to_vec());
    secrets.push(FACTOR_KEY.to_vec());
    for entry in std::fs::read_dir(data.path()).expect("readable") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{} in {}", String::from_utf8_lossy(secret), path.display());
        }
    }

    let open = |keys: FactorKeys, wall| {
        let store = Accounts::open(data.path()).expect("opens");
        Server::on_keys(store, Arc::clone(&data), lax(), wall, keys)
    };
    let now = |server: &Server, later: u64| {
        secret.code(server.wall() / TOTP_STEP_MILLIS + later).reveal().to_owned()
    };
    let server = open(FactorKeys::new([1; 32], []), wall + 10 * MINUTE);
    let one = challenge(&server, ALICE);
    assert_eq!(answer(&server, &one, "code", &now(&server, 0)).code(500), "internal");
    assert_eq!(answer(&server, &one, "code", "000000").code(500), "internal", "nothing is compared");
    answer(&server, &one, "recovery_code", recovery[0]).ok(200);
    server.end();
    // Both keys: the first use seals the secret under the new one, and the old one is needed no more.
    let server = open(FactorKeys::new([1; 32], [FACTOR_KEY]), wall + 20 * MINUTE);
    let one = challenge(&server, ALICE);
    answer(&server, &one, "code", &now(&server, 0)).ok(200);
    server.end();
    let server = open(FactorKeys::new([1; 32], []), wall + 30 * MINUTE);
    let one = challenge(&server, ALICE);
    answer(&server, &one, "code", &now(&server, 0)).ok(200);
}

#[test]
fn second_factors_are_counted_by_what_became_of_them() {
    let server = server();
    let made = server.sign_up(ALICE, "alice");
    let app = enrol(&server, access(&made));
    let token = access(&made);
    for _ in 0..5 {
        step_up(&server, token, &json!({ "code": app.wrong(&server) })).code(401);
    }
    step_up(&server, token, &json!({ "code": app.code(&server, 0) })).code(401);
    step_up(&server, token, &json!({ "recovery_code": app.recovery[0] })).ok(200);
    let mut snapshot = lynk_telemetry::Snapshot::new();
    server.state.counts().add_to(&mut snapshot);
    let counts: Vec<_> = snapshot
        .series()
        .iter()
        .filter(|series| series.metric == lynk_telemetry::Metric::AccountsFactors)
        .map(|series| match series.value {
            lynk_telemetry::Value::Number(number) => number,
            _ => f64::NAN,
        })
        .collect();
    assert_eq!(counts, [1.0, 5.0, 1.0, 0.0]);
    assert!(server.wall() < START + DAY);
}
