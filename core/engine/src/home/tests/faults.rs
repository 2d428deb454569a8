//! Lost mail between the owner and this shard, and a model that plays the owner at random.

use lynk_domain::{Epoch, RoomId, Seq};

use crate::rig::{HERE, Rig, THERE, event_frame, frame, room_of, user_of};
use crate::{ConnectionRef, Input, Mail, Own, QueueLevel, Removes, Slot};

const NOTHING: [&str; 0] = [];

fn two(rig: &mut Rig) -> (RoomId, Vec<ConnectionRef>) {
    let room = room_of(THERE, 0);
    let connections: Vec<_> = (1..=2)
        .map(|slot| {
            let connection = rig.sign_in(slot, user_of(HERE, slot));
            rig.subscribe(connection, room, 0);
            connection
        })
        .collect();
    (room, connections)
}

fn refill_of(rig: &mut Rig) -> Option<Seq> {
    match rig.mail.pop() {
        Some((THERE, Mail::Refill { after, .. })) => Some(after),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lost_events_are_asked_for_and_nothing_overtakes_them() {
    let mut rig = Rig::new();
    let (room, _) = two(&mut rig);
    rig.event(room, 1);
    rig.event(room, 4);
    assert_eq!(refill_of(&mut rig), Some(Seq(1)));
    rig.event(room, 5);
    assert_eq!(refill_of(&mut rig), None, "asked once");
    rig.flush();
    assert_eq!(rig.story(1), ["message 1"]);
    for seq in 2..=6 {
        rig.event(room, seq);
    }
    rig.flush();
    assert_eq!(rig.story(1), ["message 2", "message 3", "message 4", "message 5", "message 6"]);
    rig.event(room, 4);
    rig.flush();
    assert_eq!(rig.story(1), NOTHING, "a repeat is no event");
}

#[test]
fn a_refill_that_does_not_come_is_asked_for_once_a_second() {
    let mut rig = Rig::new();
    let (room, _) = two(&mut rig);
    rig.event(room, 3);
    for _ in 0..3 {
        assert_eq!(refill_of(&mut rig), Some(Seq(0)));
        rig.wait_millis(1_000);
    }
    rig.mail.clear();
    rig.event(room, 1);
    rig.wait_millis(1_000);
    assert_eq!(refill_of(&mut rig), Some(Seq(1)), "the rest is missing");
    rig.event(room, 2);
    rig.event(room, 3);
    rig.wait_millis(5_000);
    assert_eq!(refill_of(&mut rig), None);
}

#[test]
fn what_is_no_longer_there_becomes_a_resync_and_ends_what_it_must() {
    let mut rig = Rig::new();
    let (room, connections) = two(&mut rig);
    rig.event(room, 1);
    rig.event(room, 9);
    let skip = Mail::Skip { room, epoch: Epoch(1), to: Seq(9), removes: vec![user_of(HERE, 2)], ends: false };
    rig.mail(skip);
    rig.event(room, 10);
    rig.flush();
    assert_eq!(rig.story(1), ["message 1", "resync 2-9", "message 10"]);
    assert_eq!(rig.story(2), ["message 1", "resync 2-9"]);
    rig.subscribe(connections[1], room, 10);
    rig.mail(Mail::Skip { room, epoch: Epoch(1), to: Seq(12), removes: vec![], ends: false });
    rig.flush();
    assert_eq!(rig.story(2), ["resync 11-12"]);
}

#[test]
fn an_answer_among_lost_events_comes_with_a_resync_before_it() {
    let mut rig = Rig::new();
    let (room, connections) = two(&mut rig);
    rig.event(room, 1);
    rig.event_with(room, 4, Some(connections[0]), None);
    assert_eq!(rig.story(1), ["resync 1-3", "ok 4"]);
    for seq in 2..=5 {
        rig.event(room, seq);
    }
    rig.flush();
    assert_eq!(rig.story(1), ["message 5"]);
    assert_eq!(rig.story(2), (1..=5).map(|seq| format!("message {seq}")).collect::<Vec<_>>());
}

#[test]
fn a_subscribed_beyond_what_arrived_shows_the_loss() {
    let mut rig = Rig::new();
    let (room, _) = two(&mut rig);
    let third = rig.sign_in(3, user_of(HERE, 3));
    rig.text(3, &format!(r#"{{"id":2,"op":"subscribe","room":"{room}"}}"#));
    rig.mail.clear();
    let answer = frame(r#"{"ev":"subscribed","re":2}"#);
    rig.mail(Mail::Subscribed { to: third, room, epoch: Epoch(1), top: Seq(2), frame: answer });
    assert_eq!(refill_of(&mut rig), Some(Seq(0)));
    for seq in 1..=3 {
        rig.event(room, seq);
    }
    rig.flush();
    assert_eq!(rig.story(3), ["subscribed", "message 3"]);
    assert_eq!(rig.story(1), ["message 1", "message 2", "message 3"]);
}

/// A small deterministic source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// The owner's side of one room: a log without end, and what it posted to this shard.
#[derive(Default)]
struct Owner {
    top: u64,
    posted: u64,
    /// `Subscribed` not ended.
    unended: u32,
    /// First event that can be sent again.
    window_from: u64,
    /// The last event that a full mailbox refused.
    refused: u64,
}

/// One client's view.
#[derive(Clone, Default)]
struct Client {
    /// Subscribed from; `None` when it is not.
    next: Option<u64>,
    answers_due: u64,
}

struct World {
    rig: Rig,
    dice: Dice,
    room: RoomId,
    owner: Owner,
    clients: Vec<Client>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::with(|limits| {
            limits.commands_per_connection_per_second = 0;
            limits.commands_per_account_per_second = 0;
        });
        let room = room_of(THERE, 0);
        for slot in 0..8 {
            rig.sign_in(slot, user_of(HERE, slot));
        }
        Self { rig, dice: Dice(seed), room, owner: Owner::default(), clients: vec![Client::default(); 8] }
    }

    fn connection(slot: u32) -> ConnectionRef {
        ConnectionRef { shard: HERE, slot: Slot(slot), generation: 1 }
    }

    /// Posts the event `seq` unless the mailbox is full.
    fn post(&mut self, seq: u64, own: Option<u32>) {
        let prev = Seq(self.owner.posted);
        if self.dice.roll(8) == 0 {
            // Refused: an answer inside it goes as a reply.
            self.owner.refused = seq;
            if let Some(slot) = own {
                self.reply(slot, seq);
            }
            self.owner.posted = seq;
            return;
        }
        self.owner.posted = seq;
        let own = own.map(|slot| Own {
            to: Self::connection(slot),
            ok: frame(&format!(r#"{{"ev":"ok","seq":{seq}}}"#)),
        });
        let mail = Mail::Event {
            room: self.room,
            epoch: Epoch(1),
            seq: Seq(seq),
            prev,
            frame: event_frame(seq),
            own,
            removes: Removes::Nobody,
        };
        self.rig.mail(mail);
    }

    fn reply(&mut self, slot: u32, seq: u64) {
        let frame = frame(&format!(r#"{{"ev":"late_ok","seq":{seq}}}"#));
        self.rig.mail(Mail::Reply { to: Self::connection(slot), frame, behind: None, late: false });
    }

    fn step(&mut self) {
        let slot = self.dice.roll(8) as u32;
        match self.dice.roll(12) {
            0..=3 if self.owner.unended > 0 => {
                let own = (self.dice.roll(3) == 0).then_some(slot);
                if own.is_some() {
                    let room = self.room;
                    self.rig.text(
                        slot,
                        &format!(r#"{{"id":1,"op":"send","room":"{room}","key":"{room}","text":"x"}}"#),
                    );
                    self.clients[slot as usize].answers_due += 1;
                }
                self.owner.top += 1;
                self.post(self.owner.top, own);
            }
            4 => {
                let room = self.room;
                self.rig.text(slot, &format!(r#"{{"id":2,"op":"subscribe","room":"{room}"}}"#));
                if self.owner.unended == 0 {
                    self.owner.posted = self.owner.top;
                }
                self.owner.unended += 1;
                let top = self.owner.top;
                let frame = frame(&format!(r#"{{"ev":"subscribed","top":{top}}}"#));
                let to = Self::connection(slot);
                self.rig.mail(Mail::Subscribed { to, room, epoch: Epoch(1), top: Seq(top), frame });
            }
            5 => {
                let room = self.room;
                self.rig.text(slot, &format!(r#"{{"id":3,"op":"unsubscribe","room":"{room}"}}"#));
                // Answers that waited behind events come out at once: the events are not wanted any more.
                self.clients[slot as usize].next = None;
            }
            6 => self.rig.level(slot, QueueLevel::High),
            7 => self.rig.level(slot, QueueLevel::Low),
            8 => self.rig.wait_millis(3),
            _ => self.rig.give(Input::Flush),
        }
        self.owner_takes_mail();
        self.check();
    }

    /// What this shard posted reaches the owner, sometimes later.
    fn owner_takes_mail(&mut self) {
        if self.dice.roll(4) == 0 {
            return;
        }
        for (_, mail) in std::mem::take(&mut self.rig.mail) {
            match mail {
                Mail::Unsubscribed { ends, .. } => self.owner.unended -= ends,
                Mail::Refill { after, .. } => self.refill(after.0),
                Mail::Command { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn refill(&mut self, after: u64) {
        // Old events have left the window.
        self.owner.window_from = self.owner.window_from.max(self.owner.top.saturating_sub(self.dice.roll(6)));
        let mut at = after;
        if at + 1 < self.owner.window_from {
            at = self.owner.window_from - 1;
            self.rig.mail(Mail::Skip {
                room: self.room,
                epoch: Epoch(1),
                to: Seq(at),
                removes: vec![],
                ends: false,
            });
        }
        self.owner.posted = at;
        while at < self.owner.top {
            at += 1;
            self.post(at, None);
        }
    }

    /// Every client sees contiguous numbers or an explicit resync, and each answer once.
    fn check(&mut self) {
        for slot in 0..8u32 {
            for told in self.rig.take_sent(slot) {
                let client = &mut self.clients[slot as usize];
                let seq = told["seq"].as_u64();
                match told["ev"].as_str().expect("every frame has ev") {
                    "subscribed" => client.next = told["top"].as_u64().map(|top| top + 1),
                    "message" => {
                        assert_eq!(client.next, seq, "slot {slot}: a gap or a repeat");
                        client.next = seq.map(|seq| seq + 1);
                    }
                    "resync" => {
                        assert_eq!(client.next, told["from"].as_u64(), "slot {slot}: a resync elsewhere");
                        assert!(told["to"].as_u64() >= told["from"].as_u64());
                        client.next = told["to"].as_u64().map(|to| to + 1);
                    }
                    "ok" if seq.is_some() => {
                        client.answers_due -= 1;
                        if client.next.is_some() {
                            assert!(client.next >= seq, "slot {slot}: an ok before the events before it");
                            client.next = client.next.max(seq.map(|seq| seq + 1));
                        }
                    }
                    "late_ok" => client.answers_due -= 1,
                    "ok" => {}
                    other => panic!("{other}: {told}"),
                }
            }
        }
    }

    fn settle(&mut self) {
        for slot in 0..8 {
            self.rig.level(slot, QueueLevel::Low);
        }
        for _ in 0..400 {
            for (_, mail) in std::mem::take(&mut self.rig.mail) {
                match mail {
                    Mail::Unsubscribed { ends, .. } => self.owner.unended -= ends,
                    Mail::Refill { after, .. } => self.refill(after.0),
                    _ => {}
                }
            }
            // There is room in the mailbox again: the owner tells what was refused.
            let to = Seq(std::mem::take(&mut self.owner.refused));
            self.rig.mail(Mail::Skip { room: self.room, epoch: Epoch(1), to, removes: vec![], ends: false });
            self.rig.flush();
            self.rig.wait_millis(20);
            self.check();
        }
        for (slot, client) in self.clients.iter().enumerate() {
            assert_eq!(client.answers_due, 0, "slot {slot} misses an answer");
        }
    }
}

#[test]
fn whatever_is_lost_or_slow_everyone_sees_contiguous_numbers_or_a_resync() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.step();
        }
        world.settle();
        // One more event finds everybody at the top, or tells them.
        if world.owner.unended > 0 {
            world.owner.top += 1;
            let (room, top) = (world.room, world.owner.top);
            let prev = Seq(world.owner.posted);
            let mail = Mail::Event {
                room,
                epoch: Epoch(1),
                seq: Seq(top),
                prev,
                frame: event_frame(top),
                own: None,
                removes: Removes::Nobody,
            };
            world.owner.posted = top;
            world.rig.mail(mail);
            world.settle();
            for (slot, client) in world.clients.iter().enumerate() {
                assert!(
                    client.next.is_none_or(|next| next == top + 1),
                    "seed {seed}: slot {slot} fell behind"
                );
            }
        }
        for slot in 0..8 {
            world.rig.give(Input::Closed { slot: Slot(slot) });
        }
        world.owner_takes_mail_all();
        assert_eq!(world.owner.unended, 0, "seed {seed}: the owner still posts to nobody");
    }
}

impl World {
    fn owner_takes_mail_all(&mut self) {
        for (_, mail) in std::mem::take(&mut self.rig.mail) {
            if let Mail::Unsubscribed { ends, .. } = mail {
                self.owner.unended -= ends;
            }
        }
    }
}
