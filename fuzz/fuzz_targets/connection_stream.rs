//! A connection's whole byte stream: the same events, the same replies and the same end however it is cut; whatever is
//! queued meanwhile comes out whole and in order, whatever the socket takes of it.
//!
//! Input: flags (1 byte), seed (1 byte), then the stream. Flag 1: a valid upgrade is put in front of it. Flag 2: binary
//! messages are allowed. Flag 4: plain requests are handed over.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lynk_connection::{Connection, EndReason, Event, Settings};
use lynk_domain::{Limits, Nanos};
use lynk_http::{Policy, UpgradeRequest, encode_upgrade_request};

#[derive(PartialEq, Debug)]
enum Seen {
    Upgraded(bool),
    Text(String),
    Binary(Vec<u8>),
    /// A plain request, and everything that its taker reads from then on.
    Request(Vec<u8>),
}

#[derive(PartialEq, Debug)]
struct Outcome {
    seen: Vec<Seen>,
    /// Everything the connection sent.
    output: Vec<u8>,
    end: Option<EndReason>,
}

/// Runs the stream; `next` draws sizes of reads and writes.
fn run(settings: &Settings, stream: &[u8], mut next: impl FnMut(usize) -> usize) -> Outcome {
    let now = Nanos(1);
    let mut connection = Connection::new(now, settings);
    let mut outcome = Outcome { seen: Vec::new(), output: Vec::new(), end: None };
    let mut stream = stream.to_vec();
    let mut rest = stream.as_mut_slice();
    'stream: while !rest.is_empty() {
        let cut = next(rest.len()).clamp(1, rest.len());
        let (mut chunk, later) = rest.split_at_mut(cut);
        rest = later;
        loop {
            let step = connection.receive(now, settings, chunk);
            let consumed = step.consumed;
            match step.event {
                None => {
                    assert_eq!(consumed, chunk.len());
                    break;
                }
                Some(Event::Upgraded { subprotocol }) => outcome.seen.push(Seen::Upgraded(subprotocol)),
                Some(Event::Text(text)) => outcome.seen.push(Seen::Text(text.to_owned())),
                Some(Event::Binary(bytes)) => outcome.seen.push(Seen::Binary(bytes.to_vec())),
                Some(Event::Request) => {
                    connection.hand_over();
                    let mut taken = connection.take_request();
                    taken.extend_from_slice(rest);
                    outcome.seen.push(Seen::Request(taken));
                    outcome.end = connection.settle().end;
                    break 'stream;
                }
                Some(Event::Client(_) | Event::Handled) => {}
            }
            chunk = &mut chunk[consumed..];
        }
        let settled = connection.settle();
        outcome.end = outcome.end.or(settled.end);
        let mut room = [0; 64];
        let given = connection.next_send(&mut room);
        if given > 0 {
            let taken = next(given) % (given + 1);
            outcome.output.extend_from_slice(&room[..taken]);
            connection.sent(now, settings, taken);
        }
    }
    loop {
        connection.writable();
        let mut room = [0; 4096];
        let given = connection.next_send(&mut room);
        if given == 0 {
            break;
        }
        outcome.output.extend_from_slice(&room[..given]);
        connection.sent(now, settings, given);
    }
    outcome
}

fuzz_target!(|data: &[u8]| {
    let [flags, seed, stream @ ..] = data else { return };
    let mut settings = Settings::new(&Limits::default(), Policy::default());
    settings.frame_bytes_max = 300;
    settings.binary = flags & 2 != 0;
    settings.requests = flags & 4 != 0;
    let mut bytes = Vec::new();
    if flags & 1 != 0 {
        let request = UpgradeRequest { host: "chat.example", path: "/ws", nonce: [7; 16], origin: None };
        encode_upgrade_request(&mut bytes, &request);
    }
    bytes.extend_from_slice(stream);
    let whole = run(&settings, &bytes, |left| left);
    let bytewise = run(&settings, &bytes, |_| 1);
    assert_eq!(whole, bytewise);
    let mut state = u32::from(*seed) | 0x100;
    let cut = run(&settings, &bytes, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize % 37
    });
    assert_eq!(whole, cut);
});
