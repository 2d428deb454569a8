//! PostgreSQL and Cassandra.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::files::Filed;
use crate::life::{CODES, Life};
use crate::pump::Acked;
use crate::support::outside::Outside;
use crate::support::{LYNK, Server};
use crate::tools::{
    Talk, assert_restored, backup, kept, lynk, refusal, restore, start, take_keys, text, told,
};

#[test]
fn a_backup_of_outside_stores_under_load_restores_into_others_and_into_a_directory() {
    let Some(outside) = Outside::find("a_backup_of_outside_stores_under_load_restores_into_others") else {
        return;
    };
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let first = outside.empty();
    let server = start(&path("data"), &first);
    let talks: Vec<Talk> = (0..2).map(|_| Talk::start(&server)).collect();
    for talk in &talks {
        talk.pump.wait_more(200);
    }
    let before: Vec<usize> = talks.iter().map(|talk| talk.pump.count()).collect();
    let filed = Filed::send(&server);
    let made = told(&backup(&path("data"), &path("backup"), &first));
    assert_eq!((made["rooms"].as_u64(), made["logs"].as_u64()), (Some(3), Some(3)), "{made}");
    assert_eq!((made["files"].as_u64(), made["files_missing"].as_u64()), (Some(2), Some(0)), "{made}");
    for talk in &talks {
        talk.pump.wait_more(50);
    }
    let ended: Vec<_> = talks.into_iter().map(Talk::end).collect();
    server.kill();

    let text = refusal(&restore(&path("backup"), &path("refused"), &first));
    assert!(text.contains("rows already") || text.contains("rooms already"), "{text}");
    for (name, options) in [("outside", outside.empty()), ("embedded", Vec::new())] {
        told(&restore(&path("backup"), &path(name), &options));
        take_keys(&path("data"), &path(name));
        let server = start(&path(name), &options);
        for ((user, room, epoch, acked), least) in ended.iter().zip(&before) {
            assert_restored(&server, (*user, room, *epoch), acked, *least);
        }
        filed.assert_there(&server);
        assert!(server.stop().success());
    }
}

fn move_words(data: &Path) -> [&str; 10] {
    ["move", "--from", "embedded", "--to", "external", "--verify", "-o", "json", "--data", text(data)]
}

pub(crate) fn move_to(data: &Path, options: &[String]) -> Output {
    lynk(&move_words(data), options)
}

/// Begins a move, and waits until it says that it is at `stage`.
pub(crate) fn move_until(
    data: &Path,
    options: &[String],
    stage: &str,
) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = Command::new(LYNK);
    command.args(move_words(data)).args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut mover = command.spawn().expect("lynk can be started");
    let lines = BufReader::new(mover.stderr.take().expect("piped")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.starts_with(stage)) {
        seen.push(lines.next().unwrap_or_else(|| panic!("it ended: {seen:?}")));
    }
    (mover, lines)
}

/// The newest message may have been taken without its answer.
fn assert_kept(server: &Server, user: lynk_domain::UserId, room: &str, acked: &Acked) {
    let found = kept(server, user, room);
    assert!((acked.len()..=acked.len() + 1).contains(&found.len()), "{} of {}", found.len(), acked.len());
    assert_eq!(found[..acked.len()], acked[..]);
}

#[test]
fn a_server_that_is_killed_in_a_move_has_everything_in_its_old_stores() {
    let Some(outside) = Outside::find("a_server_that_is_killed_in_a_move") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let mut server = start(&data, &[]);
    let Talk { user, room, pump, .. } = Talk::start(&server);
    pump.wait_more(2_000);
    let (chatter, mut acked) = pump.stop();
    let mut chatter = Some(chatter);
    let stages = [
        "copying messages:",
        "comparing rooms",
        "copying rooms and accounts",
        "ending the server",
        "copying the last changes",
    ];
    for stage in stages {
        let options = outside.empty();
        let (mut mover, lines) = move_until(&data, &options, stage);
        server.kill();
        let said: Vec<String> = lines.collect();
        mover.wait().expect("it ends");
        if std::fs::read_to_string(data.join("STORES")).expect("there").contains("cassandra") {
            // It was faster than the kill: only the last stage may be.
            assert!(stages[2..].contains(&stage), "{stage}");
            server = start(&data, &options);
            assert_kept(&server, user, &room, &acked);
            return;
        }
        assert!(said.iter().any(|line| line.contains("the server ended before it was done")), "{said:?}");
        let refused = refusal(&move_to(&data, &options));
        assert!(refused.contains("already"), "the half that is there is not taken for empty: {refused}");
        drop(chatter.take());
        server = start(&data, &[]);
        assert_kept(&server, user, &room, &acked);
        let mut again = crate::support::Chatter::sign_in_as(&server, user, serde_json::json!([]));
        let said = format!("after a kill at {stage}");
        acked.push((again.say(&room, &said)["seq"].as_u64().expect("a number"), said));
        chatter = Some(again);
    }
    drop(chatter);
    let options = outside.empty();
    told(&move_to(&data, &options));
    assert!(server.wait().success());
    let server = start(&data, &options);
    assert_kept(&server, user, &room, &acked);
}

#[test]
fn a_mover_that_is_killed_leaves_the_server_to_its_people() {
    let Some(outside) = Outside::find("a_mover_that_is_killed") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let server = start(&data, &[]);
    let Talk { user, room, pump, .. } = Talk::start(&server);
    pump.wait_more(1_000);
    let (mut mover, _) = move_until(&data, &outside.empty(), "copying messages:");
    mover.kill().expect("it runs");
    mover.wait().expect("it ends");
    server.wait_logged("move_failed");
    pump.wait_more(50);
    let (chatter, acked) = pump.stop();
    drop(chatter);
    assert_eq!(kept(&server, user, &room), acked);
    assert!(server.stop().success());
    drop(start(&data, &[]));
}

#[test]
fn a_move_under_load_loses_nothing_and_its_rooms_are_compared() {
    let Some(outside) = Outside::find("a_move_under_load_loses_nothing") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let options = outside.empty();
    let mut server = start(&data, &[]);
    let talks: Vec<Talk> = (0..3).map(|_| Talk::start(&server)).collect();
    for talk in &talks {
        talk.pump.wait_more(300);
    }
    // They post until the server ends for the switch.
    let posting: Vec<_> =
        talks.into_iter().map(|Talk { user, room, pump, .. }| (user, room, pump.until_closed())).collect();
    let moved = told(&move_to(&data, &options));
    assert_eq!((moved["logs"].as_u64(), moved["rooms"].as_u64()), (Some(3), Some(3)), "{moved}");
    assert!(server.wait().success(), "it ended as on SIGTERM");
    let refused = lynk(&["serve", "--data", text(&data), "--listen", "127.0.0.1:0"], &[]);
    assert!(refusal(&refused).contains("is in other stores"), "the old stores are left");
    let server = start(&data, &options);
    for (user, room, acked) in posting {
        let acked = acked();
        assert_kept(&server, user, &room, &acked);
        let mut chatter = crate::support::Chatter::sign_in_as(&server, user, serde_json::json!([]));
        let ok: Value = chatter.say(&room, "after the move");
        assert!(ok["seq"].as_u64() > acked.last().map(|(seq, _)| *seq), "{ok}");
    }
    // Sessions of the move are those of the start after it, too.
    assert!(server.stop().success());
    drop(start(&data, &options));
}

#[test]
fn a_move_of_everything_has_what_people_did_meanwhile() {
    let Some(outside) = Outside::find("a_move_of_everything_has_what_people_did_meanwhile") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let options = outside.empty();
    let codes: Vec<String> = CODES.map(str::to_owned).to_vec();
    let mut server = start(&data, &codes);
    let Talk { user, room, pump, .. } = Talk::start(&server);
    pump.wait_more(300);
    let filed = Filed::send(&server);
    let life = Life::start(&server);
    let acked = pump.until_closed();
    let moved = told(&move_to(&data, &options));
    assert_eq!(moved["files"].as_u64(), Some(2), "{moved}");
    assert!(server.wait().success(), "it ended as on SIGTERM");
    let (acked, lived) = (acked(), life.end());
    assert!(moved["changes"].as_u64() > Some(0), "{moved}");
    assert!(!data.join("move.part").exists(), "the copies are gone");
    let server = start(&data, &[options.clone(), codes].concat());
    assert_kept(&server, user, &room, &acked);
    lived.assert_kept(&server);
    filed.assert_there(&server);
    assert!(server.stop().success());
}

#[test]
fn a_move_without_a_server_needs_empty_stores() {
    let Some(outside) = Outside::find("a_move_without_a_server_needs_empty_stores") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    let options = outside.empty();
    let mut left = Vec::new();
    for data in [&first, &second] {
        let server = start(data, &[]);
        let Talk { user, room, pump, .. } = Talk::start(&server);
        pump.wait_more(50);
        let (chatter, acked) = pump.stop();
        drop(chatter);
        server.kill();
        left.push((user, room, acked));
    }
    told(&move_to(&first, &options));
    let text = refusal(&move_to(&first, &options));
    assert!(text.contains("is in these stores already"), "{text}");
    let text = refusal(&move_to(&second, &options));
    assert!(text.contains("has rooms already"), "{text}");
    let server = start(&first, &options);
    assert_eq!(kept(&server, left[0].0, &left[0].1), left[0].2);
    let server = start(&second, &[]);
    assert_eq!(kept(&server, left[1].0, &left[1].1), left[1].2);
}
