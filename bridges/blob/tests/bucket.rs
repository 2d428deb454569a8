//! A bucket keeps blobs as a directory does. Against the real server that `scripts/services` runs; skipped without.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lynk_blob::{Bucket, BucketError, BucketOptions, BucketThread, Directory, Encryption, PART_BYTES, Told};
use lynk_bridge::Secret;
use lynk_domain::MediaId;
use lynk_https::Roots;

fn values(test: &str) -> Option<HashMap<String, String>> {
    let text = std::env::var_os("LYNK_SERVICES").map(|path| std::fs::read_to_string(path).expect("readable"));
    let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let values: Option<HashMap<_, _>> = text.map(|text| text.lines().filter_map(pair).collect());
    let found = values.filter(|values| values.contains_key("S3_ENDPOINT"));
    if found.is_none() {
        let _unseen = writeln!(std::io::stderr(), "== SKIPPED {test}: no S3 server. scripts/services up");
    }
    found
}

fn options(values: &HashMap<String, String>, name: &str) -> BucketOptions {
    BucketOptions {
        endpoint: values["S3_ENDPOINT"].clone(),
        public_endpoint: String::new(),
        region: values["S3_REGION"].clone(),
        bucket: values["S3_BUCKET"].clone(),
        path_style: true,
        prefix: format!("test-{name}-{}/", std::process::id()),
        encryption: Encryption::Bucket,
        access_key: values["S3_ACCESS_KEY_ID"].clone(),
        secret_key: Secret::from_file(Path::new(&values["LYNK_S3_PASSWORD_FILE"])).expect("a secret"),
        roots: Roots::Pem(std::fs::read(&values["TLS_CA"]).expect("readable")),
        timeout: Duration::from_secs(30),
    }
}

/// A bucket with the directory of its notes, which go with it.
struct Place {
    bucket: Bucket,
    thread: Option<BucketThread>,
    directory: tempfile::TempDir,
}

impl Place {
    fn new(options: BucketOptions) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (bucket, thread) = Bucket::start(options, &directory.path().join("parts")).expect("starts");
        Self { bucket, thread: Some(thread), directory }
    }

    fn notes(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path().join("parts")).expect("a directory");
        entries.map(|entry| entry.expect("readable").path()).collect()
    }

    fn file(&self, body: &[u8]) -> PathBuf {
        let file = self.directory.path().join("file");
        std::fs::write(&file, body).expect("writes");
        file
    }

    fn put(&self, id: MediaId, variant: u8, body: &[u8]) -> Result<(), BucketError> {
        let file = self.file(body);
        self.bucket.wait(self.bucket.put(id, variant, &file))
    }

    fn whole(&self, id: MediaId, variant: u8, from: u64, length: u64) -> Result<Vec<u8>, BucketError> {
        self.bucket.wait(async {
            let mut object = self.bucket.read(id, variant, from, length).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = object.next().await? {
                bytes.extend_from_slice(&piece);
            }
            assert_eq!(bytes.len() as u64, object.length, "it says how much comes");
            Ok(bytes)
        })
    }

    fn delete(&self, id: MediaId) -> Result<(), BucketError> {
        self.bucket.wait(self.bucket.delete(id, 3))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// What the contract asks of a place of blobs.
trait Blobs {
    fn put(&self, id: MediaId, variant: u8, body: &[u8]);
    fn get(&self, id: MediaId, variant: u8, from: u64, length: u64) -> Option<Vec<u8>>;
    fn delete(&self, id: MediaId);
    fn ids(&self, first: u8) -> Vec<MediaId>;
}

impl Blobs for Place {
    fn put(&self, id: MediaId, variant: u8, body: &[u8]) {
        self.put(id, variant, body).expect("puts");
    }

    fn get(&self, id: MediaId, variant: u8, from: u64, length: u64) -> Option<Vec<u8>> {
        match self.whole(id, variant, from, length) {
            Err(BucketError::Missing) => None,
            other => Some(other.expect("reads")),
        }
    }

    fn delete(&self, id: MediaId) {
        self.delete(id).expect("deletes");
    }

    fn ids(&self, first: u8) -> Vec<MediaId> {
        self.bucket.wait(self.bucket.ids(first)).expect("lists")
    }
}

impl Blobs for Directory {
    fn put(&self, id: MediaId, variant: u8, body: &[u8]) {
        let mut upload = self.begin(id, variant, body.len() as u64).expect("begins");
        upload.write(body).expect("writes");
        upload.finish().expect("finishes");
    }

    fn get(&self, id: MediaId, variant: u8, from: u64, length: u64) -> Option<Vec<u8>> {
        let mut blob = self.read(id, variant, from, length).ok()?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match blob.read(&mut piece).expect("reads") {
                0 => return Some(bytes),
                count => bytes.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn delete(&self, id: MediaId) {
        Self::delete(self, id).expect("deletes");
    }

    fn ids(&self, first: u8) -> Vec<MediaId> {
        Self::ids(self, first).expect("lists")
    }
}

fn body_of(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// The same of a directory and of a bucket.
fn keeps_blobs(place: &impl Blobs) {
    for (number, bytes) in [(1u8, 0), (2, 1), (3, PART_BYTES - 1), (4, PART_BYTES), (5, 2 * PART_BYTES + 7)] {
        let body = body_of(bytes);
        let id = MediaId([number; 16]);
        place.put(id, 0, &body);
        place.put(id, 2, &body);
        assert!(place.get(id, 0, 0, u64::MAX).as_ref() == Some(&body), "{bytes} bytes");
        assert_eq!(place.get(id, 1, 0, u64::MAX), None);
        if bytes > 1 {
            let (from, to) = (bytes / 2, (bytes / 2 + 10).min(bytes));
            assert_eq!(place.get(id, 2, from as u64, 10).as_deref(), Some(&body[from..to]));
        }
        place.put(id, 2, b"in its place");
        assert_eq!(place.get(id, 2, 0, u64::MAX).as_deref(), Some(&b"in its place"[..]));
        assert_eq!(place.ids(number), [id], "each once, however many variants it has");
        place.delete(id);
        place.delete(id);
        assert_eq!(place.ids(number), []);
        assert!([0, 2].into_iter().all(|variant| place.get(id, variant, 0, 1).is_none()));
    }
}

#[test]
fn a_directory_keeps_blobs() {
    let place = tempfile::tempdir().expect("a directory");
    keeps_blobs(&Directory::open(&place.path().join("blobs")).expect("opens"));
}

#[test]
fn a_bucket_keeps_blobs() {
    let Some(values) = values("a_bucket_keeps_blobs") else { return };
    let place = Place::new(options(&values, "keeps"));
    place.bucket.wait(place.bucket.check()).expect("lets us in");
    keeps_blobs(&place);
    assert_eq!(place.notes(), Vec::<PathBuf>::new(), "no upload is under way");
    let bucket = &place.bucket;
    assert_eq!(bucket.wait(bucket.owner()), Ok(None));
    let claim = |name: &str| bucket.wait(bucket.claim(name));
    assert_eq!((claim("one"), claim("one")), (Ok(()), Ok(())));
    assert_eq!(claim("two"), Err(bucket.shared()), "the first keeps it");
    assert!(bucket.counts().is_shared() && bucket.counts().degraded().is_some());
    assert_eq!(bucket.wait(bucket.owner()), Ok(Some("one".to_owned())));
    assert_eq!((claim("one"), bucket.counts().degraded()), (Ok(()), None));
}

#[test]
fn lists_come_in_pages_and_name_nothing_else() {
    let Some(values) = values("lists_come_in_pages_and_name_nothing_else") else { return };
    let place = Place::new(options(&values, "lists"));
    let mut ids: Vec<MediaId> = Vec::new();
    let work = async {
        let file = place.file(b"x");
        for number in 0..1_050u32 {
            let mut id = [7; 16];
            id[12..].copy_from_slice(&number.to_be_bytes());
            place.bucket.put(MediaId(id), 0, &file).await?;
            ids.push(MediaId(id));
        }
        place.bucket.put(MediaId([8; 16]), 0, &file).await?;
        place.bucket.ids(7).await
    };
    let found = place.bucket.wait(work).expect("puts and lists");
    assert_eq!(found.len(), ids.len(), "more than a page");
    assert!(found == ids);
}

#[test]
fn who_may_not_and_what_is_away_is_told() {
    let Some(values) = values("who_may_not_and_what_is_away_is_told") else { return };
    let good = options(&values, "told");
    let check = |options: BucketOptions| {
        let place = Place::new(options);
        place.bucket.wait(place.bucket.check())
    };
    let wrong = BucketOptions { secret_key: Secret::new("not it"), ..good.clone() };
    assert!(matches!(check(wrong.clone()), Err(BucketError::Refused(_))));
    let place = Place::new(wrong);
    let read = place.whole(MediaId([9; 16]), 0, 0, 1);
    assert_eq!(read.err(), Some(BucketError::Refused("SignatureDoesNotMatch".to_owned())));
    assert!(matches!(place.put(MediaId([9; 16]), 0, b"x"), Err(BucketError::Refused(_))));
    assert!(place.bucket.counts().degraded().is_some());
    let nobody = BucketOptions { access_key: "nobody".to_owned(), ..good.clone() };
    assert!(matches!(check(nobody), Err(BucketError::Refused(_))));
    let none = BucketOptions { bucket: "another".to_owned(), ..good.clone() };
    let none = Place::new(none);
    assert!(matches!(none.bucket.wait(none.bucket.check()), Err(BucketError::Refused(_))));
    assert!(none.bucket.counts().degraded().is_some());
    let away = BucketOptions { endpoint: "http://127.0.0.1:1".to_owned(), ..good.clone() };
    let place = Place::new(away);
    for _ in 0..lynk_bridge::FAILURES_MAX {
        assert!(matches!(place.bucket.wait(place.bucket.check()), Err(BucketError::Away(_))));
    }
    assert!(place.bucket.counts().is_shut(), "it is not asked for a while");
    let notes = tempfile::tempdir().expect("a directory");
    for endpoint in ["http://s3.example", "https://s3.example/path", "s3.example"] {
        let bad = BucketOptions { endpoint: endpoint.to_owned(), ..good.clone() };
        assert!(Bucket::start(bad, notes.path()).is_err(), "{endpoint}: plain HTTP is for this machine only");
    }
}

/// What whoever has a URL is answered: the status, the head as it came, the body.
fn fetch(method: &str, url: &str, lines: &str) -> (u16, String, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut socket = TcpStream::connect(host).expect("it listens");
    let request = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n");
    socket.write_all(request.as_bytes()).expect("sends");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text").to_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    (status, head, answer.split_off(end + 4))
}

#[test]
fn a_url_for_readers_is_good_for_one_object_and_a_while() {
    let Some(values) = values("a_url_for_readers_is_good_for_one_object_and_a_while") else { return };
    let place = Place::new(options(&values, "presign"));
    let (id, body) = (MediaId([5; 16]), body_of(300_000));
    place.put(id, 0, &body).expect("puts");
    place.put(id, 1, b"another").expect("puts");
    let disposition = "attachment; filename*=UTF-8''a%20b.txt";
    let told = Told { kind: "text/plain; charset=utf-8", disposition, cached: "private, no-store" };
    let presign = |seconds| place.bucket.presign(id, 0, &told, Duration::from_secs(seconds));
    let url = presign(300);
    assert_eq!(place.bucket.public_origin(), values["S3_ENDPOINT"]);
    assert!(url.starts_with(&format!("{}/", values["S3_ENDPOINT"])), "{url}");
    let (status, head, found) = fetch("GET", &url, "");
    assert_eq!((status, found == body), (200, true), "{head}");
    for line in [
        "content-type: text/plain; charset=utf-8",
        "content-disposition: attachment; filename*=utf-8''a%20b.txt",
        "cache-control: private, no-store",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let (status, _, part) = fetch("GET", &url, "Range: bytes=7-16\r\n");
    assert_eq!((status, &part[..]), (206, &body[7..17]));

    let path = Directory::relative(id, 0);
    for (from, to) in [
        ("text%2Fplain", "text%2Fhtml"),
        ("=attachment", "=inline"),
        ("&response-content-type=", "&response-content-language="),
        ("X-Amz-Expires=300", "X-Amz-Expires=301"),
        (path.as_str(), Directory::relative(id, 1).as_str()),
    ] {
        let changed = url.replacen(from, to, 1);
        assert_ne!(changed, url);
        assert_eq!(fetch("GET", &changed, "").0, 403, "{changed}");
    }
    let (unsigned, _) = url.split_once('?').expect("a query");
    assert_eq!(fetch("GET", unsigned, "").0, 403);
    for method in ["HEAD", "DELETE"] {
        assert_eq!(fetch(method, &url, "").0, 403, "{method}");
    }
    // One for another host is for that host.
    let elsewhere = "https://files.example";
    let public = BucketOptions { public_endpoint: elsewhere.to_owned(), ..options(&values, "presign") };
    let public = Place::new(public);
    let there = public.bucket.presign(id, 0, &told, Duration::from_secs(300));
    assert_eq!(public.bucket.public_origin(), elsewhere);
    assert!(there.starts_with("https://files.example/lynk/test-presign-"), "{there}");
    assert_eq!(fetch("GET", &there.replacen(elsewhere, &values["S3_ENDPOINT"], 1), "").0, 403);

    let (short, until) = (presign(1), Instant::now() + Duration::from_secs(60));
    while fetch("GET", &short, "").0 == 200 {
        assert!(Instant::now() < until, "it is good for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, _, why) = fetch("GET", &short, "");
    let why = String::from_utf8_lossy(&why).into_owned();
    assert!(status == 403 && why.contains("expired"), "{status} {why}");
    assert_eq!(fetch("GET", &url, "").0, 200, "others go on");
    place.delete(id).expect("deletes");
    assert_eq!(fetch("GET", &url, "").0, 404);
}

#[test]
fn an_upload_that_is_cut_off_is_given_up_by_the_next_start() {
    let Some(values) = values("an_upload_that_is_cut_off_is_given_up_by_the_next_start") else { return };
    let place = Place::new(options(&values, "cut"));
    let id = MediaId([3; 16]);
    let file = place.file(&body_of(3 * PART_BYTES));
    // As a crash does it: dropped where it waits for the answer to a part.
    let cut = place.bucket.wait(async {
        let mut put = std::pin::pin!(place.bucket.put(id, 0, &file));
        std::future::poll_fn(|cx| {
            let polled = put.as_mut().poll(cx);
            match place.notes().is_empty() {
                true => polled,
                false => std::task::Poll::Ready(Ok(())),
            }
        })
        .await
    });
    cut.expect("it came so far");
    assert_eq!(place.notes().len(), 1);
    assert_eq!(place.whole(id, 0, 0, u64::MAX).err(), Some(BucketError::Missing), "no part of it is there");
    // A note that was being written when the process died.
    std::fs::write(place.directory.path().join("parts/half"), "key-without-upload").expect("writes");
    let notes = place.directory.path().join("parts");
    let (next, thread) = Bucket::start(options(&values, "cut"), &notes).expect("starts");
    assert_eq!(next.wait(next.give_up_left()), Ok(2));
    assert_eq!(place.notes(), Vec::<PathBuf>::new());
    assert_eq!(next.wait(next.give_up_left()), Ok(0));
    thread.join();
    place.put(id, 0, b"again").expect("puts");
    assert_eq!(place.whole(id, 0, 0, u64::MAX).expect("there"), b"again");
    place.delete(id).expect("deletes");
}

#[test]
fn whoever_waits_hears_of_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let away = BucketOptions {
        endpoint: "http://127.0.0.1:1".to_owned(),
        public_endpoint: String::new(),
        region: "us-east-1".to_owned(),
        bucket: "lynk".to_owned(),
        path_style: true,
        prefix: String::new(),
        encryption: Encryption::Aes256,
        access_key: "a".to_owned(),
        secret_key: Secret::new("b"),
        roots: Roots::System,
        timeout: Duration::from_secs(30),
    };
    // A machine may have no certificates of authorities.
    let Ok((bucket, thread)) = Bucket::start(away, &directory.path().join("parts")) else { return };
    let waits = bucket.clone();
    let waiting = std::thread::spawn(move || waits.wait(std::future::pending::<Result<(), BucketError>>()));
    thread.end();
    let told = waiting.join().expect("no panic");
    assert_eq!(told, Err(BucketError::Away("the server ends".to_owned())));
    thread.join();
}
