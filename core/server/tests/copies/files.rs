//! Messages with pictures and files: what a copy has of them is what people had.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use image::codecs::png::PngEncoder;
use image::{ImageEncoder as _, RgbImage};
use lynk_domain::UserId;
use serde_json::{Value, json};

use crate::support::http::{Answer, Http};
use crate::support::outside::Outside;
use crate::support::{Chatter, PATIENCE, Server, key};
use crate::tools::{backup, refusal, restore, start, take_keys, told};

/// Bytes that go with the next sweep as soon as they may.
pub(crate) fn swept_soon() -> Vec<String> {
    ["--set", "media.sweep_every=100ms"].map(str::to_owned).to_vec()
}

fn by_link(address: &str, method: &str, url: &str, body: &[u8]) -> Answer {
    let mut http = Http::connect(address);
    let request = http.request(method, url, "", body);
    http.send(&request);
    http.receive(false).expect("an answer")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

fn as_user(server: &Server, user: UserId) -> Http {
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(user));
    http
}

/// Uploads a file for a room and waits until it can be sent.
fn upload(http: &mut Http, address: &str, room: &str, kind: &str, body: &[u8]) -> String {
    let announce =
        json!({"purpose": "attachment", "room": room, "type": kind, "name": "x", "bytes": body.len()});
    let announced = http.good("POST", "/v1/media", announce, 201);
    let put = by_link(address, "PUT", text(&announced["upload"], "url"), body);
    assert_eq!(put.status, 200, "{put:?}");
    let (media, until) = (text(&announced, "media").to_owned(), Instant::now() + PATIENCE);
    loop {
        let row = http.good("POST", &format!("/v1/media/{media}/complete"), Value::Null, 200);
        if row["state"] == "ready" {
            return media;
        }
        assert!(row["state"] == "scanning" && Instant::now() < until, "{row}");
    }
}

fn send(chatter: &mut Chatter, room: &str, text: &str, media: &[&str]) -> Value {
    let key = key().to_string();
    let said =
        chatter.ask(json!({"op": "send", "room": room, "key": key, "text": text, "attachments": media}));
    assert_eq!(said["ev"], "ok", "{said}");
    said
}

fn got(http: &mut Http, address: &str, media: &str, variant: u8) -> Answer {
    let path = format!("/v1/media/{media}/link?variant={variant}");
    let link = http.good("GET", &path, Value::Null, 200);
    by_link(address, "GET", text(&link, "url"), b"")
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(picture.as_raw(), width, height, image::ExtendedColorType::Rgb8)
        .expect("encodes");
    file
}

/// A message with a text and a picture, and every byte that its readers get.
pub(crate) struct Filed {
    user: UserId,
    room: String,
    bytes: Vec<(String, u8, Vec<u8>)>,
}

impl Filed {
    /// Sends it in a room of its own.
    pub(crate) fn send(server: &Server) -> Self {
        let mut chatter = Chatter::sign_in(server);
        let room = chatter.create();
        let mut http = as_user(server, chatter.user);
        let document = b"a document of many pieces".repeat(40_000);
        let document = upload(&mut http, &server.address, &room, "text/plain", &document);
        let picture = upload(&mut http, &server.address, &room, "image/png", &png(1_500, 900));
        send(&mut chatter, &room, "see", &[&document, &picture]);
        let mut bytes = Vec::new();
        for (media, variant) in [(&document, 0), (&picture, 0), (&picture, 1), (&picture, 2)] {
            let answer = got(&mut http, &server.address, media, variant);
            assert_eq!(answer.status, 200);
            bytes.push((media.clone(), variant, answer.body));
        }
        assert!(bytes[2].2.len() < bytes[3].2.len() && bytes[3].2.len() < bytes[1].2.len(), "three sizes");
        Self { user: chatter.user, room, bytes }
    }

    /// Asserts that its readers get the same bytes.
    pub(crate) fn assert_there(&self, server: &Server) {
        let mut chatter = Chatter::sign_in_as(server, self.user, json!([]));
        let log = chatter.log(&self.room, 0);
        let message = log.iter().find(|event| event["text"] == "see").expect("it is there");
        assert_eq!(message["attachments"].as_array().map(Vec::len), Some(2), "{message}");
        let mut http = as_user(server, self.user);
        for (media, variant, body) in &self.bytes {
            let answer = got(&mut http, &server.address, media, *variant);
            assert_eq!((answer.status, answer.body == *body), (200, true), "{media} {variant}");
        }
        let usage = http.good("GET", "/v1/media/usage", Value::Null, 200);
        assert!(usage["bytes"].as_u64() > Some(0), "{usage}");
    }
}

/// Files below a directory.
fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let path = entry.expect("readable").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn files_are_backed_up_checked_and_restored() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let server = start(&path("data"), &swept_soon());
    let filed = Filed::send(&server);
    let mut chatter = Chatter::sign_in(&server);
    let room = chatter.create();
    let mut http = as_user(&server, chatter.user);
    let unused = upload(&mut http, &server.address, &room, "text/plain", b"to be sent later");
    let announce =
        json!({"purpose": "attachment", "room": room, "type": "text/plain", "name": "x", "bytes": 9});
    let pending = http.good("POST", "/v1/media", announce, 201);
    let gone = upload(&mut http, &server.address, &room, "text/plain", b"to be deleted");
    assert_eq!(http.ask("DELETE", &format!("/v1/media/{gone}"), None).status, 204);

    let made = told(&backup(&path("data"), &path("backup"), &[]));
    assert_eq!((made["files"].as_u64(), made["files_missing"].as_u64()), (Some(3), Some(0)), "{made}");
    assert_eq!(files_below(&path("backup").join("blobs")).len(), 5, "with two smaller pictures");
    let bare = told(&backup(&path("data"), &path("bare"), &["--without-files".to_owned()]));
    assert_eq!((bare["files"].as_u64(), path("bare").join("blobs").exists()), (Some(0), false), "{bare}");
    assert!(server.stop().success());
    std::fs::rename(path("data").join("keys"), path("keys")).expect("ours");
    std::fs::remove_dir_all(path("data")).expect("ours");

    let restored = told(&restore(&path("backup"), &path("data"), &[]));
    assert_eq!(restored["files"].as_u64(), Some(5), "{restored}");
    take_keys(place.path(), &path("data"));
    let server = start(&path("data"), &swept_soon());
    filed.assert_there(&server);
    let mut http = as_user(&server, chatter.user);
    assert_eq!(got(&mut http, &server.address, &unused, 0).body, b"to be sent later");
    for none in [gone.as_str(), text(&pending, "media")] {
        http.bad("GET", &format!("/v1/media/{none}"), Value::Null, 404, "attachment_not_found");
    }
    let mut chatter = Chatter::sign_in_as(&server, chatter.user, json!([]));
    send(&mut chatter, &room, "sent after the restore", &[&unused]);
    assert!(server.stop().success());

    // Rows alone: the bytes may be put back by other means.
    for (from, options) in [("bare", vec![]), ("backup", vec!["--without-files".to_owned()])] {
        let to = path(&format!("{from}.copy"));
        told(&restore(&path(from), &to, &options));
        take_keys(place.path(), &to);
        assert!(!to.join("blobs").exists());
        let server = start(&to, &[]);
        let mut http = as_user(&server, filed.user);
        assert_eq!(got(&mut http, &server.address, &filed.bytes[0].0, 0).status, 404);
        assert!(server.stop().success());
    }

    // A directory of its own, on which nothing may lie.
    let elsewhere = vec!["--set".to_owned(), format!("media.directory={}", path("files").display())];
    std::fs::create_dir_all(path("files").join("ab")).expect("ours");
    let text = refusal(&restore(&path("backup"), &path("other"), &elsewhere));
    assert!(text.contains("files is not empty: it holds \"ab\""), "{text}");
    std::fs::remove_dir(path("files").join("ab")).expect("ours");
    let file = files_below(&path("backup").join("blobs")).pop().expect("some");
    let whole = std::fs::read(&file).expect("readable");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&file, &changed).expect("ours");
    let text = refusal(&restore(&path("backup"), &path("other"), &elsewhere));
    assert!(text.contains(&format!("{} is damaged: its content", file.display())), "{text}");
    assert!(files_below(&path("files")).is_empty() && !path("other").join("VERSION").exists());
    std::fs::write(&file, &whole).expect("ours");
    told(&restore(&path("backup"), &path("other"), &elsewhere));
    take_keys(place.path(), &path("other"));
    assert!(!path("other").join("blobs").exists());
    let server = start(&path("other"), &elsewhere);
    filed.assert_there(&server);
    assert!(server.stop().success());
}

#[test]
fn files_in_a_bucket_are_backed_up_and_restored_into_a_directory_or_a_bucket() {
    let Some(outside) = Outside::find("files_in_a_bucket_are_backed_up_and_restored") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let in_bucket = || {
        let name = format!("{:016x}", u64::from_be_bytes(crate::support::random()));
        let options = outside.files(&name).into_iter().chain(swept_soon()).collect::<Vec<_>>();
        (name, options)
    };
    let (_, first) = in_bucket();
    let server = start(&path("data"), &first);
    let filed = Filed::send(&server);
    let made = told(&backup(&path("data"), &path("running"), &first));
    assert_eq!((made["files"].as_u64(), made["files_missing"].as_u64()), (Some(2), Some(0)), "{made}");
    assert!(server.stop().success());
    let made = told(&backup(&path("data"), &path("backup"), &first));
    assert_eq!((made["files"].as_u64(), made["files_missing"].as_u64()), (Some(2), Some(0)), "{made}");
    for from in ["running", "backup"] {
        assert_eq!(files_below(&path(from).join("blobs")).len(), 4, "with two smaller pictures");
    }
    let (name, second) = in_bucket();
    for (to, options) in [("directory", swept_soon()), ("bucket", second)] {
        let restored = told(&restore(&path("backup"), &path(to), &options));
        assert_eq!(restored["files"].as_u64(), Some(4), "{restored}");
        take_keys(&path("data"), &path(to));
        let server = start(&path(to), &options);
        filed.assert_there(&server);
        if to == "bucket" {
            server.wait_metric("lynk_media_swept_total{step=\"carried\"}", 2.0);
            filed.assert_there(&server);
            assert!(files_below(&path(to).join("blobs")).is_empty(), "the server took them there");
            let until = Instant::now() + PATIENCE;
            while files_below(&outside.objects_of(&name)).len() != 5 {
                assert!(Instant::now() < until, "its own name does not come");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
        assert!(server.stop().success());
    }
    // What the bucket does not give is no backup.
    let mut gone = first.clone();
    gone.extend(["--set".to_owned(), "s3.endpoint=http://127.0.0.1:1".to_owned()]);
    let text = refusal(&backup(&path("data"), &path("none"), &gone));
    assert!(
        text.contains("cannot be read: the bucket is away") && text.contains("--without-files"),
        "{text}"
    );
    assert!(!path("none").exists());
}

/// Somebody who sends files and deletes most of them again, without end.
struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Sender {
    fn start(server: &Server, mut chatter: Chatter, room: String) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut http = as_user(server, chatter.user);
        let (address, ends, counted) = (server.address.clone(), Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut before: Option<Value> = None;
            while !ends.load(Ordering::Relaxed) {
                let number = counted.load(Ordering::Relaxed);
                let body = format!("file of message {number}");
                let media = upload(&mut http, &address, &room, "text/plain", body.as_bytes());
                let said = send(&mut chatter, &room, &body, &[&media]);
                if let Some(seq) = before.take() {
                    let delete = json!({"op": "delete", "room": room, "seq": seq, "key": key().to_string()});
                    assert_eq!(chatter.ask(delete)["ev"], "ok");
                }
                before = (!number.is_multiple_of(4)).then(|| said["seq"].clone());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, sent, thread }
    }

    fn wait_more(&self, more: usize) {
        let (goal, until) = (self.sent.load(Ordering::Relaxed) + more, Instant::now() + PATIENCE);
        while self.sent.load(Ordering::Relaxed) < goal {
            assert!(!self.thread.is_finished() && Instant::now() < until, "nothing goes on");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("whatever is answered is what was asked for");
    }
}

#[test]
fn every_message_of_a_backup_has_its_file_whatever_is_deleted_meanwhile() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let options =
        [swept_soon(), ["--set", "media.uploads_per_day=100000"].map(str::to_owned).to_vec()].concat();
    let server = start(&path("data"), &options);
    let mut chatter = Chatter::sign_in(&server);
    let (user, room) = (chatter.user, chatter.create());
    let sender = Sender::start(&server, chatter, room.clone());
    sender.wait_more(20);
    for name in ["first", "second"] {
        let made = told(&backup(&path("data"), &path(name), &[]));
        assert_eq!(made["files_missing"].as_u64(), Some(0), "{made}");
        sender.wait_more(5);
    }
    sender.end();
    server.wait_metric("lynk_media_swept_total{step=\"emptied\"}", 5.0);
    server.kill();
    for name in ["first", "second"] {
        let copy = path(&format!("{name}.copy"));
        told(&restore(&path(name), &copy, &[]));
        take_keys(&path("data"), &copy);
        let server = start(&copy, &[]);
        let mut chatter = Chatter::sign_in_as(&server, user, json!([]));
        let mut http = as_user(&server, user);
        let log = chatter.log(&room, 0);
        let mut found = 0;
        for message in log.iter().filter(|event| event["attachments"].is_array()) {
            let answer = got(&mut http, &server.address, text(&message["attachments"][0], "id"), 0);
            assert_eq!((answer.status, &answer.body[..]), (200, text(message, "text").as_bytes()));
            found += 1;
        }
        assert!(found >= 5, "{found} of those that were sent");
        assert!(server.stop().success());
    }
}
