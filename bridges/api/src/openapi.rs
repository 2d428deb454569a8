//! The OpenAPI 3.1 document, made from the tables of operations and the types they name.

use std::collections::BTreeMap;

use lynk_protocol::ErrorCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::error::{ErrorBody, status_of};
use crate::operation::{Operation, schema_of};

/// Codes that every operation may answer with.
const ALWAYS: [ErrorCode; 4] =
    [ErrorCode::BadRequest, ErrorCode::RateLimited, ErrorCode::Unavailable, ErrorCode::Internal];
/// Further ones of operations with a token.
const WITH_TOKEN: [ErrorCode; 3] = [ErrorCode::NotSignedIn, ErrorCode::InvalidToken, ErrorCode::TokenExpired];

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
        "tags": tags.into_iter().map(|tag| json!({"name": tag})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {"Error": {
                "description": "Why it was refused.",
                "headers": {"x-request-id": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": error}},
            }},
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "An access token of the server.",
            }},
        },
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
    described
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for (status, body) in &operation.success {
        let mut response = json!({
            "description": if body.is_some() { "Done." } else { "Done; there is nothing to say." },
            "headers": {"x-request-id": {"schema": {"type": "string"}}},
        });
        if let Some(body) = body {
            response["content"] = json!({"application/json": {"schema": body(generator)}});
        }
        responses.insert(status.to_string(), response);
    }
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let token = if operation.auth { &WITH_TOKEN[..] } else { &[] };
    for code in ALWAYS.iter().chain(token).chain(&operation.errors) {
        let listed = codes.entry(status_of(*code).as_u16()).or_default();
        if !listed.contains(&code.name()) {
            listed.push(code.name());
        }
    }
    if operation.request.is_some() {
        codes.entry(413).or_default().push("too_large");
        codes.entry(415).or_default().push("bad_request");
    }
    for (status, names) in codes {
        let mut names = names;
        names.dedup();
        let description = format!("`{}`", names.join("`, `"));
        let response = json!({"$ref": "#/components/responses/Error", "description": description});
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
                "room" | "user" | "session" => json!({"type": "string", "format": "uuid"}),
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
