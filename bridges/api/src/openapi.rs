//! The OpenAPI 3.1 document, made from the tables of operations and the types they name.

use std::collections::BTreeMap;

use lynk_protocol::ErrorCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::error::{ErrorBody, status_of};
use crate::operation::{Operation, schema_of};

/// Codes that every operation may answer with: `forbidden` for a page of another origin.
const ALWAYS: [ErrorCode; 5] = [
    ErrorCode::BadRequest,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
    ErrorCode::Internal,
];
/// What the headings are about.
const TAGS: [(&str, &str); 8] = [
    ("accounts", "Signing in by telephone, tokens, sessions, people."),
    ("blocks", "Whom the caller does not want to hear from."),
    ("media", "Pictures and files: uploading, what became of them, and links to their bytes."),
    ("members", "Who is in a room, and what they may do there."),
    ("messages", "What is said in a room."),
    ("notifications", "Devices that are told of messages while their user is away."),
    ("positions", "How far the caller has come in a room, and typing."),
    ("rooms", "The caller's rooms."),
];
/// Further ones of operations with a token; the first only of those that are closed until a second factor is turned on.
const WITH_TOKEN: [ErrorCode; 4] = [
    ErrorCode::SecondFactorRequired,
    ErrorCode::NotSignedIn,
    ErrorCode::InvalidToken,
    ErrorCode::TokenExpired,
];

/// The document of these operations.
#[must_use]
pub fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_default();
        if !path.contains_key("parameters") && operation.path.contains('{') {
            path.insert("parameters".to_owned(), path_parameters(operation.path));
        }
        let method = operation.method.as_str().to_ascii_lowercase();
        let earlier = path.insert(method, describe(operation, &mut generator));
        assert!(earlier.is_none(), "{} {} is listed twice", operation.method, operation.path);
    }
    let error = schema_of::<ErrorBody>(&mut generator);
    let mut tags: Vec<&str> = operations.iter().map(|operation| operation.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lynk",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A chat server: everything that its WebSocket can do, for servers and scripts.",
            "description": "Commands, codes and limits are those of the WebSocket (docs/protocol.md). A request that \
                            changes something carries a `key`: repeat it with the same key until it is answered. \
                            Every answer has `x-request-id` and is not to be cached.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this server"}],
        "tags": tags.into_iter().map(described_tag).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": error_responses(&error.to_value()),
            "headers": {
                "x-request-id": {
                    "description": "Names this answer in the server's log.",
                    "required": true,
                    "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                },
                "retry-after": {
                    "description": "Seconds to wait, rounded up.",
                    "required": true,
                    "schema": {"type": "integer", "minimum": 0},
                },
                "www-authenticate": {
                    "description": "How to sign in.",
                    "required": true,
                    "schema": {"type": "string", "const": "Bearer"},
                },
            },
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "An access token of the server.",
            }},
        },
    })
}

fn described_tag(name: &str) -> Value {
    let described = TAGS.iter().find(|(tag, _)| *tag == name);
    let (_, description) = described.unwrap_or_else(|| panic!("nothing describes the heading {name}"));
    json!({"name": name, "description": description})
}

/// Answers that are no success, by what they have besides the body.
fn error_responses(error: &Value) -> Value {
    let response = |description: &str, more: Option<&str>| {
        let names = ["x-request-id"].into_iter().chain(more);
        let headers: Map<String, Value> = names
            .map(|name| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})))
            .collect();
        json!({"description": description, "headers": headers, "content": {"application/json": {"schema": error}}})
    };
    json!({
        "Error": response("Why it was refused.", None),
        "Unauthorized": response("Nobody is signed in.", Some("www-authenticate")),
        "Later": response("Not now.", Some("retry-after")),
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut described = json!({
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": if operation.auth { json!([{"token": []}]) } else { json!([]) },
        "responses": responses(operation, generator),
    });
    if let Some(query) = operation.query {
        described["parameters"] = query_parameters(&query(generator).to_value());
    }
    if let Some(request) = operation.request {
        let schema = request(generator);
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    if operation.takes_bytes {
        described["requestBody"] = json!({"required": true, "content": {"application/octet-stream": {}}});
    }
    described
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for (status, body) in &operation.success {
        let said = match (status, body) {
            (307, _) => "It is elsewhere: ask for it there at once, without a token.",
            (_, Some(_)) => "Done.",
            (_, None) => "Done; there is nothing to say.",
        };
        let mut response = json!({
            "description": said,
            "headers": {"x-request-id": {"$ref": "#/components/headers/x-request-id"}},
        });
        if *status == 307 {
            response["headers"]["location"] =
                json!({"description": "Where it is.", "schema": {"type": "string", "format": "uri"}});
        }
        if let Some(body) = body {
            response["content"] = match operation.gives_bytes {
                true => json!({"*/*": {}}),
                false => json!({"application/json": {"schema": body(generator)}}),
            };
        }
        responses.insert(status.to_string(), response);
    }
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let token = match (operation.auth, operation.enrolling) {
        (false, _) => &[],
        (true, true) => &WITH_TOKEN[1..],
        (true, false) => &WITH_TOKEN[..],
    };
    for code in ALWAYS.iter().chain(token).chain(&operation.errors) {
        let listed = codes.entry(status_of(*code).as_u16()).or_default();
        if !listed.contains(&code.name()) {
            listed.push(code.name());
        }
    }
    codes.entry(408).or_default().push("bad_request");
    if operation.request.is_some() {
        codes.entry(413).or_default().push("too_large");
        codes.entry(415).or_default().push("bad_request");
    }
    for (status, names) in codes {
        let mut names = names;
        names.dedup();
        let description = format!("`{}`", names.join("`, `"));
        let kind = match status {
            401 => "Unauthorized",
            429 | 503 => "Later",
            _ => "Error",
        };
        let response = json!({"$ref": format!("#/components/responses/{kind}"), "description": description});
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

/// Parameters in braces: those called after an id are ids, `seq` is a number, the rest is text.
fn path_parameters(path: &str) -> Value {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    names
        .map(|name| {
            let schema = match name {
                "room" | "user" | "session" | "link" | "media" => json!({"type": "string", "format": "uuid"}),
                "seq" => json!({"type": "integer", "minimum": 1, "maximum": lynk_protocol::MAX_SAFE_INTEGER}),
                _ => json!({"type": "string", "minLength": 1}),
            };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect()
}

/// The properties of an object as parameters.
fn query_parameters(object: &Value) -> Value {
    let required: Vec<&Value> = object["required"].as_array().into_iter().flatten().collect();
    let properties = object["properties"].as_object().cloned().unwrap_or_default();
    properties
        .into_iter()
        .map(|(name, mut schema)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let is_required = required.iter().any(|one| **one == name);
            json!({"name": name, "in": "query", "required": is_required, "schema": schema,
                   "description": description.unwrap_or_default()})
        })
        .collect()
}
