//! How fast one bridge thread appends, and how long a page of history takes. Not a test: it measures.
//!
//! `LYNK_SERVICES=…/env cargo run --release -p lynk-cassandra --example drain -- [seconds] [rooms] [batch] [in-flight] [text bytes] [request rows]`
//!
//! One current-thread runtime does everything of the client: making records, planning, TLS. CPU times are those of the two processes,
//! from `/proc`.

#![expect(clippy::print_stdout, reason = "it reports")]

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_cassandra::{CassandraMessages, Connect, Identity, Limits, Migration, Replication, Tls, migrate};
use lynk_domain::{Key, Lsn, MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::port::MessageStore as _;
use lynk_model::{Body, OwnedRecord, PageQuery, Parts, Record, RecordHead, RecordKind};

type Failure = Box<dyn Error>;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Rooms that are written to at random, with 50 members each.
struct World {
    random: Random,
    tops: Vec<u64>,
    text: String,
    wall: u64,
}

impl World {
    fn room(&self, number: usize) -> RoomId {
        let mut id = [0x5a; 16];
        id[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        RoomId(id)
    }

    fn record(&mut self) -> OwnedRecord {
        let number = (self.random.draw() % self.tops.len() as u64) as usize;
        let room = self.room(number);
        self.tops[number] += 1;
        let seq = Seq(self.tops[number]);
        let mut key = [0; 16];
        key[..6].copy_from_slice(&self.wall.to_be_bytes()[2..]);
        key[6..14].copy_from_slice(&self.random.draw().to_le_bytes());
        let mut sender = [3; 16];
        sender[0] = (self.random.draw() % 50) as u8;
        let mut payload = Vec::with_capacity(40 + self.text.len());
        Body::Message {
            id: MessageId(key),
            n: Ordinal(seq.0),
            reply_to: Seq(0),
            text: &self.text,
            parts: Parts::none(),
        }
        .encode(&mut payload);
        let (kind, wall, sender) = (RecordKind::Message, Millis(self.wall), UserId(sender));
        let head = RecordHead { kind, flags: 0, room, seq, rev: seq, wall, sender, key: Key(key) };
        OwnedRecord { head, payload }
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
    let (seconds, rooms, batch) = (argument(1, 20), argument(2, 100), argument(3, 5_000));
    let (in_flight, text_bytes, request_rows) = (argument(4, 32), argument(5, 120), argument(6, 256));
    let read = |key: &str| std::fs::read(values.get(key).copied().unwrap_or_default());
    let pid = std::fs::read_to_string(values.get("CASSANDRA_PID_FILE").ok_or("no Cassandra in it")?)?;
    let server = pid.lines().next().unwrap_or_default().to_owned();
    let keyspace = format!("drain_{}", std::process::id());
    let connect = |role: &str| -> Result<Connect, Failure> {
        let name = role.to_uppercase();
        let identity = Identity {
            certificate: read(&format!("{name}_CERT"))?,
            key: Secret::new(read(&format!("{name}_KEY"))?),
        };
        Ok(Connect {
            nodes: vec![format!("{}:{}", values["CASSANDRA_HOST"], values["CASSANDRA_PORT"])],
            datacenter: Some("datacenter1".to_owned()),
            keyspace: keyspace.clone(),
            installation: "drain".to_owned(),
            user: role.to_owned(),
            password: Secret::new(read(&format!("{name}_PASSWORD_FILE"))?),
            tls: Tls { ca: read("TLS_CA")?, identity: Some(identity) },
            limits: Limits {
                in_flight,
                request_rows,
                request_timeout: Duration::from_secs(30),
                connect_timeout: Duration::from_secs(30),
                ..Limits::default()
            },
        })
    };
    let migrator = connect("lynk_cql_migrate")?;
    let store = connect("lynk_messages")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let migration =
            Migration { replication: Replication::Simple(1), grant_to: Some("lynk_messages".to_owned()) };
        migrate(&migrator, &migration).await?;
        let mut store = CassandraMessages::connect(&store).await?;
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as u64;
        let mut world = World { random: Random(1), tops: vec![0; rooms], text: "x".repeat(text_bytes), wall };
        println!("rooms {rooms} batch {batch} in-flight {in_flight} text {text_bytes} B request-rows {request_rows}");
        append(&mut store, &mut world, &server, seconds, batch).await?;
        pages(&store, &mut world).await
    })
}

async fn append(
    store: &mut CassandraMessages,
    world: &mut World,
    server: &str,
    seconds: usize,
    batch: usize,
) -> Result<(), Failure> {
    let (started, mut slice, mut in_slice) = (Instant::now(), Instant::now(), 0);
    let (mut lsn, mut times) = (0, Vec::new());
    let (mut ours, mut theirs) = (cpu("self")?, cpu(server)?);
    let (ours_first, theirs_first) = (ours, theirs);
    while started.elapsed() < Duration::from_secs(seconds as u64) {
        let owned: Vec<OwnedRecord> = (0..batch).map(|_| world.record()).collect();
        let records: Vec<Record<'_>> = owned.iter().map(OwnedRecord::borrow).collect();
        lsn += batch as u64;
        let before = Instant::now();
        if let Err(error) = store.append("1/0", Lsn(lsn), &records).await {
            return Err(format!("{error:?}: {:?}", store.take_fault()).into());
        }
        times.push(before.elapsed());
        in_slice += batch;
        let took = slice.elapsed().as_secs_f64();
        if took >= 5.0 {
            let (now, then) = (cpu("self")?, cpu(server)?);
            println!(
                "after {:>4.0} s: {:>7.0} messages/s, client {:>3.0} % CPU, server {:>3.0} % CPU",
                started.elapsed().as_secs_f64(),
                in_slice as f64 / took,
                (now - ours) / took * 100.0,
                (then - theirs) / took * 100.0
            );
            (ours, theirs, slice, in_slice) = (now, then, Instant::now(), 0);
        }
    }
    let took = started.elapsed().as_secs_f64();
    let (ours, theirs) = (cpu("self")? - ours_first, cpu(server)? - theirs_first);
    times.sort_unstable();
    println!(
        "TOTAL {lsn} messages in {took:.1} s: {:.0} messages/s; client {:.1} µs CPU a message ({:.0} %), server {:.1} µs ({:.0} %); \
         append p50 {:.0} ms p99 {:.0} ms max {:.0} ms",
        lsn as f64 / took,
        ours / lsn as f64 * 1e6,
        ours / took * 100.0,
        theirs / lsn as f64 * 1e6,
        theirs / took * 100.0,
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        percentile(&times, 1.0),
    );
    Ok(())
}

/// Pages of 50 messages, backward from a random seq, one after the other.
async fn pages(store: &CassandraMessages, world: &mut World) -> Result<(), Failure> {
    let mut times = Vec::new();
    for number in 0..3_000 {
        let room = (world.random.draw() % world.tops.len() as u64) as usize;
        let to = Seq(1 + world.random.draw() % world.tops[room].max(1));
        let (room, from, limit) = (world.room(room), Seq(1), 50);
        let query = PageQuery { room, from, to, backward: true, limit, bytes: 256 << 10, all: false };
        let before = Instant::now();
        let page =
            store.page(&query).await.map_err(|error| format!("{error:?}: {:?}", store.take_fault()))?;
        // The server is warm after some.
        if number >= 500 {
            times.push(before.elapsed());
        }
        if page.events.len() as u64 != to.0.min(50) {
            return Err(format!("a page of {} events up to {to:?}", page.events.len()).into());
        }
    }
    times.sort_unstable();
    println!(
        "PAGES of 50 messages: {} read, p50 {:.2} ms p90 {:.2} ms p99 {:.2} ms max {:.2} ms",
        times.len(),
        percentile(&times, 0.5),
        percentile(&times, 0.9),
        percentile(&times, 0.99),
        percentile(&times, 1.0)
    );
    Ok(())
}
