//! The schema moves forward under programs that go on working.

use lynk_domain::RoomKind;
use lynk_model::port::{AccountStore as _, RoomStore as _, ready};
use lynk_model::{MetaOutcome, StoreError};
use lynk_postgres::{FaultKind, Migrated, PostgresRooms, STEPS, Step, migrate, migrate_with};

use crate::support::{ROOM, Waiting, account, create, family, new_session, pin, runtime, services};

/// The version of this program.
const KNOWN: u32 = STEPS.len() as u32;

/// A step as the next version may bring it: programs of the version before go on.
const ADDS: Step = Step {
    version: KNOWN + 1,
    name: "topics",
    oldest: KNOWN,
    sql: "ALTER TABLE rooms.rooms ADD COLUMN topic text NOT NULL DEFAULT ''; CREATE INDEX rooms_by_kind ON rooms.rooms (kind);",
};
/// And the one after: it takes away what only programs of this version used.
const TAKES: Step = Step {
    version: KNOWN + 2,
    name: "no slow mode",
    oldest: KNOWN + 1,
    sql: "ALTER TABLE rooms.rooms DROP COLUMN slow_mode_seconds;",
};
const FAILS: Step = Step {
    version: KNOWN + 1,
    name: "half",
    oldest: KNOWN,
    sql: "ALTER TABLE rooms.rooms ADD COLUMN topic text; SELECT 1 / 0;",
};

fn with(more: &[Step]) -> Vec<Step> {
    STEPS.iter().chain(more).copied().collect()
}

#[test]
fn a_migration_may_be_repeated_and_run_twice_at_once() {
    let Some(services) = services("a_migration_may_be_repeated_and_run_twice_at_once") else { return };
    let database = services.empty();
    let connect = database.connect("lynk_migrate");
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| runtime().block_on(migrate(&connect)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").expect("migrates")).collect()
    });
    let newest = STEPS.last().expect("steps").version;
    assert_eq!(
        found.iter().filter(|done| **done == Migrated { from: 0, to: newest }).count(),
        1,
        "{found:?}"
    );
    assert_eq!(runtime().block_on(migrate(&connect)), Ok(Migrated { from: newest, to: newest }));
    assert_eq!(database.number("SELECT count(*) FROM lynk.schema_version"), STEPS.len() as i64);
}

#[test]
fn without_a_schema_a_store_says_what_to_do() {
    let Some(services) = services("without_a_schema_a_store_says_what_to_do") else { return };
    let database = services.empty();
    let rooms = database.rooms();
    let fault = rooms.runtime.block_on(rooms.store.check()).expect_err("refused");
    assert!(fault.kind == FaultKind::Schema && fault.detail.contains("migration"), "{fault}");
    assert_eq!(ready(rooms.load(ROOM)), Err(StoreError::Unavailable));
    // The same store, once it is there.
    runtime().block_on(migrate(&database.connect("lynk_migrate"))).expect("migrates");
    rooms.runtime.block_on(rooms.store.check()).expect("let in");
}

#[test]
fn rows_survive_and_an_older_program_goes_on_for_one_step() {
    let Some(services) = services("rows_survive_and_an_older_program_goes_on_for_one_step") else { return };
    let database = services.database();
    let connect = database.connect("lynk_migrate");
    let mut rooms = database.rooms();
    let mut accounts = database.accounts();
    let first = create(ROOM, 1, RoomKind::Public, "a room");
    ready(rooms.apply(&first)).expect("applies");
    ready(accounts.register(&account(1, "alice"), &new_session(1))).expect("registers");
    let before = ready(rooms.load(ROOM)).expect("readable");

    // While a connection has its statements prepared.
    let done = runtime().block_on(migrate_with(&connect, &with(&[ADDS])));
    assert_eq!(done, Ok(Migrated { from: KNOWN, to: KNOWN + 1 }));
    assert_eq!(ready(rooms.load(ROOM)), Ok(before.clone()));
    let fresh = database.rooms();
    fresh.runtime.block_on(fresh.store.check()).expect("this program takes the next version");
    assert!(matches!(ready(rooms.apply(&pin(ROOM, 2))), Ok(MetaOutcome::Applied { version: 2, .. })));
    let turned = ready(accounts.rotate(new_session(1).session, 0, &family(1), lynk_domain::Millis(5)));
    assert_eq!(turned, Ok(true));
    // The older program's migration leaves the newer schema alone.
    assert_eq!(runtime().block_on(migrate(&connect)), Ok(Migrated { from: KNOWN + 1, to: KNOWN + 1 }));

    let done = runtime().block_on(migrate_with(&connect, &with(&[ADDS, TAKES])));
    assert_eq!(done, Ok(Migrated { from: KNOWN + 1, to: KNOWN + 2 }));
    let old = database.rooms();
    let fault = old.runtime.block_on(old.store.check()).expect_err("refused");
    assert!(fault.kind == FaultKind::Schema && fault.detail.contains("start a newer program"), "{fault}");
    // Also one that was connected before: its next statement fails, and nothing is half done.
    assert_eq!(ready(rooms.load(ROOM)), Err(StoreError::Unavailable));
    let fault = runtime().block_on(migrate(&connect)).expect_err("refused");
    assert!(fault.kind == FaultKind::Schema && fault.detail.contains("start a newer program"), "{fault}");
    assert_eq!(database.number("SELECT count(*) FROM rooms.rooms WHERE name = 'a room' AND version = 2"), 1);
    assert_eq!(database.number("SELECT count(*) FROM accounts.sessions WHERE generation = 1"), 1);
}

#[test]
fn a_step_that_fails_leaves_nothing_and_may_be_repeated() {
    let Some(services) = services("a_step_that_fails_leaves_nothing_and_may_be_repeated") else { return };
    let database = services.database();
    let connect = database.connect("lynk_migrate");
    runtime().block_on(migrate_with(&connect, &with(&[FAILS]))).expect_err("divides by zero");
    assert_eq!(database.number("SELECT max(version) FROM lynk.schema_version"), i64::from(KNOWN));
    let rooms = Waiting::new(PostgresRooms::new(&database.connect("lynk_rooms")).expect("a store"));
    rooms.runtime.block_on(rooms.store.check()).expect("as before");
    assert_eq!(
        runtime().block_on(migrate_with(&connect, &with(&[ADDS]))),
        Ok(Migrated { from: KNOWN, to: KNOWN + 1 })
    );
}

#[test]
fn a_migration_leaves_exactly_the_rights_of_the_table() {
    let Some(services) = services("a_migration_leaves_exactly_the_rights_of_the_table") else { return };
    let database = services.database();
    database.sql("GRANT DELETE ON rooms.rooms TO lynk_rooms; GRANT SELECT ON accounts.accounts TO PUBLIC;");
    runtime().block_on(migrate(&database.connect("lynk_migrate"))).expect("migrates");
    let sql = "SELECT count(*) FROM information_schema.table_privileges
        WHERE table_schema IN ('rooms', 'accounts', 'notify', 'media', 'lynk') AND grantee <> 'lynk_migrate'";
    let listed: usize = lynk_postgres::grants::GRANTS.iter().map(|grant| grant.verbs.len()).sum();
    assert_eq!(database.number(sql), listed as i64);
}
