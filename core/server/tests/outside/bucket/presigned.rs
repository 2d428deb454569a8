//! Readers who are sent on to the bucket: who is, what they get there, and when the server gives files itself.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use crate::support::{key, user};

use super::*;

const REDIRECTS: &str = "lynk_media_redirects_total";

/// Options with which readers are sent on.
fn options(outside: &Outside, name: &str) -> Vec<String> {
    let mut options = outside.files(name);
    options.extend(["--set", "s3.presigned_reads=5m"].map(str::to_owned));
    options
}

fn png() -> Vec<u8> {
    let pixels: Vec<u8> = (0..800 * 600 * 3).map(|at| (at % 251) as u8).collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&pixels, 800, 600, ExtendedColorType::Rgb8).expect("encodes");
    file
}

/// Uploads, and waits until it is ready.
fn put(owner: &mut Owner, purpose: &str, (kind, name): (&str, &str), body: &[u8]) -> String {
    let mut announce = json!({"purpose": purpose, "type": kind, "name": name, "bytes": body.len()});
    if purpose != "avatar" {
        announce["room"] = json!(owner.room);
    }
    let announced = owner.http.good("POST", "/v1/media", announce, 201);
    let answer = owner.by_link("PUT", &announced["upload"]["url"], body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let media = announced["media"].as_str().expect("an id").to_owned();
    owner.wait_ready(&media);
    media
}

/// The URL that an answer sends to, and nobody else is to know.
fn sent_to(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.body.len()), (307, 0), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    answer.header("location").expect("a place").to_owned()
}

/// What the service itself says.
fn of_service(method: &str, url: &str, lines: &str) -> Answer {
    let (host, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut http = Http::connect(host);
    let request = http.request(method, &format!("/{path}"), lines, b"");
    http.send(&request);
    http.receive(method == "HEAD").expect("an answer")
}

#[test]
fn a_reader_is_sent_on_to_the_bucket_after_everything_was_asked() {
    let Some((outside, _turn)) = alone("a_reader_is_sent_on_to_the_bucket") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(data.path(), &options(outside, &name()));
    let mut owner = Owner::new(&server);
    let (text, picture) = (b"0123456789 is a text".repeat(20_000), png());
    let note = put(&mut owner, "attachment", ("text/plain", "page.html"), &text);
    let shown = put(&mut owner, "attachment", ("image/png", "view"), &picture);
    let face = put(&mut owner, "avatar", ("image/png", "me"), &picture);
    let mut chatter = Chatter::sign_in_as(&server, owner.user, json!([]));
    let member = user();
    Chatter::sign_in_as(&server, member, json!([])).join(&owner.room);
    let send = json!({"op": "send", "room": owner.room, "key": key().to_string(), "text": "see", "attachments": [note, shown]});
    let said = chatter.ask(send);
    assert_eq!(said["ev"], "ok", "{said}");

    // A member is sent to the object, which says of itself what the server would say of the file.
    let mut reader = Http::connect(&server.address);
    reader.token = Some(server.token(member));
    let link = |reader: &mut Http, media: &str, variant: u8| {
        let path = format!("/v1/media/{media}/link?variant={variant}");
        reader.good("GET", &path, Value::Null, 200)["url"].clone()
    };
    let own = link(&mut reader, &note, 0);
    let url = sent_to(&owner.by_link("GET", &own, b""));
    assert!(url.starts_with(&format!("{}/", outside.value("S3_ENDPOINT"))), "{url}");
    let whole = of_service("GET", &url, "");
    assert_eq!((whole.status, whole.body == text), (200, true));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(
        whole.header("content-disposition"),
        Some("attachment; filename*=UTF-8''page.html.txt"),
        "nothing that could hold a program is shown"
    );
    assert_eq!(whole.header("cache-control"), Some("private, no-store"));
    let part = of_service("GET", &url, "Range: bytes=10-19\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &text[10..20]));
    for (from, to) in [
        ("text%2Fplain", "text%2Fhtml"),
        ("attachment", "inline"),
        ("X-Amz-Expires=300", "X-Amz-Expires=3000"),
        ("&response-content-disposition", "&response-content-language"),
    ] {
        let changed = url.replacen(from, to, 1);
        assert!(changed != url && of_service("GET", &changed, "").status == 403, "{changed}");
    }
    assert_eq!(of_service("HEAD", &url, "").status, 403, "it is for one method");
    let known = sent_to(&owner.by_link("GET", &own, b""));
    assert_eq!(of_service("GET", &known, "").status, 200);

    // Pictures may be shown; whoever wants to save one says so.
    let picture_link = owner.link(&shown, 0);
    let inline = of_service("GET", &sent_to(&owner.by_link("GET", &picture_link, b"")), "");
    assert_eq!(inline.header("content-type"), Some("image/png"));
    assert!(inline.header("content-disposition").is_some_and(|value| value.starts_with("inline")));
    let saving = json!(format!("{}&save=true", picture_link.as_str().expect("a link")));
    let saved = of_service("GET", &sent_to(&owner.by_link("GET", &saving, b"")), "");
    assert!(saved.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
    assert_eq!(server.metric(REDIRECTS), 4.0);

    // What is small, or read by the page's program, and what is asked without wanting the bytes comes from here.
    for (media, variant) in [(&shown, 1), (&face, 0), (&face, 1)] {
        let small = owner.link(media, variant);
        let answer = owner.by_link("GET", &small, b"");
        assert_eq!((answer.status, answer.header("location")), (200, None), "{media} {variant}");
    }
    let mut asking = Http::connect(&server.address);
    let head = asking.ask("HEAD", own.as_str().expect("a link"), None);
    assert_eq!((head.status, head.header("location")), (200, None));
    assert_eq!(head.header("content-length"), Some(text.len().to_string().as_str()));
    let page = asking.ask("GET", "/", None);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    for kind in ["img-src", "media-src"] {
        let lets = format!("; {kind} 'self' {}; ", outside.value("S3_ENDPOINT"));
        assert!(policy.contains(&lets), "{policy}");
    }
    assert!(policy.contains("; connect-src 'self'; "), "{policy}");

    // Whoever is removed is sent nowhere; where they were sent before they read until the time of that is over.
    let kick =
        json!({"op": "kick", "room": owner.room, "user": member.to_string(), "key": key().to_string()});
    assert_eq!(chatter.ask(kick)["ev"], "ok");
    let refused = owner.by_link("GET", &own, b"");
    assert_eq!((refused.status, refused.header("location")), (404, None), "{refused:?}");
    assert_eq!(of_service("GET", &url, "").status, 200);
    assert_eq!(server.metric(REDIRECTS), 4.0);
    let log = server.log_text();
    assert!(!log.contains("X-Amz") && !log.contains("Signature"), "no log has such a URL");
    assert!(server.stop().success());
}

#[test]
fn a_reader_is_not_sent_to_a_bucket_that_is_away_or_has_not_got_the_file() {
    let Some((outside, _turn)) = alone("a_reader_is_not_sent_to_a_bucket_that_is_away") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(data.path(), &[]);
    let mut owner = Owner::new(&server);
    owner.put(100_000);
    owner.all_there();
    assert!(server.stop().success());
    let (media, body) = owner.files[0].clone();
    outside.signal("s3", "KILL");
    let server = start(data.path(), &options(outside, &name()));
    owner.at(&server);
    wait_ready(&server, "degraded");
    let answer = owner.get(&media);
    assert_eq!((answer.status, answer.body == body), (200, true), "it is still here");
    outside.up(&["s3"]);
    server.wait_metric(CARRIED, 1.0);
    wait_ready(&server, "ok");
    let url = sent_to(&owner.get(&media));
    assert!(of_service("GET", &url, "").body == body);
    outside.signal("s3", "KILL");
    wait_ready(&server, "degraded");
    let answer = owner.get(&media);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("unavailable")), "{answer:?}");
    outside.up(&["s3"]);
    wait_ready(&server, "ok");
    sent_to(&owner.get(&media));
    assert!(server.stop().success());
}
