use lynk_domain::Nanos;
use lynk_protocol::CloseCode;

use crate::rig::{HERE, Rig, THERE, ip_of, room_of, user_of};
use crate::{Input, Mail, QueueLevel, Slot};

#[test]
fn hello_is_answered_with_the_announced_numbers() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.upgrade(1);
    rig.hello(1, user, "");
    let ok = rig.take_sent(1).remove(0);
    let expected = serde_json::json!({
        "ev": "ok", "re": 1,
        "session": "09090909-0909-0909-0909-090909090909", "user": user.to_string(),
        "time": "2026-11-23T17:48:51.123Z", "expires": "2026-11-23T18:03:51.000Z",
        "heartbeat_ms": 25_000, "resume_events": 100, "dedupe_window_ms": 600_000,
        "key_age_max_ms": 604_800_000, "key_ahead_max_ms": 60_000, "commands_per_second": 50,
        "limits": {
            "message_chars": 8_000, "frame_bytes": 131_072, "room_name_chars": 100, "room_description_chars": 500,
            "reactions_per_message": 20, "reactions_standing": 2_000, "mentions_per_message": 50,
            "history_page": 100, "history_page_max": 500,
            "reply_bytes": 262_144, "subscriptions": 1_000, "commands_in_flight": 32,
            "room_members": 100_000, "presence_watch": 500, "presence_room_members": 500,
            "resume_bytes": 65_536, "connections_per_account": 30,
        },
        "features": [
            "direct", "history", "history_at", "memberships", "mentions", "positions", "presence",
            "reactions", "receipts", "resume", "sync", "typing",
        ],
    });
    assert_eq!(ok, expected);
}

#[test]
fn a_token_that_is_not_accepted_closes_with_its_code() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    let foreign = {
        let (key, _) = lynk_auth::SigningKey::generate([8; 32]);
        let grant = lynk_auth::Grant {
            user,
            session: lynk_domain::SessionId([9; 16]),
            epoch: 0,
            id: [1; 16],
            issued: rig.now.wall,
            expires: lynk_domain::Millis(rig.now.wall.0 + 60_000),
        };
        key.issue(&lynk_auth::Scope::default(), &grant).reveal().to_owned()
    };
    let expired = rig.token(user, 9, 1_000);
    rig.wait_millis(2_000);
    let enrolling = rig.enrolling_token(user, 9, 60_000);
    for (slot, token, code, close) in [
        (1, "nonsense", "invalid_token", CloseCode::BadAuth),
        (2, foreign.as_str(), "invalid_token", CloseCode::BadAuth),
        (3, expired.as_str(), "token_expired", CloseCode::TokenExpired),
        (4, enrolling.as_str(), "second_factor_required", CloseCode::BadAuth),
    ] {
        rig.upgrade(slot);
        rig.text(slot, &format!(r#"{{"id":1,"op":"hello","token":"{token}"}}"#));
        assert_eq!(rig.story(slot), [format!("error {code}")]);
        assert_eq!(rig.closed.pop(), Some((Slot(slot), close)));
    }
}

#[test]
fn hello_is_due_in_time_and_comes_first_and_once() {
    let mut rig = Rig::new();
    rig.upgrade(1);
    rig.text(1, r#"{"id":4,"op":"ping"}"#);
    assert_eq!(rig.story(1), ["error not_signed_in"]);
    rig.wait_millis(9_900);
    assert_eq!(rig.closed, []);
    rig.wait_millis(300);
    assert_eq!(rig.closed, [(Slot(1), CloseCode::HelloTimeout)]);

    rig.sign_in(2, user_of(HERE, 0));
    rig.hello(2, user_of(HERE, 0), "");
    assert_eq!(rig.story(2), ["error conflict"]);
    rig.wait_millis(60_000);
    assert_eq!(rig.closed.len(), 1, "a signed-in connection has no hello deadline");
}

#[test]
fn a_session_ends_with_its_token_unless_it_is_refreshed() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    rig.sign_in(2, user);
    rig.wait_millis(600_000);
    let newer = rig.token(user, 9, 900_000);
    rig.text(2, &format!(r#"{{"id":2,"op":"refresh","token":"{newer}"}}"#));
    assert_eq!(rig.story(2), ["ok"]);
    rig.wait_millis(299_000);
    assert_eq!(rig.closed, []);
    rig.wait_millis(2_000);
    assert_eq!(rig.closed, [(Slot(1), CloseCode::TokenExpired)]);
    rig.wait_millis(600_000);
    assert_eq!(rig.closed.last(), Some(&(Slot(2), CloseCode::TokenExpired)));
}

#[test]
fn a_token_shorter_than_the_hello_deadline_ends_in_time() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.upgrade(1);
    let token = rig.token(user, 9, 3_000);
    rig.text(1, &format!(r#"{{"id":1,"op":"hello","token":"{token}"}}"#));
    rig.sign_in(2, user);
    let token = rig.token(user, 9, 3_000);
    rig.text(2, &format!(r#"{{"id":2,"op":"refresh","token":"{token}"}}"#));
    rig.wait_millis(3_200);
    assert_eq!(rig.closed, [(Slot(1), CloseCode::TokenExpired), (Slot(2), CloseCode::TokenExpired)]);
    assert_eq!(rig.engine.counters().closed_with(CloseCode::TokenExpired), 2);
}

#[test]
fn refreshing_again_and_again_keeps_one_look_at_the_connection() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    for round in 0..200u64 {
        for ttl in [900_000, 30_000 + 10 * round, 900_000] {
            let token = rig.token(user, 9, ttl);
            rig.text(1, &format!(r#"{{"id":2,"op":"refresh","token":"{token}"}}"#));
            rig.wait_millis(100);
        }
        assert!(rig.story(1).iter().all(|word| word == "ok"));
    }
    assert!(rig.engine.timers_of_connections() <= 3, "{}", rig.engine.timers_of_connections());
}

#[test]
fn ever_shorter_tokens_are_limited_and_the_shortest_one_taken_counts() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    // Until the look at the deadline of `hello` is over.
    rig.wait_millis(11_000);
    let mut story = Vec::new();
    for round in 0..20 {
        let token = rig.token(user, 9, 25_000 - 1_000 * round);
        rig.text(1, &format!(r#"{{"id":2,"op":"refresh","token":"{token}"}}"#));
        story.extend(rig.story(1));
    }
    assert_eq!(story.iter().filter(|word| *word == "ok").count(), 7);
    assert_eq!(story.iter().filter(|word| *word == "error invalid_token").count(), 13);
    rig.wait_millis(18_800);
    assert_eq!(rig.closed, []);
    rig.wait_millis(400);
    assert_eq!(rig.closed, [(Slot(1), CloseCode::TokenExpired)]);
}

#[test]
fn refresh_takes_only_a_token_of_the_same_session() {
    let mut rig = Rig::new();
    rig.sign_in(1, user_of(HERE, 0));
    for (user, session) in [(user_of(HERE, 1), 9), (user_of(HERE, 0), 8)] {
        let token = rig.token(user, session, 900_000);
        rig.text(1, &format!(r#"{{"id":2,"op":"refresh","token":"{token}"}}"#));
        assert_eq!(rig.story(1), ["error invalid_token"]);
    }
    assert_eq!(rig.closed, []);
}

#[test]
fn resumed_rooms_are_asked_for_a_few_at_a_time() {
    let mut rig = Rig::new();
    let rooms: Vec<_> = (0..40).map(|n| room_of(THERE, n)).collect();
    let resume: Vec<String> =
        rooms.iter().map(|room| format!(r#"{{"room":"{room}","epoch":2,"seq":5}}"#)).collect();
    rig.upgrade(1);
    rig.hello(1, user_of(HERE, 0), &resume.join(","));
    assert_eq!(rig.story(1), ["ok"]);
    let mut asked = Vec::new();
    let mut at_once = rig.mail.len();
    while let Some((to, mail)) = (!rig.mail.is_empty()).then(|| rig.mail.remove(0)) {
        assert_eq!(to, THERE);
        let Mail::Command { room, from, raw, .. } = mail else { panic!("{mail:?}") };
        let text = std::str::from_utf8(raw.payload()).expect("JSON");
        assert_eq!(text, format!(r#"{{"op":"subscribe","room":"{room}","epoch":2,"seq":5}}"#));
        asked.push(room);
        rig.mail(Mail::Reply {
            to: from,
            frame: crate::rig::frame(r#"{"ev":"error","code":"x"}"#),
            behind: None,
            late: false,
        });
        rig.flush();
        at_once = at_once.max(rig.mail.len());
    }
    assert_eq!(asked, rooms);
    assert_eq!(at_once, 8);
}

#[test]
fn resumed_rooms_wait_while_the_queue_is_high_and_for_the_end_of_the_turn() {
    let mut rig = Rig::new();
    let rooms: Vec<_> = (0..40).map(|n| room_of(THERE, n)).collect();
    let resume: Vec<String> =
        rooms.iter().map(|room| format!(r#"{{"room":"{room}","epoch":1,"seq":5}}"#)).collect();
    rig.upgrade(1);
    rig.hello(1, user_of(HERE, 0), &resume.join(","));
    let answer = |rig: &mut Rig| {
        for (_, mail) in std::mem::take(&mut rig.mail) {
            let Mail::Command { from, .. } = mail else { continue };
            rig.mail(Mail::Reply {
                to: from,
                frame: crate::rig::frame(r#"{"ev":"error","code":"x"}"#),
                behind: None,
                late: false,
            });
        }
    };
    answer(&mut rig);
    assert!(rig.mail.is_empty(), "an owner that answers at once does not get all rooms in one turn");
    rig.level(1, QueueLevel::High);
    rig.flush();
    rig.wait_millis(1_000);
    rig.flush();
    assert!(rig.mail.is_empty(), "a full queue is not filled further");
    rig.level(1, QueueLevel::Low);
    let mut asked = 8;
    while !rig.mail.is_empty() {
        assert!(rig.mail.len() <= 8);
        asked += rig.mail.len();
        answer(&mut rig);
        rig.flush();
    }
    assert_eq!(asked, 40);
}

#[test]
fn a_connection_waits_for_two_pages_at_a_time() {
    let mut rig = Rig::new();
    let connection = rig.sign_in(1, user_of(HERE, 0));
    let room = room_of(THERE, 0);
    let ask = |rig: &mut Rig, id: u64| {
        rig.text(1, &format!(r#"{{"id":{id},"op":"history","room":"{room}"}}"#));
        rig.story(1)
    };
    let nothing = Vec::<String>::new();
    assert_eq!((ask(&mut rig, 5), ask(&mut rig, 6)), (nothing.clone(), nothing.clone()));
    assert_eq!(ask(&mut rig, 7), ["error busy"]);
    let page = |re: u64| {
        let frame =
            crate::rig::frame(&format!(r#"{{"ev":"history","re":{re},"room":"{room}","events":[]}}"#));
        Mail::Reply { to: connection, frame, behind: None, late: false }
    };
    rig.mail(page(5));
    assert_eq!(rig.story(1), ["history"]);
    assert_eq!(ask(&mut rig, 8), nothing);
    assert_eq!(ask(&mut rig, 9), ["error busy"]);
    let refusal = crate::rig::frame(r#"{"ev":"error","re":6,"code":"unavailable"}"#);
    rig.mail(Mail::Reply { to: connection, frame: refusal, behind: None, late: false });
    rig.take_sent(1);
    assert_eq!(ask(&mut rig, 10), nothing);
    let (to, mail) = rig.mail.pop().expect("asked");
    rig.give(Input::MailRefused { to, mail });
    assert_eq!(rig.story(1), ["error busy"]);
    assert_eq!(ask(&mut rig, 11), nothing, "a page that was not asked for is not waited for");
    rig.level(1, QueueLevel::High);
    rig.mail(page(8));
    rig.take_sent(1);
    assert_eq!(ask(&mut rig, 12), ["error busy"]);
}

#[test]
fn a_resumed_room_that_a_full_shard_refused_is_asked_for_again() {
    let mut rig = Rig::new();
    let room = room_of(THERE, 0);
    rig.upgrade(1);
    rig.hello(1, user_of(HERE, 0), &format!(r#"{{"room":"{room}"}}"#));
    for _ in 0..3 {
        let (to, mail) = rig.mail.pop().expect("asked");
        rig.give(Input::MailRefused { to, mail });
        assert!(rig.mail.is_empty());
        rig.wait_millis(25);
    }
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Command { .. }))));
    assert_eq!(rig.story(1), ["ok"]);
}

#[test]
fn more_rooms_than_subscriptions_are_refused() {
    let mut rig = Rig::with(|limits| limits.subscriptions_per_connection_max = 2);
    let resume: Vec<String> = (0..3).map(|n| format!(r#"{{"room":"{}"}}"#, room_of(THERE, n))).collect();
    rig.upgrade(1);
    rig.hello(1, user_of(HERE, 0), &resume.join(","));
    assert_eq!(rig.story(1), ["error limit_reached"]);
}

#[test]
fn an_account_has_a_number_of_connections_and_shares_its_rate_among_them() {
    let mut rig = Rig::with(|limits| {
        limits.connections_per_account_max = 3;
        limits.commands_per_connection_per_second = 10;
        limits.commands_per_account_per_second = 12;
    });
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    rig.sign_in(2, user);
    rig.sign_in(3, user);
    // A third of 12 a second, two seconds at once, of which `hello` took one.
    let pings = |rig: &mut Rig| {
        for _ in 0..30 {
            rig.text(1, r#"{"id":4,"op":"ping"}"#);
        }
        rig.story(1).iter().filter(|word| *word == "ok").count()
    };
    assert_eq!(pings(&mut rig), 7);
    rig.upgrade(4);
    rig.hello(4, user, "");
    assert_eq!(rig.story(4), ["ok", "error limit_reached"]);
    assert_eq!(rig.closed, [(Slot(4), CloseCode::TryLater)]);
    rig.give(Input::Closed { slot: Slot(2) });
    rig.give(Input::Closed { slot: Slot(3) });
    rig.wait_millis(10_000);
    assert_eq!(pings(&mut rig), 20);
    rig.sign_in(5, user);
}

#[test]
fn a_network_has_a_number_of_connections_for_the_whole_process() {
    let mut rig = Rig::with(|limits| limits.connections_per_ip_max = 2);
    let there = ip_of(THERE);
    rig.give(Input::Accepted { slot: Slot(1), ip: there });
    let connection = match rig.mail.pop() {
        Some((THERE, Mail::IpAcquire { connection, ip })) if ip == there => connection,
        other => panic!("{other:?}"),
    };
    rig.mail(Mail::IpRefused { connection });
    assert_eq!(rig.closed, [(Slot(1), CloseCode::RateLimited)], "answered 429, not 503");
    rig.give(Input::Closed { slot: Slot(1) });
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::IpRelease { ip })) if ip == there));
    rig.mail(Mail::IpRefused { connection });

    for slot in 2..4 {
        rig.give(Input::Accepted { slot: Slot(slot), ip: ip_of(HERE) });
    }
    assert_eq!(rig.closed.len(), 1);
    rig.give(Input::Accepted { slot: Slot(4), ip: ip_of(HERE) });
    assert_eq!(rig.closed.last(), Some(&(Slot(4), CloseCode::RateLimited)));

    rig.give(Input::Accepted { slot: Slot(5), ip: there });
    let connection = match rig.mail.pop() {
        Some((THERE, Mail::IpAcquire { connection, .. })) => connection,
        other => panic!("{other:?}"),
    };
    rig.give(Input::Upgraded { slot: Slot(5) });
    rig.mail(Mail::IpRefused { connection });
    assert_eq!(rig.closed.last(), Some(&(Slot(5), CloseCode::TryLater)), "the WebSocket was open already");
}

#[test]
fn a_shard_has_a_number_of_connections() {
    let mut rig = Rig::with(|limits| limits.connections_per_shard_max = 2);
    rig.sign_in(0, user_of(HERE, 0));
    rig.upgrade(1);
    rig.upgrade(2);
    assert_eq!(rig.closed, [(Slot(2), CloseCode::TryLater)]);
}

#[test]
fn a_drain_refuses_hello_and_closes_connections_spread_over_its_time() {
    let mut rig = Rig::new();
    for slot in 0..100 {
        rig.sign_in(slot, user_of(HERE, slot));
    }
    rig.upgrade(200);
    let deadline = rig.now.mono.after(10 * Nanos::SECOND);
    rig.give(Input::Drain { deadline });
    rig.hello(200, user_of(HERE, 200), "");
    assert_eq!(rig.story(200), ["error draining"]);
    let mut most = 0;
    for _ in 0..10 {
        let before = rig.closed.len();
        rig.wait_millis(1_000);
        most = most.max(rig.closed.len() - before);
    }
    assert_eq!(rig.closed.len(), 101);
    assert!(rig.closed.iter().all(|(_, code)| *code == CloseCode::Shutdown));
    assert!(most <= 12, "{most} closed in one of ten seconds");
    let told = rig.take_sent(99);
    assert_eq!(told[0]["ev"], "draining");
    assert!(told[0]["retry_after_ms"].as_u64().is_some_and(|ms| (1_000..12_000).contains(&ms)));
    for slot in (0..100).chain([200]) {
        assert!(!rig.drained);
        rig.give(Input::Closed { slot: Slot(slot) });
    }
    assert!(rig.drained);
}

#[test]
fn the_users_shard_is_told_who_comes_and_goes() {
    let mut rig = Rig::new();
    let user = user_of(THERE, 0);
    rig.upgrade(1);
    rig.hello(1, user, "");
    let (to, mail) = rig.mail.pop().expect("told");
    assert_eq!(to, THERE);
    assert!(matches!(mail, Mail::SignedIn { principal, .. } if principal == Rig::principal(user)));
    rig.give(Input::Closed { slot: Slot(1) });
    let (to, mail) = rig.mail.pop().expect("told");
    assert!(matches!(mail, Mail::SignedOut { principal, .. } if principal == Rig::principal(user)));
    // A full mailbox delays it, no more.
    rig.give(Input::MailRefused { to, mail });
    rig.wait_millis(25);
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::SignedOut { .. }))));
    rig.wait_millis(1_000);
    assert!(rig.mail.is_empty());
}

#[test]
fn a_users_shard_that_takes_no_mail_closes_the_connection() {
    let mut rig = Rig::new();
    rig.upgrade(1);
    rig.hello(1, user_of(THERE, 0), "");
    let (to, mail) = rig.mail.pop().expect("signed in");
    rig.give(Input::MailRefused { to, mail });
    assert_eq!(rig.closed, [(Slot(1), CloseCode::TryLater)]);
}
