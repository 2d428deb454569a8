//! PostgreSQL and Cassandra.

use serde_json::Value;

use crate::support::outside::Outside;
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
    let made = told(&backup(&path("data"), &path("backup"), &first));
    assert_eq!((made["rooms"].as_u64(), made["logs"].as_u64()), (Some(2), Some(2)), "{made}");
    for talk in &talks {
        talk.pump.wait_more(50);
    }
    let ended: Vec<_> = talks
        .into_iter()
        .map(|Talk { user, room, epoch, pump }| {
            let (chatter, acked) = pump.stop();
            drop(chatter);
            (user, room, epoch, acked)
        })
        .collect();
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
        assert!(server.stop().success());
    }
}

fn move_to(data: &std::path::Path, options: &[String]) -> std::process::Output {
    lynk(
        &["move", "--from", "embedded", "--to", "external", "--verify", "-o", "json", "--data", text(data)],
        options,
    )
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
        let found = kept(&server, user, &room);
        // The last one may have been taken without its answer.
        assert!(
            found.len() >= acked.len() && found.len() <= acked.len() + 1,
            "{} of {}",
            found.len(),
            acked.len()
        );
        assert_eq!(found[..acked.len()], acked[..]);
        let mut chatter = crate::support::Chatter::sign_in_as(&server, user, serde_json::json!([]));
        let ok: Value = chatter.say(&room, "after the move");
        assert!(ok["seq"].as_u64() > found.last().map(|(seq, _)| *seq), "{ok}");
    }
    // Sessions of the move are those of the start after it, too.
    assert!(server.stop().success());
    drop(start(&data, &options));
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
    let text = refusal(&move_to(&second, &options));
    assert!(text.contains("has rooms already"), "{text}");
    let server = start(&first, &options);
    assert_eq!(kept(&server, left[0].0, &left[0].1), left[0].2);
    let server = start(&second, &[]);
    assert_eq!(kept(&server, left[1].0, &left[1].1), left[1].2);
}
