//! Pictures and files: uploads, what is found in them, who reads them, and what is left of a crash.

mod avatars;
mod ends;
mod rules;
mod shares;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ImageEncoder as _, RgbImage};
use lynk_domain::UserId;
use serde_json::{Value, json};

use crate::support::http::{Answer, Http};
use crate::support::outside::Outside;
use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key, user};

const OPTIONS: [&str; 2] = ["--set", "media.sweep_every=200ms"];

fn serve(data: &Path, more: &[&str]) -> Server {
    Server::start(data, &[&NO_RATES[..], &OPTIONS, more].concat())
}

fn as_user(server: &Server, user: UserId) -> Http {
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(user));
    http
}

fn avatar(kind: &str, bytes: usize) -> Value {
    json!({"purpose": "avatar", "type": kind, "name": "me", "bytes": bytes})
}

fn file(room: &str, kind: &str, bytes: u64) -> Value {
    json!({"purpose": "attachment", "room": room, "type": kind, "name": "a \"file\".x", "bytes": bytes})
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// A request without a token.
fn by_link(server: &Server, method: &str, url: &str, lines: &str, body: &[u8]) -> Answer {
    let mut http = Http::connect(&server.address);
    let request = http.request(method, url, lines, body);
    http.send(&request);
    http.receive(false).expect("an answer")
}

fn put(server: &Server, announced: &Value, body: &[u8]) -> Answer {
    by_link(server, "PUT", text(&announced["upload"], "url"), "", body)
}

fn code(answer: &Answer) -> String {
    text(&answer.json(), "code").to_owned()
}

/// Uploads, and waits until it was looked at.
fn upload(server: &Server, http: &mut Http, announce: Value, body: &[u8]) -> Value {
    let announced = http.good("POST", "/v1/media", announce, 201);
    assert_eq!(announced["state"], "pending", "{announced}");
    let answer = put(server, &announced, body);
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
    looked_at(http, text(&announced, "media"))
}

fn looked_at(http: &mut Http, media: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let row = http.good("POST", &format!("/v1/media/{media}/complete"), Value::Null, 200);
        if row["state"] != "scanning" {
            return row;
        }
        assert!(Instant::now() < until, "it is looked at for ever: {row}");
    }
}

fn link(http: &mut Http, media: &str, variant: u8) -> String {
    let path = format!("/v1/media/{media}/link?variant={variant}");
    text(&http.good("GET", &path, Value::Null, 200), "url").to_owned()
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]))
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(picture.as_raw(), picture.width(), picture.height(), image::ExtendedColorType::Rgb8)
        .expect("encodes");
    file
}

/// A JPEG that tells where it was taken.
fn jpeg_with_place() -> Vec<u8> {
    let mut plain = Vec::new();
    JpegEncoder::new(&mut plain).encode_image(&picture(800, 600)).expect("encodes");
    let exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0 taken at 52.5200 N 13.4050 E";
    let mut file = plain[..2].to_vec();
    file.extend_from_slice(&[0xff, 0xe1]);
    file.extend_from_slice(&u16::try_from(exif.len() + 2).expect("short").to_be_bytes());
    file.extend_from_slice(exif);
    file.extend_from_slice(&plain[2..]);
    file
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|one| one == part)
}

/// Files below a directory, whatever their names.
fn files_below(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).expect("a directory").map(|entry| entry.expect("readable").path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

/// The sizes of all that a server keeps of files, on its disk and in its bucket. A file that is being moved may be in both.
fn kept(data: &Path) -> Vec<u64> {
    fn add(path: &Path, sizes: &mut Vec<u64>) {
        // A directory may go while it is read.
        for entry in std::fs::read_dir(path).into_iter().flatten().map_while(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                add(&path, sizes);
            } else if entry.file_name() != "INSTALLATION" {
                sizes.extend(path.metadata().ok().map(|file| file.len()));
            }
        }
    }
    let mut sizes = Vec::new();
    add(&data.join("blobs"), &mut sizes);
    if let Some(objects) = Outside::for_all().and_then(|outside| outside.objects(data)) {
        add(&objects, &mut sizes);
    }
    sizes
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_file_is_put_by_its_link_and_read_whole_and_in_parts() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let mut http = as_user(&server, owner.user);
    let body = b"0123456789 is a text".repeat(20_000);
    let row = upload(&server, &mut http, file(&room, "text/plain", body.len() as u64), &body);
    assert_eq!((row["state"].as_str(), row["bytes"].as_u64()), (Some("ready"), Some(body.len() as u64)));
    let media = text(&row, "media").to_owned();
    let url = link(&mut http, &media, 0);
    let whole = by_link(&server, "GET", &url, "", b"");
    assert_eq!((whole.status, whole.body == body), (200, true));
    let header = |name: &str| whole.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "text/plain; charset=utf-8");
    // Saved, and under a name that ends as its type does.
    let saved = header("content-disposition");
    assert!(
        saved.starts_with("attachment; filename*=UTF-8''a%20%22file") && saved.ends_with(".x.txt"),
        "{saved}"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    let part = by_link(&server, "GET", &url, "Range: bytes=10-19\r\n", b"");
    assert_eq!((part.status, &part.body[..]), (206, &body[10..20]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{}", body.len()).as_str()));
    let beyond = by_link(&server, "GET", &url, "Range: bytes=99999999-\r\n", b"");
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{}", body.len()).as_str()));
    let known = by_link(&server, "GET", &url, &format!("If-None-Match: {}\r\n", header("etag")), b"");
    assert_eq!(known.status, 304);
    assert_eq!(code(&by_link(&server, "GET", &format!("{url}&save=maybe"), "", b"")), "invalid_field");

    let page = http.good("GET", "/v1/media", Value::Null, 200);
    assert_eq!((page["media"][0]["media"].as_str(), page["more"].as_bool()), (Some(&*media), Some(false)));
    let usage = http.good("GET", "/v1/media/usage", Value::Null, 200);
    assert_eq!((usage["bytes"].as_u64(), usage["uploads"].as_u64()), (Some(body.len() as u64), Some(1)));
    let mut other = as_user(&server, user());
    for path in [format!("/v1/media/{media}"), format!("/v1/media/{media}/link")] {
        other.bad("GET", &path, Value::Null, 404, "attachment_not_found");
    }
    assert_eq!(http.ask("DELETE", &format!("/v1/media/{media}"), None).status, 204);
    assert_eq!(by_link(&server, "GET", &url, "", b"").status, 404, "its link died with it");
    wait_until("the bytes stay", || kept(temp.path()).is_empty());
    assert!(server.metric("lynk_media_bytes_total{direction=\"in\"}") >= body.len() as f64);
    assert!(server.stop().success());
}

#[test]
fn pictures_lose_what_they_tell_and_get_small_ones() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut http = as_user(&server, user());
    let file = jpeg_with_place();
    assert!(holds(&file, b"52.5200"));
    let row = upload(&server, &mut http, avatar("image/jpeg", file.len()), &file);
    assert_eq!(row["state"], "ready", "{row}");
    assert_eq!((row["width"].as_u64(), row["height"].as_u64()), (Some(800), Some(600)));
    assert_eq!(row["variants"], json!([0, 1]), "it does not fill the larger box");
    let media = text(&row, "media").to_owned();
    for variant in [0, 1, 2] {
        let url = link(&mut http, &media, variant);
        let got = by_link(&server, "GET", &url, "", b"");
        assert_eq!(got.header("content-type"), Some("image/jpeg"));
        assert_eq!(got.header("content-disposition").map(|text| text.starts_with("inline")), Some(true));
        let saved = by_link(&server, "GET", &format!("{url}&save=true"), "", b"");
        assert_eq!(
            saved.header("content-disposition").map(|text| text.starts_with("attachment")),
            Some(true)
        );
        assert!(
            !holds(&got.body, b"52.5200") && !holds(&got.body, b"Exif"),
            "variant {variant} tells a place"
        );
        let read = image::load_from_memory(&got.body).expect("a picture");
        assert_eq!(read.width(), if variant == 1 { 320 } else { 800 });
    }
    assert_eq!(server.metric("lynk_images_prepared_total{outcome=\"prepared\"}"), 1.0);
    assert!(server.stop().success());
}

#[test]
fn what_is_not_allowed_is_refused_before_a_link_or_when_it_is_looked_at() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let limits = [
        "--set",
        "media.avatar_bytes_max=2MiB",
        "--set",
        "media.quota_bytes=3MiB",
        "--set",
        "media.open_max=2",
        "--set",
        "media.uploads_per_day=6",
    ];
    let server = serve(temp.path(), &limits);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let mut http = as_user(&server, owner.user);
    let mut bad = |announce: Value, status: u16, code: &str| {
        http.bad("POST", "/v1/media", announce, status, code);
    };
    bad(avatar("text/html", 10), 400, "invalid_field");
    bad(avatar("application/pdf", 10), 400, "invalid_field");
    bad(avatar("image/png", 0), 400, "invalid_field");
    bad(avatar("image/png", (2 << 20) + 1), 413, "too_large");
    bad(json!({"purpose": "attachment", "type": "text/plain", "bytes": 1}), 400, "invalid_field");
    bad(file(&user().to_string(), "text/plain", 1), 404, "room_not_found");
    let mut stranger = as_user(&server, user());
    stranger.bad("POST", "/v1/media", file(&room, "text/plain", 1), 403, "not_a_member");

    let html = b"<!doctype html><script>alert(1)</script>";
    let row = upload(&server, &mut http, avatar("image/png", html.len()), html);
    assert_eq!((row["state"].as_str(), row["reason"].as_str()), (Some("rejected"), Some("other_type")));
    let mut bomb = png(&picture(16, 16));
    bomb[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let crc = !bomb[12..29].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    let before = server.resident();
    let row = upload(&server, &mut http, avatar("image/png", bomb.len()), &bomb);
    assert_eq!((row["state"].as_str(), row["reason"].as_str()), (Some("rejected"), Some("too_large")));
    assert!(server.resident() < before + (64 << 20), "a bomb of 30,000 by 30,000 pixels took memory");
    http.bad(
        "GET",
        &format!("/v1/media/{}/link", text(&row, "media")),
        Value::Null,
        404,
        "attachment_not_found",
    );

    // A link is good for what it says, and for nothing else.
    let announced = http.good("POST", "/v1/media", avatar("image/png", 2 << 20), 201);
    let url = text(&announced["upload"], "url").to_owned();
    for changed in [
        url.replace("bytes=2097152", "bytes=2097153"),
        url.replace("image%2Fpng", "image%2Fgif"),
        url.replace("ends=1", "ends=2"),
        format!("{}A", &url[..url.len() - 1]).replace("signature=A", "signature=B"),
        url[..url.len() - 3].to_owned(),
    ] {
        if changed != url {
            let answer = by_link(&server, "PUT", &changed, "", b"x");
            assert_eq!((answer.status, code(&answer)), (401, "invalid_token".to_owned()), "{changed}");
        }
    }
    assert_eq!(code(&by_link(&server, "PUT", &url, "", b"short")), "invalid_field");
    let media = text(&announced, "media").to_owned();
    http.bad("POST", &format!("/v1/media/{media}/complete"), Value::Null, 409, "attachment_not_ready");
    http.bad("POST", "/v1/media", avatar("image/png", (1 << 20) + 1), 409, "limit_reached");
    http.good("POST", "/v1/media", avatar("image/png", 10), 201);
    http.bad("POST", "/v1/media", avatar("image/png", 10), 409, "limit_reached");
    assert!(server.metric("lynk_media_uploads_total{outcome=\"refused\"}") >= 8.0);
    assert!(server.metric("lynk_media_links_refused_total") >= 4.0);
    assert!(server.stop().success());
}

#[test]
fn whoever_may_not_see_a_message_any_more_may_not_see_its_files() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let make = json!({"op": "create", "kind": "private", "name": "since", "visibility": "since_join", "key": key().to_string()});
    let room = text(&owner.ask(make), "room").to_owned();
    let member = user();
    let invite = |owner: &mut Chatter, who: UserId| {
        let ok = owner
            .ask(json!({"op": "invite", "room": room, "user": who.to_string(), "key": key().to_string()}));
        assert_eq!(ok["ev"], "ok", "{ok}");
    };
    invite(&mut owner, member);
    let mut http = as_user(&server, owner.user);
    let body = b"for members";
    let row = upload(&server, &mut http, file(&room, "text/plain", body.len() as u64), body);
    let media = text(&row, "media").to_owned();
    let mut reader = as_user(&server, member);
    let path = format!("/v1/media/{media}/link");
    reader.bad("GET", &path, Value::Null, 404, "attachment_not_found");
    let send =
        json!({"op": "send", "room": room, "key": key().to_string(), "text": "see", "attachments": [media]});
    let said = owner.ask(send);
    assert_eq!(said["ev"], "ok", "{said}");
    let url = link(&mut reader, &media, 0);
    assert_eq!(by_link(&server, "GET", &url, "", b"").body, body);
    http.bad("DELETE", &format!("/v1/media/{media}"), Value::Null, 409, "conflict");

    let late = user();
    invite(&mut owner, late);
    as_user(&server, late).bad("GET", &path, Value::Null, 404, "attachment_not_found");
    as_user(&server, user()).bad("GET", &path, Value::Null, 404, "attachment_not_found");
    let other = url.replace(&member.to_string(), &late.to_string());
    assert_eq!(by_link(&server, "GET", &other, "", b"").status, 401, "a link is of one person");
    let kick = json!({"op": "kick", "room": room, "user": member.to_string(), "key": key().to_string()});
    assert_eq!(owner.ask(kick)["ev"], "ok");
    assert_eq!(by_link(&server, "GET", &url, "", b"").status, 404, "a removed member's link dies at once");

    let own = link(&mut http, &media, 0);
    assert_eq!(by_link(&server, "GET", &own, "", b"").status, 200);
    let delete = json!({"op": "delete", "room": room, "seq": said["seq"], "key": key().to_string()});
    assert_eq!(owner.ask(delete)["ev"], "ok");
    wait_until("the file of a deleted message stays", || {
        by_link(&server, "GET", &own, "", b"").status == 404
    });
    wait_until("its bytes stay", || kept(temp.path()).is_empty());
    assert!(server.stop().success());
}

#[test]
fn two_gibibytes_come_in_without_being_held_in_memory() {
    const BYTES: u64 = 2 << 30;
    let temp = tempfile::tempdir().expect("temporary directory");
    // Its way into a bucket is shown where parts are.
    let server =
        serve(temp.path(), &["--set", "media.file_bytes_max=3GiB", "--set", "media.store=directory"]);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let mut http = as_user(&server, owner.user);
    let announced = http.good("POST", "/v1/media", file(&room, "application/zip", BYTES), 201);
    let before = server.resident();
    let mut putting = Http::connect(&server.address);
    let url = text(&announced["upload"], "url");
    let head = format!("PUT {url} HTTP/1.1\r\nHost: {}\r\nContent-Length: {BYTES}\r\n\r\n", server.address);
    putting.send(head.as_bytes());
    let mut piece = vec![0; 1 << 20];
    piece[..4].copy_from_slice(b"PK\x05\x06");
    let mut peak = before;
    for count in 0..BYTES >> 20 {
        putting.socket.write_all(&piece).expect("the server takes it");
        if count % 256 == 0 {
            peak = peak.max(server.resident());
        }
    }
    // All of it goes to the disk before the answer.
    putting.socket.set_read_timeout(Some(5 * PATIENCE)).expect("a socket");
    let answer = putting.receive(false).expect("an answer");
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
    let row = looked_at(&mut http, text(&announced, "media"));
    assert_eq!((row["state"].as_str(), row["bytes"].as_u64()), (Some("ready"), Some(BYTES)));
    let peak = peak.max(server.resident());
    assert!(peak < before + (64 << 20), "{before} bytes before, {peak} at the most");
    assert!(server.stop().success());
}

#[test]
fn nothing_is_left_of_an_upload_that_a_kill_cut_off() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let who = user();
    let mut http = as_user(&server, who);
    let announced = http.good("POST", "/v1/media", avatar("image/png", 1 << 20), 201);
    let mut putting = Http::connect(&server.address);
    let url = text(&announced["upload"], "url");
    let head = format!("PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1 << 20);
    putting.send(&[head.as_bytes(), &[7; 600 << 10]].concat());
    let blobs = temp.path().join("blobs");
    wait_until("nothing comes", || files_below(&blobs) == 1);
    server.kill();
    assert_eq!(files_below(&blobs), 1, "what came lies there");
    let server = serve(temp.path(), &["--set", "media.unfinished_after=1s"]);
    assert_eq!(files_below(&blobs), 0, "a start removes what is not whole");
    server.wait_metric("lynk_media_swept_total{step=\"emptied\"}", 1.0);
    let mut http = as_user(&server, who);
    let media = text(&announced, "media");
    http.bad("GET", &format!("/v1/media/{media}"), Value::Null, 404, "attachment_not_found");
    assert_eq!(http.good("GET", "/v1/media/usage", Value::Null, 200)["bytes"], 0);
    assert!(server.stop().success());
}

#[test]
fn nobody_gets_a_file_before_the_scanner_said_that_it_is_clean() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let script = temp.path().join("scan.sh");
    let lines = "grep -q HARMFUL \"$1\" && exit 1\ngrep -q UNKNOWN \"$1\" && exit 3\nexit 0\n";
    std::fs::write(&script, lines).expect("writes");
    let command = format!("media.scan_command=/bin/sh,{}", script.display());
    let server = serve(&temp.path().join("data"), &["--set", &command]);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let mut http = as_user(&server, owner.user);
    let [good, _] = [(&b"good"[..], "ready", None), (b"HARMFUL", "rejected", Some("infected"))].map(
        |(body, state, reason)| {
            let row = upload(&server, &mut http, file(&room, "text/plain", body.len() as u64), body);
            assert_eq!((row["state"].as_str(), row["reason"].as_str()), (Some(state), reason));
            row
        },
    );
    let announced = http.good("POST", "/v1/media", file(&room, "text/plain", 7), 201);
    assert_eq!(put(&server, &announced, b"UNKNOWN").status, 200);
    let link_of = |file: &Value| format!("/v1/media/{}/link", text(file, "media"));
    server.wait_metric("lynk_media_looked_at_total{outcome=\"again\"}", 1.0);
    http.bad("GET", &link_of(&announced), Value::Null, 409, "attachment_not_ready");
    // A disk that works does not hide that the scanner does not.
    let good = http.good("GET", &link_of(&good), Value::Null, 200);
    assert_eq!(by_link(&server, "GET", text(&good, "url"), "", &[]).body, b"good");
    let ready = server.get("/readyz").1;
    assert!(ready.contains("ended with exit status: 3"), "{ready}");
    assert!(server.stop().success());
}
