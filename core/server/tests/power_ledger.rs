//! The power of a real server's disk is cut at random moments under load, again and again. Nothing acknowledged is lost,
//! nothing is there twice, and everybody was told the same. `ledger/disk.rs` says what a cut is.
//!
//! Needs root, for loop mounts; says so when it is skipped. `CUTS` is the number of cuts, `LEDGER_SEED` repeats the
//! choices of a run. That the ledger notices lost syncs is shown twice: with the same binary behind a filter that makes
//! syncs do nothing, and with a build from which they were removed, when `LYNK_NO_SYNC` names one.

mod ledger;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use ledger::book::Fault;
use ledger::disk::{PowerDisk, cannot_mount};
use ledger::run::{Plan, World as _, run};
use ledger::server::{Backend, LAUNCH};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Runs that a server without syncs gets to be caught in.
const UNSYNCED_RUNS: u64 = 5;

fn skipped(test: &str) -> bool {
    let why = cannot_mount();
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
    let report = run(&plan, &mut PowerDisk::new());
    assert!(report.findings.is_empty(), "seed {}: {}", plan.seed, report.findings.text());
    assert!(report.tally.acked >= 100 * plan.crashes, "hardly any load: {:?}", report.tally);
}

#[test]
fn a_cut_keeps_what_was_synced_and_forgets_what_was_not() {
    if skipped("cut of the power") {
        return;
    }
    let mut disk = PowerDisk::new();
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
fn assert_loses(plan: impl Fn(u64) -> Plan) {
    let mut random = ledger::random::Random::new(ledger::seed());
    for _ in 0..UNSYNCED_RUNS {
        let plan = Plan { report: false, ..plan(random.next()) };
        if run(&plan, &mut PowerDisk::new()).findings.count(Fault::Lost) > 0 {
            return;
        }
    }
    panic!("the ledger does not notice that nothing is synced");
}

#[test]
fn a_build_without_syncs_loses_what_it_acknowledged() {
    let Ok(binary) = std::env::var("LYNK_NO_SYNC") else {
        ledger::say(
            "SKIPPED build without syncs: LYNK_NO_SYNC names none; `make ledgers` builds and runs it",
        );
        return;
    };
    if skipped("build without syncs") {
        return;
    }
    for backend in [Backend::Uring, Backend::Epoll] {
        assert_loses(|seed| Plan {
            backend: Some(backend),
            ..Plan::new("build without syncs", &binary, seed, 3)
        });
    }
}

#[test]
fn a_server_whose_syncs_do_nothing_loses_what_it_acknowledged() {
    if skipped("server whose syncs do nothing") {
        return;
    }
    let own = std::env::current_exe().expect("a running program");
    let launcher = [own.to_str().expect("build paths are Unicode"), "--exact", "launch_without_syncs"];
    let through: Vec<_> =
        launcher.into_iter().chain(["--ignored", "--nocapture"]).map(str::to_owned).collect();
    assert_loses(|seed| Plan {
        through: through.clone(),
        // What the ring syncs is no system call that could be filtered.
        backend: Some(Backend::Epoll),
        ..Plan::new("syncs that do nothing", env!("CARGO_BIN_EXE_lynk"), seed, 3)
    });
}

/// No test: becomes the server behind a filter that answers every sync with success and does nothing.
#[test]
#[ignore = "started by the test above"]
fn launch_without_syncs() {
    let Ok(line) = std::env::var(LAUNCH) else { return };
    let syncs = [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_syncfs];
    let rules = syncs.into_iter().map(|call| (call, Vec::new())).collect();
    let machine = TargetArch::try_from(std::env::consts::ARCH).expect("a machine that has filters");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(0), machine);
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    seccompiler::apply_filter(&program).expect("a process may bind itself");
    let mut words = line.split('\n');
    let error = Command::new(words.next().expect("a program")).args(words).exec();
    panic!("{error}");
}
