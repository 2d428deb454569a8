//! How fast one bridge thread publishes. Not a test: it measures.
//!
//! `LYNK_SERVICES=…/env cargo run --release -p lynk-kafka --features client --example publish -- [seconds] [rooms] [batch]`
//!
//! Both events of a message, one after the other as the two streams of a journal make them, through [`KafkaSink`]: each batch waits until the
//! broker has it. CPU times are those of the two processes, from `/proc`; librdkafka's own threads are in ours.

#![expect(clippy::print_stdout, reason = "it reports")]

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_kafka::{Connect, Encoding, Identity, KafkaSink, topics};
use lynk_model::event::{Event, EventBody, Subject, Topic};
use lynk_model::port::{EventSink as _, ready};

type Failure = Box<dyn Error>;

/// Rooms of this run, each written to in turn.
struct Rooms {
    tops: Vec<u64>,
    next: usize,
}

impl Rooms {
    /// The events of so many messages, of one stream.
    fn events(&mut self, topic: Topic, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.event(topic)).collect()
    }

    fn event(&mut self, topic: Topic) -> Event {
        let number = self.next % self.tops.len();
        self.next += 1;
        self.tops[number] += 1;
        let mut room = [0x6b; 16];
        room[..4].copy_from_slice(&std::process::id().to_be_bytes());
        room[4..12].copy_from_slice(&(number as u64).to_be_bytes());
        let seq = self.tops[number];
        Event {
            topic,
            subject: Subject::Room(RoomId(room)),
            seq: Seq(seq),
            at: Millis(1_795_456_131_000 + seq),
            by: UserId([1; 16]),
            command: Key([2; 16]),
            body: EventBody::Posted {
                id: MessageId([3; 16]),
                n: Ordinal(seq),
                reply_to: Seq(0),
                mentions: lynk_model::Mentions::default(),
                attachments: Vec::new(),
                text: None,
            },
        }
    }
}

/// Seconds of CPU of a process.
fn cpu(pid: &str) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn percentile(sorted: &[Duration], part: f64) -> f64 {
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn main() -> Result<(), Failure> {
    let path =
        std::env::var("LYNK_SERVICES").map_err(|_| "LYNK_SERVICES is not set: see scripts/services")?;
    let text = std::fs::read_to_string(path)?;
    let values: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let argument = |index: usize, usual: usize| {
        std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (seconds, rooms, batch) = (argument(1, 20), argument(2, 100), argument(3, 1_000));
    let read = |key: &str| std::fs::read(values.get(key).copied().unwrap_or_default());
    let pid = std::fs::read_to_string(values.get("KAFKA_PID_FILE").ok_or("no Kafka in it")?)?;
    let broker = pid.lines().next().unwrap_or_default().to_owned();
    let name = topics::ENGINE.to_uppercase();
    let connect = Connect {
        bootstrap: vec![values["KAFKA_BOOTSTRAP"].to_owned()],
        user: topics::ENGINE.to_owned(),
        password: Secret::new(read(&format!("{name}_PASSWORD_FILE"))?),
        ca: read("TLS_CA")?,
        identity: Some(Identity {
            certificate: read(&format!("{name}_CERT"))?,
            key: Secret::new(read(&format!("{name}_KEY"))?),
        }),
        timeout: Duration::from_secs(30),
    };
    let mut sink = KafkaSink::new(&connect, Encoding::default())?;
    let streams = [Topic::MessageReceived, Topic::MessageCreated];
    let mut worlds = streams.map(|_| Rooms { tops: vec![0; rooms.max(1)], next: 0 });
    println!("rooms {rooms} batch {batch}");
    let (mut started, mut slice, mut published, mut in_slice) = (Instant::now(), Instant::now(), 0, 0);
    let (mut ours, mut theirs, mut times) = (cpu("self")?, cpu(&broker)?, Vec::new());
    let (mut ours_first, mut theirs_first, mut warm) = (ours, theirs, false);
    while !warm || started.elapsed() < Duration::from_secs(seconds as u64) {
        for (topic, world) in streams.into_iter().zip(&mut worlds) {
            let events = world.events(topic, batch);
            let before = Instant::now();
            if let Err(error) = ready(sink.publish(&events)) {
                return Err(format!("{error:?}: {:?}", sink.take_fault()).into());
            }
            times.push(before.elapsed());
            published += events.len();
            in_slice += events.len();
        }
        let took = slice.elapsed().as_secs_f64();
        if took < 5.0 {
            continue;
        }
        let (now, then) = (cpu("self")?, cpu(&broker)?);
        println!(
            "{:>7.0} events/s, client {:>3.0} % CPU, broker {:>3.0} % CPU{}",
            in_slice as f64 / took,
            (now - ours) / took * 100.0,
            (then - theirs) / took * 100.0,
            if warm { "" } else { "  (not counted)" },
        );
        (ours, theirs, slice, in_slice) = (now, then, Instant::now(), 0);
        if !warm {
            // The connection is made and the broker has compiled what it needs first.
            (warm, started, published, ours_first, theirs_first) = (true, slice, 0, ours, theirs);
            times.clear();
        }
    }
    let took = started.elapsed().as_secs_f64();
    let (ours, theirs) = (cpu("self")? - ours_first, cpu(&broker)? - theirs_first);
    times.sort_unstable();
    println!(
        "TOTAL {published} events in {took:.1} s: {:.0} events/s; client {:.1} µs CPU an event ({:.0} %), broker {:.1} µs ({:.0} %); \
         batch p50 {:.1} ms p99 {:.1} ms max {:.1} ms",
        published as f64 / took,
        ours / published as f64 * 1e6,
        ours / took * 100.0,
        theirs / published as f64 * 1e6,
        theirs / took * 100.0,
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        percentile(&times, 1.0),
    );
    Ok(())
}
