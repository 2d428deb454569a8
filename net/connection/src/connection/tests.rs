use super::*;
use crate::testing::*;
use lynk_websocket::{DecodeError, Opcode, encode_client_frame};

fn at(seconds: u64) -> Nanos {
    START.after(seconds * SECOND)
}

/// Feeds a whole client stream cut once at `cut`, drains, and tells everything that can be observed.
fn observe(
    stream: &[u8],
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Seen>, Vec<u8>, Option<EndReason>) {
    let settings = settings();
    let mut connection = Connection::new(START, &settings);
    let mut seen = Vec::new();
    let mut length = 0;
    for piece in pieces {
        length += piece.len();
        seen.extend(receive(&mut connection, START, &settings, piece));
    }
    assert_eq!(length, stream.len());
    let end = connection.settle().end;
    (seen, drain(&mut connection, START, &settings), end)
}

fn observe_every_cut(stream: &[u8]) -> (Vec<Seen>, Vec<u8>, Option<EndReason>) {
    let whole = observe(stream, &mut std::iter::once(stream));
    assert_eq!(observe(stream, &mut stream.chunks(1)), whole, "byte by byte");
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(observe(stream, &mut [left, right].into_iter()), whole, "cut at {cut}");
    }
    whole
}

/// What a client that upgrades and then sends `frames` gets back.
fn after_upgrade(frames: &[u8]) -> (Vec<Seen>, Vec<Heard>, Option<EndReason>) {
    let mut stream = upgrade_request();
    stream.extend_from_slice(frames);
    let (mut seen, out, end) = observe_every_cut(&stream);
    assert_eq!(seen.remove(0), Seen::Upgraded(true));
    (seen, heard_after_upgrade(&out), end)
}

#[test]
fn an_idle_connection_is_small_and_owns_nothing() {
    let settings = settings();
    let mut connection = open(START, &settings);
    assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX);
    assert_eq!(connection.heap_bytes(), 0);
    receive(&mut connection, START, &settings, &client(Opcode::Text, b"hello"));
    receive(&mut connection, START, &settings, &client(Opcode::Ping, b""));
    drain(&mut connection, START, &settings);
    assert_eq!(connection.heap_bytes(), 0, "after traffic too");
}

#[test]
fn messages_and_pongs_however_the_stream_is_cut() {
    let mut frames = client(Opcode::Text, "grüß".as_bytes());
    frames.extend(client(Opcode::Ping, b"a"));
    frames.extend(client(Opcode::Pong, b"unasked"));
    frames.extend(client(Opcode::Ping, b"b"));
    frames.extend(client(Opcode::Text, b""));
    let (seen, heard, end) = after_upgrade(&frames);
    let text = |text: &str| Seen::Text(text.to_owned());
    assert_eq!(seen, [text("grüß"), Seen::Handled, Seen::Handled, Seen::Handled, text("")]);
    assert_eq!(heard, [Heard::Pong(b"a".to_vec()), Heard::Pong(b"b".to_vec())]);
    assert_eq!(end, None);
}

#[test]
fn bad_frames_close_with_their_code_and_nothing_after_them_counts() {
    let text = |payload: &[u8]| client(Opcode::Text, payload);
    let oversize = text(&vec![b'x'; settings().frame_bytes_max as usize + 1]);
    for (frames, error, code) in [
        (&b"\x81\x02hi"[..], DecodeError::Unmasked, 1002),
        (&text(b"\xff")[..], DecodeError::InvalidUtf8, 1007),
        (&oversize[..14], DecodeError::MessageTooLarge, 1009),
        (&[0xc1, 0x80], DecodeError::ReservedBits, 1002),
        (&client(Opcode::Close, b"\x03"), DecodeError::CloseTruncated, 1002),
    ] {
        let mut frames = frames.to_vec();
        frames.extend(text(b"late"));
        let (seen, heard, end) = after_upgrade(&frames);
        assert_eq!(seen, [], "{error:?}");
        assert_eq!(heard, [Heard::Close(Some(code))]);
        assert_eq!(end, Some(EndReason::Protocol(error)));
    }
}

#[test]
fn binary_is_refused_unless_allowed() {
    let frames = client(Opcode::Binary, b"\0\x01");
    let (_, heard, end) = after_upgrade(&frames);
    assert_eq!((heard, end), (vec![Heard::Close(Some(1003))], Some(EndReason::Binary)));
    let settings = Settings { binary: true, ..settings() };
    let mut connection = open(START, &settings);
    assert_eq!(receive(&mut connection, START, &settings, &frames), [Seen::Binary(vec![0, 1])]);
}

#[test]
fn a_refused_request_is_answered_then_shut_then_closed() {
    let settings = settings();
    for (request, refusal) in [
        (&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], Refusal::NotFound),
        (b"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::UpgradeRequired),
        (b"\x16\x03\x01\x02\0", Refusal::Malformed),
        (&[b"GET /".as_slice(), &[b'a'; HEAD_BYTES_MAX]].concat(), Refusal::HeadTooLarge),
    ] {
        let mut connection = Connection::new(START, &settings);
        for piece in request.chunks(100) {
            assert_eq!(receive(&mut connection, START, &settings, piece), []);
        }
        let settled = connection.settle();
        assert_eq!((settled.end, settled.socket), (Some(EndReason::Refused(refusal)), SocketStep::Keep));
        assert!(settled.output);
        let status = format!("HTTP/1.1 {} ", refusal.status());
        assert!(drain(&mut connection, START, &settings).starts_with(status.as_bytes()));
        assert_eq!(connection.settle().socket, SocketStep::ShutdownWrite);
        // What else the client says is read and dropped, so that the response is not lost to a reset.
        assert!(connection.wants_read());
        assert_eq!(receive(&mut connection, START, &settings, b"more"), []);
        assert_eq!(connection.settle().socket, SocketStep::Keep);
        connection.end_of_stream();
        let settled = connection.settle();
        assert_eq!((settled.socket, settled.end), (SocketStep::Close, None));
    }
}

fn taking_requests() -> Settings {
    Settings { requests: true, ..settings() }
}

#[test]
fn a_request_is_handed_over_with_every_byte_that_arrived_however_it_was_cut() {
    let settings = taking_requests();
    let request = b"POST /v1/rooms HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".as_slice();
    let head = request.len() - 5;
    for cut in 0..=request.len() {
        let mut connection = Connection::new(START, &settings);
        let (first, second) = request.split_at(cut);
        let seen = receive(&mut connection, START, &settings, first);
        let whole = if cut < head {
            assert_eq!(seen, [], "cut at {cut}");
            assert!(connection.wants_read());
            assert_eq!(receive(&mut connection, START, &settings, second), [Seen::Request]);
            request
        } else {
            assert_eq!(seen, [Seen::Request], "cut at {cut}");
            first
        };
        assert!(!connection.wants_read(), "what comes next is for somebody else");
        assert_eq!(connection.settle().socket, SocketStep::Keep, "nobody takes it yet");
        connection.hand_over();
        let settled = connection.settle();
        assert_eq!((settled.end, settled.socket), (Some(EndReason::HandedOver), SocketStep::Release));
        assert_eq!(connection.take_request(), whole);
        assert_eq!(connection.next_deadline(), Nanos::NEVER);
        connection.end_of_stream();
        connection.close(START, &settings, CloseCode::Shutdown);
        let settled = connection.settle();
        assert_eq!((settled.end, settled.socket, settled.output), (None, SocketStep::Keep, false));
    }
}

#[test]
fn a_request_without_a_taker_is_refused_like_any_other() {
    let settings = taking_requests();
    let mut connection = Connection::new(START, &settings);
    let request = b"GET /v1/me HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(receive(&mut connection, START, &settings, request), [Seen::Request]);
    connection.refuse(START, &settings, Refusal::Full);
    assert_eq!(connection.settle().end, Some(EndReason::Refused(Refusal::Full)));
    assert!(drain(&mut connection, START, &settings).starts_with(b"HTTP/1.1 503 "));
    assert_eq!(connection.settle().socket, SocketStep::ShutdownWrite);
    assert!(connection.take_request().is_empty());
}

#[test]
fn while_draining_and_at_the_sockets_path_requests_are_answered_here() {
    let draining = Settings { draining: true, ..taking_requests() };
    for (settings, path, refusal) in
        [(&taking_requests(), "/ws", Refusal::UpgradeRequired), (&draining, "/v1/me", Refusal::Draining)]
    {
        let mut connection = Connection::new(START, settings);
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(receive(&mut connection, START, settings, request.as_bytes()), []);
        assert_eq!(connection.settle().end, Some(EndReason::Refused(refusal)));
    }
}

#[test]
fn a_proxy_names_the_client_of_a_request_at_every_cut_and_its_own_header_is_not_handed_over() {
    let trusted = vec![lynk_http::Network::parse("10.0.0.0/8").expect("a network")];
    let settings = Settings { trusted_proxies: lynk_http::TrustedProxies::new(trusted), ..taking_requests() };
    let client = Some(IpAddr::from([192, 0, 2, 7]));
    let request = b"GET /v1/me HTTP/1.1\r\nHost: h\r\nForwarded: for=192.0.2.7\r\n\r\n".as_slice();
    let mut proxy = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\0\x50".to_vec();
    let header = proxy.len();
    proxy.extend_from_slice(b"GET /v1/me HTTP/1.1\r\nHost: h\r\n\r\n");
    for (bytes, kept) in [(request, request), (&proxy[..], &proxy[header..])] {
        for cut in 0..=bytes.len() {
            let mut connection = Connection::behind_proxy(START, &settings);
            let (first, second) = bytes.split_at(cut);
            let mut seen = receive(&mut connection, START, &settings, first);
            if seen.last() != Some(&Seen::Request) {
                seen.extend(receive(&mut connection, START, &settings, second));
            }
            assert_eq!(seen, [Seen::Client(client), Seen::Request], "cut at {cut}");
            connection.hand_over();
            assert_eq!(connection.take_request(), kept, "cut at {cut}");
        }
    }
}

#[test]
fn a_foreign_origin_is_refused() {
    let settings = settings();
    let mut request = upgrade_request();
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Origin: https://evil.example\r\n\r\n");
    let mut connection = Connection::new(START, &settings);
    receive(&mut connection, START, &settings, &request);
    assert_eq!(connection.settle().end, Some(EndReason::Refused(Refusal::OriginForeign)));
    assert!(drain(&mut connection, START, &settings).starts_with(b"HTTP/1.1 403 "));
}

#[test]
fn a_slow_head_is_answered_with_408_at_its_deadline_and_holds_bounded_memory() {
    let settings = settings();
    let mut connection = Connection::new(START, &settings);
    assert_eq!(connection.settle().deadline, Some(at(5)));
    for second in 0..5 {
        assert_eq!(receive(&mut connection, at(second), &settings, b"GET"), []);
        connection.on_deadline(at(second), &settings);
        let settled = connection.settle();
        assert_eq!((settled.end, settled.deadline), (None, None), "one entry in the wheel");
    }
    assert!(connection.heap_bytes() <= HEAD_BYTES_MAX);
    connection.on_deadline(at(5), &settings);
    let settled = connection.settle();
    assert_eq!(settled.end, Some(EndReason::Refused(Refusal::Timeout)));
    assert_eq!(settled.deadline, Some(at(10)));
    assert!(drain(&mut connection, at(5), &settings).starts_with(b"HTTP/1.1 408 "));
    assert_eq!(connection.heap_bytes(), 0);
    assert_eq!(connection.settle().socket, SocketStep::ShutdownWrite);
    connection.on_deadline(at(10), &settings);
    assert_eq!(connection.settle().socket, SocketStep::Close);
}

#[test]
fn closes_before_the_upgrade_are_http_refusals() {
    let settings = settings();
    for (code, refusal) in [
        (CloseCode::TryLater, Refusal::Full),
        (CloseCode::RateLimited, Refusal::TooManyConnections),
        (CloseCode::Shutdown, Refusal::Draining),
    ] {
        let mut connection = Connection::new(START, &settings);
        connection.close(START, &settings, code);
        assert_eq!(connection.settle().end, Some(EndReason::Refused(refusal)));
        let response = String::from_utf8(drain(&mut connection, START, &settings)).unwrap();
        assert!(response.contains("Retry-After: 5\r\n"), "{response}");
    }
    let draining = Settings { draining: true, ..settings };
    let mut connection = Connection::new(START, &draining);
    receive(&mut connection, START, &draining, &upgrade_request());
    assert_eq!(connection.settle().end, Some(EndReason::Refused(Refusal::Draining)));
}

fn proxied() -> Settings {
    let network = lynk_http::Network::parse("10.0.0.0/8").expect("valid");
    Settings { trusted_proxies: lynk_http::TrustedProxies::new(vec![network]), ..settings() }
}

/// A PROXY header from `192.0.2.7`.
fn proxy_header() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend([192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80]);
    header
}

#[test]
fn a_trusted_proxy_names_the_client_however_its_words_are_cut() {
    let settings = proxied();
    let with_line = |line: &str| {
        let request = String::from_utf8(upgrade_request()).expect("text");
        request.replacen("\r\n", &format!("\r\n{line}"), 1).into_bytes()
    };
    let named = Some("192.0.2.7".parse().expect("an address"));
    let text = client(Opcode::Text, b"hello");
    for (words, client) in [
        ([proxy_header(), upgrade_request()].concat(), named),
        // The connection is the client's own business once its header came.
        ([proxy_header(), with_line("X-Forwarded-For: 203.0.113.1\r\n")].concat(), named),
        (with_line("X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.0.0.2\r\n"), named),
        (with_line("Forwarded: for=192.0.2.7\r\n"), named),
        (upgrade_request(), None),
    ] {
        let expected = [Seen::Client(client), Seen::Upgraded(true), Seen::Text("hello".to_owned())];
        let words = [&words[..], &text].concat();
        for cut in 0..=words.len() {
            let mut connection = Connection::behind_proxy(START, &settings);
            let mut seen = receive(&mut connection, START, &settings, &words[..cut]);
            seen.extend(receive(&mut connection, START, &settings, &words[cut..]));
            assert_eq!(seen, expected, "cut at {cut}");
        }
        let mut connection = Connection::behind_proxy(START, &settings);
        let one = |byte: &u8| receive(&mut connection, START, &settings, std::slice::from_ref(byte));
        assert_eq!(words.iter().flat_map(one).collect::<Vec<_>>(), expected, "byte by byte");
    }
}

#[test]
fn a_client_that_is_refused_when_its_proxy_named_it_is_told_so() {
    let settings = proxied();
    for words in [[proxy_header(), upgrade_request()].concat(), upgrade_request()] {
        let mut connection = Connection::behind_proxy(START, &settings);
        let mut input = words.clone();
        let step = connection.receive(START, &settings, &mut input);
        let consumed = step.consumed;
        assert!(matches!(step.event, Some(Event::Client(_))));
        connection.close(START, &settings, CloseCode::RateLimited);
        assert_eq!(receive(&mut connection, START, &settings, &words[consumed..]), []);
        assert_eq!(connection.settle().end, Some(EndReason::Refused(Refusal::TooManyConnections)));
        let response = String::from_utf8(drain(&mut connection, START, &settings)).expect("text");
        assert!(response.starts_with("HTTP/1.1 429 "), "{response}");
    }
}

#[test]
fn a_proxy_header_counts_from_trusted_proxies_only_and_must_be_sound() {
    let settings = proxied();
    let words = [proxy_header(), upgrade_request()].concat();
    let mut connection = Connection::new(START, &settings);
    assert_eq!(receive(&mut connection, START, &settings, &words), []);
    assert_eq!(connection.settle().end, Some(EndReason::Refused(Refusal::Malformed)));

    let mut broken = words;
    broken[12] = 0x31;
    let mut connection = Connection::behind_proxy(START, &settings);
    assert_eq!(receive(&mut connection, START, &settings, &broken), []);
    assert_eq!(connection.settle().end, Some(EndReason::Refused(Refusal::ProxyMalformed)));
}

#[test]
fn the_peers_close_is_echoed_and_then_the_socket_closes() {
    let mut frames = client(Opcode::Close, b"\x0f\xa0done");
    frames.extend(client(Opcode::Text, b"late"));
    let (seen, heard, end) = after_upgrade(&frames);
    assert_eq!(seen, [Seen::Handled]);
    assert_eq!((heard, end), (vec![Heard::Close(Some(4000))], Some(EndReason::PeerClosed)));

    let settings = settings();
    let mut connection = open(START, &settings);
    receive(&mut connection, START, &settings, &client(Opcode::Close, b""));
    assert_eq!(connection.settle().socket, SocketStep::Keep, "the answer goes out first");
    assert_eq!(heard_of(&mut connection, &settings), [Heard::Close(None)]);
    assert_eq!(connection.settle().socket, SocketStep::Close);
}

fn heard_of(connection: &mut Connection, settings: &Settings) -> Vec<Heard> {
    heard(&drain(connection, START, settings))
}

#[test]
fn our_close_goes_out_behind_what_is_queued_and_waits_for_the_answer() {
    let settings = settings();
    let mut connection = open(START, &settings);
    connection.queue(START, &settings, frame("last words"));
    connection.close(START, &settings, CloseCode::Revoked);
    connection.close(START, &settings, CloseCode::Normal);
    let settled = connection.settle();
    assert_eq!(settled.end, Some(EndReason::Engine(CloseCode::Revoked)), "the first reason stays");
    assert_eq!(settled.deadline, Some(at(5)));
    assert_eq!(
        heard_of(&mut connection, &settings),
        [Heard::Text("last words".to_owned()), Heard::Close(Some(4002))]
    );
    assert_eq!(connection.settle().socket, SocketStep::Keep);
    // Messages under way are not for the engine any more; pings are not answered after a close.
    let mut frames = client(Opcode::Text, b"late");
    frames.extend(client(Opcode::Ping, b""));
    assert_eq!(receive(&mut connection, START, &settings, &frames), [Seen::Handled, Seen::Handled]);
    assert_eq!(connection.queued_bytes(), 0);
    receive(&mut connection, START, &settings, &client(Opcode::Close, b"\x0f\xa2"));
    assert_eq!(connection.settle().socket, SocketStep::Close);
}

#[test]
fn an_answer_that_never_comes_ends_at_the_deadline() {
    let settings = settings();
    let mut connection = open(START, &settings);
    connection.close(START, &settings, CloseCode::Normal);
    drain(&mut connection, START, &settings);
    let _ = connection.settle();
    connection.on_deadline(at(5), &settings);
    assert_eq!(connection.settle().socket, SocketStep::Close);
    assert_eq!(connection.heap_bytes(), 0);
}

#[test]
fn a_broken_answer_to_our_close_shuts_the_socket() {
    let settings = settings();
    let mut connection = open(START, &settings);
    connection.close(START, &settings, CloseCode::Normal);
    drain(&mut connection, START, &settings);
    receive(&mut connection, START, &settings, b"\xff\xff");
    let settled = connection.settle();
    assert_eq!(settled.socket, SocketStep::ShutdownWrite);
    assert_eq!(settled.end, Some(EndReason::Engine(CloseCode::Normal)), "the first reason stays");
}

#[test]
fn a_stream_that_just_ends_is_gone_at_once() {
    let settings = settings();
    for mut connection in [Connection::new(START, &settings), open(START, &settings)] {
        connection.end_of_stream();
        let settled = connection.settle();
        assert_eq!((settled.end, settled.socket), (Some(EndReason::PeerGone), SocketStep::Close));
        assert!(!connection.wants_read() && !connection.wants_write());
    }
    let mut connection = open(START, &settings);
    connection.socket_failed();
    let settled = connection.settle();
    assert_eq!((settled.end, settled.socket), (Some(EndReason::SocketFailed), SocketStep::Close));
}

#[test]
fn a_client_that_shuts_its_write_side_still_gets_its_refusal() {
    let settings = settings();
    let mut connection = Connection::new(START, &settings);
    receive(&mut connection, START, &settings, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    connection.end_of_stream();
    assert_eq!(connection.settle().socket, SocketStep::Keep);
    assert!(drain(&mut connection, START, &settings).starts_with(b"HTTP/1.1 404 "));
    assert_eq!(connection.settle().socket, SocketStep::Close);
}

#[test]
fn a_silent_peer_is_pinged_and_closed_after_two_missed_answers() {
    let settings = settings();
    let mut connection = open(START, &settings);
    for beat in 1..=2 {
        connection.on_deadline(at(25 * beat), &settings);
        assert_eq!(heard_of(&mut connection, &settings), [Heard::Ping], "beat {beat}");
        let settled = connection.settle();
        assert_eq!((settled.end, settled.deadline), (None, Some(at(25 * (beat + 1)))));
    }
    connection.on_deadline(at(75), &settings);
    assert_eq!(connection.settle().end, Some(EndReason::PingTimeout));
    assert_eq!(heard_of(&mut connection, &settings), [Heard::Close(Some(4104))]);
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let settings = settings();
    let mut connection = open(START, &settings);
    for beat in 1..20 {
        connection.on_deadline(at(25 * beat), &settings);
        assert_eq!(heard_of(&mut connection, &settings), [Heard::Ping], "beat {beat}");
        let _ = connection.settle();
        if beat % 2 == 0 {
            receive(&mut connection, at(25 * beat), &settings, &client(Opcode::Pong, b"")[..3]);
            receive(&mut connection, at(25 * beat), &settings, &client(Opcode::Pong, b"")[3..]);
        }
    }
}

#[test]
fn a_message_that_is_never_finished_is_closed_although_control_frames_come() {
    let settings = Settings { heartbeat_nanos: 10 * SECOND, ..settings() };
    let fragment = |opcode, fin| {
        let mut out = Vec::new();
        encode_client_frame(&mut out, fin, opcode, b"x", [1, 2, 3, 4]);
        out
    };
    for finished in [true, false] {
        let mut connection = open(START, &settings);
        receive(&mut connection, at(1), &settings, &fragment(Opcode::Text, false));
        for second in (2..60).step_by(2) {
            let now = at(second);
            if connection.next_deadline() <= now {
                connection.on_deadline(now, &settings);
            }
            let mut sent = client(Opcode::Ping, b"");
            if finished && second % 10 == 4 {
                // One message ends and the next one begins in the same buffer.
                sent.extend(fragment(Opcode::Continuation, true));
                sent.extend(fragment(Opcode::Text, false));
            }
            receive(&mut connection, now, &settings, &sent);
            drain(&mut connection, now, &settings);
            if let Some(end) = connection.settle().end {
                assert_eq!((end, finished), (EndReason::MessageStalled, false));
                assert_eq!(end.close().map(|(code, _)| code), Some(4104));
                assert!((20..=22).contains(&second), "{second}");
                break;
            }
            assert!(finished || second < 30, "it is kept for ever");
        }
    }
}

#[test]
fn a_peer_that_is_not_read_from_is_not_called_silent() {
    let settings = settings();
    let mut connection = open(START, &settings);
    while connection.queued_bytes() <= settings.send_queue_bytes_high as usize {
        connection.queue(START, &settings, frame(&"e".repeat(999)));
    }
    assert!(!connection.wants_read());
    for beat in 1..6 {
        connection.on_deadline(at(25 * beat), &settings);
        assert_eq!(connection.settle().end, None);
    }
    drain(&mut connection, at(150), &settings);
    assert!(connection.wants_read());
}

#[test]
fn deadlines_that_moved_fire_once_and_keep_one_entry_in_the_wheel() {
    let settings = settings();
    let mut connection = Connection::new(START, &settings);
    assert_eq!(connection.settle().deadline, Some(at(5)));
    receive(&mut connection, START, &settings, &upgrade_request());
    drain(&mut connection, START, &settings);
    assert_eq!(connection.settle().deadline, None, "the entry that is there comes first");
    connection.on_deadline(at(5), &settings);
    assert_eq!(connection.settle().deadline, Some(at(25)));
    connection.close(at(6), &settings, CloseCode::Normal);
    assert_eq!(connection.settle().deadline, Some(at(11)), "an earlier deadline is a new entry");
    connection.on_deadline(at(7), &settings);
    assert_eq!(connection.settle().deadline, None, "an entry of nobody's changes nothing");
    connection.on_deadline(at(11), &settings);
    assert_eq!(connection.settle().socket, SocketStep::Close);
    connection.on_deadline(at(25), &settings);
    let settled = connection.settle();
    assert_eq!((settled.socket, settled.deadline), (SocketStep::Keep, None));
}

#[test]
fn watermarks_are_told_once_each_and_hold_reads() {
    let settings = settings();
    let mut connection = open(START, &settings);
    let event = frame(&"e".repeat(999));
    let wire = event.wire().len();
    let high = settings.send_queue_bytes_high as usize;
    let low = settings.send_queue_bytes_low as usize;
    let mut told = 0;
    while connection.queued_bytes() <= high {
        assert!(connection.wants_read());
        assert_eq!(connection.settle().level, None);
        connection.queue(START, &settings, Arc::clone(&event));
        told += 1;
    }
    assert_eq!(told, high / wire + 1);
    assert!(!connection.wants_read());
    assert_eq!(connection.settle().level, Some(QueueLevel::High));
    assert_eq!(connection.settle().level, None);
    let mut room = vec![0; wire];
    while connection.queued_bytes() > low {
        assert!(!connection.wants_read());
        assert_eq!(connection.settle().level, None);
        let given = connection.next_send(&mut room);
        connection.sent(START, &settings, given);
    }
    assert!(connection.wants_read());
    assert_eq!(connection.settle().level, Some(QueueLevel::Low));
    drain(&mut connection, START, &settings);
    assert_eq!(connection.settle().level, None);
    assert_eq!(connection.heap_bytes(), 0);
}

#[test]
fn a_queue_above_its_maximum_is_dropped_and_closed_with_4101() {
    let settings = settings();
    let mut connection = open(START, &settings);
    let event = frame(&"e".repeat(9_999));
    connection.queue(START, &settings, Arc::clone(&event));
    // Half of the first frame is out and the socket is full.
    let mut room = vec![0; 5_000];
    let given = connection.next_send(&mut room);
    let mut out = room[..given].to_vec();
    connection.sent(START, &settings, given);
    while connection.is_open() {
        connection.queue(START, &settings, Arc::clone(&event));
        assert!(connection.queued_bytes() <= settings.send_queue_bytes_max as usize);
    }
    assert_eq!(connection.settle().end, Some(EndReason::SendQueueFull));
    assert_eq!(Arc::strong_count(&event), 2, "only the frame that has begun to go out is kept");
    assert!(connection.heap_bytes() < 1_000);
    out.extend(drain(&mut connection, START, &settings));
    assert_eq!(heard(&out), [Heard::Text("e".repeat(9_999)), Heard::Close(Some(4101))]);
}

#[test]
fn a_reader_that_never_reads_is_closed_after_the_stall_time() {
    let settings = settings();
    let mut connection = open(START, &settings);
    connection.queue(START, &settings, frame("first"));
    connection.queue(START, &settings, frame("second"));
    let mut room = [0; 100];
    assert_eq!(connection.next_send(&mut room), 15);
    connection.sent(at(1), &settings, 4);
    assert!(connection.wants_write());
    assert_eq!(connection.next_send(&mut room), 0, "nothing while the socket is blocked");
    assert_eq!(connection.next_deadline(), at(25));
    // The heartbeat is due before, and its ping waits behind the frame that has begun.
    connection.on_deadline(at(25), &settings);
    assert_eq!(connection.settle().deadline, Some(at(31)));
    connection.on_deadline(at(31), &settings);
    let settled = connection.settle();
    assert_eq!((settled.end, settled.deadline), (Some(EndReason::SendStalled), Some(at(36))));
    connection.writable();
    let mut out = room[..4].to_vec();
    out.extend(drain(&mut connection, at(32), &settings));
    assert_eq!(heard(&out), [Heard::Text("first".to_owned()), Heard::Close(Some(4101))]);
}

#[test]
fn progress_moves_the_stall_time() {
    let settings = Settings { heartbeat_nanos: 1_000 * SECOND, ..settings() };
    let mut connection = open(START, &settings);
    connection.queue(START, &settings, frame(&"x".repeat(100)));
    let mut room = [0; 2];
    for step in 0..50 {
        connection.writable();
        assert_eq!(connection.next_send(&mut room), 2);
        connection.sent(at(20 * step), &settings, 1);
        connection.on_deadline(at(20 * step), &settings);
        assert_eq!(connection.settle().end, None);
    }
    connection.writable();
    connection.next_send(&mut room);
    connection.send_blocked(at(1_000), &settings);
    assert!(connection.wants_write());
    connection.on_deadline(at(20 * 49 + 30), &settings);
    assert_eq!(connection.settle().end, Some(EndReason::SendStalled));
}

#[test]
fn a_flood_of_pings_costs_the_bytes_of_its_pongs() {
    let settings = settings();
    let mut connection = open(START, &settings);
    let flood: Vec<u8> = (0..10_000).flat_map(|_| client(Opcode::Ping, b"")).collect();
    let seen = receive(&mut connection, START, &settings, &flood);
    assert_eq!(seen.len(), 10_000);
    assert_eq!(connection.queued_bytes(), 20_000);
    assert!(connection.heap_bytes() < 3 * 20_000, "{}", connection.heap_bytes());
    assert_eq!(heard_of(&mut connection, &settings).len(), 10_000);
}

#[test]
fn control_frames_go_between_frames_never_inside_one() {
    let settings = settings();
    let mut connection = open(START, &settings);
    for text in ["one", "two", "three"] {
        connection.queue(START, &settings, frame(text));
    }
    let mut room = [0; 2];
    assert_eq!(connection.next_send(&mut room), 2);
    connection.sent(START, &settings, 2);
    receive(&mut connection, START, &settings, &client(Opcode::Ping, b"?"));
    let mut out = room.to_vec();
    out.extend(drain(&mut connection, START, &settings));
    let text = |text: &str| Heard::Text(text.to_owned());
    assert_eq!(heard(&out), [text("one"), Heard::Pong(b"?".to_vec()), text("two"), text("three")]);
}

#[test]
fn random_bytes_never_panic_and_always_end_within_limits() {
    let settings = Settings { frame_bytes_max: 2_000, ..settings() };
    for seed in 0..3_000 {
        let mut draw = Draw(seed);
        let mut connection =
            if seed % 2 == 0 { open(START, &settings) } else { Connection::new(START, &settings) };
        for step in 0..20 {
            let mut bytes: Vec<u8> = (0..draw.below(200)).map(|_| draw.below(256) as u8).collect();
            if draw.below(2) == 0 {
                bytes = client([Opcode::Text, Opcode::Ping, Opcode::Close][draw.below(3)], &bytes);
                bytes.truncate(1 + draw.below(bytes.len()));
            }
            receive(&mut connection, at(step), &settings, &bytes);
            let settled = connection.settle();
            if settled.output && draw.below(2) == 0 {
                let mut room = [0; 50];
                let given = connection.next_send(&mut room);
                connection.sent(at(step), &settings, draw.below(given + 1));
            }
            connection.writable();
            connection.on_deadline(at(step * 10), &settings);
            assert!(connection.heap_bytes() < 20_000);
        }
    }
}
