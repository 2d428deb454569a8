//! `lynk bench conn`: what an idle, signed-in connection costs the server in memory.

use anyhow::Result;
use serde_json::json;

use crate::args::ConnArgs;
use crate::fleet::{Fleet, Shape};
use crate::{TokenSource, measure, report};

/// Opens the connections, holds them, and reads the server's memory before and after.
pub(crate) fn run(args: &ConnArgs, tokens: &mut TokenSource<'_>) -> Result<()> {
    let before = args.target.pid.map(read_memory).transpose()?;
    let cpu_before = args.target.pid.map(measure::process_cpu_nanos).transpose()?;
    let shape = Shape { connections: args.connections, rooms: args.rooms, sources: args.sources };
    let mut fleet = Fleet::open(&args.target, &shape, tokens)?;
    let cpu_opened = args.target.pid.map(measure::process_cpu_nanos).transpose()?;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(args.hold);
    while std::time::Instant::now() < until {
        fleet.poll(std::time::Duration::from_millis(50), |_, _, _| {})?;
    }
    let after = args.target.pid.map(read_memory).transpose()?;
    let mut result = json!({
        "benchmark": "conn",
        "connections": args.connections,
        "rooms": args.rooms,
    });
    if let (Some(before), Some(after)) = (before, after) {
        let per = |after: u64, before: u64| {
            report::round((after.saturating_sub(before)) as f64 / f64::from(args.connections))
        };
        result["server_rss_before_bytes"] = json!(before.0);
        result["server_rss_after_bytes"] = json!(after.0);
        result["server_rss_bytes_per_connection"] = json!(per(after.0, before.0));
        result["server_anonymous_bytes_per_connection"] = json!(per(after.1, before.1));
    }
    if let (Some(before), Some(after)) = (cpu_before, cpu_opened) {
        let micros = after.saturating_sub(before) as f64 / 1_000.0 / f64::from(args.connections);
        result["server_cpu_us_per_connect"] = json!(report::round(micros));
    }
    report::print(&result, args.target.json);
    fleet.close();
    Ok(())
}

fn read_memory(pid: u32) -> Result<(u64, u64)> {
    Ok((measure::resident_bytes(pid)?, measure::anonymous_bytes(pid)?))
}
