use lynk_protocol::CloseCode;

use crate::rig::{HERE, Rig, THERE, frame, room_of, user_of};
use crate::{Input, Mail, Slot};

fn send(rig: &mut Rig, id: u64) {
    let room = room_of(THERE, 0);
    rig.text(1, &format!(r#"{{"id":{id},"op":"send","room":"{room}","key":"{room}","text":"x"}}"#));
}

#[test]
fn bad_frames_get_their_code_and_many_in_a_row_end_the_connection() {
    let mut rig = Rig::with(|limits| limits.commands_per_connection_per_second = 0);
    rig.sign_in(1, user_of(HERE, 0));
    for (text, code) in [
        ("{", "bad_request"),
        ("[]", "invalid_field"),
        (r#"{"id":1,"op":"dance"}"#, "unknown_op"),
        (r#"{"id":1,"op":"send"}"#, "invalid_field"),
        (r#"{"id":1,"op":"ping"}"#, ""),
    ] {
        rig.text(1, text);
        let answer = rig.take_sent(1).remove(0);
        assert_eq!(answer["code"].as_str().unwrap_or_default(), code);
    }
    for _ in 0..63 {
        rig.text(1, "{");
    }
    assert_eq!(rig.closed, []);
    rig.text(1, "{");
    assert_eq!(rig.closed, [(Slot(1), CloseCode::Misuse)]);
    rig.take_sent(1);
    rig.text(1, r#"{"id":1,"op":"ping"}"#);
    assert_eq!(rig.story(1), Vec::<String>::new(), "nothing is heard from a closing connection");
    assert_eq!(rig.engine.counters().rejects[lynk_protocol::ErrorCode::BadRequest as usize], 65);
}

#[test]
fn too_many_commands_are_told_when_to_come_back_then_end_the_connection() {
    let mut rig = Rig::with(|limits| limits.commands_per_connection_per_second = 10);
    rig.sign_in(1, user_of(HERE, 0));
    for _ in 0..19 {
        rig.text(1, r#"{"id":1,"op":"ping"}"#);
    }
    assert!(rig.story(1).iter().all(|word| word == "ok"));
    rig.text(1, r#"{"id":7,"op":"ping"}"#);
    let error = rig.take_sent(1).remove(0);
    assert_eq!((&error["code"], &error["re"]), (&"rate_limited".into(), &7.into()));
    let wait = error["retry_after_ms"].as_u64().expect("told when");
    rig.wait_millis(wait);
    rig.text(1, r#"{"id":8,"op":"ping"}"#);
    assert_eq!(rig.story(1), ["ok"]);
    for _ in 0..64 {
        rig.text(1, r#"{"id":8,"op":"ping"}"#);
    }
    assert_eq!(rig.closed, [(Slot(1), CloseCode::RateLimited)]);
}

#[test]
fn a_command_travels_to_the_owner_of_its_room_as_it_came() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    let connection = rig.sign_in(1, user);
    let sent = room_of(THERE, 3);
    let text = format!(r#"{{"id":5,"op":"history","room":"{sent}"}}"#);
    rig.text(1, &text);
    match rig.mail.pop() {
        Some((THERE, Mail::Command { room, from, principal, raw })) => {
            assert_eq!((room, from, principal), (sent, connection, Rig::principal(user)));
            assert_eq!(raw.payload(), text.as_bytes());
        }
        other => panic!("{other:?}"),
    }
    rig.mail(Mail::Reply {
        to: connection,
        frame: frame(r#"{"ev":"history","re":5}"#),
        behind: None,
        late: false,
    });
    assert_eq!(rig.story(1), ["history"]);
}

#[test]
fn a_connection_has_a_number_of_commands_without_an_answer() {
    let mut rig = Rig::with(|limits| limits.commands_per_connection_per_second = 0);
    let connection = rig.sign_in(1, user_of(HERE, 0));
    for id in 1..=32 {
        send(&mut rig, id);
    }
    assert_eq!(rig.mail.len(), 32);
    send(&mut rig, 33);
    assert_eq!(rig.story(1), ["error rate_limited"]);
    // What needs no answer still goes.
    let room = room_of(THERE, 0);
    rig.text(1, &format!(r#"{{"op":"typing","room":"{room}"}}"#));
    assert_eq!(rig.mail.len(), 33);
    rig.mail(Mail::Reply {
        to: connection,
        frame: frame(r#"{"ev":"error","code":"x"}"#),
        behind: None,
        late: false,
    });
    send(&mut rig, 34);
    assert_eq!(rig.mail.len(), 34);
}

#[test]
fn a_full_mailbox_is_busy_and_gives_the_place_back() {
    let mut rig = Rig::with(|limits| limits.commands_per_connection_per_second = 0);
    rig.sign_in(1, user_of(HERE, 0));
    for id in 1..=100 {
        send(&mut rig, id);
        let (to, mail) = rig.mail.pop().expect("posted");
        rig.give(Input::MailRefused { to, mail });
        let error = rig.take_sent(1).remove(0);
        assert_eq!((&error["code"], &error["re"]), (&"busy".into(), &id.into()));
    }
    rig.text(1, &format!(r#"{{"op":"typing","room":"{}"}}"#, room_of(THERE, 0)));
    let (to, mail) = rig.mail.pop().expect("posted");
    rig.give(Input::MailRefused { to, mail });
    assert_eq!(rig.story(1), Vec::<String>::new(), "what needs no answer gets none");
}

/// A shard whose questions to the other are as many as may be: 33 connections, 32 questions each.
fn out_of_credit() -> (Rig, crate::ConnectionRef) {
    let mut rig = Rig::with(|limits| {
        limits.commands_per_connection_per_second = 0;
        limits.commands_per_account_per_second = 0;
    });
    let first = rig.sign_in(1, user_of(HERE, 1));
    for slot in 2..=33 {
        rig.sign_in(slot, user_of(HERE, slot));
    }
    let room = room_of(THERE, 0);
    let text = format!(r#"{{"id":1,"op":"read","room":"{room}","seq":1}}"#);
    for slot in 1..=33 {
        for _ in 0..32 {
            rig.text(slot, &text);
        }
    }
    assert_eq!(rig.mail.len(), 1_024);
    (rig, first)
}

#[test]
fn a_command_whose_answer_comes_late_gives_its_credit_back_once() {
    let (mut rig, first) = out_of_credit();
    let fits = |rig: &mut Rig, slot: u32| {
        let before = rig.mail.len();
        let text = format!(r#"{{"id":2,"op":"read","room":"{}","seq":1}}"#, room_of(THERE, 0));
        rig.text(slot, &text);
        rig.mail.len() > before
    };
    rig.mail(Mail::Parked { to: first });
    assert!(fits(&mut rig, 33), "another connection has the place");
    assert!(!fits(&mut rig, 33));
    assert!(!fits(&mut rig, 1), "the connection still waits for 32 answers");
    let late = frame(r#"{"ev":"ok","re":1}"#);
    rig.mail(Mail::Reply { to: first, frame: late, behind: None, late: true });
    assert!(!fits(&mut rig, 33), "not a second time");
}

#[test]
fn a_shard_asks_another_only_as_much_as_it_can_take_answers() {
    let (mut rig, _) = out_of_credit();
    assert_eq!(rig.story(33), vec!["error busy"; 32]);
    // An answer to a connection that has gone makes room as well.
    rig.give(Input::Closed { slot: Slot(1) });
    rig.mail.clear();
    let gone = crate::ConnectionRef { shard: HERE, slot: Slot(1), generation: 1 };
    rig.mail(Mail::Reply {
        to: gone,
        frame: frame(r#"{"ev":"error","code":"x"}"#),
        behind: None,
        late: false,
    });
    assert_eq!(rig.story(1), Vec::<String>::new());
    let text = format!(r#"{{"id":1,"op":"read","room":"{}","seq":1}}"#, room_of(THERE, 0));
    rig.text(33, &text);
    assert_eq!(rig.mail.len(), 1);
}

#[test]
fn nobody_talks_to_or_blocks_themselves() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    for op in ["direct", "block", "unblock"] {
        rig.text(1, &format!(r#"{{"id":5,"op":"{op}","user":"{user}","key":"{user}"}}"#));
        assert_eq!(rig.story(1), ["error invalid_field"]);
    }
}

#[test]
fn create_and_direct_reach_the_owner_of_the_room_to_be() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    let mut rooms = Vec::new();
    for n in 0..20 {
        let key = lynk_domain::Key([n + 1; 16]);
        for _ in 0..2 {
            rig.text(1, &format!(r#"{{"id":5,"op":"create","key":"{key}","name":"n"}}"#));
            rooms.extend(rig.mail.drain(..).map(|(to, mail)| match mail {
                Mail::Command { room, .. } => (to, room),
                other => panic!("{other:?}"),
            }));
        }
    }
    assert!(!rooms.is_empty());
    for (to, room) in &rooms {
        assert_eq!(*to, lynk_domain::shard_of_room(*room, 2));
        assert_eq!(rooms.iter().filter(|(_, other)| other == room).count(), 2, "a retry finds the same room");
    }
}

#[test]
fn late_mail_for_a_slot_that_was_reused_is_ignored() {
    let mut rig = Rig::new();
    let old = rig.sign_in(1, user_of(HERE, 0));
    send(&mut rig, 1);
    rig.give(Input::Closed { slot: Slot(1) });
    rig.upgrade(1);
    rig.hello(1, user_of(HERE, 1), "");
    assert_eq!(rig.story(1), ["ok"]);
    rig.mail(Mail::Reply { to: old, frame: frame(r#"{"ev":"ok"}"#), behind: None, late: false });
    rig.event_with(room_of(THERE, 0), 1, Some(old), None);
    rig.flush();
    assert_eq!(rig.story(1), Vec::<String>::new());
}
