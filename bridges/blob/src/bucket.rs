//! [`Bucket`]: blobs as objects of a bucket that speaks S3.
//!
//! ```text
//! <prefix>ab/cdef…      a blob; `abcdef…` is its id in hexadecimal
//! <prefix>ab/cdef….1    its first smaller variant
//! <prefix>INSTALLATION  the name of whoever keeps blobs here
//! ```
//!
//! Thread: `s3` drives connections; requests are awaited anywhere, or for threads that may block by [`Bucket::wait`], which ends when the bucket does.
//! Each request is signed for [`SIGNED_SECONDS`]; the secret never leaves this process, and no URL of a request is told or logged; those that
//! [`Bucket::presign`] makes are for readers, and good for one object. What is larger
//! than a part is sent in parts. Which uploads in parts are under way is noted in a directory, so that the next start gives up what a crash left
//! of them. What was put is there when the service says so twice: in its answer, and when it is asked how long the object is. Limits: one part in
//! memory for each [`Bucket::put`], one piece for each [`Object`]; the caller bounds how many there are. After some failures in a row requests fail
//! at once for some seconds ([`BucketCounts::is_shut`]). What can fail: see [`BucketError`].

mod call;
mod counts;
mod options;
mod presign;

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
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload, ListObjectsV2};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Directory;
use call::{ANSWER_BYTES_MAX, Service, piece};
use counts::Way;

pub use call::{SIGNED_SECONDS, check_endpoint};
pub use counts::BucketCounts;
pub use options::{BucketError, BucketOptions, Encryption, is_prefix};
pub use presign::Told;

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
    /// Notes of uploads that are to be given up.
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

/// A task that ends when nobody waits for it.
struct Tied<T>(JoinHandle<T>);

impl<T> Drop for Tied<T> {
    fn drop(&mut self) {
        self.0.abort();
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

    /// Puts a file in the place of a blob, in parts when it is larger than one. It is there whole or not at all, and when this has returned the
    /// service has said how long it is. Reads the file as it goes, which blocks.
    ///
    /// # Errors
    /// There is no file: [`BucketError::Missing`], which is said of nothing else here. The disk; the service: what is left of parts then is noted,
    /// and given up by [`Self::give_up_left`].
    pub async fn put(&self, id: MediaId, variant: u8, file: &Path) -> Result<(), BucketError> {
        let mut from = File::open(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => BucketError::Missing,
            _ => disk(&error),
        })?;
        let key = self.key(id, variant);
        let first = part(&mut from)?;
        let sent = match first.len() < PART_BYTES {
            true => self.put_at_once(&key, first).await,
            false => self.put_in_parts(&key, first, &mut from).await,
        };
        let bytes = match sent {
            Err(BucketError::Missing) => return Err(self.unwell("it has no place for an object")),
            other => other?,
        };
        self.confirm(&key, bytes).await
    }

    /// An answer that was good for HTTP and is none.
    fn unwell(&self, what: &str) -> BucketError {
        let error = BucketError::Away(what.to_owned());
        self.service.counts.bad("away", &error);
        error
    }

    /// The object must be as long as what was put. Whoever answers in the service's place may have said that all is well.
    async fn confirm(&self, key: &str, bytes: u64) -> Result<(), BucketError> {
        let action = self.service.bucket.head_object(Some(&self.service.credentials), key);
        let has = match self.service.ask(action, Vec::new(), Bytes::new(), ANSWER_BYTES_MAX).await {
            Ok((head, _)) => head.headers().get(CONTENT_LENGTH).cloned(),
            Err(BucketError::Missing) => None,
            Err(error) => return Err(error),
        };
        match has.and_then(|length| length.to_str().ok()?.parse::<u64>().ok()) {
            Some(length) if length == bytes => Ok(()),
            _ => Err(self.unwell("it took an object and does not have all of it")),
        }
    }

    async fn put_at_once(&self, key: &str, body: Bytes) -> Result<u64, BucketError> {
        let Service { bucket, credentials, encryption, .. } = &*self.service;
        let bytes = body.len() as u64;
        let action = bucket.put_object(Some(credentials), key);
        self.service.ask(action, encryption.headers(), body, ANSWER_BYTES_MAX).await?;
        Ok(bytes)
    }

    async fn put_in_parts(&self, key: &str, first: Bytes, from: &mut File) -> Result<u64, BucketError> {
        let Service { bucket, credentials, encryption, .. } = &*self.service;
        let action = bucket.create_multipart_upload(Some(credentials), key);
        let begun = self.service.ask(action, encryption.headers(), Bytes::new(), ANSWER_BYTES_MAX).await?.1;
        let begun = CreateMultipartUpload::parse_response(begun.trim())
            .map_err(|_| self.unwell("what it says of an upload in parts cannot be read"))?;
        let upload = begun.upload_id();
        let note = self.note(key, upload)?;
        match self.parts(key, upload, first, from).await {
            Ok(bytes) => {
                fs::remove_file(&note).map_err(|error| disk(&error))?;
                Ok(bytes)
            }
            Err(error) => {
                // What cannot be given up now is later.
                if self.give_up(key, upload, &note).await.is_err() {
                    let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                    if left.len() < NOTES_MAX {
                        left.push(note);
                    }
                }
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
            // One that is not known any more is over. Who is refused has to come back: its parts are there, and cost.
            Ok(_) | Err(BucketError::Missing) => {}
            Err(BucketError::Refused(told)) if told == "NoSuchUpload" => {}
            Err(error) => return Err(error),
        }
        fs::remove_file(note).map_err(|error| disk(&error))
    }

    /// Gives up the uploads in parts that an earlier process left, or a call that failed. How many there were. One that is refused is left for the
    /// next call, and holds up no other.
    ///
    /// # Errors
    /// The service or the disk: call it again.
    pub async fn give_up_left(&self) -> Result<u64, BucketError> {
        let lock = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut left, mut stay) = (std::mem::take(&mut *lock()), Vec::new());
        let (mut count, mut result) = (0, Ok(()));
        while let Some(path) = left.pop() {
            match self.give_up_noted(&path).await {
                Ok(()) => count += 1,
                Err(error) => {
                    let goes_on = matches!(error, BucketError::Refused(_));
                    stay.push(path);
                    result = Err(error);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        left.append(&mut stay);
        lock().append(&mut left);
        result.map(|()| count)
    }

    async fn give_up_noted(&self, path: &Path) -> Result<(), BucketError> {
        if !path.exists() {
            return Ok(());
        }
        let mut text = String::new();
        let read =
            File::open(path).and_then(|file| file.take(NOTE_BYTES_MAX as u64).read_to_string(&mut text));
        read.map_err(|error| disk(&error))?;
        match text.split_once('\n') {
            Some((key, upload)) if upload.ends_with('\n') => self.give_up(key, upload.trim_end(), path).await,
            // It was never whole, so that no part was sent.
            _ => fs::remove_file(path).map_err(|error| disk(&error)),
        }
    }

    fn owner_key(&self) -> String {
        format!("{}{OWNER}", self.service.prefix)
    }

    /// Whose bucket it is at this prefix; `None` where it is nobody's.
    ///
    /// # Errors
    /// The service.
    pub async fn owner(&self) -> Result<Option<String>, BucketError> {
        let key = self.owner_key();
        let get = self.service.bucket.get_object(Some(&self.service.credentials), &key);
        match self.service.ask(get, Vec::new(), Bytes::new(), ANSWER_BYTES_MAX).await {
            Err(BucketError::Missing) => Ok(None),
            other => other.map(|(_, owner)| Some(owner.trim().to_owned())),
        }
    }

    /// What is said of a bucket that is another's.
    #[must_use]
    pub fn shared(&self) -> BucketError {
        BucketError::Shared(self.owner_key())
    }

    /// Puts `name` there when nobody's is, and looks whose it is then: of two that do so at once, one has it. Nothing is to be put or removed
    /// before this was good. While it is another's the bucket counts as degraded.
    ///
    /// # Errors
    /// It is another's: [`BucketError::Shared`]; the service.
    pub async fn claim(&self, name: &str) -> Result<(), BucketError> {
        let mut owner = self.owner().await?;
        if owner.is_none() {
            match self.put_name(name, true).await {
                // Somebody was faster.
                Ok(()) | Err(BucketError::Exists) => {}
                // It does not know the condition; who may not put at all is refused again.
                Err(BucketError::Refused(_)) => self.put_name(name, false).await?,
                Err(error) => return Err(error),
            }
            owner = self.owner().await?;
        }
        let claimed = match owner {
            Some(owner) if owner == name => Ok(()),
            Some(_) => Err(self.shared()),
            None => return Err(self.unwell("it took an object and does not have it")),
        };
        self.service.counts.claimed(&claimed);
        claimed
    }

    async fn put_name(&self, name: &str, if_none: bool) -> Result<(), BucketError> {
        let Service { bucket, credentials, encryption, .. } = &*self.service;
        let key = self.owner_key();
        let mut headers = encryption.headers();
        if if_none {
            headers.push(("if-none-match", "*".to_owned()));
        }
        let put = bucket.put_object(Some(credentials), &key);
        self.service.ask(put, headers, Bytes::from(name.to_owned()), ANSWER_BYTES_MAX).await.map(drop)
    }

    /// Sends the parts and has them put together; how many bytes they are.
    async fn parts(
        &self,
        key: &str,
        upload: &str,
        first: Bytes,
        from: &mut File,
    ) -> Result<u64, BucketError> {
        let Service { bucket, credentials, .. } = &*self.service;
        let (mut tags, mut bytes) = (Vec::new(), 0);
        let mut next = first;
        while !next.is_empty() {
            let number =
                u16::try_from(tags.len() + 1).ok().filter(|number| usize::from(*number) <= PARTS_MAX);
            let number = number
                .ok_or_else(|| BucketError::Refused("the file has more than 10,000 parts".to_owned()))?;
            bytes += next.len() as u64;
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
        // It may begin to answer well and find out later that it cannot; and who answers may be somebody before it.
        match CompleteMultipartUploadResponse::parse(text.trim()) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(self.unwell("the parts were not put together")),
        }
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
        // Connections live on the bucket's runtime, whoever reads; who does not wait any more needs none.
        let mut opening =
            Tied(self.runtime.spawn(async move { bucket.open(id, variant, from, length).await }));
        let opened = (&mut opening.0).await;
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
