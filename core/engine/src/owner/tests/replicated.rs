use super::*;
use lynk_domain::RoomKind::Public;

/// A room of level `replicated` of users 1 to 3, and user 2's `send` in it, which is committed.
fn sent(w: &mut World) -> (RoomId, Value, u64) {
    let room = w.room(Public, &[2, 3]);
    let level = w.keyed("settings", room, json!({"level": "replicated"}));
    assert_eq!(w.run(1, level)["ev"], "ok");
    w.subscribe(3, room, None);
    w.take_out();
    let send = w.send_command(room, "kept twice");
    let re = w.post(2, send.clone());
    w.settle();
    (room, send, re)
}

/// Whether user 3's shard was sent the text.
fn shown(w: &World) -> bool {
    w.out.iter().any(|(_, mail)| match mail {
        Mail::Event { frame, .. } => value(frame)["text"] == "kept twice",
        _ => false,
    })
}

#[test]
fn others_see_it_at_once_and_the_sender_hears_of_the_store() {
    let mut w = World::new(Limits::default());
    let (_, _, re) = sent(&mut w);
    assert!(shown(&w));
    assert_eq!(w.answer(2, re), None, "the message store does not have it");
    let parked = w.out.iter().filter(|(_, mail)| matches!(mail, Mail::Parked { .. })).count();
    assert_eq!(parked, 1, "others may ask meanwhile");
    w.wait(9_000);
    w.drain();
    let ok = w.answer(2, re).expect("answered");
    assert_eq!((&ok["ev"], &ok["level"]), (&"ok".into(), &"replicated".into()), "{ok}");
    assert_eq!(w.shared.counters.replications.count(), 1);
    w.wait(9_000);
    assert!(w.answer(2, re).is_some(), "once");
}

#[test]
fn a_store_that_does_not_confirm_is_told_and_a_retry_waits_on() {
    let mut w = World::new(Limits::default());
    let (room, send, first) = sent(&mut w);
    w.wait(9_999);
    let second = w.post(2, send.clone());
    w.settle();
    w.wait(1);
    let late = w.answer(2, first).expect("its time is over");
    assert_eq!((&late["code"], &late["retryable"]), (&"unknown".into(), &true.into()), "{late}");
    assert_eq!(w.answer(2, second), None, "the retry has its own time");
    w.drain();
    let ok = w.answer(2, second).expect("answered");
    assert_eq!((&ok["ev"], &ok["n"]), (&"ok".into(), &1.into()), "{ok}");
    let third = w.run(2, send);
    assert_eq!(third["seq"], ok["seq"], "what is stored is answered at once");
    let page = w.history(3, room, json!({}));
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "one message: {page}");
}

#[test]
fn after_a_crash_a_retry_waits_for_the_same_record() {
    let mut w = World::new(Limits::default());
    let (_, send, _) = sent(&mut w);
    w.crash();
    w.take_out();
    let again = w.post(2, send);
    w.settle();
    assert_eq!(w.answer(2, again), None);
    w.drain_old();
    assert_eq!(w.answer(2, again).expect("answered")["level"], "replicated");
}

#[test]
fn changes_of_messages_wait_too_and_a_name_does_not() {
    let mut w = World::new(Limits::default());
    let (room, _, re) = sent(&mut w);
    w.drain();
    let target = w.answer(2, re).expect("answered")["seq"].clone();
    let edit = w.keyed("edit", room, json!({"seq": target, "text": "changed"}));
    let edited = w.post(2, edit);
    w.settle();
    assert_eq!(w.answer(2, edited), None);
    let name = w.keyed("settings", room, json!({"name": "another"}));
    assert_eq!(w.run(1, name)["ev"], "ok");
    w.drain();
    assert_eq!(w.answer(2, edited).expect("answered")["level"], "replicated");
}

#[test]
fn level_replicated_needs_an_outside_message_store() {
    let mut w = World::new(Limits::default());
    let (room, ..) = sent(&mut w);
    w.shared.config.replicates = false;
    let command = w.keyed("settings", room, json!({"level": "replicated"}));
    assert_eq!(w.code(1, command), "forbidden");
    let name = w.keyed("settings", room, json!({"name": "kept"}));
    assert_eq!(w.run(1, name)["ev"], "ok", "a room that has it keeps it");
}

#[test]
fn as_many_wait_as_records_may_be_undrained() {
    let mut w = World::new(Limits { undrained_records_per_shard_max: 20, ..Limits::default() });
    let (room, send, _) = sent(&mut w);
    let mut refused = 0;
    for _ in 0..20 {
        let re = w.post(2, send.clone());
        w.settle();
        refused += usize::from(w.answer(2, re).is_some_and(|answer| answer["code"] == "busy"));
    }
    assert_eq!(refused, 1, "one waited before");
    let other = w.send_command(room, "one more");
    let re = w.post(3, other);
    w.settle();
    assert!(w.answer(3, re).is_some_and(|answer| answer["retryable"] == true));
    w.wait(10_001);
    let page = w.history(3, room, json!({}));
    assert_eq!(
        page["events"].as_array().map(Vec::len),
        Some(1),
        "nothing was made that nobody hears of: {page}"
    );
}
