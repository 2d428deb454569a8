//! Behaviour of the home part as its driver and the owners see it. The rooms are owned by the other shard, which the
//! test plays.

mod commands;
mod faults;
mod flow;
mod questions;
mod requests;
mod sign_in;
