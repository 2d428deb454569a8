//! Commands that nobody would send: generated from seeds, against the real program.
//!
//! Whatever comes, each frame is answered once, by what `docs/asyncapi.json` lists for it or with a code of the table that is not `internal`; a
//! connection ends only where the protocol says so, and the server stays up, small and quiet.
//!
//! `LYNK_FUZZ_FRAMES` (12,000) and `LYNK_FUZZ_SEED` (1) make longer and other campaigns. What a seed makes is the same each time but for ids, which hold
//! the time; what the server makes of it depends on which of its threads is first.

mod make;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::{Duration, Instant};

use lynk_auth::{Grant, Scope, SigningKey};
use lynk_domain::{Millis, SessionId, UserId};
use lynk_protocol::shape::{COMMANDS, EVENTS};
use lynk_protocol::{ErrorCode, OPS, decode};
use serde_json::{Value, json};

use self::make::{Dice, FRAME_BYTES_MAX, Made, World};
use crate::support::contract::Contract;
use crate::support::{Arrived, Chatter, NO_RATES, PATIENCE, Server, serve_command, wall_millis};

/// Frames sent before their answers are awaited; below what may be in flight.
const BATCH: usize = 16;
/// The first number of a frame; those that are made up for `id` are smaller, or larger than any.
const FIRST: u64 = 1 << 20;
/// How long an answer may take.
const SILENCE: Duration = PATIENCE;
/// Longer than [`SILENCE`], because a ping is no answer and a server that is slow is not what is tested.
const TIMES: [&str; 4] = ["--set", "limits.heartbeat=10m", "--set", "limits.hello_max=10m"];
/// Refused frames in a row after which a connection is closed.
const STRIKES: u32 = 64;
/// What the process may grow by, of which most are rooms and messages that were really made.
const GROWTH_MAX: u64 = 128 << 20;

/// Who sends.
struct Person {
    id: UserId,
    session: SessionId,
    chatter: Chatter,
    /// Frames that await their answer, by the number that it will have.
    awaited: BTreeMap<u64, String>,
    /// Refused frames in a row.
    strikes: u32,
    /// Since the last answers were all there, it sent a frame that is too long.
    too_long: bool,
}

struct Campaign<'a> {
    server: &'a Server,
    key: SigningKey,
    world: World,
    people: Vec<Person>,
    next: u64,
    /// Answers by `ok` or their code.
    codes: BTreeMap<String, u64>,
    closes: BTreeMap<u16, u64>,
    /// Messages of the document that were seen.
    seen: BTreeSet<&'static str>,
    /// Commands that were carried out.
    carried_out: BTreeSet<String>,
}

fn token(key: &SigningKey, user: UserId, session: SessionId) -> String {
    let now = wall_millis();
    let (issued, expires) = (Millis(now - 1_000), Millis(now + 3_600_000));
    let grant = Grant { user, session, epoch: 0, id: crate::support::random(), issued, expires };
    key.issue(&Scope::default(), &grant).reveal().to_owned()
}

impl Campaign<'_> {
    fn new<'a>(server: &'a Server, dice: &mut Dice) -> Campaign<'a> {
        let der = std::fs::read(server.data.join("keys/access.p8")).expect("the server made its key");
        let mut campaign = Campaign {
            server,
            key: SigningKey::from_pkcs8(&der).expect("a key"),
            world: World::default(),
            people: Vec::new(),
            next: FIRST,
            codes: BTreeMap::new(),
            closes: BTreeMap::new(),
            seen: BTreeSet::new(),
            carried_out: BTreeSet::new(),
        };
        campaign.restart(dice);
        campaign
    }

    /// Other people, without blocks and subscriptions of before, and new rooms: commands end some, ban and remove people.
    fn restart(&mut self, dice: &mut Dice) {
        self.people.clear();
        for _ in 0..4 {
            let (id, session) = (dice.user(), SessionId(dice.key().0));
            let chatter = self.sign_in(id, session, &json!([]));
            let (awaited, strikes) = (BTreeMap::new(), 0);
            self.people.push(Person { id, session, chatter, awaited, strikes, too_long: false });
        }
        self.world.users = self.people.iter().map(|person| person.id.to_string()).collect();
        let mut rooms = Vec::new();
        for kind in ["public", "public", "private", "invite_only"] {
            let name = format!("room {}", dice.key());
            let made = json!({"op": "create", "kind": kind, "name": name, "key": dice.key().to_string()});
            let owner = rooms.len() % self.people.len();
            rooms.push(self.must(owner, made)["room"].as_str().expect("an id").to_owned());
        }
        for (n, room) in rooms.iter().take(2).enumerate() {
            for person in (0..3).filter(|person| *person != n) {
                self.must(person, json!({"op": "join", "room": room, "key": dice.key().to_string()}));
                self.must(person, json!({"op": "subscribe", "room": room}));
            }
            for _ in 0..5 {
                let said = json!({"op": "send", "room": room, "text": "said", "key": dice.key().to_string()});
                self.must(n, said);
            }
            let made = self.must(n, json!({"op": "link", "room": room, "key": dice.key().to_string()}));
            let text = |field: &str| made[field].as_str().expect("a text").to_owned();
            self.world.links.push((text("link"), text("code")));
        }
        let old = self.world.links.len().saturating_sub(4);
        self.world.links.drain(..old);
        let pair = self.must(0, json!({"op": "direct", "user": self.world.users[1]}));
        rooms.push(pair["room"].as_str().expect("an id").to_owned());
        for _ in 0..5 {
            let said =
                json!({"op": "send", "room": pair["room"], "text": "said", "key": dice.key().to_string()});
            self.must(0, said);
        }
        // What never was, and what is no room.
        rooms.push(dice.user().to_string());
        rooms.push(self.world.users[0].clone());
        // Some of those before, a few of which are gone.
        let older = self.world.rooms.len().saturating_sub(6);
        rooms.extend(self.world.rooms.drain(older..).take(2));
        self.world.rooms = rooms;
    }

    /// What chance brings about too seldom.
    fn tour(&mut self, dice: &mut Dice) {
        let (room, pair) = (self.world.rooms[0].clone(), self.world.rooms[4].clone());
        let other = self.world.users[1].clone();
        self.tour_of_strangers(dice);
        self.tour_of_requests(dice);
        self.tour_of_reports(dice);
        for op in ["mute", "unmute", "ban", "unban"] {
            self.must(0, json!({"op": op, "room": room, "user": other, "key": dice.key().to_string()}));
        }
        let said = json!({"op": "send", "room": room, "text": "said", "key": dice.key().to_string()});
        let seq = self.must(0, said)["seq"].clone();
        for op in ["pin", "delete"] {
            self.must(0, json!({"op": op, "room": room, "seq": seq, "key": dice.key().to_string()}));
        }
        self.must(0, json!({"op": "clear", "room": pair, "seq": 3}));
        self.must(0, json!({"op": "delete_room", "room": room, "key": dice.key().to_string()}));
        self.restart(dice);
    }

    /// The last one is in no room with the others: it declines one of them and accepts another.
    fn tour_of_strangers(&mut self, dice: &mut Dice) {
        let last = self.world.users[3].clone();
        for (person, op) in [(0, "decline_conversation"), (2, "accept_conversation")] {
            let pair = self.must(person, json!({"op": "direct", "user": last}))["room"].clone();
            self.must(3, json!({"op": op, "room": pair, "key": dice.key().to_string()}));
        }
    }

    /// People who ask to be members of the last one's room: one thinks better of it and is declined, one is let in.
    fn tour_of_requests(&mut self, dice: &mut Dice) {
        let room = self.world.rooms[3].clone();
        for (person, ops) in
            [(0, &["request_join", "withdraw_request", "request_join"][..]), (1, &["request_join"])]
        {
            for op in ops {
                self.must(person, json!({"op": op, "room": room, "key": dice.key().to_string()}));
            }
        }
        self.must(0, json!({"op": "my_requests"}));
        self.must(3, json!({"op": "requests", "room": room}));
        for (person, op) in [(0, "decline_request"), (1, "accept_request")] {
            let user = self.world.users[person].clone();
            self.must(3, json!({"op": op, "room": room, "user": user, "key": dice.key().to_string()}));
        }
        self.must(3, json!({"op": "moderation_log", "room": room}));
        self.must(3, json!({"op": "discover"}));
    }

    /// A message that somebody reports, and what the owner of the room says to it.
    fn tour_of_reports(&mut self, dice: &mut Dice) {
        let room = self.world.rooms[0].clone();
        let said = json!({"op": "send", "room": room, "text": "buy", "key": dice.key().to_string()});
        let seq = self.must(2, said)["seq"].clone();
        let report = json!({
            "op": "report", "room": room, "seq": seq, "reason": "spam", "key": dice.key().to_string(),
        });
        self.must(1, report);
        let number = self.must(0, json!({"op": "reports", "room": room}))["reports"][0]["number"].clone();
        self.must(
            0,
            json!({
                "op": "resolve_report", "room": room, "number": number, "outcome": "dismissed",
                "key": dice.key().to_string(),
            }),
        );
    }

    fn sign_in(&self, id: UserId, session: SessionId, resume: &Value) -> Chatter {
        let mut chatter = Chatter::connect(self.server);
        // Shorter than the time between two pings of the server.
        chatter.receiver.set_timeout(Some(SILENCE)).expect("a socket");
        let hello = json!({"op": "hello", "token": token(&self.key, id, session), "resume": resume});
        let ok = chatter.ask(hello);
        assert_eq!(ok["ev"], "ok", "{ok}");
        chatter
    }

    /// Carries out what the campaign needs; what may be repeated is.
    fn must(&mut self, person: usize, command: Value) -> Value {
        let until = Instant::now() + SILENCE;
        loop {
            let answer = self.people[person].chatter.ask(command.clone());
            self.people[person].chatter.events.clear();
            if answer["ev"] != "error" {
                self.carried_out.insert(command["op"].as_str().expect("a name").to_owned());
                return answer;
            }
            assert!(answer["retryable"] == true && Instant::now() < until, "{command}: {answer}");
            std::thread::sleep(Duration::from_millis(answer["retry_after_ms"].as_u64().unwrap_or(50)));
        }
    }

    /// Sends some frames of one person and takes all that comes back. Of frames whose number is not theirs alone there is one under way at
    /// a time, so that each answer says what it answers.
    fn batch(&mut self, dice: &mut Dice) {
        let at = dice.below(self.people.len());
        let (id, session) = (self.people[at].id, self.people[at].session);
        self.world.token = token(&self.key, id, session);
        let mut doubtful = false;
        for _ in 0..BATCH {
            self.next += 1;
            let made = make::command(dice, &mut self.world, self.next);
            if !made.own_number && doubtful && !self.all_answered(at) {
                return;
            }
            doubtful = !made.own_number || doubtful && !self.people[at].awaited.is_empty();
            if !self.send(dice, at, made) {
                return;
            }
        }
        // Nothing more comes; whatever would be a second answer is taken for one here or later.
        if self.all_answered(at) {
            self.next += 1;
            let text = json!({"id": self.next, "op": "ping"}).to_string();
            let ping = Made { answer: Some(self.next), own_number: true, text };
            let _ends = self.send(dice, at, ping) && self.all_answered(at);
        }
    }

    /// Sends a frame; false when the connection ended.
    fn send(&mut self, dice: &mut Dice, at: usize, made: Made) -> bool {
        let bytes = make::frames(dice, &made.text);
        let person = &mut self.people[at];
        let misuse = decode(&made.text).command.is_err_and(|reject| {
            matches!(reject.code, ErrorCode::BadRequest | ErrorCode::UnknownOp | ErrorCode::InvalidField)
        });
        person.strikes = if misuse { person.strikes + 1 } else { 0 };
        person.too_long |= made.text.len() > FRAME_BYTES_MAX;
        if let Some(re) = made.answer {
            let earlier = person.awaited.insert(re, made.text);
            assert!(earlier.is_none(), "the campaign used {re} twice");
        }
        if person.chatter.sender.raw(&bytes).is_ok() {
            return true;
        }
        // Closed in the middle: what it was closed with is read.
        self.all_answered(at)
    }

    /// Takes answers until none is awaited; false when the connection ended, as it may, and the person came back.
    fn all_answered(&mut self, at: usize) -> bool {
        let until = Instant::now() + 4 * SILENCE;
        while !self.people[at].awaited.is_empty() {
            let person = &mut self.people[at];
            let arrived = person.chatter.arrive();
            let left =
                || person.awaited.iter().map(|(re, text)| format!("{re}: {}", cut(text))).collect::<Vec<_>>();
            assert!(Instant::now() < until, "after {:?} there is no answer to {:#?}", 4 * SILENCE, left());
            match arrived {
                Arrived::Nothing => panic!("for {SILENCE:?} nothing came, and no answer to {:#?}", left()),
                Arrived::End => {
                    self.closed(at);
                    return false;
                }
                Arrived::Frame(frame) => self.take(at, &frame),
            }
        }
        self.people[at].too_long = false;
        true
    }

    /// One frame of the server. [`Chatter`] has seen that the document knows it.
    fn take(&mut self, at: usize, frame: &Value) {
        let contract = Contract::get();
        let Some(re) = frame["re"].as_u64() else {
            self.seen.insert(contract.frame(frame).unwrap_or_else(|why| panic!("{why}")));
            return;
        };
        let person = &mut self.people[at];
        let Some(text) = person.awaited.remove(&re) else {
            panic!("an answer that nobody awaits, or a second one: {frame}, besides {:#?}", person.awaited)
        };
        if frame["ev"] == "error" {
            return self.refused(&text, frame);
        }
        *self.codes.entry("ok".to_owned()).or_default() += 1;
        // What the server passes over may be no text of Unicode, or nested deeper than this reader goes.
        let Ok(command) = serde_json::from_str::<Value>(&text) else {
            assert!(text.contains("unheard_of"), "{} gets {frame}", cut(&text));
            return;
        };
        let name = contract.answer(&bare(command.clone()), frame);
        self.seen.insert(name.unwrap_or_else(|why| panic!("{}: {why}", cut(&text))));
        self.carried_out.insert(command["op"].as_str().expect("a name").to_owned());
    }

    fn refused(&mut self, text: &str, frame: &Value) {
        let code = frame["code"].as_str().unwrap_or_default();
        let known = ErrorCode::ALL.iter().find(|one| one.name() == code);
        let known = known.unwrap_or_else(|| panic!("{}: {frame}", cut(text)));
        assert_ne!(*known, ErrorCode::Internal, "{}: {frame}", cut(text));
        let message = frame["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && message.len() < 1_000, "{}: {frame}", cut(text));
        assert_eq!(frame["retryable"], known.retryable(), "{}: {frame}", cut(text));
        *self.codes.entry(code.to_owned()).or_default() += 1;
    }

    /// A connection that ended: for a frame over the limit or for misuse, and for nothing else. The person comes back.
    fn closed(&mut self, at: usize) {
        let person = &self.people[at];
        let code = person.chatter.closed.as_ref().and_then(|(code, _)| *code);
        let why = match code {
            Some(1009) => person.too_long,
            Some(4003) => person.strikes >= STRIKES,
            _ => false,
        };
        let left: Vec<_> = person.awaited.values().map(|text| cut(text)).collect();
        assert!(why, "closed with {code:?} after {} refused frames, and these: {left:#?}", person.strikes);
        *self.closes.entry(code.unwrap_or_default()).or_default() += 1;
        let chatter = self.sign_in(person.id, person.session, &json!([]));
        let (awaited, id, session) = (BTreeMap::new(), person.id, person.session);
        self.people[at] = Person { id, session, chatter, awaited, strikes: 0, too_long: false };
    }

    /// Bytes that are no frame of the protocol end the connection with their code.
    fn broken(&mut self, dice: &mut Dice) {
        let mut client = Chatter::sign_in_as(self.server, self.people[0].id, json!([]));
        let (bytes, codes) = make::broken(dice);
        // The server may close before it has taken all of a large one.
        let _closed = client.sender.raw(&bytes);
        let code = client.close_code();
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "{:?} closed with {code:?}",
            &bytes[..bytes.len().min(80)]
        );
        *self.closes.entry(code.unwrap_or_default()).or_default() += 1;
    }

    /// Nothing but refused frames: the connection is closed, not before its time.
    fn misuse(&mut self, dice: &mut Dice) {
        let mut client = Chatter::sign_in_as(self.server, self.people[0].id, json!([]));
        let mut answers = 0;
        while client.sender.text(dice.pick(&["{", "[]", "{\"op\":\"fly\"}", "{\"id\":7}"])).is_ok() {
            match client.arrive() {
                Arrived::Frame(frame) if frame["ev"] == "error" => answers += 1,
                // Of what was done before: another shard may tell of it later than it was answered.
                Arrived::Frame(_) => {}
                Arrived::Nothing => panic!("no answer after {answers}"),
                Arrived::End => break,
            }
            assert!(answers <= STRIKES, "{answers} refused frames in a row, and it is open");
        }
        assert_eq!((answers, client.close_code()), (STRIKES, Some(4003)));
    }

    /// Who is not signed in gets nothing but errors.
    fn unsigned(&mut self, dice: &mut Dice) {
        let mut client = Chatter::connect(self.server);
        client.receiver.set_timeout(Some(SILENCE)).expect("a socket");
        self.world.token = "not.a.token".to_owned();
        for id in 1..=BATCH as u64 {
            let made = make::command(dice, &mut self.world, id);
            let Some(re) = made.answer else { continue };
            if client.sender.text(&made.text).is_err() {
                break;
            }
            match client.arrive() {
                Arrived::Frame(frame) => {
                    assert_eq!(
                        (&frame["ev"], &frame["re"]),
                        (&"error".into(), &re.into()),
                        "{}: {frame}",
                        cut(&made.text)
                    );
                    self.refused(&made.text, &frame);
                }
                Arrived::Nothing => panic!("no answer to {}", cut(&made.text)),
                Arrived::End => break,
            }
        }
        if let Some((code, _)) = &client.closed {
            assert!(matches!(code, Some(1009 | 4000)), "{code:?}");
        }
    }

    /// Who comes back is told of each room once, whatever it is.
    fn returning(&mut self, dice: &mut Dice) {
        let resume = make::resume(dice, &self.world);
        let person = &self.people[dice.below(self.people.len())];
        let mut client = self.sign_in(person.id, person.session, &resume);
        let mut left: Vec<_> =
            resume.as_array().expect("a list").iter().map(|room| room["room"].clone()).collect();
        while !left.is_empty() {
            match client.arrive() {
                Arrived::Frame(frame) if frame["re"] == 0 => {
                    assert!(frame["ev"] == "subscribed" || frame["ev"] == "error", "{frame}");
                    let told = left.iter().position(|room| *room == frame["room"]);
                    left.remove(told.unwrap_or_else(|| panic!("{frame}: nobody asked, of {resume}")));
                }
                Arrived::Frame(_) => {}
                Arrived::Nothing => panic!("of {resume} nothing is told of {left:?}"),
                Arrived::End => panic!("{resume} closed with {:?}", client.closed),
            }
        }
    }
}

/// A command without what the document does not list, which the server passes over, as it does `null`.
fn bare(mut command: Value) -> Value {
    let row = COMMANDS.iter().find(|row| command["op"] == row.op);
    if let (Some(row), Some(members)) = (row, command.as_object_mut()) {
        let listed =
            |name: &str| matches!(name, "id" | "op") || row.fields.iter().any(|field| field.name == name);
        members.retain(|name, value| listed(name) && (!value.is_null() || name == "avatar"));
    }
    command
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(600)]
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn the_fuzzer_knows_every_command() {
    for op in OPS {
        assert!(
            COMMANDS.iter().any(|row| row.op == op),
            "`{op}` is not fuzzed: it needs a row in core/protocol/src/shape/commands.rs"
        );
    }
    // Whatever their rows ask for can be made.
    let (mut dice, mut world) = (Dice::new(1), World::default());
    world.users.push(dice.user().to_string());
    world.rooms.extend([dice.user().to_string(), dice.user().to_string()]);
    for id in 1..20_000 {
        let made = make::command(&mut dice, &mut world, id);
        assert!(made.answer.is_none_or(|re| made.own_number == (re == id)), "{}", cut(&made.text));
    }
}

#[test]
fn whatever_a_socket_is_sent_is_answered_once_with_a_code_of_the_table() {
    let frames = usize::try_from(number("LYNK_FUZZ_FRAMES", 12_000)).expect("fits");
    let seed = number("LYNK_FUZZ_SEED", 1);
    // Shown when the test fails.
    eprintln!("LYNK_FUZZ_SEED={seed} LYNK_FUZZ_FRAMES={frames}");
    let temp = tempfile::tempdir().expect("temporary directory");
    let errors = temp.path().join("stderr");
    let data = temp.path().join("data");
    let mut command = serve_command(&data, &[&NO_RATES[..], &["--shards", "2"], &TIMES].concat());
    command.stderr(File::create(&errors).expect("ours"));
    let server = Server::spawn(command, &data);
    let mut dice = Dice::new(seed);
    let mut campaign = Campaign::new(&server, &mut dice);
    campaign.tour(&mut dice);
    let mut before = server.resident();
    let batches = frames.div_ceil(BATCH);
    for batch in 0..batches {
        campaign.batch(&mut dice);
        match batch % 40 {
            0 | 20 => campaign.broken(&mut dice),
            5 | 25 => campaign.returning(&mut dice),
            10 | 30 => campaign.unsigned(&mut dice),
            39 => campaign.restart(&mut dice),
            _ => {}
        }
        if batch == batches / 10 {
            campaign.misuse(&mut dice);
            before = server.resident();
        }
    }
    let Campaign { codes, closes, seen, carried_out, .. } = campaign;
    eprintln!("{codes:?}, closed {closes:?}");
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.metric("lynk_engine_rejects_total{code=\"internal\"}"), 0.0);
    assert_eq!(server.metric("lynk_store_failures_total{error=\"corrupt\"}"), 0.0);
    let mut alice = Chatter::sign_in(&server);
    let room = alice.create();
    alice.say(&room, "still here");
    let grown = server.resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{} KiB grown", grown >> 10);
    // Good and bad were both among them.
    let count = |code: &str| codes.get(code).copied().unwrap_or_default();
    for code in
        ["ok", "bad_request", "invalid_field", "unknown_op", "room_not_found", "forbidden", "not_signed_in"]
    {
        assert!(count(code) > 0, "no {code}: {codes:?}");
    }
    assert!(count("ok") * 5 > frames as u64, "too few are good: {codes:?}");
    // Every command was carried out, and what nobody need be slow or absent for was seen.
    let never: Vec<_> = OPS.iter().filter(|op| **op != "hello" && !carried_out.contains(**op)).collect();
    let unseen =
        EVENTS.iter().map(|event| event.name).filter(|name| !seen.contains(&*format!("event.{name}")));
    let unseen: Vec<_> = unseen.collect();
    eprintln!("never carried out: {never:?}; unseen: {unseen:?}");
    if frames >= 12_000 {
        assert!(never.is_empty(), "{never:?} were never carried out");
        assert!(
            !unseen.iter().any(|name| matches!(*name, "message" | "joined" | "read" | "typing")),
            "{unseen:?}"
        );
    }
    let text = std::fs::read_to_string(&errors).expect("ours");
    assert!(!text.contains("crashed") && !text.contains("panicked"), "{text}");
    assert!(server.stop().success());
}
