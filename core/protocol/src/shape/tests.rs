use lynk_domain::{AckLevel, HistoryVisibility, Role, RoomKind};
use serde_json::{Map, Value, json};

use super::*;
use crate::{Command, ErrorCode, OPS, Reject, decode};

/// Two good values of a shape, of which none is what a field is without being given.
fn samples(shape: Shape) -> [Value; 2] {
    let id = |digit: &str| {
        json!(format!("{0}-{1}-4{2}-8{2}-{0}{1}", digit.repeat(8), digit.repeat(4), digit.repeat(3)))
    };
    match shape {
        Shape::Id | Shape::IdOrNull => [id("a"), id("b")],
        Shape::Number(from, to) => [json!(from.max(1)), json!(to)],
        Shape::Bool => [json!(false), json!(true)],
        Shape::Text | Shape::Code => [json!("one"), json!("two")],
        Shape::Hex(digits) => {
            // The code of a link: it leads into the room of the first sample.
            let room = id("a").as_str().expect("a text").replace('-', "");
            [format!("{room}{room}"), "b".repeat(digits.into())].map(Value::from)
        }
        Shape::Cursor => ["one", "two"].map(|name| json!("0".repeat(32) + name)),
        Shape::Word(words) => [json!(words[words.len() - 1]), json!(words[words.len() - 2])],
        Shape::Time | Shape::Moment => [json!("2026-11-23T17:48:51.123Z"), json!("2026-11-23T17:48:51.124Z")],
        Shape::List(of) => samples(*of).map(|item| json!([item])),
        Shape::Object(fields) => [0, 1].map(|n| {
            fields.iter().map(|field| (field.name.to_owned(), samples(field.shape)[n].clone())).collect()
        }),
        Shape::Numbers | Shape::Durable => unreachable!("no command has one"),
    }
}

/// What a command has at least.
fn least(row: &CommandShape) -> Map<String, Value> {
    let mut names: Vec<_> =
        row.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    for rule in row.rules {
        if let Rule::OneOf(of) | Rule::AnyOf(of) = rule {
            names.push(of[0]);
        }
    }
    let field = |name| row.fields.iter().find(|field| field.name == name).expect("rules name fields");
    let mut command: Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), samples(field(*name).shape)[0].clone())).collect();
    command.insert("op".to_owned(), row.op.into());
    command
}

/// What the decoder makes of a command; `None` when it refuses it, for whatever reason.
fn read(command: &Map<String, Value>) -> Result<String, Reject> {
    let text = Value::from(command.clone()).to_string();
    // Debug does not show tokens: their length is enough, and the samples of a text have equal ones.
    let shown = |command: Command<'_>| format!("{command:?}");
    decode(&text).command.map(shown)
}

fn with(command: &Map<String, Value>, name: &str, value: Value) -> Map<String, Value> {
    let mut command = command.clone();
    command.insert(name.to_owned(), value);
    command
}

#[test]
fn every_command_has_its_row() {
    let rows: Vec<_> = COMMANDS.iter().map(|row| row.op).collect();
    for op in OPS {
        assert!(
            rows.contains(&op),
            "`{op}` needs a row in core/protocol/src/shape/commands.rs, with its fields and answers"
        );
    }
    assert_eq!(rows, OPS, "the rows are in the order of OPS");
}

#[test]
fn what_a_row_says_is_what_the_decoder_reads() {
    let mut names: Vec<_> =
        COMMANDS.iter().flat_map(|row| row.fields).map(|field| (field.name, field.shape)).collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    names.dedup_by_key(|(name, _)| *name);
    for row in COMMANDS {
        let op = row.op;
        let least = least(row);
        let read_least =
            read(&least).unwrap_or_else(|reject| panic!("{op} needs more than its row says: {reject:?}"));
        for field in row.fields {
            let name = field.name;
            // Left out, or of another type.
            if least.contains_key(name) {
                let mut without = least.clone();
                without.remove(name);
                let missing = read(&without).expect_err("it is required");
                assert_eq!(missing.code, ErrorCode::InvalidField, "{op} without {name}");
            }
            let wrong = read(&with(&least, name, json!({})));
            assert_eq!(wrong.expect_err(name).code, ErrorCode::InvalidField, "{op}: {name}");
            // Read at all: it makes a difference to leave it out, or what it says.
            let given = samples(field.shape).map(|value| read(&with(&least, name, value)));
            let proof = matches!(name, "token" | "ticket");
            assert!(
                proof || given.iter().any(|given| given.as_ref() != Ok(&read_least)),
                "{op} does not read {name}"
            );
            // All that the row allows.
            let allowed = |value: Value| {
                let mut command = with(&least, name, value);
                for rule in row.rules {
                    match rule {
                        Rule::OneOf(of) if of.contains(&name) => {
                            command.retain(|other, _| other == name || !of.contains(&other.as_str()))
                        }
                        Rule::With(first, second) if *first == name => {
                            _ = command.insert((*second).to_owned(), json!(1))
                        }
                        _ => {}
                    }
                }
                read(&command).unwrap_or_else(|reject| panic!("{op} with {name}: {reject:?} {command:?}"))
            };
            allowed(samples(field.shape)[0].clone());
            match field.shape {
                Shape::Word(words) => words.iter().for_each(|word| drop(allowed(json!(word)))),
                Shape::Number(from, to) => drop((allowed(json!(from)), allowed(json!(to)))),
                Shape::IdOrNull => drop(allowed(Value::Null)),
                _ => {}
            }
        }
        for (name, shape) in
            names.iter().filter(|(name, _)| row.fields.iter().all(|field| field.name != *name))
        {
            for value in samples(*shape) {
                let more = read(&with(&least, name, value));
                assert_eq!(more.as_ref(), Ok(&read_least), "{op} reads {name}: that belongs into its row");
            }
        }
    }
}

#[test]
fn rules_hold_in_the_decoder() {
    for row in COMMANDS {
        let refused = |names: &[&str], why: &str| {
            let mut command = least(row);
            for rule in row.rules {
                if let Rule::OneOf(of) | Rule::AnyOf(of) = rule {
                    command.retain(|name, _| !of.contains(&name.as_str()));
                }
            }
            for name in names {
                let field = row.fields.iter().find(|field| field.name == *name).expect("rules name fields");
                command.insert((*name).to_owned(), samples(field.shape)[0].clone());
            }
            let code = read(&command).expect_err(why).code;
            assert_eq!(code, ErrorCode::InvalidField, "{}: {why}", row.op);
        };
        for rule in row.rules {
            match rule {
                Rule::OneOf(of) => {
                    refused(&[], "none of several");
                    refused(of, "more than one");
                }
                Rule::AnyOf(_) => refused(&[], "none of several"),
                Rule::AtMostOne(of) => {
                    for (at, first) in of.iter().enumerate() {
                        of[at + 1..]
                            .iter()
                            .for_each(|second| refused(&[first, second], "two of which one may be"));
                    }
                }
                Rule::With(first, _) => refused(&[first], "one without the other"),
            }
        }
    }
}

#[test]
fn words_are_those_of_the_types() {
    fn same(shape: Shape, names: &[&str]) {
        let Shape::Word(words) = shape else { panic!("{shape:?} has no words") };
        assert_eq!(words, names);
    }
    let kinds = [RoomKind::Public, RoomKind::Private, RoomKind::InviteOnly, RoomKind::Direct];
    same(commands::ANY_KIND, &kinds.map(RoomKind::name));
    same(commands::LEVELS, &[AckLevel::Memory, AckLevel::Local, AckLevel::Replicated].map(AckLevel::name));
    same(
        commands::VISIBILITIES,
        &[HistoryVisibility::All, HistoryVisibility::SinceJoin].map(HistoryVisibility::name),
    );
    same(commands::ROLES, &[Role::Member, Role::Moderator, Role::Admin, Role::Owner].map(Role::name));
}

#[test]
fn names_are_not_given_twice() {
    let mut answers: Vec<FrameShape> = COMMANDS.iter().flat_map(|row| row.answers).copied().collect();
    answers.sort_unstable_by_key(|answer| answer.name);
    answers.dedup();
    answers.push(ERROR);
    for frames in [&answers[..], EVENTS] {
        let mut names: Vec<_> = frames.iter().map(|frame| frame.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }
    for frame in answers.iter().chain(EVENTS) {
        let has = |name| frame.fields.iter().any(|field| field.name == name && field.required);
        assert_eq!(has("re"), frame.kind == FrameKind::Answer, "{}", frame.name);
        assert!(
            frame.kind != FrameKind::Durable || (has("room") && has("seq") && has("from") && has("time")),
            "{}",
            frame.name
        );
    }
}
