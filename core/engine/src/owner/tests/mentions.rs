use super::*;
use lynk_domain::RoomKind::Public;

fn small_window() -> Limits {
    Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() }
}

fn ids(users: &[u8]) -> Value {
    users.iter().map(|i| user(*i).to_string()).collect::<Vec<_>>().into()
}

impl World {
    fn mention(&mut self, i: u8, room: RoomId, users: &[u8]) -> u64 {
        let command = self.keyed("send", room, json!({"text": "you", "mentions": ids(users)}));
        let answer = self.run(i, command);
        answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
    }

    fn edit_mentions(&mut self, i: u8, room: RoomId, seq: u64, users: &[u8]) -> Value {
        let command = self.keyed("edit", room, json!({"seq": seq, "text": "now", "mentions": ids(users)}));
        self.run(i, command)
    }

    /// What `sync` would tell.
    fn peeked(&mut self, i: u8, room: RoomId) -> Option<u32> {
        self.take_out();
        self.with(|owner, cx| {
            owner.mail(cx, ShardId(0), Mail::Peek { gather: 1, from: ShardId(0), room, user: user(i) });
        });
        self.settle();
        let numbers = self.out.iter().find_map(|(_, mail)| match mail {
            Mail::Peeked { numbers, .. } => Some(*numbers),
            _ => None,
        });
        numbers.expect("an answer").expect("a member").mentions
    }

    fn block(&mut self, i: u8, other: u8, on: bool) {
        let op = if on { "block" } else { "unblock" };
        let key = self.key();
        let answer = self.run(i, json!({"op": op, "user": user(other).to_string(), "key": key}));
        assert_eq!(answer["ev"], "ok", "{answer}");
        // The mail reaches this shard, too.
        let told: Vec<ShardId> = self
            .out
            .iter()
            .filter(|(_, mail)| matches!(mail, Mail::BlockChanged { .. }))
            .map(|(to, _)| *to)
            .collect();
        assert_eq!(told, (0..4).map(ShardId).collect::<Vec<_>>(), "every shard is told");
        self.owner.blocks_changed();
        self.take_out();
    }
}

#[test]
fn a_message_says_whom_it_mentions_and_an_edit_replaces_them() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    let seq = w.mention(2, room, &[3, 1, 3]);
    let shown = |w: &mut World| w.history(1, room, json!({"all": true}))["events"].clone();
    for drained in [false, true] {
        if drained {
            w.drain();
            w.crash();
        }
        let newest = shown(&mut w)[0].clone();
        assert_eq!(newest["mentions"], ids(&[1, 3]), "each once, in their order: {newest}");
        assert_eq!(newest["mention_all"], Value::Null);
    }
    assert_eq!(w.edit_mentions(2, room, seq, &[1])["ev"], "ok");
    for drained in [false, true] {
        if drained {
            w.drain();
            w.crash();
        }
        let events = shown(&mut w);
        assert_eq!((events[0]["ev"].as_str(), &events[0]["mentions"]), (Some("edit"), &ids(&[1])));
        assert_eq!((events[1]["edited"].as_u64(), &events[1]["mentions"]), (Some(seq + 1), &ids(&[1])));
    }
    let plain = w.keyed("edit", room, json!({"seq": seq, "text": "nobody"}));
    w.run(2, plain);
    let events = shown(&mut w);
    assert!(events[0]["mentions"].is_null() && events[2]["mentions"].is_null(), "{events}");
}

#[test]
fn who_may_not_be_mentioned_is_refused_and_a_retry_must_mention_the_same() {
    let mut w = World::new(Limits { mentions_per_message_max: 2, ..Limits::default() });
    let room = w.room(Public, &[2, 3]);
    let refused = |w: &mut World, i: u8, fields: Value| {
        let command = w.keyed("send", room, fields);
        let answer = w.run(i, command);
        (answer["code"].clone(), answer["message"].as_str().unwrap_or_default().to_owned())
    };
    let (code, message) = refused(&mut w, 2, json!({"text": "x", "mentions": ids(&[3, 9])}));
    assert_eq!(code, "invalid_field");
    assert!(message.contains(&user(9).to_string()), "{message}");
    assert_eq!(refused(&mut w, 2, json!({"text": "x", "mentions": ids(&[1, 2, 3])})).0, "too_large");
    assert_eq!(refused(&mut w, 2, json!({"text": "x", "mention_all": true})).0, "forbidden");
    assert_eq!(refused(&mut w, 1, json!({"text": "x", "mention_all": true})).0, Value::Null, "the owner may");

    let command = w.keyed("send", room, json!({"text": "x", "mentions": ids(&[3])}));
    let first = w.run(2, command.clone());
    assert_eq!(w.run(2, command.clone())["seq"], first["seq"]);
    let mut other = command.clone();
    other["mentions"] = ids(&[1]);
    assert_eq!(w.code(2, other.clone()), "idempotency_conflict");
    w.drain();
    w.crash();
    assert_eq!(w.run(2, command)["seq"], first["seq"]);
    assert_eq!(w.code(2, other), "idempotency_conflict");

    // Whom a message mentions already may stay in an edit, also after leaving.
    let leave = w.keyed("leave", room, json!({}));
    w.run(3, leave);
    let seq = first["seq"].as_u64().expect("a seq");
    assert_eq!(w.edit_mentions(2, room, seq, &[3, 1])["ev"], "ok");
    assert_eq!(w.edit_mentions(2, room, seq, &[9])["code"], "invalid_field");
}

#[test]
fn unread_mentions_are_counted_from_window_and_store_as_messages_stand() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2, 3]);
    let joined = w.loaded(room).expect("loaded").top.0;
    assert_eq!(w.peeked(3, room), Some(0));
    let first = w.mention(2, room, &[3]);
    let second = w.mention(1, room, &[3, 2]);
    w.mention(3, room, &[3]);
    assert_eq!((w.peeked(3, room), w.peeked(2, room), w.peeked(1, room)), (Some(2), Some(1), Some(0)));
    for i in 0..6 {
        w.send(1 + i % 2, room, "talk");
        if i == 3 {
            w.drain();
        }
    }
    assert!(w.loaded(room).expect("loaded").window.start().0 > second, "they left the window");
    assert_eq!((w.peeked(3, room), w.peeked(2, room)), (Some(2), Some(1)));
    let everybody = w.keyed("send", room, json!({"text": "all", "mention_all": true}));
    w.run(1, everybody);
    assert_eq!((w.peeked(3, room), w.peeked(2, room), w.peeked(1, room)), (Some(3), Some(2), Some(0)));

    w.edit_mentions(2, room, first, &[1]);
    assert_eq!((w.peeked(3, room), w.peeked(1, room)), (Some(2), Some(1)));
    let delete = w.keyed("delete", room, json!({"seq": second}));
    w.run(1, delete);
    assert_eq!((w.peeked(3, room), w.peeked(2, room)), (Some(1), Some(1)));
    w.drain();
    w.crash();
    assert_eq!((w.peeked(3, room), w.peeked(2, room), w.peeked(1, room)), (Some(1), Some(1), Some(1)));

    let subscribed = w.subscribe(3, room, None);
    assert_eq!(subscribed["mentions"], 1, "it is counted by now: {subscribed}");
    let read = |w: &mut World, i: u8, seq: u64| {
        w.run(i, json!({"op": "read", "room": room.to_string(), "seq": seq}))
    };
    let top = w.loaded(room).expect("loaded").top.0;
    assert_eq!(read(&mut w, 3, top)["mentions"], 0);
    let marked = w.run(3, json!({"op": "mark_unread", "room": room.to_string(), "seq": joined + 1}));
    assert_eq!((&marked["mentions"], marked["unread"].as_u64()), (&json!(1), Some(8)));
}

#[test]
fn mentions_across_a_block_do_not_count_and_nothing_is_told_while_that_is_not_known() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.mention(2, room, &[3]);
    w.mention(1, room, &[3]);
    assert_eq!(w.peeked(3, room), Some(2));
    w.block(3, 2, true);
    assert_eq!(w.peeked(3, room), Some(1));
    w.block(3, 2, false);
    w.block(1, 3, true);
    assert_eq!(w.peeked(3, room), Some(1), "whoever blocks");
    w.store = Store::RoomsAway;
    assert_eq!(w.peeked(3, room), Some(1), "it was counted");
    w.mention(2, room, &[3]);
    assert_eq!((w.peeked(3, room), w.peeked(2, room)), (None, Some(0)));
    w.store = Store::Up;
    assert_eq!(w.peeked(3, room), Some(2));
}

#[test]
fn a_hundred_mentions_stand_for_more() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2, 3]);
    for _ in 0..130 {
        w.mention(2, room, &[3]);
        w.now.mono = w.now.mono.after(Nanos::SECOND);
    }
    assert_eq!(w.peeked(3, room), Some(100));
    w.drain();
    assert_eq!(w.peeked(3, room), Some(100));
}

#[test]
fn messages_without_mentions_ask_the_store_nothing() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2, 3]);
    for _ in 0..20 {
        w.send(2, room, "talk");
    }
    assert_eq!(w.peeked(3, room), Some(0), "the store counted once, when the window did not reach any more");
    w.store = Store::Silent;
    for _ in 0..20 {
        w.send(2, room, "talk");
    }
    assert_eq!(w.peeked(3, room), Some(0), "and not again");
    assert!(w.requests.is_empty());
}
