//! Who gets in and who may do what, from the server's own answers.

use std::collections::BTreeSet;
use std::path::Path;

use lynk_bridge::{FileError, Secret};
use lynk_model::StoreError;
use lynk_model::port::{Ephemeral as _, NewOnce, OnceKind};
use lynk_redis::acl::{GENERAL, GRANTS, USER};
use lynk_redis::{Connect, OpenError, RedisBridge};
use redis::{ErrorKind, ServerErrorKind, Value};

use crate::support::{Services, block_on, now, services, until};

/// What a bridge says that comes with `connect`.
fn refused(connect: &Connect) -> String {
    let bridge = RedisBridge::start(connect).expect("good settings");
    until("it tried", || bridge.counts().health.report().failures > 0);
    let call = block_on(bridge.handle().look_once(now(), OnceKind::Ticket, [1; 32]));
    assert_eq!(call, Err(StoreError::Unavailable));
    let report = bridge.counts().health.report();
    assert!(report.degraded.is_some());
    bridge.finish();
    format!("{}: {}", report.last_error, report.detail)
}

#[test]
fn the_right_identity_is_let_in() {
    let Some(services) = services("the_right_identity_is_let_in") else { return };
    let bridge = services.bridge(&services.connect());
    let Value::VerbatimString { text, .. } = services.admin(&["CLIENT", "LIST"]) else {
        let Value::BulkString(list) = services.admin(&["CLIENT", "LIST"]) else { panic!("a list") };
        let list = String::from_utf8(list).expect("text");
        assert!(list.lines().any(|line| line.contains("user=lynk_ephemeral")), "{list}");
        return bridge.finish();
    };
    assert!(text.contains("user=lynk_ephemeral"), "{text}");
    bridge.finish();
}

#[test]
fn a_wrong_identity_is_refused() {
    let Some(services) = services("a_wrong_identity_is_refused") else { return };
    let right = services.connect();
    let password = services.password(USER);
    let own = (&*right.certificate, &*right.key);
    let raw = |identity: Option<(&Path, &Path)>, user: Option<(&str, &str)>| {
        block_on(async {
            let mut connection = services.raw(identity, user).await?;
            redis::cmd("PING").query_async::<String>(&mut connection).await
        })
    };
    assert_eq!(raw(Some(own), Some((USER, &password))).expect("the right one works"), "PONG");

    raw(None, Some((USER, &password))).expect_err("no certificate");

    let (certificate, key) = (services.of(USER, "FOREIGN_CERT"), services.of(USER, "FOREIGN_KEY"));
    raw(Some((&certificate, &key)), Some((USER, &password))).expect_err("a certificate of another CA");
    let foreign = refused(&Connect { certificate, key, ..right.clone() });
    assert!(foreign.starts_with("un") && foreign.contains("UnknownCA"), "{foreign}");

    for (user, password) in [(USER, "wrong-password"), ("nobody", &*password), (USER, "")] {
        let error = raw(Some(own), Some((user, password))).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::AuthenticationFailed, "{error:?}");
    }
    let wrong = refused(&Connect { password: Secret::new("wrong-password"), ..right.clone() });
    assert!(wrong.starts_with("refused: ") && !wrong.contains("wrong-password"), "{wrong}");

    let error = raw(Some(own), None).expect_err("no user");
    assert_eq!(error.code(), Some("NOAUTH"), "{error:?}");
}

#[test]
fn without_tls_nobody_is_heard() {
    use std::io::{Read as _, Write as _};
    let Some(services) = services("without_tls_nobody_is_heard") else { return };
    let Connect { host, port, .. } = services.connect();
    let mut socket = std::net::TcpStream::connect((host, port)).expect("a socket");
    socket.write_all(b"*1\r\n$4\r\nPING\r\n").expect("sent");
    let mut answer = Vec::new();
    let _closed = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"+") && !answer.starts_with(b"-"), "{answer:?}");
}

#[test]
fn a_wrong_server_is_left() {
    let Some(services) = services("a_wrong_server_is_left") else { return };
    let right = services.connect();
    let foreign = refused(&Connect { ca: services.get("FOREIGN_CA").into(), ..right.clone() });
    assert!(foreign.contains("UnknownIssuer"), "{foreign}");
    // All of 127.0.0.0/8 is this machine's, but the server listens on one address, so a name that its certificate lacks.
    let name = refused(&Connect { host: "localhost.localdomain".to_owned(), ..right });
    assert!(name.starts_with("unavailable: "), "{name}");
}

#[test]
fn a_start_names_the_file_that_cannot_be_used() {
    let Some(services) = services("a_start_names_the_file_that_cannot_be_used") else { return };
    let right = services.connect();
    let fails = |connect: Connect| RedisBridge::start(&connect).expect_err("refused").to_string();
    assert!(fails(Connect { key: "missing.key".into(), ..right.clone() }).contains("missing.key"));
    let swapped = fails(Connect { certificate: right.key.clone(), ..right.clone() });
    assert!(swapped.contains("no certificate"), "{swapped}");
    let other = fails(Connect { key: services.of("redis_admin", "KEY"), ..right.clone() });
    assert!(other.contains("lynk_ephemeral.crt"), "{other}");
    let open = std::env::temp_dir().join(format!("lynk-open-{}.key", std::process::id()));
    std::fs::copy(&right.key, &open).expect("copied");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("changed");
    let opened = RedisBridge::start(&Connect { key: open.clone(), ..right }).expect_err("refused");
    std::fs::remove_file(&open).expect("removed");
    assert!(matches!(opened, OpenError::Files(FileError::KeyIsOpen { .. })), "{opened}");
}

fn forbidden(services: &Services, words: &[&str]) {
    let error = services.ask(USER, words).expect_err(&words.join(" "));
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm), "{words:?}: {error:?}");
}

#[test]
fn what_is_not_granted_is_refused() {
    let Some(services) = services("what_is_not_granted_is_refused") else { return };
    for words in [
        &["FLUSHALL"][..],
        &["FLUSHDB"],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["CONFIG", "GET", "*"],
        &["CONFIG", "SET", "requirepass", ""],
        &["ACL", "LIST"],
        &["ACL", "SETUSER", USER, "+@all"],
        &["INFO"],
        &["MONITOR"],
        &["CLIENT", "LIST"],
        &["SHUTDOWN"],
        &["REPLICAOF", "NO", "ONE"],
        &["EVAL", "return 1", "0"],
        &["SCRIPT", "FLUSH"],
        &["FUNCTION", "LIST"],
        &["PUBLISH", "lynk:code:1", "x"],
        &["SUBSCRIBE", "x"],
        // Keys of others, and kinds of ours that the command is not for.
        &["SET", "other:wait:1", "x"],
        &["HGET", "lynk2:once:1", "sealed"],
        &["GET", "lynk:code:1"],
        &["GET", "lynk:once:1"],
        &["HGETALL", "lynk:once:1:00"],
        &["SET", "lynk:count:1", "x"],
        &["DEL", "lynk:count:1"],
    ] {
        forbidden(&services, words);
    }
    // The same inside scripts, which a program that has been taken over may load.
    for script in [
        "return redis.call('FLUSHALL')",
        "return redis.call('KEYS', '*')",
        "return redis.call('SET', 'other:wait:1', 'x')",
        "return redis.call('DEL', 'lynk:count:1')",
        "return redis.call('GET', 'lynk:code:1')",
    ] {
        let Value::BulkString(hash) = services.ask(USER, &["SCRIPT", "LOAD", script]).expect("it may") else {
            panic!("a hash")
        };
        let hash = String::from_utf8(hash).expect("text");
        let error = services.ask(USER, &["EVALSHA", &hash, "0"]).expect_err(script);
        assert!(error.to_string().contains("user executing the script can't"), "{script}: {error:?}");
    }
}

/// Arguments with which a command is well-formed, its key first.
fn arguments<'a>(command: &str, key: &'a str) -> Vec<&'a str> {
    let rest: &[&str] = match command {
        "hset" | "hincrby" | "zadd" | "zcount" | "lrem" | "lrange" => &["1", "1"],
        "hget" | "hmget" | "hdel" | "pexpire" | "set" | "rpush" | "zrem" => &["1"],
        _ => &[],
    };
    [key].into_iter().chain(rest.iter().copied()).collect()
}

#[test]
fn each_kind_of_keys_takes_exactly_the_commands_of_the_table() {
    let Some(services) = services("each_kind_of_keys_takes_exactly_the_commands_of_the_table") else {
        return;
    };
    let granted = || GRANTS.iter().filter(|grant| !grant.filter);
    let commands: BTreeSet<&str> = granted().flat_map(|grant| grant.commands).copied().collect();
    let mut checked = 0;
    for grant in granted() {
        let key = format!("lynk:{}", grant.keys.replace('*', "1:00"));
        for command in &commands {
            let mut words = vec!["ACL", "DRYRUN", USER, command];
            words.extend(arguments(command, &key));
            let said = format!("{:?}", services.admin(&words));
            let allowed = said.contains("ok") || said.contains("Okay") || said.contains("OK");
            assert_eq!(allowed, grant.commands.contains(command), "{command} {key}: {said}");
            checked += 1;
        }
    }
    assert!(checked > 100 && GENERAL.len() == 6, "{checked}");
}

#[test]
fn what_is_kept_is_found_by_its_hash_only_and_lives_as_long_as_it_should() {
    let Some(services) = services("what_is_kept_is_found_by_its_hash_only") else { return };
    let bridge = services.bridge(&services.connect());
    let mut key = [0x77; 32];
    getrandom::fill(&mut key[..8]).expect("random bytes");
    let once = NewOnce {
        kind: OnceKind::Ticket,
        key,
        owner: [8; 16],
        sealed: b"sealed".to_vec(),
        life_millis: 30_000,
    };
    block_on(bridge.handle().put_once(now(), once)).expect("kept");
    let name = format!("lynk:once:1:{}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let Value::Int(left) = services.admin(&["PTTL", &name]) else { panic!("a time") };
    assert!((1..=30_000).contains(&left), "{left}");
    bridge.finish();
}
