//! [`Bucket`]: blobs as objects of a bucket that speaks S3.
//!
//! ```text
//! <prefix>ab/cdef…      a blob; `abcdef…` is its id in hexadecimal
//! <prefix>ab/cdef….1    its first smaller variant
//! <prefix>INSTALLATION  the name of whoever keeps blobs here
//! ```
//!
//! Thread: `s3` drives connections; requests are awaited anywhere, or for threads that may block by [`Bucket::wait`], which ends when the bucket does.
//! Each request is signed for [`SIGNED_SECONDS`]; the secret never leaves this process, and no URL of a request is told or logged. What is larger
//! than a part is sent in parts. Which uploads in parts are under way is noted in a directory, so that the next start gives up what a crash left
//! of them. Limits: one part in memory for each [`Bucket::put`], one piece for each [`Object`]; the caller bounds how many there are. After some
//! failures in a row requests fail at once for some seconds ([`BucketCounts::is_shut`]). What can fail: see [`BucketError`].

mod call;
mod counts;
mod options;

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue};
use lynk_bridge::{BridgeThread, spawn};
use lynk_domain::MediaId;
use lynk_https::Lease;
use rusty_s3::actions::{CreateMultipartUpload, ListObjectsV2};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Directory;
use call::{ANSWER_BYTES_MAX, Service, piece};
use counts::Way;

pub use call::SIGNED_SECONDS;
pub use counts::BucketCounts;
pub use options::{BucketError, BucketOptions, Encryption, is_prefix};

/// Bytes of a part, and of the largest object that is sent at once.
pub const PART_BYTES: usize = 8 << 20;
/// Name of the object that says whose objects these are.
const OWNER: &str = "INSTALLATION";
/// Parts that an upload may have, which the protocol says.
const PARTS_MAX: usize = 10_000;
/// Bytes of a list of objects that is read whole, and objects of it.
const LIST_BYTES_MAX: usize = 2 << 20;
const LIST_KEYS: usize = 1_000;
/// Pages of one list; what is more would be no end.
const LIST_PAGES_MAX: usize = 10_000;
/// Notes that one start takes up; what is more is for the next one.
const NOTES_MAX: usize = 10_000;
/// Bytes of the note of an upload.
const NOTE_BYTES_MAX: usize = 4 << 10;

/// A bucket. Clones are of the same one.
#[derive(Clone)]
pub struct Bucket {
    service: Arc<Service>,
    runtime: Handle,
    ended: watch::Receiver<bool>,
    /// Where uploads in parts are noted.
    notes: PathBuf,
    /// Notes that an earlier process left.
    left: Arc<Mutex<Vec<PathBuf>>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.service.bucket.name()).finish_non_exhaustive()
    }
}

/// The thread of a bucket.
#[derive(Debug)]
pub struct BucketThread {
    thread: BridgeThread,
    end: watch::Sender<bool>,
    last: watch::Sender<bool>,
}

impl BucketThread {
    /// Whoever waits gets no answer from now on.
    pub fn end(&self) {
        self.end.send_replace(true);
    }

    /// Ends the thread, and what is under way.
    pub fn join(self) {
        self.end();
        self.last.send_replace(true);
        self.thread.join();
    }
}

/// An object, or a part of one, that is being read.
pub struct Object {
    body: Incoming,
    lease: Option<Lease<Full<Bytes>>>,
    service: Arc<Service>,
    /// Bytes that come.
    pub length: u64,
    /// Bytes of the whole object.
    pub bytes: u64,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Object {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The service stopped sending.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BucketError> {
        let until = Instant::now() + self.service.timeout;
        let next = piece(&mut self.body, until).await;
        match next.inspect_err(|error| self.service.counts.cut_off(error))? {
            Some(data) => {
                self.service.counts.moved(Way::In, data.len());
                Ok(Some(data))
            }
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.keep();
                }
                Ok(None)
            }
        }
    }
}

fn disk(error: &std::io::Error) -> BucketError {
    BucketError::Disk(error.to_string())
}

impl Bucket {
    /// Starts the thread, after everything was checked that can be without asking the service. Uploads are noted in `notes`, which is made.
    ///
    /// # Errors
    /// What cannot be right, in words; the disk; no thread.
    pub fn start(options: BucketOptions, notes: &Path) -> Result<(Self, BucketThread), String> {
        let service = Arc::new(Service::new(options)?);
        match DirBuilder::new().mode(0o700).create(notes) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(format!("{}: {error}", notes.display()));
            }
            _ => {}
        }
        let named = |error: std::io::Error| format!("{}: {error}", notes.display());
        let entries = fs::read_dir(notes).map_err(named)?.map(|entry| entry.map(|entry| entry.path()));
        let left = entries.take(NOTES_MAX).collect::<Result<Vec<_>, _>>().map_err(named)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let handle = runtime.handle().clone();
        let ((end, ended), (last, mut over)) = (watch::channel(false), watch::channel(false));
        let thread = spawn("s3", move |_| {
            // An end that nobody tells is one, too.
            let _ended = runtime.block_on(over.wait_for(|over| *over));
        });
        let thread = thread.map_err(|error| error.to_string())?;
        let left = Arc::new(Mutex::new(left));
        let bucket = Self { service, runtime: handle, ended, notes: notes.to_owned(), left };
        Ok((bucket, BucketThread { thread, end, last }))
    }

    /// What is counted.
    #[must_use]
    pub fn counts(&self) -> &BucketCounts {
        &self.service.counts
    }

    /// What names it: the place of its objects.
    #[must_use]
    pub fn place(&self) -> String {
        let Service { bucket, prefix, .. } = &*self.service;
        format!("{} {prefix}", bucket.base_url())
    }

    /// Waits for `work` on this bucket; blocks, and gives up when the bucket is ended.
    ///
    /// # Errors
    /// Those of the work; the end.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T, BucketError>>) -> Result<T, BucketError> {
        let mut ended = self.ended.clone();
        self.runtime.block_on(async {
            let mut end = pin!(ended.wait_for(|ended| *ended));
            let mut work = pin!(work);
            poll_fn(|cx| match end.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(Err(BucketError::Away("the server ends".to_owned()))),
                Poll::Pending => work.as_mut().poll(cx),
            })
            .await
        })
    }

    fn key(&self, id: MediaId, variant: u8) -> String {
        format!("{}{}", self.service.prefix, Directory::relative(id, variant))
    }

    /// Whether it is there and lets us in.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), BucketError> {
        let action = self.service.bucket.head_bucket(Some(&self.service.credentials));
        match self.service.ask(action, Vec::new(), Bytes::new(), ANSWER_BYTES_MAX).await {
            // An answer to `HEAD` has no code.
            Err(BucketError::Missing) => {
                let error = BucketError::Refused("NoSuchBucket".to_owned());
                self.service.counts.bad("refused", &error);
                Err(error)
            }
            asked => asked.map(drop),
        }
    }

    /// Puts a file in the place of a blob, in parts when it is larger than one. It is there whole or not at all. Reads the file as it goes, which blocks.
    ///
    /// # Errors
    /// See [`BucketError`]; what is left of parts then is noted, and given up by [`Self::give_up_left`].
    pub async fn put(&self, id: MediaId, variant: u8, file: &Path) -> Result<(), BucketError> {
        let mut from = File::open(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => BucketError::Missing,
            _ => disk(&error),
        })?;
        let Service { bucket, credentials, encryption, .. } = &*self.service;
        let key = self.key(id, variant);
        let first = part(&mut from)?;
        if first.len() < PART_BYTES {
            let action = bucket.put_object(Some(credentials), &key);
            return self.service.ask(action, encryption.headers(), first, ANSWER_BYTES_MAX).await.map(drop);
        }
        let action = bucket.create_multipart_upload(Some(credentials), &key);
        let begun = self.service.ask(action, encryption.headers(), Bytes::new(), ANSWER_BYTES_MAX).await?.1;
        let begun = CreateMultipartUpload::parse_response(&begun)
            .map_err(|_| BucketError::Refused("its answer cannot be read".to_owned()))?;
        let upload = begun.upload_id();
        let note = self.note(&key, upload)?;
        let sent = self.parts(&key, upload, first, &mut from).await;
        match sent {
            Ok(()) => fs::remove_file(&note).map_err(|error| disk(&error)),
            Err(error) => {
                // What cannot be given up now is by the next start.
                let _noted = self.give_up(&key, upload, &note).await;
                Err(error)
            }
        }
    }

    /// Notes an upload whose parts come next.
    fn note(&self, key: &str, upload: &str) -> Result<PathBuf, BucketError> {
        let name = data_encoding::HEXLOWER
            .encode(ring::digest::digest(&ring::digest::SHA256, upload.as_bytes()).as_ref());
        let path = self.notes.join(name);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(format!("{key}\n{upload}\n").as_bytes())?;
            file.sync_all()?;
            File::open(&self.notes)?.sync_all()
        };
        write().map_err(|error| disk(&error))?;
        Ok(path)
    }

    async fn give_up(&self, key: &str, upload: &str, note: &Path) -> Result<(), BucketError> {
        let action = self.service.bucket.abort_multipart_upload(Some(&self.service.credentials), key, upload);
        match self.service.ask(action, Vec::new(), Bytes::new(), ANSWER_BYTES_MAX).await {
            // One that is not known any more is over: the service says so in several ways, and none of them changes by asking again.
            Ok(_) | Err(BucketError::Missing | BucketError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        fs::remove_file(note).map_err(|error| disk(&error))
    }

    /// Gives up the uploads in parts that an earlier process left. How many there were.
    ///
    /// # Errors
    /// The service or the disk: call it again.
    pub async fn give_up_left(&self) -> Result<u64, BucketError> {
        let mut count = 0;
        let lock = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(path) = lock().last().cloned() else { return Ok(count) };
            let mut text = String::new();
            let read =
                File::open(&path).and_then(|file| file.take(NOTE_BYTES_MAX as u64).read_to_string(&mut text));
            read.map_err(|error| disk(&error))?;
            match text.split_once('\n') {
                Some((key, upload)) if upload.ends_with('\n') => {
                    self.give_up(key, upload.trim_end(), &path).await?;
                }
                // It was never whole, so that no part was sent.
                _ => fs::remove_file(&path).map_err(|error| disk(&error))?,
            }
            lock().pop();
            count += 1;
        }
    }

    /// Whose bucket it is at this prefix: `name` is put there when nobody's is.
    ///
    /// # Errors
    /// The service.
    pub async fn claim(&self, name: &str) -> Result<String, BucketError> {
        let Service { bucket, credentials, prefix, encryption, .. } = &*self.service;
        let key = format!("{prefix}{OWNER}");
        let get = bucket.get_object(Some(credentials), &key);
        match self.service.ask(get, Vec::new(), Bytes::new(), ANSWER_BYTES_MAX).await {
            Err(BucketError::Missing) => {
                let put = bucket.put_object(Some(credentials), &key);
                let body = Bytes::from(name.to_owned());
                self.service.ask(put, encryption.headers(), body, ANSWER_BYTES_MAX).await?;
                Ok(name.to_owned())
            }
            other => other.map(|(_, owner)| owner),
        }
    }

    async fn parts(&self, key: &str, upload: &str, first: Bytes, from: &mut File) -> Result<(), BucketError> {
        let Service { bucket, credentials, .. } = &*self.service;
        let mut tags = Vec::new();
        let mut next = first;
        while !next.is_empty() {
            let number =
                u16::try_from(tags.len() + 1).ok().filter(|number| usize::from(*number) <= PARTS_MAX);
            let number = number
                .ok_or_else(|| BucketError::Refused("the file has more than 10,000 parts".to_owned()))?;
            let action = bucket.upload_part(Some(credentials), key, number, upload);
            let (head, _) = self.service.ask(action, Vec::new(), next, ANSWER_BYTES_MAX).await?;
            let tag = head.headers().get(ETAG).and_then(|tag: &HeaderValue| tag.to_str().ok());
            let tag = tag.ok_or_else(|| BucketError::Refused("a part has no tag".to_owned()))?;
            tags.push(tag.trim_matches('"').to_owned());
            next = part(from)?;
        }
        let tags = tags.iter().map(String::as_str);
        let action = bucket.complete_multipart_upload(Some(credentials), key, upload, tags);
        let body = Bytes::from(action.clone().body());
        let (_, text) = self.service.ask(action, Vec::new(), body, ANSWER_BYTES_MAX).await?;
        // It may begin to answer well and find out later that it cannot.
        if text.contains("<Error>") {
            return Err(BucketError::Away("the parts were not put together".to_owned()));
        }
        Ok(())
    }

    /// Opens a blob for reading from `from`, `length` bytes at most, which is at least 1.
    ///
    /// # Errors
    /// There is none, or not so far; the service.
    pub async fn read(
        &self,
        id: MediaId,
        variant: u8,
        from: u64,
        length: u64,
    ) -> Result<Object, BucketError> {
        let (bucket, service) = (self.clone(), Arc::clone(&self.service));
        // Connections live on the bucket's runtime, whoever reads.
        let opened = self.runtime.spawn(async move { bucket.open(id, variant, from, length).await }).await;
        let (body, lease, length, bytes) =
            opened.unwrap_or_else(|_| Err(BucketError::Away("the server ends".to_owned())))?;
        Ok(Object { body, lease: Some(lease), service, length, bytes })
    }

    async fn open(
        &self,
        id: MediaId,
        variant: u8,
        from: u64,
        length: u64,
    ) -> Result<(Incoming, Lease<Full<Bytes>>, u64, u64), BucketError> {
        let key = self.key(id, variant);
        let range = match (from, length) {
            (0, u64::MAX) => None,
            (from, length) => Some(format!("bytes={from}-{}", from.saturating_add(length.max(1) - 1))),
        };
        let is_part = range.is_some();
        let action = self.service.bucket.get_object(Some(&self.service.credentials), &key);
        let (response, lease) = self.service.send(action, Vec::new(), range, Bytes::new()).await?;
        let said = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let length = said(CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let bytes = match is_part {
            false => length,
            true => said(CONTENT_RANGE).and_then(|text| text.rsplit_once('/')?.1.parse().ok()),
        };
        let (Some(length), Some(bytes)) = (length, bytes) else {
            return Err(BucketError::Refused("it does not say how long an object is".to_owned()));
        };
        Ok((response.into_body(), lease, length, bytes))
    }

    /// Removes the first `variants` variants of a blob, itself among them. One that is not there is none.
    ///
    /// # Errors
    /// The service: repeat it.
    pub async fn delete(&self, id: MediaId, variants: u8) -> Result<(), BucketError> {
        // The blob itself last: what is repeated finds what is left.
        for variant in (0..variants).rev() {
            let key = self.key(id, variant);
            let action = self.service.bucket.delete_object(Some(&self.service.credentials), &key);
            match self.service.ask(action, Vec::new(), Bytes::new(), ANSWER_BYTES_MAX).await {
                Ok(_) | Err(BucketError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ids of the blobs whose first byte is this, also of those of which only a variant is there; each once.
    ///
    /// # Errors
    /// The service.
    pub async fn ids(&self, first: u8) -> Result<Vec<MediaId>, BucketError> {
        let hex = data_encoding::HEXLOWER.encode(&[first]);
        let prefix = format!("{}{hex}/", self.service.prefix);
        let mut ids = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let mut action = ListObjectsV2::new(&self.service.bucket, Some(&self.service.credentials));
            action.with_prefix(prefix.as_str());
            action.with_max_keys(LIST_KEYS);
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let (_, text) = self.service.ask(action, Vec::new(), Bytes::new(), LIST_BYTES_MAX).await?;
            let page = ListObjectsV2::parse_response(&text)
                .map_err(|_| BucketError::Refused("its list cannot be read".to_owned()))?;
            for object in page.contents {
                let Some(name) = object.key.strip_prefix(&prefix) else { continue };
                // What has another name was not put there by this.
                let stem = name.split('.').next().unwrap_or_default();
                let bytes = data_encoding::HEXLOWER.decode(format!("{hex}{stem}").as_bytes()).ok();
                ids.extend(bytes.and_then(|bytes| bytes.try_into().ok()).map(MediaId));
            }
            token = page.next_continuation_token;
            if token.is_none() {
                ids.sort_unstable();
                ids.dedup();
                return Ok(ids);
            }
        }
        Err(BucketError::Refused("its list has no end".to_owned()))
    }
}

/// The next part of a file; an empty one at its end.
fn part(from: &mut File) -> Result<Bytes, BucketError> {
    let whole = from.metadata().map_or(PART_BYTES as u64, |file| file.len());
    let mut bytes = Vec::with_capacity(usize::try_from(whole).unwrap_or(PART_BYTES).min(PART_BYTES));
    from.take(PART_BYTES as u64).read_to_end(&mut bytes).map_err(|error| disk(&error))?;
    Ok(bytes.into())
}
