//! The bytes of an upload: from a request's body to the disk, piece by piece.
//!
//! Thread: the API's runtime; each piece is written on `media-disk-N` before the next is read, so a slow disk slows the sender. Invariants: as many bytes
//! as were announced, or none. Limits: pieces of [`PIECE_BYTES`]; [`MediaOptions`](crate::MediaOptions) for how many at a time, how slow, and how
//! long. What can fail: the sender, the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use hyper::body::Body as _;
use lynk_api::ApiError;
use lynk_domain::MediaId;
use lynk_model::media::{Media, MediaFacts, MediaState, Settled};
use lynk_protocol::{ErrorCode, Reject};

use crate::counts::{Direction, UploadOutcome};
use crate::options::{PIECE_BYTES, RATE_GRACE};
use crate::{Shared, missing, of_disk};

/// When to come back while too much waits for the bucket.
const STAGED_RETRY_MILLIS: u32 = 10_000;

/// An id whose bytes are coming. Whoever wants to put or look at them has this first, and reads its row after that: else bytes could be put in
/// the place of those that were looked at. It goes along to the disk, which ends what it does also when nobody waits for it any more.
pub(crate) struct Uploading {
    shared: Arc<Shared>,
    id: MediaId,
}

impl Uploading {
    /// Nothing when the bytes are coming already.
    pub(crate) fn begin(shared: &Arc<Shared>, id: MediaId) -> Option<Self> {
        shared.uploading().insert(id).then(|| Self { shared: Arc::clone(shared), id })
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.shared.uploading().remove(&self.id);
    }
}

/// Whether the bytes of a file are coming.
pub(crate) fn is_coming(shared: &Shared, id: MediaId) -> bool {
    shared.uploading().contains(&id)
}

/// Takes the bytes of an upload that was announced with `bytes`, and has them looked at.
pub(crate) async fn take(
    shared: &Arc<Shared>,
    id: MediaId,
    bytes: u64,
    body: Body,
) -> Result<Media, ApiError> {
    match body.size_hint().exact() {
        Some(length) if length == bytes => {}
        Some(_) => {
            let why = format!("Content-Length must be {bytes}, as announced");
            return Err(ApiError::because(ErrorCode::InvalidField, why));
        }
        None => return Err(ApiError::because(ErrorCode::InvalidField, "Content-Length must be sent")),
    }
    let Some(uploading) = Uploading::begin(shared, id) else {
        return Err(ApiError::because(ErrorCode::Conflict, "the bytes of this file are coming already"));
    };
    let row = shared.row(id).await?.ok_or_else(missing)?;
    match row.state {
        MediaState::Pending => {}
        MediaState::Scanning | MediaState::Ready => {
            return Err(ApiError::because(ErrorCode::Conflict, "the bytes of this file are there"));
        }
        _ => return Err(missing()),
    }
    let _place = shared.uploads.take(row.owner).map_err(|full| shared.full(Direction::In, full))?;
    if !shared.staging.take(id, bytes) {
        return Err(ApiError::after(ErrorCode::StorageFull, STAGED_RETRY_MILLIS));
    }
    let _open = shared.counts.opened(Direction::In);
    let _uploading = match receive(shared, &row, uploading, bytes, body).await {
        Ok(uploading) => uploading,
        Err(error) => {
            shared.staging.give(id);
            shared.counts.upload(UploadOutcome::CutOff);
            return Err(error);
        }
    };
    shared.counts.upload(UploadOutcome::Received);
    received(shared, row).await
}

async fn receive(
    shared: &Shared,
    row: &Media,
    uploading: Uploading,
    bytes: u64,
    body: Body,
) -> Result<Uploading, ApiError> {
    let options = &shared.options;
    let (directory, id) = (shared.blobs.directory.clone(), row.id);
    let begun = shared.on_disk(move || Ok((directory.begin(id, 0, bytes)?, uploading))).await;
    let mut upload = shared.counts.on_disk(begun).map_err(|error| of_disk(&error))?;
    // Before the sweeper gives it up.
    let age = (shared.clock)().wall.0.saturating_sub(row.created.0);
    let until = Duration::from_millis(options.unfinished_millis.saturating_sub(age) / 2);
    let started = Instant::now();
    let mut body = body.into_data_stream();
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let (mut came, mut over) = (0u64, false);
    while !over {
        match tokio::time::timeout(options.idle, body.next()).await {
            Ok(Some(Ok(bytes))) => {
                came += bytes.len() as u64;
                gather(&mut piece, &bytes);
            }
            Ok(None) => over = true,
            Ok(Some(Err(_))) => {
                return Err(ApiError::because(ErrorCode::BadRequest, "the body cannot be read"));
            }
            Err(_) => return Err(ApiError::timeout()),
        }
        let took = started.elapsed();
        let least = options.rate_min.saturating_mul(took.as_secs());
        if took > until || (took > RATE_GRACE && came < least && !over) {
            shared.counts.transfer_slow(Direction::In);
            return Err(ApiError::timeout());
        }
        if over || piece.len() >= PIECE_BYTES {
            let written = std::mem::take(&mut piece);
            let count = written.len() as u64;
            let wrote = shared.on_disk(move || {
                upload.0.write(&written)?;
                Ok((upload, written))
            });
            let (back, mut buffer) = shared.counts.on_disk(wrote.await).map_err(|error| of_disk(&error))?;
            shared.counts.bytes(Direction::In, count);
            buffer.clear();
            (upload, piece) = (back, buffer);
        }
    }
    let (upload, uploading) = upload;
    let whole = shared.on_disk(move || upload.finish().map(|()| uploading)).await;
    match whole {
        Err(error @ lynk_blob::BlobError::Length { .. }) => Err(of_disk(&error)),
        other => shared.counts.on_disk(other).map_err(|error| of_disk(&error)),
    }
}

fn gather(piece: &mut Vec<u8>, bytes: &Bytes) {
    piece.extend_from_slice(bytes);
}

/// The bytes of `row` are there: notes it and has them looked at.
pub(crate) async fn received(shared: &Arc<Shared>, row: Media) -> Result<Media, ApiError> {
    let (id, now) = (row.id, (shared.clock)().wall);
    let settled = Settled::Scanning(MediaFacts { bytes: row.facts.bytes, ..MediaFacts::default() });
    let settled = shared.desk.ask(move |rows| rows.settle(id, &settled, now)).await;
    match settled.map_err(|unasked| ApiError::from(Reject::from(unasked)))? {
        Some(row) if row.state == MediaState::Scanning => {
            shared.looks.ask(row.clone());
            Ok(row)
        }
        Some(row) if row.state == MediaState::Ready => Ok(row),
        // It was given up meanwhile, and may have been emptied before these bytes were there.
        _ => {
            shared.staging.give(id);
            let directory = shared.blobs.directory.clone();
            let deleted = shared.on_disk(move || directory.delete(id)).await;
            shared.counts.on_disk(deleted).map_err(|error| of_disk(&error))?;
            Err(missing())
        }
    }
}
