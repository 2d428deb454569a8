//! What a bucket makes of answers that are wrong: of a service that fails late, of whoever stands before it, and of two servers at once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use lynk_blob::{Bucket, BucketError, BucketOptions, BucketThread, Encryption, PART_BYTES};
use lynk_bridge::Secret;
use lynk_domain::MediaId;
use lynk_https::Roots;

const PATIENCE: Duration = Duration::from_secs(60);
const PUT_TOGETHER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>l</Location><Bucket>b</Bucket><Key>k</Key><ETag>\"e-1\"</ETag></CompleteMultipartUploadResult>";
const BEGUN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>b</Bucket><Key>k</Key><UploadId>one</UploadId></InitiateMultipartUploadResult>";

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Reply {
    status: u16,
    /// What `Content-Length` says where there is no body: of an object that was asked about.
    length: usize,
    body: String,
}

fn says(status: u16, body: &str) -> Option<Reply> {
    Some(Reply { status, length: body.len(), body: body.to_owned() })
}

fn error(status: u16, code: &str) -> Option<Reply> {
    says(status, &format!("<Error><Code>{code}</Code></Error>"))
}

/// What it keeps, and how it answers wrongly.
#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// Bytes of the parts that came.
    parts: usize,
    /// The answer when parts are to be put together.
    together: Option<String>,
    /// Bytes that objects lose.
    lost: usize,
    /// The answer when an upload is given up.
    given_up: Option<(u16, &'static str)>,
    /// A name that another server puts just before ours, and whether conditions are heeded, not known or refused.
    faster: Option<String>,
    condition: Condition,
    /// Nothing is answered; whether a request came, and whether its connection ended.
    silent: Option<Sender<&'static str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Condition {
    #[default]
    Heeded,
    Ignored,
    Refused,
}

impl State {
    fn answer(&mut self, request: &Request) -> Option<Reply> {
        let Request { path, query, .. } = request;
        match request.method.as_str() {
            "HEAD" => match self.objects.get(path) {
                Some(object) => Some(Reply { status: 200, length: object.len(), body: String::new() }),
                None if path.trim_end_matches('/') == "/b" => says(200, ""),
                None => says(404, ""),
            },
            "GET" => match self.objects.get(path) {
                Some(object) => says(200, &String::from_utf8_lossy(object)),
                None => error(404, "NoSuchKey"),
            },
            "PUT" if query.contains("partNumber") => {
                self.parts += request.body.len();
                says(200, "")
            }
            "PUT" => {
                if let Some(name) = self.faster.take() {
                    self.objects.insert(path.clone(), name.into_bytes());
                }
                if request.headers.contains_key("if-none-match") {
                    match self.condition {
                        Condition::Heeded if self.objects.contains_key(path) => {
                            return error(412, "PreconditionFailed");
                        }
                        Condition::Refused => return error(501, "NotImplemented"),
                        // Its put is overtaken.
                        Condition::Ignored if self.objects.contains_key(path) => return says(200, ""),
                        _ => {}
                    }
                }
                let kept = request.body.len().saturating_sub(self.lost);
                self.objects.insert(path.clone(), request.body[..kept].to_vec());
                says(200, "")
            }
            "POST" if query.contains("uploadId") => {
                let said = self.together.clone().unwrap_or_else(|| PUT_TOGETHER.to_owned());
                if said == PUT_TOGETHER {
                    let bytes = self.parts.saturating_sub(self.lost);
                    self.objects.insert(path.clone(), vec![0; bytes]);
                }
                self.parts = 0;
                says(200, &said)
            }
            "POST" => says(200, BEGUN),
            "DELETE" if query.contains("uploadId") => {
                self.parts = 0;
                match self.given_up {
                    Some((status, code)) => error(status, code),
                    None => says(204, ""),
                }
            }
            other => panic!("{other} {path}"),
        }
    }
}

type Shared = Arc<Mutex<State>>;

fn locked(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next request of a connection; `None` at its end.
fn next(from: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn serve(stream: TcpStream, state: &Shared) {
    let mut to = stream.try_clone().expect("a socket");
    let mut from = BufReader::new(stream);
    while let Some(request) = next(&mut from) {
        let silent = locked(state).silent.clone();
        if let Some(tell) = silent {
            let _nobody = tell.send("came");
            let mut rest = Vec::new();
            let _reset = from.read_to_end(&mut rest);
            let _nobody = tell.send("ended");
            return;
        }
        let Some(Reply { status, length, body }) = locked(state).answer(&request) else { return };
        let head = format!("HTTP/1.1 {status} x\r\nETag: \"e\"\r\nContent-Length: {length}\r\n\r\n");
        let head = if status == 204 { "HTTP/1.1 204 x\r\n\r\n".to_owned() } else { head };
        let body = if request.method == "HEAD" { "" } else { body.as_str() };
        if to.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).is_err() {
            return;
        }
    }
}

/// A service of this process.
fn service() -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let state = Shared::default();
    let shared = Arc::clone(&state);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(stream, &shared));
        }
    });
    (state, format!("http://{address}"))
}

struct Place {
    state: Shared,
    bucket: Bucket,
    thread: Option<BucketThread>,
    directory: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Place {
    /// With notes of an earlier process.
    fn with_notes(notes: &[&str]) -> Self {
        let (state, endpoint) = service();
        let directory = tempfile::tempdir().expect("a directory");
        let parts = directory.path().join("parts");
        std::fs::create_dir(&parts).expect("ours");
        for (number, note) in notes.iter().enumerate() {
            std::fs::write(parts.join(number.to_string()), note).expect("ours");
        }
        let (bucket, thread) = Bucket::start(options(endpoint), &parts).expect("starts");
        Self { state, bucket, thread: Some(thread), directory }
    }

    fn new() -> Self {
        Self::with_notes(&[])
    }

    fn notes(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("parts")).expect("a directory").count()
    }

    fn put(&self, bytes: usize) -> Result<(), BucketError> {
        let file = written(self.directory.path(), bytes);
        self.bucket.wait(self.bucket.put(MediaId([1; 16]), 0, &file))
    }

    fn claim(&self, name: &str) -> Result<(), BucketError> {
        self.bucket.wait(self.bucket.claim(name))
    }
}

fn written(directory: &Path, bytes: usize) -> PathBuf {
    let file = directory.join("file");
    std::fs::write(&file, vec![0; bytes]).expect("writes");
    file
}

fn options(endpoint: String) -> BucketOptions {
    let authority = rcgen::generate_simple_self_signed(vec!["nobody".to_owned()]).expect("a certificate");
    BucketOptions {
        endpoint,
        public_endpoint: String::new(),
        region: "us-east-1".to_owned(),
        bucket: "b".to_owned(),
        path_style: true,
        prefix: "p/".to_owned(),
        encryption: Encryption::Bucket,
        access_key: "a".to_owned(),
        secret_key: Secret::new("b"),
        roots: Roots::Pem(authority.cert.pem().into_bytes()),
        timeout: 2 * PATIENCE,
    }
}

#[test]
fn parts_are_together_when_the_answer_says_so_and_the_object_has_them() {
    let place = Place::new();
    let wrong = [
        "",
        "<Error><Code>InternalError</Code></Error>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n   <Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Code>InternalError</Code></Error>",
        "<html><body>It works!</body></html>",
    ];
    for said in wrong {
        locked(&place.state).together = Some(said.to_owned());
        let put = place.put(PART_BYTES + 5);
        assert!(matches!(put, Err(BucketError::Away(_))), "{said}: {put:?}");
        assert_eq!(place.bucket.counts().health.report().last_error, "away", "{said}");
        assert_eq!(place.notes(), 0, "{said}: its parts are given up");
    }
    locked(&place.state).together = None;
    assert_eq!(place.put(PART_BYTES + 5), Ok(()));
    assert_eq!(place.notes(), 0);
    locked(&place.state).lost = 1;
    let put = place.put(PART_BYTES + 5);
    assert!(matches!(put, Err(BucketError::Away(_))), "a byte is missing: {put:?}");
}

#[test]
fn an_object_is_there_when_it_is_as_long_as_its_file() {
    let place = Place::new();
    for bytes in [0, 10] {
        assert_eq!(place.put(bytes), Ok(()));
    }
    locked(&place.state).lost = 1;
    let put = place.put(10);
    assert!(matches!(put, Err(BucketError::Away(_))), "{put:?}");
    assert!(place.bucket.counts().degraded().is_some());
    locked(&place.state).lost = 0;
    assert_eq!(place.put(10), Ok(()));
    assert!(place.bucket.counts().degraded().is_none());
    let none = place.directory.path().join("none");
    let put = place.bucket.wait(place.bucket.put(MediaId([1; 16]), 0, &none));
    assert_eq!(put, Err(BucketError::Missing), "of the file alone");
}

#[test]
fn what_is_noted_of_parts_stays_until_they_are_known_to_be_gone() {
    let place = Place::with_notes(&["p/aa/1\none\n", "p/aa/2\ntwo\n"]);
    let give_up = || place.bucket.wait(place.bucket.give_up_left());
    for (status, code) in [(403, "AccessDenied"), (503, "SlowDown"), (501, "NotImplemented")] {
        locked(&place.state).given_up = Some((status, code));
        assert!(give_up().is_err(), "{code}");
        assert_eq!(place.notes(), 2, "{code}");
    }
    // What fails while the server runs is for later, too.
    locked(&place.state).together = Some(String::new());
    assert!(place.put(PART_BYTES).is_err());
    assert_eq!(place.notes(), 3);
    locked(&place.state).given_up = Some((404, "NoSuchUpload"));
    assert_eq!((give_up(), place.notes()), (Ok(3), 0));
}

#[test]
fn of_two_servers_at_once_one_has_the_bucket() {
    const OWNER: &str = "/b/p/INSTALLATION";
    for condition in [Condition::Heeded, Condition::Ignored] {
        let place = Place::new();
        {
            let mut state = locked(&place.state);
            (state.condition, state.faster) = (condition, Some("another".to_owned()));
        }
        assert_eq!(place.claim("ours"), Err(BucketError::Shared("p/INSTALLATION".to_owned())));
        assert_eq!(locked(&place.state).objects[OWNER], b"another");
        let counts = place.bucket.counts();
        assert_eq!(place.bucket.wait(place.bucket.check()), Ok(()));
        assert!(counts.is_shared() && counts.degraded().is_some(), "however well it answers");
        locked(&place.state).objects.remove(OWNER);
        assert_eq!(place.claim("ours"), Ok(()));
        assert!(!counts.is_shared() && counts.degraded().is_none());
    }
    let place = Place::new();
    locked(&place.state).condition = Condition::Refused;
    assert_eq!(place.claim("ours"), Ok(()), "it knows no conditions");
    assert_eq!(locked(&place.state).objects[OWNER], b"ours");
}

#[test]
fn a_reader_that_went_away_leaves_no_connection() {
    let place = Place::new();
    let (tell, told): (_, Receiver<&str>) = channel();
    locked(&place.state).silent = Some(tell);
    let gone = place.bucket.wait(async {
        let mut reading = pin!(place.bucket.read(MediaId([1; 16]), 0, 0, u64::MAX));
        let mut pause = pin!(tokio::time::sleep(PATIENCE));
        std::future::poll_fn(|cx| {
            if reading.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(BucketError::Missing));
            }
            match told.try_recv() {
                Ok(_came) => Poll::Ready(Ok(())),
                Err(_) if pause.as_mut().poll(cx).is_ready() => Poll::Ready(Err(BucketError::Missing)),
                Err(_) => {
                    // Whoever tells it wakes nobody.
                    std::thread::sleep(Duration::from_millis(5));
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await
    });
    assert_eq!(gone, Ok(()), "the request comes, and nothing is answered");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
}
