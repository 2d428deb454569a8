//! `lynk-simulate`: runs seeds of simulated worlds, and replays one that failed.
//!
//! Thread: one per job; a world never leaves its thread. Exit code 0 when every seed passed, 1 at the first failure.

use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use lynk_simulator::{Failure, Options, Reached, Sabotage, run, scenario_of, scenarios};

/// Runs simulated worlds of Lynk: every fault and every choice follows from the seed.
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "Examples:\n  lynk-simulate --seed 42\n  lynk-simulate --seed 0 --count 10000 --jobs 2"
)]
struct Arguments {
    /// First seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Scenario of all seeds; without it the scenarios take turns
    #[arg(long)]
    scenario: Option<String>,
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Worlds at a time
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Print the scenarios and end
    #[arg(long)]
    list: bool,
    /// Print the whole trace of a failure
    #[arg(long)]
    trace: bool,
    /// Go on after a failure and count
    #[arg(long)]
    keep_going: bool,
    /// Spoil the driver on purpose, to see the judges work
    #[arg(long, value_parser = parse_sabotage)]
    sabotage: Option<Sabotage>,
}

fn parse_sabotage(text: &str) -> Result<Sabotage, String> {
    let known = Sabotage::ALL.into_iter().find(|s| format!("{s:?}").eq_ignore_ascii_case(text));
    known.ok_or_else(|| format!("one of {:?}", Sabotage::ALL))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    if arguments.list {
        for (name, about) in scenarios() {
            // Nobody to tell when standard output is gone.
            let _closed = writeln!(out, "{name:<18} {about}");
        }
        return ExitCode::SUCCESS;
    }
    drop(out);
    let started = Instant::now();
    let shared = Shared::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| work(&arguments, &shared));
        }
    });
    report(&arguments, &shared, started)
}

/// What all jobs share.
#[derive(Default)]
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    passed: AtomicU64,
    records: AtomicU64,
    deliveries: AtomicU64,
    crashes: AtomicU64,
    steps: AtomicU64,
    reached: Mutex<Reached>,
    failures: Mutex<Vec<Failure>>,
}

fn work(arguments: &Arguments, shared: &Shared) {
    let options =
        Options { sabotage: arguments.sabotage.unwrap_or(Sabotage::None), whole_trace: arguments.trace };
    while !shared.stop.load(Ordering::Relaxed) {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        if index >= arguments.count {
            return;
        }
        let seed = arguments.seed.wrapping_add(index);
        let scenario = arguments.scenario.as_deref().unwrap_or_else(|| scenario_of(seed));
        let failure = match run(scenario, seed, options) {
            Some(Ok(passed)) => {
                shared.passed.fetch_add(1, Ordering::Relaxed);
                shared.records.fetch_add(passed.account.records, Ordering::Relaxed);
                shared.deliveries.fetch_add(passed.account.deliveries, Ordering::Relaxed);
                shared.crashes.fetch_add(passed.account.crashes, Ordering::Relaxed);
                if let Ok(mut reached) = shared.reached.lock() {
                    reached.add(&passed.account.reached);
                }
                shared.steps.fetch_add(passed.account.steps, Ordering::Relaxed);
                continue;
            }
            Some(Err(failure)) => *failure,
            None => Failure {
                scenario: "?",
                seed,
                what: format!("there is no scenario {scenario}; see --list"),
                tail: Vec::new(),
            },
        };
        shared.stop.fetch_or(!arguments.keep_going, Ordering::Relaxed);
        if let Ok(mut failures) = shared.failures.lock() {
            failures.push(failure);
        }
    }
}

fn report(arguments: &Arguments, shared: &Shared, started: Instant) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let mut failures = shared.failures.lock().map(|f| f.clone()).unwrap_or_default();
    failures.sort_by_key(|failure| failure.seed);
    let mut say = |text: String| {
        // Nobody to tell when standard output is gone.
        let _closed = writeln!(out, "{text}");
    };
    for failure in &failures {
        if arguments.keep_going {
            say(format!("{} {}: {}", failure.scenario, failure.seed, failure.what));
        } else {
            say(failure.to_string());
            say(format!("commit: {}", commit()));
        }
    }
    let passed = shared.passed.load(Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    say(format!(
        "{passed} seeds passed, {} failed, each run twice, in {seconds:.1} s ({:.1} seeds/s); {} steps, {} records, {} deliveries, {} crashes",
        failures.len(),
        passed as f64 / seconds,
        shared.steps.load(Ordering::Relaxed),
        shared.records.load(Ordering::Relaxed),
        shared.deliveries.load(Ordering::Relaxed),
        shared.crashes.load(Ordering::Relaxed),
    ));
    let reached = shared.reached.lock().map(|r| *r).unwrap_or_default();
    let rows = reached.rows().map(|(name, count)| format!("{count} {name}"));
    say(format!("reached: {}", rows.join(", ")));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The commit of the working directory, for a report.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let text = output
        .ok()
        .filter(|o| o.status.success())
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}
