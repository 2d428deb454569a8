//! What an operation of the API is, for the router and for the document made from the same table.

use axum::http::Method;
use lynk_protocol::ErrorCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes the schema of one type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`, by reference where it has a name.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema of `T` itself, never by reference.
pub fn object_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Method.
    pub method: Method,
    /// Path with its parameters in braces.
    pub path: &'static str,
    /// Unique name, for generated clients.
    pub name: &'static str,
    /// Heading that it is listed under.
    pub tag: &'static str,
    /// What it does, one sentence.
    pub summary: &'static str,
    /// Whether it needs a bearer token.
    pub auth: bool,
    /// Whether it is open to whoever has to turn on a second factor first.
    pub enrolling: bool,
    /// Query parameters: the properties of this object, which is no reference ([`object_of`]).
    pub query: Option<SchemaOf>,
    /// The body.
    pub request: Option<SchemaOf>,
    /// Whether the body is bytes of any type instead.
    pub takes_bytes: bool,
    /// Whether a success that has a body has bytes of any type.
    pub gives_bytes: bool,
    /// Statuses of success, each with its body.
    pub success: Vec<(u16, Option<SchemaOf>)>,
    /// Codes that it may answer with, besides those that every operation may.
    pub errors: Vec<ErrorCode>,
}

impl Operation {
    /// An operation that needs a token and has neither query nor body.
    #[must_use]
    pub fn new(method: Method, path: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            name,
            tag: "rooms",
            summary,
            auth: true,
            enrolling: false,
            query: None,
            request: None,
            takes_bytes: false,
            gives_bytes: false,
            success: Vec::new(),
            errors: Vec::new(),
        }
    }
}
