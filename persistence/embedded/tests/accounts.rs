//! Accounts over restarts, and the file they are in.

use std::os::unix::fs::PermissionsExt as _;

use lynk_domain::{Family, Millis, Phone, SecretHash, SessionId, UserId};
use lynk_embedded::{Accounts, OpenError};
use lynk_model::account::{Account, AuditKind, Charge, Charged, NewSession, Registered, Which};
use lynk_model::port::{AccountStore as _, ready};

const ALICE: UserId = UserId([1; 16]);
const SESSION: SessionId = SessionId([2; 16]);
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn alice() -> (Account, NewSession) {
    let phone = Phone::from_e164("+4915112345678").expect("a number");
    let account = Account::new(ALICE, phone, "alice".to_owned(), "Alice".to_owned(), Millis(5));
    let family = Family {
        generation: 0,
        hash: SecretHash([3; 32]),
        rotations: Vec::new(),
        idle_expires: Millis(30 * DAY),
        expires: Millis(180 * DAY),
    };
    let session = NewSession {
        session: SESSION,
        device: "phone".to_owned(),
        created: Millis(5),
        family,
        sessions_max: 30,
    };
    (account, session)
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let (account, session) = alice();
    let daily = Charge { key: [9; 16], window_millis: DAY, amount: 1, max: 1 };
    let turned = Family {
        generation: 1,
        hash: SecretHash([4; 32]),
        rotations: vec![Millis(7)],
        ..session.family.clone()
    };
    // Each open is another process's; none closes in order.
    let open = || Accounts::open(directory.path()).expect("opens");
    let mut first = open();
    assert_eq!(ready(first.register(&account, &session)), Ok(Registered::Made));
    std::mem::forget(first);
    let mut second = open();
    assert_eq!(ready(second.account_of_phone(&account.phone)), Ok(Some(account)));
    assert_eq!(ready(second.rotate(SESSION, 0, &turned, Millis(7))), Ok(true));
    assert_eq!(ready(second.charge(&[daily], Millis(7))), Ok(Charged::Done));
    std::mem::forget(second);
    let mut third = open();
    assert_eq!(ready(third.session(SESSION)).expect("readable").expect("there").family, turned);
    assert!(
        matches!(ready(third.charge(&[daily], Millis(8))), Ok(Charged::Refused { .. })),
        "limits survive"
    );
    assert_eq!(
        ready(third.revoke(ALICE, Which::All, AuditKind::Revoked, Millis(9))).expect("revokes").len(),
        1
    );
    std::mem::forget(third);
    assert_eq!(ready(open().session(SESSION)), Ok(None), "and so do revocations");
}

#[test]
fn a_second_connection_sees_and_changes_what_the_first_one_writes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (account, session) = alice();
    let mut first = Accounts::open(directory.path()).expect("opens");
    let mut second = first.open_beside().expect("opens");
    assert_eq!(ready(first.register(&account, &session)), Ok(Registered::Made));
    assert_eq!(ready(second.unpublished(9)), Ok(vec![(ALICE, Millis(5))]));
    assert_eq!(ready(second.mark_published(&[ALICE])), Ok(()));
    assert_eq!(ready(first.unpublished(9)), Ok(Vec::new()));
    assert_eq!(ready(first.rotate(SESSION, 0, &session.family, Millis(7))), Ok(true));
    drop(first);
    assert_eq!(ready(second.account_of_phone(&account.phone)), Ok(Some(account)));
    drop(second);
    let third = Accounts::open(directory.path()).expect("opens");
    assert_eq!(ready(third.unpublished(9)), Ok(Vec::new()));
}

#[test]
fn only_its_owner_reads_the_file_and_its_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut accounts = Accounts::open(directory.path()).expect("opens");
    let (account, session) = alice();
    ready(accounts.register(&account, &session)).expect("registers");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory.path()).expect("readable") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 3, "the file, its write-ahead log and its index");
}

#[test]
fn a_newer_format_and_a_damaged_file_are_refused_with_advice() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("accounts.sqlite");
    drop(Accounts::open(directory.path()).expect("opens"));
    // Bytes 60 to 63 of an SQLite file are its `user_version`, big endian.
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    std::fs::write(&path, &bytes).expect("writable");
    let newer = Accounts::open(directory.path()).err().expect("refused");
    assert!(matches!(newer, OpenError::Newer { found: 99, known: 5, .. }), "{newer}");
    std::fs::write(&path, [7; 4_096]).expect("writable");
    let damaged = Accounts::open(directory.path()).err().expect("refused").to_string();
    assert!(damaged.contains("accounts.sqlite") && damaged.contains("restore"), "{damaged}");
}

#[test]
fn accounts_of_a_time_without_words_are_found_when_they_have_theirs() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let (account, session) = alice();
    let mut store = Accounts::open(temp.path()).expect("opens");
    ready(store.register(&account, &session)).expect("registers");
    // As the step leaves those who were there before it.
    let file = rusqlite::Connection::open(temp.path().join("accounts.sqlite")).expect("opens");
    file.execute_batch("UPDATE accounts SET words = 0; DELETE FROM words").expect("changes");
    let found =
        |store: &Accounts| ready(store.search(&["ali".to_owned()], None, 10)).expect("readable").accounts;
    assert_eq!(found(&store), []);
    assert_eq!(ready(store.index_words(10)), Ok(1));
    assert_eq!(found(&store), [account]);
    assert_eq!(ready(store.index_words(10)), Ok(0));
}
