//! Rooms and accounts that move to PostgreSQL while people change them. The messages stay: no Cassandra is needed.

use std::path::Path;

use lynk_copy::{digest_tables, read_manifest};
use lynk_domain::{Family, Key, Millis, Phone, Role, RoomId, RoomKind, SecretHash, Seq, SessionId, UserId};
use lynk_embedded::{Accounts, AccountsSnapshot, Rooms, RoomsSnapshot};
use lynk_model::account::{Account, AuditEvent, AuditKind, Session};
use lynk_model::dump::{AccountsRow, RoomsRow};
use lynk_model::port::{Fill as _, ready};
use lynk_model::{LoadedRoom, MemberRow, Personal, RoomRow};

use crate::life::{CODES, Life};
use crate::outside::{move_to, move_until};
use crate::support::outside::Outside;
use crate::support::{NO_RATES, Server, wall_millis};
use crate::tools::{backup, lynk, refusal, text, told};

fn start(data: &Path, options: &[String]) -> Server {
    let mut all = [&NO_RATES[..], &CODES[..]].concat();
    all.extend(options.iter().map(String::as_str));
    Server::start(data, &all)
}

fn id(number: u32) -> [u8; 16] {
    let mut id = [0x0a; 16];
    // Spread over all ids, as the hashes and random ids of a server are.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// So much that it takes a while to copy: rooms, people, and what is dropped when somebody signs in, because its time is over.
fn put_much(data: &Path) {
    let long_ago = Millis(wall_millis() - 400 * 24 * 60 * 60 * 1_000);
    let (mut rooms, mut accounts) = (Rooms::open(data).expect("opens"), Accounts::open(data).expect("opens"));
    let (mut of_rooms, mut of_accounts) = (Vec::new(), Vec::new());
    for number in 1..2_000u32 {
        let (room, user) = (RoomId(id(number)), UserId(id(number)));
        let made = RoomRow::new(room, RoomKind::Private, &format!("of old {number}"), user, long_ago);
        let row = RoomRow { version: 1, ..made };
        let member = |number: u32| MemberRow {
            user: UserId(id(number)),
            role: Role::Owner,
            joined_version: 1,
            joined_seq: Seq(1),
            personal: Personal::default(),
            by_stranger: false,
        };
        let mut members = vec![member(number), member(number + 1), member(number + 2)];
        members.sort_by_key(|member| member.user);
        of_rooms.push(RoomsRow::Room(Box::new(LoadedRoom {
            row: Some(row),
            members,
            ..LoadedRoom::default()
        })));
        of_rooms.push(RoomsRow::Result {
            actor: user,
            room,
            key: Key(id(number)),
            content_hash: 1,
            version: 1,
            seq: Seq(1),
            wall: long_ago,
        });
        let name = format!("old.{number}");
        let phone = Phone::from_e164(&format!("+4930{number:08}")).expect("a number");
        let account = Account::new(user, phone, name.clone(), name.clone(), long_ago);
        of_accounts.push(AccountsRow::Account(account));
        of_accounts.push(AccountsRow::Name { folded: name, user, freed: None });
        let family = Family {
            generation: 1,
            hash: SecretHash([7; 32]),
            rotations: vec![long_ago],
            idle_expires: long_ago,
            expires: long_ago,
        };
        let session = SessionId(id(number));
        of_accounts.push(AccountsRow::Session {
            session: Session {
                session,
                user,
                device: "a device of old".to_owned(),
                created: long_ago,
                last_used: long_ago,
                epoch: 1,
                family,
            },
            revoked: None,
        });
        let at = Millis(long_ago.0 + u64::from(number));
        of_accounts.push(AccountsRow::Audit(AuditEvent { at, user, session, kind: AuditKind::SignedIn }));
        of_accounts.push(AccountsRow::Counter {
            key: id(number),
            slice: long_ago.0,
            count: 1,
            until: long_ago.0 + 1,
        });
    }
    for rows in of_rooms.chunks(500) {
        ready(rooms.fill(rows)).expect("fills");
    }
    for rows in of_accounts.chunks(500) {
        ready(accounts.fill(rows)).expect("fills");
    }
}

/// A data directory with much in it and a server that serves from it.
fn much(data: &Path) -> Server {
    assert!(start(data, &[]).stop().success());
    put_much(data);
    start(data, &[])
}

/// Asserts that new stores have every row that the files of old have, by a backup of either. Sessions are not in backups.
fn assert_same(data: &Path, options: &[String], place: &Path) {
    told(&backup(data, place, options));
    let manifest = read_manifest(place).expect("a backup");
    let mut rooms = RoomsSnapshot::open(data).expect("is left");
    let mut accounts = AccountsSnapshot::open(data).expect("is left");
    let mut each = async |_| Ok(());
    let of_rooms = ready(digest_tables(&mut rooms, "the old", |_| true, &mut each)).expect("readable");
    let kept = |row: &AccountsRow| !matches!(row, AccountsRow::Session { .. });
    let of_accounts = ready(digest_tables(&mut accounts, "the old", kept, &mut each)).expect("readable");
    assert_eq!(manifest.relational, of_rooms.digest.to_string());
    assert_eq!(manifest.accounts, of_accounts.digest.to_string());
    assert!(of_rooms.counted > 2_000 && of_accounts.counted > 2_000, "{of_rooms:?} {of_accounts:?}");
}

#[test]
fn rooms_and_accounts_that_change_while_they_move_are_moved_as_they_are_in_the_end() {
    let Some(outside) = Outside::find("rooms_and_accounts_that_change_while_they_move") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let mut server = much(&data);
    let options = outside.empty_tables();
    let life = Life::start(&server);
    let (mover, lines) = move_until(&data, &options, "copying rooms and accounts");
    let said: Vec<String> = lines.collect();
    let moved = told(&mover.wait_with_output().expect("it ends"));
    assert!(server.wait().success(), "it ended as on SIGTERM");
    let lived = life.end();
    for stage in ["comparing rooms and accounts", "copying what changed", "copying the last changes"] {
        assert!(said.iter().any(|line| line.starts_with(stage)), "{stage} is not in {said:?}");
    }
    let number = |name: &str| moved[name].as_u64().unwrap_or_default();
    assert!(number("changes") > 0 && number("late_changes") <= number("changes"), "{moved}");
    assert!(number("rooms") > 2_000 && number("accounts") > 2_000, "{moved}");
    assert!(!data.join("move.part").exists(), "the copies are gone");
    assert_same(&data, &options, &place.path().join("backup"));
    let refused = lynk(&["serve", "--data", text(&data), "--listen", "127.0.0.1:0"], &[]);
    assert!(refusal(&refused).contains("is in other stores"), "the old stores are left");
    let server = start(&data, &options);
    lived.assert_kept(&server);
    assert!(server.stop().success());
}

#[test]
fn a_server_that_is_killed_while_tables_move_has_them_and_no_copy_of_them() {
    let Some(outside) = Outside::find("a_server_that_is_killed_while_tables_move") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let part = data.join("move.part");
    let mut server = much(&data);
    let stages = [
        "copying rooms and accounts: ",
        "comparing rooms and accounts",
        "copying what changed",
        "ending the server",
        "copying the last changes",
    ];
    for stage in stages {
        let options = outside.empty_tables();
        let life = Life::start(&server);
        let (mut mover, lines) = move_until(&data, &options, stage);
        // Its copy is there, for its owner only, unless all is done.
        server.signal(rustix::process::Signal::STOP);
        let there = part.exists();
        server.kill();
        let said: Vec<String> = lines.collect();
        mover.wait().expect("it ends");
        let lived = life.end();
        let stores = std::fs::read_to_string(data.join("STORES")).expect("there");
        if stores.contains("postgres") {
            // It was faster than the kill: only the last stages may be.
            assert!(stages[2..].contains(&stage), "{stage}");
            lived.assert_kept(&start(&data, &options));
            return;
        }
        // In the last stages it may be gone already, a moment before it is said where the tables are.
        assert!(there || stages[2..].contains(&stage), "the copy is there at {stage}");
        assert!(said.iter().any(|line| line.contains("the server ended before it was done")), "{said:?}");
        // The command takes the directory, as the next start does.
        assert!(refusal(&move_to(&data, &options)).contains("rows already"));
        assert!(!part.exists(), "no copy is left");
        server = start(&data, &[]);
        lived.assert_kept(&server);
        server.kill();
        // People of the next stage are others.
        std::fs::remove_dir_all(&data).expect("ours");
        server = much(&data);
    }
}

#[test]
fn the_next_start_removes_what_a_killed_move_left() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    assert!(start(&data, &[]).stop().success());
    std::fs::create_dir_all(data.join("move.part/1")).expect("ours");
    std::fs::write(data.join("move.part/1/accounts.sqlite"), "telephone numbers").expect("ours");
    let server = start(&data, &[]);
    assert!(!data.join("move.part").exists());
    assert!(server.stop().success());
}

#[test]
fn a_mover_that_is_killed_while_tables_move_leaves_no_copy() {
    let Some(outside) = Outside::find("a_mover_that_is_killed_while_tables_move") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let server = much(&data);
    let life = Life::start(&server);
    let options = outside.empty_tables();
    let (mut mover, mut lines) = move_until(&data, &options, "copying rooms and accounts");
    // What it says next it says of rows that are copied.
    lines.next().expect("it goes on");
    mover.kill().expect("it runs");
    mover.wait().expect("it ends");
    server.wait_logged("move_failed");
    assert!(!data.join("move.part").exists(), "no copy is left");
    life.wait_more(2);
    // A database that has rows is refused before anything is copied, and nobody is thrown out for it.
    assert!(refusal(&move_to(&data, &options)).contains("rows already"));
    assert!(!data.join("move.part").exists());
    life.wait_more(1);
    let ended = std::thread::spawn(move || life.end());
    assert!(server.stop().success());
    ended.join().expect("it ends").assert_kept(&start(&data, &[]));
}
