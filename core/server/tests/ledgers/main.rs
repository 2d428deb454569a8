//! The two ledgers: what was acknowledged before a process was killed, or before the power went, is there afterwards, once
//! and in order.
//!
//! `KILLS` and `CUTS` set how often (defaults 10 and 3); `scripts/ledgers` runs them long and optimised.

#[path = "../support/mod.rs"]
mod support;

mod kill;
mod load;
mod power;
