//! A deterministic world for the engine: clients, network, disk, stores and their faults, from one seed.
//!
//! Engine, journal, connections and websocket are the real ones; sockets, mailboxes, clocks, the disk below the
//! journal and the stores behind the bridge are modelled, with everything that can go wrong with them. Clients
//! follow the protocol and check what they are told; a ledger of all journal records judges everything that leaves
//! an engine. `lynk-simulate` runs and replays seeds.
//!
//! Thread: one world uses one thread and no clock, file or random source of the machine.
//!
//! Invariants checked, whatever the scenario: what was acknowledged is there after any crash; nothing that is told
//! refers to an uncommitted record; a subscriber's `seq` is contiguous or explicitly marked; one order for all; one
//! result per key; nothing goes to removed users after their removal, or across a block; what was deleted stays
//! deleted; unread counts equal a recount; a link lets in as many as it says, a request is decided once, and nobody
//! who is banned gets in by either; a file is in one message and goes with it; of an erased account nothing is
//! readable; every command is answered once; queues stay within limits; a drain ends.
//!
//! What can fail: a run, with the first broken promise; [`Failure`] says how to repeat it.

#![forbid(unsafe_code)]

mod client;
mod faults;
mod network;
mod oracle;
mod random;
mod scenario;
mod trace;
mod wire;
mod world;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

pub use faults::Sabotage;
pub use world::{Account, Reached};

use trace::Trace;
use world::{Plan, World};

/// Names and descriptions of all scenarios.
#[must_use]
pub fn scenarios() -> Vec<(&'static str, &'static str)> {
    scenario::all().into_iter().map(|s| (s.name, s.about)).collect()
}

/// A broken promise, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The scenario.
    pub scenario: &'static str,
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub what: String,
    /// The last lines of the trace.
    pub tail: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.tail {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "scenario {} seed {}: {}", self.scenario, self.seed, self.what)?;
        write!(f, "replay: lynk-simulate --scenario {} --seed {}", self.scenario, self.seed)
    }
}

/// What a seed did in its two runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Hash of everything that entered and left the engines.
    pub hash: u64,
    /// Counts.
    pub account: Account,
}

/// How a run is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// What the driver spoils.
    pub sabotage: Sabotage,
    /// Keep every line of a failure's trace instead of the last few hundred.
    pub whole_trace: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { sabotage: Sabotage::None, whole_trace: false }
    }
}

/// The scenario that a seed runs when none is named: all take turns.
#[must_use]
pub fn scenario_of(seed: u64) -> &'static str {
    let list = scenarios();
    list[(seed % list.len() as u64) as usize].0
}

/// Runs one seed of a scenario twice.
///
/// # Errors
/// The first broken promise, or that the two runs differ. `None`: there is no such scenario.
pub fn run(scenario: &str, seed: u64, options: Options) -> Option<Result<Passed, Box<Failure>>> {
    let scenario = scenario::all().into_iter().find(|s| s.name == scenario)?;
    let name = scenario.name;
    let plan = Plan { scenario, seed, sabotage: options.sabotage };
    let once = |readable: bool| {
        let trace = Trace::new(readable, options.whole_trace);
        (judged(name, seed, || World::new(plan.clone(), trace.clone()).run()), trace)
    };
    let fail =
        |what: String, tail: Vec<String>| Some(Err(Box::new(Failure { scenario: name, seed, what, tail })));
    let (first, trace) = once(false);
    let account = match first {
        Ok(account) => account,
        Err(what) => {
            let (again, readable) = once(true);
            let repeated = again.as_ref().err() == Some(&what);
            let note = if repeated { "" } else { " (and the repetition differs)" };
            return fail(format!("{what}{note}"), readable.tail());
        }
    };
    let (second, other) = once(false);
    if second.is_err() || other.hash() != trace.hash() {
        let what = format!("two runs differ: {:016x} and {:016x}, {second:?}", trace.hash(), other.hash());
        return fail(what, Vec::new());
    }
    Some(Ok(Passed { hash: trace.hash(), account }))
}

thread_local! {
    /// Where this thread panicked last, while a world runs on it.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The scenario and seed of that world.
    static RUNNING: Cell<Option<(&'static str, u64)>> = const { Cell::new(None) };
}

/// Runs a world; a panic in it is a broken promise too, with the place where it happened.
fn judged<T>(
    scenario: &'static str,
    seed: u64,
    world: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            match RUNNING.get() {
                Some((scenario, seed)) if cfg!(panic = "abort") => {
                    // Nothing will catch it: this is the only report.
                    others(info);
                    let _closed = writeln!(
                        std::io::stderr(),
                        "replay: lynk-simulate --scenario {scenario} --seed {seed}"
                    );
                }
                Some(_) => PANIC.set(Some(info.to_string().replace('\n', " "))),
                None => others(info),
            }
        }));
    });
    RUNNING.set(Some((scenario, seed)));
    let result = catch_unwind(AssertUnwindSafe(world));
    RUNNING.set(None);
    result.unwrap_or_else(|_| Err(PANIC.take().unwrap_or_else(|| "a panic".to_owned())))
}
