//! Every operation and every command, asked by everybody: the answers are those of the table, and what is hidden is answered as what is not there.

mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use lynk_auth::{Grant, Scope, SigningKey};
use lynk_domain::{Millis, SessionId, UserId};
use lynk_protocol::OPS;
use serde_json::{Value, json};

use self::table::{ACCOUNT, ANYBODY, IN_ROOM, OF_ACCOUNT, OPEN, Request, Row};
use crate::people::{as_user, sign_in};
use crate::support::http::Http;
use crate::support::{Chatter, LYNK, NO_RATES, Server, key, random, user, wall_millis};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");

const OPTIONS: [&str; 14] = [
    "--set",
    "sms.console=file",
    "--set",
    "codes.per_address_hour=0",
    "--set",
    "codes.per_prefix_hour=0",
    "--set",
    "codes.attempts_per_address_minute=0",
    "--set",
    "codes.messages_hour=90000",
    "--set",
    "codes.messages_day=2000000",
    "--shards",
    "2",
];

/// Somebody with an account.
struct Person {
    name: String,
    id: String,
    made: Value,
}

impl Person {
    fn token(&self) -> &str {
        self.made["access_token"].as_str().expect("a token")
    }
}

/// What the places in a row stand for.
#[derive(Clone, Default)]
struct Places(Vec<(&'static str, String)>);

impl Places {
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
    }

    fn fill(&self, text: &str) -> String {
        let mut text =
            text.replace("{key}", &key().to_string()).replace("{name}", &format!("name-{}", key()));
        for (name, value) in &self.0 {
            // Numbers stand alone.
            if matches!(*name, "seq" | "own" | "pinned") {
                text = text.replace(&format!("\"{{{name}}}\""), value);
            }
            text = text.replace(&format!("{{{name}}}"), value);
        }
        assert!(!text.contains("{room") && !text.contains("{user"), "{text}");
        text
    }
}

/// The people, and rooms that are made anew when something changed.
struct World<'a> {
    server: &'a Server,
    people: Vec<Person>,
    sockets: Vec<Chatter>,
    conversation: Places,
    private: Places,
    public: Places,
    club: String,
    numbers: u32,
}

const NAMES: [&str; 11] = [
    "owner",
    "admin",
    "moderator",
    "member",
    "muted",
    "banned",
    "target",
    "outsider",
    "stranger",
    "blocked",
    "blocker",
];

impl<'a> World<'a> {
    fn new(server: &'a Server, data: &Path) -> Self {
        let mut world = World {
            server,
            people: Vec::new(),
            sockets: Vec::new(),
            conversation: Places::default(),
            private: Places::default(),
            public: Places::default(),
            club: String::new(),
            numbers: 0,
        };
        for name in NAMES.into_iter().chain(["suspended"]) {
            let person = world.account(data, name);
            world.people.push(person);
        }
        world.sockets = NAMES.map(|name| world.socket(name)).into();
        let out = std::process::Command::new(LYNK)
            .args(["accounts", "suspend", "--user", "suspended", "--data"])
            .arg(data)
            .output()
            .expect("lynk can be started");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let blocker = world.id("blocker");
        let room = world.must("blocked", json!({"op": "direct", "user": blocker}))["room"].clone();
        let blocked = world.id("blocked");
        world.must("blocker", json!({"op": "direct", "user": blocked}));
        let mut places = Places::default();
        places.set("own", world.say("blocked", &room));
        places.set("seq", world.say("blocker", &room));
        world.must("blocker", json!({"op": "block", "user": world.id("blocked"), "key": key().to_string()}));
        places.set("room", room.as_str().expect("an id"));
        places.set("user", blocker);
        places.set("room_name", "blocked-blocker");
        world.conversation = places;
        world.renew();
        world
    }

    /// Somebody new.
    fn account(&mut self, data: &Path, name: &str) -> Person {
        self.numbers += 1;
        let made = sign_in(self.server, data, &format!("+4915112{:06}", 345_000 + self.numbers), name);
        let id = made["user"]["user"].as_str().expect("an id").to_owned();
        Person { name: name.to_owned(), id, made }
    }

    fn person(&self, name: &str) -> &Person {
        self.people.iter().find(|person| person.name == name).expect(name)
    }

    fn id(&self, name: &str) -> String {
        self.person(name).id.clone()
    }

    fn socket(&self, name: &str) -> Chatter {
        let mut socket = Chatter::connect(self.server);
        let answer = socket.ask(json!({"op": "hello", "token": self.person(name).token()}));
        assert_eq!(answer["ev"], "ok", "{name}: {answer}");
        socket
    }

    fn must(&mut self, name: &str, command: Value) -> Value {
        let at = NAMES.iter().position(|one| *one == name).expect(name);
        let answer = self.sockets[at].ask(command.clone());
        assert_ne!(answer["ev"], "error", "{name}: {command}: {answer}");
        self.sockets[at].events.clear();
        answer
    }

    fn say(&mut self, name: &str, room: &Value) -> String {
        let said = json!({"op": "send", "room": room, "text": "not for everybody", "key": key().to_string()});
        self.must(name, said)["seq"].to_string()
    }

    /// A private room with somebody in every role, and a public one with its owner.
    fn renew(&mut self) {
        if let Some((_, room)) = self.private.0.iter().find(|(name, _)| *name == "room") {
            // So that it never has too many open; refused when it was answered.
            let at = NAMES.iter().position(|name| *name == "outsider").expect("a name");
            let withdraw = json!({"op": "withdraw_request", "room": room, "key": key().to_string()});
            self.sockets[at].ask(withdraw);
        }
        let mut private = Places::default();
        let name = format!("room-{}", key());
        let make = json!({"op": "create", "kind": "invite_only", "name": name, "visibility": "all", "key": key().to_string()});
        let room = self.must("owner", make)["room"].clone();
        // Somebody asked when the room was not hidden.
        self.must("outsider", json!({"op": "request_join", "room": room, "key": key().to_string()}));
        self.must(
            "owner",
            json!({"op": "settings", "room": room, "kind": "private", "key": key().to_string()}),
        );
        let make = json!({"op": "create", "kind": "invite_only", "name": format!("club-{}", key()), "key": key().to_string()});
        self.club = self.must("owner", make)["room"].as_str().expect("an id").to_owned();
        private.set("room_name", name);
        for guest in ["admin", "moderator", "member", "muted", "banned", "target"] {
            let id = self.id(guest);
            self.must("owner", json!({"op": "invite", "room": room, "user": id, "key": key().to_string()}));
        }
        for role in ["admin", "moderator"] {
            let id = self.id(role);
            let set = json!({"op": "role", "room": room, "user": id, "role": role, "key": key().to_string()});
            self.must("owner", set);
        }
        private.set("seq", self.say("target", &room));
        for (place, who) in [
            ("own_owner", "owner"),
            ("own_admin", "admin"),
            ("own_moderator", "moderator"),
            ("own_member", "member"),
        ] {
            private.set(place, self.say(who, &room));
        }
        private.set("own_muted", self.say("muted", &room));
        private.set("own_banned", self.say("banned", &room));
        for (op, who) in [("mute", "muted"), ("ban", "banned")] {
            let id = self.id(who);
            self.must("owner", json!({"op": op, "room": room, "user": id, "key": key().to_string()}));
        }
        let pin = json!({"op": "pin", "room": room, "seq": pinned(&private), "key": key().to_string()});
        self.must("owner", pin);
        private.set("room", room.as_str().expect("an id"));
        private.set("user", self.id("target"));
        self.link(&mut private, &room);
        self.private = private;
        // Both sides of the block have said something lately, and not deleted it.
        let (room, blocked) = (json!(self.conversation.fill("{room}")), self.id("blocked"));
        for op in ["unblock", "block"] {
            self.must("blocker", json!({"op": op, "user": blocked, "key": key().to_string()}));
            if op == "unblock" {
                let said = self.say("blocked", &room);
                self.conversation.set("own", said);
                let said = self.say("blocker", &room);
                self.conversation.set("seq", said);
            }
        }
        let mut public = Places::default();
        let name = format!("room-{}", key());
        let make = json!({"op": "create", "name": name, "key": key().to_string()});
        let room = self.must("owner", make)["room"].clone();
        public.set("seq", self.say("owner", &room));
        public.set("room", room.as_str().expect("an id"));
        public.set("room_name", name);
        public.set("user", self.id("target"));
        self.link(&mut public, &room);
        self.public = public;
    }

    /// A link into a room.
    fn link(&mut self, places: &mut Places, room: &Value) {
        let made = self.must("owner", json!({"op": "link", "room": room, "key": key().to_string()}));
        for place in ["code", "link"] {
            places.set(place, made[place].as_str().expect("a text"));
        }
    }

    /// What the places of a row are for somebody of a column.
    fn places(&self, column: &str) -> Places {
        let mut places = match column {
            "passer-by" => self.public.clone(),
            "blocked" => self.conversation.clone(),
            _ => self.private.clone(),
        };
        if column != "blocked" {
            let own = places.0.iter().find(|(name, _)| name.strip_prefix("own_") == Some(column));
            let seq = places.0.iter().find(|(name, _)| *name == "seq");
            let own = own.or(seq).expect("a message").1.clone();
            places.set("own", own);
            if column != "passer-by" {
                places.set("pinned", pinned(&self.private).to_string());
            }
        }
        if matches!(column, "passer-by" | "blocked") {
            places.set("pinned", places.fill("{seq}"));
        }
        if column == "blocked" {
            for place in ["code", "link"] {
                places.set(place, self.private.fill(&format!("{{{place}}}")));
            }
        }
        places.set("no_code", "ab".repeat(32));
        places.set("club", self.club.clone());
        for (place, who) in [
            ("outsider", "outsider"),
            ("an_owner", "owner"),
            ("an_admin", "admin"),
            ("a_moderator", "moderator"),
            ("a_muted", "muted"),
            ("a_banned", "banned"),
        ] {
            places.set(place, self.id(who));
        }
        places
    }

    /// Who asks in a column of a room: their name, `None` for nobody.
    fn asker(column: &str) -> Option<&str> {
        match column {
            "anonymous" => None,
            "passer-by" => Some("stranger"),
            other => Some(other),
        }
    }
}

/// What the owner pins.
fn pinned(places: &Places) -> u64 {
    let seq = places.0.iter().find(|(name, _)| *name == "own_owner").expect("a message");
    seq.1.parse().expect("a number")
}

/// The answer to a request: its status, and its body without what names it.
fn request(
    server: &Server,
    token: Option<&str>,
    (method, path, body): Request,
    places: &Places,
) -> (u16, Value) {
    let mut http = Http::connect(&server.address);
    http.token = token.map(str::to_owned);
    let body: Option<Value> = Some(places.fill(body))
        .filter(|body| !body.is_empty())
        .map(|body| serde_json::from_str(&body).expect(&body));
    let answer = http.ask(method, &places.fill(path), body.as_ref());
    let json = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status, json)
}

/// The answer to a command.
fn command(server: &Server, token: Option<&str>, command: &str, places: &Places) -> Value {
    let mut socket = Chatter::connect(server);
    if let Some(token) = token {
        let answer = socket.ask(json!({"op": "hello", "token": token}));
        if answer["ev"] != "ok" {
            return answer;
        }
    }
    socket.ask(serde_json::from_str(&places.fill(command)).expect(command))
}

/// The code of a refusal. (An answer that is none may carry the code of a link.)
fn word(answer: &Value) -> String {
    let refused = answer["ev"].as_str().is_none_or(|kind| kind == "error");
    answer["code"].as_str().filter(|_| refused).unwrap_or("ok").to_owned()
}

fn rest_word((status, answer): &(u16, Value)) -> String {
    match status {
        200..300 => "ok".to_owned(),
        _ => word(answer),
    }
}

/// A token of the session of somebody, which does not say when they proved who they are.
fn unproved(data: &Path, person: &Person) -> String {
    let der = std::fs::read(data.join("keys/access.p8")).expect("the server made its key");
    let now = wall_millis();
    let session = person.made["session"].as_str().expect("an id");
    let grant = Grant {
        user: UserId::parse(&person.id).expect("an id"),
        session: SessionId::parse(session).expect("an id"),
        epoch: 0,
        id: random(),
        issued: Millis(now - 1_000),
        expires: Millis(now + 600_000),
    };
    SigningKey::from_pkcs8(&der).expect("a key").issue(&Scope::default(), &grant).reveal().to_owned()
}

/// Whether a success leaves things as they were.
fn only_reads(row: &Row) -> bool {
    row.rest.is_none_or(|(method, _, _)| method == "GET")
}

/// What a cell is found to be, by a request and by a command.
fn cell(row: &Row, server: &Server, token: Option<&str>, places: &Places) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(rest) = row.rest {
        found.insert(rest_word(&request(server, token, rest, places)));
    }
    if let Some(asked) = row.command {
        found.insert(word(&command(server, token, asked, places)));
    }
    found
}

fn check(row: &Row, column: &str, at: usize, found: &BTreeSet<String>, wrong: &mut Vec<String>) {
    let expected = row.cells.split(' ').nth(at).expect("a word for each column");
    if found.len() != 1 || !found.contains(expected) {
        wrong.push(format!("{} | {column} | {expected} | {found:?}", row.name));
    }
}

#[test]
fn everybody_is_answered_as_the_table_says() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[&NO_RATES[..], &OPTIONS].concat());
    let mut world = World::new(&server, temp.path());
    let mut wrong = Vec::new();
    for row in table::ROOM {
        assert_eq!(row.cells.split(' ').count(), IN_ROOM.len(), "{}", row.name);
        for (at, column) in IN_ROOM.into_iter().enumerate() {
            let token = World::asker(column).map(|name| world.person(name).token().to_owned());
            let mut found = BTreeSet::new();
            if let Some(rest) = row.rest {
                found.insert(rest_word(&request(&server, token.as_deref(), rest, &world.places(column))));
            }
            if found.contains("ok") && !only_reads(row) {
                world.renew();
            }
            if let Some(asked) = row.command {
                let answer = word(&command(&server, token.as_deref(), asked, &world.places(column)));
                if answer == "ok" && !only_reads(row) {
                    world.renew();
                }
                found.insert(answer);
            }
            check(row, column, at, &found, &mut wrong);
        }
    }
    let foreign = world.person("target");
    let mut places = Places::default();
    places.set("user", world.id("outsider"));
    places.set("foreign_token", foreign.token());
    places.set("foreign_session", foreign.made["session"].as_str().expect("an id"));
    places.set("session", user().to_string());
    places.set("token", "none");
    places.set("my_name", "nobody");
    for row in ACCOUNT {
        assert_eq!(row.cells.split(' ').count(), OF_ACCOUNT.len(), "{}", row.name);
        for (at, column) in OF_ACCOUNT.into_iter().enumerate() {
            let mut places = places.clone();
            let token = match column {
                "anonymous" => None,
                "suspended" => Some(world.person("suspended").token().to_owned()),
                column => {
                    // Somebody new each time: some of these end sessions, or the account.
                    let name = format!("person{}", world.numbers);
                    let person = world.account(temp.path(), &name);
                    places.set("my_name", name);
                    places.set("session", person.made["session"].as_str().expect("an id"));
                    let fresh = person.token().to_owned();
                    let stale = unproved(temp.path(), &person);
                    let token = if column == "stale" { stale } else { fresh };
                    places.set("token", token.clone());
                    Some(token)
                }
            };
            let found = cell(row, &server, token.as_deref(), &places);
            check(row, column, at, &found, &mut wrong);
        }
    }
    for row in OPEN {
        let found = cell(row, &server, None, &places);
        check(row, ANYBODY[0], 0, &found, &mut wrong);
    }
    assert!(
        wrong.is_empty(),
        "{} cells differ (row | column | table | found):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(server.stop().success());
}

fn all() -> impl Iterator<Item = &'static Row> {
    table::ROOM.iter().chain(ACCOUNT).chain(OPEN)
}

#[test]
fn every_operation_and_every_command_has_a_row() {
    let document = std::fs::read_to_string(format!("{DOCS}openapi.json")).expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let shape = |path: &str| {
        let path = path.split('?').next().expect("one");
        path.split('/').map(str::to_owned).collect::<Vec<_>>()
    };
    let fits = |pattern: &[String], path: &[String]| {
        let part = |(pattern, part): (&String, &String)| pattern.starts_with('{') || pattern == part;
        pattern.len() == path.len() && pattern.iter().zip(path).all(part)
    };
    let mut missing = Vec::new();
    let mut patterns = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|method| *method != "parameters") {
            patterns.push((method.to_uppercase(), shape(path)));
        }
    }
    let literal = |pattern: &[String]| pattern.iter().filter(|part| !part.starts_with('{')).count();
    // A path fits several patterns (`/v1/rooms/{room}` and `/v1/rooms/name_available`): the one with fewest places is meant.
    let meant = |(method, path, _): &Request| {
        let path = shape(path);
        let of = patterns.iter().filter(|(of, pattern)| of == method && fits(pattern, &path));
        of.max_by_key(|(_, pattern)| literal(pattern)).cloned()
    };
    let known: BTreeSet<_> = all().filter_map(|row| meant(row.rest.as_ref()?)).collect();
    for pattern in &patterns {
        if !known.contains(pattern) {
            missing.push(format!("{} {}", pattern.0, pattern.1.join("/")));
        }
    }
    let op = |command: &str| serde_json::from_str::<Value>(command).expect(command)["op"].clone();
    let known: BTreeSet<_> =
        all().filter_map(|row| Some(op(row.command?).as_str().expect("an op").to_owned())).collect();
    missing.extend(OPS.iter().filter(|op| !known.contains(**op)).map(|op| (*op).to_owned()));
    assert!(missing.is_empty(), "no row in authorization/table.rs: {missing:?}");
}

/// An answer without what tells one request from another.
fn comparable(answer: &Value, ids: &[&str]) -> String {
    let mut answer = answer.clone();
    if let Some(members) = answer.as_object_mut() {
        members.remove("request_id");
        members.remove("re");
    }
    ids.iter().fold(answer.to_string(), |text, id| text.replace(id, "ID"))
}

#[test]
fn what_is_hidden_is_answered_as_what_does_not_exist() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[&NO_RATES[..], &OPTIONS].concat());
    let mut world = World::new(&server, temp.path());
    let stranger = world.person("stranger").token().to_owned();
    let room = world.private.fill("{room}");
    for row in table::ROOM {
        let hidden = world.places("stranger");
        let mut nothing = hidden.clone();
        let none = user().to_string();
        nothing.set("room", none.clone());
        nothing.set("room_name", "a-name-that-nobody-has");
        let ids = [room.as_str(), &none];
        // Whoever has a code knows of the room.
        let about_room = |text: &str| {
            ["{room}", "{room_name}"].iter().any(|place| text.contains(place)) && !text.contains("{code}")
        };
        if let Some(rest) = row.rest.filter(|(_, path, body)| about_room(&[*path, *body].concat())) {
            let one = request(&server, Some(&stranger), rest, &hidden);
            let other = request(&server, Some(&stranger), rest, &nothing);
            let (a, b) = (comparable(&one.1, &ids), comparable(&other.1, &ids));
            assert_eq!((one.0, a), (other.0, b), "{}", row.name);
        }
        if let Some(asked) = row.command.filter(|text| about_room(text)) {
            let one = command(&server, Some(&stranger), asked, &hidden);
            let other = command(&server, Some(&stranger), asked, &nothing);
            assert_eq!(comparable(&one, &ids), comparable(&other, &ids), "{}", row.name);
            assert!(!one.to_string().contains("not for everybody"), "{}: {one}", row.name);
        }
    }
    // Nobody read the sockets meanwhile, and whoever does not read does not answer pings.
    world.sockets = NAMES.map(|name| world.socket(name)).into();
    // Messages from before one's time are as those that never were.
    let make = json!({"op": "create", "kind": "private", "name": "since", "visibility": "since_join", "key": key().to_string()});
    let room = world.must("owner", make)["room"].clone();
    let before = world.say("owner", &room);
    let id = world.id("member");
    world.must("owner", json!({"op": "invite", "room": room, "user": id, "key": key().to_string()}));
    let member = world.person("member").token().to_owned();
    for row in table::ROOM.iter().filter(|row| row.command.is_some_and(|text| text.contains("\"{seq}\""))) {
        let asked = row.command.expect("filtered");
        if ["read", "delivered", "mark_unread", "clear"].contains(&row.name) {
            continue; // Positions, not messages: they tell nothing about what is there.
        }
        let mut places = world.places("member");
        places.set("room", room.as_str().expect("an id"));
        places.set("seq", before.clone());
        let one = command(&server, Some(&member), asked, &places);
        places.set("seq", "999");
        let other = command(&server, Some(&member), asked, &places);
        assert_eq!(comparable(&one, &[]), comparable(&other, &[]), "{}", row.name);
    }
    // Sessions and people.
    let mut http = as_user(&server, &world.person("member").made);
    let foreign = world.person("target").made["session"].as_str().expect("an id").to_owned();
    let none = user().to_string();
    let mut ended = |session: &str| {
        let answer =
            http.bad("DELETE", &format!("/v1/sessions/{session}"), Value::Null, 404, "session_not_found");
        comparable(&answer.json(), &[session])
    };
    assert_eq!(ended(&foreign), ended(&none));
    as_user(&server, &world.person("target").made).good("GET", "/v1/me", Value::Null, 200);
    let mut http = as_user(&server, &world.person("blocked").made);
    let by_name = |http: &mut Http, name: &str| {
        let path = format!("/v1/users/by_name/{name}");
        comparable(&http.bad("GET", &path, Value::Null, 404, "user_not_found").json(), &[name])
    };
    assert_eq!(by_name(&mut http, "blocker"), by_name(&mut http, "nobody.is.this"));
    let by_id = |http: &mut Http, id: &str| {
        http.good("GET", &format!("/v1/users?ids={id}"), Value::Null, 200).to_string()
    };
    let blocker = world.id("blocker");
    assert_eq!(by_id(&mut http, &blocker), by_id(&mut http, &none));
    assert!(server.stop().success());
}

fn page() -> String {
    let mut page = String::from(
        "# Who may do what\n\nGenerated from `core/server/tests/live/authorization/table.rs` (`make docs`). A test asks every request and every command of a \
         real server as each of these people, and compares. `ok`, or the code of [`protocol.md`](protocol.md#codes); a command and the request that does the same are \
         answered alike. An answer about something that exists and is hidden is the answer about something that does not exist; a test compares those, too.\n",
    );
    let sections: [(&str, &str, &[&str], &[Row]); 3] = [
        (
            "Rooms",
            "The room is private and shows all of its past to members. A *passer-by* is no member of a *public* room, a *stranger* none of the private one; *blocked* is in a \
             conversation of two whose other side blocks. “A member” on whom something is done is a plain one.",
            &IN_ROOM,
            table::ROOM,
        ),
        (
            "One's own account",
            "*Signed in* proved who it is within five minutes, *stale* has a token that does not say so, as after five minutes.",
            &OF_ACCOUNT,
            ACCOUNT,
        ),
        ("Without a token", "", &ANYBODY, OPEN),
    ];
    for (title, about, columns, rows) in sections {
        let about = if about.is_empty() { String::new() } else { format!("{about}\n\n") };
        let _infallible =
            write!(page, "\n## {title}\n\n{about}| | request | command | {} |\n", columns.join(" | "));
        let _infallible = writeln!(page, "|{}", "---|".repeat(columns.len() + 3));
        for row in rows {
            let rest = row.rest.map_or_else(String::new, |(method, path, _)| {
                format!("`{method} {}`", path.split('?').next().expect("one"))
            });
            let op = row.command.map_or_else(String::new, |text| {
                let command: Value = serde_json::from_str(text).expect(text);
                format!("`{}`", command["op"].as_str().expect("an op"))
            });
            let cells: Vec<_> = row
                .cells
                .split(' ')
                .map(|word| if word == "ok" { "**ok**".to_owned() } else { format!("`{word}`") })
                .collect();
            let _infallible = writeln!(page, "| {} | {rest} | {op} | {} |", row.name, cells.join(" | "));
        }
    }
    page
}

#[test]
fn the_page_shows_the_table() {
    let path = format!("{DOCS}authorization.md");
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).expect("the page can be written");
        return;
    }
    assert!(
        std::fs::read_to_string(path).expect("the page") == page(),
        "docs/authorization.md is stale: run `make docs`"
    );
}
