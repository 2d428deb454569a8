//! What clients get wrong or do on purpose: each has its stated code, is counted by its reason, and costs bounded memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lynk_auth::{Scope, SigningKey};
use lynk_server::client::{self, ClientError};
use lynk_websocket::{Opcode, encode_client_frame};
use serde_json::json;

use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key, sign, token_from, user};

fn ended(reason: &str) -> String {
    format!("lynk_reactor_ends_total{{reason=\"{reason}\"}}")
}

#[test]
fn broken_frames_close_with_their_codes_and_are_counted() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let masked = |opcode, payload: &[u8]| {
        let mut out = Vec::new();
        encode_client_frame(&mut out, true, opcode, payload, [1, 2, 3, 4]);
        out
    };
    let oversized = vec![b'x'; (128 << 10) + 1];
    let cases: [(&str, Vec<u8>, u16); 8] = [
        ("message_too_large", masked(Opcode::Text, &oversized), 1009),
        ("unmasked", b"\x81\x02{}".to_vec(), 1002),
        ("invalid_utf8", masked(Opcode::Text, b"\xff\xfe"), 1007),
        ("binary", masked(Opcode::Binary, b"{}"), 1003),
        ("reserved_bits", b"\xf1\x80\x01\x02\x03\x04".to_vec(), 1002),
        ("reserved_opcode", b"\x83\x80\x01\x02\x03\x04".to_vec(), 1002),
        ("control_too_long", masked(Opcode::Ping, &[0; 126]), 1002),
        ("unexpected_continuation", masked(Opcode::Continuation, b"x"), 1002),
    ];
    for (reason, bytes, code) in cases {
        let mut client = Chatter::sign_in(&server);
        // The server may close before it has taken all of a large one.
        let _ = client.sender.raw(&bytes);
        assert_eq!(client.close_code(), Some(code), "{reason}");
        server.wait_metric(&ended(reason), 1.0);
    }
    assert_eq!(Chatter::sign_in(&server).ask(json!({"op": "ping"}))["ev"], "ok", "others do not notice");
}

#[test]
fn broken_commands_are_refused_with_their_codes_and_the_connection_lives() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let mut client = Chatter::sign_in(&server);
    let room = client.create();
    let deep = format!(r#"{{"id":9,"op":"ping","mentions":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (frame, code) in [
        ("nonsense", "bad_request"),
        ("[]", "bad_request"),
        ("{\"id\":9", "bad_request"),
        (deep.as_str(), "bad_request"),
        (r#"{"id":9,"op":"fly"}"#, "unknown_op"),
        (r#"{"id":9}"#, "invalid_field"),
        (r#"{"id":9,"op":"send","room":7,"key":"x","text":"y"}"#, "invalid_field"),
        (r#"{"id":9,"op":"send","text":"no room"}"#, "invalid_field"),
        (r#"{"id":9,"op":"subscribe","room":"00000000-0000-4000-8000-000000000001"}"#, "room_not_found"),
        (r#"{"id":9,"op":"ping","op":"ping"}"#, "invalid_field"),
    ] {
        client.sender.text(frame).expect("the connection stands");
        let error = client.event("error");
        // A frame that is no JSON may be refused as one or the other; what counts is that it is refused, and why.
        let same = error["code"] == code || (code == "bad_request" && error["code"] == "invalid_field");
        assert!(same, "{} got {error}", &frame[..frame.len().min(60)]);
        assert!(error["message"].as_str().is_some_and(|text| text.len() < 500), "{error}");
    }
    let mut send = |text: &str, key: String| {
        client.ask(json!({"op": "send", "room": room, "key": key, "text": text}))["code"].clone()
    };
    assert_eq!(send(&"x".repeat(8_001), key().to_string()), "too_large");
    assert_eq!(send("old", "01890a5d-0000-7000-8000-000000000000".to_owned()), "key_expired");
    assert_eq!(send("ahead", "0fffffff-ffff-7000-8000-000000000000".to_owned()), "clock_skew");
    assert_eq!(send("not v7", "00000000-0000-4000-8000-000000000001".to_owned()), "invalid_field");
    assert_eq!(client.ask(json!({"op": "ping"}))["ev"], "ok");
}

#[test]
fn only_good_tokens_sign_in() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &["--set", "limits.hello_max=5s"]);
    let mut early = Chatter::connect(&server);
    assert_eq!(early.ask(json!({"op": "ping"}))["code"], "not_signed_in");
    assert_eq!(early.close_code(), Some(4001), "no hello in time");
    assert!(server.stop().success());

    // Time is not what ends the others.
    let server = Server::start(temp.path(), &["--set", "limits.hello_max=10m"]);
    let (foreign, _) = SigningKey::generate([5; 32]);
    let other_scope = Scope { issuer: "elsewhere".to_owned(), audience: "lynk".to_owned() };
    for (token, code, close) in [
        (String::new(), "invalid_token", 4000),
        ("a.b.c".to_owned(), "invalid_token", 4000),
        ("x".repeat(5_000), "invalid_token", 4000),
        (sign(&foreign, &Scope::default(), user(), 60_000), "invalid_token", 4000),
        (token_from(temp.path(), &other_scope, user(), 60_000), "invalid_token", 4000),
        (token_from(temp.path(), &Scope::default(), user(), -5_000), "token_expired", 4100),
    ] {
        let mut client = Chatter::connect(&server);
        let error = client.ask(json!({"op": "hello", "token": token}));
        assert_eq!((&error["ev"], &error["code"]), (&"error".into(), &code.into()), "{token}");
        let closed = client.close_code();
        assert!(closed == Some(close) || closed == Some(4000), "{code}: {closed:?}");
    }

    // A session ends with its token.
    let mut short = Chatter::connect(&server);
    let token = token_from(temp.path(), &Scope::default(), user(), 10_000);
    assert_eq!(short.ask(json!({"op": "hello", "token": token}))["ev"], "ok");
    assert_eq!(short.close_code(), Some(4100));
}

#[test]
fn requests_that_are_no_websocket_are_answered_in_http() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &["--set", "listen.origins=https://chat.example"]);
    let answer = |request: &str| {
        let mut socket = TcpStream::connect(&server.address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        let _ = socket.read_to_string(&mut text);
        text.get(9..12).unwrap_or_default().to_owned()
    };
    let long = format!("GET /ws HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(9_000));
    for (request, status, reason) in [
        ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "426", "upgrade_required"),
        ("POST /ws HTTP/1.1\r\nHost: x\r\n\r\n", "405", "method_not_allowed"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "400", "malformed"),
        (long.as_str(), "431", "head_too_large"),
    ] {
        assert_eq!(answer(request), status, "{}", &request[..request.len().min(40)]);
        server.wait_metric(&ended(reason), 1.0);
    }
    let foreign = client::connect_with(&server.url(), PATIENCE, Some("https://evil.example"));
    assert!(matches!(foreign, Err(ClientError::Refused(lynk_http::UpgradeFailed::Status(403)))));
    server.wait_metric(&ended("origin_foreign"), 1.0);
    assert!(client::connect_with(&server.url(), PATIENCE, Some("https://chat.example")).is_ok());

    // A head that does not come to its end.
    let started = Instant::now();
    assert_eq!(answer("GET /ws HTTP/1.1\r\nHost: x\r\n"), "408");
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn ten_thousand_half_open_sockets_cost_little_and_stop_nobody() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("up to the hard limit");
    let count = limit.maximum.map_or(10_000, |max| (max.saturating_sub(2_000)).min(10_000));
    if count < 10_000 {
        eprintln!("==== only {count} half-open sockets: the limit of open files is low ====");
    }
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &NO_RATES);
    let before = server.resident();
    let address: std::net::SocketAddr = server.address.parse().expect("an address");
    let mut sockets = Vec::new();
    for n in 0..count {
        let mut socket = TcpStream::connect(address).unwrap_or_else(|error| panic!("socket {n}: {error}"));
        if n % 2 == 0 {
            socket.write_all(b"GET /ws HTT").expect("sent");
        }
        sockets.push(socket);
    }
    server.wait_metric("lynk_reactor_accepts_total", count as f64);
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} KiB for {count} sockets", grown >> 10);
    let mut alice = Chatter::sign_in(&server);
    let room = alice.create();
    alice.say(&room, "still here");
    // Their time is limited.
    server.wait_metric(&ended("timeout"), (count / 2) as f64 * 0.9);
}

#[test]
fn a_reader_that_never_reads_is_cut_off_and_the_others_hear_everything() {
    let temp = tempfile::tempdir().expect("temporary directory");
    // No ping that she leaves unanswered ends her connection first.
    let slow = ["--set", "limits.send_stall_max=2s", "--set", "limits.heartbeat=10m"];
    let server = Server::start(temp.path(), &[&NO_RATES[..], &slow].concat());
    let (mut alice, mut bob, mut mallory) =
        (Chatter::sign_in(&server), Chatter::sign_in(&server), Chatter::sign_in(&server));
    let room = alice.create();
    bob.join(&room);
    mallory.join(&room);
    let before = server.resident();
    let text = "x".repeat(7_000);
    let mut sent = 0;
    let reasons = [ended("send_stalled"), ended("send_queue_full")];
    let until = Instant::now() + 3 * PATIENCE;
    // More than kernel buffers and the queue hold; then time passes without progress.
    while reasons.iter().all(|reason| server.metric(reason) < 1.0) {
        assert!(Instant::now() < until, "mallory is still connected");
        for _ in 0..50 {
            alice.say(&room, &text);
            sent += 1;
            assert_eq!(bob.event("message")["text"].as_str().map(str::len), Some(7_000));
        }
    }
    let grown = server.resident().saturating_sub(before);
    // The slow reader's own cap is the high watermark, far below what was sent past it.
    assert!(grown < 48 << 20, "{} KiB grown after {sent} messages of 7 kB", grown >> 10);
}
