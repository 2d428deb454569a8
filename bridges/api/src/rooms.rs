//! Rooms and messages: one table of operations, each a command of the socket with its fields in path, query and body.
//!
//! The table is the router and the document at once. A request is put together to the command's JSON, the engine answers
//! it as on a socket, and the answer leaves without `ev` and `re`.

pub(crate) mod types;

mod table;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRef, RawPathParams, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use lynk_domain::RoomId;
use lynk_protocol::{ErrorCode, MAX_SAFE_INTEGER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::auth::{Authority, Caller};
use crate::body::{is_json, parse};
use crate::error::ApiError;
use crate::intake::Shards;
use crate::operation::Operation;

/// Fields of a command.
type Fields = Map<String, Value>;

/// Where fields come from, apart from the path.
pub(crate) type Decode = fn(&[u8]) -> Result<Fields, ApiError>;

/// What an answer becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// The command's answer.
    Same,
    /// The row of the one room that the path names, out of a page.
    OneRow,
}

/// One row of the table.
pub(crate) struct Route {
    pub(crate) operation: Operation,
    /// The command.
    op: &'static str,
    query: Option<Decode>,
    body: Option<Decode>,
    /// Fields that the path implies.
    implied: &'static [(&'static str, bool)],
    shape: Shape,
}

/// What the handlers use.
#[derive(Clone)]
pub(crate) struct RoomsState {
    pub(crate) shards: Shards,
    pub(crate) authority: Authority,
}

impl FromRef<RoomsState> for Authority {
    fn from_ref(state: &RoomsState) -> Self {
        state.authority.clone()
    }
}

/// The operations of this part.
pub(crate) fn operations() -> Vec<Operation> {
    table::routes().into_iter().map(|route| route.operation).collect()
}

/// The routes of this part.
pub(crate) fn router(state: RoomsState) -> Router {
    let routes = table::routes();
    let add = |router: Router<RoomsState>, route: Route| {
        let route: &'static Route = Box::leak(Box::new(route));
        let filter = MethodFilter::try_from(route.operation.method.clone()).expect("a method of HTTP");
        let handler = move |State(state): State<RoomsState>,
                            caller: Caller,
                            path: RawPathParams,
                            uri: Uri,
                            headers: HeaderMap,
                            body: Bytes| async move {
            answer(route, &state.shards, caller, &path, &uri, &headers, &body).await
        };
        router.route(route.operation.path, on(filter, handler))
    };
    routes.into_iter().fold(Router::new(), add).with_state(state)
}

async fn answer(
    route: &Route,
    shards: &Shards,
    caller: Caller,
    path: &RawPathParams,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut fields = match route.body {
        Some(decode) => {
            if !is_json(headers) {
                return Err(ApiError::media_type());
            }
            decode(body)?
        }
        None => Fields::new(),
    };
    if let Some(decode) = route.query {
        fields.append(&mut decode(uri.query().unwrap_or_default().as_bytes())?);
    }
    for (name, value) in path {
        let value = match name {
            "seq" => seq(value)?.into(),
            _ => value.into(),
        };
        fields.insert(name.to_owned(), value);
    }
    let room = if route.shape == Shape::OneRow { Some(narrow(&mut fields)?) } else { None };
    fields.insert("op".to_owned(), route.op.into());
    for (name, value) in route.implied {
        fields.insert((*name).to_owned(), (*value).into());
    }
    let frame = shards.ask(caller.principal(), caller.claims.expires, fields).await?;
    let payload = frame.payload();
    if let Some(room) = room {
        return one_row(payload, room);
    }
    let (body, repeated) = strip(payload).ok_or(ErrorCode::Internal)?;
    let success = route.operation.success[0].0;
    let status = if repeated { StatusCode::OK } else { StatusCode::from_u16(success).unwrap_or_default() };
    Ok((status, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response())
}

fn seq(text: &str) -> Result<u64, ApiError> {
    let valid = |seq: &u64| (1..=MAX_SAFE_INTEGER).contains(seq);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(valid)
        .filter(|_| digits)
        .ok_or_else(|| ApiError::because(ErrorCode::InvalidField, "`seq` of the path is not a seq"))
}

/// Has a page begin at the room of the path and end with it.
fn narrow(fields: &mut Fields) -> Result<RoomId, ApiError> {
    let room = fields.remove("room");
    let room = room
        .as_ref()
        .and_then(Value::as_str)
        .and_then(RoomId::parse)
        .filter(|room| !room.is_nil())
        .ok_or_else(|| ApiError::because(ErrorCode::InvalidField, "`room` of the path is not an id"))?;
    let before = RoomId((u128::from_be_bytes(room.0) - 1).to_be_bytes());
    fields.insert("after".to_owned(), before.to_string().into());
    fields.insert("limit".to_owned(), 1.into());
    Ok(room)
}

fn one_row(page: &[u8], room: RoomId) -> Result<Response, ApiError> {
    let mut page: Value = serde_json::from_slice(page).map_err(|_| ErrorCode::Internal)?;
    let row = page["rooms"].as_array_mut().and_then(Vec::pop);
    let row = row.filter(|row| row["room"] == room.to_string()).ok_or(ErrorCode::RoomNotFound)?;
    Ok(axum::Json(row).into_response())
}

/// An answer without `ev` and `re`, with which every answer of the engine begins, and without `repeated`, which ends it and
/// is told apart. `None` for what does not begin so.
fn strip(payload: &[u8]) -> Option<(Vec<u8>, bool)> {
    const REPEATED: &[u8] = br#","repeated":true}"#;
    let rest = payload.strip_prefix(br#"{"ev":""#)?;
    let name = rest.iter().take_while(|byte| **byte != b'"').count();
    let rest = rest[name..].strip_prefix(br#"","re":"#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &rest[digits..];
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    let mut body = Vec::with_capacity(rest.len() + 1);
    body.push(b'{');
    let repeated = rest.ends_with(REPEATED);
    if repeated {
        body.extend_from_slice(&rest[..rest.len() - REPEATED.len()]);
        body.push(b'}');
    } else {
        body.extend_from_slice(rest);
    }
    Some((body, repeated))
}

/// Fields of a JSON body. What is wrong is told by place, never by content.
pub(crate) fn decode_body<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<Fields, ApiError> {
    let value: T = parse(bytes)?;
    Ok(fields_of(&value))
}

/// Fields of a query.
pub(crate) fn decode_query<T: DeserializeOwned + Serialize>(query: &[u8]) -> Result<Fields, ApiError> {
    let value: T = query_of(query)?;
    Ok(fields_of(&value))
}

/// A query, read into a type.
///
/// # Errors
/// It does not fit; without repeating any of it.
pub fn query_of<T: DeserializeOwned>(query: &[u8]) -> Result<T, ApiError> {
    let bad = || {
        ApiError::because(ErrorCode::InvalidField, "a query parameter is missing, mistyped or given twice")
    };
    let query = std::str::from_utf8(query).map_err(|_| bad())?;
    let uri = Uri::builder().path_and_query(format!("/?{query}")).build().map_err(|_| bad())?;
    let value: axum::extract::Query<T> = axum::extract::Query::try_from_uri(&uri).map_err(|_| bad())?;
    Ok(value.0)
}

fn fields_of<T: Serialize>(value: &T) -> Fields {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Fields::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_loses_what_only_sockets_need() {
        let stripped = |answer: &str| {
            let (body, repeated) = strip(answer.as_bytes()).expect("an answer");
            (String::from_utf8(body).expect("text"), repeated)
        };
        assert_eq!(stripped(r#"{"ev":"ok","re":12}"#), ("{}".to_owned(), false));
        assert_eq!(stripped(r#"{"ev":"ok","re":12,"seq":3}"#), (r#"{"seq":3}"#.to_owned(), false));
        let again = r#"{"ev":"ok","re":1,"seq":3,"repeated":true}"#;
        assert_eq!(stripped(again), (r#"{"seq":3}"#.to_owned(), true));
        assert_eq!(
            stripped(r#"{"ev":"history","re":1,"events":[{"ev":"message"}]}"#).0,
            r#"{"events":[{"ev":"message"}]}"#
        );
        assert_eq!(strip(b"{}"), None);
    }

    #[test]
    fn a_number_is_whole_whether_written_with_a_point_or_not() {
        for body in [r#"{"seq":7}"#, r#"{"seq":7.0}"#, r#"{"seq":0.7e1}"#] {
            let fields = decode_body::<types::At>(body.as_bytes()).expect(body);
            assert_eq!(fields["seq"], 7, "{body}");
        }
        for seq in ["7.5", "-1", "-1.0", "1e300", "9007199254740993.0", "\"7\"", "true", "null"] {
            let error = decode_body::<types::At>(format!(r#"{{"seq":{seq}}}"#).as_bytes()).expect_err(seq);
            assert_eq!(error.code, ErrorCode::InvalidField, "{seq}");
        }
        let mute = |seconds: &str| {
            let key = "01a21596-e29e-7295-8559-aa9fc62f21f5";
            let body = format!(r#"{{"user":"{key}","key":"{key}"{seconds}}}"#);
            decode_body::<types::Mute>(body.as_bytes()).map(|fields| fields.get("seconds").cloned())
        };
        assert_eq!(mute(""), Ok(None));
        assert_eq!(mute(r#","seconds":null"#), Ok(None));
        assert_eq!(mute(r#","seconds":60.0"#), Ok(Some(60.into())));
        assert!(mute(r#","seconds":0.5"#).is_err());
    }

    #[test]
    fn a_body_that_is_wrong_is_told_by_place_and_not_by_content() {
        let error = |body: &str| decode_body::<types::SendMessage>(body.as_bytes()).expect_err("wrong");
        for (body, code) in [
            ("{", ErrorCode::BadRequest),
            (r#"{"text":"t"}"#, ErrorCode::InvalidField),
            (r#"{"key":"k","text":"a","text":"b"}"#, ErrorCode::InvalidField),
            (r#"{"key":"s3cr3t","text":7}"#, ErrorCode::InvalidField),
            (r#"{"key":"k","text":"t","reply_to":"s3cr3t"}"#, ErrorCode::InvalidField),
        ] {
            let error = error(body);
            assert_eq!(error.code, code, "{body}");
            assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
        }
    }
}
