use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Decodes whole and at every shorter length: the first final answer must be the whole's answer.
fn decode_with<'a>(bytes: &'a [u8], policy: &Policy) -> Result<Option<(Head<'a>, usize)>, Refusal> {
    let whole = decode_head(bytes, policy);
    let first =
        (0..=bytes.len()).map(|length| decode_head(&bytes[..length], policy)).find(|r| *r != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole, "{}", String::from_utf8_lossy(bytes));
    whole
}

fn decode(bytes: &[u8]) -> Result<Option<(Head<'_>, usize)>, Refusal> {
    decode_with(bytes, &Policy::default())
}

/// A valid upgrade with lines changed: `("Name", Some(value))` replaces or adds, `("Name", None)` removes.
fn upgrade(changes: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut lines = vec![
        ("Host", "chat.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    for (name, value) in changes {
        lines.retain(|(line, _)| line != name);
        lines.extend(value.map(|value| (*name, value)));
    }
    request("GET /ws HTTP/1.1", &lines)
}

fn request(first: &str, lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = format!("{first}\r\n");
    for (name, value) in lines {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    out.into_bytes()
}

fn refusal(bytes: &[u8]) -> Refusal {
    decode(bytes).expect_err(&String::from_utf8_lossy(bytes))
}

fn accepted(bytes: &[u8]) -> Upgrade<'_> {
    match decode(bytes) {
        Ok(Some((Head::Upgrade(upgrade), length))) => {
            assert_eq!(length, bytes.len());
            upgrade
        }
        other => panic!("{other:?} for {}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn a_plain_upgrade_is_accepted() {
    assert_eq!(accepted(&upgrade(&[])), Upgrade { key: KEY.as_bytes(), subprotocol: false });
}

#[test]
fn frames_after_the_head_are_not_part_of_it() {
    let mut bytes = upgrade(&[]);
    let length = bytes.len();
    bytes.extend_from_slice(b"\x81\x80\0\0\0\0");
    assert!(matches!(decode(&bytes), Ok(Some((Head::Upgrade(_), at))) if at == length));
}

#[test]
fn names_and_tokens_compare_without_case_and_lists_are_searched() {
    let lines = [
        ("hOST", "chat.example"),
        ("UPGRADE", "h2c, WebSocket"),
        ("connection", "keep-alive ,upGRADE"),
        ("sec-websocket-KEY", KEY),
        ("SEC-websocket-version", "13"),
        ("Sec-WebSocket-Protocol", "chat"),
        ("sec-websocket-protocol", "other, lynk.v1"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Content-Length", "0"),
    ];
    assert!(accepted(&request("GET /ws?x=1 HTTP/1.1", &lines)).subprotocol);
    assert!(!accepted(&upgrade(&[("Sec-WebSocket-Protocol", Some("lynk.v10"))])).subprotocol);
}

#[test]
fn each_broken_line_has_its_refusal() {
    for (changes, expected) in [
        (&[("Host", None)][..], Refusal::HostMissing),
        (&[("Connection", None)], Refusal::ConnectionNotUpgrade),
        (&[("Connection", Some("keep-alive"))], Refusal::ConnectionNotUpgrade),
        (&[("Sec-WebSocket-Version", None)], Refusal::VersionUnsupported),
        (&[("Sec-WebSocket-Version", Some("8"))], Refusal::VersionUnsupported),
        (&[("Sec-WebSocket-Key", None)], Refusal::KeyInvalid),
        (&[("Sec-WebSocket-Key", Some("c2hvcnQ="))], Refusal::KeyInvalid),
        (&[("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZSE="))], Refusal::KeyInvalid),
        (&[("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25j!Q=="))], Refusal::KeyInvalid),
        (&[("Content-Length", Some("5"))], Refusal::BodyAnnounced),
        (&[("Transfer-Encoding", Some("chunked"))], Refusal::BodyAnnounced),
        (&[("Origin", Some("https://evil.example"))], Refusal::OriginForeign),
    ] {
        assert_eq!(refusal(&upgrade(changes)), expected, "{changes:?}");
    }
    for name in ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin"] {
        let mut bytes = upgrade(&[("Origin", Some("http://chat.example"))]);
        let value = match name {
            "Host" => "chat.example",
            "Origin" => "http://chat.example",
            "Sec-WebSocket-Key" => KEY,
            _ => "13",
        };
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(format!("{name}: {value}\r\n\r\n").as_bytes());
        assert!(decode(&bytes).is_err(), "{name} given twice");
    }
}

#[test]
fn only_get_and_only_the_path_can_be_upgraded() {
    let lines = [("Host", "h"), ("Upgrade", "websocket"), ("Connection", "Upgrade")];
    assert_eq!(refusal(&request("POST /ws HTTP/1.1", &lines)), Refusal::MethodNotAllowed);
    assert_eq!(refusal(&request("GET /other HTTP/1.1", &lines)), Refusal::NotFound);
    assert_eq!(refusal(&request("GET /ws HTTP/1.0", &lines)), Refusal::Malformed);
}

#[test]
fn other_requests_are_handed_on_with_the_refusal_they_would_get() {
    for (first, path, expected) in [
        ("GET /ws HTTP/1.1", "/ws", Refusal::UpgradeRequired),
        ("POST /ws?a=b HTTP/1.1", "/ws", Refusal::MethodNotAllowed),
        ("GET / HTTP/1.1", "/", Refusal::NotFound),
    ] {
        let bytes = request(first, &[("Host", "h")]);
        let Ok(Some((Head::Other(request), length))) = decode(&bytes) else { panic!("{first}") };
        assert_eq!((request.path, length), (path, bytes.len()));
        assert_eq!(request.refusal(&Policy::default()), expected, "{first}");
    }
}

#[test]
fn origins_are_the_servers_own_or_on_the_list() {
    let listed = Policy { origins: vec!["https://app.example:8443".to_owned()], ..Policy::default() };
    for (origin, host, same, on_list) in [
        ("http://chat.example", "chat.example", true, true),
        ("HTTPS://Chat.Example", "chat.example:443", true, true),
        ("http://chat.example:80", "chat.example", true, true),
        ("http://chat.example:8080", "chat.example:8080", true, true),
        ("http://[::1]:8080", "[::1]:8080", true, true),
        ("http://chat.example:8080", "chat.example", false, false),
        ("http://chat.example.evil", "chat.example", false, false),
        ("http://evil.example/chat.example", "chat.example", false, false),
        ("https://app.example:8443", "chat.example", false, true),
        ("https://app.example", "chat.example", false, false),
        ("file://chat.example", "chat.example", false, false),
        ("null", "chat.example", false, false),
        ("", "chat.example", false, false),
    ] {
        let bytes = upgrade(&[("Origin", Some(origin)), ("Host", Some(host))]);
        let allows = |policy: &Policy| match decode_with(&bytes, policy) {
            Ok(Some((Head::Upgrade(_), _))) => true,
            Err(Refusal::OriginForeign) => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(allows(&Policy::default()), same, "{origin} for {host}");
        assert_eq!(allows(&listed), on_list, "{origin} for {host}, with a list");
    }
}

#[test]
fn what_is_not_http_is_refused_before_it_is_complete() {
    let client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for bytes in [&client_hello[..], b"PRI * HTTP/2.0\r\n", b"GET /ws HTTP/3.1\r\n", b"GET  /ws", b"\0"] {
        assert_eq!(refusal(bytes), Refusal::Malformed, "{bytes:?}");
    }
    for bytes in [
        &b"GET /ws HTTP/1.1\r\nHost : h\r\n"[..],
        b"GET /ws HTTP/1.1\r\n folded\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\0b\r\n",
        b"GET /ws HTTP/1.1\r\nno colon\r\n",
    ] {
        assert_eq!(refusal(bytes), Refusal::Malformed, "{bytes:?}");
    }
}

#[test]
fn heads_end_at_their_limits() {
    let padded = |bytes: usize| {
        let empty = upgrade(&[("X-Pad", Some(""))]).len();
        upgrade(&[("X-Pad", Some(&"p".repeat(bytes - empty)))])
    };
    let fits = padded(HEAD_BYTES_MAX);
    assert_eq!(fits.len(), HEAD_BYTES_MAX);
    assert!(matches!(decode_head(&fits, &Policy::default()), Ok(Some(_))));
    assert_eq!(decode_head(&padded(HEAD_BYTES_MAX + 1), &Policy::default()), Err(Refusal::HeadTooLarge));
    let endless =
        b"GET /".iter().copied().chain(std::iter::repeat_n(b'a', HEAD_BYTES_MAX)).collect::<Vec<_>>();
    assert_eq!(decode_head(&endless, &Policy::default()), Err(Refusal::HeadTooLarge));
    assert_eq!(decode_head(&endless[..HEAD_BYTES_MAX - 1], &Policy::default()), Ok(None));

    let many = |count: usize| {
        let mut bytes = upgrade(&[]);
        bytes.truncate(bytes.len() - 2);
        (5..count).for_each(|_| bytes.extend_from_slice(b"X: y\r\n"));
        bytes.extend_from_slice(b"\r\n");
        bytes
    };
    assert!(matches!(decode(&many(HEAD_LINES_MAX)), Ok(Some(_))));
    assert_eq!(refusal(&many(HEAD_LINES_MAX + 1)), Refusal::HeadTooLarge);
}

#[test]
fn random_damage_never_makes_the_answer_depend_on_the_cuts() {
    let mut state = 1u64;
    let mut draw = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let original =
        upgrade(&[("Origin", Some("http://chat.example")), ("Sec-WebSocket-Protocol", Some("lynk.v1"))]);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let mut bytes = original.clone();
        for _ in 0..=draw(2) {
            let at = draw(bytes.len());
            match draw(3) {
                0 => bytes[at] ^= 1 << draw(8),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n :,\0/"[draw(7)]),
            }
        }
        match decode(&bytes) {
            Ok(Some(_)) => accepted += 1,
            Err(_) => refused += 1,
            Ok(None) => {}
        }
    }
    assert!(accepted > 100 && refused > 1_000, "{accepted} accepted, {refused} refused");
}
