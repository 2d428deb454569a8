//! `lynk bench floor`: what the kernel asks for the same sends, sockets and bytes, with nothing around them.
//!
//! A sender thread accepts the sockets and, at each intended time, sends one buffer to every socket of one room by
//! send(2). The generator thread reads them, as it reads a server's. The sender's cost is its thread's CPU time and
//! that of the softirq threads.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{Timespec, epoll};
use rustix::net::SendFlags;
use serde_json::json;

use crate::args::FloorArgs;
use crate::{measure, report};

/// What a floor run cost.
pub(crate) struct Floor {
    pub(crate) sends: u64,
    pub(crate) cpu_us_per_send: f64,
    /// Sends that a full socket refused; a floor with any is not a floor.
    pub(crate) refused: u64,
    pub(crate) generator_share: f64,
}

impl Floor {
    /// Whether it measured the sends and not the reader, nor refusals.
    pub(crate) fn is_valid(&self) -> bool {
        self.refused == 0 && self.generator_share < report::GENERATOR_SHARE_MAX
    }
}

/// Runs the command.
pub(crate) fn run(args: &FloorArgs) -> Result<()> {
    let floor = measure_floor(args)?;
    let result = json!({
        "benchmark": "floor",
        "method": "send(2)",
        "sockets": args.rooms * args.members,
        "sends": floor.sends,
        "bytes_per_send": args.bytes,
        "cpu_us_per_send": report::round(floor.cpu_us_per_send),
        "refused": floor.refused,
        "generator_core_share": report::round(floor.generator_share),
        "valid": floor.is_valid(),
    });
    report::print(&result, args.json);
    Ok(())
}

struct Sent {
    sends: u64,
    refused: u64,
    cpu: Duration,
}

/// The sender: one burst per intended time, rooms in turn.
fn send_bursts(sockets: &[TcpStream], args: &FloorArgs) -> Result<Sent> {
    measure::pin(args.cpu)?;
    let buffer = vec![b'x'; args.bytes as usize];
    let bursts = u64::from(args.rate) * args.seconds;
    let start = Instant::now();
    let cpu = measure::thread_cpu();
    let mut sent = Sent { sends: 0, refused: 0, cpu: Duration::ZERO };
    for burst in 0..bursts {
        let intended = Duration::from_nanos(burst * 1_000_000_000 / u64::from(args.rate));
        if let Some(early) = intended.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
        let room = (burst % u64::from(args.rooms)) as usize;
        for socket in sockets.iter().skip(room).step_by(args.rooms as usize) {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(socket, &buffer, flags) {
                Ok(written) if written == buffer.len() => sent.sends += 1,
                _ => sent.refused += 1,
            }
        }
    }
    sent.cpu = measure::thread_cpu().saturating_sub(cpu);
    Ok(sent)
}

/// Runs one floor: sockets, sender, reader.
pub(crate) fn measure_floor(args: &FloorArgs) -> Result<Floor> {
    ensure!(args.rooms > 0 && args.members > 0 && args.rate > 0, "rooms, members and rate must be above 0");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let count = (args.rooms * args.members) as usize;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let (mut near, mut far) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for index in 0..count {
        let socket =
            TcpStream::connect(addr).context("the floor needs two open files per socket (ulimit -n)")?;
        socket.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, socket.as_fd(), data, epoll::EventFlags::IN)?;
        far.push(socket);
        let accepted = listener.accept()?.0;
        accepted.set_nodelay(true)?;
        near.push(accepted);
    }
    let done = Arc::new(AtomicBool::new(false));
    let (softirq, own) = (measure::softirq_cpu_nanos(), measure::OwnLoad::start());
    let sender = std::thread::spawn({
        let (args, done) = (args.clone(), Arc::clone(&done));
        move || {
            let sent = send_bursts(&near, &args);
            done.store(true, Ordering::Release);
            // The sockets stay open until everything is read: the end of a stream is readable for ever.
            (sent, near)
        }
    });
    let mut buffer = vec![0; 64 << 10];
    let mut ready: Vec<epoll::Event> = Vec::with_capacity(1024);
    loop {
        ready.clear();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout))?;
        for event in &ready {
            // What arrives is of no interest, only that it is taken.
            let _ = (&far[event.data.u64() as usize]).read(&mut buffer);
        }
        if ready.is_empty() && done.load(Ordering::Acquire) {
            break;
        }
    }
    let (sent, near) = sender.join().map_err(|_| anyhow::anyhow!("the floor's sender panicked"))?;
    drop(near);
    let sent = sent?;
    let softirq = measure::softirq_cpu_nanos().saturating_sub(softirq);
    let micros = (sent.cpu.as_nanos() as f64 + softirq as f64) / 1_000.0;
    Ok(Floor {
        sends: sent.sends,
        cpu_us_per_send: micros / (sent.sends.max(1)) as f64,
        refused: sent.refused,
        generator_share: own.share(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_ends_and_counts_its_sends() {
        let args =
            FloorArgs { rooms: 2, members: 2, rate: 20, seconds: 1, bytes: 100, cpu: None, json: true };
        let floor = measure_floor(&args).expect("loopback sockets");
        assert_eq!((floor.sends, floor.refused), (40, 0));
        assert!(floor.cpu_us_per_send > 0.0);
    }
}
