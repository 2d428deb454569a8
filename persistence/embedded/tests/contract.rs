//! The embedded stores pass the suites of their ports.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lynk_domain::{Key, MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId, direct_room_id};
use lynk_embedded::{
    Accounts, AccountsSnapshot, MediaSnapshot, MediaTable, MessageLog, MessageLogOptions, Notifications,
    NotificationsSnapshot, Rooms, RoomsBeside, RoomsSnapshot, TABLE_FILES, copy_tables,
};
use lynk_model::dump::{DumpRow as _, MediaRow};
use lynk_model::port::{Dump, Fill as _, NotifyStore as _, RoomStore as _, ready};
use lynk_model::{MetaChange, MetaTransaction, RoomRow, contract};

#[test]
fn the_message_log_passes_the_contract_of_its_port() {
    let mut directories = Vec::new();
    contract::message_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        directories.push(directory);
        log
    });
}

#[test]
fn the_message_log_passes_when_its_memory_is_flushed_all_the_time() {
    let directory = tempfile::tempdir().expect("a directory");
    // Rows come from tables and compactions rather than from memory.
    let options = MessageLogOptions { memtable_bytes: 4 << 10, cache_bytes: 1 << 20, ..Default::default() };
    let mut log = MessageLog::open(directory.path(), options).expect("opens");
    contract::replay_in_any_order_equals_in_order_once(&mut log, 100..130);
    contract::joined_answers_equal_those_of_a_full_store(&mut log, 100..110);
    assert!(log.stats().compactions > 0, "{:?}", log.stats());
}

#[test]
fn rooms_pass_the_contract_of_their_port() {
    let mut directories = Vec::new();
    contract::room_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let rooms = Rooms::open(directory.path()).expect("opens");
        directories.push(directory);
        rooms
    });
}

#[test]
fn accounts_pass_the_contract_of_their_port() {
    let mut directories = Vec::new();
    contract::account_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(directory.path()).expect("opens");
        directories.push(directory);
        accounts
    });
}

#[test]
fn erasures_pass_the_contract_of_their_port() {
    let mut directories = Vec::new();
    contract::erasure_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(directory.path()).expect("opens");
        directories.push(directory);
        accounts
    });
}

#[test]
fn second_factors_pass_the_contract_of_their_port() {
    let mut directories = Vec::new();
    contract::factor_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(directory.path()).expect("opens");
        directories.push(directory);
        accounts
    });
}

#[test]
fn notifications_pass_the_contract_of_their_port() {
    let mut directories = Vec::new();
    contract::notify_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let notifications = Notifications::open(directory.path()).expect("opens");
        directories.push(directory);
        notifications
    });
}

#[test]
fn media_pass_the_contract_of_their_port() {
    let mut directories = Vec::new();
    contract::media_store(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let media = MediaTable::open(directory.path()).expect("opens");
        directories.push(directory);
        media
    });
}

#[test]
fn the_message_log_can_be_copied() {
    let mut directories = Vec::new();
    contract::message_dump(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        directories.push(directory);
        log
    });
}

#[test]
fn rooms_and_accounts_can_be_copied() {
    let directories = RefCell::new(Vec::new());
    let new = || {
        directories.borrow_mut().push(tempfile::tempdir().expect("a directory"));
        newest(&directories)
    };
    contract::room_dump(
        || Rooms::open(&new()).expect("opens"),
        |_| RoomsSnapshot::open(&newest(&directories)).expect("opens"),
    );
    contract::account_dump(
        || Accounts::open(&new()).expect("opens"),
        |_| AccountsSnapshot::open(&newest(&directories)).expect("opens"),
    );
}

#[test]
fn notifications_can_be_copied() {
    let directories = RefCell::new(Vec::new());
    let new = || {
        directories.borrow_mut().push(tempfile::tempdir().expect("a directory"));
        newest(&directories)
    };
    contract::notify_dump(
        || Notifications::open(&new()).expect("opens"),
        |_| NotificationsSnapshot::open(&newest(&directories)).expect("opens"),
    );
    contract::media_dump(
        || MediaTable::open(&new()).expect("opens"),
        |_| MediaSnapshot::open(&newest(&directories)).expect("opens"),
    );
}

/// The directory of the suite that runs.
fn newest(directories: &RefCell<Vec<tempfile::TempDir>>) -> PathBuf {
    directories.borrow().last().expect("there is one").path().to_owned()
}

#[test]
fn tables_are_copied_as_they_are_at_one_moment_while_others_write() {
    let (directory, other) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (data, to) = (directory.path(), other.path());
    let (mut rooms, mut accounts) = (Rooms::open(data).expect("opens"), Accounts::open(data).expect("opens"));
    let mut notify = Notifications::open(data).expect("opens");
    let mut media = MediaTable::open(data).expect("opens");
    let file = |id: u8| lynk_model::media::Media {
        id: MediaId([id; 16]),
        owner: UserId([1; 16]),
        room: RoomId([1; 16]),
        purpose: lynk_model::media::Purpose::Attachment,
        name: "a file".to_owned(),
        kind: "text/plain".to_owned(),
        facts: lynk_model::media::MediaFacts::default(),
        state: lynk_model::media::MediaState::Ready,
        created: Millis(1),
        changed: Millis(1),
        attached: None,
        emptied: false,
        leaves: None,
        seq: None,
    };
    ready(media.fill(&[MediaRow(file(1)), MediaRow(file(2))])).expect("fills");
    let mut media_before = MediaSnapshot::open(data).expect("opens");
    contract::random_commands_match_the_reference(&mut rooms, 1..3);
    contract::an_account_is_found_by_what_is_unique(&mut accounts);
    contract::attempts_end_once(&mut notify);
    let mut notify_before = NotificationsSnapshot::open(data).expect("opens");
    let (mut before, mut accounts_before) =
        (RoomsSnapshot::open(data).expect("opens"), AccountsSnapshot::open(data).expect("opens"));
    copy_tables(data, to).expect("copies");
    // What is written later is in the old ones only, and there is nothing that holds the writers up.
    contract::random_commands_match_the_reference(&mut rooms, 3..5);
    contract::a_family_turns_once_from_each_generation(&mut accounts);
    ready(notify.erase(UserId([1; 16]))).expect("erases");
    ready(media.fill(&[MediaRow(file(3))])).expect("fills");
    let mut media_copied = MediaSnapshot::open(to).expect("opens");
    assert_eq!(rows(&mut media_copied), rows(&mut media_before));
    assert_ne!(rows(&mut media_copied), rows(&mut MediaSnapshot::open(data).expect("opens")));
    let mut notify_copied = NotificationsSnapshot::open(to).expect("opens");
    let (mut copied, mut accounts_copied) =
        (RoomsSnapshot::open(to).expect("opens"), AccountsSnapshot::open(to).expect("opens"));
    assert_eq!(rows(&mut copied), rows(&mut before));
    assert_eq!(rows(&mut accounts_copied), rows(&mut accounts_before));
    assert_eq!(rows(&mut notify_copied), rows(&mut notify_before));
    assert_ne!(rows(&mut copied), rows(&mut RoomsSnapshot::open(data).expect("opens")));
    assert_ne!(rows(&mut accounts_copied), rows(&mut AccountsSnapshot::open(data).expect("opens")));
    assert_ne!(rows(&mut notify_copied), rows(&mut NotificationsSnapshot::open(data).expect("opens")));
    for file in TABLE_FILES {
        let mode = std::fs::metadata(to.join(file)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(copy_tables(data, to).is_err(), "nothing is written over");
}

/// Encoded rows of tables.
fn rows<D: Dump>(dump: &mut D) -> Vec<Vec<u8>> {
    let (mut rows, mut mark) = (Vec::new(), Some(Default::default()));
    while let Some(at) = mark {
        let page = ready(dump.rows(&at, 50)).expect("readable");
        rows.extend(page.rows.iter().map(|(row, _)| {
            let mut bytes = Vec::new();
            row.encode(&mut bytes);
            bytes
        }));
        mark = page.next;
    }
    rows
}

#[test]
fn a_closed_log_is_written_to_by_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
    let other = log.clone();
    assert!(other.close().is_err(), "somebody has a handle");
    log.close().expect("closes");
    MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens again");
}

#[test]
fn readers_beside_the_store_know_members_and_blocks() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rooms = Rooms::open(directory.path()).expect("opens");
    let user = |n: u8| UserId([n; 16]);
    let room = RoomId([7; 16]);
    let command = |key: u8, room, change| MetaTransaction {
        room,
        actor: user(1),
        key: Key([key; 16]),
        content_hash: 1,
        wall: Millis(1),
        change,
    };
    let row = RoomRow::new(room, RoomKind::Private, "", user(1), Millis(1));
    let members = (1..=3).map(|n| (user(n), Role::Member)).collect();
    let create = command(1, room, MetaChange::Create { row, members });
    ready(rooms.apply(&create)).expect("applies");
    let block = MetaChange::Block { by: user(2), user: user(3), on: true };
    ready(rooms.apply(&command(2, direct_room_id(user(2), user(3)), block))).expect("applies");
    let reader = RoomsBeside::open(directory.path()).expect("opens");
    let ask = |max, named: &[UserId]| {
        reader.audience(room, max, named).expect("readable").map(|audience| (audience.size, audience.members))
    };
    assert_eq!(ask(3, &[]), Some((3, vec![user(1), user(2), user(3)])));
    assert_eq!(
        ask(2, &[user(3), user(9)]),
        Some((3, vec![user(3)])),
        "of a large room those that were named"
    );
    assert_eq!(reader.audience(RoomId([9; 16]), 3, &[]).expect("readable"), None);
    for (of, across) in [(2, vec![user(3)]), (3, vec![user(2)]), (1, Vec::new())] {
        assert_eq!(reader.blocked(user(of)).expect("readable"), across);
    }
    assert_eq!(reader.joined(room, user(9)).expect("readable"), None);
    let joined = |of| reader.joined(room, user(of)).expect("readable").map(|since| since.cleared);
    assert_eq!(joined(1), Some(Seq(0)));
    assert_eq!(ready(rooms.clear(room, user(1), Seq(7), Ordinal(5))), Ok(true));
    assert_eq!(joined(1), Some(Seq(7)), "what was deleted is read");
}
