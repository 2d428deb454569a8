//! The power of a real server's disk is cut at random moments under load, again and again. Nothing acknowledged is lost,
//! nothing is there twice, and everybody was told the same. `ledger/disk.rs` says what a cut is.
//!
//! Needs root, for mounts; says so when it is skipped. `CUTS` is the number of cuts, `LEDGER_SEED` repeats the
//! choices of a run. That the ledger notices lost syncs is shown twice: on a disk that ignores flushes, and with a server
//! that does not sync (`ledger/unsynced.c`).

mod ledger;

use std::fs::{self, File};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use ledger::book::Fault;
use ledger::cache::Flushes;
use ledger::disk::{PowerDisk, cannot_cut};
use ledger::random::Random;
use ledger::run::{Plan, World as _, run};
use ledger::server::Backend;

/// Runs that a server without syncs gets to be caught in.
const UNSYNCED_RUNS: u64 = 5;

fn skipped(test: &str) -> bool {
    let why = cannot_cut();
    if let Some(why) = &why {
        ledger::say(&format!("SKIPPED {test}: {why}"));
    }
    why.is_some()
}

#[test]
fn what_was_acknowledged_outlives_power_cuts() {
    if skipped("power ledger") {
        return;
    }
    let plan =
        Plan::new("power ledger", env!("CARGO_BIN_EXE_lynk"), ledger::seed(), ledger::number("CUTS", 3));
    let mut disk = PowerDisk::new(Flushes::Obeyed, Random::new(plan.seed).fork());
    let report = run(&plan, &mut disk);
    assert!(report.findings.is_empty(), "seed {}: {}", plan.seed, report.findings.text());
    assert!(report.tally.acked >= 100 * plan.crashes, "hardly any load: {:?}", report.tally);
}

#[test]
fn a_cut_keeps_what_was_synced_and_forgets_what_was_not() {
    if skipped("cut of the power") {
        return;
    }
    let mut disk = PowerDisk::new(Flushes::Obeyed, Random::new(ledger::seed()));
    let dir = disk.data().to_owned();
    fs::create_dir_all(&dir).expect("a directory");
    for (name, sync) in [("synced", true), ("written", false)] {
        // Made durable while empty; what is written after that is in question.
        let mut file = File::create(dir.join(name)).expect("a file");
        file.sync_all().and_then(|()| File::open(&dir)?.sync_all()).expect("a disk");
        file.write_all(&[7; 10_000]).expect("space");
        if sync {
            file.sync_data().expect("a disk");
        }
    }
    disk.cut(None);
    assert_eq!(fs::read(dir.join("synced")).expect("the file"), [7; 10_000]);
    assert_eq!(fs::read(dir.join("written")).expect("the file"), [0; 0], "the page cache did not survive");
}

/// Runs until something acknowledged is lost; a server that does not start any more proves less.
fn assert_loses(flushes: Flushes, plan: impl Fn(u64) -> Plan) {
    let mut random = Random::new(ledger::seed());
    for _ in 0..UNSYNCED_RUNS {
        let plan = Plan { report: false, ..plan(random.next()) };
        let mut disk = PowerDisk::new(flushes, random.fork());
        // A run that loses the very rooms ends in the middle of its audit, and proves less than a list of what is gone.
        let report = catch_unwind(AssertUnwindSafe(|| run(&plan, &mut disk)));
        if report.is_ok_and(|report| report.findings.count(Fault::Lost) > 0) {
            return;
        }
    }
    panic!("the ledger does not notice that nothing is synced");
}

#[test]
fn a_server_without_syncs_loses_what_it_acknowledged() {
    if skipped("server without syncs") {
        return;
    }
    let temp = tempfile::tempdir().expect("temporary directory");
    let library = temp.path().join("unsynced.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/unsynced.c");
    let words = ["-shared", "-fPIC", "-Wall", "-Werror", "-o"];
    let compiled = Command::new("cc").args(words).args([&library, &source]).status().expect("a C compiler");
    assert!(compiled.success(), "{compiled}");
    for backend in [Backend::Uring, Backend::Epoll] {
        assert_loses(Flushes::ObeyedInOrder, |seed| Plan {
            backend: Some(backend),
            preload: Some(library.clone()),
            ..Plan::new("server without syncs", env!("CARGO_BIN_EXE_lynk"), seed, 3)
        });
    }
}

#[test]
fn a_disk_that_ignores_flushes_loses_what_was_acknowledged() {
    if skipped("disk that ignores flushes") {
        return;
    }
    for backend in [Backend::Uring, Backend::Epoll] {
        assert_loses(Flushes::Ignored, |seed| Plan {
            backend: Some(backend),
            ..Plan::new("a disk that ignores flushes", env!("CARGO_BIN_EXE_lynk"), seed, 3)
        });
    }
}
