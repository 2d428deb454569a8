use lynk_domain::{Epoch, Nanos, RoomId, Seq, UserId};

use crate::rig::{HERE, Rig, THERE, event_frame, frame, room_of, user_of};
use crate::{ConnectionRef, FLUSH_DELIVERIES_MAX, Input, Mail, QueueLevel, Removes, Slot};

const NOTHING: [&str; 0] = [];

/// Connections 1..=count of different users in one room of the other shard.
fn crowd(rig: &mut Rig, count: u32) -> (RoomId, Vec<ConnectionRef>) {
    let room = room_of(THERE, 0);
    let connections: Vec<_> = (1..=count)
        .map(|slot| {
            let connection = rig.sign_in(slot, user_of(HERE, slot));
            rig.subscribe(connection, room, 0);
            connection
        })
        .collect();
    rig.mail.clear();
    (room, connections)
}

#[test]
fn an_event_reaches_every_subscriber_at_the_end_of_the_turn() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 3);
    rig.event(room, 1);
    assert_eq!(rig.story(1), NOTHING);
    rig.flush();
    for slot in 1..=3 {
        assert_eq!(rig.story(slot), ["message 1"]);
    }
    rig.flush();
    assert_eq!(rig.story(1), NOTHING);
}

#[test]
fn the_sender_gets_its_ok_in_place_of_the_event_and_in_order() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 3);
    rig.event(room, 1);
    rig.event_with(room, 2, Some(connections[1]), None);
    rig.event_with(room, 3, Some(connections[0]), None);
    rig.flush();
    assert_eq!(rig.story(1), ["message 1", "message 2", "ok 3"]);
    assert_eq!(rig.story(2), ["message 1", "ok 2", "message 3"]);
    assert_eq!(rig.story(3), ["message 1", "message 2", "message 3"]);
}

#[test]
fn a_sender_who_is_not_subscribed_gets_its_ok_at_once_and_nothing_else() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 1);
    let outside = rig.sign_in(9, user_of(HERE, 9));
    rig.event_with(room, 1, Some(outside), None);
    assert_eq!(rig.story(9), ["ok 1"]);
    rig.event_with(room_of(THERE, 5), 1, Some(outside), None);
    assert_eq!(rig.story(9), ["ok 1"], "nobody here is in that room");
    rig.flush();
    assert_eq!(rig.story(9), NOTHING);
    assert_eq!(rig.story(1), ["message 1"]);
}

#[test]
fn several_events_of_a_turn_are_one_delivery_per_connection() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 4);
    let before = rig.engine.counters().deliveries;
    for seq in 1..=10 {
        rig.event(room, seq);
    }
    rig.flush();
    assert_eq!(rig.engine.counters().deliveries - before, 4);
    for slot in 1..=4 {
        assert_eq!(rig.story(slot), (1..=10).map(|seq| format!("message {seq}")).collect::<Vec<_>>());
    }
}

#[test]
fn a_large_room_is_served_in_chunks_and_others_in_between() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 300);
    let small = room_of(THERE, 1);
    let other = rig.sign_in(400, user_of(HERE, 400));
    rig.subscribe(other, small, 0);
    rig.event(room, 1);
    rig.give(Input::Flush);
    rig.event(small, 1);
    rig.give(Input::Flush);
    rig.give(Input::Flush);
    assert_eq!(rig.story(400), ["message 1"]);
    rig.flush();
    for slot in 1..=300 {
        assert_eq!(rig.story(slot), ["message 1"], "{slot}");
    }
    assert_eq!(rig.engine.counters().flush_deliveries_max, FLUSH_DELIVERIES_MAX as u64);
}

#[test]
fn whoever_subscribes_during_a_round_gets_only_what_follows() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 200);
    rig.event(room, 1);
    rig.event(room, 2);
    rig.give(Input::Flush);
    let late = rig.sign_in(300, user_of(HERE, 300));
    rig.subscribe(late, room, 2);
    rig.event(room, 3);
    rig.flush();
    rig.wait_millis(50);
    rig.flush();
    assert_eq!(rig.story(300), ["message 3"]);
    assert_eq!(rig.story(200), ["message 1", "message 2", "message 3"]);
}

#[test]
fn whoever_leaves_during_a_round_hurts_nobody() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 300);
    rig.event(room, 1);
    rig.give(Input::Flush);
    for slot in [1, 64, 128, 129, 200, 300] {
        rig.give(Input::Closed { slot: Slot(slot) });
        rig.take_sent(slot);
    }
    rig.flush();
    for slot in (1..=300).filter(|slot| ![1, 64, 128, 129, 200, 300].contains(slot)) {
        assert_eq!(rig.story(slot), ["message 1"], "{slot}");
    }
}

#[test]
fn a_busy_room_is_flushed_in_ticks_and_a_quiet_one_at_once() {
    let mut rig = Rig::with(|limits| limits.presence_room_members_max = 500);
    let (room, _) = crowd(&mut rig, 100);
    let before = rig.engine.counters().deliveries;
    // 500 events a second, for half a second.
    for seq in 1..=250 {
        rig.event(room, seq);
        rig.flush();
        rig.wait_millis(2);
        rig.flush();
    }
    let joined = rig.engine.counters().deliveries - before;
    assert!(joined < 250 * 100 / 4, "{joined} deliveries for 25,000 events");
    rig.wait_millis(20);
    rig.flush();
    assert_eq!(rig.story(7), (1..=250).map(|seq| format!("message {seq}")).collect::<Vec<_>>());
    rig.wait_millis(1_000);
    rig.event(room, 251);
    rig.flush();
    assert_eq!(rig.story(7), ["message 251"]);
}

#[test]
fn a_removed_user_is_told_the_removal_and_nothing_after_it() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 3);
    let removed = user_of(HERE, 2);
    let device = rig.sign_in(20, removed);
    rig.subscribe(device, room, 0);
    rig.event(room, 1);
    rig.event_with(room, 2, None, Some(removed));
    rig.event(room, 3);
    rig.flush();
    assert_eq!(rig.story(2), ["message 1", "message 2"]);
    assert_eq!(rig.story(20), ["message 1", "message 2"]);
    assert_eq!(rig.story(1), ["message 1", "message 2", "message 3"]);
    // Back again: what follows is told again.
    rig.subscribe(connections[1], room, 3);
    rig.event(room, 4);
    rig.flush();
    assert_eq!(rig.story(2), ["message 4"]);
    assert_eq!(rig.story(20), NOTHING);
}

#[test]
fn whoever_leaves_a_room_gets_the_ok_and_the_other_devices_the_event() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 1);
    let user = user_of(HERE, 5);
    let first = rig.sign_in(10, user);
    let second = rig.sign_in(11, user);
    rig.subscribe(first, room, 0);
    rig.subscribe(second, room, 0);
    rig.event_with(room, 1, Some(first), Some(user));
    rig.event(room, 2);
    rig.flush();
    assert_eq!(rig.story(10), ["ok 1"]);
    assert_eq!(rig.story(11), ["message 1"]);
    assert_eq!(rig.story(1), ["message 1", "message 2"]);
}

#[test]
fn a_removal_does_not_end_a_subscription_that_is_newer() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 2);
    rig.event_with(room, 1, None, Some(user_of(HERE, 2)));
    // Before the turn ends the user has joined (2) and subscribed again.
    rig.event(room, 2);
    rig.subscribe(connections[1], room, 2);
    rig.flush();
    rig.event(room, 3);
    rig.flush();
    assert_eq!(rig.story(2), ["message 3"]);
}

#[test]
fn a_slow_consumer_gets_one_resync_per_room_and_then_goes_on() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 2);
    rig.event(room, 1);
    rig.flush();
    rig.level(2, QueueLevel::High);
    for seq in 2..=9 {
        rig.event(room, seq);
        rig.flush();
    }
    rig.event(room, 10);
    assert_eq!(rig.story(2), ["message 1"]);
    rig.level(2, QueueLevel::Low);
    assert_eq!(rig.story(2), ["resync 2-10"]);
    rig.event(room, 11);
    rig.flush();
    assert_eq!(rig.story(2), ["message 11"]);
    assert_eq!(rig.story(1).len(), 11);
    rig.level(2, QueueLevel::High);
    rig.level(2, QueueLevel::Low);
    assert_eq!(rig.story(2), NOTHING, "nothing was missed");
}

#[test]
fn a_slow_consumer_still_gets_its_answers_after_an_explicit_resync() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 2);
    rig.level(2, QueueLevel::High);
    rig.event(room, 1);
    rig.event(room, 2);
    rig.event_with(room, 3, Some(connections[1]), None);
    rig.event(room, 4);
    rig.flush();
    assert_eq!(rig.story(2), ["resync 1-2", "ok 3"]);
    rig.level(2, QueueLevel::Low);
    assert_eq!(rig.story(2), ["resync 4-4"]);
}

#[test]
fn a_slow_consumer_that_is_removed_is_told_so() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 2);
    let user = user_of(HERE, 2);
    rig.level(2, QueueLevel::High);
    rig.event(room, 1);
    rig.flush();
    rig.event_with(room, 2, None, Some(user));
    rig.event(room, 3);
    // The queue falls before the removal was sent: it must not be part of the resync.
    rig.level(2, QueueLevel::Low);
    assert_eq!(rig.story(2), ["resync 1-1"]);
    rig.flush();
    assert_eq!(rig.story(2), ["message 2"]);

    let third = rig.sign_in(3, user_of(HERE, 3));
    rig.subscribe(third, room, 3);
    rig.level(3, QueueLevel::High);
    rig.event(room, 4);
    rig.flush();
    rig.event_with(room, 5, None, Some(user_of(HERE, 3)));
    rig.event(room, 6);
    rig.flush();
    rig.level(3, QueueLevel::Low);
    assert_eq!(rig.story(3), ["resync 4-4", "message 5"]);
}

#[test]
fn typing_reaches_others_in_order_and_is_shed_for_the_slow() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 3);
    let device = rig.sign_in(20, user_of(HERE, 1));
    rig.subscribe(device, room, 0);
    rig.level(3, QueueLevel::High);
    rig.event(room, 1);
    let typing = |user: UserId| Mail::Ephemeral { room, frame: frame(r#"{"ev":"typing"}"#), except: user };
    rig.mail(typing(user_of(HERE, 1)));
    rig.mail(typing(user_of(HERE, 1)));
    rig.event(room, 2);
    rig.flush();
    rig.flush();
    assert_eq!(rig.story(1), ["message 1", "message 2"]);
    assert_eq!(rig.story(20), ["message 1", "message 2"], "not told to the other device either");
    assert_eq!(rig.story(2), ["message 1", "typing", "typing", "message 2"]);
    assert_eq!(rig.engine.counters().shed, 2);
    rig.level(3, QueueLevel::Low);
    assert_eq!(rig.story(3), ["resync 1-2"]);
}

#[test]
fn a_list_that_grows_too_long_becomes_a_resync() {
    let mut rig = Rig::with(|limits| limits.commands_per_connection_per_second = 0);
    let (room, connections) = crowd(&mut rig, 2);
    for seq in 1..=600 {
        rig.event_with(room, seq, (seq == 560).then_some(connections[0]), None);
    }
    for _ in 0..100 {
        rig.mail(Mail::Ephemeral { room, frame: frame(r#"{"ev":"typing"}"#), except: UserId::NIL });
    }
    rig.flush();
    let expected = |own: &str| {
        let messages = (1..=512).map(|seq| format!("message {seq}"));
        let rest = ["resync 513-559", own, "resync 561-600"].map(str::to_owned);
        messages.chain(rest).collect::<Vec<_>>()
    };
    assert_eq!(rig.story(1), expected("ok 560"));
    assert_eq!(rig.story(2), expected("message 560"));
    assert_eq!(rig.engine.counters().shed, 100);
}

fn ask_page(rig: &mut Rig, to: ConnectionRef, room: RoomId) {
    rig.text(to.slot.0, &format!(r#"{{"id":7,"op":"history","room":"{room}"}}"#));
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Command { .. }))));
}

fn answer_page(rig: &mut Rig, to: ConnectionRef, room: RoomId) {
    let answer = frame(&format!(r#"{{"ev":"history","re":7,"room":"{room}","epoch":1,"events":[]}}"#));
    rig.mail(Mail::Reply { to, frame: answer, behind: None, late: false });
}

#[test]
fn an_answer_that_speaks_of_events_comes_after_them() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 2);
    let ok = |seq: u64| frame(&format!(r#"{{"ev":"ok","re":7,"room":"{room}","seq":{seq}}}"#));
    rig.mail(Mail::Skip { room, epoch: Epoch(1), to: Seq(4), removes: Vec::new(), ends: false });
    rig.mail(Mail::Reply { to: connections[0], frame: ok(3), behind: Some(room), late: false });
    assert_eq!(rig.story(1), ["resync 1-4", "ok 3"], "it does not wait for the flush");
    assert_eq!(rig.story(2), Vec::<String>::new());
    rig.flush();
    assert_eq!((rig.story(1), rig.story(2)), (vec![], vec!["resync 1-4".to_owned()]));
}

#[test]
fn a_page_comes_after_the_events_before_it() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 200);
    rig.event(room, 1);
    rig.event_with(room, 2, Some(connections[199]), None);
    // Some have been served, the last one not.
    rig.give(Input::Flush);
    rig.event(room, 3);
    for (slot, before) in [(1, "message 2"), (200, "ok 2")] {
        ask_page(&mut rig, connections[slot - 1], room);
        answer_page(&mut rig, connections[slot - 1], room);
        assert_eq!(rig.story(slot as u32), ["message 1", before, "message 3", "history"]);
    }
    let other = rig.sign_in(201, user_of(HERE, 201));
    ask_page(&mut rig, other, room);
    answer_page(&mut rig, other, room);
    assert_eq!(rig.story(201), ["history"]);
    rig.wait_millis(50);
    rig.flush();
    assert_eq!((rig.story(1), rig.story(200)), (Vec::new(), Vec::new()));
    assert_eq!(rig.story(100), ["message 1", "message 2", "message 3"]);
}

#[test]
fn a_page_after_too_many_events_comes_after_a_resync() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 3);
    let large = |seq| Mail::Event {
        room,
        epoch: Epoch(1),
        seq: Seq(seq),
        prev: Seq(seq - 1),
        frame: frame(&format!(r#"{{"ev":"message","seq":{seq},"text":"{}"}}"#, "x".repeat(20 << 10))),
        own: None,
        removes: Removes::Nobody,
    };
    (1..=4).for_each(|seq| rig.mail(large(seq)));
    rig.event_with(room, 5, Some(connections[0]), None);
    rig.event(room, 6);
    ask_page(&mut rig, connections[0], room);
    answer_page(&mut rig, connections[0], room);
    assert_eq!(rig.story(1), ["message 1", "message 2", "resync 3-4", "ok 5", "resync 6-6", "history"]);
    ask_page(&mut rig, connections[1], room);
    rig.level(2, QueueLevel::High);
    answer_page(&mut rig, connections[1], room);
    assert_eq!(rig.story(2), ["resync 1-6", "history"]);
    rig.level(2, QueueLevel::Low);
    rig.event(room, 7);
    rig.flush();
    assert_eq!((rig.story(1), rig.story(2)), (vec!["message 7".to_owned()], vec!["message 7".to_owned()]));
    assert_eq!(rig.story(3), (1..=7).map(|seq| format!("message {seq}")).collect::<Vec<_>>());
}

#[test]
fn a_page_comes_after_the_removal_before_it() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 2);
    rig.event(room, 1);
    rig.event_with(room, 2, None, Some(user_of(HERE, 1)));
    rig.event(room, 3);
    ask_page(&mut rig, connections[0], room);
    answer_page(&mut rig, connections[0], room);
    assert_eq!(rig.story(1), ["message 1", "message 2", "history"]);
    rig.flush();
    assert_eq!(rig.story(1), NOTHING);
    assert_eq!(rig.story(2), ["message 1", "message 2", "message 3"]);
}

#[test]
fn unsubscribe_stops_the_flow_and_loses_no_answer() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 2);
    rig.event(room, 1);
    rig.event_with(room, 2, Some(connections[0]), None);
    rig.text(1, &format!(r#"{{"id":9,"op":"unsubscribe","room":"{room}"}}"#));
    assert_eq!(rig.story(1), ["ok 2", "ok"]);
    rig.event(room, 3);
    rig.flush();
    assert_eq!(rig.story(1), NOTHING);
    assert_eq!(rig.story(2), ["message 1", "message 2", "message 3"]);
    assert!(rig.mail.is_empty(), "somebody is left");
    rig.give(Input::Closed { slot: Slot(2) });
    let ended = rig.mail.iter().find_map(|(to, mail)| match mail {
        Mail::Unsubscribed { room: ended, ends } if *ended == room => Some((*to, *ends)),
        _ => None,
    });
    assert_eq!(ended, Some((THERE, 2)));
}

#[test]
fn unsubscribe_overtakes_no_subscribe() {
    let mut rig = Rig::new();
    let room = room_of(THERE, 0);
    let connection = rig.sign_in(1, user_of(HERE, 1));
    let ask = |rig: &mut Rig, id: u64, op: &str| {
        rig.text(1, &format!(r#"{{"id":{id},"op":"{op}","room":"{room}"}}"#));
        rig.mail.clear();
    };
    let answer = |rig: &mut Rig, top: u64| {
        let frame = frame(r#"{"ev":"subscribed"}"#);
        rig.mail(Mail::Subscribed { to: connection, room, epoch: Epoch(1), top: Seq(top), frame });
    };
    ask(&mut rig, 2, "subscribe");
    ask(&mut rig, 3, "unsubscribe");
    assert_eq!(rig.story(1), NOTHING, "commands to one room keep their order");
    answer(&mut rig, 4);
    assert_eq!(rig.story(1), ["subscribed", "ok"]);
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Unsubscribed { ends: 1, .. }))));
    rig.event(room, 5);
    rig.flush();
    assert_eq!(rig.story(1), NOTHING);
    // One that was refused leaves nothing behind.
    ask(&mut rig, 4, "subscribe");
    ask(&mut rig, 5, "unsubscribe");
    let error = format!(r#"{{"ev":"error","re":4,"room":"{room}","code":"busy"}}"#);
    rig.mail(Mail::Reply { to: connection, frame: frame(&error), behind: None, late: false });
    assert_eq!(rig.story(1), ["error busy", "ok"]);
    // Two under way with an end between them: the second one counts.
    ask(&mut rig, 6, "subscribe");
    ask(&mut rig, 7, "unsubscribe");
    ask(&mut rig, 8, "subscribe");
    answer(&mut rig, 5);
    answer(&mut rig, 5);
    assert_eq!(rig.story(1), ["subscribed", "ok", "subscribed"]);
    rig.event(room, 6);
    rig.flush();
    assert_eq!(rig.story(1), ["message 6"]);
    // One more while it is subscribed: both end.
    ask(&mut rig, 9, "subscribe");
    ask(&mut rig, 10, "unsubscribe");
    rig.event(room, 7);
    rig.flush();
    assert_eq!(rig.story(1), NOTHING);
    answer(&mut rig, 7);
    rig.event(room, 8);
    rig.flush();
    assert_eq!(rig.story(1), ["subscribed", "ok"]);
}

#[test]
fn a_subscribed_for_a_connection_that_is_gone_is_ended() {
    let mut rig = Rig::new();
    let room = room_of(THERE, 0);
    let connection = rig.sign_in(1, user_of(HERE, 1));
    rig.give(Input::Closed { slot: Slot(1) });
    rig.mail.clear();
    let subscribed =
        Mail::Subscribed { to: connection, room, epoch: Epoch(1), top: Seq(4), frame: event_frame(1) };
    rig.mail(subscribed);
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Unsubscribed { ends: 1, .. }))));
}

#[test]
fn subscribing_again_moves_the_start() {
    let mut rig = Rig::new();
    let (room, connections) = crowd(&mut rig, 2);
    rig.event(room, 1);
    rig.event(room, 2);
    rig.subscribe(connections[0], room, 2);
    rig.event(room, 3);
    rig.flush();
    assert_eq!(rig.story(1), ["message 3"]);
    assert_eq!(rig.story(2), ["message 1", "message 2", "message 3"]);
}

#[test]
fn a_subscribed_that_comes_late_tells_what_was_missed() {
    let mut rig = Rig::new();
    let (room, _) = crowd(&mut rig, 1);
    for seq in 1..=4 {
        rig.event(room, seq);
        if seq < 4 {
            rig.flush();
        }
    }
    let late = rig.sign_in(2, user_of(HERE, 2));
    let answer = frame(r#"{"ev":"subscribed","re":2}"#);
    rig.mail(Mail::Subscribed { to: late, room, epoch: Epoch(1), top: Seq(1), frame: answer });
    rig.flush();
    assert_eq!(rig.story(2), ["subscribed", "resync 2-3", "message 4"]);
}

#[test]
fn the_engine_says_when_it_wants_to_be_called_and_is_done_then() {
    let mut rig = Rig::new();
    // With nothing to do it looks for messages that are too old, and for nothing else.
    assert_eq!(rig.engine.next_deadline(), Some(Nanos(60 * Nanos::SECOND)));
    rig.upgrade(1);
    let due = rig.engine.next_deadline().expect("the hello deadline");
    assert!(due.since(rig.now.mono) >= 10 * Nanos::SECOND);
    assert!(due.since(rig.now.mono) <= 10 * Nanos::SECOND + 100 * Nanos::MILLISECOND);
}

#[test]
fn a_deleted_room_ends_every_subscription_with_its_last_event() {
    let mut rig = Rig::new();
    let (room, _connections) = crowd(&mut rig, 3);
    let deleted = |rig: &mut Rig, seq: u64| {
        rig.mail(Mail::Event {
            room,
            epoch: Epoch(1),
            seq: Seq(seq),
            prev: Seq(seq - 1),
            frame: event_frame(seq),
            own: None,
            removes: Removes::Everybody,
        });
    };
    rig.event(room, 1);
    rig.level(2, QueueLevel::High);
    rig.event(room, 2);
    deleted(&mut rig, 3);
    rig.flush();
    assert_eq!(rig.story(1), ["message 1", "message 2", "message 3"]);
    assert_eq!(rig.story(2), ["resync 1-2", "message 3"], "also whoever is slow is told the end");
    let ended = |(to, mail): &(_, Mail)| *to == THERE && matches!(mail, Mail::Unsubscribed { ends: 3, .. });
    assert!(rig.mail.iter().any(ended), "the owner hears that nobody listens");
    rig.event(room, 4);
    rig.flush();
    assert_eq!((rig.story(1), rig.story(3).len()), (vec![], 3));
}

#[test]
fn the_end_of_a_room_that_was_left_out_ends_every_subscription_too() {
    let mut rig = Rig::new();
    let (room, _connections) = crowd(&mut rig, 2);
    rig.mail(Mail::Skip { room, epoch: Epoch(1), to: Seq(9), removes: Vec::new(), ends: true });
    rig.flush();
    assert_eq!((rig.story(1), rig.story(2)), (vec!["resync 1-9".to_owned()], vec!["resync 1-9".to_owned()]));
    rig.event(room, 10);
    rig.flush();
    assert_eq!(rig.story(1), NOTHING);
}
