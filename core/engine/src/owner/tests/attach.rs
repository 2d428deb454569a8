use super::*;
use lynk_domain::MediaId;
use lynk_domain::RoomKind::Public;
use lynk_model::Attachment;

pub(super) fn id(i: u8) -> MediaId {
    MediaId([i; 16])
}

pub(super) fn put(w: &World, room: RoomId, owner: u8, i: u8, ready: bool) {
    let file = Attachment {
        id: id(i),
        name: format!("picture {i}.png"),
        kind: "image/png".to_owned(),
        bytes: 1_000 + u64::from(i),
        width: 640,
        height: 0,
    };
    w.files.put(room, user(owner), file, ready);
}

pub(super) fn send_files(w: &mut World, room: RoomId, text: Option<&str>, files: &[u8]) -> Value {
    let files: Vec<String> = files.iter().map(|i| id(*i).to_string()).collect();
    let mut fields = json!({"attachments": files});
    if let Some(text) = text {
        fields["text"] = text.into();
    }
    w.keyed("send", room, fields)
}

fn shown(i: u8) -> Value {
    let bytes = 1_000 + u64::from(i);
    json!({"id": id(i).to_string(), "name": format!("picture {i}.png"), "type": "image/png", "bytes": bytes, "width": 640})
}

fn messages(w: &mut World, room: RoomId) -> Vec<Value> {
    let page = w.history(2, room, json!({}));
    page["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["ev"] == "message")
        .cloned()
        .collect()
}

#[test]
fn files_are_shown_in_their_order_from_memory_and_from_the_store() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    (1..=3).for_each(|i| put(&w, room, 1, i, true));
    let both = send_files(&mut w, room, Some("two"), &[2, 1]);
    assert_eq!(w.run(1, both.clone())["ev"], "ok");
    let alone = send_files(&mut w, room, None, &[3]);
    assert_eq!(w.run(1, alone)["ev"], "ok");
    let check = |w: &mut World, when: &str| {
        let list = messages(w, room);
        let of = |text: &str| list.iter().find(|one| one["text"] == text).expect(when).clone();
        assert_eq!(of("two")["attachments"], json!([shown(2), shown(1)]), "{when}");
        assert_eq!(of("")["attachments"], json!([shown(3)]), "{when}");
    };
    check(&mut w, "from memory");
    w.drain();
    assert!(w.evict(room));
    check(&mut w, "from the store");
    // A retry of long ago finds what its files were.
    let again = w.run(1, both.clone());
    assert_eq!(again["ev"], "ok", "{again}");
    let mut other = both;
    other["attachments"] = json!([id(1).to_string(), id(2).to_string()]);
    assert_eq!(w.run(1, other)["code"], "idempotency_conflict", "another order says something else");
    assert_eq!(messages(&mut w, room).len(), 2);
}

#[test]
fn what_cannot_be_attached_is_refused_and_leaves_nothing() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let elsewhere = w.room(Public, &[2]);
    put(&w, room, 1, 1, true);
    put(&w, room, 1, 2, false);
    put(&w, room, 2, 3, true);
    put(&w, elsewhere, 1, 4, true);
    for (files, code) in [
        (&[2][..], "attachment_not_ready"),
        (&[1, 2], "attachment_not_ready"),
        (&[3], "attachment_not_found"),
        (&[4], "attachment_not_found"),
        (&[9], "attachment_not_found"),
    ] {
        let command = send_files(&mut w, room, None, files);
        assert_eq!(w.run(1, command)["code"], code, "{files:?}");
    }
    assert!(messages(&mut w, room).is_empty());
    let first = send_files(&mut w, room, None, &[1]);
    assert_eq!(w.run(1, first)["ev"], "ok", "refusals attached nothing");
    let second = send_files(&mut w, room, None, &[1]);
    assert_eq!(w.run(1, second)["code"], "attachment_not_found", "it is in another message");
    w.store = Store::Away;
    put(&w, room, 1, 5, true);
    let away = send_files(&mut w, room, None, &[5]);
    assert_eq!(w.run(1, away.clone())["code"], "unavailable");
    w.store = Store::Unsure;
    assert_eq!(w.run(1, away.clone())["ev"], "error");
    w.store = Store::Up;
    assert_eq!(w.run(1, away)["ev"], "ok", "the same key gets the same files");
}

#[test]
fn what_follows_a_message_with_files_stays_behind_it() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    put(&w, room, 1, 1, true);
    w.settle();
    w.store = Store::Silent;
    let first = send_files(&mut w, room, Some("first"), &[1]);
    let second = w.send_command(room, "second");
    let first = w.post(1, first);
    let second = w.post(1, second);
    w.settle();
    assert!(w.answer(1, first).is_none() && w.answer(1, second).is_none());
    assert_eq!(w.send(2, room, "of another")["ev"], "ok", "others do not wait");
    w.store = Store::Up;
    w.settle();
    let seq = |w: &World, re| w.answer(1, re).expect("an answer")["seq"].as_u64().expect("a seq");
    assert!(seq(&w, first) < seq(&w, second));
}

#[test]
fn an_edit_keeps_files_and_a_delete_gives_them_back() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    put(&w, room, 1, 1, true);
    put(&w, room, 1, 2, true);
    let mut sent = Vec::new();
    for i in [1, 2] {
        let command = send_files(&mut w, room, Some("text"), &[i]);
        sent.push(w.run(1, command)["seq"].as_u64().expect("a seq"));
    }
    // The first is changed in the window, the second when only the store has it.
    for (i, seq) in [(1, sent[0]), (2, sent[1])] {
        if i == 2 {
            w.drain();
            assert!(w.evict(room));
        }
        let edit = w.keyed("edit", room, json!({"seq": seq, "text": ""}));
        assert_eq!(w.run(1, edit.clone())["ev"], "ok");
        assert_eq!(w.run(1, edit)["ev"], "ok", "a retry");
        let message = messages(&mut w, room).into_iter().find(|one| one["seq"] == seq).expect("there");
        assert_eq!((&message["text"], &message["attachments"]), (&json!(""), &json!([shown(i)])));
        assert!(w.files.holds(id(i)));
    }
    let plain = w.send(1, room, "no files")["seq"].as_u64().expect("a seq");
    let emptied = w.keyed("edit", room, json!({"seq": plain, "text": ""}));
    assert_eq!(w.run(1, emptied)["code"], "invalid_field");
    w.store = Store::RoomsAway;
    for (i, seq) in [(1, sent[0]), (2, sent[1])] {
        let delete = w.keyed("delete", room, json!({"seq": seq}));
        assert_eq!(w.run(1, delete)["ev"], "ok", "{i}: it is in the window");
    }
    for _ in 0..3 {
        w.wait(1_100);
        w.settle();
    }
    assert!(w.files.holds(id(1)) && w.files.holds(id(2)), "nobody took them");
    w.store = Store::Up;
    for _ in 0..3 {
        w.wait(1_100);
        w.settle();
    }
    assert!(!w.files.holds(id(1)) && !w.files.holds(id(2)), "it was tried again");
    assert!(messages(&mut w, room).iter().all(|one| one.get("attachments").is_none()));
}

#[test]
fn before_a_message_is_deleted_it_is_noted_that_its_files_leave() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let mut sent = Vec::new();
    for i in [1, 2] {
        put(&w, room, 1, i, true);
        let command = send_files(&mut w, room, Some("text"), &[i]);
        sent.push(w.run(1, command)["seq"].as_u64().expect("a seq"));
    }
    w.store = Store::Silent;
    let delete = w.keyed("delete", room, json!({"seq": sent[0]}));
    let delete = w.post(1, delete);
    w.settle();
    assert!(w.answer(1, delete).is_none(), "nothing is deleted before it is noted");
    w.store = Store::Up;
    w.settle();
    assert_eq!(w.answer(1, delete).expect("an answer")["ev"], "ok");
    assert_eq!((w.files.leaves(id(1)), w.files.leaves(id(2))), (Some(Seq(sent[0])), None));
    // The process ends before they are given back: whoever keeps them knows what they left with.
    w.crash();
    assert!(w.files.holds(id(1)));
    assert_eq!(w.files.leaves(id(1)), Some(Seq(sent[0])));
}

#[test]
fn a_deleted_room_ends_its_files_also_when_nobody_takes_them_and_after_a_crash() {
    let mut w = World::new(Limits { retention_sweep_millis: 1_000, ..Limits::default() });
    let mut number = 0;
    let mut made = |w: &mut World| {
        // Those of this shard: others are looked after by others.
        let room = loop {
            let room = w.room(Public, &[2]);
            if lynk_domain::shard_of_room(room, w.config.shard_count) == w.config.shard {
                break room;
            }
        };
        number += 2;
        let (said, unused) = (number, number + 1);
        put(w, room, 1, said, true);
        put(w, room, 2, unused, true);
        let command = send_files(w, room, Some("text"), &[said]);
        assert_eq!(w.run(1, command)["ev"], "ok");
        (room, said, unused)
    };
    let there =
        |w: &World, (_, said, unused): (RoomId, u8, u8)| (w.files.holds(id(said)), w.files.holds(id(unused)));
    let waiting = |w: &World, room| {
        ready(lynk_model::port::RoomStore::load(&w.rooms, room)).expect("readable").outbox.len()
    };
    let delete = |w: &mut World, room| {
        let command = w.keyed("delete_room", room, json!({}));
        assert_eq!(w.run(1, command)["ev"], "ok");
    };
    let pass = |w: &mut World| {
        for _ in 0..4 {
            w.wait(1_100);
            w.settle();
        }
    };
    let other = made(&mut w);
    let at_once = made(&mut w);
    delete(&mut w, at_once.0);
    assert_eq!((there(&w, at_once), waiting(&w, at_once.0)), ((false, false), 0));

    let late = made(&mut w);
    w.files.set_away(true);
    delete(&mut w, late.0);
    pass(&mut w);
    assert_eq!(
        (there(&w, late), waiting(&w, late.0)),
        ((true, true), 1),
        "what has to be done is not forgotten"
    );
    w.files.set_away(false);
    pass(&mut w);
    assert_eq!((there(&w, late), waiting(&w, late.0)), ((false, false), 0), "it was tried again");

    let crashed = made(&mut w);
    w.files.set_away(true);
    delete(&mut w, crashed.0);
    w.crash();
    w.drain_old();
    w.files.set_away(false);
    pass(&mut w);
    assert_eq!(there(&w, crashed), (false, false), "nobody asked for the room, and it was found");
    assert!(w.loaded(crashed.0).is_none(), "it is not loaded for it");
    assert_eq!(there(&w, other), (true, true), "other rooms keep theirs");
}
