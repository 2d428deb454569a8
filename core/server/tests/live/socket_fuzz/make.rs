//! Frames that nobody would send, from numbers that follow from a seed.
//!
//! Commands come from the tables of `lynk_protocol::shape`: most fields are good, so that what they touch exists, and the others are bent. A new
//! command is fuzzed with its row; [`World::value`] knows the fields whose good values must exist in the server.

use lynk_domain::{Key, UserId, uuid_v7};
use lynk_protocol::shape::{COMMANDS, CommandShape, Field, Rule, Shape};
use lynk_protocol::{Command, decode};
use lynk_websocket::{Opcode, encode_client_frame};
use serde_json::{Value, json};

use crate::support::wall_millis;

/// Longest frame that the server takes, unless configured.
pub(super) const FRAME_BYTES_MAX: usize = 128 << 10;

/// Numbers that follow from a seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// True once in so many throws.
    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// An id of now.
    fn id(&mut self) -> [u8; 16] {
        let mut random = [0; 10];
        random.iter_mut().for_each(|byte| *byte = self.next().to_le_bytes()[0]);
        uuid_v7(wall_millis(), random)
    }

    pub(super) fn key(&mut self) -> Key {
        Key(self.id())
    }

    pub(super) fn user(&mut self) -> UserId {
        UserId(self.id())
    }
}

/// What is there for commands to touch.
#[derive(Default)]
pub(super) struct World {
    pub(super) users: Vec<String>,
    pub(super) rooms: Vec<String>,
    /// Keys that were used.
    keys: Vec<String>,
    /// Links that were made, and their codes.
    pub(super) links: Vec<(String, String)>,
    /// A token of who sends.
    pub(super) token: String,
}

impl World {
    /// A good value of a field.
    fn value(&mut self, dice: &mut Dice, field: &Field) -> Value {
        let none = || (String::from("00000000-0000-7000-8000-000000000001"), "0".repeat(64));
        match (field.name, field.shape) {
            ("after", Shape::Id) if dice.one_in(2) => dice.pick(&self.users).into(),
            // Mostly one of the first two, where everybody is.
            ("room", Shape::Id) if !dice.one_in(3) => dice.pick(&self.rooms[..2]).into(),
            ("room" | "after", Shape::Id) => dice.pick(&self.rooms).into(),
            ("key", _) if dice.one_in(10) && !self.keys.is_empty() => dice.pick(&self.keys).into(),
            ("key", _) => {
                let made = dice.key().to_string();
                if self.keys.len() < 1_000 {
                    self.keys.push(made.clone());
                }
                made.into()
            }
            ("link", _) => self.links.last().map_or_else(none, |_| dice.pick(&self.links)).0.into(),
            ("code", _) => self.links.last().map_or_else(none, |_| dice.pick(&self.links)).1.into(),
            (_, Shape::Cursor) => "0".repeat(32).into(),
            ("number" | "before", _) => dice.below(24).into(),
            ("token", _) if !dice.one_in(4) => self.token.clone().into(),
            ("name", _) => format!("fuzzed {}", dice.below(1_000)).into(),
            ("emoji", _) => dice.pick(&["\u{1f44d}", "\u{2764}\u{fe0f}", "x", ""]).into(),
            // Short enough that most of what is sent is kept.
            ("seconds" | "slow_mode_seconds", _) => dice.below(3).into(),
            ("seq" | "reply_to", _) => (dice.below(24) + 1).into(),
            ("max_members", _) => dice.pick(&[0, 3, 50]).into(),
            (_, Shape::List(Shape::Object(fields))) => {
                (0..dice.below(4)).map(|_| self.object(dice, fields)).collect::<Vec<_>>().into()
            }
            // Nobody has uploaded any.
            ("attachments", _) if !dice.one_in(4) => json!([]),
            (_, Shape::List(_)) => {
                (0..dice.below(4)).map(|_| dice.pick(&self.users)).collect::<Vec<_>>().into()
            }
            (_, Shape::Object(fields)) => self.object(dice, fields),
            (_, Shape::IdOrNull) if dice.one_in(2) => Value::Null,
            (_, Shape::Id | Shape::IdOrNull) => dice.pick(&self.users).into(),
            (_, Shape::Word(words)) => dice.pick(words).into(),
            (_, Shape::Bool) => dice.one_in(2).into(),
            (_, Shape::Moment) if dice.one_in(2) => "2026-01-01T00:00:00+01:00".into(),
            (_, Shape::Moment) => 1_700_000_000_000_u64.into(),
            (_, Shape::Text) => {
                dice.pick(&["hello", "a\nb", "", "\u{1f469}\u{200d}\u{1f680}", "ﷺ", "\u{202e}x"]).into()
            }
            (_, Shape::Number(from, to)) => {
                (from + u64::try_from(dice.below(60)).expect("small")).min(to).into()
            }
            (name, shape) => panic!(
                "nothing here makes a value of `{name}` ({shape:?}): add it to World::value in core/server/tests/live/socket_fuzz/make.rs"
            ),
        }
    }

    fn object(&mut self, dice: &mut Dice, fields: &[Field]) -> Value {
        let given = fields.iter().filter(|_| !dice.one_in(20)).collect::<Vec<_>>();
        given.into_iter().map(|field| (field.name.to_owned(), self.value(dice, field))).collect()
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
        _ => format!("\"{}\"", dice.user()),
    }
}

/// One frame, and what must come of it.
pub(super) struct Made {
    pub(super) text: String,
    /// The number that its one answer has; `None` for what gets no answer.
    pub(super) answer: Option<u64>,
    /// Its number is one that no other frame has.
    pub(super) own_number: bool,
}

impl Made {
    /// By the rules of the protocol: each frame is answered once, but positions and typing that have no number.
    fn of(text: String, id: u64) -> Self {
        let decoded = decode(&text);
        let fleeting = matches!(
            decoded.command,
            Ok(Command::Typing { .. } | Command::Read { .. } | Command::Delivered { .. })
        );
        let answer = (decoded.re > 0 || !fleeting).then_some(decoded.re);
        Self { own_number: answer == Some(id), answer, text }
    }
}

/// A command of the table, good in most of its fields.
pub(super) fn command(dice: &mut Dice, world: &mut World, id: u64) -> Made {
    if dice.one_in(25) {
        return Made::of(garbage(dice, id), id);
    }
    let mut row = dice.pick(COMMANDS);
    // What ends rooms for everybody, in small numbers.
    if row.op == "delete_room" && !dice.one_in(4) {
        row = *COMMANDS.iter().find(|row| row.op == "about").expect("a command");
    }
    let mut fields = vec![("op".to_owned(), Value::from(row.op).to_string())];
    for field in chosen(dice, &row) {
        let good = world.value(dice, field);
        let value =
            if dice.one_in(4 * row.fields.len()) { bent(dice, world, &good) } else { good.to_string() };
        fields.push((field.name.to_owned(), value));
    }
    let mut number = Some(id.to_string());
    match dice.below(40) {
        0 => fields.push(dice.pick(&fields)),
        1 => fields.push(("unheard_of".to_owned(), bent(dice, world, &Value::Null))),
        2 => fields[0].1 = bent(dice, world, &Value::from(row.op)),
        3 => {
            let op = dice.pick(&["HELLO", "send ", "", "fly", "__proto__", "op"]);
            fields[0].1 = Value::from(op).to_string();
        }
        // `id` itself: the answer has 0, or what can be read of it.
        4 => number = Some(bent(dice, world, &Value::from("1"))),
        5 => number = None,
        6 => fields.push(("id".to_owned(), id.to_string())),
        _ => {}
    }
    if let Some(number) = number {
        let at = dice.below(fields.len() + 1);
        fields.insert(at, ("id".to_owned(), number));
    }
    let members: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    Made::of(format!("{{{}}}", members.join(",")), id)
}

/// Fields to send: nearly all of those that must be there, some of the others, and of those that exclude each other mostly one.
fn chosen(dice: &mut Dice, row: &CommandShape) -> Vec<&'static Field> {
    let mut chosen: Vec<_> = row
        .fields
        .iter()
        .filter(|field| if field.required { !dice.one_in(40) } else { dice.one_in(3) })
        .collect();
    for rule in row.rules {
        let (Rule::OneOf(names) | Rule::AnyOf(names) | Rule::AtMostOne(names)) = rule else { continue };
        if !dice.one_in(8) {
            // Mostly the usual one.
            let kept = if dice.one_in(3) { dice.pick(names) } else { names[0] };
            chosen.retain(|field| !names.contains(&field.name));
            chosen.extend(row.fields.iter().find(|field| field.name == kept));
        }
    }
    chosen
}

fn garbage(dice: &mut Dice, id: u64) -> String {
    let whole = format!(r#"{{"id":{id},"op":"ping","room":"{}"}}"#, dice.user());
    match dice.below(8) {
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
    }
}

/// A message as bytes: whole, or in fragments with pings between them.
pub(super) fn frames(dice: &mut Dice, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mask = [7, 77, 177, 77];
    let mut rest = text.as_bytes();
    let mut opcode = Opcode::Text;
    let pieces = if dice.one_in(20) { dice.below(6) } else { 0 };
    for _ in 0..pieces {
        let (piece, later) = rest.split_at(dice.below(rest.len() + 1));
        encode_client_frame(&mut out, false, opcode, piece, mask);
        if dice.one_in(3) {
            encode_client_frame(&mut out, true, Opcode::Ping, b"between", mask);
        }
        (rest, opcode) = (later, Opcode::Continuation);
    }
    encode_client_frame(&mut out, true, opcode, rest, mask);
    out
}

/// Bytes that are no frame, or a frame that ends the connection, and the codes that it may be closed with.
pub(super) fn broken(dice: &mut Dice) -> (Vec<u8>, &'static [u16]) {
    let mut out = Vec::new();
    let mask = [1, 2, 3, 4];
    let codes: &[u16] = match dice.below(6) {
        0 => {
            encode_client_frame(&mut out, true, Opcode::Binary, b"{}", mask);
            &[1003]
        }
        1 => {
            encode_client_frame(&mut out, true, Opcode::Text, b"{\"id\":1,\"op\":\"\xff\"}", mask);
            &[1007]
        }
        2 => {
            encode_client_frame(&mut out, true, Opcode::Continuation, b"{}", mask);
            &[1002]
        }
        3 => {
            encode_client_frame(&mut out, true, Opcode::Text, &vec![b'['; FRAME_BYTES_MAX + 1], mask);
            &[1009]
        }
        4 => {
            out.extend_from_slice(b"\x81\x02{}");
            &[1002]
        }
        _ => {
            // Reserved bits are always among the first two bytes, so this is a broken frame whatever follows.
            out.extend_from_slice(&[0xf1, 0xff]);
            out.extend((0..dice.below(64)).map(|_| u8::try_from(dice.below(256)).expect("a byte")));
            &[1002]
        }
    };
    (out, codes)
}

/// Rooms to come back to: some that are there, some that are not, some twice.
pub(super) fn resume(dice: &mut Dice, world: &World) -> Value {
    (0..dice.below(6))
        .map(|_| match dice.below(3) {
            0 => json!({"room": dice.pick(&world.rooms)}),
            1 => json!({"room": dice.pick(&world.rooms), "epoch": dice.below(2), "seq": dice.below(80)}),
            _ => json!({"room": dice.user().to_string(), "seq": 1}),
        })
        .collect::<Vec<_>>()
        .into()
}
