//! Which engine holds the message log: the benchmark behind that choice, on the code that ships.
//!
//! `store-choice append fjall|sqlite MESSAGES BATCH` drains generated records into the store and prints CPU, bytes and
//! stalls. `store-choice stall one|two MESSAGES` reads pages while the log is appended to, by one thread that does both
//! or by two. `store-choice open` times the start on an empty and on a used directory. Everything happens in a fresh
//! directory below the current one, so run it on the disk in question. Numbers go to standard output, one per line.

#![forbid(unsafe_code)]

mod facts;
mod records;
mod sqlite_log;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use lynk_domain::{Lsn, Seq};
use lynk_embedded::{MessageLog, MessageLogOptions, Rooms};
use lynk_model::port::{MessageStore, ready};
use lynk_model::{OwnedRecord, PageQuery, Record, StoreError};

use facts::{Usage, print};
use records::Generator;
use sqlite_log::SqliteLog;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["append", engine, messages, batch] => append(engine, messages.parse()?, batch.parse()?),
        ["stall", threads, messages] => stall(threads, messages.parse()?),
        ["open"] => open(),
        ["open-at", path] => open_at(std::path::Path::new(path)),
        _ => bail!("append fjall|sqlite MESSAGES BATCH, stall one|two MESSAGES, or open"),
    }
}

fn failed(error: StoreError) -> anyhow::Error {
    anyhow::anyhow!("the store failed: {error:?}")
}

fn directory() -> Result<tempfile::TempDir> {
    tempfile::tempdir_in(".").context("a directory below the current one")
}

fn borrowed(batch: &[OwnedRecord]) -> Vec<Record<'_>> {
    batch.iter().map(OwnedRecord::borrow).collect()
}

/// An engine under test.
enum Store {
    Fjall(MessageLog),
    Sqlite(SqliteLog),
}

impl Store {
    fn append(&mut self, cursor: Lsn, batch: &[Record<'_>]) -> Result<()> {
        match self {
            Self::Fjall(log) => ready(log.append("1/0", cursor, batch)).map_err(failed),
            Self::Sqlite(log) => log.append(cursor, batch),
        }
    }

    /// Memory to tables, or the write-ahead log into the file.
    fn finish(self) -> Result<()> {
        match self {
            Self::Fjall(log) => log.flush().map_err(failed),
            Self::Sqlite(log) => {
                drop(log);
                Ok(())
            }
        }
    }
}

fn append(engine: &str, messages: u64, batch: usize) -> Result<()> {
    let directory = directory()?;
    let mut store = match engine {
        "fjall" => Store::Fjall(MessageLog::open(directory.path(), MessageLogOptions::default())?),
        "sqlite" => Store::Sqlite(SqliteLog::open(directory.path())?),
        other => bail!("no engine {other}"),
    };
    let mut generator = Generator::new(10_000);
    let mut commits = Histogram::<u64>::new(3)?;
    let (mut payload, mut done) = (0, 0);
    let before = Usage::now()?;
    let mut generating = Duration::ZERO;
    while done < messages {
        let started = Instant::now();
        let records = generator.batch(batch);
        payload += records.iter().map(|record| record.payload.len() as u64).sum::<u64>();
        done += records.len() as u64;
        generating += started.elapsed();
        let started = Instant::now();
        store.append(Lsn(done), &borrowed(&records))?;
        commits.record(started.elapsed().as_micros() as u64)?;
    }
    // Work that is still owed counts as well.
    store.finish()?;
    let used = Usage::now()?.since(&before);
    print("engine", engine);
    print("messages", done);
    print("batch", batch);
    let cpu = used.cpu.saturating_sub(generating).as_secs_f64() * 1e6 / done as f64;
    print("cpu_us_per_message", format_args!("{cpu:.2}"));
    print("wall_s", format_args!("{:.2}", (used.wall - generating).as_secs_f64()));
    print("bytes_written_per_message", used.written / done);
    print("bytes_written_per_payload_byte", format_args!("{:.2}", used.written as f64 / payload as f64));
    print("payload_bytes_per_message", payload / done);
    print("disk_bytes_per_message", facts::disk_bytes(directory.path())? / done);
    print_quantiles("commit_us", &commits);
    print("peak_rss_kib", used.peak_kib);
    Ok(())
}

fn print_quantiles(name: &str, histogram: &Histogram<u64>) {
    for (label, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        print(&format!("{name}_{label}"), histogram.value_at_quantile(quantile));
    }
    print(&format!("{name}_max"), histogram.max());
}

/// One page of a room's last 50 messages.
fn read_page(log: &MessageLog, generator: &mut Generator) -> Result<()> {
    let query = PageQuery {
        room: generator.any_room(),
        from: Seq(1),
        to: Seq(u64::MAX),
        backward: true,
        limit: 50,
        bytes: u32::MAX,
        all: false,
    };
    ready(log.page(&query)).map_err(failed)?;
    Ok(())
}

/// How long a page takes that is asked for every two milliseconds, from the time it was due.
fn stall(threads: &str, messages: u64) -> Result<()> {
    let directory = directory()?;
    let mut log = MessageLog::open(directory.path(), MessageLogOptions::default())?;
    let mut generator = Generator::new(10_000);
    let mut pages = Histogram::<u64>::new(3)?;
    let interval = Duration::from_millis(2);
    let (stop, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    match threads {
        "one" => {
            let mut due = Instant::now();
            let mut asked = Generator::new(10_000);
            let mut done = 0;
            while done < messages {
                let records = generator.batch(1_000);
                done += records.len() as u64;
                ready(log.append("1/0", Lsn(done), &borrowed(&records))).map_err(failed)?;
                // Requests first: everything that came meanwhile, then the next batch.
                while due <= Instant::now() {
                    read_page(&log, &mut asked)?;
                    pages.record(due.elapsed().as_micros() as u64)?;
                    due += interval;
                }
            }
            appended.store(done, Ordering::Relaxed);
        }
        "two" => {
            let reading = log.clone();
            std::thread::scope(|scope| -> Result<()> {
                let reader = scope.spawn(|| -> Result<()> {
                    let mut due = Instant::now();
                    let mut asked = Generator::new(10_000);
                    while !stop.load(Ordering::Relaxed) {
                        if let Some(early) = due.checked_duration_since(Instant::now()) {
                            std::thread::sleep(early);
                        }
                        read_page(&reading, &mut asked)?;
                        pages.record(due.elapsed().as_micros() as u64)?;
                        due += interval;
                    }
                    Ok(())
                });
                let mut done = 0;
                while done < messages {
                    let records = generator.batch(1_000);
                    done += records.len() as u64;
                    ready(log.append("1/0", Lsn(done), &borrowed(&records))).map_err(failed)?;
                }
                appended.store(done, Ordering::Relaxed);
                stop.store(true, Ordering::Relaxed);
                reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
            })?;
        }
        other => bail!("{other} is neither one nor two"),
    }
    let seconds = started.elapsed().as_secs_f64();
    print("threads", threads);
    print("appended_per_s", format_args!("{:.0}", appended.into_inner() as f64 / seconds));
    print("pages", pages.len());
    print_quantiles("page_us", &pages);
    Ok(())
}

/// Opens both stores in a process of its own, so that its memory is theirs alone.
fn open() -> Result<()> {
    let directory = directory()?;
    for (label, fill) in [("empty_first_start", 0), ("empty", 0), ("used_100k_messages", 100_000u64)] {
        if fill > 0 {
            let mut log = MessageLog::open(directory.path(), MessageLogOptions::default())?;
            let mut generator = Generator::new(1_000);
            for cursor in 1..=fill / 1_000 {
                ready(log.append("1/0", Lsn(cursor), &borrowed(&generator.batch(1_000)))).map_err(failed)?;
            }
        }
        let child = std::process::Command::new(std::env::current_exe()?)
            .arg("open-at")
            .arg(directory.path())
            .output()?;
        for line in String::from_utf8_lossy(&child.stdout).lines() {
            print(label, line);
        }
    }
    Ok(())
}

fn open_at(path: &std::path::Path) -> Result<()> {
    let before = facts::resident_kib()?;
    let started = Instant::now();
    let log = MessageLog::open(path, MessageLogOptions::default())?;
    print("message_log_open_ms", format_args!("{:.1}", started.elapsed().as_secs_f64() * 1e3));
    let between = facts::resident_kib()?;
    let started = Instant::now();
    let rooms = Rooms::open(path)?;
    print("rooms_open_ms", format_args!("{:.1}", started.elapsed().as_secs_f64() * 1e3));
    let after = facts::resident_kib()?;
    print("message_log_rss_kib", between - before);
    print("rooms_rss_kib", after - between);
    print("process_rss_kib", after);
    drop((log, rooms));
    Ok(())
}
