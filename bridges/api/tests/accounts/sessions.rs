//! Sessions, tickets, people, keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use lynk_api::accounts::{Across, Blocks, Forgetting, Listing};
use lynk_auth::{KeyRing, Scope, SigningKey};
use lynk_domain::{SessionId, UserId};
use lynk_engine::TicketOutcome;
use lynk_model::port::ready;
use serde_json::{Value, json};

use crate::support::{START, Server, lax, ring, text};

const ALICE: &str = "+4915112345601";
const BOB: &str = "+4915112345602";

fn access(value: &Value) -> &str {
    text(value, "access_token")
}

#[test]
fn sessions_are_listed_and_end_one_or_all_others() {
    let server = Server::new();
    let first = server.sign_up(ALICE, "alice");
    let (laptop, tablet) = (server.sign_in(ALICE, "laptop"), server.sign_in(ALICE, "tablet"));
    let bob = server.sign_up(BOB, "bob");
    let listed = server.get("/v1/sessions", access(&laptop)).ok(200);
    let rows = listed["sessions"].as_array().expect("rows");
    let devices: Vec<_> = rows.iter().map(|row| (text(row, "device"), row["current"] == true)).collect();
    assert_eq!(devices, [("first", false), ("laptop", true), ("tablet", false)]);
    let end = |token: &str, session: &str| {
        server.call("DELETE", &format!("/v1/sessions/{session}"), Some(token), None)
    };
    assert_eq!(end(access(&bob), text(&tablet, "session")).code(404), "session_not_found", "another's");
    assert_eq!(end(access(&laptop), "nonsense").code(404), "session_not_found");
    assert_eq!(end(access(&laptop), text(&tablet, "session")).status, 204);
    assert_eq!(end(access(&laptop), text(&tablet, "session")).code(404), "session_not_found");
    assert_eq!(server.get("/v1/me", access(&tablet)).code(401), "invalid_token");
    assert_eq!(server.refresh(&tablet["refresh_token"]).code(401), "invalid_token");
    let others = server.call("POST", "/v1/sessions/revoke_others", Some(access(&laptop)), None).ok(200);
    assert_eq!(others, json!({ "revoked": 1 }));
    assert_eq!(server.get("/v1/me", access(&first)).code(401), "invalid_token");
    server.get("/v1/me", access(&laptop)).ok(200);
    server.get("/v1/me", access(&bob)).ok(200);
    assert_eq!(server.call("POST", "/v1/auth/logout", Some(access(&laptop)), None).status, 204);
    assert_eq!(server.get("/v1/me", access(&laptop)).code(401), "invalid_token");
    assert_eq!(
        [&tablet, &first, &laptop, &bob].map(|one| server.told_of(&one["session"])),
        [true, true, true, false]
    );
}

#[test]
fn another_session_ends_only_after_a_proof_of_the_last_minutes_and_ones_own_always() {
    let server = Server::new();
    let first = server.sign_up(ALICE, "alice");
    let (laptop, tablet) = (server.sign_in(ALICE, "laptop"), server.sign_in(ALICE, "tablet"));
    server.advance(5 * 60_000 + 1_000);
    // As whoever has stolen the laptop's tokens: refreshing them proves nothing.
    let laptop = server.refresh(&laptop["refresh_token"]).ok(200);
    let token = access(&laptop);
    let end = |token: &str, session: &str| {
        server.call("DELETE", &format!("/v1/sessions/{session}"), Some(token), None)
    };
    let others = |token: &str| server.call("POST", "/v1/sessions/revoke_others", Some(token), None);
    let refused = end(token, text(&tablet, "session"));
    assert_eq!(refused.code(403), "step_up_required");
    assert!(text(&refused.body, "message").contains("/v1/auth/step_up"));
    assert_eq!(
        end(token, "01010101-0101-4101-8101-010101010101").code(403),
        "step_up_required",
        "nothing is told"
    );
    assert_eq!(others(token).code(403), "step_up_required");
    server.get("/v1/me", access(&first)).ok(200);
    server.get("/v1/me", access(&tablet)).ok(200);

    // Whoever fills the account's questions does not keep it from proving who it is in another session.
    for _ in 0..100 {
        server.get("/v1/me", access(&tablet));
    }
    assert_eq!(server.get("/v1/me", token).code(429), "rate_limited");
    let before = server.messages_to(ALICE, 0).len();
    let asked = server.call("POST", "/v1/auth/step_up/code", Some(token), None).ok(200);
    let code = server.messages_to(ALICE, before + 1).last().expect("sent").code.reveal().to_owned();
    let body = json!({ "request_id": asked["request_id"], "code": code });
    let proved = server.call("POST", "/v1/auth/step_up", Some(token), Some(&body)).ok(200);
    assert_eq!(end(access(&proved), text(&tablet, "session")).status, 204);
    assert_eq!(server.refresh(&tablet["refresh_token"]).code(401), "invalid_token");
    assert_eq!(others(access(&proved)).ok(200), json!({ "revoked": 1 }));
    assert_eq!(server.refresh(&first["refresh_token"]).code(401), "invalid_token");

    // Its own ends without, by its id and by signing out.
    assert_eq!(end(token, text(&laptop, "session")).status, 204);
    let late = server.sign_in(ALICE, "late");
    server.advance(5 * 60_000 + 1_000);
    let late = server.refresh(&late["refresh_token"]).ok(200);
    assert_eq!(server.call("POST", "/v1/auth/logout", Some(access(&late)), None).status, 204);
}

#[test]
fn the_thirty_first_device_takes_the_place_of_the_least_used() {
    let mut policies = lax();
    policies.codes.per_number_day = 9;
    policies.sessions.sessions_max = 3;
    let server = Server::with(policies);
    let first = server.sign_up(ALICE, "alice");
    let second = server.sign_in(ALICE, "2");
    server.sign_in(ALICE, "3");
    server.advance(1_000);
    server.refresh(&first["refresh_token"]).ok(200);
    let fourth = server.sign_in(ALICE, "4");
    assert_eq!(server.get("/v1/me", access(&second)).code(401), "invalid_token");
    let listed = server.get("/v1/sessions", access(&fourth)).ok(200);
    assert_eq!(listed["sessions"].as_array().expect("rows").len(), 3);
    let told = [&first, &second, &fourth].map(|one| server.told_of(&one["session"]));
    assert_eq!(told, [false, true, false]);
}

#[test]
fn a_ticket_opens_one_socket_within_thirty_seconds_and_ends_with_its_session() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let ticket = || {
        let answer = server.call("POST", "/v1/auth/ticket", Some(access(&made)), None).ok(200);
        assert_eq!(answer["expires_in_ms"], 30_000);
        text(&answer, "ticket").to_owned()
    };
    let redeem = |ticket: &str| match ready(server.state.tickets().redeem(server.now(), ticket)) {
        TicketOutcome::Good { principal, expires } => Some((principal, expires)),
        TicketOutcome::Bad => None,
        TicketOutcome::Busy => panic!("nothing is away"),
    };
    let (first, second, third) = (ticket(), ticket(), ticket());
    assert!(first.starts_with("lt1_"));
    let (principal, expires) = redeem(&first).expect("good");
    assert_eq!(principal.session, SessionId::parse(text(&made, "session")).expect("an id"));
    assert_eq!(principal.user.to_string().as_str(), text(&made["user"], "user"));
    assert_eq!(expires.0, made["access_expires_at"]);
    assert_eq!(redeem(&first), None, "replayed");
    server.advance(30_000);
    assert_eq!(redeem(&second), None, "too late");
    let fourth = ticket();
    server.call("POST", "/v1/auth/logout", Some(access(&made)), None).ok(204);
    assert_eq!((redeem(&third), redeem(&fourth)), (None, None), "the session ended");
    let racers: Vec<_> = {
        let made = server.sign_in(ALICE, "");
        let answer = server.call("POST", "/v1/auth/ticket", Some(access(&made)), None).ok(200);
        let ticket = text(&answer, "ticket").to_owned();
        let (tickets, now) = (Arc::clone(server.state.tickets()), server.now());
        (0..8)
            .map(|_| {
                let (tickets, ticket) = (Arc::clone(&tickets), ticket.clone());
                std::thread::spawn(move || {
                    matches!(ready(tickets.redeem(now, &ticket)), TicketOutcome::Good { .. })
                })
            })
            .collect()
    };
    let opened = racers
        .into_iter()
        .filter(|_| true)
        .map(|racer| racer.join().expect("answers"))
        .filter(|one| *one)
        .count();
    assert_eq!(opened, 1, "eight sockets at once");
}

/// Alice and Bob.
pub(crate) struct Apart(pub(crate) Vec<UserId>);

impl Blocks for Apart {
    fn across<'a>(&'a self, asker: UserId, users: &'a [UserId]) -> Across<'a> {
        let apart = |user: &&UserId| self.0.contains(&asker) && self.0.contains(user);
        let found: BTreeSet<UserId> = users.iter().filter(apart).copied().collect();
        Box::pin(async { Ok(found) })
    }

    fn by<'a>(&'a self, user: UserId) -> Across<'a> {
        self.across(user, &self.0)
    }

    fn rooms<'a>(&'a self, _: lynk_domain::RoomId, _: u32) -> Listing<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget_requests(&self, _: UserId) -> Forgetting<'_> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn people_are_found_by_id_and_by_name_but_not_across_a_block() {
    let server = Server::new();
    let people = [(ALICE, "Straße"), (BOB, "bob"), ("+4915112345603", "carol")]
        .map(|(phone, name)| server.sign_up(phone, name));
    let ids: Vec<_> = people.iter().map(|one| text(&one["user"], "user").to_owned()).collect();
    let token = access(&people[0]);
    let nobody = "01010101-0101-4101-8101-010101010101";
    let found =
        server.get(&format!("/v1/users?ids={},{nobody},{},{}", ids[1], ids[0], ids[1]), token).ok(200);
    assert_eq!(found, json!({ "users": [people[1]["user"], people[0]["user"]] }));
    assert_eq!(server.get("/v1/users/by_name/STRASSE", token).ok(200), people[0]["user"]);
    assert_eq!(server.get("/v1/users/by_name/Stra%C3%9Fe", token).ok(200), people[0]["user"]);
    for missing in ["nobody", "%FF", "%00", &"x".repeat(40)] {
        assert_eq!(server.get(&format!("/v1/users/by_name/{missing}"), token).code(404), "user_not_found");
    }
    let many = vec![nobody; 101].join(",");
    for bad in ["", "?ids=", "?ids=alice", &format!("?ids={nobody},"), "?ids=%FF"] {
        assert_eq!(server.get(&format!("/v1/users{bad}"), token).code(400), "invalid_field", "{bad}");
    }
    server.get(&format!("/v1/users?ids={many}"), token).ok(200);
    let data = Arc::clone(&server.data);
    server.end();
    let apart = Apart(ids[..2].iter().map(|id| UserId::parse(id).expect("an id")).collect());
    let server = Server::over(data, lax(), Arc::new(apart), START);
    let seen = server.get(&format!("/v1/users?ids={}", ids.join(",")), token).ok(200);
    assert_eq!(seen, json!({ "users": [people[0]["user"], people[2]["user"]] }));
    assert_eq!(server.get("/v1/users/by_name/bob", token).code(404), "user_not_found");
    server.get("/v1/users/by_name/carol", token).ok(200);
    server.get("/v1/users/by_name/bob", access(&people[2])).ok(200);
}

#[test]
fn keys_rotate_with_an_overlap() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let kids = || {
        let jwks = server.call("GET", "/.well-known/jwks.json", None, None).ok(200);
        let keys = jwks["keys"].as_array().expect("keys").clone();
        assert!(
            keys.iter().all(|key| key["kty"] == "OKP" && key["crv"] == "Ed25519" && key["alg"] == "EdDSA")
        );
        keys.iter().map(|key| text(key, "kid").to_owned()).collect::<Vec<_>>()
    };
    let key = |seed: u8| SigningKey::generate([seed; 32]).0;
    assert_eq!(kids(), [key(1).public().kid()]);
    let both = KeyRing::new(Scope::default(), key(2), [key(1).public()]).expect("two keys");
    server.state.keys().replace(both);
    assert_eq!(kids(), [key(2).public().kid(), key(1).public().kid()], "the one that signs first");
    server.get("/v1/me", access(&made)).ok(200);
    let next = server.refresh(&made["refresh_token"]).ok(200);
    server.get("/v1/me", access(&next)).ok(200);
    server.state.keys().replace(ring(2));
    assert_eq!(server.get("/v1/me", access(&made)).code(401), "invalid_token", "the overlap is over");
    server.get("/v1/me", access(&next)).ok(200);
}

#[test]
fn a_request_without_a_good_token_is_told_how_to_get_one() {
    let server = Server::new();
    let made = server.sign_up(ALICE, "alice");
    let none = server.call("GET", "/v1/me", None, None);
    assert_eq!((none.code(401), none.header("www-authenticate")), ("not_signed_in", Some("Bearer")));
    for bad in ["", "x", "a.b.c", text(&made, "refresh_token")] {
        assert_eq!(server.get("/v1/me", bad).code(401), "invalid_token", "{bad}");
    }
    let foreign = Server::with(lax());
    foreign.state.keys().replace(ring(9));
    let other = foreign.sign_up(ALICE, "alice");
    assert_eq!(server.get("/v1/me", access(&other)).code(401), "invalid_token");
    // Signed by this server's key, for a session that it never opened.
    let grant = lynk_auth::Grant {
        user: UserId([1; 16]),
        session: SessionId([2; 16]),
        epoch: 0,
        id: [3; 16],
        issued: lynk_domain::Millis(server.wall()),
        expires: lynk_domain::Millis(server.wall() + 60_000),
    };
    let token = ring(1).issue(&grant);
    assert_eq!(server.get("/v1/me", token.reveal()).code(401), "invalid_token");
    let twice = format!(
        "GET /v1/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {0}\r\nauthorization: Bearer {0}\r\n\r\n",
        access(&made)
    );
    assert_eq!(server.raw(&twice).code(401), "invalid_token");
}

#[test]
fn an_account_asks_a_hundred_times_at_once_and_may_still_end_its_sessions() {
    let server = Server::new();
    let (alice, bob) = (server.sign_up(ALICE, "alice"), server.sign_up(BOB, "bob"));
    let ticket = |of: &Value| server.call("POST", "/v1/auth/ticket", Some(access(of)), None);
    for _ in 0..100 {
        ticket(&alice).ok(200);
    }
    let soon = ticket(&alice);
    assert_eq!((soon.code(429), &soon.body["retry_after_ms"]), ("rate_limited", &json!(20)));
    let id = text(&alice["user"], "user");
    for path in ["/v1/me", "/v1/sessions", "/v1/users/by_name/bob", &format!("/v1/users?ids={id}")] {
        assert_eq!(server.get(path, access(&alice)).code(429), "rate_limited", "{path}");
    }
    ticket(&bob).ok(200);
    server.advance(20);
    ticket(&alice).ok(200);
    server.call("POST", "/v1/auth/logout", Some(access(&alice)), None).ok(204);
}
