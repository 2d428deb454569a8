use super::*;
use lynk_domain::RoomKind::Public;
use std::collections::BTreeMap;

/// A message as the test remembers it.
struct Said {
    seq: u64,
    author: u8,
    deleted: bool,
}

/// What the room should be.
#[derive(Default)]
struct Mirror {
    said: Vec<Said>,
    top: u64,
    read: BTreeMap<u8, u64>,
}

impl Mirror {
    fn unread(&self, i: u8) -> u64 {
        let read = self.read[&i];
        self.said.iter().filter(|m| m.seq > read && m.author != i && !m.deleted).count() as u64
    }
}

const USERS: std::ops::RangeInclusive<u8> = 1..=4;

fn peek(w: &mut World, room: RoomId, i: u8) -> (u64, u64) {
    w.take_out();
    let mail = Mail::Peek { gather: 1, from: ShardId(1), room, user: user(i) };
    w.with(|owner, cx| owner.mail(cx, ShardId(1), mail));
    w.settle();
    let numbers = w.out.iter().find_map(|(_, mail)| match mail {
        Mail::Peeked { numbers, .. } => *numbers,
        _ => None,
    });
    let numbers = numbers.expect("a member's numbers");
    (numbers.unread, numbers.read.0)
}

fn step(w: &mut World, dice: &mut Dice, room: RoomId, mirror: &mut Mirror) {
    let i = 1 + dice.below(4) as u8;
    match dice.below(100) {
        0..50 => {
            let answer = w.send(i, room, &format!("text {}", dice.next()));
            mirror.top = answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"));
            mirror.said.push(Said { seq: mirror.top, author: i, deleted: false });
        }
        50..60 if !mirror.said.is_empty() => {
            let index = dice.below(mirror.said.len() as u64) as usize;
            let message = &mut mirror.said[index];
            let actor = if dice.below(2) == 0 { 1 } else { message.author };
            let delete = w.keyed("delete", room, json!({"seq": message.seq}));
            let answer = w.run(actor, delete);
            assert_eq!(answer["code"] == "conflict", message.deleted, "{answer}");
            if !message.deleted {
                message.deleted = true;
                mirror.top = answer["seq"].as_u64().expect("a seq");
            }
        }
        60..64 => {
            let seq = 1 + dice.below(mirror.top);
            w.run(i, json!({"op": "mark_unread", "room": room.to_string(), "seq": seq}));
            mirror.read.insert(i, seq - 1);
        }
        64..75 => {
            let read = mirror.read[&i];
            let seq = (read + 1 + dice.below(20)).min(mirror.top);
            w.run(i, json!({"op": "read", "room": room.to_string(), "seq": seq}));
            mirror.read.insert(i, read.max(seq));
        }
        75..80 => {
            let message = dice.below(mirror.said.len().max(1) as u64) as usize;
            if let Some(message) = mirror.said.get(message).filter(|m| !m.deleted) {
                let react = w.keyed("react", room, json!({"seq": message.seq, "emoji": "x"}));
                if let Some(seq) = w.run(i, react)["seq"].as_u64() {
                    mirror.top = seq;
                }
            }
        }
        80..88 => w.drain(),
        88..94 => {
            w.wait(1_100);
            w.settle();
            w.drain();
            w.evict(room);
        }
        94..96 => {
            // Read positions are journaled within a second.
            w.wait(1_100);
            w.settle();
            w.drain();
            w.crash();
        }
        _ => w.wait(dice.below(2_000)),
    }
}

#[test]
fn unread_equals_a_recount_and_the_log_is_whole_in_random_workloads() {
    for seed in 0..40 {
        let limits = Limits { room_window_events_max: 6, resume_events_max: 4, ..Limits::default() };
        let mut w = World::new(limits);
        let room = w.room(Public, &[2, 3, 4]);
        let mut mirror = Mirror { top: 4, ..Mirror::default() };
        mirror.read.extend(USERS.map(|i| (i, u64::from(i))));
        let mut dice = Dice(seed);
        for at in 0..150 {
            step(&mut w, &mut dice, room, &mut mirror);
            let i = 1 + dice.below(4) as u8;
            let expected = (mirror.unread(i), mirror.read[&i]);
            assert_eq!(peek(&mut w, room, i), expected, "seed {seed} step {at} user {i}");
        }
        let (mut after, mut found) = (0, Vec::new());
        while after < mirror.top {
            let page = w.history(1, room, json!({"after": after, "limit": 7, "all": true}));
            found.extend(seqs(&page));
            after = page["covers"]["to"].as_u64().expect("covers");
        }
        assert_eq!(found, (1..=mirror.top).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn every_retry_gets_one_result_across_crashes_drains_and_evictions() {
    for seed in 0..40 {
        let limits = Limits {
            room_window_events_max: 4,
            resume_events_max: 4,
            dedupe_entries_per_shard_max: 3,
            ..Limits::default()
        };
        let mut w = World::new(limits);
        let room = w.room(Public, &[2, 3]);
        let mut dice = Dice(seed);
        let mut sent: Vec<(u8, Value, u64)> = Vec::new();
        for _ in 0..120 {
            match dice.below(10) {
                0..4 => {
                    let i = 2 + dice.below(2) as u8;
                    let command = w.send_command(room, &format!("text {}", dice.next()));
                    let seq = w.run(i, command.clone())["seq"].as_u64().expect("accepted");
                    sent.push((i, command, seq));
                }
                4..8 if !sent.is_empty() => {
                    let (i, command, seq) = sent[dice.below(sent.len() as u64) as usize].clone();
                    assert_eq!(w.run(i, command)["seq"], seq, "seed {seed}");
                }
                8 => {
                    w.drain();
                    w.drain_old();
                    w.evict(room);
                }
                _ if dice.below(3) == 0 => w.crash(),
                _ => w.wait(dice.below(120_000)),
            }
        }
        let mut seqs: Vec<u64> = sent.iter().map(|(.., seq)| *seq).collect();
        let count = seqs.len();
        seqs.dedup();
        assert_eq!(
            (seqs.len(), w.loaded(room).map(|r| r.top_n.0)),
            (count, w.loaded(room).map(|_| count as u64))
        );
    }
}
