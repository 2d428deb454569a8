//! The load tool behind `lynk bench`: what a server costs per connection, per send and per delivery.
//!
//! Thread: one generator thread drives every connection with epoll; the floor runs a second one that does
//! nothing but send. Load goes to loopback only, is bounded in connections, rate and time, and stops by itself.
//!
//! - **Open loop**: sends happen at their intended times whether answers came or not, and latency is counted
//!   from the intended time.
//! - **Own saturation**: the report states how late the generator was and how much of a core it used, and calls
//!   itself invalid when it was the bottleneck.
//! - **Floor**: the same number of sends, sockets and bytes by a bare loop of send(2), interleaved with the
//!   server's runs, so that a ratio survives a noisy machine.
//!
//! What can fail: setting up (a message that says what to change); a run that loses or doubles a message is a
//! result, not an error.

#![forbid(unsafe_code)]

mod args;
mod client;
mod conn;
mod fanout;
mod fleet;
mod floor;
mod frames;
mod measure;
mod report;

pub use args::{BenchCommand, Target};

use lynk_domain::UserId;

/// Makes the access token of the n-th user of a run.
pub type TokenSource<'a> = dyn FnMut(u64) -> anyhow::Result<(UserId, String)> + 'a;

/// Runs one benchmark and prints its result to stdout, as text or as one JSON object.
///
/// # Errors
/// When the target is not loopback, the run cannot be set up, or the server goes away.
pub fn run(command: &BenchCommand, tokens: &mut TokenSource<'_>) -> anyhow::Result<()> {
    match command {
        BenchCommand::Conn(args) => conn::run(args, tokens),
        BenchCommand::Send(args) => fanout::run_send(args, tokens),
        BenchCommand::Fanout(args) => fanout::run_fanout(args, tokens),
        BenchCommand::Floor(args) => floor::run(args),
    }
}
