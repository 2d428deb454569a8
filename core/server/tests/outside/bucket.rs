//! Files in a bucket whose service is killed, lets nobody in, or takes nothing for long: what was ready stays, and what came waits.

mod disk;
mod presigned;
mod tls;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lynk_domain::UserId;
use serde_json::{Value, json};

use crate::alone;
use crate::support::http::{Answer, Http};
use crate::support::outside::Outside;
use crate::support::{Chatter, LYNK, NO_RATES, PATIENCE, Server};

const CARRIED: &str = "lynk_media_swept_total{step=\"carried\"}";

fn start(data: &Path, options: &[String]) -> Server {
    let often = ["--set", "media.sweep_every=200ms"];
    let options = NO_RATES.into_iter().chain(often).chain(options.iter().map(String::as_str));
    Server::start(data, &options.collect::<Vec<_>>())
}

fn name() -> String {
    format!("{:016x}", u64::from_be_bytes(crate::support::random()))
}

/// Waits until `/readyz` says so of the bucket.
fn wait_ready(server: &Server, status: &str) -> Value {
    let until = Instant::now() + 2 * PATIENCE;
    loop {
        let (code, body) = server.get("/readyz");
        assert_eq!(code, 200, "without its bucket a server goes on: {body}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        if told["dependencies"]["s3"]["status"] == status {
            return told["dependencies"]["s3"].clone();
        }
        assert!(Instant::now() < until, "the bucket does not become {status}: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Somebody with files.
struct Owner {
    user: UserId,
    room: String,
    http: Http,
    address: String,
    /// What was put, by id.
    files: Vec<(String, Vec<u8>)>,
}

impl Owner {
    fn new(server: &Server) -> Self {
        let mut chatter = Chatter::sign_in(server);
        let (user, room) = (chatter.user, chatter.create());
        let mut owner = Self {
            user,
            room,
            http: Http::connect(&server.address),
            address: String::new(),
            files: Vec::new(),
        };
        owner.at(server);
        owner
    }

    /// Goes on with a server that was started again.
    fn at(&mut self, server: &Server) {
        self.http = Http::connect(&server.address);
        self.http.token = Some(server.token(self.user));
        self.address.clone_from(&server.address);
    }

    fn by_link(&self, method: &str, url: &Value, body: &[u8]) -> Answer {
        let mut http = Http::connect(&self.address);
        let request = http.request(method, url.as_str().expect("a link"), "", body);
        http.send(&request);
        http.receive(false).expect("an answer")
    }

    /// Announces and puts a file of so many bytes; the answer to the put.
    fn try_put(&mut self, bytes: usize) -> (String, Answer) {
        let announce = json!({"purpose": "attachment", "room": self.room, "type": "text/plain", "name": "x", "bytes": bytes});
        let announced = self.http.good("POST", "/v1/media", announce, 201);
        let media = announced["media"].as_str().expect("an id").to_owned();
        let letter = b'a' + u8::try_from(self.files.len() % 26).expect("a letter");
        let body = vec![letter; bytes];
        let answer = self.by_link("PUT", &announced["upload"]["url"], &body);
        if answer.status == 200 {
            self.files.push((media.clone(), body));
        }
        (media, answer)
    }

    fn put(&mut self, bytes: usize) -> String {
        let (media, answer) = self.try_put(bytes);
        assert_eq!(answer.status, 200, "{answer:?}");
        media
    }

    fn state(&mut self, media: &str) -> String {
        let row = self.http.good("GET", &format!("/v1/media/{media}"), Value::Null, 200);
        row["state"].as_str().expect("a state").to_owned()
    }

    fn wait_ready(&mut self, media: &str) {
        let until = Instant::now() + 2 * PATIENCE;
        while self.state(media) != "ready" {
            assert!(Instant::now() < until, "{media} does not become ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until all files are ready, and their readers get what was put.
    fn all_there(&mut self) {
        for (media, body) in self.files.clone() {
            self.wait_ready(&media);
            let answer = self.get(&media);
            assert_eq!((answer.status, answer.body == body), (200, true), "{media} of {} bytes", body.len());
        }
    }

    fn link(&mut self, media: &str, variant: u8) -> Value {
        let path = format!("/v1/media/{media}/link?variant={variant}");
        self.http.good("GET", &path, Value::Null, 200)["url"].clone()
    }

    fn get(&mut self, media: &str) -> Answer {
        let link = self.link(media, 0);
        self.by_link("GET", &link, b"")
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Files below a directory, which need not be there.
fn files_below(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().map_while(Result::ok);
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_bucket_that_dies_costs_no_file() {
    let Some((outside, _turn)) = alone("a_bucket_that_dies_costs_no_file") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let options = outside.files(&name());
    let server = start(data.path(), &options);
    let mut owner = Owner::new(&server);
    for bytes in [10, 300_000, 9 << 20] {
        owner.put(bytes);
    }
    owner.all_there();
    // One that became ready a moment ago is still in the directory, too, and read from there.
    wait_until("files stay in the directory", || files_below(&data.path().join("blobs")) == 0);
    owner.all_there();
    let ready = owner.files.clone();
    assert!(
        server.metric("lynk_s3_bytes_total{direction=\"in\"}") >= f64::from(9 << 20),
        "they are read from there"
    );

    // Killed while files come and go.
    let before = owner.files.len();
    for round in 0..8 {
        owner.put(100_000 + round);
        if round == 2 {
            outside.signal("s3", "KILL");
        }
    }
    wait_ready(&server, "degraded");
    let late = owner.put(50_000);
    assert_eq!(owner.state(&late), "scanning", "it waits");
    let answer = owner.get(&ready[1].0);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["code"], "unavailable");
    assert!(server.metric("lynk_media_staged_bytes") >= 50_000.0);
    outside.up(&["s3"]);
    wait_ready(&server, "ok");
    owner.all_there();
    assert_eq!(owner.files.len(), before + 9);

    // Both end while files wait, and the server is back first.
    outside.signal("s3", "KILL");
    wait_ready(&server, "degraded");
    let waits = owner.put(70_000);
    server.kill();
    let server = start(data.path(), &options);
    owner.at(&server);
    wait_ready(&server, "degraded");
    assert_eq!(owner.state(&waits), "scanning");
    outside.up(&["s3"]);
    wait_ready(&server, "ok");
    owner.all_there();
    wait_until("files stay in the directory", || {
        files_below(&data.path().join("blobs")) == 0 && server.metric("lynk_media_staged_bytes") == 0.0
    });
    assert!(server.stop().success());
}

#[test]
fn what_waits_for_a_bucket_has_a_limit() {
    let Some((outside, _turn)) = alone("what_waits_for_a_bucket_has_a_limit") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let mut options = outside.files(&name());
    options.extend(["--set", "media.staging_bytes_max=100KiB"].map(str::to_owned));
    for kind in ["image", "video", "file", "avatar"] {
        options.extend(["--set".to_owned(), format!("media.{kind}_bytes_max=64KiB")]);
    }
    let server = start(data.path(), &options);
    let mut owner = Owner::new(&server);
    outside.signal("s3", "KILL");
    wait_ready(&server, "degraded");
    owner.put(60_000);
    let (refused, answer) = owner.try_put(60_000);
    assert_eq!(answer.json()["code"], "storage_full", "{answer:?}");
    assert!(answer.json()["retry_after_ms"].as_u64() > Some(0), "{answer:?}");
    assert_eq!(owner.state(&refused), "pending", "its link is good for another try");
    owner.put(30_000);
    // What waits is counted by the next process, too, whether the bucket is there or not.
    server.kill();
    let server = start(data.path(), &options);
    owner.at(&server);
    server.wait_metric("lynk_media_staged_bytes", 90_000.0);
    let (_, answer) = owner.try_put(60_000);
    assert_eq!(answer.json()["code"], "storage_full", "{answer:?}");
    outside.up(&["s3"]);
    wait_ready(&server, "ok");
    owner.all_there();
    wait_until("no room comes back", || server.metric("lynk_media_staged_bytes") == 0.0);
    owner.put(60_000);
    owner.all_there();
    assert!(server.stop().success());
}

/// Credentials with another secret.
fn forged(outside: &Outside, directory: &Path) -> Vec<String> {
    std::fs::create_dir(directory).expect("ours");
    let secret = directory.join("lynk_s3.password");
    std::fs::write(&secret, "not the secret\n").expect("ours");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let mut options = outside.files(&name());
    options.extend(["--set".to_owned(), format!("credentials.dir={}", directory.display())]);
    options
}

/// What the doctor says of the bucket.
fn diagnosis(data: &Path, options: &[String]) -> (String, String) {
    let doctor = Command::new(LYNK).args(["doctor", "-o", "json", "--data"]).arg(data).args(options).output();
    let told: Value = serde_json::from_slice(&doctor.expect("lynk can be started").stdout).expect("JSON");
    let checks = told["checks"].as_array().expect("a list").clone();
    let check = checks.iter().find(|check| check["check"] == "bucket").expect("it is looked at");
    let text = |key: &str| check[key].as_str().expect("a text").to_owned();
    (text("verdict"), text("found"))
}

#[test]
fn a_bucket_that_lets_nobody_in_is_named_and_files_wait() {
    let Some((outside, _turn)) = alone("a_bucket_that_lets_nobody_in_is_named_and_files_wait") else {
        return;
    };
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let mut another = outside.files(&name());
    another.extend(["--set", "s3.bucket=another"].map(str::to_owned));
    let wrong = [("secret", forged(outside, &path("credentials"))), ("bucket", another)];
    for (what, options) in wrong {
        let data = path(what);
        let (verdict, found) = diagnosis(&data, &options);
        assert!(verdict == "fail" && found.contains("refuses"), "{what}: {verdict}: {found}");
        let server = start(&data, &options);
        let told = wait_ready(&server, "degraded");
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("refuses")), "{what}: {told}");
        let mut owner = Owner::new(&server);
        let media = owner.put(1_000);
        server.wait_metric("lynk_media_looked_at_total{outcome=\"again\"}", 1.0);
        assert_eq!(owner.state(&media), "scanning", "nobody gets it before it is kept");
        assert!(!server.log_text().contains("not the secret"));
        assert!(server.stop().success());
        if what == "secret" {
            // The same place with the right one.
            let mut mended = options;
            mended.extend([
                "--set".to_owned(),
                format!("credentials.dir={}", outside.value("CREDENTIALS_DIR")),
            ]);
            assert_eq!(diagnosis(&data, &mended).0, "ok");
            let server = start(&data, &mended);
            owner.at(&server);
            owner.all_there();
            assert!(server.stop().success());
        }
    }
}

#[test]
fn files_of_a_directory_are_carried_into_a_bucket_and_not_forgotten_there() {
    let Some((outside, _turn)) = alone("files_of_a_directory_are_carried_into_a_bucket") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(data.path(), &[]);
    let mut owner = Owner::new(&server);
    for bytes in [10, 200_000] {
        owner.put(bytes);
    }
    owner.all_there();
    assert!(server.stop().success());
    let name = name();
    let options = outside.files(&name);
    let server = start(data.path(), &options);
    owner.at(&server);
    server.wait_metric(CARRIED, 2.0);
    assert_eq!(files_below(&data.path().join("blobs")), 0);
    let objects = || files_below(&outside.objects_of(&name));
    wait_until("there are not two files and the name of the server", || objects() == 3);
    owner.all_there();
    // An object of which no row tells goes, and one that is told of stays.
    assert!(server.stop().success());
    let below = outside.objects_of(&name).join("a7");
    std::fs::create_dir_all(&below).expect("ours");
    std::fs::write(below.join(format!("{:030x}", 7)), "lost").expect("ours");
    let server = start(data.path(), &options);
    owner.at(&server);
    server.wait_metric("lynk_media_swept_total{step=\"lost\"}", 1.0);
    assert_eq!(objects(), 3);
    owner.all_there();
    assert!(server.stop().success());

    // Whoever forgets the bucket, or names another, is told.
    let other = outside.files("another");
    for (options, told) in [(Vec::new(), "set media.store"), (other, "set [s3] to that bucket")] {
        let mut serve = Command::new(LYNK);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]).arg(data.path());
        let refused = serve.args(&options).output().expect("lynk can be started");
        let success = refused.status.success();
        let text = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(!success && text.contains(told) && text.contains(&name), "{text}");
    }
    // A server of another directory puts nothing there and removes nothing, until the first one is gone.
    let place = tempfile::tempdir().expect("a directory");
    let stranger = place.path().join("stranger");
    let (verdict, found) = diagnosis(&stranger, &options);
    assert!(verdict == "fail" && found.contains("INSTALLATION"), "{verdict}: {found}");
    let server = start(&stranger, &options);
    server.wait_logged("media_bucket_shared");
    let told = wait_ready(&server, "degraded");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("s3.prefix")), "{told}");
    let mut second = Owner::new(&server);
    let media = second.put(1_000);
    server.wait_metric("lynk_media_looked_at_total{outcome=\"again\"}", 1.0);
    assert_eq!(second.state(&media), "scanning", "it waits");
    assert_eq!(objects(), 3);
    assert!(!stranger.join("BUCKET").exists(), "nothing binds it to that bucket");
    std::fs::remove_file(outside.objects_of(&name).join("INSTALLATION")).expect("the first one's");
    second.all_there();
    wait_ready(&server, "ok");
    assert!(stranger.join("BUCKET").exists());
    assert!(server.stop().success());
    // And the first one, which comes back all the same, leaves alone what it finds.
    let there = objects();
    let server = start(data.path(), &options);
    server.wait_logged("media_bucket_shared");
    assert!(server.stop().success());
    assert_eq!(objects(), there);
}
