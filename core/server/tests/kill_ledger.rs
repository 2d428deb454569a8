//! A real server is killed with `kill -9` at random moments under load, again and again, with other shard counts and the
//! other driver each time. Nothing acknowledged is lost, nothing is there twice, and everybody was told the same.
//!
//! `KILLS` is the number of kills, `LEDGER_SEED` repeats the choices of a run.

mod ledger;

use ledger::run::{Killed, Plan, run};

#[test]
fn what_was_acknowledged_outlives_kills() {
    let plan =
        Plan::new("kill ledger", env!("CARGO_BIN_EXE_lynk"), ledger::seed(), ledger::number("KILLS", 10));
    let report = run(&plan, &mut Killed::new());
    assert!(report.findings.is_empty(), "seed {}: {}", plan.seed, report.findings.text());
    assert!(report.tally.acked >= 100 * plan.crashes, "hardly any load: {:?}", report.tally);
}
