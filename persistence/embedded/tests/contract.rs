//! The embedded stores pass the suites of their ports.

use lynk_embedded::{Accounts, AccountsSnapshot, MessageLog, MessageLogOptions, Rooms, RoomsSnapshot};
use lynk_model::contract;

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
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let rooms = Rooms::open(data).expect("opens");
    contract::room_dump(rooms, |_| RoomsSnapshot::open(data).expect("opens"));
    let accounts = Accounts::open(data).expect("opens");
    contract::account_dump(accounts, |_| AccountsSnapshot::open(data).expect("opens"));
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
