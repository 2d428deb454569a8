use super::*;
use crate::{Control, encode_client_frame, encode_server_header};

const LIMIT: u32 = 1_000;

/// An event that owns its bytes, or the error that ended the stream.
#[derive(Clone, PartialEq, Debug)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(DecodeError),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Event::Close(close) => Self::Close(close.code, close.reason.to_owned()),
        }
    }
}

/// Feeds one buffer; returns whether the stream may go on.
fn feed(decoder: &mut Decoder, chunk: &[u8], seen: &mut Vec<Seen>) -> bool {
    let mut chunk = chunk.to_vec();
    let mut rest = chunk.as_mut_slice();
    loop {
        match decoder.decode(rest) {
            Err(error) => {
                seen.push(Seen::Error(error));
                return false;
            }
            Ok(Decoded { event: None, consumed }) => {
                assert_eq!(consumed, rest.len(), "without an event all input is taken");
                return true;
            }
            Ok(Decoded { event: Some(event), consumed }) => {
                seen.push(event.into());
                rest = &mut rest[consumed..];
            }
        }
    }
}

fn decode_pieces<'a>(role: Role, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = Decoder::new(role, LIMIT);
    let mut seen = Vec::new();
    for piece in pieces {
        if !feed(&mut decoder, piece, &mut seen) {
            assert_eq!(decoder.heap_bytes(), 0, "an error frees everything");
            break;
        }
        assert!(decoder.is_partial() || decoder.heap_bytes() == 0, "an idle decoder holds nothing");
    }
    seen
}

/// Decodes a client's stream whole, byte by byte, and cut once at every place; all must agree.
fn decode(stream: &[u8]) -> Vec<Seen> {
    decode_as(Role::Server, stream)
}

fn decode_as(role: Role, stream: &[u8]) -> Vec<Seen> {
    let whole = decode_pieces(role, std::iter::once(stream));
    assert_eq!(decode_pieces(role, stream.chunks(1)), whole, "byte by byte");
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(decode_pieces(role, [left, right].into_iter()), whole, "cut at {cut}");
    }
    whole
}

fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_client_frame(&mut out, fin, opcode, payload, [0x37, 0xfa, 0x21, 0x3d]);
    out
}

fn text(payload: &str) -> Vec<u8> {
    frame(true, Opcode::Text, payload.as_bytes())
}

/// The definition, as slow and plain as possible: the whole stream at once, no incremental state.
fn decode_naively(stream: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut message: Option<(u8, Vec<u8>)> = None;
    let mut at = 0;
    loop {
        let byte = |offset: usize| stream.get(at + offset).copied();
        let Some(first) = byte(0) else { return seen };
        let (fin, opcode) = (first >= 0x80, first & 0x0f);
        let fail = |seen: &mut Vec<Seen>, error| seen.push(Seen::Error(error));
        let broken = match (first & 0x70, opcode, &message) {
            (1.., ..) => Some(DecodeError::ReservedBits),
            (_, 3..=7 | 11..=15, _) => Some(DecodeError::ReservedOpcode),
            (_, 0, None) => Some(DecodeError::UnexpectedContinuation),
            (_, 1 | 2, Some(_)) => Some(DecodeError::MessageUnfinished),
            (_, 8.., _) if !fin => Some(DecodeError::ControlFragmented),
            _ => None,
        };
        if let Some(error) = broken {
            fail(&mut seen, error);
            return seen;
        }
        let Some(second) = byte(1) else { return seen };
        if second < 0x80 {
            fail(&mut seen, DecodeError::Unmasked);
            return seen;
        }
        let wide = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if opcode >= 8 && wide > 0 {
            fail(&mut seen, DecodeError::ControlTooLong);
            return seen;
        }
        let mut length = u64::from(second & 0x7f);
        if wide > 0 {
            if stream.len() < at + 2 + wide {
                return seen;
            }
            length = stream[at + 2..at + 2 + wide].iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
            let least = if wide == 2 { 126 } else { 65_536 };
            if length < least || length >= 1 << 63 {
                fail(&mut seen, DecodeError::LengthMalformed);
                return seen;
            }
        }
        let before = message.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64);
        if opcode < 8 && before + length > u64::from(LIMIT) {
            fail(&mut seen, DecodeError::MessageTooLarge);
            return seen;
        }
        let start = at + 2 + wide + 4;
        if stream.len() < start {
            return seen;
        }
        let key = &stream[start - 4..start];
        let have = &stream[start..stream.len().min(start + length as usize)];
        let payload: Vec<u8> = have.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
        let complete = payload.len() as u64 == length;
        at = start + payload.len();
        if opcode < 8 {
            let (kind, mut bytes) = message.take().unwrap_or((opcode, Vec::new()));
            bytes.extend_from_slice(&payload);
            let bad = match std::str::from_utf8(&bytes) {
                Ok(_) => false,
                Err(error) => error.error_len().is_some() || (fin && complete),
            };
            if kind == 1 && bad {
                fail(&mut seen, DecodeError::InvalidUtf8);
                return seen;
            }
            if !complete {
                return seen;
            }
            match (fin, kind) {
                (false, _) => message = Some((kind, bytes)),
                (true, 1) => seen.push(Seen::Text(String::from_utf8(bytes).unwrap())),
                (true, _) => seen.push(Seen::Binary(bytes)),
            }
            continue;
        }
        if !complete {
            return seen;
        }
        match opcode {
            9 => seen.push(Seen::Ping(payload)),
            10 => seen.push(Seen::Pong(payload)),
            _ => {
                seen.push(match payload.as_slice() {
                    [] => Seen::Close(None, String::new()),
                    [_] => Seen::Error(DecodeError::CloseTruncated),
                    [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
                        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => {
                            match String::from_utf8(reason.to_vec()) {
                                Ok(reason) => Seen::Close(Some(code), reason),
                                Err(_) => Seen::Error(DecodeError::InvalidUtf8),
                            }
                        }
                        _ => Seen::Error(DecodeError::CloseCodeInvalid),
                    },
                });
                return seen;
            }
        }
    }
}

/// A small generator with a printed seed; the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A stream that is mostly valid, with broken frames, lengths and characters now and then.
fn draw_stream(draw: &mut Draw) -> Vec<u8> {
    let mut out = Vec::new();
    let mut in_message = false;
    for _ in 0..draw.below(8) {
        let wild = draw.below(20) == 0;
        let opcode = match draw.below(8) {
            0 => Opcode::Ping,
            1 => Opcode::Pong,
            2 if draw.below(3) == 0 => Opcode::Close,
            _ if in_message != wild => Opcode::Continuation,
            3 => Opcode::Binary,
            _ => Opcode::Text,
        };
        let fin = opcode.is_control() || draw.below(2) == 0;
        if !opcode.is_control() {
            in_message = !fin;
        }
        let length = match draw.below(6) {
            0 => draw.below(3),
            1 if !opcode.is_control() => 120 + draw.below(12),
            2 if !opcode.is_control() => draw.below(700),
            _ => draw.below(40),
        };
        let mut payload: Vec<u8> = "aé漢🦀".bytes().cycle().skip(draw.below(4)).take(length).collect();
        if opcode == Opcode::Close && length >= 2 {
            let code: u16 = [1000, 1002, 1005, 3000, 4999, 999][draw.below(6)];
            payload[..2].copy_from_slice(&code.to_be_bytes());
        }
        let key = (draw.next() as u32).to_be_bytes();
        let start = out.len();
        encode_client_frame(&mut out, fin, opcode, &payload, key);
        if wild {
            let at = start + draw.below(out.len() - start);
            out[at] ^= 1 << draw.below(8);
        }
    }
    out.truncate(out.len().saturating_sub(draw.below(3)));
    out
}

#[test]
fn random_streams_decode_as_the_definition_says_however_they_are_cut() {
    let mut errors = 0;
    let mut messages = 0;
    for seed in 0..20_000 {
        let mut draw = Draw(seed);
        let stream = draw_stream(&mut draw);
        let expected = decode_naively(&stream);
        assert_eq!(decode_pieces(Role::Server, std::iter::once(&stream[..])), expected, "seed {seed}, whole");
        assert_eq!(decode_pieces(Role::Server, stream.chunks(1)), expected, "seed {seed}, byte by byte");
        let mut rest = stream.as_slice();
        let pieces = std::iter::from_fn(|| {
            let (piece, later) = rest.split_at(draw.below(60).min(rest.len()));
            rest = later;
            (!piece.is_empty() || !rest.is_empty()).then_some(piece)
        });
        assert_eq!(decode_pieces(Role::Server, pieces), expected, "seed {seed}, random cuts");
        errors += usize::from(matches!(expected.last(), Some(Seen::Error(_))));
        messages += expected.len();
    }
    assert!(
        errors > 2_000 && messages > 20_000,
        "{errors} errors, {messages} events: the streams test something"
    );
}

#[test]
fn random_short_streams_cut_at_every_byte() {
    for seed in 100_000..100_300 {
        let stream = draw_stream(&mut Draw(seed));
        assert_eq!(
            decode(&stream[..stream.len().min(400)]),
            decode_naively(&stream[..stream.len().min(400)])
        );
    }
}

#[test]
fn examples_of_the_rfc() {
    // Section 5.7; the server's examples with the client's decoder.
    assert_eq!(
        decode(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]),
        [Seen::Text("Hello".to_owned())]
    );
    assert_eq!(
        decode(&[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]),
        [Seen::Pong(b"Hello".to_vec())]
    );
    let fragmented = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(decode_as(Role::Client, &fragmented), [Seen::Text("Hello".to_owned())]);
    let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    assert_eq!(decode_as(Role::Client, &ping), [Seen::Ping(b"Hello".to_vec())]);
    let mut long = vec![0x82, 0x7e, 0x01, 0x00];
    long.extend_from_slice(&[7; 256]);
    assert_eq!(decode_as(Role::Client, &long), [Seen::Binary(vec![7; 256])]);
}

#[test]
fn masking_is_demanded_of_clients_and_forbidden_to_servers() {
    assert_eq!(decode(&[0x81, 0x00]), [Seen::Error(DecodeError::Unmasked)]);
    assert_eq!(decode_as(Role::Client, &text("x")), [Seen::Error(DecodeError::Masked)]);
}

#[test]
fn reserved_bits_and_opcodes_fail_with_the_first_byte() {
    for first in 0..=u8::MAX {
        let seen = decode(&[first]);
        let expected = match (first & 0x70, first & 0x0f) {
            (1.., _) => Some(DecodeError::ReservedBits),
            (_, 3..=7 | 11..) => Some(DecodeError::ReservedOpcode),
            (_, 0) => Some(DecodeError::UnexpectedContinuation),
            (_, 8..) if first < 0x80 => Some(DecodeError::ControlFragmented),
            _ => None,
        };
        assert_eq!(seen, expected.map(Seen::Error).into_iter().collect::<Vec<_>>(), "{first:#x}");
    }
}

#[test]
fn control_frames_between_fragments_come_first() {
    let mut stream = frame(false, Opcode::Text, "fra".as_bytes());
    stream.extend(frame(true, Opcode::Ping, b"one"));
    stream.extend(frame(false, Opcode::Continuation, b"gmen"));
    stream.extend(frame(true, Opcode::Pong, b""));
    stream.extend(frame(true, Opcode::Ping, b"two"));
    stream.extend(frame(true, Opcode::Continuation, b"ted"));
    stream.extend(text("next"));
    assert_eq!(
        decode(&stream),
        [
            Seen::Ping(b"one".to_vec()),
            Seen::Pong(Vec::new()),
            Seen::Ping(b"two".to_vec()),
            Seen::Text("fragmented".to_owned()),
            Seen::Text("next".to_owned()),
        ]
    );
}

#[test]
fn empty_frames_and_fragments_are_messages() {
    let mut stream = text("");
    stream.extend(frame(true, Opcode::Binary, b""));
    stream.extend(frame(false, Opcode::Text, b""));
    stream.extend(frame(false, Opcode::Continuation, b""));
    stream.extend(frame(true, Opcode::Continuation, b""));
    assert_eq!(
        decode(&stream),
        [Seen::Text(String::new()), Seen::Binary(Vec::new()), Seen::Text(String::new())]
    );
}

#[test]
fn a_message_of_fragments_needs_its_own_order() {
    let mut twice = frame(false, Opcode::Text, b"a");
    twice.extend(frame(true, Opcode::Text, b"b"));
    assert_eq!(decode(&twice), [Seen::Error(DecodeError::MessageUnfinished)]);
    let mut none = text("a");
    none.extend(frame(true, Opcode::Continuation, b"b"));
    assert_eq!(decode(&none), [Seen::Text("a".to_owned()), Seen::Error(DecodeError::UnexpectedContinuation)]);
}

#[test]
fn control_frames_end_at_125_bytes() {
    assert_eq!(decode(&frame(true, Opcode::Ping, &[1; 125])), [Seen::Ping(vec![1; 125])]);
    assert_eq!(decode(&frame(true, Opcode::Ping, &[1; 126])), [Seen::Error(DecodeError::ControlTooLong)]);
}

#[test]
fn the_limit_counts_the_whole_message() {
    let limit = LIMIT as usize;
    assert_eq!(decode(&frame(true, Opcode::Binary, &vec![1; limit])), [Seen::Binary(vec![1; limit])]);
    assert_eq!(
        decode(&frame(true, Opcode::Binary, &vec![1; limit + 1])),
        [Seen::Error(DecodeError::MessageTooLarge)]
    );
    let mut fragments = frame(false, Opcode::Binary, &vec![1; limit - 1]);
    fragments.extend(frame(false, Opcode::Continuation, &[2]));
    let mut fits = fragments.clone();
    fits.extend(frame(true, Opcode::Continuation, b""));
    assert_eq!(decode(&fits).len(), 1);
    fragments.extend(frame(true, Opcode::Continuation, &[3]));
    assert_eq!(decode(&fragments), [Seen::Error(DecodeError::MessageTooLarge)]);
    // The head alone is enough to refuse: nothing waits for, or makes room for, what it announces.
    let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(decode(&huge), [Seen::Error(DecodeError::MessageTooLarge)]);
    assert_eq!(DecodeError::MessageTooLarge.close_code(), 1009);
}

#[test]
fn lengths_are_in_their_shortest_form() {
    for head in [
        &[0x82, 0xfe, 0, 125][..],
        &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(decode(head), [Seen::Error(DecodeError::LengthMalformed)], "{head:x?}");
    }
}

#[test]
fn invalid_text_fails_at_its_first_bad_byte_however_it_arrives() {
    // "κόσμε", then a code point above U+10FFFF, then more text that must not be waited for.
    let payload = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    let whole = frame(true, Opcode::Text, payload);
    assert_eq!(decode(&whole), [Seen::Error(DecodeError::InvalidUtf8)]);
    // Up to and including F4 it may still become valid; with 90 it cannot.
    let head = whole.len() - payload.len();
    let good = head + 12;
    assert_eq!(decode_pieces(Role::Server, std::iter::once(&whole[..good])), []);
    let failed = [Seen::Error(DecodeError::InvalidUtf8)];
    assert_eq!(decode_pieces(Role::Server, std::iter::once(&whole[..good + 1])), failed);
    let mut fragments = frame(false, Opcode::Text, &payload[..12]);
    fragments.extend(frame(false, Opcode::Continuation, &payload[12..13]));
    assert_eq!(decode(&fragments), failed, "across fragments, before the message is complete");
    assert_eq!(DecodeError::InvalidUtf8.close_code(), 1007);
}

#[test]
fn text_may_be_cut_inside_characters_but_must_end_complete() {
    for (payload, valid) in [
        (&b"\xf0\x9f\xa6\x80"[..], true),
        (b"\xed\x9f\xbf\xee\x80\x80", true),
        (b"\xf4\x8f\xbf\xbf", true),
        (b"\xed\xa0\x80", false),
        (b"\xc0\xaf", false),
        (b"\xe0\x80\xaf", false),
        (b"\xf8\x88\x80\x80\x80", false),
        (b"\x80", false),
        (b"abc\xe6\xbc", false),
    ] {
        let single = decode(&frame(true, Opcode::Text, payload));
        let mut pieces = Vec::new();
        for (i, byte) in payload.iter().enumerate() {
            let opcode = if i == 0 { Opcode::Text } else { Opcode::Continuation };
            pieces.extend(frame(i + 1 == payload.len(), opcode, &[*byte]));
        }
        assert_eq!(decode(&pieces), single, "{payload:x?}");
        let expected = match valid {
            true => Seen::Text(std::str::from_utf8(payload).unwrap().to_owned()),
            false => Seen::Error(DecodeError::InvalidUtf8),
        };
        assert_eq!(single, [expected], "{payload:x?}");
    }
}

#[test]
fn binary_is_not_looked_into() {
    assert_eq!(decode(&frame(true, Opcode::Binary, b"\xff\xfe")), [Seen::Binary(vec![0xff, 0xfe])]);
}

#[test]
fn what_follows_a_close_is_ignored() {
    let mut stream = frame(true, Opcode::Close, b"\x03\xe8done");
    stream.extend([0xff; 20]);
    stream.extend(text("late"));
    assert_eq!(decode(&stream), [Seen::Close(Some(1000), "done".to_owned())]);
    let mut inside = frame(false, Opcode::Text, b"half");
    inside.extend(frame(true, Opcode::Close, b""));
    inside.extend(frame(true, Opcode::Continuation, b"late"));
    assert_eq!(decode(&inside), [Seen::Close(None, String::new())]);
}

#[test]
fn every_close_code_is_accepted_or_refused_by_the_table() {
    for code in 0..=5_100u16 {
        let expected = match crate::close_code_valid(code) {
            true => Seen::Close(Some(code), String::new()),
            false => Seen::Error(DecodeError::CloseCodeInvalid),
        };
        let stream = frame(true, Opcode::Close, &code.to_be_bytes());
        assert_eq!(decode_pieces(Role::Server, std::iter::once(&stream[..])), [expected]);
    }
    assert_eq!(decode(&frame(true, Opcode::Close, b"\x03")), [Seen::Error(DecodeError::CloseTruncated)]);
    let bad_reason = [Seen::Error(DecodeError::InvalidUtf8)];
    assert_eq!(decode(&frame(true, Opcode::Close, b"\x03\xe8\xff")), bad_reason);
}

#[test]
fn after_an_error_everything_is_swallowed() {
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    let mut seen = Vec::new();
    assert!(!feed(&mut decoder, &[0x81, 0x00], &mut seen));
    assert!(feed(&mut decoder, &text("late"), &mut seen));
    assert_eq!(seen, [Seen::Error(DecodeError::Unmasked)]);
}

#[test]
fn a_whole_message_is_a_slice_of_the_callers_buffer() {
    let mut buffer = text("first");
    buffer.extend(frame(true, Opcode::Ping, b"p"));
    buffer.extend(text("second"));
    let range = buffer.as_ptr_range();
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    let mut rest = buffer.as_mut_slice();
    let mut messages = 0;
    loop {
        let step = decoder.decode(rest).unwrap();
        let consumed = step.consumed;
        match step.event {
            Some(Event::Text(text)) => {
                messages += 1;
                assert!(range.contains(&text.as_ptr()));
            }
            Some(_) => {}
            None => break,
        }
        rest = &mut rest[consumed..];
        assert_eq!(decoder.heap_bytes(), 0);
    }
    assert_eq!(messages, 2);
}

#[test]
fn memory_follows_what_arrived_and_is_freed_after_the_message() {
    let mut decoder = Decoder::new(Role::Server, 1 << 20);
    let stream = frame(true, Opcode::Binary, &vec![5; 1 << 20]);
    let mut seen = Vec::new();
    assert!(feed(&mut decoder, &stream[..100], &mut seen));
    assert!(decoder.heap_bytes() < 1_000, "{} bytes for a head and a few bytes", decoder.heap_bytes());
    for piece in stream[100..].chunks(10_000) {
        assert!(feed(&mut decoder, piece, &mut seen));
        assert!(decoder.heap_bytes() <= (1 << 20) + 512, "never above the announced length");
    }
    assert_eq!(seen.len(), 1);
    assert_eq!(decoder.heap_bytes(), 0);
}

#[test]
fn what_one_side_encodes_the_other_decodes() {
    for length in [0, 1, 125, 126, 127, 999, 1_000] {
        let payload = "x".repeat(length);
        assert_eq!(decode(&text(&payload)), [Seen::Text(payload.clone())]);
        let mut server = encode_server_header(true, Opcode::Text, length).to_vec();
        server.extend_from_slice(payload.as_bytes());
        assert_eq!(decode_as(Role::Client, &server), [Seen::Text(payload)]);
    }
    let control = [
        (Control::ping(b"a"), Seen::Ping(b"a".to_vec())),
        (Control::pong(b""), Seen::Pong(Vec::new())),
        (Control::close(4101, "slow"), Seen::Close(Some(4101), "slow".to_owned())),
        (Control::close_empty(), Seen::Close(None, String::new())),
    ];
    for (frame, expected) in control {
        assert_eq!(decode_as(Role::Client, &frame), [expected]);
    }
}
