//! The AsyncAPI 3.0 document of the socket, made from the tables of `lynk_protocol::shape` and the tables of codes.
//!
//! Schemas are of draft 07, which every reader of AsyncAPI knows. They say what there is and forbid nothing more: readers skip members that
//! they do not know, and the server ignores fields that it does not know.

use lynk_protocol::shape::{
    COMMANDS, CommandShape, ERROR, EVENTS, Field, FrameKind, FrameShape, Rule, Shape,
};
use lynk_protocol::{CloseCode, ErrorCode, MAX_SAFE_INTEGER};
use serde_json::{Map, Value, json};

/// What the server says without being asked, by kind.
const FLOWS: [(FrameKind, &str, &str); 4] = [
    (
        FrameKind::Durable,
        "durable_events",
        "Events of the rooms that one is subscribed to: each takes the next `seq` of its room.",
    ),
    (FrameKind::Passing, "passing_events", "Told once, to who is there; they take no `seq`."),
    (
        FrameKind::Own,
        "own_events",
        "About one's own account, on all its connections, whatever they are subscribed to.",
    ),
    (FrameKind::Flow, "flow_events", "About the flow of events itself."),
];

/// The document of the socket.
#[must_use]
pub fn socket_document() -> Value {
    let answers = answers();
    let mut messages = Map::new();
    let mut schemas = Map::new();
    let mut add = |name: String, title: &str, about: &str, schema: Value| {
        let message = json!({
            "name": name, "title": title, "summary": about, "contentType": "application/json",
            "payload": {"$ref": format!("#/components/schemas/{name}")},
        });
        messages.insert(name.clone(), message);
        schemas.insert(name, schema);
    };
    for command in COMMANDS {
        add(command_name(command), command.op, command.about, command_schema(command));
    }
    for answer in &answers {
        add(frame_name(answer), answer.ev, answer.about, frame_schema(answer));
    }
    for event in EVENTS {
        add(frame_name(event), event.ev, event.about, frame_schema(event));
    }
    schemas.insert("Durable".to_owned(), durable());
    let on_channel: Map<_, _> = messages
        .keys()
        .map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")})))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lynk",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands, answers and events of the WebSocket. docs/protocol.md says what they mean together; docs/openapi.json \
                            lists the same commands as HTTP requests.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "this": {
                "host": "{host}",
                "protocol": "wss",
                "description": "The server; `ws` where no TLS is in front of it.",
                "variables": {"host": {"description": "Its name, with its port.", "default": "localhost:8080"}},
            },
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "title": "The socket",
                "description": "Subprotocol `lynk.v1`: one JSON object in each text frame. The first command is `hello`, within 10 s.",
                "servers": [{"$ref": "#/servers/this"}],
                "messages": on_channel,
                "bindings": {"ws": {
                    "method": "GET",
                    "headers": {"type": "object", "properties": {
                        "Sec-WebSocket-Protocol": {"type": "string", "const": "lynk.v1"},
                    }},
                    "bindingVersion": "0.1.0",
                }},
            },
        },
        "operations": operations(),
        "components": {"messages": messages, "schemas": schemas},
        "x-error-codes": ErrorCode::ALL.map(|code| json!({
            "code": code.name(), "number": code as u16, "retryable": code.retryable(), "description": code.advice(),
        })).to_vec(),
        "x-close-codes": CloseCode::ALL.map(|code| json!({
            "code": code.number(), "reason": code.reason(), "reconnect": code.reconnect(),
        })).to_vec(),
    })
}

/// All answers, each once.
fn answers() -> Vec<FrameShape> {
    let mut all = vec![ERROR];
    for answer in COMMANDS.iter().flat_map(|command| command.answers) {
        match all.iter().find(|known| known.name == answer.name) {
            None => all.push(*answer),
            Some(known) => assert_eq!(known, answer, "two answers have one name"),
        }
    }
    all
}

fn command_name(command: &CommandShape) -> String {
    format!("command.{}", command.op)
}

fn frame_name(frame: &FrameShape) -> String {
    let kind = if frame.kind == FrameKind::Answer { "answer" } else { "event" };
    format!("{kind}.{}", frame.name)
}

fn operations() -> Map<String, Value> {
    let channel = json!({"$ref": "#/channels/socket"});
    let on_channel = |name: String| json!({"$ref": format!("#/channels/socket/messages/{name}")});
    let mut operations = Map::new();
    for command in COMMANDS {
        let answers = command.answers.iter().chain([&ERROR]).map(|answer| on_channel(frame_name(answer)));
        let operation = json!({
            "action": "receive",
            "channel": channel,
            "summary": command.about,
            "messages": [on_channel(command_name(command))],
            "reply": {"channel": channel, "messages": answers.collect::<Vec<_>>()},
        });
        operations.insert(command.op.to_owned(), operation);
    }
    for (kind, name, about) in FLOWS {
        let events =
            EVENTS.iter().filter(|event| event.kind == kind).map(|event| on_channel(frame_name(event)));
        let operation = json!({
            "action": "send", "channel": channel, "summary": about, "messages": events.collect::<Vec<_>>(),
        });
        operations.insert(name.to_owned(), operation);
    }
    operations
}

/// What a page is made of.
fn durable() -> Value {
    let of = EVENTS.iter().filter(|event| event.kind == FrameKind::Durable || event.ev == "gap");
    let schemas = of.map(|event| json!({"$ref": format!("#/components/schemas/{}", frame_name(event))}));
    json!({"description": "A durable event, or a gap.", "oneOf": schemas.collect::<Vec<_>>()})
}

fn command_schema(command: &CommandShape) -> Value {
    const FIRST: [Field; 2] = [
        Field {
            name: "id",
            shape: Shape::Number(0, MAX_SAFE_INTEGER),
            required: false,
            about: "Number of the command on its connection, returned as `re`.",
        },
        Field { name: "op", shape: Shape::Text, required: true, about: "What to do." },
    ];
    let mut schema = object(FIRST.iter().chain(command.fields));
    schema["description"] = command.about.into();
    schema["properties"]["op"] = json!({"type": "string", "const": command.op});
    let needs = |names: &[&str]| json!({"required": names});
    let each = |names: &[&str]| names.iter().map(|name| needs(&[name])).collect::<Vec<_>>();
    for rule in command.rules {
        match rule {
            Rule::OneOf(names) => schema["oneOf"] = each(names).into(),
            Rule::AnyOf(names) => schema["anyOf"] = each(names).into(),
            Rule::AtMostOne(names) => {
                let pairs = names.iter().enumerate().flat_map(|(at, first)| {
                    names[at + 1..].iter().map(move |second| json!({"required": [first, second]}))
                });
                schema["not"] = json!({"anyOf": pairs.collect::<Vec<_>>()});
            }
            Rule::With(first, second) => schema["dependencies"] = json!({*first: [second]}),
        }
    }
    schema
}

fn frame_schema(frame: &FrameShape) -> Value {
    const EV: Field = Field { name: "ev", shape: Shape::Text, required: true, about: "What it is." };
    let mut schema = object([&EV].into_iter().chain(frame.fields));
    schema["description"] = frame.about.into();
    schema["properties"]["ev"] = json!({"type": "string", "const": frame.ev});
    schema
}

fn object<'f>(fields: impl Iterator<Item = &'f Field> + Clone) -> Value {
    let properties: Map<_, _> = fields
        .clone()
        .map(|field| {
            let mut schema = schema(field.shape);
            // Beside a reference, draft 07 reads nothing.
            if schema.get("$ref").is_none() {
                schema["description"] = field.about.into();
            }
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<_> = fields.filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    // Draft 04 asked for one name at least, and some readers still do.
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn schema(shape: Shape) -> Value {
    match shape {
        Shape::Id => json!({"type": "string", "format": "uuid"}),
        Shape::IdOrNull => json!({"type": ["string", "null"], "format": "uuid"}),
        Shape::Number(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Text => json!({"type": "string"}),
        Shape::Cursor => json!({"type": "string"}),
        Shape::Hex(digits) => json!({"type": "string", "pattern": format!("^[0-9a-fA-F]{{{digits}}}$")}),
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::Code => json!({"type": "string", "enum": ErrorCode::ALL.map(ErrorCode::name).to_vec()}),
        Shape::Time => json!({"type": "string", "format": "date-time"}),
        Shape::Moment => json!({
            "oneOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER},
            ],
        }),
        Shape::List(of) => json!({"type": "array", "items": schema(*of)}),
        Shape::Object(fields) => object(fields.iter()),
        Shape::Numbers => {
            json!({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
        }
        Shape::Durable => json!({"$ref": "#/components/schemas/Durable"}),
    }
}
