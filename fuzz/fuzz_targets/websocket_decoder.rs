//! The decoder gives the same events and the same error however its input is cut, hands out nothing above its limit,
//! and keeps no memory when nothing is partial.
//!
//! Input: role (1 byte), seed of the cuts (1 byte), then the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lynk_websocket::{DecodeError, Decoder, Event, Role};

const LIMIT: u32 = 300;

#[derive(PartialEq, Debug)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(DecodeError),
}

fn decode(role: Role, stream: &[u8], mut next_cut: impl FnMut(usize) -> usize) -> Vec<Seen> {
    let mut decoder = Decoder::new(role, LIMIT);
    let mut seen = Vec::new();
    let mut stream = stream.to_vec();
    let mut rest = stream.as_mut_slice();
    while !rest.is_empty() {
        let cut = next_cut(rest.len()).clamp(1, rest.len());
        let (mut chunk, later) = rest.split_at_mut(cut);
        rest = later;
        loop {
            let step = match decoder.decode(chunk) {
                Ok(step) => step,
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return seen;
                }
            };
            let consumed = step.consumed;
            seen.push(match step.event {
                None => {
                    assert_eq!(consumed, chunk.len());
                    break;
                }
                Some(Event::Text(text)) => Seen::Text(text.to_owned()),
                Some(Event::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
                Some(Event::Ping(bytes)) => Seen::Ping(bytes.to_vec()),
                Some(Event::Pong(bytes)) => Seen::Pong(bytes.to_vec()),
                Some(Event::Close(close)) => Seen::Close(close.code, close.reason.to_owned()),
            });
            match seen.last() {
                Some(Seen::Text(text)) => assert!(text.len() <= LIMIT as usize),
                Some(Seen::Binary(bytes)) => assert!(bytes.len() <= LIMIT as usize),
                _ => {}
            }
            chunk = &mut chunk[consumed..];
        }
        assert!(decoder.is_partial() || decoder.heap_bytes() == 0);
        assert!(decoder.heap_bytes() <= LIMIT as usize + 512);
    }
    seen
}

fuzz_target!(|data: &[u8]| {
    let [role, seed, stream @ ..] = data else { return };
    let role = if role & 1 == 0 { Role::Server } else { Role::Client };
    let whole = decode(role, stream, |left| left);
    let bytewise = decode(role, stream, |_| 1);
    assert_eq!(whole, bytewise);
    let mut state = u32::from(*seed) | 0x100;
    let cut = decode(role, stream, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize % 23
    });
    assert_eq!(whole, cut);
});
