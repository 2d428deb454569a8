//! Refresh families under attack: replay, theft, races, clocks.

use std::sync::{Arc, Barrier};

use lynk_api::accounts::NoBlocks;
use lynk_domain::UserId;
use lynk_embedded::Accounts;
use lynk_model::account::AuditKind;
use lynk_model::port::{AccountStore as _, ready};
use serde_json::{Value, json};

use crate::support::{Server, call, lax, text};

const ALICE: &str = "+4915112345601";

/// Whether an access token is good for anything.
fn is_signed_in(server: &Server, access: &Value) -> bool {
    server.get("/v1/sessions", access.as_str().expect("a token")).status == 200
}

/// What the audit log says, newest first. A store has one owner at a time, so the server ends here.
fn audit(server: Server, user: &Value) -> Vec<AuditKind> {
    let data = Arc::clone(&server.data);
    server.end();
    let store = Accounts::open(data.path()).expect("opens");
    let user = UserId::parse(user.as_str().expect("an id")).expect("an id");
    ready(store.audit(user, 100)).expect("readable").iter().map(|event| event.kind).collect()
}

#[test]
fn each_refresh_gives_the_next_pair_and_the_session_stays() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let mut token = made["refresh_token"].clone();
    for turn in 1..=20u64 {
        server.advance(900_000);
        assert_eq!(server.get("/v1/me", text(&made, "access_token")).code(401), "token_expired");
        let next = server.refresh(&token).ok(200);
        assert_eq!(next["session"], made["session"]);
        assert_ne!(next["refresh_token"], token);
        assert!(is_signed_in(&server, &next["access_token"]), "turn {turn}");
        token = next["refresh_token"].clone();
    }
}

#[test]
fn a_replay_inside_the_grace_gets_the_same_successor() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let first = server.refresh(&made["refresh_token"]).ok(200);
    server.advance(30_000);
    let again = server.refresh(&made["refresh_token"]).ok(200);
    assert_eq!(first["refresh_token"], again["refresh_token"]);
    assert_ne!(first["access_token"], again["access_token"], "access tokens are each their own");
    assert!(is_signed_in(&server, &first["access_token"]) && is_signed_in(&server, &again["access_token"]));
    server.refresh(&first["refresh_token"]).ok(200);
}

#[test]
fn a_thief_and_a_victim_both_lose_the_family_and_it_is_on_record() {
    for victim_first in [true, false] {
        let server = Server::new();
        let made = server.sign_up(ALICE, "alice");
        let stolen = made["refresh_token"].clone();
        // One of them turns the stolen token; the other comes with the same one after the grace.
        let fast = server.refresh(&stolen).ok(200);
        let newest = server.refresh(&fast["refresh_token"]).ok(200);
        server.advance(31_000);
        assert_eq!(server.refresh(&stolen).code(401), "invalid_token", "victim first: {victim_first}");
        assert_eq!(server.refresh(&newest["refresh_token"]).code(401), "invalid_token");
        for access in [&made["access_token"], &fast["access_token"], &newest["access_token"]] {
            assert!(!is_signed_in(&server, access), "access tokens of the family end with it");
        }
        assert!(server.told_of(&made["session"]));
        assert_eq!(audit(server, &made["user"]["user"])[0], AuditKind::RefreshReuse);
    }
}

#[test]
fn a_very_old_token_still_ends_its_family_and_a_made_up_one_ends_none() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let mut token = made["refresh_token"].clone();
    for _ in 0..30 {
        server.advance(60_000);
        token = server.refresh(&token).ok(200)["refresh_token"].clone();
    }
    // Every change of the text is noticed before any family is looked at.
    let text = token.as_str().expect("text");
    for at in [4, 20, 30, 60, text.len() - 1] {
        let mut forged = text.as_bytes().to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = json!(String::from_utf8(forged).expect("ASCII"));
        assert_eq!(server.refresh(&forged).code(401), "invalid_token");
    }
    token = server.refresh(&token).ok(200)["refresh_token"].clone();
    assert_eq!(server.refresh(&made["refresh_token"]).code(401), "invalid_token", "thirty turns old");
    assert_eq!(server.refresh(&token).code(401), "invalid_token");
}

#[test]
fn two_tabs_that_refresh_at_once_both_stay_signed_in_and_share_one_successor() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let mut token = made["refresh_token"].clone();
    for _ in 0..10 {
        server.advance(60_000);
        let barrier = Arc::new(Barrier::new(8));
        let tabs: Vec<_> = (0..8)
            .map(|_| {
                let (barrier, token, to) = (Arc::clone(&barrier), token.clone(), server.address);
                std::thread::spawn(move || {
                    barrier.wait();
                    call(to, "POST", "/v1/auth/refresh", None, Some(&json!({ "refresh_token": token })), None)
                        .ok(200)
                })
            })
            .collect();
        let answers: Vec<Value> = tabs.into_iter().map(|tab| tab.join().expect("answered")).collect();
        assert!(answers.windows(2).all(|two| two[0]["refresh_token"] == two[1]["refresh_token"]));
        assert!(answers.iter().all(|one| is_signed_in(&server, &one["access_token"])));
        token = answers[0]["refresh_token"].clone();
    }
}

#[test]
fn a_clock_that_jumps_back_neither_revives_nor_kills() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    server.advance(3_600_000);
    let next = server.refresh(&made["refresh_token"]).ok(200);
    server.jump_back(1_800_000);
    // The newest token is good at any time; the one before it is not in its grace half an hour before it was used.
    let newest = server.refresh(&next["refresh_token"]).ok(200);
    assert!(is_signed_in(&server, &newest["access_token"]));
    assert_eq!(server.refresh(&made["refresh_token"]).code(401), "invalid_token");
    assert_eq!(server.refresh(&newest["refresh_token"]).code(401), "invalid_token", "that was theft");
}

#[test]
fn a_session_ends_by_idleness_and_by_age() {
    const DAY: u64 = 86_400_000;
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    assert_eq!(made["refresh_expires_at"], server.wall() + 30 * DAY);
    server.advance(30 * DAY);
    assert_eq!(server.refresh(&made["refresh_token"]).code(401), "invalid_token", "idle");
    let again = server.sign_in(ALICE, "");
    let opened = server.wall();
    let mut token = again["refresh_token"].clone();
    for _ in 0..8 {
        server.advance(20 * DAY);
        token = server.refresh(&token).ok(200)["refresh_token"].clone();
    }
    server.advance(19 * DAY);
    let last = server.refresh(&token).ok(200);
    assert_eq!(last["refresh_expires_at"], opened + 180 * DAY, "no later than its age allows");
    server.advance(DAY);
    assert_eq!(server.refresh(&last["refresh_token"]).code(401), "invalid_token", "old");
}

#[test]
fn a_restart_knows_families_and_what_was_revoked() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let other = server.sign_in(ALICE, "laptop");
    let next = server.refresh(&made["refresh_token"]).ok(200);
    server.call("POST", "/v1/sessions/revoke_others", Some(text(&other, "access_token")), None).ok(200);
    let third = server.sign_in(ALICE, "tablet");
    let (data, wall) = (Arc::clone(&server.data), server.wall());
    server.end();
    let server = Server::over(data, lax(), Arc::new(NoBlocks), wall + 1_000);
    assert_eq!(server.refresh(&next["refresh_token"]).code(401), "invalid_token");
    assert!(server.told_of(&made["session"]), "its access tokens may still live");
    assert!(is_signed_in(&server, &third["access_token"]));
    server.refresh(&third["refresh_token"]).ok(200);
}

#[test]
fn an_end_is_remembered_for_tokens_of_a_longer_life_than_is_given_now() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let other = server.sign_in(ALICE, "laptop");
    server.call("POST", "/v1/sessions/revoke_others", Some(text(&other, "access_token")), None).ok(200);
    let (data, wall) = (Arc::clone(&server.data), server.wall());
    server.end();
    // The operator shortens the life and starts again, a while after the end.
    let mut policies = lax();
    policies.sessions.access_millis = 60_000;
    let server = Server::over(data, policies, Arc::new(NoBlocks), wall + 120_000);
    assert!(server.told_of(&made["session"]), "its tokens live for another 13 minutes");
    assert!(is_signed_in(&server, &other["access_token"]));
    server.call("POST", "/v1/auth/logout", Some(text(&other, "access_token")), None).ok(204);
    // Another end makes the shards forget what is over.
    server.advance(120_000);
    let third = server.sign_in(ALICE, "tablet");
    server.call("POST", "/v1/auth/logout", Some(text(&third, "access_token")), None).ok(204);
    assert!(server.told_of(&other["session"]), "so does the token of a session that ends now");
}
