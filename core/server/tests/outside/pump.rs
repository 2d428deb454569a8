//! Somebody who posts without end, and remembers what was acknowledged.

#![allow(dead_code, reason = "each test target uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Chatter, Server, key};

/// What was acknowledged: seq and text.
pub(crate) type Acked = Vec<(u64, String)>;

/// A running poster.
pub(crate) struct Pump {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    /// Whether it may end with its connection.
    last: Arc<AtomicBool>,
    thread: JoinHandle<(Chatter, Acked)>,
}

/// Repeats a command with its key until it is done.
pub(crate) fn insist(chatter: &mut Chatter, command: &Value) -> Value {
    loop {
        let answer = chatter.ask(command.clone());
        if answer["ev"] != "error" {
            return answer;
        }
        assert_eq!(answer["retryable"], true, "{answer}");
        let pause = answer["retry_after_ms"].as_u64().unwrap_or(20).clamp(5, 200);
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// As [`insist`]; `None` when the connection is closed and may be.
fn insist_while(chatter: &mut Chatter, command: &Value, may_end: &AtomicBool) -> Option<Value> {
    loop {
        let Some(answer) = chatter.try_ask(command.clone()) else {
            assert!(may_end.load(Ordering::Relaxed), "closed: {:?}", chatter.closed);
            return None;
        };
        if answer["ev"] != "error" {
            return Some(answer);
        }
        assert_eq!(answer["retryable"], true, "{answer}");
        let pause = answer["retry_after_ms"].as_u64().unwrap_or(20).clamp(5, 200);
        std::thread::sleep(Duration::from_millis(pause));
    }
}

impl Pump {
    /// Posts in `room` from now on.
    pub(crate) fn start(mut chatter: Chatter, room: &str) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (flag, counted, room) = (Arc::clone(&stop), Arc::clone(&count), room.to_owned());
        let last = Arc::new(AtomicBool::new(false));
        let may_end = Arc::clone(&last);
        let thread = std::thread::spawn(move || {
            let mut acked = Acked::new();
            while !flag.load(Ordering::Relaxed) {
                let text = format!("message {}", acked.len());
                let send = json!({"op": "send", "room": room, "key": key().to_string(), "text": text});
                let Some(ok) = insist_while(&mut chatter, &send, &may_end) else { break };
                acked.push((ok["seq"].as_u64().expect("a number"), text));
                counted.store(acked.len(), Ordering::Relaxed);
                chatter.events.clear();
            }
            (chatter, acked)
        });
        Self { stop, count, last, thread }
    }

    /// How many are acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until so many more are acknowledged.
    pub(crate) fn wait_more(&self, more: usize) {
        let goal = self.count.load(Ordering::Relaxed) + more;
        while self.count.load(Ordering::Relaxed) < goal {
            assert!(!self.thread.is_finished(), "the poster failed");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it post until its server closes the connection, or is gone; the answer waits for that, and tells what was acknowledged.
    pub(crate) fn until_closed(self) -> impl FnOnce() -> Acked {
        self.last.store(true, Ordering::Relaxed);
        move || self.thread.join().expect("it ends with its connection").1
    }

    /// Ends it; what was acknowledged.
    pub(crate) fn stop(self) -> (Chatter, Acked) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every answer is an acknowledgement, or an error that may be retried")
    }
}

/// Asserts that the room holds what was acknowledged, once each, in order, and no other text.
pub(crate) fn assert_kept(server: &Server, user: lynk_domain::UserId, room: &str, acked: &Acked) {
    let mut reader = Chatter::sign_in_as(server, user, json!([]));
    let log = reader.log(room, 0);
    let kept: Acked = log
        .iter()
        .filter(|event| event["ev"] == "message")
        .map(|event| {
            (event["seq"].as_u64().expect("a number"), event["text"].as_str().expect("a text").to_owned())
        })
        .collect();
    assert_eq!(kept.len(), acked.len(), "{} kept of {} acknowledged", kept.len(), acked.len());
    assert_eq!(&kept, acked);
}
