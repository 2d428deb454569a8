//! People who sign up, make rooms, change roles, leave, block and sign out without end, and what they were told is so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::{PATIENCE, Server, key};

/// Options of a server that sends codes to a file, as many as are asked for.
pub(crate) const CODES: [&str; 14] = [
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
    "codes.messages_day=90000",
    "--set",
    "codes.resend=1s",
];

/// What people were told is so.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    /// Members with their roles, by room.
    rooms: BTreeMap<String, BTreeMap<String, String>>,
    /// Who blocks whom, by the numbers of people.
    blocks: BTreeSet<(usize, usize)>,
    /// Whose session has ended.
    ended: BTreeSet<usize>,
}

/// Somebody who signed up.
#[derive(Clone, Debug)]
struct Person {
    id: String,
    name: String,
    token: String,
    refresh: String,
    session: String,
}

/// What there is when it ends.
#[derive(Default, Debug)]
pub(crate) struct Lived {
    people: Vec<Person>,
    told: Told,
    /// What is so as well, if the server did what it did not answer any more.
    perhaps: Option<Told>,
    rooms: Vec<String>,
}

/// People who live until their server ends.
pub(crate) struct Life {
    rounds: Arc<AtomicUsize>,
    thread: JoinHandle<Lived>,
}

impl Life {
    /// Begins it, and waits until there is something of everything.
    pub(crate) fn start(server: &Server) -> Self {
        let rounds = Arc::new(AtomicUsize::new(0));
        let (counted, address, data) = (Arc::clone(&rounds), server.address.clone(), server.data.clone());
        let thread = std::thread::spawn(move || {
            let mut lived = Lived::default();
            while lived.round(&address, &data, counted.load(Ordering::Relaxed)).is_some() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            lived
        });
        let life = Self { rounds, thread };
        life.wait_more(6);
        life
    }

    /// How often everything was done.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until everything was done so many times more.
    pub(crate) fn wait_more(&self, more: usize) {
        let goal = self.rounds() + more;
        while self.rounds() < goal {
            let (so_far, until) = (self.rounds(), std::time::Instant::now() + PATIENCE);
            while self.rounds() == so_far {
                assert!(!self.thread.is_finished(), "somebody failed");
                assert!(std::time::Instant::now() < until, "nothing goes on");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }

    /// Waits for the end of the server, or of its answers.
    pub(crate) fn end(self) -> Lived {
        self.thread.join().expect("whatever is answered is what was asked for")
    }
}

impl Lived {
    /// Does something of everything; `None` when the server ends meanwhile.
    fn round(&mut self, address: &str, data: &Path, round: usize) -> Option<()> {
        let (one, other) = (self.sign_up(address, data)?, self.sign_up(address, data)?);
        let make = json!({"key": key().to_string(), "name": format!("room {}", key())});
        let made = self.ask(address, one, ("POST", "/v1/rooms"), &make)?.json();
        let room = made["room"].as_str().expect("an id").to_owned();
        self.told
            .rooms
            .entry(room.clone())
            .or_default()
            .insert(self.people[one].id.clone(), "owner".to_owned());
        self.rooms.push(room);
        // The first room was there before everything, and the newest is.
        for index in BTreeSet::from([0, self.rooms.len() - 1]) {
            let room = self.rooms[index].clone();
            let id = self.people[other].id.clone();
            let members = |told: &mut Told, role: &str| {
                told.rooms.get_mut(&room).expect("made").insert(id.clone(), role.to_owned());
            };
            let join = (("POST", format!("/v1/rooms/{room}/join")), json!({"key": key().to_string()}));
            self.change(address, other, join, |told| members(told, "member"))?;
            let owner = if index == 0 { 0 } else { one };
            let path = format!("/v1/rooms/{room}/members/{id}/role");
            let role = (("PUT", path), json!({"key": key().to_string(), "role": "moderator"}));
            self.change(address, owner, role, |told| members(told, "moderator"))?;
        }
        if !round.is_multiple_of(2) {
            let (room, id) = (self.rooms[0].clone(), self.people[other].id.clone());
            let leave = (("POST", format!("/v1/rooms/{room}/leave")), json!({"key": key().to_string()}));
            self.change(address, other, leave, |told| {
                told.rooms.get_mut(&room).expect("made").remove(&id);
            })?;
        }
        self.block(address, (one, other), true)?;
        if round >= 3 {
            // Of three rounds ago, when another copy may have been made.
            let (by, user) = (one - 6, other - 6);
            self.block(address, (by, user), false)?;
        }
        if round.is_multiple_of(2) {
            let path = format!("/v1/sessions/{}", self.people[other].session);
            self.change(address, other, (("DELETE", path), Value::Null), |told| {
                told.ended.insert(other);
            })?;
        }
        Some(())
    }

    fn sign_up(&mut self, address: &str, data: &Path) -> Option<usize> {
        let number = self.people.len();
        let (phone, name) = (format!("+4915223{number:06}"), format!("mover{number}"));
        let post = |path: &str, body: Value| {
            Http::attempt(address, None, ("POST", path), &body).map(|answer| answer.json())
        };
        let asked = post("/v1/auth/code", json!({"phone": phone}))?;
        let code = code(address, data, &phone)?;
        let body = json!({"request_id": asked["request_id"], "code": code, "device": "test"});
        let proved = post("/v1/auth/verify", body)?;
        let body = json!({"registration": proved["registration"], "user_name": name, "device": "test"});
        let made = post("/v1/auth/register", body)?;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        self.people.push(Person {
            id: text(&made["user"]["user"]),
            name,
            token: text(&made["access_token"]),
            refresh: text(&made["refresh_token"]),
            session: text(&made["session"]),
        });
        Some(number)
    }

    fn block(&mut self, address: &str, pair: (usize, usize), on: bool) -> Option<()> {
        let path = format!("/v1/blocks/{}?key={}", self.people[pair.1].id, key());
        let method = if on { "PUT" } else { "DELETE" };
        self.change(address, pair.0, ((method, path), Value::Null), |told| {
            if on {
                told.blocks.insert(pair)
            } else {
                told.blocks.remove(&pair)
            };
        })
    }

    fn ask(
        &self,
        address: &str,
        who: usize,
        what: (&str, &str),
        body: &Value,
    ) -> Option<crate::support::http::Answer> {
        Http::attempt(address, Some(&self.people[who].token), what, body)
    }

    /// Does something after which `told` is otherwise.
    fn change(
        &mut self,
        address: &str,
        who: usize,
        ((method, path), body): ((&str, String), Value),
        change: impl FnOnce(&mut Told),
    ) -> Option<()> {
        let mut after = self.told.clone();
        change(&mut after);
        if self.ask(address, who, (method, &path), &body).is_none() {
            self.perhaps = Some(after);
            return None;
        }
        self.told = after;
        Some(())
    }

    /// Asserts that a server has all of it, and nothing else of it.
    pub(crate) fn assert_kept(&self, server: &Server) {
        let get = |who: usize, path: &str| {
            let mut http = Http::connect(&server.address);
            http.token = Some(self.people[who].token.clone());
            http.ask("GET", path, None)
        };
        let mut found = Told::default();
        let awake = |who: usize| get(who, "/v1/me").status == 200;
        for (who, person) in self.people.iter().enumerate() {
            let me = get(who, "/v1/me");
            match me.status {
                200 => {
                    let me = me.json();
                    assert_eq!((&me["user"], &me["user_name"]), (&json!(person.id), &json!(person.name)));
                }
                401 => drop(found.ended.insert(who)),
                other => panic!("{other}: {me:?}"),
            }
        }
        for (room, members) in &self.told.rooms {
            let of_member =
                |(who, person): &(usize, &Person)| members.contains_key(&person.id) && awake(*who);
            let (who, _) = self.people.iter().enumerate().find(of_member).expect("its owner is there");
            let mut roles = BTreeMap::new();
            let mut path = format!("/v1/rooms/{room}/members?limit=100");
            loop {
                let page = get(who, &path).json();
                for member in page["members"].as_array().expect("a list") {
                    let text = |field: &str| member[field].as_str().expect("a text").to_owned();
                    roles.insert(text("user"), text("role"));
                }
                let Some((last, _)) = roles.last_key_value().filter(|_| page["more"] == true) else { break };
                path = format!("/v1/rooms/{room}/members?limit=100&after={last}");
            }
            found.rooms.insert(room.clone(), roles);
        }
        for one in (0..self.people.len() - 1).step_by(2) {
            let path = format!("/v1/users/by_name/{}", self.people[one + 1].name);
            match get(one, &path).status {
                200 => {}
                404 => drop(found.blocks.insert((one, one + 1))),
                other => panic!("{other} for {path}"),
            }
        }
        assert!(
            found == self.told || Some(&found) == self.perhaps.as_ref(),
            "{found:?}\n is not\n{:?}\n nor\n{:?}",
            self.told,
            self.perhaps
        );
        // What signs in goes on, or has ended, too.
        for (who, person) in self.people.iter().enumerate() {
            let body = json!({"refresh_token": person.refresh});
            // So many from one address are told to slow down, and a connection may end meanwhile.
            let answer = loop {
                let mut http = Http::connect(&server.address);
                let answer = http.ask("POST", "/v1/auth/refresh", Some(&body));
                if answer.status != 429 {
                    break answer;
                }
                let millis = answer.json()["retry_after_ms"].as_u64().expect("how long to wait");
                std::thread::sleep(std::time::Duration::from_millis(millis));
            };
            assert_eq!(answer.status, if found.ended.contains(&who) { 401 } else { 200 }, "{answer:?}");
        }
        // A number and a name are somebody's still.
        let again = PathBuf::from(&server.data);
        let proved = prove(server, &again, "+4915223000000");
        assert_eq!(proved["user"]["user"], json!(self.people[0].id), "{proved}");
    }
}

/// Proves a number.
fn prove(server: &Server, data: &Path, phone: &str) -> Value {
    let asked = loop {
        let mut http = Http::connect(&server.address);
        let answer = http.ask("POST", "/v1/auth/code", Some(&json!({"phone": phone})));
        match answer.json()["retry_after_ms"].as_u64() {
            Some(millis) => std::thread::sleep(std::time::Duration::from_millis(millis)),
            None => break answer.json(),
        }
    };
    let code = code(&server.address, data, phone).expect("the server sends it");
    let body = json!({"request_id": asked["request_id"], "code": code, "device": "test"});
    let mut http = Http::connect(&server.address);
    http.good("POST", "/v1/auth/verify", body, 200)
}

/// The newest code that was sent to a number; `None` when the server ends before it sends one, which it does after its answer.
fn code(address: &str, data: &Path, phone: &str) -> Option<String> {
    let until = std::time::Instant::now() + PATIENCE;
    for look in 1_u32.. {
        let text = std::fs::read_to_string(data.join("dev-sms.txt")).unwrap_or_default();
        let line =
            text.lines().rev().find_map(|line| Some(line.split_once(&format!("{phone} "))?.1.to_owned()));
        if let Some(code) = line.filter(|code| code.len() == 6) {
            return Some(code);
        }
        if look.is_multiple_of(50) {
            Http::try_connect(address)?;
        }
        assert!(std::time::Instant::now() < until, "no code for {phone}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    None
}
