//! Commands of HTTP requests, tickets, and sessions that ended.

use lynk_domain::{MediaId, Millis, Role, RoomId, RoomKind, SessionId, UserId};
use lynk_model::{Membership, StoreReply};
use lynk_protocol::CloseCode;
use serde_json::Value;

use crate::rig::{HERE, Rig, THERE, frame, room_of, user_of};
use crate::{ApiInput, ConnectionRef, Input, Mail, Principal, Slot, TicketOutcome};

const KEY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn ask(rig: &mut Rig, number: u32, user: UserId, text: &str) {
    let expires = Millis(rig.now.wall.0 + 60_000);
    let principal = Rig::principal(user);
    let slot = Slot::api(number);
    rig.give(Input::Api(ApiInput::Command { slot, principal, expires, text: text.into() }));
}

fn answers(rig: &mut Rig, number: u32) -> Vec<Value> {
    rig.take_sent(Slot::api(number).0)
}

fn code(rig: &mut Rig, number: u32) -> String {
    answers(rig, number).remove(0)["code"].as_str().expect("an error").to_owned()
}

/// The connection that mail names for a request.
fn asked(rig: &mut Rig) -> ConnectionRef {
    match rig.mail.pop() {
        Some((THERE, Mail::Command { from, .. })) => from,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_goes_to_the_owner_as_a_command_does_and_is_answered_once() {
    let mut rig = Rig::new();
    let (user, room) = (user_of(HERE, 0), room_of(THERE, 0));
    let text = format!(r#"{{"id":7,"op":"send","room":"{room}","key":"{KEY}","text":"hi"}}"#);
    ask(&mut rig, 3, user, &text);
    let (to, mail) = rig.mail.pop().expect("a command");
    let Mail::Command { room: of, from, principal, raw } = mail else { panic!("{mail:?}") };
    assert_eq!((to, of, principal, raw.payload()), (THERE, room, Rig::principal(user), text.as_bytes()));
    rig.event_with(room, 1, Some(from), None);
    let answer = answers(&mut rig, 3);
    assert_eq!((answer.len(), &answer[0]["ev"]), (1, &"ok".into()));
}

#[test]
fn an_answer_that_comes_after_its_slot_was_used_again_is_dropped() {
    let mut rig = Rig::new();
    let (user, room) = (user_of(HERE, 0), room_of(THERE, 0));
    let text = format!(r#"{{"id":7,"op":"join","room":"{room}","key":"{KEY}"}}"#);
    ask(&mut rig, 0, user, &text);
    let first = asked(&mut rig);
    ask(&mut rig, 0, user, &text);
    let second = asked(&mut rig);
    assert_ne!(first.generation, second.generation);
    rig.mail(Mail::Reply { to: first, frame: frame(r#"{"ev":"ok","re":7}"#), behind: None, late: false });
    assert!(answers(&mut rig, 0).is_empty());
    rig.mail(Mail::Reply { to: second, frame: frame(r#"{"ev":"ok","re":7}"#), behind: None, late: false });
    assert_eq!(answers(&mut rig, 0).len(), 1);
}

#[test]
fn commands_that_need_a_connection_are_not_known_to_requests() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    let room = room_of(THERE, 0);
    for command in [
        r#"{"id":1,"op":"hello","token":"t"}"#.to_owned(),
        r#"{"id":1,"op":"refresh","token":"t"}"#.to_owned(),
        r#"{"id":1,"op":"ping"}"#.to_owned(),
        format!(r#"{{"id":1,"op":"subscribe","room":"{room}"}}"#),
        format!(r#"{{"id":1,"op":"unsubscribe","room":"{room}"}}"#),
        format!(r#"{{"id":1,"op":"presence","watch":["{user}"]}}"#),
        format!(r#"{{"id":1,"op":"presence","room":"{room}","watch":["{user}"]}}"#),
    ] {
        ask(&mut rig, 0, user, &command);
        assert_eq!(code(&mut rig, 0), "unknown_op", "{command}");
    }
    assert!(rig.mail.is_empty() && rig.requests.is_empty() && rig.closed.is_empty());
}

#[test]
fn all_requests_of_an_account_share_its_rate_with_its_connections() {
    let mut rig = Rig::with(|limits| {
        limits.commands_per_connection_per_second = 0;
        limits.commands_per_account_per_second = 10;
    });
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    let find = |rig: &mut Rig| {
        ask(rig, 0, user, r#"{"id":1,"op":"find","name":"n"}"#);
        if rig.requests.pop().is_some() { "asked".to_owned() } else { code(rig, 0) }
    };
    // Half of ten a second, for two seconds at once.
    let told: Vec<_> = (0..11).map(|_| find(&mut rig)).collect();
    assert_eq!(told.iter().filter(|one| *one == "asked").count(), 10);
    assert_eq!(told[10], "rate_limited");
    // The connection has the other half, until requests have stopped for a while.
    let pings = |rig: &mut Rig| {
        for _ in 0..25 {
            rig.text(1, r#"{"id":2,"op":"ping"}"#);
        }
        rig.story(1).iter().filter(|one| *one == "ok").count()
    };
    assert_eq!(pings(&mut rig), 10);
    rig.wait_millis(20_000);
    assert_eq!(pings(&mut rig), 20);
    assert_eq!(rig.engine.users_known(), 1);
    rig.give(Input::Closed { slot: Slot(1) });
    assert_eq!(rig.engine.users_known(), 0, "nothing is kept of who only made requests");
}

#[test]
fn who_is_here_is_told_to_members_without_a_subscription() {
    let mut rig = Rig::new();
    let (user, other, room) = (user_of(HERE, 0), user_of(HERE, 1), room_of(THERE, 0));
    let to = rig.sign_in(1, other);
    rig.subscribe(to, room, 4);
    for (mine, expected) in [(true, "here"), (false, "error")] {
        ask(&mut rig, 0, user, &format!(r#"{{"id":5,"op":"presence","room":"{room}"}}"#));
        let Some((_, Mail::Here { gather, .. })) = rig.mail.pop() else { panic!("the other shard is asked") };
        rig.mail(Mail::HereUsers { gather, users: [].into(), count: 0 });
        let row = |room: RoomId| Membership {
            room,
            kind: RoomKind::Public,
            name: "n".to_owned(),
            avatar: MediaId::NIL,
            role: Role::Member,
            peer: UserId::NIL,
            request: None,
            personal: lynk_model::Personal::default(),
        };
        let next = RoomId((u128::from_be_bytes(room.0) + 1).to_be_bytes());
        rig.reply(StoreReply::Memberships(vec![row(if mine { room } else { next })]));
        assert!(answers(&mut rig, 0).is_empty());
        rig.reply(StoreReply::Blocks(Vec::new()));
        if mine {
            assert!(answers(&mut rig, 0).is_empty());
            rig.reply(StoreReply::Hidden(Vec::new()));
        }
        let answer = answers(&mut rig, 0).remove(0);
        assert_eq!(answer["ev"], expected, "{answer}");
        if mine {
            assert_eq!(answer["users"], serde_json::json!([other.to_string()]));
        } else {
            assert_eq!(answer["code"], "not_a_member");
        }
    }
}

#[test]
fn a_ticket_signs_in_when_the_bridge_says_what_it_is_good_for() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.upgrade(1);
    rig.text(1, r#"{"id":4,"op":"hello","ticket":"lt1_x"}"#);
    rig.text(1, r#"{"id":5,"op":"ping"}"#);
    assert_eq!(rig.story(1), ["error not_signed_in"]);
    rig.text(1, r#"{"id":6,"op":"hello","ticket":"lt1_x"}"#);
    assert_eq!(rig.story(1), ["error conflict"], "one at a time");
    let to = ConnectionRef { shard: HERE, slot: Slot(1), generation: 1 };
    let expires = Millis(rig.now.wall.0 + 60_000);
    let outcome = TicketOutcome::Good { principal: Rig::principal(user), expires };
    let late = ConnectionRef { generation: 7, ..to };
    rig.give(Input::Api(ApiInput::Ticket { to: late, re: 4, outcome }));
    assert_eq!(rig.story(1), Vec::<String>::new(), "an answer for who had the slot before is nobody's");
    rig.give(Input::Api(ApiInput::Ticket { to, re: 4, outcome }));
    let ok = rig.take_sent(1).remove(0);
    assert_eq!((&ok["re"], &ok["user"]), (&4.into(), &user.to_string().into()));
    rig.give(Input::Api(ApiInput::Ticket { to, re: 4, outcome }));
    assert_eq!(rig.story(1), Vec::<String>::new());
    rig.wait_millis(61_000);
    assert_eq!(rig.closed, [(Slot(1), CloseCode::TokenExpired)]);
}

#[test]
fn a_ticket_that_is_not_good_or_not_answered_ends_the_connection() {
    let mut rig = Rig::new();
    for (slot, outcome, error, close) in [
        (1, Some(TicketOutcome::Bad), "error invalid_token", CloseCode::BadAuth),
        (2, Some(TicketOutcome::Busy), "error busy", CloseCode::TryLater),
        (3, None, "", CloseCode::TryLater),
    ] {
        rig.upgrade(slot);
        rig.text(slot, r#"{"id":4,"op":"hello","ticket":"lt1_x"}"#);
        let to = ConnectionRef { shard: HERE, slot: Slot(slot), generation: 1 };
        match outcome {
            Some(outcome) => {
                rig.give(Input::Api(ApiInput::Ticket { to, re: 4, outcome }));
                assert_eq!(rig.story(slot), [error]);
            }
            None => rig.wait_millis(3_200),
        }
        assert_eq!(rig.closed.pop(), Some((Slot(slot), close)));
    }
    rig.upgrade(4);
    rig.text(4, &format!(r#"{{"id":4,"op":"hello","ticket":"{}"}}"#, "x".repeat(200)));
    assert_eq!(rig.closed.pop(), Some((Slot(4), CloseCode::BadAuth)), "nobody is asked about that");
}

fn revoke(rig: &mut Rig, user: UserId, session: u8) {
    let until = Millis(rig.now.wall.0 + 900_000);
    rig.give(Input::Api(ApiInput::Revoke { user, session: SessionId([session; 16]), until }));
}

#[test]
fn a_revoked_session_ends_everywhere_at_once() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    let to = rig.sign_in(1, user);
    let elsewhere = ConnectionRef { shard: THERE, slot: Slot(8), generation: 3 };
    rig.mail(Mail::SignedIn { connection: elsewhere, principal: Rig::principal(user) });
    rig.mail.clear();
    revoke(&mut rig, user, 8);
    assert_eq!(rig.closed, [], "another session of the user");
    rig.mail.clear();
    revoke(&mut rig, user, 9);
    assert_eq!(rig.closed, [(Slot(1), CloseCode::Revoked)]);
    let told = |mail: &(_, Mail)| matches!(mail, (THERE, Mail::Revoked { to, .. }) if *to == elsewhere);
    assert!(rig.mail.iter().any(told), "{:?}", rig.mail);

    // Its tokens are good for nothing any more: hello, refresh, request.
    rig.upgrade(2);
    rig.hello(2, user, "");
    assert_eq!(rig.story(2), ["error invalid_token"]);
    assert_eq!(rig.closed.pop(), Some((Slot(2), CloseCode::Revoked)));
    ask(&mut rig, 0, user, r#"{"id":1,"op":"find","name":"n"}"#);
    assert_eq!(code(&mut rig, 0), "invalid_token");
    rig.mail(Mail::Revoked { to, session: SessionId([9; 16]) });
    assert_eq!(rig.closed.len(), 1, "a closed connection is not closed again");
}

#[test]
fn a_connection_that_another_shard_let_in_meanwhile_is_closed_by_the_users_shard() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    revoke(&mut rig, user, 9);
    let connection = ConnectionRef { shard: THERE, slot: Slot(8), generation: 3 };
    rig.mail(Mail::SignedIn { connection, principal: Rig::principal(user) });
    match rig.mail.pop() {
        Some((THERE, Mail::Revoked { to, session })) => {
            assert_eq!((to, session), (connection, SessionId([9; 16])));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.engine.users_known(), 0);
}

#[test]
fn a_full_mailbox_delays_the_end_of_a_session_and_does_not_lose_it() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    let connection = ConnectionRef { shard: THERE, slot: Slot(8), generation: 3 };
    rig.mail(Mail::SignedIn { connection, principal: Rig::principal(user) });
    rig.mail.clear();
    revoke(&mut rig, user, 9);
    let (to, mail) = rig.mail.pop().expect("the other shard is told");
    rig.give(Input::MailRefused { to, mail });
    assert!(rig.mail.is_empty());
    rig.wait_millis(50);
    assert!(matches!(rig.mail.pop(), Some((THERE, Mail::Revoked { .. }))));
}

#[test]
fn a_refresh_with_a_token_of_a_revoked_session_moves_no_end() {
    let mut rig = Rig::new();
    // The user's shard is the other one, which has not told this shard's connection yet.
    let user = user_of(THERE, 0);
    rig.sign_in(1, user);
    revoke(&mut rig, user, 9);
    assert_eq!(rig.closed, []);
    let token = rig.token(user, 9, 1_800_000);
    rig.text(1, &format!(r#"{{"id":3,"op":"refresh","token":"{token}"}}"#));
    assert_eq!(rig.story(1), ["error invalid_token"]);
}

#[test]
fn a_request_whose_token_ended_on_the_way_is_refused() {
    let mut rig = Rig::new();
    let principal = Principal { ..Rig::principal(user_of(HERE, 0)) };
    let text = r#"{"id":1,"op":"find","name":"n"}"#.into();
    let input = ApiInput::Command { slot: Slot::api(0), principal, expires: rig.now.wall, text };
    rig.give(Input::Api(input));
    assert_eq!(code(&mut rig, 0), "token_expired");
}
