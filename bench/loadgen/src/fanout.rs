//! `lynk bench send` and `lynk bench fanout`: open-loop load, latency from the intended time, cost per delivery.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::args::{FanoutArgs, FloorArgs, SendArgs, Target};
use crate::fleet::{Fleet, Shape, progress};
use crate::frames::{self, Keys, Seen};
use crate::report::{self, Latency};
use crate::{TokenSource, floor, measure};

/// Time after the last intended send that answers may still arrive.
const SETTLE: Duration = Duration::from_secs(5);
/// Longest wait for input.
const POLL_MAX: Duration = Duration::from_millis(20);
/// Time after which everything that the server counted is published: its shards do it four times a second.
const PUBLISHED: Duration = Duration::from_millis(1_200);

/// Load on a fleet.
struct Load {
    rate: u32,
    seconds: u64,
    payload: u32,
    publishers: u32,
}

/// What one run saw.
struct Outcome {
    sent: u64,
    acked: u64,
    delivered: u64,
    delivered_bytes: u64,
    /// Seqs that never arrived, over all connections.
    lost: u64,
    /// Seqs that arrived again.
    duplicates: u64,
    resyncs: u64,
    errors: BTreeMap<String, u64>,
    ack: Histogram<u64>,
    /// The same from the moment of the send: without what the generator was late.
    ack_from_send: Histogram<u64>,
    delivery: Histogram<u64>,
    late: Histogram<u64>,
    generator_share: f64,
    server_cpu_nanos: Option<u64>,
    /// Sends that the server asked of the kernel.
    server_sends: Option<u64>,
    softirq_nanos: u64,
}

/// A send that is not answered yet: when it should have gone out, and when it did. Nanoseconds of the run.
struct Sent {
    intended: u64,
    sent: u64,
}

/// Per connection: the last seq seen, and its unanswered sends.
#[derive(Default)]
struct Watch {
    seq: u64,
    pending: BTreeMap<u64, Sent>,
}

/// `lynk bench send`
pub(crate) fn run_send(args: &SendArgs, tokens: &mut TokenSource<'_>) -> Result<()> {
    let shape = Shape { connections: args.senders, rooms: args.senders, sources: 1 };
    let mut fleet = Fleet::open(&args.target, &shape, tokens)?;
    let load = Load { rate: args.rate, seconds: args.seconds, payload: args.payload, publishers: 1 };
    let seen = drive(&mut fleet, &args.target, &load)?;
    let mut result = describe("send", &seen);
    result["senders"] = json!(args.senders);
    result["rate"] = json!(args.rate);
    if let Some(cpu) = seen.server_cpu_nanos {
        let micros = (cpu + seen.softirq_nanos) as f64 / 1_000.0 / seen.acked.max(1) as f64;
        result["server_cpu_us_per_send"] = json!(report::round(micros));
    }
    report::print(&result, args.target.json);
    fleet.close();
    Ok(())
}

/// `lynk bench fanout`
pub(crate) fn run_fanout(args: &FanoutArgs, tokens: &mut TokenSource<'_>) -> Result<()> {
    if args.pairs > 0 && args.target.pid.is_none() {
        bail!("a ratio needs the server's CPU time: name the server with --pid");
    }
    let shape = Shape { connections: args.rooms * args.members, rooms: args.rooms, sources: args.sources };
    let mut fleet = Fleet::open(&args.target, &shape, tokens)?;
    let load = Load {
        rate: args.rate,
        seconds: args.seconds,
        payload: args.payload,
        publishers: args.publishers.clamp(1, args.members),
    };
    let mut result = Value::Null;
    let mut pairs = Pairs::default();
    let mut frame_bytes = 380;
    for pair in 0..args.pairs.max(1) {
        // Every second pair begins with the floor, so that what one leaves behind does not always burden the other.
        let mut bare = None;
        if pair % 2 == 1 {
            bare = Some(floor_of(args, frame_bytes)?);
        }
        let seen = drive(&mut fleet, &args.target, &load)?;
        result = describe("fanout", &seen);
        if let Some(cost) = seen.cost_per_send() {
            result["server_cpu_us_per_send"] = json!(report::round(cost));
        }
        if args.pairs == 0 {
            break;
        }
        frame_bytes = u32::try_from(seen.delivered_bytes / seen.delivered.max(1)).unwrap_or(380) + 4;
        let bare = match bare {
            Some(bare) => bare,
            None => floor_of(args, frame_bytes)?,
        };
        pairs.add(&seen, result["valid"] == true, &bare);
        progress(&format!("pair {} of {}: {}", pair + 1, args.pairs, pairs.last));
    }
    result["rooms"] = json!(args.rooms);
    result["members"] = json!(args.members);
    result["rate"] = json!(args.rate);
    result["payload_bytes"] = json!(args.payload);
    if args.pairs > 0 {
        pairs.describe(&mut result);
    }
    report::print(&result, args.target.json);
    fleet.close();
    Ok(())
}

/// The same sends without a server.
fn floor_of(args: &FanoutArgs, bytes: u32) -> Result<floor::Floor> {
    floor::measure_floor(&FloorArgs {
        rooms: args.rooms,
        members: args.members,
        rate: args.rate,
        seconds: args.seconds,
        bytes,
        cpu: args.floor_cpu,
        json: false,
    })
}

/// Paired measurements. Pairs in which either half was not sound count for nothing but their number.
#[derive(Default)]
struct Pairs {
    ratios: Vec<f64>,
    servers: Vec<f64>,
    floors: Vec<f64>,
    frames_per_send: Vec<f64>,
    invalid: u32,
    /// The last pair, for people.
    last: String,
}

impl Pairs {
    fn add(&mut self, seen: &Outcome, valid: bool, bare: &floor::Floor) {
        let cost = seen.cost_per_send().unwrap_or(f64::NAN);
        let per_send = bare.cpu_us_per_send;
        self.last = format!(
            "server {cost:.3}, floor {per_send:.3} us per send, ratio {:.3}, {:.2} frames per send",
            cost / per_send,
            seen.frames_per_send()
        );
        if !valid || !bare.is_valid() || !cost.is_finite() {
            self.invalid += 1;
            self.last.push_str(" (not sound: left out)");
            return;
        }
        self.ratios.push(cost / per_send);
        self.servers.push(cost);
        self.floors.push(per_send);
        self.frames_per_send.push(seen.frames_per_send());
    }

    fn describe(&self, result: &mut Value) {
        result["ratio_to_floor"] = report::spread(&self.ratios);
        result["server_us_per_send"] = report::spread(&self.servers);
        result["floor_us_per_send"] = report::spread(&self.floors);
        result["frames_per_send"] = report::spread(&self.frames_per_send);
        result["invalid_pairs"] = json!(self.invalid);
    }
}

impl Outcome {
    /// Frames: deliveries and acknowledgements.
    fn frames(&self) -> u64 {
        self.delivered + self.acked
    }

    /// Sends that the server asked of the kernel; one per frame when it did not tell.
    fn sends(&self) -> u64 {
        self.server_sends.unwrap_or_else(|| self.frames()).max(1)
    }

    fn frames_per_send(&self) -> f64 {
        self.frames() as f64 / self.sends() as f64
    }

    /// Server CPU per send on the wire, in microseconds: deliveries and acknowledgements count alike.
    fn cost_per_send(&self) -> Option<f64> {
        let cpu = self.server_cpu_nanos? + self.softirq_nanos;
        Some(cpu as f64 / 1_000.0 / self.sends() as f64)
    }
}

fn describe(benchmark: &str, seen: &Outcome) -> Value {
    let late = Latency::of(&seen.late);
    let valid =
        seen.generator_share < report::GENERATOR_SHARE_MAX && seen.lost == 0 && seen.acked == seen.sent;
    json!({
        "benchmark": benchmark,
        "sent": seen.sent,
        "acked": seen.acked,
        "delivered": seen.delivered,
        "lost": seen.lost,
        "duplicates": seen.duplicates,
        "resyncs": seen.resyncs,
        "errors": seen.errors,
        "ack_latency": Latency::of(&seen.ack),
        "ack_from_send": Latency::of(&seen.ack_from_send),
        "delivery_latency": Latency::of(&seen.delivery),
        "generator_core_share": report::round(seen.generator_share),
        "generator_late_p99_us": late.p99_us,
        "generator_late_max_us": late.max_us,
        "server_cpu_ms": seen.server_cpu_nanos.map(|n| n / 1_000_000),
        "server_sends": seen.server_sends,
        "valid": valid,
    })
}

/// Drives the load and reads everything that comes back.
fn drive(fleet: &mut Fleet, target: &Target, load: &Load) -> Result<Outcome> {
    let rooms = fleet.rooms.len();
    let connections = fleet.clients.len();
    let mut watches: Vec<Watch> = (0..connections).map(|_| Watch::default()).collect();
    let mut keys = Keys::new()?;
    let mut seen = Outcome {
        sent: 0,
        acked: 0,
        delivered: 0,
        delivered_bytes: 0,
        lost: 0,
        duplicates: 0,
        resyncs: 0,
        errors: BTreeMap::new(),
        ack: report::histogram(),
        ack_from_send: report::histogram(),
        delivery: report::histogram(),
        late: report::histogram(),
        generator_share: 0.0,
        server_cpu_nanos: None,
        server_sends: None,
        softirq_nanos: 0,
    };
    let total = u64::from(load.rate) * load.seconds;
    std::thread::sleep(PUBLISHED);
    let sends_before = measure::server_sends(target.admin);
    let server_before = target.pid.map(measure::process_cpu_nanos).transpose()?;
    let (softirq, own) = (measure::softirq_cpu_nanos(), measure::OwnLoad::start());
    let start = Instant::now();
    let mut expected = 0u64;
    let mut deadline = None;
    loop {
        let now = nanos(start);
        while seen.sent < total {
            let intended = seen.sent * 1_000_000_000 / u64::from(load.rate);
            if intended > now {
                break;
            }
            let room = (seen.sent % rooms as u64) as usize;
            let turn = seen.sent / rooms as u64 % u64::from(load.publishers);
            let index = room + rooms * turn as usize;
            let re = fleet.clients[index].next_re();
            let text = frames::send(re, fleet.rooms[room], keys.next(), intended, load.payload as usize);
            let sent = Sent { intended, sent: nanos(start) };
            fleet.send(index, &text)?;
            record(&mut seen.late, sent.sent.saturating_sub(intended));
            watches[index].pending.insert(re, sent);
            seen.sent += 1;
            expected += (connections / rooms + usize::from(room < connections % rooms)) as u64;
        }
        fleet.flush_blocked()?;
        let wait = if seen.sent < total {
            let next = seen.sent * 1_000_000_000 / u64::from(load.rate);
            // To the nanosecond: a generator that spins through the last millisecond takes a core from the server.
            Duration::from_nanos(next.saturating_sub(nanos(start)))
        } else {
            let end = *deadline.get_or_insert_with(|| Instant::now() + SETTLE);
            if seen.delivered + seen.acked >= expected || Instant::now() > end {
                break;
            }
            POLL_MAX
        };
        fleet.poll(wait.min(POLL_MAX), |index, _, text| {
            take(&mut seen, &mut watches[index], nanos(start), text);
        })?;
    }
    seen.generator_share = own.share();
    seen.softirq_nanos = measure::softirq_cpu_nanos().saturating_sub(softirq);
    if let (Some(pid), Some(before)) = (target.pid, server_before) {
        seen.server_cpu_nanos = Some(measure::process_cpu_nanos(pid)?.saturating_sub(before));
    }
    std::thread::sleep(PUBLISHED);
    seen.server_sends = measure::server_sends(target.admin)
        .zip(sends_before)
        .map(|(after, before)| after.saturating_sub(before));
    let errors: u64 = seen.errors.values().sum();
    if errors == 0 {
        // A hole in the seqs and a frame that never came are the same loss seen twice: the larger count holds.
        seen.lost = seen.lost.max(expected.saturating_sub(seen.delivered + seen.acked));
    }
    Ok(seen)
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn record(histogram: &mut Histogram<u64>, nanos: u64) {
    histogram.saturating_record((nanos / 1_000).max(1));
}

fn take(seen: &mut Outcome, watch: &mut Watch, now: u64, text: &str) {
    let seq = match frames::see(text) {
        Seen::Message { seq, text: body } => {
            seen.delivered += 1;
            seen.delivered_bytes += text.len() as u64;
            if let Some(intended) = frames::intended(body) {
                record(&mut seen.delivery, now.saturating_sub(intended));
            }
            seq
        }
        Seen::Ok { re, seq } => {
            if let Some(Sent { intended, sent }) = watch.pending.remove(&re) {
                seen.acked += 1;
                record(&mut seen.ack, now.saturating_sub(intended));
                record(&mut seen.ack_from_send, now.saturating_sub(sent));
            }
            seq
        }
        Seen::Error { re, code } => {
            watch.pending.remove(&re);
            *seen.errors.entry(code.to_owned()).or_default() += 1;
            return;
        }
        Seen::Resync => {
            seen.resyncs += 1;
            watch.seq = 0;
            return;
        }
        Seen::Event { seq } => seq,
        Seen::Subscribed { top } => {
            watch.seq = top;
            return;
        }
        Seen::Other => return,
    };
    if seq == 0 {
        return;
    }
    if watch.seq > 0 && seq <= watch.seq {
        seen.duplicates += 1;
        return;
    }
    if watch.seq > 0 {
        seen.lost += seq - watch.seq - 1;
    }
    watch.seq = seq;
}
