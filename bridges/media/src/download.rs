//! The bytes of a file: from the disk or a bucket to an answer's body, piece by piece; or where the bucket gives them itself.
//!
//! Readers of files of messages are sent on to the bucket where [`MediaOptions::presigned`](crate::MediaOptions) says so, after everything was asked
//! that is asked of others. Smaller pictures are not: what type they are stands in them alone, and reading it takes the bucket as long as giving them. Nor
//! are pictures of people and rooms, which programs of pages read, whom the bucket's service does not let.
//!
//! Thread: the API's runtime; pieces are read on `media-disk-N`, the next one when the last was taken. Limits: pieces of [`PIECE_BYTES`], two of a
//! download at a time; whoever takes none for [`MediaOptions::idle`](crate::MediaOptions), or less than the least rate on average, is given up. What can fail: the disk or the bucket, which cuts the answer
//! off; its length was said, so that nobody takes it for whole.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lynk_api::ApiError;
use lynk_blob::{Blob, BlobError, Object, Range, Told, disposition, entity_tag, is_shown, range};
use lynk_compute::{MediaType, sniff};
use lynk_domain::{MediaId, UserId};
use lynk_model::media::{Media, Purpose};
use lynk_protocol::ErrorCode;
use tokio::sync::mpsc;

use crate::counts::Direction;
use crate::options::{PIECE_BYTES, must_have_until};
use crate::shares::Place;
use crate::{Shared, of_bucket, of_disk};

/// Nothing that a file holds can run, load or be framed, whatever a browser takes it for.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
/// Kept by whoever asked, who asks again each time: rights end.
const CACHED: &str = "private, no-cache";
/// Of the bucket's own answers: whoever was sent there once is sent by another URL next time.
const NOT_CACHED: &str = "private, no-store";
/// Bytes that tell what a small picture is.
const HEAD_BYTES: u64 = 32;
/// Bytes that must be taken within [`MediaOptions::idle`](crate::MediaOptions): so few that it ends who takes nothing, and nobody who is as fast as the
/// least rate.
const TAKEN_BYTES: usize = 16 << 10;

fn value(text: impl AsRef<str>) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text.as_ref()).map_err(|_| ErrorCode::Internal.into())
}

/// What a header of a request says, if it is text.
fn said(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether `If-None-Match` names the tag.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let Some(known) = said(headers, header::IF_NONE_MATCH) else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// How somebody asks for a file.
pub(crate) struct Asked<'a> {
    /// Who may have it.
    pub(crate) reader: UserId,
    pub(crate) variant: u8,
    /// Nothing but what would be said of it: `HEAD`.
    pub(crate) head: bool,
    /// To be saved, whatever it is.
    pub(crate) save: bool,
    pub(crate) headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// `Content-Type` and `Content-Disposition` of a file of such a type.
    fn told(&self, media: &Media, known: Option<MediaType>) -> (String, String) {
        let kind = known.map_or("application/octet-stream", MediaType::as_str);
        let saved = known.map_or(Cow::Borrowed(media.name.as_str()), |known| known.saved_as(&media.name));
        let text = if kind.starts_with("text/") { "; charset=utf-8" } else { "" };
        (format!("{kind}{text}"), disposition(is_shown(kind) && !self.save, &saved))
    }
}

/// Answers with a file or a part of it.
pub(crate) async fn give(
    shared: &Arc<Shared>,
    media: &Media,
    asked: &Asked<'_>,
) -> Result<Response, ApiError> {
    let Asked { reader, variant, headers, .. } = *asked;
    let tag = entity_tag(media.id, variant);
    let mut answer = HeaderMap::new();
    answer.insert(header::ETAG, value(&tag)?);
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHED));
    answer.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let place = shared.downloads.take(reader).map_err(|full| shared.full(Direction::Out, full))?;
    if let Some(url) = elsewhere(shared, media, asked).await {
        shared.counts.redirected();
        return sent_on(&url);
    }
    let id = media.id;
    let Found { bytes, head, object } = find(shared, media, variant).await?;
    let known = if variant == 0 { MediaType::parse(&media.kind) } else { sniff(&head) };
    let (kind, saved) = asked.told(media, known);
    let wanted = range(said(headers, header::RANGE), said(headers, header::IF_RANGE), &tag, bytes);
    let (status, first, length) = match wanted {
        Range::Whole => (StatusCode::OK, 0, bytes),
        Range::Part { first, last } => {
            answer.insert(header::CONTENT_RANGE, value(format!("bytes {first}-{last}/{bytes}"))?);
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Range::Unsatisfiable => {
            let mut refused = ApiError::unsatisfiable().into_response();
            refused.headers_mut().insert(header::CONTENT_RANGE, value(format!("bytes */{bytes}"))?);
            return Ok(refused);
        }
    };
    answer.insert(header::CONTENT_TYPE, value(kind)?);
    answer.insert(header::CONTENT_DISPOSITION, value(saved)?);
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let source = open(shared, (id, variant), (first, length, bytes), object).await?;
    Ok((status, answer, body(shared, id, source, place)).into_response())
}

/// A URL by which the bucket gives a file itself, where readers are sent there and it has the file.
async fn elsewhere(shared: &Arc<Shared>, media: &Media, asked: &Asked<'_>) -> Option<String> {
    let (good, bucket) = (shared.options.presigned?, shared.blobs.bucket.as_ref()?);
    // The URL is for `GET` alone.
    let small = asked.variant != 0 || media.purpose != Purpose::Attachment;
    if small || asked.head || !bucket.counts().gives() {
        return None;
    }
    let (directory, id) = (shared.blobs.directory.clone(), media.id);
    let here = shared.on_disk(move || directory.bytes(id, 0)).await;
    let Err(BlobError::Missing) = here else { return None };
    let (kind, disposition) = asked.told(media, MediaType::parse(&media.kind));
    let told = Told { kind: &kind, disposition: &disposition, cached: NOT_CACHED };
    Some(bucket.presign(id, 0, &told, good))
}

/// Sends whoever asked to where the bytes are. Neither caches nor logs get the URL; who follows it tells nobody where it was found.
fn sent_on(url: &str) -> Result<Response, ApiError> {
    let mut location = value(url)?;
    location.set_sensitive(true);
    let answer = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static(NOT_CACHED)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((StatusCode::TEMPORARY_REDIRECT, answer).into_response())
}

/// What is known of the bytes before any are given.
struct Found {
    /// How many there are.
    bytes: u64,
    /// The first of them, of a small picture.
    head: Vec<u8>,
    /// Where they are when they are not in the directory.
    object: Option<Begun>,
}

/// In the bucket. A small picture is opened to see what it is.
struct Begun(Option<(Object, Bytes)>);

async fn find(shared: &Arc<Shared>, media: &Media, variant: u8) -> Result<Found, ApiError> {
    let (directory, id) = (shared.blobs.directory.clone(), media.id);
    let found = shared.on_disk(move || {
        let bytes = directory.bytes(id, variant)?;
        let mut head = vec![0; HEAD_BYTES as usize];
        let mut blob = directory.read(id, variant, 0, HEAD_BYTES)?;
        let count = blob.read(&mut head)?;
        head.truncate(count);
        Ok(Found { bytes, head, object: None })
    });
    let bucket = match (found.await, &shared.blobs.bucket) {
        (Err(BlobError::Missing), Some(bucket)) => bucket,
        (found, _) => return found.map_err(|error| of_disk(&error)),
    };
    if variant == 0 {
        return Ok(Found { bytes: media.facts.bytes, head: Vec::new(), object: Some(Begun(None)) });
    }
    let mut object = bucket.read(id, variant, 0, u64::MAX).await.map_err(|error| of_bucket(&error))?;
    let first = object.next().await.map_err(|error| of_bucket(&error))?.unwrap_or_default();
    let head = first[..first.len().min(HEAD_BYTES as usize)].to_vec();
    Ok(Found { bytes: object.bytes, head, object: Some(Begun(Some((object, first)))) })
}

/// Opens a part of what was found.
async fn open(
    shared: &Arc<Shared>,
    (id, variant): (MediaId, u8),
    (first, length, bytes): (u64, u64, u64),
    object: Option<Begun>,
) -> Result<Source, ApiError> {
    let bucket = match (object, &shared.blobs.bucket) {
        (Some(Begun(Some((object, head)))), _) if length == bytes => {
            return Ok(Source::Bucket { object, head: Some(head) });
        }
        (Some(_), Some(bucket)) => bucket,
        _ => {
            let directory = shared.blobs.directory.clone();
            let opened = shared.on_disk(move || directory.read(id, variant, first, length)).await;
            match (opened, &shared.blobs.bucket) {
                // It has gone there just now.
                (Err(BlobError::Missing), Some(bucket)) => bucket,
                (opened, _) => return opened.map(Source::Disk).map_err(|error| of_disk(&error)),
            }
        }
    };
    let part = if length == bytes { (0, u64::MAX) } else { (first, length) };
    let object = bucket.read(id, variant, part.0, part.1).await.map_err(|error| of_bucket(&error))?;
    if (object.length, object.bytes) != (length, bytes) {
        tracing::error!(
            event = "media_object_differs",
            media = %id, variant, bytes, found = object.bytes,
            "an object of the bucket is not as long as the file that it should be"
        );
        return Err(ErrorCode::Internal.into());
    }
    Ok(Source::Bucket { object, head: None })
}

/// Where the bytes of an answer come from.
enum Source {
    Disk(Blob),
    Bucket {
        object: Object,
        /// The first piece, where it was read already.
        head: Option<Bytes>,
    },
}

impl Source {
    /// The next piece, an empty one at the end, and the source again.
    async fn next(self, shared: &Shared) -> io::Result<(Self, Bytes)> {
        match self {
            Self::Disk(mut blob) => {
                let read = shared.on_disk(move || {
                    let mut piece = vec![0; PIECE_BYTES];
                    let count = blob.read(&mut piece)?;
                    piece.truncate(count);
                    Ok((Self::Disk(blob), Bytes::from(piece)))
                });
                shared.counts.on_disk(read.await).map_err(io::Error::other)
            }
            Self::Bucket { object, head: Some(head) } => Ok((Self::Bucket { object, head: None }, head)),
            Self::Bucket { mut object, head: None } => {
                let piece = object.next().await.map_err(io::Error::other)?.unwrap_or_default();
                Ok((Self::Bucket { object, head: None }, piece))
            }
        }
    }
}

/// The bytes of `source`, as fast as they are taken.
fn body(shared: &Arc<Shared>, id: MediaId, source: Source, place: Place) -> Body {
    let (pieces, taken) = mpsc::channel::<io::Result<Bytes>>(1);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let _place = place;
        let _open = shared.counts.opened(Direction::Out);
        let (mut source, mut taken_bytes, started) = (source, 0u64, Instant::now());
        loop {
            let mut piece = match source.next(&shared).await {
                Ok((_, piece)) if piece.is_empty() => return,
                Ok((back, piece)) => {
                    source = back;
                    piece
                }
                Err(error) => {
                    // Whoever reads sees that it is cut off.
                    let _gone = pieces.send(Err(error)).await;
                    return;
                }
            };
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(TAKEN_BYTES));
                let count = part.len() as u64;
                // Whoever takes nothing for so long, too little on average, or has gone, gets no more.
                let options = &shared.options;
                let least = must_have_until(options.rate_min, taken_bytes).saturating_sub(started.elapsed());
                match tokio::time::timeout(options.idle.min(least), pieces.send(Ok(part))).await {
                    Ok(Ok(())) => {
                        taken_bytes += count;
                        shared.counts.bytes(Direction::Out, count);
                    }
                    Ok(Err(_)) => return,
                    Err(_) => {
                        shared.counts.transfer_slow(Direction::Out);
                        tracing::debug!(event = "media_not_taken", media = %id, "a download was given up");
                        return;
                    }
                }
            }
        }
    });
    Body::from_stream(futures_util::stream::unfold(taken, async |mut taken| {
        let piece = taken.recv().await?;
        Some((piece, taken))
    }))
}
