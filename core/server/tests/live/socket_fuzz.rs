//! Commands that nobody would send: generated from seeds, against the real program.
//!
//! Most fields are good, so that what they touch exists; the others are bent. Whatever comes, each command is
//! answered once, with a code of the table that is not `internal`, and the server stays up, small and quiet.
//!
//! A new command gets a row in [`FIELDS`], with the fields that it reads, and a new field a line in `World::value`.
//!
//! `LYNK_FUZZ_COMMANDS` (20,000) and `LYNK_FUZZ_SEED` (1) make longer and other campaigns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Duration;

use lynk_protocol::{CloseCode, ErrorCode, OPS};
use lynk_websocket::{Opcode, encode_client_frame};
use serde_json::{Value, json};

use crate::support::{Chatter, NO_RATES, Server, key, serve_command, user};

/// What each command reads, what it must have and what it may have.
const FIELDS: &[(&str, &[&str])] = &[
    ("hello", &["token", "resume"]),
    ("refresh", &["token"]),
    ("ping", &[]),
    (
        "create",
        &[
            "key",
            "name",
            "kind",
            "level",
            "visibility",
            "description",
            "avatar",
            "max_members",
            "read_only",
            "retention_days",
        ],
    ),
    ("direct", &["user"]),
    ("find", &["name"]),
    ("join", &["room", "key"]),
    ("invite", &["room", "user", "key"]),
    ("leave", &["room", "key"]),
    ("subscribe", &["room", "epoch", "seq"]),
    ("unsubscribe", &["room"]),
    ("send", &["room", "key", "text", "reply_to", "mentions", "mention_all"]),
    ("edit", &["room", "seq", "key", "text", "mentions", "mention_all"]),
    ("delete", &["room", "seq", "key"]),
    ("react", &["room", "seq", "key", "emoji", "on"]),
    ("read", &["room", "seq"]),
    ("delivered", &["room", "seq"]),
    ("mark_unread", &["room", "seq"]),
    ("clear", &["room", "seq"]),
    ("typing", &["room", "on"]),
    ("history", &["room", "before", "after", "at", "epoch", "limit", "all"]),
    ("sync", &["after_room", "limit"]),
    ("presence", &["room", "watch", "unwatch"]),
    ("members", &["room", "after_user", "limit"]),
    ("role", &["room", "user", "role", "key"]),
    ("transfer", &["room", "user", "key"]),
    ("kick", &["room", "user", "key", "reason"]),
    ("ban", &["room", "user", "key", "reason", "seconds"]),
    ("unban", &["room", "user", "key"]),
    ("mute", &["room", "user", "key", "seconds"]),
    ("unmute", &["room", "user", "key"]),
    ("block", &["user", "key"]),
    ("unblock", &["user", "key"]),
    ("pin", &["room", "seq", "key", "on"]),
    (
        "settings",
        &[
            "room",
            "key",
            "name",
            "kind",
            "description",
            "avatar",
            "level",
            "visibility",
            "slow_mode_seconds",
            "max_members",
            "read_only",
            "retention_days",
        ],
    ),
    ("about", &["room"]),
    ("delete_room", &["room", "key"]),
    ("bans", &["room", "after_user", "limit"]),
    ("mutes", &["room", "after_user", "limit"]),
    ("pins", &["room"]),
];

/// Commands sent before their answers are awaited; below what may be in flight.
const BATCH: usize = 16;
/// The first number of a command; those that are made up for `id` are smaller, or larger than any.
const FIRST: u64 = 1 << 20;
/// How long an answer may take.
const SILENCE: Duration = Duration::from_secs(15);
/// What the process may grow by, of which most are rooms and messages that were really made.
const GROWTH_MAX: u64 = 128 << 20;

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// True once in so many throws.
    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// People and rooms, of which something is left whatever the commands do.
struct World {
    users: Vec<String>,
    rooms: Vec<String>,
    /// Keys that were used.
    keys: Vec<String>,
}

impl World {
    /// A good value of a field.
    fn value(&mut self, dice: &mut Dice, field: &str) -> Value {
        match field {
            "room" | "after_room" => dice.pick(&self.rooms).into(),
            "user" | "after_user" => dice.pick(&self.users).into(),
            "avatar" if dice.one_in(2) => Value::Null,
            "avatar" => key().to_string().into(),
            "watch" | "unwatch" | "mentions" => {
                (0..dice.below(4)).map(|_| dice.pick(&self.users)).collect::<Vec<_>>().into()
            }
            "key" if dice.one_in(10) && !self.keys.is_empty() => dice.pick(&self.keys).into(),
            "key" => {
                let made = key().to_string();
                if self.keys.len() < 1_000 {
                    self.keys.push(made.clone());
                }
                made.into()
            }
            "token" => "not.a.token".into(),
            "resume" => json!([{"room": dice.pick(&self.rooms), "epoch": 0, "seq": 1}]),
            "name" => format!("fuzzed {}", dice.below(1_000)).into(),
            "text" | "reason" | "description" => {
                dice.pick(&["hello", "a\nb", "", "\u{1f469}\u{200d}\u{1f680}", "ﷺ", "\u{202e}x"]).into()
            }
            "emoji" => dice.pick(&["\u{1f44d}", "\u{2764}\u{fe0f}", "x", ""]).into(),
            "kind" => dice.pick(&["public", "private", "invite_only", "direct"]).into(),
            "level" => dice.pick(&["memory", "local", "replicated"]).into(),
            "visibility" => dice.pick(&["all", "since_join", "none"]).into(),
            "role" => dice.pick(&["member", "moderator", "admin", "owner"]).into(),
            "mention_all" | "on" | "all" | "read_only" => dice.one_in(2).into(),
            "at" if dice.one_in(2) => "2026-01-01T00:00:00+01:00".into(),
            "at" => 1_700_000_000_000_u64.into(),
            _ => (dice.below(60) + 1).into(),
        }
    }
}

/// A value that a field should not have, as JSON, or nearly.
fn bent(dice: &mut Dice, world: &World, good: &Value) -> String {
    let text = good.as_str().unwrap_or("x").to_owned();
    match dice.below(24) {
        0 => "null".to_owned(),
        1 => "[]".to_owned(),
        2 => "{}".to_owned(),
        3 => "true".to_owned(),
        4 => "0".to_owned(),
        5 => "-1".to_owned(),
        6 => "1.5".to_owned(),
        7 => dice.pick(&["9007199254740991", "9007199254740992", "9007199254740993"]).to_owned(),
        8 => dice
            .pick(&["4294967295", "4294967296", "18446744073709551615", "18446744073709551616"])
            .to_owned(),
        9 => dice.pick(&["1e3", "1e400", "-0", "0.0", "1E-400"]).to_owned(),
        10 => Value::from("x".repeat(dice.pick(&[65, 501, 8_001, 60_000]))).to_string(),
        11 => Value::from("\u{1f469}\u{200d}".repeat(dice.pick(&[10, 250, 4_000]))).to_string(),
        12 => dice
            .pick(&[r#""\ud800""#, r#""\u0000""#, r#""\udc00\ud800""#, r#""\uZZZZ""#, "\"\t\""])
            .to_owned(),
        13 => Value::from(dice.pick(&[
            "\u{feff}",
            "\u{2028}\u{2029}",
            "\u{10ffff}",
            "e\u{301}\u{301}",
            "\u{0}",
        ]))
        .to_string(),
        14 => {
            let depth = dice.pick(&[1, 100, 127, 128, 129, 5_000]);
            format!("{}{}", "[".repeat(depth), "]".repeat(depth))
        }
        15 => format!("[{}]", vec!["\"x\""; dice.pick(&[1, 100, 5_000])].join(",")),
        16 => {
            let many = vec![format!("\"{}\"", dice.pick(&world.users)); dice.pick(&[1, 200, 2_500])];
            format!("[{}]", many.join(","))
        }
        17 => Value::from(text.to_uppercase()).to_string(),
        18 => Value::from(text.chars().skip(1).collect::<String>()).to_string(),
        19 => Value::from(format!("{text} ")).to_string(),
        20 => "\"00000000-0000-0000-0000-000000000000\"".to_owned(),
        21 => "\"ffffffff-ffff-7fff-bfff-ffffffffffff\"".to_owned(),
        // Somebody else's kind of id: a room for a user, a user for a room or a key.
        22 => Value::from(if dice.one_in(2) { dice.pick(&world.rooms) } else { dice.pick(&world.users) })
            .to_string(),
        _ => format!("\"{}\"", user()),
    }
}

/// One frame, and whether its `id` is there to be answered.
struct Made {
    text: String,
    strict: bool,
    /// Nothing need answer it.
    quiet: bool,
}

fn command(dice: &mut Dice, world: &mut World, id: u64) -> Made {
    if dice.one_in(25) {
        return garbage(dice, id);
    }
    let (op, names) = dice.pick(FIELDS);
    // What ends rooms for everybody, in small numbers.
    let op = if op == "delete_room" && !dice.one_in(10) { "about" } else { op };
    let mut fields = vec![("op".to_owned(), Value::from(op).to_string())];
    for name in names {
        // Optional or not: each is left out at times.
        if dice.one_in(if matches!(*name, "room" | "key" | "user" | "seq" | "name" | "text") {
            40
        } else {
            3
        }) {
            continue;
        }
        let good = world.value(dice, name);
        let sent = name.strip_prefix("after_").map_or(*name, |_| "after");
        let value = if dice.one_in(4 * names.len()) { bent(dice, world, &good) } else { good.to_string() };
        fields.push((sent.to_owned(), value));
    }
    let (mut strict, mut quiet) = (true, false);
    match dice.below(40) {
        0 => fields.push(dice.pick(&fields)),
        1 => fields.push(("unheard_of".to_owned(), bent(dice, world, &Value::Null))),
        2 => fields[0].1 = bent(dice, world, &Value::from(op)),
        3 => {
            fields[0].1 =
                Value::from(dice.pick(&["HELLO", "send ", "", "fly", "__proto__", "op"])).to_string()
        }
        4 => {
            // `id` itself: the answer has 0, or what can be read of it.
            (strict, quiet) = (false, true);
            fields.push(("id".to_owned(), bent(dice, world, &Value::from("1"))));
        }
        5 => (strict, quiet) = (false, matches!(op, "typing" | "read" | "delivered")),
        _ => {}
    }
    if strict {
        let at = dice.below(fields.len() + 1);
        fields.insert(at, ("id".to_owned(), id.to_string()));
    }
    let members: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let text = format!("{{{}}}", members.join(","));
    // The number of a frame that does not parse cannot always be read.
    let parses = serde_json::from_str::<Value>(&text).is_ok();
    Made { strict: strict && parses, quiet, text }
}

fn garbage(dice: &mut Dice, id: u64) -> Made {
    let whole = format!(r#"{{"id":{id},"op":"ping","room":"{}"}}"#, user());
    let text = match dice.below(8) {
        0 => whole[..dice.below(whole.len())].to_owned(),
        1 => format!("{whole}{whole}"),
        2 => String::new(),
        3 => (0..dice.below(200))
            .map(|_| char::from(32 + u8::try_from(dice.below(95)).expect("small")))
            .collect(),
        4 => dice
            .pick(&["null", "7", "\"text\"", "[]", "[[[", "\u{feff}{}", "{}", "{\"id\":}", "NaN"])
            .to_owned(),
        5 => "[".repeat(dice.pick(&[1, 128, 100_000])),
        6 => whole.replace('"', "'"),
        _ => {
            let mut chars: Vec<_> = whole.chars().collect();
            let at = dice.below(chars.len());
            chars[at] = dice.pick(&['\u{0}', '"', '\\', '{', '}', ':', ',', 'é', '\u{1f600}']);
            chars.into_iter().collect()
        }
    };
    Made { text, strict: false, quiet: true }
}

/// Bytes that are no frame, or a frame that ends the connection.
fn broken(dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let mask = [1, 2, 3, 4];
    match dice.below(6) {
        0 => encode_client_frame(&mut out, true, Opcode::Binary, b"{}", mask),
        1 => encode_client_frame(&mut out, true, Opcode::Text, b"{\"id\":1,\"op\":\"\xff\"}", mask),
        2 => encode_client_frame(&mut out, true, Opcode::Continuation, b"{}", mask),
        3 => encode_client_frame(&mut out, true, Opcode::Text, &vec![b'['; (128 << 10) + 1], mask),
        4 => out.extend_from_slice(b"\x81\x02{}"),
        _ => {
            // Reserved bits are always among the first two bytes, so this is a broken frame whatever follows.
            out.extend_from_slice(&[0xf1, 0xff]);
            out.extend((0..dice.below(64)).map(|_| u8::try_from(dice.below(256)).expect("a byte")));
        }
    }
    out
}

struct Campaign<'a> {
    server: &'a Server,
    world: World,
    people: Vec<Chatter>,
    ids: Vec<lynk_domain::UserId>,
    /// Frames without a number of their own that may still be answered, of each person.
    owed: Vec<usize>,
    /// Numbers that were in such frames: each may be answered once.
    loose: BTreeSet<u64>,
    next: u64,
    codes: BTreeMap<String, u64>,
    closes: BTreeMap<u16, u64>,
}

impl Campaign<'_> {
    fn new(server: &Server) -> Campaign<'_> {
        let ids: Vec<_> = (0..4).map(|_| user()).collect();
        let people = ids.iter().map(|id| Chatter::sign_in_as(server, *id, json!([]))).collect();
        let users = ids.iter().map(ToString::to_string).collect();
        let world = World { users, rooms: Vec::new(), keys: Vec::new() };
        let (codes, closes) = (BTreeMap::new(), BTreeMap::new());
        let (owed, loose) = (vec![0; 4], BTreeSet::new());
        let mut campaign = Campaign { server, world, people, ids, owed, loose, next: FIRST, codes, closes };
        campaign.renew();
        campaign
    }

    /// Rooms that are there: commands end some, ban and remove people.
    fn renew(&mut self) {
        let name = || format!("room {}", key());
        let mut rooms = Vec::new();
        for kind in ["public", "public", "private", "invite_only"] {
            let made = json!({"op": "create", "kind": kind, "name": name(), "key": key().to_string()});
            let owner = rooms.len() % self.people.len();
            rooms.push(self.must(owner, made)["room"].as_str().expect("an id").to_owned());
        }
        for (n, room) in rooms.iter().take(2).enumerate() {
            for person in (0..3).filter(|person| *person != n) {
                self.must(person, json!({"op": "join", "room": room, "key": key().to_string()}));
                self.must(person, json!({"op": "subscribe", "room": room}));
            }
            for _ in 0..5 {
                let said = json!({"op": "send", "room": room, "text": "said", "key": key().to_string()});
                self.must(n, said);
            }
        }
        // What never was, and what is no room.
        rooms.push(user().to_string());
        rooms.push(self.world.users[0].clone());
        // Some of those before, a few of which are gone.
        let older = self.world.rooms.len().saturating_sub(6);
        rooms.extend(self.world.rooms.drain(older..).take(2));
        self.world.rooms = rooms;
    }

    fn must(&mut self, person: usize, command: Value) -> Value {
        let mut command = command;
        self.next += 1;
        command["id"] = self.next.into();
        loop {
            self.people[person].sender.text(&command.to_string()).expect("the connection stands");
            let answer = self.people[person].answer(self.next);
            if answer["retryable"] == true {
                std::thread::sleep(Duration::from_millis(answer["retry_after_ms"].as_u64().unwrap_or(50)));
                continue;
            }
            assert_ne!(answer["ev"], "error", "{command}: {answer}");
            self.people[person].events.clear();
            return answer;
        }
    }

    /// Everybody comes back, without blocks and subscriptions of before as far as new people have none, to new rooms.
    fn restart(&mut self) {
        for person in 0..self.people.len() {
            let id = user();
            self.people[person] = Chatter::sign_in_as(self.server, id, json!([]));
            self.ids[person] = id;
            self.owed[person] = 0;
            self.world.users[person] = id.to_string();
        }
        self.renew();
    }

    /// Sends some commands of one person and checks all that comes back.
    fn batch(&mut self, dice: &mut Dice) {
        let person = dice.below(self.people.len());
        let mut made = Vec::new();
        for _ in 0..BATCH {
            self.next += 1;
            made.push((self.next, command(dice, &mut self.world, self.next)));
        }
        self.next += 1;
        let end = self.next;
        let sent = made.iter().map(|(_, made)| made.text.clone());
        let last = json!({"id": end, "op": "ping"}).to_string();
        let mut stands = true;
        for text in sent.chain([last]) {
            // Closed in the middle: what it was closed with is read below.
            stands = stands && self.people[person].sender.text(&text).is_ok();
        }
        // Shorter than the time between two pings of the server, which are no answer.
        let silence = self.people[person].receiver.set_timeout(Some(SILENCE));
        silence.expect("a socket");
        let mut answers: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
        let mut waited: Vec<u64> = made.iter().filter(|(_, made)| made.strict).map(|(id, _)| *id).collect();
        waited.push(end);
        self.loose.extend(made.iter().filter(|(_, made)| !made.strict).map(|(id, _)| *id));
        self.owed[person] += made.iter().filter(|(_, made)| !made.strict).count();
        let sure = made.iter().filter(|(_, made)| !made.strict && !made.quiet).count();
        let known: Vec<u64> = waited.clone();
        let mut others = 0;
        while !waited.is_empty() || others < sure {
            let next = std::panic::AssertUnwindSafe(|| self.people[person].next());
            let next = std::panic::catch_unwind(next).unwrap_or_else(|_silence| {
                let left = made.iter().filter(|(id, made)| waited.contains(id) || !made.strict);
                let left: Vec<_> = left.map(|(_, made)| cut(&made.text)).collect();
                panic!("no answer to {waited:?} or {} of {left:#?}", sure - others.min(sure))
            });
            let Some(frame) = next else {
                return self.closed(person, &made);
            };
            let Some(re) = frame["re"].as_u64() else { continue };
            self.check(&frame, &made);
            if known.contains(&re) {
                waited.retain(|id| *id != re);
                answers.entry(re).or_default().push(frame);
            } else {
                self.other(person, re, &mut others);
            }
        }
        // Whatever else would be answered was before this.
        self.next += 1;
        let after = self.next;
        let _closed = self.people[person].sender.text(&json!({"id": after, "op": "ping"}).to_string());
        loop {
            let Some(frame) = self.people[person].next() else {
                return self.closed(person, &made);
            };
            match frame["re"].as_u64() {
                Some(re) if re == after => break,
                Some(re) if known.contains(&re) => answers.entry(re).or_default().push(frame),
                Some(re) => self.other(person, re, &mut others),
                None => {}
            }
        }
        for (id, frames) in &answers {
            let text = made.iter().find(|(one, _)| one == id).map_or("ping", |(_, made)| &made.text);
            assert_eq!(frames.len(), 1, "{}: {frames:?}", cut(text));
        }
    }

    /// An answer to a frame without a number: perhaps one of before, as shards answer when they come to it.
    fn other(&mut self, person: usize, re: u64, others: &mut usize) {
        let known = !(FIRST..=self.next).contains(&re) || self.loose.remove(&re);
        assert!(known, "a second answer to {re}");
        *others += 1;
        let left = self.owed[person].checked_sub(1);
        self.owed[person] = left.expect("more answers than frames");
    }

    fn check(&mut self, frame: &Value, made: &[(u64, Made)]) {
        if frame["ev"] != "error" {
            *self.codes.entry("ok".to_owned()).or_default() += 1;
            return;
        }
        let code = frame["code"].as_str().unwrap_or_default();
        let known = ErrorCode::ALL.iter().find(|one| one.name() == code);
        let of = made.iter().find(|(id, _)| frame["re"] == *id).map_or("", |(_, made)| &made.text);
        let known = known.unwrap_or_else(|| panic!("{}: {frame}", cut(of)));
        assert_ne!(*known, ErrorCode::Internal, "{}: {frame}", cut(of));
        let message = frame["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && message.len() < 1_000, "{}: {frame}", cut(of));
        assert_eq!(frame["retryable"], known.retryable(), "{}: {frame}", cut(of));
        *self.codes.entry(code.to_owned()).or_default() += 1;
    }

    /// A connection that ended: it says why, with a code of the table, and the person comes back.
    fn closed(&mut self, person: usize, made: &[(u64, Made)]) {
        let code = self.people[person].closed.as_ref().and_then(|(code, _)| *code);
        let known =
            CloseCode::ALL.iter().any(|one| Some(one.number()) == code && *one != CloseCode::Internal);
        let texts: Vec<_> = made.iter().map(|(_, made)| cut(&made.text)).collect();
        assert!(known, "closed with {code:?} after {texts:?}");
        *self.closes.entry(code.unwrap_or_default()).or_default() += 1;
        self.people[person] = Chatter::sign_in_as(self.server, self.ids[person], json!([]));
        self.owed[person] = 0;
    }

    fn broken(&mut self, dice: &mut Dice) {
        let mut client = Chatter::sign_in_as(self.server, self.ids[0], json!([]));
        let bytes = broken(dice);
        // The server may close before it has taken all of a large one.
        let _closed = client.sender.raw(&bytes);
        let code = client.close_code();
        let known =
            CloseCode::ALL.iter().any(|one| Some(one.number()) == code && *one != CloseCode::Internal);
        assert!(known, "{:?} closed with {code:?}", &bytes[..bytes.len().min(80)]);
        *self.closes.entry(code.unwrap_or_default()).or_default() += 1;
    }

    /// Who is not signed in gets nothing but errors.
    fn unsigned(&mut self, dice: &mut Dice) {
        let mut client = Chatter::connect(self.server);
        for n in 1..=BATCH as u64 {
            let made = command(dice, &mut self.world, n);
            if !made.strict || client.sender.text(&made.text).is_err() {
                continue;
            }
            let answer = loop {
                match client.next() {
                    Some(frame) if frame["re"] == n => break Some(frame),
                    Some(_) => {}
                    None => break None,
                }
            };
            let Some(answer) = answer else { break };
            assert_eq!(answer["ev"], "error", "{}: {answer}", cut(&made.text));
            self.check(&answer, &[]);
        }
        if let Some((code, _)) = &client.closed {
            assert!(matches!(code, Some(4000 | 4001 | 4003)), "{code:?}");
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(600)]
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn the_fuzzer_knows_every_command() {
    let mut known: Vec<_> = FIELDS.iter().map(|(op, _)| *op).collect();
    let mut ops = OPS.to_vec();
    known.sort_unstable();
    ops.sort_unstable();
    assert_eq!(known, ops, "each command has its row in FIELDS");
}

#[test]
fn whatever_a_socket_is_sent_is_answered_once_with_a_code_of_the_table() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let errors = temp.path().join("stderr");
    let data = temp.path().join("data");
    let mut command = serve_command(&data, &[&NO_RATES[..], &["--shards", "2"]].concat());
    command.stderr(File::create(&errors).expect("ours"));
    let server = Server::spawn(command, &data);
    let total = usize::try_from(number("LYNK_FUZZ_COMMANDS", 20_000)).expect("fits");
    let seed = number("LYNK_FUZZ_SEED", 1);
    let mut dice = Dice(seed);
    let mut campaign = Campaign::new(&server);
    let mut before = server.resident();
    let batches = total / BATCH;
    for batch in 0..batches {
        campaign.batch(&mut dice);
        match batch % 20 {
            0 => campaign.broken(&mut dice),
            10 => campaign.unsigned(&mut dice),
            15 => campaign.restart(),
            _ => {}
        }
        if batch == batches / 10 {
            before = server.resident();
        }
    }
    let Campaign { codes, closes, .. } = campaign;
    eprintln!("seed {seed}: {codes:?}, closed {closes:?}");
    assert_eq!(server.get("/readyz").0, 200);
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
    assert!(count("ok") * 5 > total as u64, "too few are good: {codes:?}");
    let text = std::fs::read_to_string(&errors).expect("ours");
    assert!(!text.contains("crashed") && !text.contains("panicked"), "{text}");
    assert!(server.stop().success());
}
