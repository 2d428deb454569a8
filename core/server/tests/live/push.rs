//! Notifications, from the real program to a server that behaves as Google's two do.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lynk_domain::UserId;
use serde_json::{Value, json};

use crate::google::{Answer, Google};
use crate::people::{as_user, sign_in};
use crate::support::http::Http;
use crate::support::{Chatter, LYNK, NO_RATES, PATIENCE, Server, key, serve_at, user};

#[cfg(feature = "kafka")]
mod apart;

struct World {
    google: Google,
    place: tempfile::TempDir,
    options: Vec<String>,
}

impl World {
    fn new(window: &str) -> Self {
        let (google, place) = (Google::start(), tempfile::tempdir().expect("a directory"));
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, text).expect("writable");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
            path.display().to_string()
        };
        // The machine may have no certificates of authorities, and none is asked for here.
        let nobody = rcgen::generate_simple_self_signed(vec!["nobody".to_owned()]).expect("a certificate");
        let settings = [
            "sms.console=file".to_owned(),
            "push.provider=fcm".to_owned(),
            format!("push.fcm_account_file={}", file("account.json", &google.account())),
            format!("push.fcm_ca_file={}", file("ca.pem", &nobody.cert.pem())),
            format!("push.fcm_api_url={}", google.url()),
            format!("push.window={window}"),
            "push.retry_min=100ms".to_owned(),
        ];
        let mut options: Vec<String> = NO_RATES.iter().map(|one| (*one).to_owned()).collect();
        settings.into_iter().for_each(|one| options.extend(["--set".to_owned(), one]));
        Self { google, place, options }
    }

    fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    fn start(&self) -> Server {
        Server::start(&self.data(), &self.options())
    }
}

fn register(http: &mut Http, token: &str, platform: &str) {
    let body = json!({"provider": "fcm", "token": token, "platform": platform});
    let answer = http.ask("PUT", "/v1/me/push", Some(&body));
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn device_of(server: &Server, user: UserId) -> String {
    let token = format!("token-{user}");
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(user));
    register(&mut http, &token, "android");
    token
}

fn why(data: &Path, room: &str, seq: &Value, user: &str) -> Value {
    let message = format!("{room}/{seq}");
    let out = Command::new(LYNK).args(["why", &message, user, "-o", "json", "--data"]).arg(data).output();
    let out = out.expect("lynk can be started");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// Waits until `look` finds something.
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_device_is_registered_tried_and_gone_with_its_session() {
    let world = World::new("10m");
    let (data, mut server) = (world.data(), world.start());
    let anna = sign_in(&server, &data, "+4915112345701", "anna");
    let mut http = as_user(&server, &anna);
    let test = "/v1/me/push/test";
    let told = http.bad("POST", test, Value::Null, 409, "conflict").json();
    assert!(told["message"].as_str().expect("words").contains("PUT /v1/me/push"), "{told}");
    for (body, words) in [
        (json!({"provider": "console", "token": "t", "platform": "ios"}), "provider must be fcm"),
        (json!({"provider": "fcm", "token": "a b", "platform": "ios"}), "printable"),
        (json!({"provider": "fcm", "token": "x".repeat(4_097), "platform": "ios"}), "4096"),
        (json!({"provider": "fcm", "token": "t", "platform": "toaster"}), "platform"),
        (json!({"provider": "fcm", "platform": "ios"}), "token"),
    ] {
        let told = http.bad("PUT", "/v1/me/push", body, 400, "invalid_field").json();
        assert!(told["message"].as_str().expect("words").contains(words), "{told}");
    }
    Http::connect(&server.address).bad("PUT", "/v1/me/push", json!({}), 401, "not_signed_in");

    register(&mut http, "the-device", "ios");
    assert_eq!(http.good("POST", test, Value::Null, 200), json!({"outcome": "sent"}));
    world.google.will_answer("the-device", &[Answer::Refused(404, "UNREGISTERED", None)]);
    let tried = http.good("POST", test, Value::Null, 200);
    assert_eq!(tried, json!({"outcome": "unregistered", "cause": "unregistered"}));
    assert_eq!(http.ask("DELETE", "/v1/me/push", None).status, 204);
    http.bad("POST", test, Value::Null, 409, "conflict");

    // Two accounts on one telephone: its token is on the latest.
    register(&mut http, "the-device", "android");
    let ben = sign_in(&server, &data, "+4915112345702", "ben");
    let mut other = as_user(&server, &ben);
    register(&mut other, "the-device", "android");
    http.bad("POST", test, Value::Null, 409, "conflict");
    let room = room_of(&server, &anna, &ben);
    let (mut socket, _) = crate::people::socket(&server, &anna);
    let said = socket.say(&room, "to ben, who is not there");
    let pushed = wait("nobody is told", || {
        world.google.taken().into_iter().find(|one| one["data"]["type"] == "message")
    });
    assert_eq!((&pushed["token"], &pushed["data"]["room"]), (&json!("the-device"), &json!(room)));
    assert!(!pushed.to_string().contains("not there"), "ids alone");

    // Signed out: nothing is left to be told.
    assert_eq!(other.ask("POST", "/v1/auth/logout", None).status, 204);
    let user = ben["user"]["user"].as_str().expect("an id").to_owned();
    wait("the device stays", || {
        let told = why(&data, &room, &said["seq"], &user);
        told["push"]["devices"].as_array().expect("a list").is_empty().then_some(())
    });
    let told = wait("it is not stored", || {
        let told = why(&data, &room, &said["seq"], &user);
        (told["stored"] == true).then_some(told)
    });
    assert_eq!(told["accepted"], true, "{told}");
    is_pushed(&data, &room, &said["seq"], &user);
    let first = said["seq"].clone();
    let anna = anna["user"]["user"].as_str().expect("an id");
    register(&mut http, "annas-device", "web");
    let told = why(&data, &room, &said["seq"], anna);
    assert_eq!(told["push"]["reason"], "no_device", "she had none then: {told}");
    let said = socket.say(&room, "again");
    let own = wait("not decided", || {
        let told = why(&data, &room, &said["seq"], anna);
        (told["push"]["reason"] == "sender").then_some(told)
    });
    assert_eq!(own["push"]["outcome"], "not_pushed");

    // Erased: what was decided about ben is forgotten.
    let pushes = |told: Value| told["push"]["pushes"].as_array().expect("a list").len();
    assert_ne!(pushes(why(&data, &room, &first, &user)), 0);
    let mut erase = Command::new(LYNK);
    erase.args(["accounts", "erase", "--user", "ben", "--reason", "request", "--data"]).arg(&data);
    assert!(erase.output().expect("lynk can be started").status.success());
    let forgotten = wait("what was pushed stays", || {
        let told = why(&data, &room, &first, &user);
        (pushes(told.clone()) == 0).then_some(told)
    });
    assert_eq!(forgotten["push"]["reason"], "no_device", "what was decided went, too: {forgotten}");

    // Tokens are in no log line.
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
    assert!(!server.log_text().contains("the-device"));
}

/// Waits until a push is noted as made, which is after the provider has taken it.
fn is_pushed(data: &Path, room: &str, seq: &Value, user: &str) {
    wait("the push is not noted as made", || {
        (why(data, room, seq, user)["push"]["outcome"] == "pushed").then_some(())
    });
}

/// A conversation of two.
fn room_of(server: &Server, one: &Value, other: &Value) -> String {
    let (mut socket, _) = crate::people::socket(server, one);
    let ok = socket.ask(json!({"op": "direct", "user": other["user"]["user"]}));
    assert_eq!(ok["ev"], "ok", "{ok}");
    // Not by a socket: who has one is not away.
    let back = json!({"user": one["user"]["user"]});
    as_user(server, other).good("POST", "/v1/direct", back, 200);
    ok["room"].as_str().expect("an id").to_owned()
}

#[test]
fn what_was_given_up_is_listed_and_tried_again() {
    let world = World::new("1s");
    let server = world.start();
    let mut writer = Chatter::sign_in(&server);
    let room = writer.create();
    let away = user();
    Chatter::sign_in_as(&server, away, json!([])).join(&room);
    let token = device_of(&server, away);
    world.google.will_answer(&token, &[Answer::Refused(400, "INVALID_ARGUMENT", None)]);
    let dead = |args: &[&str]| -> Value {
        let out = Command::new(LYNK)
            .args(["notify", "dead"])
            .args(args)
            .args(["-o", "json", "--data"])
            .arg(world.data())
            .output();
        let out = out.expect("lynk can be started");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("JSON")
    };
    assert_eq!(dead(&["list"]), json!({"dead": []}));
    gone(&world, &room, away);
    writer.say(&room, "hello");
    let one = wait("nothing is given up", || dead(&["list"])["dead"].as_array()?.first().cloned());
    assert_eq!((&one["cause"], &one["user"]), (&json!("invalid"), &json!(away.to_string())));
    assert_eq!(dead(&["retry", one["push"].as_str().expect("a name")]), json!({"retried": 1}));
    wait("it is not tried again", || (world.google.taken().len() == 1).then_some(()));
    assert_eq!(dead(&["list"]), json!({"dead": []}));
    assert_eq!(server.metric("lynk_push_failures_total{cause=\"invalid\"}"), 1.0);
    assert_eq!(server.metric("lynk_push_tokens_removed_total"), 0.0);
}

/// Messages that are sent; `LYNK_MESSAGES` for another number.
fn messages() -> u64 {
    std::env::var("LYNK_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// People in the room; half of them are not there.
const PEOPLE: usize = 200;

/// A room of 200 with a writer; half of the others are connected, all have devices. Gives the devices of those who are not there.
fn crowd(world: &World, server: &Server) -> (Chatter, String, Vec<Chatter>, BTreeMap<String, UserId>) {
    let mut writer = Chatter::sign_in(server);
    let room = writer.create();
    let (mut there, mut away, mut last) = (Vec::new(), BTreeMap::new(), None);
    for number in 0..PEOPLE - 1 {
        let mut member = Chatter::sign_in(server);
        member.join(&room);
        let token = device_of(server, member.user);
        if number % 2 == 0 {
            away.insert(token, member.user);
            last = Some(member.user);
        } else {
            there.push(member);
        }
        // Whoever does not read does not answer pings.
        if number % 20 == 19 {
            for one in there.iter_mut().chain([&mut writer]) {
                assert_eq!(one.ask(json!({"op": "ping"}))["ev"], "ok");
            }
        }
    }
    gone(world, &room, last.expect("somebody is away"));
    (writer, room, there, away)
}

/// Waits until the notifier knows that somebody whose connection ended is away. Whoever went before is known, too.
fn gone(world: &World, room: &str, who: UserId) {
    wait("somebody who went is still mirrored", || {
        let told = why(&world.data(), room, &json!(1), &who.to_string());
        (told["push"]["connected_now"] == false).then_some(())
    });
}

/// Seqs by token, in the order in which they were told.
fn told_of(taken: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for one in taken {
        let seq = one["data"]["seq"].as_str().and_then(|seq| seq.parse().ok()).expect("a seq");
        told.entry(one["token"].as_str().expect("a token").to_owned()).or_default().push(seq);
    }
    told
}

/// Waits until all of these devices are told of the last message. Then nobody was told of anything twice, or more often than once in a window of
/// a second, and what each was told last counts all `messages`.
fn all_told(world: &World, away: &BTreeMap<String, UserId>, top: u64, messages: u64, begun: Instant) {
    let told = wait("somebody is not told of the last message", || {
        let told = told_of(&world.google.taken());
        away.keys().all(|token| told.get(token).and_then(|seqs| seqs.last()) == Some(&top)).then_some(told)
    });
    let windows = begun.elapsed().as_secs() + 2;
    for (token, seqs) in &told {
        assert!(away.contains_key(token), "{token} is of somebody who is there");
        assert!(seqs.is_sorted_by(|a, b| a < b), "{token} was told twice: {seqs:?}");
        assert!(seqs.len() as u64 <= windows, "{token} was told {} times in {windows} windows", seqs.len());
    }
    let last = json!(top.to_string());
    for one in world.google.taken().iter().filter(|one| one["data"]["seq"] == last) {
        let counted = (&one["data"]["unread"], &one["data"]["badge"]);
        assert_eq!(counted, (&json!(messages.to_string()), &json!(messages.to_string())), "{one}");
    }
}

/// Some requests of these devices have their answer late, so that a kill finds them on their way.
fn answer_late(world: &World, away: &BTreeMap<String, UserId>) {
    for token in away.keys() {
        world.google.will_answer(token, &vec![Answer::Slow(Duration::from_millis(30)); 8]);
    }
}

/// Waits until the server knows that all of these are connected: who came is mirrored about a second later, so many at a time. The writer answers pings meanwhile, which a
/// slow machine takes long for.
fn all_there(world: &World, writer: &mut Chatter, room: &str, said: &Value, there: &[UserId]) {
    for user in there {
        assert_eq!(writer.ask(json!({"op": "ping"}))["ev"], "ok");
        wait("somebody who is there is not mirrored", || {
            let told = why(&world.data(), room, said, &user.to_string());
            (told["push"]["connected_now"] == true).then_some(())
        });
    }
}

#[test]
fn who_is_not_there_is_told_once_in_a_window_and_who_is_there_never() {
    let world = World::new("1s");
    let server = world.start();
    let (mut writer, room, there, away) = crowd(&world, &server);
    let first = writer.say(&room, "first")["seq"].clone();
    let writing = writer.user;
    let members: Vec<UserId> = there.iter().map(|member| member.user).chain([writing]).collect();
    // Whoever does not read does not answer pings, and is away before long.
    for mut member in there {
        std::thread::spawn(move || while member.next().is_some() {});
    }
    all_there(&world, &mut writer, &room, &first, &members);
    // Whoever was not known to be there yet may have been told of the first one.
    let mut told = 0;
    wait("the first message is told for ever", || {
        let before = std::mem::replace(&mut told, world.google.taken().len());
        std::thread::sleep(Duration::from_millis(500));
        (before == told && told >= away.len()).then_some(())
    });
    world.google.forget();
    let begun = Instant::now();
    let mut top = 0;
    for _ in 0..messages() {
        top = writer.say(&room, "m")["seq"].as_u64().expect("a seq");
    }
    all_told(&world, &away, top, messages() + 1, begun);
    let someone = away.values().next().expect("somebody").to_string();
    is_pushed(&world.data(), &room, &json!(top), &someone);
    assert!(server.metric("lynk_push_decisions_total{reason=\"active\"}") >= messages() as f64);
}

#[test]
fn a_kill_in_the_middle_tells_nobody_twice_and_loses_nothing() {
    let world = World::new("1s");
    let server = world.start();
    let (mut writer, room, there, mut away) = crowd(&world, &server);
    away.extend(there.iter().map(|member| (format!("token-{}", member.user), member.user)));
    drop(there);
    answer_late(&world, &away);
    let (address, writing, count) = (server.address.clone(), writer.user, messages());
    let (sent, begun) = (AtomicU64::new(0), Instant::now());
    let mut running = Some(server);
    let top = std::thread::scope(|scope| {
        let (sent, room, address, data) = (&sent, &room, &address, world.data());
        let sender = scope.spawn(move || {
            let (mut top, mut waiting) = (0, None);
            while sent.load(Ordering::Acquire) < count {
                let own = waiting.get_or_insert_with(|| key().to_string()).clone();
                match writer.try_ask(json!({"op": "send", "room": room, "key": own, "text": "m"})) {
                    Some(ok) if ok["ev"] == "ok" => {
                        (top, waiting) = (ok["seq"].as_u64().expect("a seq"), None);
                        sent.fetch_add(1, Ordering::AcqRel);
                    }
                    Some(refused) => assert_eq!(refused["retryable"], true, "{refused}"),
                    // It was killed; the next one is at the same address.
                    None => writer = reconnect(address, &data, writing),
                }
            }
            top
        });
        for kill in 1..=3 {
            let before = world.google.taken().len();
            wait("nothing is sent", || {
                let sent = sent.load(Ordering::Acquire) >= count * kill / 4;
                (sent && world.google.taken().len() > before).then_some(())
            });
            running.take().expect("one runs").kill();
            let next = serve_at(address, &world.data(), &world.options());
            running = Some(Server::spawn(next, &world.data()));
        }
        sender.join().expect("no panic")
    });
    all_told(&world, &away, top, count, begun);
    assert!(running.expect("one runs").stop().success());
}

fn reconnect(address: &str, data: &Path, user: UserId) -> Chatter {
    use lynk_server::client::{self, Url};
    wait("the server does not come back", || {
        let url = Url::parse(address).ok()?;
        let (sender, receiver) = client::connect(&url, PATIENCE).ok()?;
        receiver.set_timeout(Some(PATIENCE)).ok()?;
        let token = crate::support::token_from(data, &lynk_auth::Scope::default(), user, 3_600_000);
        let mut chatter = Chatter::over(sender, receiver, user);
        let ok = chatter.try_ask(json!({"op": "hello", "token": token, "resume": []}))?;
        (ok["ev"] == "ok").then_some(chatter)
    })
}
