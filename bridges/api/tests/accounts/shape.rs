//! The form of answers, and that the operations are what they are said to be.

use lynk_api::accounts::operations;
use lynk_telemetry::{Metric, Snapshot, Value as Number};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::support::{LISTED, Server, text};

#[test]
fn every_answer_names_its_request_and_may_not_be_kept() {
    let server = Server::new();
    let mut ids = Vec::new();
    for answer in [
        server.call("GET", "/.well-known/jwks.json", None, None),
        server.call("GET", "/v1/nothing", None, None),
        server.call("PUT", "/v1/me", None, None),
        server.call("GET", "/v1/me", None, None),
        server.post("/v1/auth/code", &json!({})),
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let id = answer.header("x-request-id").expect("an id").to_owned();
        if answer.status >= 400 {
            assert_eq!(answer.body["request_id"], id.as_str());
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let mut members: Vec<_> = answer.body.as_object().expect("an object").keys().collect();
            members.retain(|member| *member != "retry_after_ms");
            assert_eq!(members, ["code", "message", "request_id", "retryable"]);
        }
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[test]
fn what_the_framework_refuses_has_the_same_form() {
    let server = Server::new();
    assert_eq!(server.call("GET", "/v1/nothing", None, None).code(404), "unknown_op");
    let wrong = server.call("PUT", "/v1/auth/code", None, None);
    assert_eq!(wrong.code(405), "unknown_op");
    assert_eq!(wrong.header("allow"), Some("POST"));
    let post = |kind: &str, body: &str| {
        server.raw(&format!(
            "POST /v1/auth/code HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{kind}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let json = "content-type: application/json\r\n";
    assert_eq!(post("", "{}").code(415), "bad_request");
    assert_eq!(post("content-type: text/plain\r\n", "{}").code(415), "bad_request");
    assert_eq!(post("content-type: Application/JSON; charset=utf-8\r\n", "{}").code(400), "invalid_field");
    assert_eq!(post(json, "").code(400), "bad_request");
    assert_eq!(post(json, "{").code(400), "bad_request");
    assert_eq!(post(json, r#"["+4915112345601"]"#).code(400), "bad_request");
    assert_eq!(
        post(json, r#"{"phone":"+4915112345601","phone":"+4915112345602"}"#).code(400),
        "invalid_field"
    );
    assert_eq!(post(json, r#"{"phone":1}"#).code(400), "invalid_field");
    assert_eq!(post(json, &format!(r#"{{"x":{}"#, "[".repeat(1_000))).code(400), "bad_request");
    let long = format!(r#"{{"phone":"{}"}}"#, "1".repeat(128 << 10));
    assert_eq!(post(json, &long).code(413), "too_large");
}

#[test]
fn a_refusal_repeats_nothing_of_the_body() {
    let server = Server::new();
    let secret = "lr1_c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1yZXBlYXQ";
    for (path, body) in [
        ("/v1/auth/refresh", json!({ "refresh_token": { secret: 1 } })),
        ("/v1/auth/refresh", json!({ "refresh_token": secret })),
        ("/v1/auth/register", json!({ "registration": secret, "user_name": secret })),
        ("/v1/auth/register", json!(secret)),
        ("/v1/auth/verify", json!({ "request_id": secret, "code": secret })),
        ("/v1/auth/code", json!({ "phone": secret })),
    ] {
        let answer = server.post(path, &body);
        assert!(answer.status >= 400);
        assert!(!answer.body.to_string().contains(secret) && !answer.head.contains(secret), "{path}");
    }
}

#[test]
fn the_listed_operations_are_those_of_the_router() {
    let server = Server::new();
    let made = server.sign_up("+4915112345601", "alice");
    let token = text(&made, "access_token");
    let mut seen = std::collections::BTreeSet::new();
    for operation in operations() {
        let method = operation.method.as_str();
        assert!(seen.insert((method.to_owned(), operation.path)), "{} twice", operation.path);
        let id = "01010101-0101-4101-8101-010101010101";
        let path =
            operation.path.replace("{session}", id).replace("{user_name}", "nobody").replace("{room}", id);
        // Nothing that any of them needs, and fields of another type.
        let wrong = json!({ "cursor": 1, "user_name": 1, "presence": 1, "muted_until": "x" });
        let body = operation.request.is_some().then_some(wrong);
        let answer = server.call(method, &path, None, body.as_ref());
        assert!(answer.status != 405 && answer.body["code"] != "unknown_op", "{method} {path}");
        assert_eq!(operation.auth, answer.body["code"] == "not_signed_in", "{method} {path}");
        if operation.request.is_some() {
            let token = operation.auth.then_some(token);
            let answer = server.call(method, &path, token, body.as_ref());
            assert_eq!(answer.code(400), "invalid_field", "{method} {path}");
        }
        assert!(operation.summary.ends_with('.'), "{}", operation.summary);
    }
    assert_eq!(seen.len(), 32);
}

/// Schemas whole, without references.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}

#[test]
fn answers_have_the_members_of_their_schemas() {
    let server = Server::new();
    let made = server.sign_up("+4915112345601", "alice");
    let token = text(&made, "access_token");
    for (path, answer) in [
        ("/v1/auth/register", made.clone()),
        ("/v1/me", server.get("/v1/me", token).ok(200)),
        ("/v1/sessions", server.get("/v1/sessions", token).ok(200)),
        ("/v1/auth/refresh", server.refresh(&made["refresh_token"]).ok(200)),
    ] {
        let operation = operations().into_iter().find(|one| one.path == path).expect("listed");
        let schema = operation.success[0].1.expect("a body")(&mut generator());
        let members =
            |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        let mut listed = members(&schema.as_value()["properties"]);
        // The only one that is left out, where it says nothing.
        listed.retain(|member| *member != "second_factor_required");
        assert_eq!(listed, members(&answer), "{path}");
    }
}

#[test]
fn pages_of_listed_origins_read_answers_and_refusals() {
    let server = Server::new();
    let with = |method: &str, path: &str, lines: &str| {
        server.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n{lines}\r\n"
        ))
    };
    let asks = "Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: authorization\r\n";
    let preflight = with("OPTIONS", "/v1/sessions/x", &format!("Origin: {LISTED}\r\n{asks}"));
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, Some(LISTED)));
    let methods = preflight.header("access-control-allow-methods").expect("told");
    for operation in operations().iter().chain(&lynk_api::room_operations()) {
        assert!(
            methods.split(',').any(|one| one == operation.method),
            "{} {}",
            operation.method,
            operation.path
        );
    }
    assert!(
        preflight.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization"))
    );
    let refused = with("GET", "/v1/me", &format!("Origin: {LISTED}\r\n"));
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(LISTED)));
    assert_eq!(refused.header("access-control-allow-credentials"), None);
    for foreign in ["https://evil.example", "https://app.example", "null"] {
        let refused = with("GET", "/v1/me", &format!("Origin: {foreign}\r\n"));
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None), "{foreign}");
        let preflight = with("OPTIONS", "/v1/me", &format!("Origin: {foreign}\r\n{asks}"));
        assert_eq!(preflight.header("access-control-allow-origin"), None, "{foreign}");
    }
}

#[test]
fn what_becomes_of_codes_and_tokens_is_counted() {
    let server = Server::new();
    let made = server.sign_up("+4915112345601", "alice");
    server.advance(60_000);
    let (request, _) = server.code_for("+4915112345601");
    server.post("/v1/auth/verify", &json!({ "request_id": request, "code": "000000" })).code(401);
    server.post("/v1/auth/code", &json!({ "phone": "+4915112345601" })).code(429);
    server.refresh(&made["refresh_token"]).ok(200);
    server.refresh(&made["refresh_token"]).ok(200);
    server.advance(60_000);
    server.refresh(&made["refresh_token"]).code(401);
    let mut snapshot = Snapshot::new();
    server.state.counts().add_to(&mut snapshot);
    let numbers = |metric: Metric| -> Vec<f64> {
        let of_metric = snapshot.series().iter().filter(|series| series.metric == metric);
        of_metric
            .map(|series| if let Number::Number(number) = series.value { number } else { f64::NAN })
            .collect()
    };
    assert_eq!(numbers(Metric::AccountsCodes), [2.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(numbers(Metric::AccountsOverBudget), [0.0]);
    assert_eq!(numbers(Metric::AccountsProofs), [1.0, 1.0]);
    assert_eq!(numbers(Metric::AccountsRegistered), [1.0]);
    assert_eq!(numbers(Metric::AccountsRefreshes), [1.0, 1.0, 1.0, 0.0]);
    assert_eq!(numbers(Metric::AccountsWaiting), [0.0]);
}
