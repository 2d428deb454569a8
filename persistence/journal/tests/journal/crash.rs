//! Power cuts, kills and failed syncs at random moments, many lives of one data directory.
//!
//! Oracle: what a writer reported committed, and what a recovery reported, is there in every later life or in
//! the message store, unchanged, in order, once.

use std::collections::BTreeMap;

use lynk_domain::Lsn;
use lynk_journal::limits::BLOCK_BYTES;
use lynk_journal::{MemoryDisk, RecoverError, execute};

use crate::harness::{Boot, MemoryStore, Random, Stopped, StoreFault, check_recovered, new_disk, record_at};

/// The last record promised, by generation and shard.
type Promised = BTreeMap<(u32, u16), Lsn>;

/// Seeds per run; `LYNK_JOURNAL_SEEDS` asks for more, `LYNK_JOURNAL_SEED` for one.
const SEEDS: u64 = 400;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("LYNK_JOURNAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LYNK_JOURNAL_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
fn whatever_was_promised_outlives_every_crash() {
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| lives(seed));
        if let Err(panic) = outcome {
            println!("failed with LYNK_JOURNAL_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn lives(seed: u64) {
    let mut random = Random(seed);
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut promised = Promised::new();
    for _ in 0..3 + random.below(5) {
        disk.set_write_bytes_max(if random.one_in(2) {
            usize::MAX
        } else {
            BLOCK_BYTES + random.below(700) as usize
        });
        if !random.one_in(4) {
            let far = if random.one_in(3) { 1_000 } else { 200 };
            disk.stop_after(random.below(far));
        }
        let shards = [1, 4, 2, 3][random.below(4) as usize];
        // A life ends when its plan is done or the machine stops under it.
        let _ended = life(&disk, &mut store, shards, &mut random, &mut promised);
        store.fault = StoreFault::None;
        if random.one_in(3) {
            disk.restart();
        } else {
            disk.crash(&mut || random.next());
        }
    }
    last_life(&disk, &mut store, &mut random, &promised);
}

fn life(
    disk: &MemoryDisk,
    store: &mut MemoryStore,
    shards: u16,
    random: &mut Random,
    promised: &mut Promised,
) -> Result<(), Stopped> {
    let mut boot = boot(disk, store, shards, random.next())?;
    check_recovered(&mut boot);
    note_recovered(&boot, store, promised);
    let generation = boot.recovered.generation;
    let long = random.one_in(3);
    for _ in 0..random.below(if long { 400 } else { 60 }) {
        let shard = boot.shards().nth(random.below(u64::from(shards)) as usize).expect("a shard");
        match random.below(8) {
            0..3 => boot.append(shard, 1 + random.below(if long { 20 } else { 6 })),
            3..5 => {
                boot.commit(shard)?;
                promised.insert((generation, shard.0), boot.committed(shard));
            }
            5 => {
                // Records join the next batch while this one is on its way.
                if let Some(op) = boot.next_write(shard)? {
                    boot.append(shard, random.below(4));
                    let outcome = execute(&op);
                    boot.finish(shard, op, outcome)?;
                    promised.insert((generation, shard.0), boot.committed(shard));
                }
            }
            6 => {
                store.fault = match random.below(6) {
                    0 => StoreFault::Unavailable,
                    1 => StoreFault::AppliedUnknown,
                    2 => StoreFault::LostUnknown,
                    _ => StoreFault::None,
                };
                boot.now = boot.now.after(random.below(200_000_000));
                boot.drain_step(store);
            }
            _ if random.one_in(40) => {
                disk.set_syncs_fail(true);
                return boot.commit(shard);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Starts a server; a machine that stopped meanwhile is no failure, damage is.
fn boot(disk: &MemoryDisk, store: &MemoryStore, shards: u16, seed: u64) -> Result<Boot, Stopped> {
    match Boot::start(disk, store, shards, seed) {
        Ok(boot) => Ok(boot),
        Err(RecoverError::Disk(_)) => Err(Stopped),
        Err(error) => panic!("{error}"),
    }
}

/// Everything promised in earlier lives is recovered or in the store; everything recovered is promised.
fn note_recovered(boot: &Boot, store: &MemoryStore, promised: &mut Promised) {
    let mut found = Promised::new();
    for source in &boot.recovered.sources {
        found.insert((source.generation, source.shard), source.last);
    }
    for (&(generation, shard), last) in promised.iter() {
        let have = found.get(&(generation, shard)).copied().unwrap_or_default();
        for lsn in have.0 + 1..=last.0 {
            let key = record_at(generation, shard, lsn).head.key;
            assert!(store.rows.contains_key(&key), "{generation}/{shard} record {lsn} was promised");
        }
    }
    for (place, last) in found {
        let promise = promised.entry(place).or_default();
        *promise = last.max(*promise);
    }
}

fn last_life(disk: &MemoryDisk, store: &mut MemoryStore, random: &mut Random, promised: &Promised) {
    let mut boot = boot(disk, store, 2, random.next()).expect("no fault is set");
    check_recovered(&mut boot);
    note_recovered(&boot, store, &mut promised.clone());
    boot.now = boot.now.after(10_000_000_000);
    assert_eq!(boot.drain(store), lynk_journal::DrainStep::Idle);
    assert!(boot.drainer.earlier_gone());
    for (&(generation, shard), last) in promised {
        for lsn in 1..=last.0 {
            let written = record_at(generation, shard, lsn);
            assert_eq!(store.rows.get(&written.head.key), Some(&written), "{generation}/{shard} {lsn}");
        }
    }
    assert_eq!(store.cursors.len(), 0, "drained journals are forgotten: {:?}", store.cursors);
}
