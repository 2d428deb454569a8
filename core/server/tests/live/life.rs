//! Start, health, signals, end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key, serve_at, serve_command};

fn refusal(command: &mut std::process::Command) -> (i32, String) {
    let output = command.output().expect("lynk can be started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn health_follows_the_life_of_the_server() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    assert_eq!(server.get("/livez").0, 200);
    assert_eq!(server.get("/startupz").0, 200);
    assert_eq!(server.get("/nothing").0, 404);
    let (status, body) = server.get("/readyz");
    let ready: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200, "{body}");
    for part in ["driver", "journal", "messages", "rooms", "drain"] {
        assert!(ready["dependencies"][part]["status"].is_string(), "{part} is missing in {body}");
    }
    let version: Value = serde_json::from_str(&server.get("/version").1).expect("JSON");
    assert_eq!(version["protocol"], "lynk.v1");
    assert_eq!(server.logged("memory_contract").len(), 1);
}

/// Something has deleted the data directory: nothing more can be kept there, and one signal ends the server all the same.
#[test]
fn a_server_without_its_directory_ends_on_the_first_signal() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().join("data");
    let server = Server::start(&data, &[]);
    let mut chatter = Chatter::sign_in(&server);
    let room = chatter.create();
    chatter.say(&room, "gone");
    std::fs::remove_dir_all(&data).expect("it goes");
    server.stop();
}

/// Open descriptors once two looks agree: when a server is ready, much still opens in the background.
fn settled_fds(server: &Server) -> f64 {
    let until = Instant::now() + PATIENCE;
    let mut last = f64::NAN;
    loop {
        let now = server.metric("lynk_process_open_fds");
        if now == last {
            return now;
        }
        assert!(Instant::now() < until, "{last} and then {now}");
        last = now;
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn idle_sockets_keep_nobody_from_the_admin_listener_and_their_number_is_bounded() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let before = settled_fds(&server);
    let mut idle: Vec<_> =
        (0..200).map(|_| TcpStream::connect(&server.admin).expect("the kernel accepts")).collect();
    assert_eq!(server.get("/livez").0, 200);
    server.wait_metric("lynk_process_admin_drops_total", 100.0);
    let after = server.metric("lynk_process_open_fds");
    // A few more than it keeps: stores may connect at any time.
    assert!(after <= before + 64.0 + 16.0, "{before} and then {after}");
    // The last one of them is closed for its head, which never comes.
    let last = idle.last_mut().expect("two hundred");
    last.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
    drop(idle);
}

#[test]
fn a_loopback_admin_listener_answers_only_to_names_of_this_machine() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    for (host, expected) in [("localhost", "200"), ("[::1]:1", "200"), ("rebound.example:7778", "421")] {
        let mut socket = TcpStream::connect(&server.admin).expect("the admin listener is there");
        write!(socket, "GET /version HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("one answer, and the end");
        assert_eq!(answer.get(9..12), Some(expected), "{host}: {answer}");
    }
}

#[test]
fn a_request_head_has_the_time_that_is_configured() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &["--set", "listen.head_timeout=200ms"]);
    // A busy machine may make one of them slow; the default makes all of them slow.
    let soon = (0..5).any(|_| {
        let started = Instant::now();
        let mut socket = TcpStream::connect(&server.address).expect("the server accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        started.elapsed() < Duration::from_secs(4)
    });
    assert!(soon, "the default is five seconds");
}

#[test]
fn metrics_count_what_clients_do() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let mut alice = Chatter::sign_in(&server);
    let room = alice.create();
    for n in 0..5 {
        alice.say(&room, &n.to_string());
    }
    assert_eq!(alice.ask(json!({"op": "nonsense"}))["code"], "unknown_op");
    server.wait_metric("lynk_engine_messages_total", 5.0);
    server.wait_metric("lynk_engine_rejects_total{code=\"unknown_op\"}", 1.0);
    server.wait_metric("lynk_engine_sign_ins_total", 1.0);
    server.wait_metric("lynk_engine_ack_duration_seconds_count", 5.0);
    let acks = server.metric("lynk_engine_ack_duration_seconds_sum");
    assert!(acks > 0.0 && acks < 60.0, "{acks}");
    let mut stranger = Chatter::connect(&server);
    stranger.tell(json!({"op": "hello", "token": "none"}));
    stranger.close_code();
    server.wait_metric("lynk_engine_closes_total{code=\"4000\"}", 1.0);
    server.wait_metric("lynk_reactor_connections", 1.0);
    server.wait_metric("lynk_journal_sync_duration_seconds_count", 5.0);
    let text = server.get("/metrics").1;
    let documented = include_str!("../../../../docs/metrics.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        let known =
            documented.contains(&format!("`{name}`")) || documented.contains(&format!("`{name}_total`"));
        assert!(known, "{name} is not in docs/metrics.md");
    }
    assert!(text.ends_with("# EOF\n"));
}

/// Whoever holds a connection without a word keeps it for as long as a test takes.
const HELD: [&str; 2] = ["--set", "limits.hello_max=10m"];

/// Opens a connection and returns the first line of the answer to its upgrade; the connection with it.
fn upgrade(server: &Server) -> (TcpStream, String) {
    upgrade_with(server, "")
}

/// The same with further header lines.
fn upgrade_with(server: &Server, lines: &str) -> (TcpStream, String) {
    use std::io::{Read as _, Write as _};
    let mut socket = TcpStream::connect(&server.address).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("settable");
    // A refusal may come, and the socket close, before the request is out.
    let _ = write!(
        socket,
        "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{lines}\r\n",
        server.address
    );
    let mut text = Vec::new();
    let mut chunk = [0; 1_024];
    while !text.contains(&b'\n') {
        let count = socket.read(&mut chunk).expect("an answer");
        assert!(count > 0, "closed unanswered: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&chunk[..count]);
    }
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    (socket, line)
}

#[test]
fn connections_beyond_a_shards_limit_are_told_that_it_is_full() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = ["--shards", "1", "--set", "limits.connections_per_shard_max=2"];
    let server = Server::start(temp.path(), &[&options[..], &HELD].concat());
    let held = [upgrade(&server), upgrade(&server)];
    assert!(held.iter().all(|(_, line)| line.starts_with("HTTP/1.1 101")), "{held:?}");
    for _ in 0..3 {
        assert_eq!(upgrade(&server).1, "HTTP/1.1 503 Service Unavailable");
    }
    server.wait_metric("lynk_reactor_ends_total{reason=\"full\"}", 3.0);
    drop(held);
    let until = Instant::now() + PATIENCE;
    while !upgrade(&server).1.starts_with("HTTP/1.1 101") {
        assert!(Instant::now() < until, "there is room again");
    }
}

#[test]
fn a_network_with_too_many_connections_is_told_so() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = ["--shards", "1", "--set", "limits.connections_per_ip_max=2"];
    let server = Server::start(temp.path(), &[&options[..], &HELD].concat());
    let held = [upgrade(&server), upgrade(&server)];
    assert!(held.iter().all(|(_, line)| line.starts_with("HTTP/1.1 101")), "{held:?}");
    assert_eq!(upgrade(&server).1, "HTTP/1.1 429 Too Many Requests");
    server.wait_metric("lynk_reactor_ends_total{reason=\"too_many_connections\"}", 1.0);
}

#[test]
fn clients_of_a_trusted_proxy_have_limits_of_their_own() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let limit = ["--shards", "1", "--set", "limits.connections_per_ip_max=1"];
    let trust = ["--set", "listen.trusted_proxies=127.0.0.0/8"];
    let server = Server::start(temp.path(), &[&limit[..], &trust, &HELD].concat());
    let from = |network: &str| upgrade_with(&server, &format!("X-Forwarded-For: {network}.7\r\n"));
    let held = ["192.0.2", "198.51.100", "203.0.113"].map(from);
    assert!(held.iter().all(|(_, line)| line.starts_with("HTTP/1.1 101")), "{held:?}");
    assert_eq!(from("192.0.2").1, "HTTP/1.1 429 Too Many Requests");
}

#[test]
fn a_drain_tells_clients_when_to_come_back_and_keeps_what_was_acknowledged() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let mut server = Server::start(temp.path(), &["--set", "drain.timeout=10s"]);
    let mut alice = Chatter::sign_in(&server);
    let room = alice.create();
    alice.say(&room, "last words");
    server.signal(Signal::TERM);
    let told = alice.event("draining");
    assert!(told["retry_after_ms"].is_u64(), "{told}");
    assert_eq!(alice.close_code(), Some(4102));
    assert!(server.wait().success());
    assert_eq!(server.logged("stopped")[0]["drained"], true);

    let server = Server::start(temp.path(), &[]);
    let mut alice = Chatter::sign_in_as(&server, alice.user, json!([]));
    assert!(alice.log(&room, 0).iter().any(|event| event["text"] == "last words"));
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let mut server = Server::start(temp.path(), &["--set", "drain.timeout=1h"]);
    let idle: Vec<Chatter> = (0..20).map(|_| Chatter::sign_in(&server)).collect();
    server.signal(Signal::TERM);
    server.wait_logged("draining");
    assert_eq!(server.get("/readyz").0, 503);
    let started = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(server.logged("stopped_at_once").len(), 1, "the log is intact");
    assert!(server.logged("start_failed").is_empty() && server.logged("stopped").is_empty());
    drop(idle);
}

#[test]
fn a_reload_applies_what_it_can_and_names_the_rest() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let file = temp.path().join("lynk.toml");
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").expect("writable");
    let data = temp.path().join("data");
    let mut command = serve_command(&data, &[]);
    command.arg("--config").arg(&file);
    let server = Server::spawn(command, &data);

    // A rotated key signs new tokens, and old ones stay good.
    let mut alice = Chatter::sign_in(&server);
    let keys = data.join("keys");
    let (_, fresh) = lynk_auth::SigningKey::generate([9; 32]);
    std::fs::rename(keys.join("access.p8"), keys.join("access-old.p8")).expect("ours");
    std::fs::write(keys.join("access.p8"), fresh.as_bytes()).expect("ours");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(keys.join("access.p8"), std::fs::Permissions::from_mode(0o600)).expect("ours");
    std::fs::write(&file, "[log]\nlevel = \"warn\"\n[limits]\nheartbeat = \"10s\"\n").expect("writable");
    server.signal(Signal::HUP);
    let until = Instant::now() + PATIENCE;
    // The event itself is below the new level; that the new key works shows that it happened.
    while Instant::now() < until {
        let mut bob = Chatter::connect(&server);
        let token = server.token(crate::support::user());
        if bob.ask(json!({"op": "hello", "token": token}))["ev"] == "ok" {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Chatter::sign_in(&server);
    assert_eq!(alice.ask(json!({"op": "ping"}))["ev"], "ok");
    std::fs::write(&file, "[log]\nlevle = \"info\"\n").expect("writable");
    server.signal(Signal::HUP);
    let failed = server.wait_logged("reload_failed");
    assert!(
        failed["problems"].as_str().is_some_and(|text| text.contains("did you mean `log.level`")),
        "{failed}"
    );
}

#[test]
fn starts_that_cannot_work_name_the_cure() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let (code, text) = refusal(&mut serve_command(temp.path(), &[]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(&format!("in use by another process (pid {})", server.pid())), "{text}");

    let other = tempfile::tempdir().expect("temporary directory");
    let (code, text) = refusal(&mut serve_at(&server.address, other.path(), &[]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("Address already in use") && text.contains("ss -ltnp"), "{text}");
    assert!(server.stop().success());

    std::fs::write(temp.path().join("VERSION"), "99\n").expect("ours");
    let (code, text) = refusal(&mut serve_command(temp.path(), &[]));
    assert!(code == 4 && text.contains("layout version 99"), "{code} {text}");

    let (code, text) = refusal(&mut serve_command(other.path(), &["--set", "limits.hartbeat=5s"]));
    assert!(code == 3 && text.contains("did you mean `limits.heartbeat`"), "{code} {text}");
    let (code, text) = refusal(&mut serve_command(other.path(), &["--nonsense"]));
    assert!(code == 2 && text.contains("--nonsense"), "{code} {text}");
}

#[test]
fn a_crash_loop_refuses_to_start_until_it_is_acknowledged() {
    let temp = tempfile::tempdir().expect("temporary directory");
    assert!(Server::start(temp.path(), &[]).stop().success());
    let now = crate::support::wall_millis();
    let lines: String = (0..3).map(|n| format!("{} text at engine.rs:1:2\n", now + n)).collect();
    std::fs::write(temp.path().join("crashes"), lines).expect("ours");
    let (code, text) = refusal(&mut serve_command(temp.path(), &[]));
    assert!(code == 4 && text.contains("--after-crashes"), "{code} {text}");
    assert!(Server::start(temp.path(), &["--after-crashes"]).stop().success());
    assert!(Server::start(temp.path(), &[]).stop().success());
}

#[test]
fn the_number_of_shards_and_the_driver_may_change_at_any_restart() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let mut rooms: Vec<(String, Vec<String>)> = Vec::new();
    let user = crate::support::user();
    for (round, (shards, backend)) in
        [("1", "auto"), ("4", "epoll"), ("2", "auto"), ("3", "epoll")].into_iter().enumerate()
    {
        let server = Server::start(
            temp.path(),
            &[&NO_RATES[..], &["--shards", shards, "--backend", backend]].concat(),
        );
        let mut alice = Chatter::sign_in_as(&server, user, json!([]));
        for (room, said) in &rooms {
            let log = alice.log(room, 0);
            let seqs: Vec<u64> = log.iter().filter_map(|event| event["seq"].as_u64()).collect();
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "round {round}");
            let texts: Vec<_> = log.iter().filter_map(|event| event["text"].as_str()).collect();
            assert_eq!(texts, said.iter().map(String::as_str).collect::<Vec<_>>(), "round {round}");
        }
        rooms.extend((0..3).map(|_| (alice.create(), Vec::new())));
        for (room, said) in &mut rooms {
            for n in 0..20 {
                let text = format!("round {round} message {n}");
                let ok =
                    alice.ask(json!({"op": "send", "room": room, "key": key().to_string(), "text": text}));
                assert_eq!(ok["ev"], "ok", "{ok}");
                said.push(text);
            }
        }
        // Every other time without a chance to finish.
        if round % 2 == 0 { server.kill() } else { assert!(server.stop().success()) }
    }
}

#[test]
fn the_process_can_neither_be_dumped_nor_debugged() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("on Linux");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("listed");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
