//! People: sign-up by telephone, tickets, sessions that end, and secrets that stay where they belong.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, PATIENCE, Server};

const CODES: [&str; 2] = ["--set", "sms.console=file"];

pub(crate) fn start(data: &Path, options: &[&str]) -> Server {
    Server::start(data, &[&NO_RATES[..], &CODES, options].concat())
}

/// Codes that were sent to a number.
pub(crate) fn codes(data: &Path, number: &str) -> Vec<String> {
    let text = std::fs::read_to_string(data.join("dev-sms.txt")).unwrap_or_default();
    let code = |line: &str| Some(line.split_once(&format!("{number} "))?.1.to_owned());
    text.lines().filter_map(code).collect()
}

/// The code that is sent to a number after `before` others.
pub(crate) fn code(data: &Path, number: &str, before: usize) -> String {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(code) = codes(data, number).get(before) {
            return code.clone();
        }
        assert!(std::time::Instant::now() < until, "no code for {number}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Proves a number and, for a new one, registers `name`; what the sign-in gave.
pub(crate) fn sign_in(server: &Server, data: &Path, number: &str, name: &str) -> Value {
    let mut http = Http::connect(&server.address);
    let before = codes(data, number).len();
    let asked = loop {
        let answer = http.ask("POST", "/v1/auth/code", Some(&json!({"phone": number})));
        match answer.json()["retry_after_ms"].as_u64() {
            Some(millis) => std::thread::sleep(std::time::Duration::from_millis(millis)),
            None => break answer.json(),
        }
    };
    let body =
        json!({"request_id": asked["request_id"], "code": code(data, number, before), "device": "test"});
    let proved = http.good("POST", "/v1/auth/verify", body, 200);
    if proved["status"] == "signed_in" {
        return proved;
    }
    let body = json!({"registration": proved["registration"], "user_name": name, "device": "test"});
    http.good("POST", "/v1/auth/register", body, 201)
}

pub(crate) fn as_user(server: &Server, signed_in: &Value) -> Http {
    let mut http = Http::connect(&server.address);
    http.token = signed_in["access_token"].as_str().map(str::to_owned);
    http
}

/// A socket of a session, opened by a ticket.
pub(crate) fn socket(server: &Server, signed_in: &Value) -> (Chatter, Value) {
    let ticket =
        as_user(server, signed_in).good("POST", "/v1/auth/ticket", Value::Null, 200)["ticket"].clone();
    let mut socket = Chatter::connect(server);
    let answer = socket.ask(json!({"op": "hello", "ticket": ticket}));
    assert_eq!((&answer["ev"], &answer["user"]), (&"ok".into(), &signed_in["user"]["user"]), "{answer}");
    (socket, ticket)
}

#[test]
fn people_sign_up_and_talk_over_sockets_that_tickets_opened() {
    for options in [["--backend", "epoll", "--shards", "4"], ["--backend", "auto", "--shards", "2"]] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let server = start(temp.path(), &options);
        let alice = sign_in(&server, temp.path(), "+4915112345601", "alice");
        let bob = sign_in(&server, temp.path(), "+4915112345602", "bob");
        let found = as_user(&server, &alice).good("GET", "/v1/users/by_name/BOB", Value::Null, 200);
        assert_eq!(found["user"], bob["user"]["user"]);
        let ((mut hers, ticket), (mut his, _)) = (socket(&server, &alice), socket(&server, &bob));
        let room = hers.ask(json!({"op": "direct", "user": found["user"]}))["room"].clone();
        let room = room.as_str().expect("an id");
        hers.subscribe(room);
        his.subscribe(room);
        hers.say(room, "hello bob");
        assert_eq!(his.event("message")["text"], "hello bob");
        // A ticket is good once.
        let mut again = Chatter::connect(&server);
        again.tell(json!({"op": "hello", "ticket": ticket}));
        assert_eq!(again.close_code(), Some(4000));
        // People across a block do not find each other.
        as_user(&server, &bob).good(
            "PUT",
            &format!(
                "/v1/blocks/{}?key={}",
                alice["user"]["user"].as_str().expect("an id"),
                crate::support::key()
            ),
            Value::Null,
            200,
        );
        as_user(&server, &alice).bad("GET", "/v1/users/by_name/bob", Value::Null, 404, "user_not_found");
        assert!(server.stop().success());
    }
}

#[test]
fn a_session_that_ends_takes_its_sockets_and_tokens_with_it_also_over_a_restart() {
    for backend in ["epoll", "auto"] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let options = ["--backend", backend, "--shards", "4", "--set", "codes.resend=1s"];
        let server = start(temp.path(), &options);
        let old = sign_in(&server, temp.path(), "+4915112345601", "alice");
        let new = sign_in(&server, temp.path(), "+4915112345601", "alice");
        let mut lost: Vec<_> = (0..6).map(|_| socket(&server, &old).0).collect();
        let (mut kept, _) = socket(&server, &new);
        let session = old["session"].as_str().expect("an id");
        let mut http = as_user(&server, &new);
        assert_eq!(http.ask("DELETE", &format!("/v1/sessions/{session}"), None).status, 204);
        for socket in &mut lost {
            assert_eq!(socket.close_code(), Some(4002));
        }
        assert_eq!(kept.ask(json!({"op": "ping"}))["ev"], "ok");
        let refused = |server: &Server| {
            as_user(server, &old).bad("GET", "/v1/rooms", Value::Null, 401, "invalid_token");
            let body = json!({"refresh_token": old["refresh_token"]});
            Http::connect(&server.address).bad("POST", "/v1/auth/refresh", body, 401, "invalid_token");
            let mut socket = Chatter::connect(server);
            socket.tell(json!({"op": "hello", "token": old["access_token"]}));
            assert!(matches!(socket.close_code(), Some(4000 | 4002)));
        };
        refused(&server);
        server.kill();
        let server = start(temp.path(), &options);
        refused(&server);
        as_user(&server, &new).good("GET", "/v1/me", Value::Null, 200);
        assert!(server.stop().success());
    }
}

#[test]
fn no_secret_is_in_a_log_line_or_a_metric() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let mut server = start(temp.path(), &["--set", "log.level=debug"]);
    let number = "+4915112345601";
    let alice = sign_in(&server, temp.path(), number, "alice");
    let (mut hers, ticket) = socket(&server, &alice);
    let body = json!({"refresh_token": alice["refresh_token"]});
    let next = Http::connect(&server.address).good("POST", "/v1/auth/refresh", body, 200);
    let room = hers.create();
    hers.say(&room, "between the two of us");
    let mut secrets = vec![
        number.to_owned(),
        number[1..].to_owned(),
        code(temp.path(), number, 0),
        "between the two of us".to_owned(),
        ticket.as_str().expect("text").to_owned(),
    ];
    for made in [&alice, &next] {
        for name in ["access_token", "refresh_token"] {
            secrets.push(made[name].as_str().expect("text").to_owned());
        }
    }
    for secret in &secrets {
        let mut http = Http::connect(&server.address);
        http.token = Some(secret.clone());
        let _refused_or_not = http.ask("GET", "/v1/me", None);
        let _refused = http.ask("POST", "/v1/auth/refresh", Some(&json!({"refresh_token": secret})));
    }
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
    let log = server.log_text();
    assert!(log.contains("ready"));
    for secret in secrets {
        // Six digits may be part of any longer number.
        let is_code = secret.len() == 6;
        let in_metrics = !is_code && metrics.contains(&secret);
        let in_log = if is_code {
            log.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == secret)
        } else {
            log.contains(&secret)
        };
        assert!(!in_metrics && !in_log, "{} bytes", secret.len());
    }
}
