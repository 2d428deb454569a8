//! The other commands, run as people and scripts run them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::outside::Outside;
use crate::support::{Chatter, LYNK, Server, serve_at};

fn lynk(arguments: &[&str]) -> Output {
    Command::new(LYNK).args(arguments).output().expect("lynk can be started")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn chat(server: &Server, who: &str, lines: &str) -> Vec<Value> {
    let mut child = Command::new(LYNK)
        .args(["chat", "--as", who, "--room", "lobby", "-o", "json", "--url", &server.address])
        .arg("--data")
        .arg(&server.data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("lynk can be started");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text(&output).lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

#[test]
fn scripts_chat_with_nothing_but_names() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let alice = chat(&server, "alice", "hello\nsecond line\n");
    let acked =
        alice.iter().filter(|line| line["type"] == "acked" && line["command"]["op"] == "send").count();
    assert_eq!(acked, 2);
    let bob = chat(&server, "bob", "hi alice\n/nonsense\n/help\n/who\n");
    for kind in ["unread", "note"] {
        assert!(bob.iter().any(|line| line["type"] == kind), "{kind} is missing in {bob:?}");
    }
    let heard: Vec<_> = bob.iter().filter(|line| line["type"] == "event" && line["past"] == true).collect();
    let texts: Vec<_> = heard.iter().filter_map(|line| line["event"]["text"].as_str()).collect();
    assert_eq!(texts, ["hello", "second line"]);
    let here = bob.iter().find(|line| line["type"] == "answer").expect("an answer");
    assert_eq!(here["reply"]["count"], 1);
    // Live events are contiguous and shown once.
    let seqs: Vec<u64> = alice
        .iter()
        .filter(|line| line["type"] == "event" && line["past"] == false)
        .filter_map(|line| line["event"]["seq"].as_u64())
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
}

#[test]
fn a_terminal_client_survives_the_restart_of_its_server() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &["--set", "drain.timeout=0"]);
    let address = server.address.clone();
    let mut child = Command::new(LYNK)
        .args([
            "chat", "--as", "alice", "--room", "lobby", "-o", "json", "--url", &address, "--linger", "100ms",
        ])
        .arg("--data")
        .arg(temp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("lynk can be started");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"before\n").expect("taken");
    server.wait_metric("lynk_engine_messages_total", 1.0);
    server.kill();
    input.write_all(b"while it is away\n").expect("taken");
    let command = serve_at(&address, temp.path(), &[]);
    let server = Server::spawn(command, temp.path());
    server.wait_metric("lynk_engine_messages_total", 1.0);
    input.write_all(b"after\n").expect("taken");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let lines: Vec<Value> =
        text(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "event" && line["past"] == false)
        .filter_map(|line| line["event"]["text"].as_str())
        .collect();
    assert_eq!(told, ["before", "while it is away", "after"]);
    assert!(lines.iter().any(|line| line["type"] == "offline"));
}

#[test]
fn tokens_are_made_beside_a_running_server_and_are_accepted() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().to_str().expect("Unicode");
    let early = lynk(&["token", "--user", "alice", "--data", data]);
    assert_eq!(early.status.code(), Some(4), "there is no key yet");
    assert!(String::from_utf8_lossy(&early.stderr).contains("lynk serve"));
    let server = Server::start(temp.path(), &[]);
    let made = lynk(&["token", "--user", "alice", "--ttl", "1m", "--data", data, "-o", "json"]);
    let made: Value = serde_json::from_str(&text(&made)).expect("JSON");
    let mut client = Chatter::connect(&server);
    let ok = client.ask(serde_json::json!({"op": "hello", "token": made["token"]}));
    assert_eq!((&ok["ev"], &ok["user"], &ok["session"]), (&"ok".into(), &made["user"], &made["session"]));
    let session = "01010101-0101-4101-8101-010101010101";
    lynk(&["token", "--user", "alice", "--session", session, "--ttl", "15m", "--data", data]);
    for bad in [
        &["--ttl", "2d"][..],
        &["--ttl", "soon"],
        &["--session", "x"],
        // It would outlive the memory of the session's end.
        &["--session", session, "--ttl", "16m"],
    ] {
        let refused = lynk(&[&["token", "--user", "alice", "--data", data], bad].concat());
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn verify_tells_a_sound_directory_from_a_damaged_one() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().to_str().expect("Unicode");
    // One journal, which has the room.
    let server = Server::start(temp.path(), &["--shards", "1"]);
    let mut alice = Chatter::sign_in(&server);
    let room = alice.create();
    for n in 0..50 {
        alice.say(&room, &format!("message {n} {}", "x".repeat(200)));
    }
    let busy = lynk(&["verify", "--data", data]);
    assert_eq!(busy.status.code(), Some(4), "a server has it");
    server.kill();
    let sound = lynk(&["verify", "--data", data, "-o", "json"]);
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stderr));
    let account: Value = serde_json::from_str(&text(&sound)).expect("JSON");
    // Of a store that is outside it does not know.
    let opens = if Outside::for_all().is_some() { Value::Null } else { true.into() };
    assert_eq!((&account["sound"], &account["rooms"]["opens"]), (&true.into(), &opens));

    // One bit in an early record: what follows proves that it was once whole.
    let segment = account["journals"][0]["files"][0]["path"].as_str().expect("a path").to_owned();
    let mut bytes = std::fs::read(&segment).expect("readable");
    let start = 4_096.min(bytes.len() / 4);
    bytes[start + 40] ^= 1;
    std::fs::write(&segment, bytes).expect("writable");
    let damaged = lynk(&["verify", "--data", data]);
    assert_eq!(damaged.status.code(), Some(1), "{}", text(&damaged));
    assert!(text(&damaged).contains("DAMAGED"), "{}", text(&damaged));
    let refused = crate::support::serve_command(temp.path(), &[]).output().expect("lynk can be started");
    assert_eq!(refused.status.code(), Some(4));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("lynk verify") && told.contains(".seg"), "{told}");
}

#[test]
fn the_doctor_examines_this_machine() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().join("data");
    let data = data.to_str().expect("Unicode");
    let free = ["--set", "listen.address=127.0.0.1:0", "--set", "admin.address=127.0.0.1:0"];
    let output = lynk(&[&["doctor", "--data", data, "-o", "json"], &free[..]].concat());
    let told: Value = serde_json::from_str(&text(&output)).expect("JSON");
    assert_eq!(output.status.success(), told["fit"] == true, "{told}");
    let names: Vec<_> =
        told["checks"].as_array().expect("a list").iter().filter_map(|c| c["check"].as_str()).collect();
    for name in ["kernel", "io_uring", "open files", "locked memory", "data directory", "disk sync", "clock"]
    {
        assert!(names.contains(&name), "{name} is missing");
    }
}

#[test]
fn the_doctor_asks_for_the_admin_port_only_when_it_is_used() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let admin = format!("admin.address={}", taken.local_addr().expect("bound"));
    for (enabled, expected) in [("admin.enabled=true", Some("fail")), ("admin.enabled=false", None)] {
        let output = lynk(
            &[
                &["doctor", "--data", data.to_str().expect("Unicode"), "-o", "json"][..],
                &["--set", "listen.address=127.0.0.1:0", "--set", &admin, "--set", enabled],
            ]
            .concat(),
        );
        let told: Value = serde_json::from_str(&text(&output)).expect("JSON");
        let checks = told["checks"].as_array().expect("a list");
        let found = checks.iter().find(|check| check["check"] == "admin port");
        assert_eq!(found.and_then(|check| check["verdict"].as_str()), expected, "{told}");
    }
}

#[test]
fn configuration_commands_answer_with_their_exit_codes() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let file = temp.path().join("lynk.toml");
    std::fs::write(&file, lynk(&["config", "default"]).stdout).expect("writable");
    let path = file.to_str().expect("Unicode");
    assert!(lynk(&["config", "check", path]).status.success());
    std::fs::write(&file, "[limits]\nheartbeat = \"5m\"\nhello = \"1s\"\n").expect("writable");
    let bad = lynk(&["config", "check", path, "-o", "json"]);
    assert_eq!(bad.status.code(), Some(3));
    let told: Value = serde_json::from_str(&text(&bad)).expect("JSON");
    assert!(told["problems"][0].as_str().is_some_and(|problem| problem.contains("line 3")), "{told}");
    let explained = text(&lynk(&["config", "explain", "limits.heartbeat"]));
    assert!(explained.contains("LYNK__LIMITS__HEARTBEAT") && explained.contains("25s"), "{explained}");
    assert_eq!(lynk(&["config", "explain", "limits.hearbeat"]).status.code(), Some(2));
    assert!(text(&lynk(&["config", "doc", "--section", "listen"])).starts_with("## [listen]"));
    assert!(text(&lynk(&["version"])).starts_with("lynk "));
    assert_eq!(lynk(&["config", "check", "/nonexistent.toml"]).status.code(), Some(3));
}

#[test]
fn a_rotated_key_signs_after_a_reload_and_the_old_one_is_still_accepted() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let data = temp.path().to_str().expect("UTF-8");
    let keys = |arguments: &[&str]| -> Value {
        let output = lynk(&[&["keys"], arguments, &["--data", data, "-o", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text(&output)).expect("JSON")
    };
    let kid = |keys: &Value, role: &str| {
        let rows = keys["keys"].as_array().expect("rows");
        rows.iter().find(|row| row["role"] == role).map(|row| row["kid"].clone())
    };
    let sign = || text(&lynk(&["token", "--user", "alice", "--data", data]));
    let (first, old_token) = (keys(&["list"]), sign());
    let rotated = keys(&["rotate"]);
    assert_eq!(kid(&rotated, "retired"), kid(&first, "signs"));
    assert_eq!(rotated["reload_pid"], server.pid().to_string());
    server.signal(rustix::process::Signal::HUP);
    assert_eq!(server.wait_logged("reloaded")["keys"], 3, "signs, next, retired");
    let new_token = sign();
    let kid_of = |token: &str| token.split('.').next().map(str::to_owned);
    assert_ne!(kid_of(&old_token), kid_of(&new_token));
    for token in [old_token, new_token] {
        let mut client = Chatter::connect(&server);
        assert_eq!(client.ask(json!({ "op": "hello", "token": token.trim() }))["ev"], "ok");
    }
    let again = keys(&["rotate", "--overlap", "16m"]);
    assert_eq!(kid(&again, "signs"), kid(&rotated, "next"));
    let refused = lynk(&["keys", "rotate", "--overlap", "1m", "--data", data]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--overlap"));
}

#[test]
fn a_server_that_others_can_reach_shows_no_codes() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().to_str().expect("UTF-8");
    let refused = lynk(&["serve", "--data", data, "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(3));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("sms.provider") && why.contains("`none`"), "{why}");
    assert!(std::fs::read_dir(temp.path()).expect("readable").next().is_none(), "nothing was made");
}
