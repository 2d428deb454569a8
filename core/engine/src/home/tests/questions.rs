use lynk_domain::{Epoch, MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId};
use lynk_model::{Membership, Personal, RoomWish, StoreError, StoreReply, StoreRequest, Wish};

use crate::rig::{HERE, Rig, THERE, room_of, user_of};
use crate::{Input, Mail, RoomNumbers};

fn membership(room: RoomId, peer: UserId) -> Membership {
    let kind = if peer.is_nil() { RoomKind::Public } else { RoomKind::Direct };
    let (name, personal) = ("n".to_owned(), Personal::default());
    Membership { room, kind, name, avatar: MediaId::NIL, role: Role::Member, peer, personal, request: None }
}

#[test]
fn sync_lists_rooms_with_the_numbers_of_their_owners() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    rig.text(1, r#"{"id":5,"op":"sync","limit":2}"#);
    let rooms = [room_of(THERE, 0), room_of(THERE, 1)];
    match &rig.requests[0].1 {
        StoreRequest::Memberships { user: asked, after, limit: 2 } => {
            assert_eq!((*asked, *after), (user, RoomId::NIL));
        }
        other => panic!("{other:?}"),
    }
    let peer = user_of(THERE, 9);
    let wish = RoomWish { muted_until: Millis(5), wish: Wish::Mentions };
    let personal = Personal { wish, cleared: Seq(11), cleared_n: Ordinal(9) };
    let (one, two) = (membership(rooms[0], UserId::NIL), membership(rooms[1], peer));
    rig.reply(StoreReply::Memberships(vec![Membership { personal, ..one }, two]));
    assert_eq!(rig.story(1), Vec::<String>::new());
    let numbers = RoomNumbers {
        epoch: Epoch(1),
        top: Seq(12),
        top_n: Ordinal(9),
        read: Seq(10),
        unread: 2,
        mentions: Some(1),
        active: Millis(0),
    };
    for (_, mail) in std::mem::take(&mut rig.mail) {
        let Mail::Peek { gather, room, user: whose, .. } = mail else { panic!("{mail:?}") };
        assert_eq!(whose, user);
        let numbers = (room == rooms[0]).then_some(numbers);
        rig.mail(Mail::Peeked { gather, room, numbers });
    }
    let answer = rig.take_sent(1).remove(0);
    let expected = serde_json::json!({
        "ev": "sync", "re": 5,
        "rooms": [
            {"room": rooms[0].to_string(), "kind": "public", "name": "n", "role": "member",
             "epoch": 1, "top": 12, "read": 10, "unread": 2, "mentions": 1, "active": "1970-01-01T00:00:00.000Z",
             "hidden": true, "cleared": 11, "muted_until": 5, "mentions_only": true},
            {"room": rooms[1].to_string(), "kind": "direct", "name": "n", "role": "member",
             "peer": peer.to_string()},
        ],
        "next": rooms[1].to_string(),
    });
    assert_eq!(answer, expected);
}

#[test]
fn sync_does_not_wait_for_a_late_owner_and_says_when_the_store_is_away() {
    let mut rig = Rig::new();
    rig.sign_in(1, user_of(HERE, 0));
    rig.text(1, r#"{"id":5,"op":"sync"}"#);
    rig.reply(StoreReply::Memberships(vec![membership(room_of(THERE, 0), UserId::NIL)]));
    rig.wait_millis(5_000);
    let answer = rig.take_sent(1).remove(0);
    assert_eq!(answer["rooms"][0].get("top"), None);
    assert_eq!(answer.get("next"), None);

    rig.text(1, r#"{"id":6,"op":"sync"}"#);
    rig.reply(StoreReply::Failed(StoreError::Unavailable));
    assert_eq!(rig.story(1), ["error unavailable"]);
    rig.text(1, r#"{"id":7,"op":"sync"}"#);
    rig.wait_millis(5_000);
    assert_eq!(rig.story(1), ["error unavailable"]);
    rig.reply(StoreReply::Memberships(Vec::new()));
    assert_eq!(rig.story(1), Vec::<String>::new(), "one answer per command");
}

#[test]
fn find_tells_the_room_of_a_name() {
    let mut rig = Rig::with(|limits| limits.room_name_chars_max = 5);
    rig.sign_in(1, user_of(HERE, 0));
    let room = room_of(THERE, 0);
    for (found, id) in [(Some(room), 5), (None, 6)] {
        rig.text(1, &format!(r#"{{"id":{id},"op":"find","name":"Häll"}}"#));
        assert!(matches!(&rig.requests[0].1, StoreRequest::FindName { name } if name == "Häll"));
        rig.reply(StoreReply::Named(found));
    }
    let told = rig.take_sent(1);
    assert_eq!((&told[0]["ev"], &told[0]["room"]), (&"ok".into(), &room.to_string().into()));
    assert_eq!((&told[1]["code"], &told[1]["re"]), (&"room_not_found".into(), &6.into()));
    rig.text(1, r#"{"id":7,"op":"find","name":"longer"}"#);
    assert_eq!(rig.story(1), ["error too_large"]);
}

#[test]
fn questions_under_way_are_bounded() {
    let mut rig = Rig::with(|limits| limits.commands_per_connection_per_second = 0);
    for slot in 0..5 {
        rig.sign_in(slot, user_of(HERE, slot));
        for _ in 0..32 {
            rig.text(slot, r#"{"id":5,"op":"sync"}"#);
        }
    }
    assert_eq!(rig.requests.len(), 128);
    assert_eq!(rig.story(4), vec!["error busy"; 32]);
}

#[test]
fn who_is_here_is_gathered_from_all_shards_without_blocked_and_hidden_users() {
    let mut rig = Rig::new();
    let room = room_of(THERE, 0);
    let asker = user_of(HERE, 1);
    rig.sign_in(1, asker);
    rig.text(1, &format!(r#"{{"id":5,"op":"presence","room":"{room}"}}"#));
    assert_eq!(rig.story(1), ["error not_a_member"]);
    for slot in [1, 2, 3] {
        let connection = if slot == 1 {
            crate::ConnectionRef { shard: HERE, slot: crate::Slot(1), generation: 1 }
        } else {
            rig.sign_in(slot, user_of(HERE, slot))
        };
        rig.subscribe(connection, room, 0);
    }
    rig.text(1, &format!(r#"{{"id":6,"op":"presence","room":"{room}"}}"#));
    let gather = match rig.mail.pop() {
        Some((THERE, Mail::Here { gather, .. })) => gather,
        other => panic!("{other:?}"),
    };
    rig.reply(StoreReply::Blocks(vec![(user_of(HERE, 3), asker)]));
    let hides = user_of(THERE, 2);
    let users = [user_of(HERE, 2), user_of(THERE, 1), hides];
    rig.mail(Mail::HereUsers { gather, users: users.into(), count: 3 });
    assert_eq!(rig.story(1), Vec::<String>::new());
    match &rig.requests[..] {
        [(_, StoreRequest::Hidden { users, .. })] => assert_eq!(users.len(), 5, "each once"),
        other => panic!("{other:?}"),
    }
    rig.reply(StoreReply::Hidden(vec![hides, asker]));
    let answer = rig.take_sent(1).remove(0);
    let mut named = [asker, user_of(HERE, 2), user_of(THERE, 1)];
    named.sort_unstable();
    let expected = serde_json::json!({
        "ev": "here", "re": 6, "room": room.to_string(), "count": 3, "sample": false,
        "users": named.map(|user| user.to_string()),
    });
    assert_eq!(answer, expected);
}

#[test]
fn nobody_is_counted_in_a_conversation_that_is_not_accepted_however_small_a_room_is_sampled() {
    for max in [0, 1, 500] {
        let mut rig = Rig::with(|limits| limits.presence_room_members_max = max);
        let (asker, other) = (user_of(HERE, 1), user_of(HERE, 2));
        let room = room_of(THERE, 0);
        for (slot, user) in [(1, asker), (2, other)] {
            let connection = rig.sign_in(slot, user);
            rig.subscribe(connection, room, 0);
        }
        rig.text(1, &format!(r#"{{"id":6,"op":"presence","room":"{room}"}}"#));
        let gather = match rig.mail.pop() {
            Some((THERE, Mail::Here { gather, .. })) => gather,
            other => panic!("{other:?}"),
        };
        rig.reply(StoreReply::Blocks(Vec::new()));
        rig.mail(Mail::HereUsers { gather, users: [].into(), count: 0 });
        rig.reply(StoreReply::Withheld);
        let answer = rig.take_sent(1).remove(0);
        assert_eq!(
            (&answer["count"], &answer["users"]),
            (&1.into(), &serde_json::json!([asker.to_string()])),
            "{max}"
        );
    }
}

#[test]
fn who_is_here_is_asked_by_other_shards_too() {
    let mut rig = Rig::with(|limits| limits.presence_room_members_max = 2);
    let room = room_of(THERE, 0);
    for (slot, count, named) in [(1, 1, 1), (2, 2, 2), (3, 3, 3)] {
        let connection = rig.sign_in(slot, user_of(HERE, slot));
        rig.subscribe(connection, room, 0);
        rig.mail(Mail::Here { gather: 77, from: THERE, room });
        match rig.mail.pop() {
            Some((THERE, Mail::HereUsers { gather: 77, users, count: told })) => {
                assert_eq!((users.len(), told), (named, count));
            }
            other => panic!("{other:?}"),
        }
    }
    let (to, mail) = (THERE, Mail::Here { gather: 78, from: HERE, room });
    rig.give(Input::MailRefused { to, mail });
}

#[test]
fn watching_is_told_to_each_users_shard_and_ends_with_the_connection() {
    let mut rig = Rig::with(|limits| limits.presence_watch_max = 3);
    let me = user_of(HERE, 0);
    let connection = rig.sign_in(1, me);
    let mut users: Vec<_> = (0..3).map(|n| user_of(THERE, n)).collect();
    let list = |users: &[UserId]| users.iter().map(|u| format!("\"{u}\"")).collect::<Vec<_>>().join(",");
    rig.text(1, &format!(r#"{{"id":5,"op":"presence","watch":[{}]}}"#, list(&users)));
    assert_eq!(rig.story(1), ["ok"]);
    match rig.mail.pop() {
        Some((THERE, Mail::Watch { from, watcher, users: told, on: true, .. })) => {
            assert_eq!((from, watcher), (connection, me));
            users.sort_unstable();
            assert_eq!(*told, *users);
        }
        other => panic!("{other:?}"),
    }
    rig.text(1, &format!(r#"{{"id":6,"op":"presence","watch":[{}]}}"#, list(&[user_of(HERE, 5)])));
    assert_eq!(rig.story(1), ["error limit_reached"]);
    rig.text(1, &format!(r#"{{"id":7,"op":"presence","unwatch":[{}]}}"#, list(&users[..1])));
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Watch { on: false, .. }))));
    assert_eq!(rig.story(1), ["ok"]);

    rig.mail(Mail::Presence { to: connection, user: users[1], online: true });
    assert_eq!(rig.story(1), ["presence true"]);
    rig.mail(Mail::Presence { to: connection, user: users[0], online: true });
    assert_eq!(rig.story(1), Vec::<String>::new());
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Watch { on: false, .. }))), "ended again");

    rig.give(Input::Closed { slot: crate::Slot(1) });
    let ended = rig.mail.iter().any(
        |(to, mail)| matches!(mail, Mail::Watch { users: told, on: false, .. } if *to == THERE && told.len() == 2),
    );
    assert!(ended);
}

#[test]
fn a_connection_may_start_a_full_list_of_watches_and_then_a_few_a_second() {
    let mut rig = Rig::new();
    rig.sign_in(1, user_of(HERE, 0));
    let users: Vec<_> = (0..500).map(|n| user_of(THERE, n)).collect();
    let list =
        |users: &[UserId]| users.iter().map(|user| format!(r#""{user}""#)).collect::<Vec<_>>().join(",");
    let all = list(&users);
    let watch = |rig: &mut Rig, op: &str, users: &str| {
        rig.text(1, &format!(r#"{{"id":5,"op":"presence","{op}":[{users}]}}"#));
        rig.story(1)
    };
    assert_eq!(watch(&mut rig, "watch", &all), ["ok"]);
    assert_eq!(watch(&mut rig, "unwatch", &all), ["ok"]);
    rig.mail.clear();
    assert_eq!(watch(&mut rig, "watch", &all), ["error rate_limited"]);
    assert!(rig.mail.is_empty());
    rig.wait_millis(1_000);
    assert_eq!(watch(&mut rig, "watch", &list(&users[..51])), ["error rate_limited"]);
    assert_eq!(watch(&mut rig, "watch", &list(&users[..50])), ["ok"]);
}

fn rooms_changed(to: crate::ConnectionRef) -> Mail {
    let frame = lynk_protocol::Frame::new(|out| out.extend_from_slice(br#"{"ev":"added"}"#));
    Mail::Noticed { to, frame: Some(frame), rooms: true }
}

#[test]
fn a_connection_whose_user_is_in_other_rooms_watches_everyone_again() {
    let mut rig = Rig::new();
    let connection = rig.sign_in(1, user_of(HERE, 0));
    rig.mail(rooms_changed(connection));
    assert!(rig.mail.is_empty(), "nobody is watched");
    let user = user_of(THERE, 1);
    rig.text(1, &format!(r#"{{"id":5,"op":"presence","watch":["{user}"]}}"#));
    let numbers = |rig: &mut Rig| match rig.mail.pop() {
        Some((THERE, Mail::Watch { on: true, number, .. })) => number,
        other => panic!("{other:?}"),
    };
    let first = numbers(&mut rig);
    rig.mail(rooms_changed(connection));
    assert_eq!(numbers(&mut rig), first + 1);
}

#[test]
fn presence_that_was_shed_is_asked_for_again() {
    let mut rig = Rig::new();
    let connection = rig.sign_in(1, user_of(HERE, 0));
    let user = user_of(THERE, 0);
    rig.text(1, &format!(r#"{{"id":5,"op":"presence","watch":["{user}"]}}"#));
    rig.take_sent(1);
    rig.mail.clear();
    rig.level(1, crate::QueueLevel::High);
    rig.mail(Mail::Presence { to: connection, user, online: true });
    assert_eq!(rig.story(1), Vec::<String>::new());
    rig.level(1, crate::QueueLevel::Low);
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Watch { on: true, .. }))));
}
