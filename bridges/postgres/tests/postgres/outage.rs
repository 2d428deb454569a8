//! A server of its own, killed and frozen: what a call says then is what happened.
//!
//! How a moment is hit: before the commit, by a lock that somebody else holds; inside it, by a constraint that is checked by the commit and
//! sleeps; after it, by a standby that does not exist and that the answer has to wait for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lynk_domain::{Millis, RoomKind};
use lynk_model::account::{Charge, Charged};
use lynk_model::port::{AccountStore as _, RoomStore as _, ready};
use lynk_model::{MetaOutcome, StoreError};
use lynk_postgres::{FaultKind, PostgresAccounts, PostgresRooms, Timeouts};

use crate::support::{
    Database, ROOM, Services, Waiting, account, create, family, new_session, pin, runtime, services,
};

/// A server that a test may kill.
struct Server {
    directory: PathBuf,
    services: Services,
}

fn script(command: &str, directory: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let done =
        Command::new(script).arg(command).arg(directory).arg("postgres").output().expect("the script runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

impl Server {
    fn start(test: &str) -> Option<Self> {
        let shared = services(test)?;
        // Beside the shared one, whose folder lets the server's user through.
        let beside = Path::new(shared.get("TLS_CA")).ancestors().nth(3).expect("a folder").to_owned();
        let directory = beside.join(format!("services-{}-{test}", std::process::id()));
        script("up", &directory);
        let services = Services::read(&directory.join("env"));
        Some(Self { directory, services })
    }

    /// The server's processes, the first one first.
    fn processes(&self) -> Vec<String> {
        let file = std::fs::read_to_string(self.directory.join("postgres/pid")).expect("a pid");
        let first = file.lines().next().expect("a line").to_owned();
        let children =
            std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
        std::iter::once(first).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    fn signal(&self, signal: &str) {
        // One that has ended by itself since is no failure.
        let _ = Command::new("kill").arg(format!("-{signal}")).args(self.processes()).output();
    }

    fn kill(&self) {
        self.signal("KILL");
    }

    fn restart(&self) {
        script("up", &self.directory);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("CONT");
        script("down", &self.directory);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A database that is gone with its server.
fn database(server: &Server) -> std::mem::ManuallyDrop<Database> {
    std::mem::ManuallyDrop::new(server.services.database())
}

/// Waits until a session of `role` waits for `what` (a type of wait events).
fn until_waiting(database: &Database, role: &str, what: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND (wait_event_type = '{what}' OR wait_event = '{what}')"
    );
    let end = Instant::now() + Duration::from_secs(60);
    while database.number(&sql) == 0 {
        assert!(Instant::now() < end, "nobody waits for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a command comes to whose server is killed while it waits for `what`.
fn killed_while(server: &Server, database: &Database, what: &str, key: u32) -> (StoreError, FaultKind) {
    std::thread::scope(|scope| {
        let command = scope.spawn(|| {
            let mut rooms = database.rooms();
            let error = ready(rooms.apply(&pin(ROOM, key))).expect_err("the server is killed");
            (error, rooms.store.take_fault().expect("noted").kind)
        });
        until_waiting(database, "lynk_rooms", what);
        server.kill();
        command.join().expect("no panic")
    })
}

fn versions(database: &Database) -> (u64, Vec<u64>) {
    let loaded = ready(database.rooms().load(ROOM)).expect("readable");
    (loaded.row.expect("there").version, loaded.outbox.iter().map(|row| row.version).collect())
}

#[test]
fn killed_before_the_commit_nothing_was_written() {
    let Some(server) = Server::start("killed_before_the_commit") else { return };
    let database = database(&server);
    let mut rooms = database.rooms();
    ready(rooms.apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    // The room's row is somebody else's for now; the command has its locks and waits in the middle.
    let holder = runtime();
    let client = holder.block_on(server.services.admin(&database.name));
    holder.block_on(client.batch_execute("BEGIN; SELECT FROM rooms.rooms FOR UPDATE")).expect("holds");
    assert_eq!(
        killed_while(&server, &database, "Lock", 2),
        (StoreError::Unavailable, FaultKind::Unavailable)
    );
    assert_eq!(ready(rooms.apply(&pin(ROOM, 2))), Err(StoreError::Unavailable), "still away");
    server.restart();
    assert_eq!(versions(&database), (1, vec![1]));
    // The same store: its connections died with the server.
    assert!(matches!(ready(rooms.apply(&pin(ROOM, 2))), Ok(MetaOutcome::Applied { version: 2, .. })));
    assert!(matches!(ready(rooms.apply(&pin(ROOM, 2))), Ok(MetaOutcome::Repeated { version: 2, .. })));
}

#[test]
fn killed_inside_the_commit_the_outcome_is_unknown_and_a_retry_writes_it() {
    let Some(server) = Server::start("killed_inside_the_commit") else { return };
    let database = database(&server);
    let mut rooms = database.rooms();
    ready(rooms.apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    database.sql(
        "CREATE FUNCTION rooms.sleep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
             AS $$ BEGIN PERFORM pg_catalog.pg_sleep(15); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER sleeps AFTER INSERT ON rooms.outbox DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION rooms.sleep();",
    );
    assert_eq!(killed_while(&server, &database, "PgSleep", 2), (StoreError::Unknown, FaultKind::Unknown));
    server.restart();
    database.sql("DROP TRIGGER sleeps ON rooms.outbox");
    assert_eq!(versions(&database), (1, vec![1]));
    assert!(matches!(ready(rooms.apply(&pin(ROOM, 2))), Ok(MetaOutcome::Applied { version: 2, .. })));
    assert_eq!(versions(&database), (2, vec![1, 2]));
}

#[test]
fn killed_after_the_commit_the_outcome_is_unknown_and_a_retry_finds_it() {
    let Some(server) = Server::start("killed_after_the_commit") else { return };
    let database = database(&server);
    let mut rooms = database.rooms();
    ready(rooms.apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    database.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    database.sql("SELECT pg_reload_conf()");
    const READ: &str = "SELECT count(*)::bigint FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = 'nobody'";
    let until = Instant::now() + Duration::from_secs(60);
    while database.number(READ) == 0 {
        assert!(Instant::now() < until, "the server does not read its configuration");
        std::thread::sleep(Duration::from_millis(50));
    }
    // For the start after the kill.
    database.sql("ALTER SYSTEM RESET synchronous_standby_names");
    assert_eq!(killed_while(&server, &database, "SyncRep", 2), (StoreError::Unknown, FaultKind::Unknown));
    server.restart();
    assert_eq!(versions(&database), (2, vec![1, 2]));
    assert!(matches!(ready(rooms.apply(&pin(ROOM, 2))), Ok(MetaOutcome::Repeated { version: 2, .. })));
    assert_eq!(versions(&database), (2, vec![1, 2]));
}

/// The way of a caller: the same key until there is an answer.
#[test]
fn under_kills_at_any_moment_each_key_has_one_effect() {
    let Some(server) = Server::start("under_kills_at_any_moment") else { return };
    let database = database(&server);
    let mut rooms = database.rooms();
    ready(rooms.apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    ready(database.accounts().register(&account(1, "alice"), &new_session(1))).expect("registers");
    let until = Instant::now() + Duration::from_secs(12);
    // A slow machine goes on until there is something to look at.
    let goes_on = |enough: bool| {
        Instant::now() < until || (!enough && Instant::now() < until + Duration::from_secs(120))
    };
    let limited = Charge { key: [1; 16], window_millis: 86_400_000, amount: 1, max: 100_000 };
    let (keys, (turns, charged, open)) = std::thread::scope(|scope| {
        let commands = scope.spawn(|| {
            let mut rooms = database.rooms();
            let (mut key, mut again) = (1, false);
            while goes_on(key > 51) {
                if !again {
                    key += 1;
                }
                let outcome = ready(rooms.apply(&pin(ROOM, key)));
                match &outcome {
                    Ok(MetaOutcome::Applied { version, .. }) => assert_eq!(*version, u64::from(key)),
                    Ok(MetaOutcome::Repeated { version, .. }) if again => {
                        assert_eq!(*version, u64::from(key))
                    }
                    Err(StoreError::Unavailable | StoreError::Unknown) => {
                        std::thread::sleep(Duration::from_millis(20))
                    }
                    other => panic!("{other:?}"),
                }
                again = outcome.is_err();
            }
            if again { (key - 1, key) } else { (key, key) }
        });
        let turns = scope.spawn(|| {
            let mut accounts = database.accounts();
            let (mut generation, mut charged, mut open) = (0, 0, 0);
            while goes_on(generation > 50) {
                match ready(accounts.charge(&[limited], Millis(5))) {
                    Ok(Charged::Done) => charged += 1,
                    Ok(other) => panic!("{other:?}"),
                    Err(StoreError::Unknown) => open += 1,
                    Err(StoreError::Unavailable) => {}
                    Err(other) => panic!("{other:?}"),
                }
                let turned = ready(accounts.rotate(
                    new_session(1).session,
                    generation,
                    &family(generation + 1),
                    Millis(5),
                ));
                match turned {
                    Ok(true) => generation += 1,
                    Ok(false) => panic!("nobody else turns it, and what was unknown has been asked for"),
                    Err(StoreError::Unavailable) => std::thread::sleep(Duration::from_millis(20)),
                    // Then the caller asks.
                    Err(StoreError::Unknown) => loop {
                        if let Ok(Some(session)) = ready(accounts.session(new_session(1).session)) {
                            assert!((generation..=generation + 1).contains(&session.family.generation));
                            generation = session.family.generation;
                            break;
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    },
                    Err(other) => panic!("{other:?}"),
                }
            }
            (generation, charged, open)
        });
        let mut pause = 300;
        while Instant::now() + Duration::from_secs(3) < until {
            std::thread::sleep(Duration::from_millis(pause));
            server.kill();
            server.restart();
            pause = (pause * 7) % 1_009;
        }
        (commands.join().expect("no panic"), turns.join().expect("no panic"))
    });
    let (version, waiting) = versions(&database);
    eprintln!("{} commands, {turns} turns, {charged} charges and {open} unknown ones over kills", keys.0);
    assert!((u64::from(keys.0)..=u64::from(keys.1)).contains(&version), "{version} {keys:?}");
    assert_eq!(waiting, (1..=version).collect::<Vec<_>>(), "no version twice, none left out");
    assert!(keys.0 > 50 && turns > 50, "it did run: {keys:?} {turns}");
    let kept = ready(database.accounts().session(new_session(1).session)).expect("readable").expect("there");
    assert_eq!(kept.family.generation, turns);
    let counted = database.number("SELECT sum(count)::bigint FROM accounts.counters");
    assert!((charged..=charged + open).contains(&counted), "{counted} of {charged} and {open}");
}

#[test]
fn a_frozen_server_is_waited_for_no_longer_than_stated() {
    let Some(server) = Server::start("a_frozen_server") else { return };
    let database = database(&server);
    let timeouts = Timeouts {
        connect: Duration::from_millis(500),
        statement: Duration::from_millis(500),
        operation: Duration::from_secs(1),
    };
    let within = |role| lynk_postgres::Connect { timeouts, ..database.connect(role) };
    let mut rooms = Waiting::new(PostgresRooms::new(&within("lynk_rooms")).expect("a store"));
    let accounts = Waiting::new(PostgresAccounts::new(&within("lynk_accounts")).expect("a store"));
    ready(database.rooms().apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    until_there(|| ready(rooms.load(ROOM)));
    until_there(|| ready(accounts.session(new_session(1).session)));
    server.signal("STOP");
    let start = Instant::now();
    assert_eq!(ready(rooms.apply(&pin(ROOM, 2))), Err(StoreError::Unavailable));
    assert_eq!(ready(rooms.load(ROOM)), Err(StoreError::Unavailable));
    assert_eq!(ready(accounts.session(new_session(1).session)), Err(StoreError::Unavailable));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    server.signal("CONT");
    let pinned = until_there(|| ready(rooms.apply(&pin(ROOM, 2))));
    assert!(
        matches!(pinned, MetaOutcome::Applied { version: 2, .. } | MetaOutcome::Repeated { version: 2, .. }),
        "{pinned:?}"
    );
}

/// Asks a store that gives up soon until it has an answer.
fn until_there<T>(mut ask: impl FnMut() -> Result<T, StoreError>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(StoreError::Unavailable | StoreError::Unknown) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_statement_that_waits_too_long_is_ended_and_nothing_was_written() {
    let Some(services) = services("a_statement_that_waits_too_long_is_ended") else { return };
    let database = services.database();
    let timeouts = Timeouts { statement: Duration::from_secs(3), ..database.connect("lynk_rooms").timeouts };
    let connect = lynk_postgres::Connect { timeouts, ..database.connect("lynk_rooms") };
    let mut rooms = Waiting::new(PostgresRooms::new(&connect).expect("a store"));
    ready(database.rooms().apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    let holder = runtime();
    let client = holder.block_on(services.admin(&database.name));
    holder.block_on(client.batch_execute("BEGIN; SELECT FROM rooms.rooms FOR UPDATE")).expect("holds");
    assert_eq!(ready(rooms.apply(&pin(ROOM, 2))), Err(StoreError::Unavailable));
    let fault = rooms.store.take_fault().expect("noted");
    assert!(fault.detail.contains("57014"), "{fault}");
    holder.block_on(client.batch_execute("ROLLBACK")).expect("lets go");
    assert!(matches!(ready(rooms.apply(&pin(ROOM, 2))), Ok(MetaOutcome::Applied { version: 2, .. })));
}
