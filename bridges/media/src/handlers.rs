//! The operations on files.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post, put};
use lynk_api::{ApiError, Caller, Json, query_of};
use lynk_blob::{GET_LINK_MILLIS, Grant, LinkError, PUT_LINK_MILLIS};
use lynk_compute::MediaType;
use lynk_domain::{MediaId, Millis, RoomId, SessionId, UserId};
use lynk_engine::Principal;
use lynk_model::media::{Begun, MEDIA_NAME_MAX, Media, MediaFacts, MediaState, Purpose};
use lynk_protocol::{ErrorCode, Reject};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::counts::UploadOutcome;
use crate::options::{COMPLETE_WAIT, PAGE_DEFAULT, PAGE_MAX};
use crate::rights::{Reader, about, may_read};
use crate::wire::{
    Announce, Announced, GetQuery, Link, LinkQuery, MediaBody, Page, PageQuery, PutQuery, UsageBody, variants,
};
use crate::{MediaApi, Shared, download, missing, upload};

type Answer<T> = Result<T, ApiError>;
type Told<T> = Result<axum::Json<T>, ApiError>;

/// When to come back for a file that is looked at.
const LOOKED_AT_RETRY_MILLIS: u32 = 1_000;

/// Characters of the code of a link into a room.
const CODE_CHARS: usize = 64;

/// The routes. To be given to the bridge with the others.
pub fn router(state: MediaApi) -> Router {
    Router::new()
        .route("/v1/media", post(announce).get(mine))
        .route("/v1/media/usage", get(usage))
        .route("/v1/media/{media}", get(one).delete(remove))
        .route("/v1/media/{media}/complete", post(complete))
        .route("/v1/media/{media}/link", get(link))
        .route("/v1/media/{media}/content", put(put_content).get(get_content))
        .with_state(state)
}

fn wrong(why: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::because(ErrorCode::InvalidField, why)
}

fn media_id(text: &str) -> Answer<MediaId> {
    MediaId::parse(text).filter(|id| !id.is_nil()).ok_or_else(|| wrong("`media` of the path is not an id"))
}

fn query<T: serde::de::DeserializeOwned>(uri: &Uri) -> Answer<T> {
    query_of(uri.query().unwrap_or_default().as_bytes())
}

fn reader(Caller { claims }: &Caller) -> Reader {
    Reader { principal: Principal { user: claims.user, session: claims.session }, expires: claims.expires }
}

/// A file of the caller.
async fn own(shared: &Shared, caller: &Caller, id: &str) -> Answer<Media> {
    let row = shared.row(media_id(id)?).await?;
    let own = |row: &Media| row.owner == caller.claims.user && row.state != MediaState::Doomed;
    row.filter(own).ok_or_else(missing)
}

fn told(media: &Media) -> Told<MediaBody> {
    MediaBody::of(media).map(axum::Json).ok_or_else(missing)
}

fn is_name(name: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.len() <= MEDIA_NAME_MAX && !name.chars().any(|c| c.is_control() || turns(c))
}

/// What is announced, as a row.
fn announced(shared: &Shared, caller: &Caller, body: Announce) -> Answer<Media> {
    let Announce { purpose, room, name, kind, bytes } = body;
    let purpose = Purpose::from(purpose);
    let room = match (purpose, room) {
        (Purpose::Avatar, None) => RoomId::NIL,
        (Purpose::Avatar, Some(_)) => return Err(wrong("the picture of an account is of no room")),
        (_, None) => return Err(wrong("room is needed: the room that the file is for")),
        (_, Some(text)) => RoomId::parse(&text)
            .filter(|room| !room.is_nil())
            .ok_or_else(|| wrong("room must be the id of a room"))?,
    };
    if !is_name(&name) {
        return Err(wrong("name must be one line of at most 255 bytes"));
    }
    let options = &shared.options;
    let kind = MediaType::parse(&kind).filter(|kind| options.allows(purpose, *kind)).ok_or_else(|| {
        let allowed = options.types.iter().filter(|kind| options.allows(purpose, **kind));
        let allowed: Vec<_> = allowed.map(|kind| kind.as_str()).collect();
        wrong(format!("type must be one of {}", allowed.join(", ")))
    })?;
    if bytes == 0 {
        return Err(wrong("bytes must be at least 1"));
    }
    let most = options.bytes_max(purpose, kind);
    if bytes > most {
        let why = format!("a file of this type and purpose may have {most} bytes");
        return Err(ApiError::because(ErrorCode::TooLarge, why));
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| ErrorCode::Internal)?;
    let now = (shared.clock)().wall;
    Ok(Media {
        id: MediaId(id),
        owner: caller.claims.user,
        room,
        purpose,
        name,
        kind: kind.as_str().to_owned(),
        facts: MediaFacts { bytes, ..MediaFacts::default() },
        state: MediaState::Pending,
        created: now,
        changed: now,
        attached: None,
        leaves: None,
        seq: None,
        emptied: false,
    })
}

/// Whether the caller may upload for a room: a member, and for its picture one who may change it.
async fn may_upload(state: &MediaApi, caller: &Caller, media: &Media) -> Answer<()> {
    if media.room.is_nil() {
        return Ok(());
    }
    let about = about(&state.authority.shards, reader(caller), media.room).await?;
    let Some(role) = about["role"].as_str() else { return Err(ErrorCode::NotAMember.into()) };
    if media.purpose == Purpose::RoomAvatar && !matches!(role, "owner" | "admin") {
        return Err(ErrorCode::Forbidden.into());
    }
    Ok(())
}

async fn begin(state: &MediaApi, caller: &Caller, body: Announce) -> Answer<Media> {
    let shared = state.shared()?;
    let media = announced(shared, caller, body)?;
    may_upload(state, caller, &media).await?;
    let (row, quota) = (media.clone(), shared.options.quota);
    let begun = shared.desk.ask(move |rows| rows.begin(&row, &quota)).await.map_err(Reject::from)?;
    let full = |why: String| Err(ApiError::because(ErrorCode::LimitReached, why));
    match begun {
        Begun::Done => Ok(media),
        Begun::Open => {
            full(format!("{} uploads are not finished: finish or delete one", shared.options.quota.open))
        }
        Begun::Uploads => {
            full(format!("{} uploads were begun within a day: wait", shared.options.quota.uploads))
        }
        Begun::Bytes => full(format!(
            "all files together may have {} bytes: delete some, GET /v1/media/usage tells how much there is",
            shared.options.quota.bytes
        )),
    }
}

/// `POST /v1/media`
async fn announce(
    State(state): State<MediaApi>,
    caller: Caller,
    Json(body): Json<Announce>,
) -> Answer<(StatusCode, axum::Json<Announced>)> {
    let shared = state.shared()?;
    let media = begin(&state, &caller, body).await.inspect_err(|_| {
        shared.counts.upload(UploadOutcome::Refused);
    })?;
    shared.counts.upload(UploadOutcome::Begun);
    let ends = Millis(media.created.0 + PUT_LINK_MILLIS);
    let grant = Grant::Put { id: media.id, bytes: media.facts.bytes, kind: &media.kind };
    let signature = state.links.sign(&grant, ends);
    let url = format!(
        "/v1/media/{}/content?bytes={}&type={}&ends={}&signature={signature}",
        media.id,
        media.facts.bytes,
        utf8_percent_encode(&media.kind, NON_ALPHANUMERIC),
        ends.0
    );
    let body = MediaBody::of(&media).ok_or_else(missing)?;
    let upload = Link::new("PUT", url, ends);
    Ok((StatusCode::CREATED, axum::Json(Announced { media: body, upload })))
}

/// What is said of a link that is not good.
fn bad_link(shared: &Shared, error: LinkError) -> ApiError {
    shared.counts.link_refused();
    let code = match error {
        LinkError::Ended => ErrorCode::TokenExpired,
        LinkError::Forged => ErrorCode::InvalidToken,
    };
    ApiError::because(code, error.to_string())
}

/// `PUT /v1/media/{media}/content`
async fn put_content(
    State(state): State<MediaApi>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Told<MediaBody> {
    let shared = state.shared()?;
    let id = media_id(&id)?;
    let PutQuery { bytes, kind, ends, signature } = query(&uri)?;
    let now = (shared.clock)().wall;
    let grant = Grant::Put { id, bytes, kind: &kind };
    state.links.check(&grant, Millis(ends), &signature, now).map_err(|error| bad_link(shared, error))?;
    if let Some(said) = headers.get(header::CONTENT_TYPE) {
        let said = said.to_str().ok().and_then(MediaType::parse);
        if said.is_none_or(|said| said.as_str() != kind) {
            return Err(wrong(format!("Content-Type must be {kind}, as announced")));
        }
    }
    told(&upload::take(shared, id, bytes, body).await?)
}

/// `POST /v1/media/{media}/complete`
async fn complete(State(state): State<MediaApi>, caller: Caller, Path(id): Path<String>) -> Told<MediaBody> {
    let shared = state.shared()?;
    let mut row = own(shared, &caller, &id).await?;
    if row.state == MediaState::Pending {
        let not_there = || {
            let why = "its bytes are not there: put them to the link that it was announced with";
            ApiError::because(ErrorCode::AttachmentNotReady, why)
        };
        let _uploading = upload::Uploading::begin(shared, row.id).ok_or_else(not_there)?;
        row = shared.row(row.id).await?.ok_or_else(missing)?;
        if row.state == MediaState::Pending {
            let (directory, id) = (shared.blobs.directory.clone(), row.id);
            shared.on_disk(move || directory.bytes(id, 0)).await.map_err(|_| not_there())?;
            row = upload::received(shared, row).await?;
        }
    }
    let until = tokio::time::Instant::now() + COMPLETE_WAIT;
    while row.state == MediaState::Scanning {
        let mut ended = std::pin::pin!(shared.looks.ended.notified());
        // Whatever ends from here on is noticed.
        ended.as_mut().enable();
        row = shared.row(row.id).await?.ok_or_else(missing)?;
        if row.state != MediaState::Scanning || tokio::time::timeout_at(until, ended).await.is_err() {
            break;
        }
        row = shared.row(row.id).await?.ok_or_else(missing)?;
    }
    told(&row)
}

/// `GET /v1/media/{media}`
async fn one(State(state): State<MediaApi>, caller: Caller, Path(id): Path<String>) -> Told<MediaBody> {
    let shared = state.shared()?;
    let row = shared.row(media_id(&id)?).await?.ok_or_else(missing)?;
    if row.owner != caller.claims.user {
        may_read(&state, reader(&caller), &row, None).await?;
    }
    told(&row)
}

/// `GET /v1/media`
async fn mine(State(state): State<MediaApi>, caller: Caller, uri: Uri) -> Told<Page> {
    let shared = state.shared()?;
    let PageQuery { after, limit } = query(&uri)?;
    let after = match after {
        None => MediaId::NIL,
        Some(text) => MediaId::parse(&text).ok_or_else(|| wrong("after must be the id of a file"))?,
    };
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(wrong(format!("limit must be from 1 to {PAGE_MAX}")));
    }
    let user = caller.claims.user;
    // One more than is told, to know whether there is more.
    let found = shared.desk.ask(move |rows| rows.of_owner(user, after, limit + 1)).await;
    let found = found.map_err(Reject::from)?;
    let more = found.len() > limit as usize;
    let media = found.iter().take(limit as usize).filter_map(MediaBody::of).collect();
    Ok(axum::Json(Page { media, more }))
}

/// `GET /v1/media/usage`
async fn usage(State(state): State<MediaApi>, caller: Caller) -> Told<UsageBody> {
    let shared = state.shared()?;
    let (user, now) = (caller.claims.user, (shared.clock)().wall);
    let usage = shared.desk.ask(move |rows| rows.usage(user, now)).await.map_err(Reject::from)?;
    Ok(axum::Json(UsageBody::new(usage, &shared.options.quota)))
}

/// `DELETE /v1/media/{media}`
async fn remove(State(state): State<MediaApi>, caller: Caller, Path(id): Path<String>) -> Answer<StatusCode> {
    let shared = state.shared()?;
    let row = own(shared, &caller, &id).await?;
    if upload::is_coming(shared, row.id) {
        return Err(ApiError::because(ErrorCode::Conflict, "its bytes are coming: end that request first"));
    }
    let (id, now) = (row.id, (shared.clock)().wall);
    let released = shared.desk.ask(move |rows| match rows.find(id)? {
        // It may have been attached a moment ago.
        Some(row) if row.attached.is_some() => Ok(false),
        _ => rows.release(&[id], now).map(|_| true),
    });
    if released.await.map_err(Reject::from)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::because(ErrorCode::Conflict, "the file is in use: take it from where it is"))
}

/// The code of a link into a room, as it may stand in a URL.
fn code_of(text: &str) -> Answer<String> {
    let is_code = text.len() == CODE_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_code.then(|| text.to_owned()).ok_or_else(|| wrong("code must be the code of a link into the room"))
}

/// The variant that a wish is answered with: the smallest that is not smaller, and the file itself.
fn variant_of(media: &Media, wanted: u8) -> Answer<u8> {
    if wanted > 2 {
        return Err(wrong("variant must be 0, 1 or 2"));
    }
    let there = variants(media);
    Ok(if wanted == 0 { 0 } else { there.into_iter().find(|one| *one >= wanted).unwrap_or(0) })
}

/// `GET /v1/media/{media}/link`
async fn link(State(state): State<MediaApi>, caller: Caller, Path(id): Path<String>, uri: Uri) -> Told<Link> {
    let shared = state.shared()?;
    let LinkQuery { variant, code } = query(&uri)?;
    let code = code.map(|code| code_of(&code)).transpose()?;
    let row = shared.row(media_id(&id)?).await?.ok_or_else(missing)?;
    may_read(&state, reader(&caller), &row, code.as_deref()).await.map_err(looked_at)?;
    let variant = variant_of(&row, variant)?;
    let ends = Millis((shared.clock)().wall.0 + GET_LINK_MILLIS);
    let Principal { user, session } = caller.principal();
    let signature = state.links.sign(&Grant::Get { id: row.id, variant, user, session }, ends);
    let mut url = format!(
        "/v1/media/{}/content?variant={variant}&user={user}&session={session}&ends={}&signature={signature}",
        row.id, ends.0
    );
    if let Some(code) = code {
        url.push_str("&code=");
        url.push_str(&code);
    }
    Ok(axum::Json(Link::new("GET", url, ends)))
}

/// Says when to come back for a file that is not ready.
fn looked_at(error: ApiError) -> ApiError {
    match error.code {
        ErrorCode::AttachmentNotReady => ApiError::after(error.code, LOOKED_AT_RETRY_MILLIS),
        _ => error,
    }
}

/// `GET /v1/media/{media}/content`
async fn get_content(
    State(state): State<MediaApi>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<Response> {
    let shared = state.shared()?;
    let id = media_id(&id)?;
    let GetQuery { variant, user, session, ends, signature, code, save } = query(&uri)?;
    let code = code.map(|code| code_of(&code)).transpose()?;
    let forged = || bad_link(shared, LinkError::Forged);
    let user = UserId::parse(&user).ok_or_else(forged)?;
    let session = SessionId::parse(&session).ok_or_else(forged)?;
    let grant = Grant::Get { id, variant, user, session };
    let (ends, now) = (Millis(ends), (shared.clock)().wall);
    state.links.check(&grant, ends, &signature, now).map_err(|error| bad_link(shared, error))?;
    // Whoever was thrown out, of the server or of the room, has it no more.
    let shards = &state.authority.shards;
    let reader = Reader { principal: Principal { user, session }, expires: ends };
    let refused = |error: ApiError| {
        if !error.code.retryable() {
            shared.counts.link_refused();
        }
        error
    };
    shards.check(session, ends).map_err(refused)?;
    let row = shared.row(id).await?.ok_or_else(missing)?;
    may_read(&state, reader, &row, code.as_deref()).await.map_err(refused)?;
    if !variants(&row).contains(&variant) {
        return Err(missing());
    }
    let head = method == Method::HEAD;
    let asked = download::Asked { reader: user, variant, head, save, headers: &headers };
    download::give(shared, &row, &asked).await
}
