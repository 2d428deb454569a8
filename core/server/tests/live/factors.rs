//! Two-step sign-in on a running server, whichever stores it has.

use std::time::{SystemTime, UNIX_EPOCH};

use lynk_auth::{TOTP_STEP_MILLIS, TotpSecret};
use serde_json::{Value, json};

use crate::people::{as_user, code, codes, sign_in, socket, start};
use crate::support::http::Http;
use crate::support::outside::Outside;
use crate::support::{Chatter, LYNK, Server};

const ALICE: &str = "+4915112345601";

/// The step that it is.
fn step() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("fits") / TOTP_STEP_MILLIS
}

/// What an app reads of the secret that people may type.
fn decode(base32: &str) -> TotpSecret {
    let mut bits = String::new();
    for byte in base32.bytes() {
        let five = if byte.is_ascii_uppercase() { byte - b'A' } else { byte - b'2' + 26 };
        bits += &format!("{five:05b}");
    }
    let bytes: Vec<u8> =
        (0..20).map(|at| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2).expect("bits")).collect();
    TotpSecret::new(bytes.try_into().expect("20 bytes"))
}

/// Proves the number of an account with an app: the challenge.
fn challenge(server: &Server, data: &std::path::Path) -> Value {
    let mut http = Http::connect(&server.address);
    let before = codes(data, ALICE).len();
    let asked = loop {
        let answer = http.ask("POST", "/v1/auth/code", Some(&json!({"phone": ALICE}))).json();
        match answer["retry_after_ms"].as_u64() {
            Some(millis) => std::thread::sleep(std::time::Duration::from_millis(millis)),
            None => break answer,
        }
    };
    let body = json!({"request_id": asked["request_id"], "code": code(data, ALICE, before)});
    let proved = http.good("POST", "/v1/auth/verify", body, 200);
    assert_eq!((&proved["status"], proved.get("access_token")), (&json!("second_factor"), None));
    proved["challenge"].clone()
}

#[test]
fn an_app_signs_in_and_a_code_that_was_used_stays_so_over_a_restart() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = ["--set", "codes.resend=1s", "--set", "factors.issuer=Chat of ours"];
    let server = start(temp.path(), &options);
    let made = sign_in(&server, temp.path(), ALICE, "alice");
    let mut alice = as_user(&server, &made);
    let begun = alice.good("POST", "/v1/me/totp", Value::Null, 200);
    let uri = begun["uri"].as_str().expect("text");
    assert!(uri.starts_with("otpauth://totp/Chat%20of%20ours:alice?secret="), "{uri}");
    let app = decode(begun["secret"].as_str().expect("text"));
    let at = step();
    let shown = json!({"code": app.code(at).reveal()});
    let confirmed = alice.good("POST", "/v1/me/totp/confirm", shown, 200);

    let one = challenge(&server, temp.path());
    let shown = |challenge: &Value, code: &str| json!({"challenge": challenge, "code": code});
    let next = app.code(step().max(at + 1));
    let mut http = Http::connect(&server.address);
    http.bad("POST", "/v1/auth/second_factor", shown(&one, app.code(at).reveal()), 401, "invalid_code");
    let signed = http.good("POST", "/v1/auth/second_factor", shown(&one, next.reveal()), 200);
    as_user(&server, &signed).good("GET", "/v1/me", Value::Null, 200);
    let other = challenge(&server, temp.path());
    server.kill();

    let server = start(temp.path(), &options);
    let mut http = Http::connect(&server.address);
    // Where challenges live in the process they are gone with it.
    http.bad("POST", "/v1/auth/second_factor", shown(&other, next.reveal()), 401, "invalid_code");
    let third = challenge(&server, temp.path());
    http.bad("POST", "/v1/auth/second_factor", shown(&third, next.reveal()), 401, "invalid_code");
    let recovery = confirmed["recovery_codes"][0].as_str().expect("text").to_uppercase();
    let body = json!({"challenge": third, "recovery_code": recovery});
    http.good("POST", "/v1/auth/second_factor", body, 200);
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("lynk_accounts_second_factors_total{outcome=\"good\"} 1"), "{metrics}");
    assert!(server.stop().success());
}

/// Runs a command that must work.
fn lynk(words: &[&str]) -> String {
    let output = std::process::Command::new(LYNK).args(words).output().expect("lynk can be started");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_restore_asks_for_the_app_and_opens_it_with_the_old_keys_only() {
    if Outside::for_all().is_some() {
        return; // Of a backup's own stores.
    }
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| temp.path().join(name).display().to_string();
    let data = temp.path().join("data");
    let server = start(&data, &[]);
    let made = sign_in(&server, &data, ALICE, "alice");
    let mut alice = as_user(&server, &made);
    let begun = alice.good("POST", "/v1/me/totp", Value::Null, 200);
    let app = decode(begun["secret"].as_str().expect("text"));
    let at = step();
    alice.good("POST", "/v1/me/totp/confirm", json!({"code": app.code(at).reveal()}), 200);
    lynk(&["backup", "--data", &path("data"), "--to", &path("backup")]);
    assert!(server.stop().success());
    assert!(!temp.path().join("backup/keys").exists());

    let told = lynk(&["restore", "--from", &path("backup"), "--data", &path("without")]);
    assert!(told.contains("authenticator app"), "{told}");
    let shown = |challenge: &Value| {
        // Of a step that was not used, and of now: backups take their time.
        json!({"challenge": challenge, "code": app.code(step().max(at + 1)).reveal()})
    };
    for (name, status) in [("without", 500), ("with", 200)] {
        let copy = temp.path().join(name);
        if name == "with" {
            std::fs::create_dir_all(&copy).expect("ours");
            let keys =
                std::process::Command::new("cp").args(["-a", &path("data/keys"), &path("with")]).status();
            assert!(keys.expect("cp is there").success());
            let told = lynk(&["restore", "--from", &path("backup"), "--data", &path("with")]);
            assert!(!told.contains("authenticator app"), "{told}");
        }
        let server = start(&copy, &[]);
        let one = challenge(&server, &copy);
        let answer = Http::connect(&server.address).ask("POST", "/v1/auth/second_factor", Some(&shown(&one)));
        assert_eq!(answer.status, status, "{name}");
        assert!(server.stop().success());
    }
}

/// What `lynk accounts` says.
fn accounts(data: &std::path::Path, words: &[&str]) -> Value {
    let mut command = std::process::Command::new(LYNK);
    command.arg("accounts").args(words).args(["-o", "json", "--data"]).arg(data);
    let output = command.output().expect("lynk can be started");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_suspended_account_is_cut_off_and_told_so_only_after_all_its_factors() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path();
    let options = ["--set", "codes.resend=1s"];
    let server = start(data, &options);
    let made = sign_in(&server, data, ALICE, "alice");
    let bob = sign_in(&server, data, "+4915112345602", "bob");
    let mut alice = as_user(&server, &made);
    let begun = alice.good("POST", "/v1/me/totp", Value::Null, 200);
    let app = decode(begun["secret"].as_str().expect("text"));
    let at = step();
    alice.good("POST", "/v1/me/totp/confirm", json!({"code": app.code(at).reveal()}), 200);
    let (mut hers, _) = socket(&server, &made);
    let (mut his, _) = socket(&server, &bob);
    let before = accounts(data, &["show", "--user", "ALICE"]);
    assert_eq!((&before["sessions"], &before["suspended_since"]), (&json!(1), &Value::Null));
    assert!(before["totp_since"].is_u64() && before["phone"] != ALICE, "{before}");

    let told = accounts(data, &["suspend", "--user", "alice", "--reason", "a test"]);
    assert_eq!((&told["changed"], &told["sessions"]), (&json!(true), &json!(0)));
    assert_eq!(hers.close_code(), Some(4002));
    alice.bad("GET", "/v1/me", Value::Null, 401, "invalid_token");
    let body = json!({"refresh_token": made["refresh_token"]});
    Http::connect(&server.address).bad("POST", "/v1/auth/refresh", body, 401, "invalid_token");
    assert_eq!(his.ask(json!({"op": "ping"}))["ev"], "ok", "nobody else");
    let again = accounts(data, &["suspend", "--user", before["user"].as_str().expect("an id")]);
    assert_eq!((&again["changed"], &again["suspended_since"]), (&json!(false), &told["suspended_since"]));
    server.kill();

    let server = start(data, &options);
    let one = challenge(&server, data);
    let shown = |challenge: &Value, code: &str| json!({"challenge": challenge, "code": code});
    let mut http = Http::connect(&server.address);
    http.bad("POST", "/v1/auth/second_factor", shown(&one, app.code(at).reveal()), 401, "invalid_code");
    let next = app.code(step().max(at + 1));
    http.bad("POST", "/v1/auth/second_factor", shown(&one, next.reveal()), 403, "account_suspended");
    let told = accounts(data, &["end-totp", "--user", "alice"]);
    assert_eq!((&told["changed"], &told["totp_since"]), (&json!(true), &Value::Null));
    let told = accounts(data, &["unsuspend", "--user", "alice"]);
    assert_eq!((&told["changed"], &told["suspended_since"]), (&json!(true), &Value::Null));
    let what: Vec<_> =
        told["audit"].as_array().expect("a list").iter().map(|event| event["what"].clone()).collect();
    assert_eq!(what[..4], ["unsuspended", "totp_off", "suspended", "suspended"].map(Value::from));
    let back = sign_in(&server, data, ALICE, "alice");
    as_user(&server, &back).good("GET", "/v1/me", Value::Null, 200);
    assert!(server.log_text().contains("account_changed"));
    assert!(server.stop().success());
    let missing = std::process::Command::new(LYNK)
        .args(["accounts", "show", "--user", "alice", "--data"])
        .arg(data)
        .output();
    assert_eq!(missing.expect("started").status.code(), Some(4), "no server runs");
}

/// Every operation of the server's own document that needs a token, as whoever has to enrol is answered.
fn closed(server: &Server, token: &str) -> usize {
    let document = Http::connect(&server.address).good("GET", "/openapi.json", Value::Null, 200);
    let mut closed = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let mut asked = path.clone();
        for name in ["room", "user", "session", "link", "media"] {
            asked = asked.replace(&format!("{{{name}}}"), "01010101-0101-4101-8101-010101010101");
        }
        let asked: String = asked
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for (method, operation) in
            methods.as_object().expect("methods").iter().filter(|(name, _)| *name != "parameters")
        {
            let name = operation["operationId"].as_str().expect("a name");
            // The end of the session is for the end.
            if operation["security"] == json!([]) || name == "logout" {
                continue;
            }
            let says = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
            let body = operation.get("requestBody").map(|_| json!({}));
            // A body that nobody read ends its connection.
            let mut http = Http::connect(&server.address);
            http.token = Some(token.to_owned());
            let answer = http.ask(&method.to_ascii_uppercase(), &asked, body.as_ref());
            let refused = answer.status == 403 && answer.json()["code"] == "second_factor_required";
            assert_eq!(refused, says.contains("`second_factor_required`"), "{name}: {}", answer.json());
            closed += usize::from(refused);
        }
    }
    closed
}

#[test]
fn a_server_that_demands_a_second_factor_opens_nothing_else_until_there_is_one() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path();
    let lax = ["--set", "codes.resend=1s"];
    let strict = ["--set", "codes.resend=1s", "--set", "factors.required=true"];
    let server = start(data, &lax);
    let alice = sign_in(&server, data, ALICE, "alice");
    let bob = sign_in(&server, data, "+4915112345602", "bob");
    socket(&server, &alice);
    assert!(server.stop().success());

    let server = start(data, &strict);
    // Tokens of before are good until they end, sockets that they open as well; then the demand holds.
    let (mut hers, _) = socket(&server, &alice);
    let refresh = |tokens: &Value| {
        let body = json!({"refresh_token": tokens["refresh_token"]});
        Http::connect(&server.address).good("POST", "/v1/auth/refresh", body, 200)
    };
    let held = refresh(&alice);
    assert_eq!(held["second_factor_required"], true);
    let token = held["access_token"].as_str().expect("a token");
    let told = hers.ask(json!({"op": "refresh", "token": token}));
    assert_eq!((&told["ev"], &told["code"]), (&json!("error"), &json!("second_factor_required")));
    let mut refused = Chatter::connect(&server);
    let told = refused.ask(json!({"op": "hello", "token": token}));
    assert_eq!(told["code"], "second_factor_required");
    assert!(told["message"].as_str().expect("text").contains("/v1/me/totp"), "{told}");
    assert_eq!(refused.close_code(), Some(4000));
    let mut http = Http::connect(&server.address);
    http.token = Some(token.to_owned());
    http.bad("POST", "/v1/auth/ticket", Value::Null, 403, "second_factor_required");
    assert!(closed(&server, token) > 60, "rooms, media, devices and people, too");
    http.good("GET", "/v1/me", Value::Null, 200);

    // Somebody new is held from the beginning, and so is another sign-in.
    let carol = sign_in(&server, data, "+4915112345603", "carol");
    assert_eq!(carol["second_factor_required"], true);
    assert_eq!(sign_in(&server, data, "+4915112345602", "bob")["second_factor_required"], true);

    let begun = http.good("POST", "/v1/me/totp", Value::Null, 200);
    let app = decode(begun["secret"].as_str().expect("text"));
    let at = step();
    let confirmed = http.good("POST", "/v1/me/totp/confirm", json!({"code": app.code(at).reveal()}), 200);
    // The same session, at once: over HTTP, by ticket and on a socket that is open.
    let opened =
        json!({"access_token": confirmed["access_token"], "user": alice["user"], "session": held["session"]});
    as_user(&server, &opened).good("GET", "/v1/rooms", Value::Null, 200);
    socket(&server, &opened);
    assert_eq!(hers.ask(json!({"op": "refresh", "token": confirmed["access_token"]}))["ev"], "ok");
    let next = refresh(&held);
    assert_eq!((&next["session"], next.get("second_factor_required")), (&alice["session"], None));
    let off = json!({"code": app.code(at + 1).reveal()});
    as_user(&server, &next).bad("DELETE", "/v1/me/totp", off, 403, "forbidden");
    assert!(server.metric("lynk_accounts_enrolments_demanded_total") >= 3.0);
    server.kill();

    // It holds over a restart, and ends with the setting.
    let server = start(data, &strict);
    let held = Http::connect(&server.address).good(
        "POST",
        "/v1/auth/refresh",
        json!({"refresh_token": bob["refresh_token"]}),
        200,
    );
    assert_eq!(held["second_factor_required"], true);
    let mut his = as_user(&server, &held);
    his.bad("GET", "/v1/rooms", Value::Null, 403, "second_factor_required");
    assert!(server.stop().success());
    let server = start(data, &lax);
    let freed = Http::connect(&server.address).good(
        "POST",
        "/v1/auth/refresh",
        json!({"refresh_token": held["refresh_token"]}),
        200,
    );
    as_user(&server, &freed).good("GET", "/v1/rooms", Value::Null, 200);
    assert!(server.stop().success());
}
