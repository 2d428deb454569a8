//! Messages of which the carrier may still tell something.
//!
//! Thread: any; the lock is held for a few map operations. A message is known by a random reference in the URL that the carrier is
//! given with it, before the carrier is asked: so a report that is faster than the answer finds it, and so does one of a message
//! whose answer was lost. The table is in memory: after a restart, and for what is older than [`TRACKED_TIME`], reports are of
//! unknown messages.
//!
//! Limits: [`TRACKED_MAX`]; beyond it the oldest one is forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lynk_auth::{CodeRequest, SmsCallError, SmsReport};
use tokio::time::Instant;

/// Messages that are known at a time.
pub const TRACKED_MAX: usize = 16_384;
/// How long one is known. Reports come within seconds mostly, and within hours where a telephone is off.
const TRACKED_TIME: Duration = Duration::from_secs(4 * 60 * 60);

/// What a carrier tells, in the order of the metric's label.
pub(crate) const STATUSES: [&str; 8] =
    ["accepted", "queued", "sending", "sent", "delivered", "undelivered", "failed", "other"];
const DELIVERED: usize = 4;
const UNDELIVERED: usize = 5;
const FAILED: usize = 6;
/// The places of statuses after which nothing follows, as bits.
const FINAL: u8 = 1 << DELIVERED | 1 << UNDELIVERED | 1 << FAILED;

/// The place of a status.
pub(crate) fn status_of(text: &[u8]) -> usize {
    let other = STATUSES.len() - 1;
    STATUSES[..other].iter().position(|one| one.as_bytes() == text).unwrap_or(other)
}

/// Names a message to the carrier.
pub(crate) type Reference = [u8; 16];

/// A reference as it is in an URL.
pub(crate) fn reference_text(reference: Reference) -> String {
    format!("{:032x}", u128::from_be_bytes(reference))
}

fn reference_of(text: &str) -> Option<Reference> {
    let strict = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    strict.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[derive(Clone, Copy, Debug)]
struct Message {
    request: CodeRequest,
    /// Statuses that were told, as bits.
    told: u8,
}

#[derive(Default)]
struct Table {
    messages: HashMap<Reference, Message>,
    /// By age.
    order: VecDeque<(Instant, Reference)>,
}

/// The messages.
#[derive(Default)]
pub(crate) struct Tracked(Mutex<Table>);

impl Tracked {
    /// Remembers a message; how many there are now.
    pub(crate) fn add(&self, now: Instant, reference: Reference, request: CodeRequest) -> usize {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, oldest)) = table.order.front().copied() {
            if now.duration_since(since) < TRACKED_TIME && table.order.len() < TRACKED_MAX {
                break;
            }
            table.order.pop_front();
            table.messages.remove(&oldest);
        }
        table.order.push_back((now, reference));
        table.messages.insert(reference, Message { request, told: 0 });
        table.messages.len()
    }

    /// Takes a status of a message. Reports may overtake each other; what is told after the end changes nothing.
    pub(crate) fn tell(&self, reference: &str, status: usize) -> Result<SmsReport, SmsCallError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = reference_of(reference).and_then(|reference| table.messages.get_mut(&reference));
        let message = message.ok_or(SmsCallError::UnknownMessage)?;
        let bit = 1 << status;
        if message.told & bit != 0 {
            return Err(SmsCallError::Replayed);
        }
        let ended = message.told & FINAL != 0;
        message.told |= bit;
        let lost = matches!(status, UNDELIVERED | FAILED) && !ended;
        Ok(if lost { SmsReport::Lost(message.request) } else { SmsReport::Noted })
    }
}

#[cfg(test)]
mod tests {
    use lynk_telemetry::Metric;

    use super::*;

    const REQUEST: CodeRequest = CodeRequest([7; 16]);

    fn tell(tracked: &Tracked, reference: Reference, status: &str) -> Result<SmsReport, SmsCallError> {
        tracked.tell(&reference_text(reference), status_of(status.as_bytes()))
    }

    #[test]
    fn statuses_are_the_label_values_of_the_metric() {
        assert_eq!(Metric::SmsStatuses.label().expect("a label").values, STATUSES);
        for (place, name) in
            [(DELIVERED, "delivered"), (UNDELIVERED, "undelivered"), (FAILED, "failed"), (7, "read")]
        {
            assert_eq!(status_of(name.as_bytes()), place);
        }
    }

    #[test]
    fn a_message_is_lost_once_and_only_before_its_end() {
        let tracked = Tracked::default();
        let now = Instant::now();
        for reference in [[1; 16], [2; 16]] {
            tracked.add(now, reference, REQUEST);
        }
        for status in ["queued", "sent", "sending"] {
            assert_eq!(tell(&tracked, [1; 16], status), Ok(SmsReport::Noted), "in any order");
        }
        assert_eq!(tell(&tracked, [1; 16], "undelivered"), Ok(SmsReport::Lost(REQUEST)));
        assert_eq!(tell(&tracked, [1; 16], "undelivered"), Err(SmsCallError::Replayed));
        assert_eq!(tell(&tracked, [1; 16], "failed"), Ok(SmsReport::Noted), "it was lost before");
        assert_eq!(tell(&tracked, [2; 16], "delivered"), Ok(SmsReport::Noted));
        assert_eq!(tell(&tracked, [2; 16], "failed"), Ok(SmsReport::Noted), "it has arrived");
        assert_eq!(tell(&tracked, [3; 16], "sent"), Err(SmsCallError::UnknownMessage));
        for text in ["", "01", &"0".repeat(33), &"G".repeat(32), &"A".repeat(32), &"+".repeat(32)] {
            assert_eq!(tracked.tell(text, 0), Err(SmsCallError::UnknownMessage), "{text}");
        }
    }

    #[test]
    fn what_is_known_is_bounded_by_number_and_by_age() {
        let tracked = Tracked::default();
        let now = Instant::now();
        let reference = |n: usize| (n as u128).to_be_bytes();
        for n in 0..TRACKED_MAX {
            assert_eq!(tracked.add(now, reference(n), REQUEST), n + 1);
        }
        assert_eq!(tracked.add(now, reference(TRACKED_MAX), REQUEST), TRACKED_MAX);
        assert_eq!(tell(&tracked, reference(0), "sent"), Err(SmsCallError::UnknownMessage), "the oldest");
        assert_eq!(tell(&tracked, reference(1), "sent"), Ok(SmsReport::Noted));
        assert_eq!(tracked.add(now + TRACKED_TIME, reference(1 << 20), REQUEST), 1);
    }
}
