//! What the server has of a person, for that person, as JSON in pages.
//!
//! Thread: handlers; the account's part comes from the accounts' thread, rooms and messages from the shards, as any request of
//! the user does, so an export shows nothing that its owner may not read. Pages have no state here: the cursor says where the
//! next one begins. Limits: [`CALLS_MAX`] commands and [`MESSAGES_MAX`] messages a page, after which it ends, also without any.
//! What can fail: a store that is away; the same cursor is good again.

use axum::extract::State;
use lynk_auth::Claims;
use lynk_domain::{MediaId, Now, RoomId, UserId};
use lynk_model::account::{Account, AuditEvent, AuditKind, Session};
use lynk_model::port::{FactorStore, LastFault};
use lynk_model::{Report, ReportQuery};
use lynk_protocol::{ErrorCode, MAX_SAFE_INTEGER, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::AccountsState;
use super::factors::service::{FactorActions, Standing};
use super::handlers::{Answer, Body};
use super::service::Service;
use super::wire::SessionRow;
use crate::body::Json;
use crate::{ApiError, Caller, Shards};

/// Commands to shards for one page.
const CALLS_MAX: u32 = 8;
/// Own messages of a page, after which no further command is given.
const MESSAGES_MAX: usize = 500;
/// Messages that one command looks at.
const HISTORY_PAGE: u32 = 500;
/// Pages of requests to become a member, of 100 each.
const REQUEST_PAGES_MAX: u32 = 64;
/// Reports of one page.
const REPORTS_PAGE: u32 = 100;
/// Rooms of one page.
const ROOMS_PAGE: u32 = 100;
/// Lines of the audit log that are given: all that are kept of most people.
const AUDIT_MAX: u32 = 5_000;

/// `POST /v1/me/export`
#[derive(Deserialize, JsonSchema)]
pub(super) struct ExportBody {
    /// `next` of the page before; left out for the first page, which needs a recent proof.
    cursor: Option<String>,
}

/// A page of an export.
#[derive(Serialize, JsonSchema)]
pub(super) struct ExportPage {
    /// Always `lynk.export.v1`.
    #[schemars(extend("const" = "lynk.export.v1"))]
    format: &'static str,
    /// When the page was made.
    made_at: u64,
    /// The account; of the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<ExportedAccount>,
    /// Rooms that the account is a member of, as `GET /v1/rooms` gives them.
    rooms: Vec<Value>,
    /// Requests of the account to become a member, as `GET /v1/join_requests` gives them; of the first page.
    join_requests: Vec<Value>,
    /// Reports that the account made; of the first pages.
    reports: Vec<ExportedReport>,
    /// Messages of the account in those rooms, as `history` gives them, with their room.
    messages: Vec<Value>,
    /// Where the next page begins; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What the store of accounts has.
#[derive(Serialize, JsonSchema)]
struct ExportedAccount {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    user: String,
    /// Telephone number.
    phone: String,
    /// Unique name.
    user_name: String,
    /// What others read.
    display_name: String,
    /// What it tells about itself.
    bio: String,
    /// Its picture, or nothing; `GET /v1/media` lists all its files, and each can be read until the account is erased.
    #[schemars(extend("format" = "uuid"))]
    avatar: Option<String>,
    /// When it was made.
    created_at: u64,
    /// When its profile changed last.
    updated_at: u64,
    /// Whether others find it by the beginnings of its names.
    discoverable_by_name: bool,
    /// Whether others reach it by its telephone number.
    discoverable_by_phone: bool,
    /// Since when signing in asks for an app; null when it does not.
    totp_since: Option<u64>,
    /// Recovery codes that were not used.
    recovery_codes_left: u32,
    /// Sessions that are open.
    sessions: Vec<SessionRow>,
    /// What happened to the account in the last 90 days, newest first.
    audit: Vec<ExportedEvent>,
    /// Whom the account blocks.
    blocks: Vec<String>,
}

/// A report that the account made.
#[derive(Serialize, JsonSchema)]
struct ExportedReport {
    /// In which room.
    #[schemars(extend("format" = "uuid"))]
    room: String,
    /// What it is about: `message`, `user` or `room`.
    subject: &'static str,
    /// The message; null for none.
    seq: Option<u64>,
    /// Who wrote it, or the member; null for a room.
    #[schemars(extend("format" = "uuid"))]
    user: Option<String>,
    /// Why, as `report` takes it.
    reason: &'static str,
    /// In the account's words.
    comment: String,
    /// When.
    at: u64,
    /// What came of it, as `resolve_report` takes it; null while it is open.
    outcome: Option<&'static str>,
}

impl ExportedReport {
    /// What its maker said, and what came of it. Who decided, and their note, are the moderators'.
    fn of(report: Report) -> Self {
        Self {
            room: report.room.to_string(),
            subject: report.kind.name(),
            seq: Some(report.seq.0).filter(|seq| *seq > 0),
            user: (!report.user.is_nil()).then(|| report.user.to_string()),
            reason: report.reason.name(),
            comment: report.comment,
            at: report.at.0,
            outcome: report.outcome.map(lynk_model::ReportOutcome::name),
        }
    }
}

/// A line of the audit log.
#[derive(Serialize, JsonSchema)]
struct ExportedEvent {
    /// When.
    at: u64,
    /// What.
    what: &'static str,
    /// In which session; null for the account as a whole.
    session: Option<String>,
}

/// What the accounts' thread has.
#[derive(Debug)]
pub(super) struct Exported {
    account: Account,
    standing: Standing,
    sessions: Vec<Session>,
    audit: Vec<AuditEvent>,
}

/// What is done on the accounts' thread.
pub(super) trait ExportActions: FactorActions {
    fn export(&mut self, now: Now, claims: &Claims) -> Result<Exported, Reject>;
}

impl<S: FactorStore + LastFault> ExportActions for Service<S> {
    fn export(&mut self, now: Now, claims: &Claims) -> Result<Exported, Reject> {
        let standing = self.standing(claims)?;
        self.recent(now, claims)?;
        let event = AuditEvent {
            at: now.wall,
            user: claims.user,
            session: claims.session,
            kind: AuditKind::Exported,
        };
        let noted = self.runtime.block_on(self.store.note(event));
        self.wrote(noted)?;
        let sessions = self.runtime.block_on(self.store.sessions(claims.user, now.wall));
        let audit = self.runtime.block_on(self.store.audit(claims.user, AUDIT_MAX));
        Ok(Exported {
            account: self.account(claims.user)?,
            standing,
            sessions: self.stored(sessions)?,
            audit: self.stored(audit)?,
        })
    }
}

/// Where a page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cursor {
    /// With the account.
    Start,
    /// With reports after this one of its room.
    Reports(RoomId, u64),
    /// With rooms after this one.
    Rooms(RoomId),
    /// With the messages of the room after this one.
    After(RoomId),
    /// In a room, after this seq.
    In(RoomId, u64),
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        match kind {
            "rooms" => RoomId::parse(rest).map(Self::Rooms),
            "after" => RoomId::parse(rest).map(Self::After),
            "in" | "reports" => {
                let (room, number) = rest.split_once('/')?;
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                let number = number.parse().ok().filter(|number| digits && *number <= MAX_SAFE_INTEGER)?;
                let at: fn(RoomId, u64) -> Self = if kind == "in" { Self::In } else { Self::Reports };
                RoomId::parse(room).map(|room| at(room, number))
            }
            _ => None,
        }
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Start => None,
            Self::Reports(room, number) => Some(format!("reports/{room}/{number}")),
            Self::Rooms(after) => Some(format!("rooms/{after}")),
            Self::After(room) => Some(format!("after/{room}")),
            Self::In(room, seq) => Some(format!("in/{room}/{seq}")),
        }
    }
}

pub(super) async fn export(
    State(state): State<AccountsState>,
    caller: Caller,
    Json(body): Json<ExportBody>,
) -> Answer<Body<ExportPage>> {
    let claims = caller.claims;
    let now = (state.clock)();
    state.pace.take(now.mono, claims.user)?;
    let wrong = || Reject::because(ErrorCode::InvalidField, "cursor must be `next` of the page before");
    let cursor = match &body.cursor {
        None => Cursor::Start,
        Some(text) => Cursor::parse(text).ok_or_else(wrong)?,
    };
    let mut page = ExportPage {
        format: "lynk.export.v1",
        made_at: now.wall.0,
        account: None,
        rooms: Vec::new(),
        join_requests: Vec::new(),
        reports: Vec::new(),
        messages: Vec::new(),
        next: None,
    };
    let asks = Asks { shards: &state.authority.shards, caller };
    let next = match cursor {
        Cursor::Start => {
            let exported = state.desk.ask(move |desk| desk.export(now, &claims)).await?;
            let blocks = state.blocks.by(claims.user).await?;
            page.account = Some(account(&exported, &claims, blocks.into_iter()));
            asks.requests(&mut page.join_requests).await?;
            Some(reports(&state, &claims, (RoomId::NIL, 0), &mut page.reports).await?)
        }
        Cursor::Reports(room, number) => {
            Some(reports(&state, &claims, (room, number), &mut page.reports).await?)
        }
        Cursor::Rooms(after) => Some(asks.rooms(after, &mut page.rooms).await?),
        Cursor::After(_) | Cursor::In(..) => asks.messages(cursor, &mut page.messages).await?,
    };
    page.next = next.and_then(Cursor::text);
    Ok(axum::Json(page))
}

/// Reports that the account made, after one; where it goes on.
async fn reports(
    state: &AccountsState,
    claims: &Claims,
    after: (RoomId, u64),
    reports: &mut Vec<ExportedReport>,
) -> Result<Cursor, ApiError> {
    let query = ReportQuery::By { reporter: claims.user, after, limit: REPORTS_PAGE };
    let found = state.room_people.reports(query).await?;
    let last = found.last().filter(|_| found.len() >= REPORTS_PAGE as usize);
    let next = last.map_or(Cursor::Rooms(RoomId::NIL), |last| Cursor::Reports(last.room, last.number));
    reports.extend(found.into_iter().map(ExportedReport::of));
    Ok(next)
}

fn account(exported: &Exported, claims: &Claims, blocks: impl Iterator<Item = UserId>) -> ExportedAccount {
    let Exported { account, standing, sessions, audit } = exported;
    let event = |event: &AuditEvent| ExportedEvent {
        at: event.at.0,
        what: event.kind.name(),
        session: (!event.session.is_nil()).then(|| event.session.to_string()),
    };
    ExportedAccount {
        user: account.user.to_string(),
        phone: account.phone.as_e164().to_owned(),
        user_name: account.user_name.clone(),
        display_name: account.display_name.clone(),
        bio: account.bio.clone(),
        avatar: account.avatar.map(|id| MediaId(id).to_string()),
        created_at: account.created.0,
        updated_at: account.updated.0,
        discoverable_by_name: account.findable.by_name,
        discoverable_by_phone: account.findable.by_phone,
        totp_since: standing.confirmed.map(|at| at.0),
        recovery_codes_left: standing.recovery_left,
        sessions: sessions.iter().map(|one| SessionRow::new(one, claims.session)).collect(),
        audit: audit.iter().map(event).collect(),
        blocks: blocks.map(|user| user.to_string()).collect(),
    }
}

/// Asks shards in the name of the user.
struct Asks<'a> {
    shards: &'a Shards,
    caller: Caller,
}

impl Asks<'_> {
    async fn ask(&self, command: Value) -> Result<Value, ApiError> {
        let command: Map<String, Value> = command.as_object().cloned().unwrap_or_default();
        let frame = self.shards.ask(self.caller.principal(), self.caller.claims.expires, command).await?;
        serde_json::from_slice(frame.payload()).map_err(|_| ErrorCode::Internal.into())
    }

    async fn rooms(&self, after: RoomId, rooms: &mut Vec<Value>) -> Result<Cursor, ApiError> {
        let mut page =
            self.ask(json!({"op": "sync", "after": after.to_string(), "limit": ROOMS_PAGE})).await?;
        if let Some(found) = page["rooms"].as_array_mut() {
            rooms.append(found);
        }
        let next = page["next"].as_str().and_then(RoomId::parse);
        Ok(next.map_or(Cursor::After(RoomId::NIL), Cursor::Rooms))
    }

    /// All requests to become a member: as many as may be open, and those that were declined in the last days.
    async fn requests(&self, requests: &mut Vec<Value>) -> Result<(), ApiError> {
        let mut command = json!({"op": "my_requests"});
        for _ in 0..REQUEST_PAGES_MAX {
            let mut page = self.ask(command).await?;
            if let Some(found) = page["requests"].as_array_mut() {
                requests.append(found);
            }
            let Some(next) = page["next"].as_str() else { break };
            command = json!({"op": "my_requests", "after": next});
        }
        Ok(())
    }

    /// Own messages from `cursor` on; where it goes on.
    async fn messages(
        &self,
        mut cursor: Cursor,
        messages: &mut Vec<Value>,
    ) -> Result<Option<Cursor>, ApiError> {
        for _ in 0..CALLS_MAX {
            if messages.len() >= MESSAGES_MAX {
                break;
            }
            cursor = match cursor {
                Cursor::Start | Cursor::Reports(..) | Cursor::Rooms(_) => return Ok(None),
                Cursor::After(room) => {
                    let page = self.ask(json!({"op": "sync", "after": room.to_string(), "limit": 1})).await?;
                    match page["rooms"][0]["room"].as_str().and_then(RoomId::parse) {
                        Some(next) => Cursor::In(next, 0),
                        None => return Ok(None),
                    }
                }
                Cursor::In(room, seq) => self.history(room, seq, messages).await?,
            };
        }
        Ok(Some(cursor))
    }

    async fn history(&self, room: RoomId, after: u64, messages: &mut Vec<Value>) -> Result<Cursor, ApiError> {
        let id = room.to_string();
        let command = json!({"op": "history", "room": id, "after": after, "limit": HISTORY_PAGE});
        let page = match self.ask(command).await {
            Ok(page) => page,
            // Left, or thrown out, since the list was made.
            Err(error)
                if matches!(
                    error.code,
                    ErrorCode::NotAMember | ErrorCode::Banned | ErrorCode::RoomNotFound
                ) =>
            {
                return Ok(Cursor::After(room));
            }
            Err(error) => return Err(error),
        };
        let own = self.caller.claims.user.to_string();
        let is_own = |event: &&Value| event["ev"] == "message" && event["from"] == own.as_str();
        for event in page["events"].as_array().into_iter().flatten().filter(is_own) {
            let mut event = event.clone();
            event["room"] = id.as_str().into();
            messages.push(event);
        }
        let reached = page["covers"]["to"].as_u64().filter(|to| *to > after);
        Ok(match reached {
            Some(to) if page["more"] == true => Cursor::In(room, to),
            _ => Cursor::After(room),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_not_otherwise() {
        let room = RoomId([7; 16]);
        for cursor in [
            Cursor::Rooms(RoomId::NIL),
            Cursor::After(room),
            Cursor::In(room, 0),
            Cursor::In(room, 9),
            Cursor::Reports(room, 3),
        ] {
            assert_eq!(Cursor::parse(&cursor.text().expect("text")), Some(cursor));
        }
        assert_eq!(Cursor::Start.text(), None);
        for bad in [
            "",
            "rooms",
            "rooms/",
            "after/x",
            "in/x/1",
            "reports/x/1",
            &format!("reports/{room}"),
            &format!("in/{room}"),
            &format!("in/{room}/"),
            &format!("in/{room}/-1"),
            &format!("in/{room}/+1"),
            &format!("in/{room}/9007199254740992"),
        ] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
