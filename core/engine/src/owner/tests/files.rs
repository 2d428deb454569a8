//! The look at files: what becomes of those whose message is deleted, or never came.

use super::attach::{id, put, send_files};
use super::*;
use lynk_domain::RoomKind::Public;

const DAY: u64 = 24 * 60 * 60 * 1_000;
const SWEEP: u64 = 1_000;

fn sweeping() -> World {
    World::new(Limits { retention_sweep_millis: SWEEP, ..Limits::default() })
}

/// Files are looked at, more than once.
fn look(w: &mut World) {
    for _ in 0..6 {
        w.wait(SWEEP);
        w.settle();
    }
}

fn say(w: &mut World, room: RoomId, i: u8) -> u64 {
    put(w, room, 1, i, true);
    let command = send_files(w, room, Some("text"), &[i]);
    w.run(1, command)["seq"].as_u64().expect("a seq")
}

#[test]
fn where_a_message_with_files_is_is_noted_when_its_record_is_committed() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let seq = say(&mut w, room, 1);
    w.settle();
    assert_eq!(w.files.seq(id(1)), Some(Seq(seq)));
}

#[test]
fn what_was_not_noted_is_found_by_the_look_by_its_key_and_after_that_by_what_was_said() {
    let mut w = sweeping();
    let room = w.room(Public, &[2]);
    w.files.set_away(true);
    let (first, second) = (say(&mut w, room, 1), say(&mut w, room, 2));
    w.settle();
    assert_eq!(w.files.seq(id(1)), None, "nobody took it");
    look(&mut w);
    w.files.set_away(false);
    look(&mut w);
    assert_eq!(w.files.seq(id(1)), None, "the message is not in the log yet");
    w.drain();
    look(&mut w);
    assert_eq!((w.files.seq(id(1)), w.files.seq(id(2))), (Some(Seq(first)), Some(Seq(second))));

    w.files.set_away(true);
    let third = say(&mut w, room, 3);
    w.settle();
    w.drain();
    w.files.set_away(false);
    w.messages.forget_keys();
    look(&mut w);
    assert_eq!(w.files.seq(id(3)), None, "another message may come with its key");
    w.wait(9 * DAY);
    look(&mut w);
    assert_eq!(w.files.seq(id(3)), Some(Seq(third)));
    assert!([1, 2, 3].into_iter().all(|i| w.files.holds(id(i))), "their messages stand");
}

#[test]
fn files_of_deleted_messages_end_after_a_crash_and_also_when_nothing_could_be_noted() {
    let mut w = sweeping();
    let room = w.room(Public, &[2]);
    let noted = say(&mut w, room, 1);
    let not_noted = say(&mut w, room, 2);
    say(&mut w, room, 3);
    w.settle();
    for seq in [noted, not_noted] {
        w.files.set_away(seq == not_noted);
        let delete = w.keyed("delete", room, json!({"seq": seq}));
        assert_eq!(w.run(1, delete)["ev"], "ok");
    }
    // The process ends before they are given back.
    w.crash();
    w.files.set_away(false);
    assert_eq!((w.files.leaves(id(1)), w.files.leaves(id(2))), (Some(Seq(noted)), None));
    w.drain_old();
    look(&mut w);
    assert_eq!([1, 2, 3].map(|i| w.files.holds(id(i))), [false, false, true]);
}

#[test]
fn a_file_whose_send_was_refused_ends_once_its_key_is_too_old() {
    let mut w = sweeping();
    let room = w.room(Public, &[2]);
    let answered = w.send(1, room, "a question")["seq"].as_u64().expect("a seq");
    say(&mut w, room, 1);
    put(&w, room, 2, 2, true);
    w.store = Store::Silent;
    let mut send = send_files(&mut w, room, Some("an answer"), &[2]);
    send["reply_to"] = answered.into();
    let sent = w.post(2, send);
    w.settle();
    let delete = w.keyed("delete", room, json!({"seq": answered}));
    assert_eq!(w.run(1, delete)["ev"], "ok");
    w.store = Store::Up;
    w.settle();
    assert_eq!(w.answer(2, sent).expect("an answer")["code"], "busy", "what it answers has changed");
    w.drain();
    look(&mut w);
    let other = send_files(&mut w, room, None, &[2]);
    assert_eq!(w.run(2, other)["code"], "attachment_not_found", "a retry may still come");
    w.wait(7 * DAY);
    look(&mut w);
    assert!(w.files.holds(id(2)));
    w.wait(2 * DAY);
    look(&mut w);
    assert!(!w.files.holds(id(2)), "no message can have it any more");
    assert!(w.files.holds(id(1)), "the message of the other stands");
}
