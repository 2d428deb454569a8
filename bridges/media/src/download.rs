//! The bytes of a file: from the disk to an answer's body, piece by piece.
//!
//! Thread: the API's runtime; pieces are read on `media-disk-N`, the next one when the last was taken. Limits: pieces of [`PIECE_BYTES`], two of a
//! download at a time; whoever takes none for [`MediaOptions::idle`](crate::MediaOptions), or less than the least rate on average, is given up. What can fail: the disk, which cuts the answer
//! off; its length was said, so that nobody takes it for whole.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lynk_api::ApiError;
use lynk_blob::{Blob, Range, disposition, entity_tag, is_shown, range};
use lynk_compute::{MediaType, sniff};
use lynk_domain::{MediaId, UserId};
use lynk_model::media::Media;
use lynk_protocol::ErrorCode;
use tokio::sync::mpsc;

use crate::counts::Direction;
use crate::options::{PIECE_BYTES, must_have_until};
use crate::shares::Place;
use crate::{Shared, of_disk};

/// Nothing that a file holds can run, load or be framed, whatever a browser takes it for.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
/// Kept by whoever asked, who asks again each time: rights end.
const CACHED: &str = "private, no-cache";
/// Bytes that tell what a small picture is.
const HEAD_BYTES: u64 = 32;

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

/// Answers `reader` with a file or a part of it, who may have it.
pub(crate) async fn give(
    shared: &Arc<Shared>,
    reader: UserId,
    media: &Media,
    variant: u8,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
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
    let (directory, id) = (shared.directory.clone(), media.id);
    let found = shared.on_disk(move || {
        let bytes = directory.bytes(id, variant)?;
        let mut head = vec![0; HEAD_BYTES as usize];
        let mut blob = directory.read(id, variant, 0, HEAD_BYTES)?;
        let count = blob.read(&mut head)?;
        head.truncate(count);
        Ok((bytes, head))
    });
    let (bytes, head) = found.await.map_err(|error| of_disk(&error))?;
    let known = if variant == 0 { MediaType::parse(&media.kind) } else { sniff(&head) };
    let kind = known.map_or("application/octet-stream", MediaType::as_str);
    let saved = known.map_or(Cow::Borrowed(media.name.as_str()), |known| known.saved_as(&media.name));
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
    let text = if kind.starts_with("text/") { "; charset=utf-8" } else { "" };
    answer.insert(header::CONTENT_TYPE, value(format!("{kind}{text}"))?);
    answer.insert(header::CONTENT_DISPOSITION, value(disposition(is_shown(kind), &saved))?);
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let directory = shared.directory.clone();
    let opened = shared.on_disk(move || directory.read(id, variant, first, length)).await;
    let blob = opened.map_err(|error| of_disk(&error))?;
    Ok((status, answer, body(shared, id, blob, place)).into_response())
}

/// The bytes of `blob`, as fast as they are taken.
fn body(shared: &Arc<Shared>, id: MediaId, blob: Blob, place: Place) -> Body {
    let (pieces, taken) = mpsc::channel::<io::Result<Bytes>>(1);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let _place = place;
        let _open = shared.counts.opened(Direction::Out);
        let (mut blob, mut taken_bytes, started) = (blob, 0u64, Instant::now());
        loop {
            let read = shared.on_disk(move || {
                let mut piece = vec![0; PIECE_BYTES];
                let count = blob.read(&mut piece)?;
                piece.truncate(count);
                Ok((blob, piece))
            });
            let piece = match shared.counts.on_disk(read.await) {
                Ok((_, piece)) if piece.is_empty() => return,
                Ok((back, piece)) => {
                    blob = back;
                    Bytes::from(piece)
                }
                Err(error) => {
                    // Whoever reads sees that it is cut off.
                    let _gone = pieces.send(Err(io::Error::other(error))).await;
                    return;
                }
            };
            let count = piece.len() as u64;
            // Whoever takes nothing for so long, too little on average, or has gone, gets no more.
            let options = &shared.options;
            let least = must_have_until(options.rate_min, taken_bytes).saturating_sub(started.elapsed());
            match tokio::time::timeout(options.idle.min(least), pieces.send(Ok(piece))).await {
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
    });
    Body::from_stream(futures_util::stream::unfold(taken, async |mut taken| {
        let piece = taken.recv().await?;
        Some((piece, taken))
    }))
}
