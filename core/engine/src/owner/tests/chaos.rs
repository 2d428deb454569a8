//! Everything at once, in any order: commands that overlap, a store that answers late or not, a journal that commits
//! some of it, mailboxes that are full, crashes.

use super::*;
use lynk_domain::RoomKind::Public;
use std::collections::BTreeMap;

const USERS: u64 = 5;

/// What one home shard has heard of one room.
#[derive(Clone, Copy)]
struct Ear {
    last: u64,
    refilling: bool,
}

struct Chaos {
    w: World,
    dice: Dice,
    rooms: Vec<RoomId>,
    ears: BTreeMap<(u16, RoomId), Ear>,
    /// Commands given in this boot, answered or not.
    asked: Vec<(u8, u64)>,
    sends: Vec<(u8, Value)>,
    /// Results by key, over all boots.
    results: BTreeMap<String, u64>,
    /// Highest seq that was shown, by room.
    shown: BTreeMap<RoomId, u64>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let limits = Limits {
            room_window_events_max: 10,
            resume_events_max: 5,
            dedupe_entries_per_shard_max: 8,
            rooms_loaded_per_shard_max: 2,
            messages_per_room_per_second: 0,
            ..Limits::default()
        };
        let mut w = World::new(limits);
        let rooms = vec![w.room(Public, &[2, 3, 4, 5]), w.room(Public, &[2, 3, 4, 5])];
        let level = w.keyed("settings", rooms[1], json!({"level": "memory"}));
        w.run(1, level);
        w.take_out();
        Self {
            w,
            dice: Dice(seed),
            rooms,
            ears: BTreeMap::new(),
            asked: Vec::new(),
            sends: Vec::new(),
            results: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    fn pick_user(&mut self) -> u8 {
        1 + self.dice.below(USERS) as u8
    }

    fn pick_room(&mut self) -> RoomId {
        self.rooms[self.dice.below(2) as usize]
    }

    fn give(&mut self, i: u8, command: Value) {
        let re = self.w.post(i, command);
        self.asked.push((i, re));
    }

    fn command(&mut self) {
        let (i, room, roll) = (self.pick_user(), self.pick_room(), self.dice.below(100));
        let other = user(self.pick_user()).to_string();
        let seq = 1 + self.dice.below(30);
        let command = match roll {
            0..45 => {
                let send = self.w.send_command(room, "text");
                self.sends.push((i, send.clone()));
                send
            }
            45..55 if !self.sends.is_empty() => {
                let at = self.dice.below(self.sends.len() as u64) as usize;
                let (i, send) = self.sends[at].clone();
                return self.give(i, send);
            }
            55..60 => self.w.keyed("edit", room, json!({"seq": seq, "text": "changed"})),
            60..65 => self.w.keyed("delete", room, json!({"seq": seq})),
            65..68 => self.w.keyed("react", room, json!({"seq": seq, "emoji": "x"})),
            68..73 => self.w.keyed("kick", room, json!({"user": other})),
            73..80 => self.w.keyed("join", room, json!({})),
            80..85 => json!({"op": "read", "room": room.to_string(), "seq": seq}),
            85..93 => json!({"op": "subscribe", "room": room.to_string(), "seq": seq}),
            _ => json!({"op": "history", "room": room.to_string(), "before": seq + 1, "all": true}),
        };
        self.give(i, command);
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..40 => self.command(),
            40..60 => {
                let waiting = self.w.requests.len() as u64;
                if waiting > 0 && self.w.store != Store::Silent {
                    let at = self.dice.below(waiting) as usize;
                    self.w.serve_at(at);
                }
            }
            60..80 => {
                let count = self.dice.below(1 + self.w.pending.len() as u64) as usize;
                self.w.commit_first(count);
            }
            80..84 => self.w.drain(),
            84..88 => {
                let full = [None, None, Some(ShardId(1))];
                self.w.full = full[self.dice.below(3) as usize];
            }
            88..92 => {
                let stores = [Store::Up, Store::Up, Store::Away, Store::Unsure];
                self.w.store = stores[self.dice.below(4) as usize];
            }
            92 if self.dice.below(4) == 0 => self.crash(),
            _ => {
                let millis = self.dice.below(3_000);
                self.w.wait(millis);
            }
        }
        self.listen();
    }

    fn crash(&mut self) {
        self.listen();
        self.w.crash();
        self.ears.clear();
        self.asked.clear();
        // A commit may have been on its way: what it made durable is kept without anybody having been told.
    }

    /// The home shards take their mail.
    fn listen(&mut self) {
        loop {
            let mail = std::mem::take(&mut self.w.out);
            if mail.is_empty() {
                return;
            }
            for (to, mail) in &mail {
                self.hear(*to, mail);
            }
            self.note_answers(&mail);
            self.kept(mail);
        }
    }

    fn kept(&mut self, mail: Vec<(ShardId, Mail)>) {
        // Answers stay findable until the end of the boot.
        self.w.heard.extend(mail);
    }

    fn hear(&mut self, shard: ShardId, mail: &Mail) {
        match mail {
            Mail::Subscribed { room, top, .. } => {
                let ear = self.ears.entry((shard.0, *room)).or_insert(Ear { last: top.0, refilling: false });
                let behind = ear.last < top.0;
                self.check_shown(*room, top.0);
                if behind {
                    self.refill(shard, *room);
                }
            }
            Mail::Event { room, seq, prev, .. } => {
                self.check_shown(*room, seq.0);
                let Some(ear) = self.ears.get_mut(&(shard.0, *room)) else { return };
                assert!(prev.0 < seq.0);
                if seq.0 <= ear.last {
                    return;
                }
                if prev.0 > ear.last {
                    return self.refill(shard, *room);
                }
                ear.last = seq.0;
                ear.refilling = false;
            }
            Mail::Skip { room, to, .. } => {
                self.check_shown(*room, to.0);
                if let Some(ear) = self.ears.get_mut(&(shard.0, *room)) {
                    ear.last = ear.last.max(to.0);
                    ear.refilling = false;
                }
            }
            _ => {}
        }
    }

    fn refill(&mut self, shard: ShardId, room: RoomId) {
        let Some(ear) = self.ears.get_mut(&(shard.0, room)) else { return };
        if !std::mem::replace(&mut ear.refilling, true) {
            let mail = Mail::Refill { room, epoch: lynk_domain::Epoch(0), after: Seq(ear.last) };
            self.w.with(|owner, cx| owner.mail(cx, shard, mail));
        }
    }

    /// In the room that waits for its journal, whatever is shown is in it.
    fn check_shown(&mut self, room: RoomId, seq: u64) {
        let shown = self.shown.entry(room).or_default();
        *shown = seq.max(*shown);
        if room == self.rooms[0] {
            let top =
                self.w.journal.records.values().filter(|r| r.head.room == room && r.head.kind.takes_seq());
            let top = top.map(|r| r.head.seq.0).max().unwrap_or(0);
            assert!(seq <= top, "{seq} was shown and {top} is committed");
        }
    }

    /// One key, one result; and it is in the log of a room that waits for its journal.
    fn note_answers(&mut self, mail: &[(ShardId, Mail)]) {
        for frame in mail.iter().filter_map(|(_, mail)| match mail {
            Mail::Reply { frame, .. } => Some(frame),
            Mail::Event { own: Some(own), .. } => Some(&own.ok),
            _ => None,
        }) {
            let answer = value(frame);
            let (Some(id), Some(seq)) = (answer["id"].as_str(), answer["seq"].as_u64()) else { continue };
            let known = self.results.entry(id.to_owned()).or_insert(seq);
            assert_eq!(*known, seq);
            if answer["level"] == "local" {
                let room = self.rooms[0];
                let found =
                    self.w.journal.records.values().any(|r| r.head.room == room && r.head.seq.0 == seq);
                assert!(found, "an answer before its record");
            }
        }
    }

    /// Everything works again: every command gets its one answer, every shard its events.
    fn calm(&mut self) {
        self.w.full = None;
        self.w.store = Store::Up;
        for _ in 0..30 {
            self.w.settle();
            self.listen();
            self.w.wait(1_100);
            self.listen();
        }
        // A look of its own may have begun with the last wait.
        self.w.settle();
        self.listen();
        self.w.out = std::mem::take(&mut self.w.heard);
        for (i, re) in std::mem::take(&mut self.asked) {
            assert!(self.w.answer(i, re).is_some(), "command {re} of {i} has no answer");
        }
        self.w.take_out();
        for ((shard, room), ear) in &self.ears {
            let released = self.w.loaded(*room).map(|room| room.released.0);
            assert_eq!(released, Some(ear.last), "shard {shard} is behind");
        }
        for room in &self.rooms {
            if let Some(room) = self.w.loaded(*room) {
                assert!(room.busy.is_empty() && room.held.is_empty() && room.metadata.is_idle(), "{room:?}");
                assert_eq!(room.requests, 0);
            }
        }
        assert!(self.w.owner.idle() && self.w.owner.books.pending.is_empty());
    }

    /// The log of a room has one event for each number, and each key once.
    fn check_log(&mut self) {
        for room in self.rooms.clone() {
            let of = |r: &&OwnedRecord| r.head.room == room && r.head.kind.takes_seq();
            let records: Vec<_> = self.w.journal.records.values().filter(of).collect();
            assert!(records.windows(2).all(|pair| pair[0].head.seq < pair[1].head.seq), "numbers grow");
            let mut keys: Vec<_> = records.iter().map(|r| (r.head.sender, r.head.key)).collect();
            keys.sort_unstable();
            assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key was used twice");
            if room == self.rooms[0] {
                let last = records.last().map_or(0, |r| r.head.seq.0);
                assert_eq!(records.len() as u64, last, "numbers have no holes");
            }
        }
    }
}

#[test]
fn whatever_happens_each_command_has_one_answer_and_each_shard_the_whole_story() {
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..6 {
            for _ in 0..120 {
                chaos.step();
            }
            chaos.calm();
            chaos.check_log();
        }
    }
}
