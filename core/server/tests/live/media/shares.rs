//! Nobody's transfers take the places of everybody.

use super::*;

/// What says that a request is refused for now.
fn busy(answer: &Answer) -> bool {
    let told = answer.json();
    answer.status == 503
        && told["code"] == "busy"
        && told["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0)
}

fn refused(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("lynk_media_transfers_refused_total{{reason=\"{reason}\"}}"))
}

#[test]
fn an_account_has_its_share_of_uploads_and_others_have_theirs() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let places = ["--set", "media.uploads_per_account_max=1", "--set", "media.uploads_max=2"];
    let server = serve(
        temp.path(),
        &[&places[..], &["--set", "media.idle_timeout=10m", "--set", "media.rate_min=1MiB"]].concat(),
    );
    let announce = |who| as_user(&server, who).good("POST", "/v1/media", avatar("image/png", 1 << 20), 201);
    // Sends a part of what was announced and no more.
    let begin = |announced: &Value, open: f64| {
        let mut putting = Http::connect(&server.address);
        let url = text(&announced["upload"], "url");
        let head = format!("PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1 << 20);
        putting.send(&[head.as_bytes(), &[7; 1 << 10]].concat());
        server.wait_metric("lynk_media_transfers_open{direction=\"in\"}", open);
        putting
    };
    let body = vec![7; 1 << 20];
    let (one, other, third) = (user(), user(), user());
    let first = begin(&announce(one), 1.0);
    let second = announce(one);
    assert!(busy(&put(&server, &second, &body)), "it has its share");
    assert_eq!((refused(&server, "uploads_of_account"), refused(&server, "uploads")), (1.0, 0.0));
    let _others = begin(&announce(other), 2.0);
    assert!(busy(&put(&server, &announce(third), &body)), "there are no more");
    assert_eq!((refused(&server, "uploads_of_account"), refused(&server, "uploads")), (1.0, 1.0));
    drop(first);
    wait_until("a place is not given back", || put(&server, &second, &body).status == 200);
    assert!(server.stop().success());
}

#[test]
fn an_account_has_its_share_of_downloads_and_loses_a_place_that_it_does_not_use() {
    const BYTES: usize = 32 << 20;
    let temp = tempfile::tempdir().expect("temporary directory");
    let places = ["--set", "media.downloads_per_account_max=1", "--set", "media.downloads_max=2"];
    let server = serve(
        temp.path(),
        &[&places[..], &["--set", "media.idle_timeout=10m", "--set", "media.rate_min=1MiB"]].concat(),
    );
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let (reader, other) = (user(), user());
    for who in [reader, other] {
        Chatter::sign_in_as(&server, who, json!([])).join(&room);
    }
    let mut http = as_user(&server, owner.user);
    let said = |owner: &mut Chatter, http: &mut Http, body: &[u8]| {
        let row = upload(&server, http, file(&room, "text/plain", body.len() as u64), body);
        let media = text(&row, "media").to_owned();
        let send = json!({"op": "send", "room": room, "key": key().to_string(), "text": "see", "attachments": [media]});
        assert_eq!(owner.ask(send)["ev"], "ok");
        media
    };
    let large = said(&mut owner, &mut http, &vec![b'x'; BYTES]);
    let small = said(&mut owner, &mut http, b"small");
    let url = |who, media: &str| link(&mut as_user(&server, who), media, 0);
    let (stuck, next, others) = (url(reader, &large), url(reader, &small), url(other, &small));
    // Asks for more than sockets hold, and takes nothing.
    let mut taking = Http::connect(&server.address);
    let request = taking.request("GET", &stuck, "", b"");
    taking.send(&request);
    server.wait_metric("lynk_media_transfers_open{direction=\"out\"}", 1.0);
    assert!(busy(&by_link(&server, "GET", &next, "", b"")), "it has its share");
    assert_eq!(refused(&server, "downloads_of_account"), 1.0);
    assert_eq!(by_link(&server, "GET", &others, "", b"").body, b"small", "others have theirs");
    // Whoever takes nothing is given up at the least rate, though the socket may be idle for longer.
    let until = Instant::now() + 3 * PATIENCE;
    while by_link(&server, "GET", &next, "", b"").status != 200 {
        assert!(Instant::now() < until, "a place that is not used is never given back");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(refused(&server, "download_slow"), 1.0);
    drop(taking);
    assert!(server.stop().success());
}
