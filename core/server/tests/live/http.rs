//! Plain HTTP on the port of the WebSocket: how requests arrive, what every answer has, how it ends.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::{Answer, Http};
use crate::support::{Chatter, NO_RATES, Server, key, user};

/// A server on each driver.
fn on_both_drivers(options: &[&str], test: impl Fn(&Server)) {
    for backend in ["epoll", "auto"] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let options = [&NO_RATES[..], &["--backend", backend, "--shards", "2"], options].concat();
        let server = Server::start(temp.path(), &options);
        test(&server);
        assert!(server.stop().success());
    }
}

fn caller(server: &Server) -> Http {
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(user()));
    http
}

fn create() -> Value {
    json!({"key": key().to_string(), "name": format!("room {}", key())})
}

#[test]
fn a_request_may_be_cut_anywhere() {
    on_both_drivers(&[], |server| {
        let http = caller(server);
        let body = create().to_string();
        let request =
            http.request("POST", "/v1/rooms", "Content-Type: application/json\r\n", body.as_bytes());
        for cut in 1..request.len() {
            // A new connection: the cut is in what the shard reads, or behind it.
            let mut http = Http::connect(&server.address);
            http.send(&request[..cut]);
            std::thread::sleep(Duration::from_micros(300));
            http.send(&request[cut..]);
            let answer = http.receive(false).expect("an answer");
            // One key, one room.
            let expected = if cut == 1 { 201 } else { 200 };
            assert_eq!(answer.status, expected, "cut at {cut}: {answer:?}");
        }
        let mut slow = Http::connect(&server.address);
        for byte in &request {
            slow.send(&[*byte]);
        }
        assert_eq!(slow.receive(false).map(|answer| answer.status), Some(200));
    });
}

#[test]
fn connections_are_kept_and_pipelined_requests_answered_in_order() {
    on_both_drivers(&[], |server| {
        let mut http = caller(server);
        for _ in 0..20 {
            assert_eq!(http.ask("GET", "/v1/rooms", None).status, 200);
        }
        let paths = ["/v1/rooms", "/nothing", "/openapi.json", "/v1/rooms?limit=x", "/v1/rooms"];
        let all: Vec<u8> = paths.iter().flat_map(|path| http.request("GET", path, "", b"")).collect();
        http.send(&all);
        let statuses: Vec<_> = paths.iter().map(|_| http.receive(false).expect("an answer").status).collect();
        assert_eq!(statuses, [200, 404, 200, 400, 200]);
        http.send(&http.request("GET", "/v1/rooms", "Connection: close\r\n", b""));
        assert_eq!(http.receive(false).map(|answer| answer.status), Some(200));
        assert!(http.receive(false).is_none(), "closed as asked");
        // The first bytes of a pipelined burst went through the shard.
        let mut http = caller(server);
        let all: Vec<u8> = (0..30).flat_map(|_| http.request("GET", "/v1/rooms", "", b"")).collect();
        http.send(&all);
        for _ in 0..30 {
            assert_eq!(http.receive(false).map(|answer| answer.status), Some(200));
        }
    });
}

#[test]
fn bodies_have_a_limit_and_a_time() {
    on_both_drivers(&["--set", "api.request_timeout=4s"], |server| {
        // Over a socket, whose commands have more time.
        let mut owner = Chatter::sign_in(server);
        let room = owner.create();
        let path = format!("/v1/rooms/{room}/messages");
        let mut http = caller(server);
        let body = json!({"key": key().to_string(), "text": "x", "padding": "y".repeat(120 << 10)});
        http.bad("POST", &path, body, 403, "not_a_member");
        let mut http = caller(server);
        let body = json!({"key": key().to_string(), "text": "y".repeat(200 << 10)});
        http.bad("POST", &path, body, 413, "too_large");
        // Announced and not sent; begun and not finished.
        for part in [&b""[..], b"{\"key\":"] {
            let mut http = caller(server);
            let lines = "Content-Type: application/json\r\nContent-Length: 100\r\n";
            let mut request = http.request("POST", &path, lines, b"");
            request.extend_from_slice(part);
            http.send(&request);
            let answer = http.receive(false).expect("an answer");
            assert_eq!((answer.status, answer.json()["code"].as_str()), (408, Some("bad_request")));
        }
        let mut http = caller(server);
        let request = http.request("POST", "/v1/rooms", "Content-Type: text/plain\r\n", b"{}");
        http.send(&request);
        assert_eq!(http.receive(false).map(|answer| answer.status), Some(415));
    });
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    on_both_drivers(&[], |server| {
        let mut chatter = Chatter::sign_in(server);
        for garbage in [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /v1/rooms HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01garbage behind a good request\r\n\r\n",
            b"POST /v1/rooms HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        ] {
            let mut http = Http::connect(&server.address);
            http.send(garbage);
            let _gone = http.socket.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _reset = http.socket.read_to_end(&mut rest);
            assert!(
                rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"),
                "{:?}",
                String::from_utf8_lossy(&rest)
            );
        }
        assert_eq!(chatter.ask(json!({"op": "ping"}))["ev"], "ok");
        assert_eq!(caller(server).ask("GET", "/v1/rooms", None).status, 200);
    });
}

#[test]
fn every_answer_has_its_name_and_errors_have_one_form() {
    on_both_drivers(&[], |server| {
        let mut http = caller(server);
        http.bad("GET", "/v1/nothing", Value::Null, 404, "unknown_op");
        let refused = http.bad("DELETE", "/v1/rooms", Value::Null, 405, "unknown_op");
        assert!(refused.header("allow").is_some_and(|allow| allow.contains("POST")), "{refused:?}");
        let head = http.ask("HEAD", "/v1/rooms", None);
        assert_eq!((head.status, head.body.len()), (200, 0));
        let get = http.ask("GET", "/v1/rooms", None);
        assert_eq!(get.header("content-length"), head.header("content-length"));
        assert_ne!(get.header("x-request-id"), head.header("x-request-id"));
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(get.header("cache-control"), Some("no-store"));
        // A foreign page may not, its own page may.
        let foreign = http.request("GET", "/v1/rooms", "Origin: https://evil.example\r\n", b"");
        http.send(&foreign);
        let refused = http.receive(false).expect("an answer");
        assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("forbidden")));
        assert_eq!(refused.header("access-control-allow-origin"), None);
        let own = http.request("GET", "/v1/rooms", &format!("Origin: http://{}\r\n", server.address), b"");
        http.send(&own);
        assert_eq!(http.receive(false).map(|answer| answer.status), Some(200));
    });
}

#[test]
fn more_connections_than_allowed_are_told_so() {
    on_both_drivers(&["--set", "api.connections_max=4"], |server| {
        let mut open: Vec<_> = (0..4).map(|_| caller(server)).collect();
        for http in &mut open {
            assert_eq!(http.ask("GET", "/v1/rooms", None).status, 200);
        }
        let refused = caller(server).ask("GET", "/v1/rooms", None);
        assert_eq!(refused.status, 503);
        assert!(refused.header("retry-after").is_some());
        open.pop();
        server.wait_metric("lynk_api_connections_refused_total{reason=\"full\"}", 1.0);
        let until = std::time::Instant::now() + crate::support::PATIENCE;
        while caller(server).ask("GET", "/v1/rooms", None).status != 200 {
            assert!(std::time::Instant::now() < until, "a place becomes free");
        }
        assert!(server.metric("lynk_api_requests_total{class=\"2xx\"}") >= 5.0);
    });
    let options = ["--set", "api.connections_per_network_max=2"];
    on_both_drivers(&options, |server| {
        let mut open: Vec<_> = (0..2).map(|_| caller(server)).collect();
        for http in &mut open {
            assert_eq!(http.ask("GET", "/v1/rooms", None).status, 200);
        }
        assert_eq!(caller(server).ask("GET", "/v1/rooms", None).status, 429);
    });
}

#[test]
fn a_drain_answers_what_is_under_way_and_closes_what_is_idle() {
    for backend in ["epoll", "auto"] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let options = ["--backend", backend, "--set", "drain.timeout=10s"];
        let mut server = Server::start(temp.path(), &[&NO_RATES[..], &options].concat());
        let mut idle = caller(&server);
        assert_eq!(idle.ask("GET", "/v1/rooms", None).status, 200);
        let mut busy = caller(&server);
        let body = create().to_string();
        let request =
            busy.request("POST", "/v1/rooms", "Content-Type: application/json\r\n", body.as_bytes());
        let (first, last) = request.split_at(request.len() - 1);
        busy.send(first);
        server.wait_metric("lynk_api_connections", 2.0);
        server.signal(rustix::process::Signal::TERM);
        server.wait_logged("draining");
        assert!(idle.receive(false).is_none(), "nobody waits for it");
        busy.send(last);
        let answer = busy.receive(false).expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(busy.receive(false).is_none(), "and the end");
        assert!(server.wait().success());
        assert_eq!(server.wait_logged("stopped")["drained"], true);
    }
}

#[test]
fn a_slow_head_is_the_shards_affair() {
    on_both_drivers(&["--set", "listen.head_timeout=1s"], |server| {
        let mut http = Http::connect(&server.address);
        http.socket.write_all(b"GET /v1/rooms HTTP/1.1\r\nHost: ").expect("sent");
        assert_eq!(http.receive(false).map(|answer| answer.status), Some(408));
        assert!(http.receive(false).is_none());
    });
}

#[test]
fn the_document_its_page_and_the_web_client_are_served_without_anything_from_elsewhere() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let mut http = Http::connect(&server.address);
    let document = http.ask("GET", "/openapi.json", None);
    assert_eq!(document.header("content-type"), Some("application/json"));
    assert_eq!(document.json()["openapi"], "3.1.0");
    let socket = http.ask("GET", "/asyncapi.json", None);
    assert_eq!(socket.header("content-type"), Some("application/json"));
    assert_eq!(socket.json()["asyncapi"], "3.0.0");
    for path in ["/", "/docs", "/docs/docs.js", "/docs/docs.css", "/assets/index.html"] {
        let answer = http.ask("GET", path, None);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        // Films and sound of this server, and of no other place.
        assert!(policy.contains("; media-src 'self'; "), "{policy}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("http://") && !text.contains("https://"), "{path} names another place");
        let tag = answer.header("etag").expect("a tag").to_owned();
        let again = http.request("GET", path, &format!("If-None-Match: W/{tag}\r\n"), b"");
        http.send(&again);
        assert_eq!(http.receive(false).map(|answer| answer.status), Some(304), "{path}");
        let versioned = http.ask("GET", &format!("{path}?v={}", tag.trim_matches('"')), None);
        assert!(versioned.header("cache-control").is_some_and(|cache| cache.contains("immutable")));
    }
    http.bad("GET", "/assets/../Cargo.toml", Value::Null, 404, "unknown_op");
    http.bad("GET", "/assets/nothing.js", Value::Null, 404, "unknown_op");
}

#[test]
fn what_a_connection_cannot_go_on_after_closes_it_and_says_so() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &["--set", "listen.trusted_proxies=127.0.0.0/8"]);
    let closes = |answer: &Answer| answer.header("connection") == Some("close");
    // Refused before its body was read.
    let mut http = Http::connect(&server.address);
    let answer = http.ask("POST", "/v1/rooms", Some(&json!({"name": "x"})));
    assert_eq!((answer.status, closes(&answer)), (401, true));
    assert!(http.receive(false).is_none());
    // A WebSocket on a connection that carried a request.
    let mut http = Http::connect(&server.address);
    assert_eq!(http.ask("GET", "/.well-known/jwks.json", None).status, 200);
    let answer = http.ask("GET", "/ws", None);
    assert_eq!((answer.status, closes(&answer)), (503, true));
    // A proxy speaks for the next client with the next connection.
    let mut http = Http::connect(&server.address);
    let request = http.request("GET", "/.well-known/jwks.json", "X-Forwarded-For: 192.0.2.7\r\n", b"");
    http.send(&request);
    let answer = http.receive(false).expect("an answer");
    assert_eq!((answer.status, closes(&answer)), (200, true));
    assert!(server.stop().success());
}
