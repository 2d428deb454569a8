//! The bridge between real sockets and shards that the test plays.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use lynk_api::{ApiBridge, ApiOptions, ApiParts, Counts, ShardPort, Shards};
use lynk_auth::{Grant, KeySet, Scope, SigningKey};
use lynk_bridge::Handover;
use lynk_domain::{Millis, SessionId, ShardId, UserId, shard_of_user};
use lynk_engine::{ApiInput, ApiOutput, ConnectionRef, Principal, Slot, TicketAsk, TicketOutcome};
use lynk_http::Policy;
use lynk_protocol::Frame;
use serde_json::{Value, json};

const SHARDS: u16 = 2;
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    bridge: ApiBridge,
    shards: Shards,
    ports: Vec<ShardPort>,
    key: SigningKey,
}

fn wall() -> u64 {
    u64::try_from(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis()).expect("soon enough")
}

fn user_of(shard: u16) -> UserId {
    let user = |n: u128| UserId((0x1000 + n).to_be_bytes());
    (0..).map(user).find(|user| shard_of_user(*user, SHARDS) == ShardId(shard)).expect("endless")
}

fn session() -> SessionId {
    SessionId([9; 16])
}

impl World {
    fn new() -> Self {
        let wakes = (0..SHARDS).map(|_| Arc::new(|| ()) as lynk_bridge::Wake).collect();
        let counts = Arc::new(Counts::default());
        let (intake, shards, ports) = lynk_api::open(wakes, 7, &counts).expect("descriptors");
        let (key, _) = SigningKey::generate([7; 32]);
        let keys = Arc::new(KeySet::new(Scope::default(), [key.public()]).expect("one key"));
        let mut tickets = vec!["lt1_good".to_owned()];
        let parts = ApiParts {
            clock: lynk_api::system_clock(),
            options: ApiOptions {
                policy: Policy::default(),
                connections_max: 100,
                connections_per_network_max: 0,
                request_time: Duration::from_secs(20),
            },
            keys: Arc::new(move || Arc::clone(&keys)),
            redeem: Box::new(move |ticket| {
                let outcome = match tickets.iter().position(|one| one == ticket) {
                    None => TicketOutcome::Bad,
                    Some(at) => {
                        tickets.remove(at);
                        let principal = Principal { user: user_of(0), session: session() };
                        TicketOutcome::Good { principal, expires: Millis(9_000_000_000_000) }
                    }
                };
                Box::pin(std::future::ready(outcome))
            }),
            assets: &[],
            elsewhere: None,
            routes: Router::new().route("/extra", get(|| async { "extra" })),
            operations: Vec::new(),
        };
        let bridge = ApiBridge::start(intake, parts, counts).expect("a thread");
        Self { bridge, shards, ports, key }
    }

    fn token(&self, user: UserId) -> String {
        let issued = Millis(wall() - 1_000);
        let expires = Millis(wall() + 600_000);
        let grant = Grant { user, session: session(), epoch: 0, id: [1; 16], issued, expires };
        self.key.issue(&Scope::default(), &grant).reveal().to_owned()
    }

    /// A client whose socket a shard has handed over, with the first `read` bytes of what it sent.
    fn client(&mut self, shard: u16, bytes: &[u8], read: usize) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("settable");
        let (socket, _) = listener.accept().expect("a client");
        client.write_all(&bytes[read..]).expect("open");
        let read = bytes[..read].to_vec();
        let handover = Handover { socket: socket.into(), read, client: IpAddr::from([192, 0, 2, 7]) };
        let port = &mut self.ports[usize::from(shard)];
        assert!(port.sockets.try_post(handover).is_ok(), "room for one");
        port.bell.ring(|| (port.wake)());
        client
    }

    fn ask(&mut self, user: UserId, method: &str, path: &str, body: &str) -> TcpStream {
        let token = self.token(user);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.client(0, request.as_bytes(), 20)
    }

    fn input(&mut self, shard: u16) -> ApiInput {
        let start = Instant::now();
        loop {
            if let Some(input) = self.ports[usize::from(shard)].inputs.take() {
                return input;
            }
            assert!(start.elapsed() < PATIENCE, "nothing came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn command(&mut self, shard: u16) -> (Slot, Principal, Value) {
        match self.input(shard) {
            ApiInput::Command { slot, principal, text, .. } => {
                (slot, principal, serde_json::from_str(&text).expect("a command is JSON"))
            }
            other => panic!("{other:?}"),
        }
    }

    fn output(&mut self, shard: u16, output: ApiOutput) {
        let port = &mut self.ports[usize::from(shard)];
        assert!(port.answers.try_post(output).is_ok(), "room for one");
        port.bell.ring(|| (port.wake)());
    }

    fn answer(&mut self, shard: u16, slot: Slot, text: &str) {
        let frame = Frame::new(|out| out.extend_from_slice(text.as_bytes()));
        self.output(shard, ApiOutput::Answer { slot, frame });
    }
}

/// Status and body of the one answer of a connection.
fn read(mut client: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer, and the end");
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[test]
fn a_command_goes_to_the_shard_of_its_user_and_its_answer_to_who_asked() {
    let mut world = World::new();
    let room = "c6570214-468b-58cf-974c-e7b638713f42";
    for shard in 0..SHARDS {
        let user = user_of(shard);
        let client = world.ask(user, "POST", &format!("/v1/rooms/{room}/read"), r#"{"seq":4}"#);
        let (slot, principal, command) = world.command(shard);
        assert_eq!(principal, Principal { user, session: session() });
        let id = command["id"].as_u64().expect("a number");
        assert_eq!(command, json!({"id": id, "op": "read", "room": room, "seq": 4}));
        // An answer to whoever had the slot before is nobody's.
        world.answer(shard, slot, r#"{"ev":"ok","re":999999,"unread":7}"#);
        world.answer(shard, slot, &format!(r#"{{"ev":"ok","re":{id},"unread":3}}"#));
        assert_eq!(read(client), (200, json!({"unread": 3})));
    }
    world.bridge.finish();
}

#[test]
fn an_error_of_the_engine_becomes_the_status_of_its_code() {
    let mut world = World::new();
    let client = world.ask(user_of(1), "GET", "/v1/rooms", "");
    let (slot, _, command) = world.command(1);
    let error =
        r#""code":"slow_mode","message":"m","retryable":true,"retry_after_ms":1500,"request_id":"00ff""#;
    world.answer(1, slot, &format!(r#"{{"ev":"error","re":{},{error}}}"#, command["id"]));
    let (status, body) = read(client);
    assert_eq!((status, &body["code"], &body["retry_after_ms"]), (429, &"slow_mode".into(), &1500.into()));
    world.bridge.finish();
}

#[test]
fn who_leaves_gives_the_slot_back_and_one_user_has_so_many_commands_at_a_time() {
    let mut world = World::new();
    let user = user_of(0);
    let clients: Vec<_> = (0..32).map(|_| world.ask(user, "GET", "/v1/rooms", "")).collect();
    for _ in 0..32 {
        world.command(0);
    }
    let (status, body) = read(world.ask(user, "GET", "/v1/rooms", ""));
    assert_eq!((status, &body["code"]), (429, &"rate_limited".into()));
    drop(clients);
    let start = Instant::now();
    loop {
        // The bridge hears of their end in its own time.
        let client = world.ask(user, "GET", "/v1/rooms", "");
        client.set_nonblocking(true).expect("settable");
        while client.peek(&mut [0]).is_err() {
            // Also of a client before this one.
            if let Some(ApiInput::Command { slot, text, .. }) = world.ports[0].inputs.take() {
                let command: Value = serde_json::from_str(&text).expect("JSON");
                world.answer(0, slot, &format!(r#"{{"ev":"sync","re":{},"rooms":[]}}"#, command["id"]));
            }
            assert!(start.elapsed() < PATIENCE, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        client.set_nonblocking(false).expect("settable");
        match read(client) {
            (200, body) => break assert_eq!(body, json!({"rooms": []})),
            refused => assert_eq!((refused.0, &refused.1["code"]), (429, &"rate_limited".into())),
        }
        assert!(start.elapsed() < PATIENCE, "slots of those who left are never free");
    }
    world.bridge.finish();
}

#[test]
fn a_ticket_is_asked_about_once_and_every_question_is_answered() {
    let mut world = World::new();
    let to = ConnectionRef { shard: ShardId(1), slot: Slot(5), generation: 2 };
    for (ticket, good) in [("lt1_bad", false), ("lt1_good", true), ("lt1_good", false)] {
        world.output(1, ApiOutput::Ticket(TicketAsk { to, re: 3, ticket: ticket.into() }));
        match world.input(1) {
            ApiInput::Ticket { to: back, re: 3, outcome } => {
                assert_eq!(back, to);
                assert_eq!(matches!(outcome, TicketOutcome::Good { .. }), good, "{ticket}");
            }
            other => panic!("{other:?}"),
        }
    }
    world.bridge.finish();
}

#[test]
fn every_shard_hears_of_every_session_that_ends_however_full_its_mailbox_is() {
    let mut world = World::new();
    let user = user_of(0);
    let end = Millis(wall() + 600_000);
    for n in 0..5_000u32 {
        let mut id = [1; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        world.shards.revoke(Millis(wall()), user, SessionId(id), end);
    }
    for shard in 0..SHARDS {
        for n in 0..5_000u32 {
            match world.input(shard) {
                ApiInput::Revoke { session, .. } => assert_eq!(session.0[..4], n.to_be_bytes()),
                other => panic!("{other:?}"),
            }
        }
    }
    // The bridge knows it too, before any shard is asked.
    world.shards.revoke(Millis(wall()), user, session(), end);
    let (status, body) = read(world.ask(user, "GET", "/v1/rooms", ""));
    assert_eq!((status, &body["code"]), (401, &"invalid_token".into()));
    world.bridge.finish();
}

#[test]
fn routes_of_others_get_the_same_limits_and_the_same_errors() {
    let mut world = World::new();
    let get = |world: &mut World, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        world.client(1, request.as_bytes(), request.len())
    };
    let mut text = String::new();
    get(&mut world, "/extra").read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("x-request-id: "), "{text}");
    let (status, body) = read(get(&mut world, "/nothing"));
    assert_eq!((status, &body["code"]), (404, &"unknown_op".into()));
    world.bridge.drain();
    let start = Instant::now();
    while !world.bridge.is_drained() {
        assert!(start.elapsed() < PATIENCE, "nothing is under way");
        std::thread::sleep(Duration::from_millis(1));
    }
    // What a shard handed over just before is answered all the same.
    let (status, _) = read(get(&mut world, "/openapi.json"));
    assert_eq!(status, 200);
    world.bridge.finish();
}
