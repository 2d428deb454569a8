//! Seeds that must pass, and lies of the driver that the judges must see.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lynk_simulator::{Failure, Options, Reached, Sabotage, run, scenario_of, scenarios};

/// Seeds of one test run: every scenario several times.
const SEEDS: u64 = 500;
/// Seeds in which a lie must have been seen: every scenario three times.
const LIE_SEEDS: u64 = 138;

/// Runs `check` for every number below `count`, on as many threads as there are cores.
fn in_parallel<T: Send>(count: u64, check: impl Fn(u64) -> Option<T> + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Some(one) = check(number) {
                        found.lock().expect("no thread panicked with it").push(one);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panicked with it")
}

fn failure(scenario: &str, seed: u64, sabotage: Sabotage) -> Option<Box<Failure>> {
    let options = Options { sabotage, ..Options::default() };
    run(scenario, seed, options).unwrap_or_else(|| panic!("no scenario {scenario}")).err()
}

fn report(failures: &[Box<Failure>]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn seeds_that_failed_once_pass() {
    let list: Vec<(&str, u64)> = include_str!("../seeds.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let scenario = words.next().expect("a scenario");
            (scenario, words.next().and_then(|seed| seed.parse().ok()).expect("a seed"))
        })
        .collect();
    assert!(!list.is_empty());
    let failures = in_parallel(list.len() as u64, |number| {
        let (scenario, seed) = list[number as usize];
        failure(scenario, seed, Sabotage::None)
    });
    assert!(failures.is_empty(), "{}", report(&failures));
}

#[test]
fn five_hundred_seeds_over_all_scenarios_pass() {
    let total = Mutex::new(Reached::default());
    let failures = in_parallel(SEEDS, |seed| {
        let result = run(scenario_of(seed), seed, Options::default()).expect("it exists");
        if let Ok(passed) = &result {
            total.lock().expect("no thread panicked with it").add(&passed.account.reached);
        }
        result.err()
    });
    assert!(failures.is_empty(), "{} of {SEEDS} fail:\n{}", failures.len(), report(&failures[..1]));
    for (name, count) in total.into_inner().expect("no thread panicked with it").rows() {
        assert!(count > 0, "no seed of {SEEDS} reaches: {name}");
    }
}

#[test]
fn every_lie_of_the_driver_is_seen() {
    let unseen = in_parallel(Sabotage::ALL.len() as u64, |number| {
        let lie = Sabotage::ALL[number as usize];
        let seen = (0..LIE_SEEDS).any(|seed| failure(scenario_of(seed), seed, lie).is_some());
        (!seen).then_some(lie)
    });
    assert!(unseen.is_empty(), "nobody notices {unseen:?}");
}

#[test]
fn a_seed_decides_everything_and_another_seed_something_else() {
    let hash = |seed| {
        let passed = run("chaos", seed, Options::default()).expect("it exists");
        passed.unwrap_or_else(|failure| panic!("{failure}")).hash
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn there_are_many_scenarios_with_names_of_their_own() {
    let mut names: Vec<_> = scenarios().into_iter().map(|(name, _)| name).collect();
    let count = names.len();
    assert!(count >= 40);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
