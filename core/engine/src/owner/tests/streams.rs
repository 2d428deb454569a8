use super::*;
use lynk_domain::RoomKind::Public;

/// What one shard has heard of one room; checks that nothing is missing without a word.
#[derive(Default)]
struct Ear {
    last: u64,
    skipped: Vec<(u64, u64)>,
    removed: Vec<UserId>,
}

impl Ear {
    fn hear(&mut self, mail: &[(ShardId, Mail)], shard: u16) {
        for (to, mail) in mail {
            if *to != ShardId(shard) {
                continue;
            }
            match mail {
                Mail::Event { seq, prev, removes, .. } if seq.0 > self.last && prev.0 <= self.last => {
                    self.last = seq.0;
                    self.removed.extend(removes.user());
                }
                Mail::Skip { to, removes, .. } if to.0 > self.last => {
                    self.skipped.push((self.last + 1, to.0));
                    self.last = to.0;
                    self.removed.extend(removes);
                }
                Mail::Subscribed { top, .. } => self.last = self.last.max(top.0),
                _ => {}
            }
        }
    }
}

#[test]
fn a_shard_whose_mailbox_was_full_gets_the_events_again() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.subscribe(3, room, None);
    let mut ear = Ear::default();
    ear.hear(&w.take_out(), 1);
    w.full = Some(ShardId(1));
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    w.post(1, kick);
    w.settle();
    let lost = w.send_command(room, "lost on the way");
    w.post(3, lost);
    w.settle();
    w.full = None;
    let behind = w.send_command(room, "behind the loss");
    w.post(3, behind);
    w.settle();
    w.wait(5);
    ear.hear(&w.take_out(), 1);
    assert_eq!((ear.last, ear.skipped.len()), (6, 0));
    assert_eq!(ear.removed, [user(2)]);
}

#[test]
fn more_than_the_window_holds_is_skipped_and_names_who_was_removed() {
    let mut w = World::new(Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() });
    let room = w.room(Public, &[2, 3, 5]);
    w.subscribe(3, room, None);
    let mut ear = Ear::default();
    ear.hear(&w.take_out(), 1);
    let before = ear.last;
    w.full = Some(ShardId(1));
    for out in [2, 5] {
        let kick = w.keyed("kick", room, json!({"user": user(out).to_string()}));
        w.post(1, kick);
        w.settle();
    }
    for _ in 0..8 {
        w.wait(5);
        let send = w.send_command(room, "x");
        w.post(1, send);
        w.settle();
    }
    let back = w.keyed("invite", room, json!({"user": user(5).to_string()}));
    w.post(1, back);
    w.settle();
    w.full = None;
    w.wait(5);
    ear.hear(&w.take_out(), 1);
    assert_eq!(ear.skipped, [(before + 1, 15)]);
    assert_eq!(ear.removed, [user(2)], "who came back is not removed");
}

#[test]
fn an_answer_inside_a_refused_event_comes_with_the_event() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[3]);
    w.subscribe(3, room, None);
    w.take_out();
    w.full = Some(ShardId(1));
    let send = |w: &mut World| {
        let send = w.send_command(room, "x");
        let re = w.post(3, send);
        w.settle();
        re
    };
    let answers = [send(&mut w), send(&mut w)];
    assert_eq!(answers.map(|re| w.answer(3, re)), [None, None], "it must not overtake the event");
    w.full = None;
    w.wait(5);
    for re in answers {
        assert_eq!(w.answer(3, re).expect("answered")["ev"], "ok");
    }
    let events = w.out.iter().filter(|(_, mail)| matches!(mail, Mail::Event { own: Some(_), .. }));
    assert_eq!(events.count(), 2);
}

#[test]
fn an_answer_whose_event_is_skipped_comes_after_the_skip() {
    let mut w = World::new(Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() });
    let room = w.room(Public, &[3]);
    w.subscribe(3, room, None);
    w.take_out();
    w.full = Some(ShardId(1));
    let sends: Vec<u64> = (0..6)
        .map(|_| {
            let send = w.send_command(room, "x");
            let re = w.post(3, send);
            w.settle();
            re
        })
        .collect();
    w.wait(5);
    w.full = None;
    w.wait(5);
    w.wait(5);
    let skip = w.out.iter().position(|(_, mail)| matches!(mail, Mail::Skip { .. })).expect("skipped");
    let first = w.out.iter().position(|(_, mail)| matches!(mail, Mail::Reply { .. })).expect("answered");
    assert!(skip < first);
    for re in sends {
        assert_eq!(w.answer(3, re).expect("answered")["ev"], "ok");
    }
}

#[test]
fn a_repair_waits_for_a_change_that_is_not_committed() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[3]);
    w.subscribe(3, room, None);
    let seq = w.send(3, room, "first text")["seq"].clone();
    w.take_out();
    let edit = w.keyed("edit", room, json!({"seq": seq, "text": "second text"}));
    w.post(3, edit);
    let refill = Mail::Refill { room, epoch: lynk_domain::Epoch(0), after: Seq(2) };
    w.with(|owner, cx| owner.mail(cx, ShardId(1), refill));
    assert!(w.out.is_empty(), "the window already shows the edit");
    w.settle();
    w.wait(5);
    let mut ear = Ear { last: 2, ..Ear::default() };
    ear.hear(&w.take_out(), 1);
    assert_eq!(ear.last, 4);
}

#[test]
fn a_shard_is_told_until_it_ended_every_subscription() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[3, 5]);
    w.subscribe(3, room, None);
    w.subscribe(5, room, None);
    let heard = |w: &mut World| {
        w.take_out();
        w.send(2, room, "outsider");
        w.send(1, room, "x");
        w.take_out().iter().filter(|(_, mail)| matches!(mail, Mail::Event { .. })).count()
    };
    w.with(|owner, cx| owner.mail(cx, ShardId(1), Mail::Unsubscribed { room, ends: 1 }));
    assert_eq!(heard(&mut w), 1);
    w.with(|owner, cx| owner.mail(cx, ShardId(1), Mail::Unsubscribed { room, ends: 1 }));
    assert_eq!(heard(&mut w), 0);
}

#[test]
fn receipts_are_joined_to_one_a_second_and_only_grow() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    for i in 0..5 {
        w.send(1, room, &format!("{i}"));
    }
    w.subscribe(3, room, None);
    w.take_out();
    let records = w.journal.records.len();
    for seq in [4, 5, 6, 5, 2] {
        let ok = w.run(2, json!({"op": "read", "room": room.to_string(), "seq": seq}));
        assert_eq!(ok["ev"], "ok");
    }
    w.wait(1_100);
    w.settle();
    let told: Vec<_> = w
        .take_out()
        .iter()
        .filter_map(|(_, mail)| match mail {
            Mail::Ephemeral { frame, .. } => value(frame)["seq"].as_u64(),
            _ => None,
        })
        .collect();
    assert_eq!(told, [4, 6]);
    assert_eq!(w.journal.records.len() - records, 2);
    assert_eq!(w.code(2, json!({"op": "read", "room": room.to_string(), "seq": 99})), "invalid_field");
}
