//! `lynk why`: what became of one message for one person.
//!
//! Thread: `control`. Reads only; a message that the store does not have yet is looked for in the journals, with the drain held for it. What can
//! fail: the stores, and a question about something that is not there, which is an answer.

use std::time::{Duration, Instant};

use lynk_domain::{Lsn, Millis, RoomId, Seq, UserId};
use lynk_journal::Batch;
use lynk_model::SourceId;
use lynk_model::notify::{Known, PushState, Reason};
use lynk_model::port::MessageStore;
use lynk_model::{ReadState, StoredBody};
use lynk_push::{Asked, PushDesk};
use lynk_store::{Tap, TapEnded};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure};

/// Longest wait for the drain to be held.
const HOLD_WAIT: Duration = Duration::from_secs(5);
/// Records of journals that are looked through, at most.
const RECORDS_MAX: u64 = 1_000_000;

/// What a message is, as far as the stores know.
#[derive(Clone, Copy, Debug)]
struct Found {
    stored: bool,
    at: Millis,
    sender: UserId,
}

/// The question's room, seq and user.
///
/// # Errors
/// It is none.
pub(crate) fn question(asked: &Value) -> Result<(RoomId, Seq, UserId), Failure> {
    let text = |name: &str| asked[name].as_str().unwrap_or_default();
    let wrong = || {
        Failure::new(Exit::Usage, "a message is named as ROOM/SEQ, a person by the id of the user")
            .cure("both are in every event: lynk why 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/17 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0f")
    };
    let (room, seq) = text("message").split_once('/').ok_or_else(wrong)?;
    let seq: u64 = seq.parse().map_err(|_| wrong())?;
    let (Some(room), Some(user)) = (RoomId::parse(room), UserId::parse(text("user"))) else {
        return Err(wrong());
    };
    Ok((room, Seq(seq), user))
}

/// Answers.
///
/// # Errors
/// A store does not answer.
pub(crate) fn why<M: MessageStore>(
    asked: &Value,
    messages: &M,
    runtime: &Runtime,
    tap: &mut Tap,
    desk: Option<&PushDesk>,
) -> Result<Value, Failure> {
    let (room, seq, user) = question(asked)?;
    let event = runtime.block_on(messages.event(room, seq)).map_err(|error| unreadable(&error))?;
    let event = event.filter(|event| matches!(event.body, StoredBody::Message(_)));
    let stored = event.map(|event| Found { stored: true, at: event.wall, sender: event.sender });
    let found = match stored {
        Some(found) => Some(found),
        None => journaled(tap, room, seq)?,
    };
    let read = runtime.block_on(messages.read_state(room, user)).map_err(|error| unreadable(&error))?;
    let told = desk.map(|desk| desk.why(user, room, seq)).transpose().map_err(|asked| match asked {
        Asked::Busy | Asked::Ended => Failure::dependency("the server is busy or ending"),
        Asked::Store(_) => Failure::dependency("the store of notifications does not answer"),
    })?;
    let push = told.as_ref().map(|(known, active)| push_of(known, *active, seq, found));
    Ok(json!({
        "room": room.to_string(), "seq": seq.0, "user": user.to_string(),
        "accepted": found.is_some(), "committed": found.is_some(), "stored": found.is_some_and(|found| found.stored),
        "at_unix_millis": found.map(|found| found.at.0), "sender": found.map(|found| found.sender.to_string()),
        "delivered": delivered(read, seq), "push": push,
    }))
}

fn unreadable(error: &lynk_model::StoreError) -> Failure {
    Failure::dependency(format!("the message log cannot be read: {error:?}"))
}

/// Looks through what journals hold beyond the store.
fn journaled(tap: &mut Tap, room: RoomId, seq: Seq) -> Result<Option<Found>, Failure> {
    let ended = |TapEnded| Failure::dependency("the server is ending");
    let (mut holding, begun) = (tap.hold_drain().map_err(ended)?, Instant::now());
    let cursors: Vec<(SourceId, Lsn)> = loop {
        if let Some(cursors) = holding.held().map_err(ended)? {
            break cursors;
        }
        if begun.elapsed() > HOLD_WAIT {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let (last, mut batch, mut left) = (tap.committed(&cursors), Batch::default(), RECORDS_MAX);
    for ((source, drained), (_, last)) in cursors.iter().zip(&last) {
        let mut after = *drained;
        while after < *last && left > 0 && holding.still() {
            tap.read(*source, after, *last, &mut batch).map_err(|error| unreadable(&error))?;
            if batch.is_empty() {
                break;
            }
            left = left.saturating_sub(batch.last().0.saturating_sub(after.0));
            after = batch.last();
            let is = |head: &lynk_model::RecordHead| {
                head.room == room && head.seq == seq && head.kind == lynk_model::RecordKind::Message
            };
            if let Some(record) = batch.records().into_iter().find(|record| is(&record.head)) {
                let head = record.head;
                return Ok(Some(Found { stored: false, at: head.wall, sender: head.sender }));
            }
        }
    }
    Ok(None)
}

/// What receipts tell: they are of the person, not of single devices.
fn delivered(read: Option<ReadState>, seq: Seq) -> Value {
    let state = read.unwrap_or(ReadState { user: UserId::NIL, round: 0, read: Seq(0), delivered: Seq(0) });
    json!({
        "delivered": state.delivered >= seq || state.read >= seq, "read": state.read >= seq,
        "delivered_up_to": state.delivered.0, "read_up_to": state.read.0,
    })
}

fn push_of(known: &Known, active: bool, seq: Seq, found: Option<Found>) -> Value {
    let pushes: Vec<Value> = known
        .pushes
        .iter()
        .map(|push| {
            json!({
                "push": push.id.to_string(), "session": push.session.to_string(), "state": push.state.word(),
                "cause": push.cause.word(), "dropped": push.dropped.map(Reason::word), "attempts": push.attempts,
                "up_to_seq": push.upto.0, "messages": push.messages, "at_unix_millis": push.at.0,
            })
        })
        .collect();
    let devices: Vec<Value> = known
        .devices
        .iter()
        .map(|device| {
            json!({
                "session": device.session.to_string(), "platform": device.platform.word(),
                "provider": device.provider.word(), "created_unix_millis": device.created.0,
                "last_ok_unix_millis": device.last_ok.map(|at| at.0),
            })
        })
        .collect();
    let (outcome, reason) = outcome(known, seq, found);
    json!({
        "outcome": outcome, "reason": reason, "connected_now": active, "pushes": pushes, "devices": devices,
        "waits_until_unix_millis": waits(known, seq).map(|at| at.0), "taken_up_to_seq": known.taken.0,
    })
}

/// When what waits is pushed, if it is of this message.
fn waits(known: &Known, seq: Seq) -> Option<Millis> {
    let wanted = &known.pending.as_ref().filter(|pending| pending.wanted.messages > 0)?.wanted;
    (wanted.from <= seq && seq <= wanted.upto).then_some(wanted.due)
}

/// In one word what became of it, and why.
fn outcome(known: &Known, seq: Seq, found: Option<Found>) -> (&'static str, &'static str) {
    let decided = known.decision.map(|decision| decision.reason);
    if let Some(reason) = decided.filter(|reason| *reason != Reason::Wanted) {
        return ("not_pushed", reason.word());
    }
    if let Some(push) = known.pushes.iter().min_by_key(|push| match push.state {
        PushState::Sent => 0,
        PushState::Claimed => 1,
        PushState::Waiting => 2,
        PushState::Unknown => 3,
        PushState::Dead => 4,
        PushState::Unregistered => 5,
        PushState::Dropped => 6,
    }) {
        let why = push.dropped.map_or(push.cause.word(), Reason::word);
        return match push.state {
            PushState::Sent => ("pushed", "wanted"),
            PushState::Claimed => ("being_pushed", "wanted"),
            PushState::Waiting => ("tried_again", why),
            PushState::Unknown => ("perhaps_pushed", "the process died while it sent it"),
            PushState::Dead => ("given_up", why),
            PushState::Unregistered => ("not_pushed", "unregistered"),
            PushState::Dropped => ("not_pushed", why),
        };
    }
    if waits(known, seq).is_some() {
        return ("waits", "the window of the room's last notification is open");
    }
    if decided.is_some() {
        return ("forgotten", "it was wanted; what became of it is not kept any more");
    }
    let since = known.devices.iter().map(|device| device.created).min();
    match found {
        None => ("not_pushed", "there is no such message"),
        Some(found) if since.is_none_or(|since| since > found.at) => ("not_pushed", Reason::NoDevice.word()),
        Some(_) if known.taken < seq => ("waits", "notifications have not come to it yet"),
        Some(_) => ("not_pushed", "no member then, or it is not kept any more"),
    }
}

/// The answer for people.
pub(crate) fn text(told: &Value) -> String {
    let yes = |value: &Value| if value == true { "yes" } else { "no" };
    let mut out = format!(
        "message {}/{} for {}\naccepted: {}\ncommitted: {}\nstored: {}\ndelivered: {} (up to {})\nread: {} (up to {})\n",
        told["room"].as_str().unwrap_or_default(),
        told["seq"],
        told["user"].as_str().unwrap_or_default(),
        yes(&told["accepted"]),
        yes(&told["committed"]),
        yes(&told["stored"]),
        yes(&told["delivered"]["delivered"]),
        told["delivered"]["delivered_up_to"],
        yes(&told["delivered"]["read"]),
        told["delivered"]["read_up_to"],
    );
    let push = &told["push"];
    if push.is_null() {
        out.push_str("notification: this server sends none\n");
        return out;
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    out.push_str(&format!("notification: {}: {}\n", word(&push["outcome"]), word(&push["reason"])));
    out.push_str(&format!("connected now: {}\n", yes(&push["connected_now"])));
    for one in push["pushes"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "  push {} to session {}: {} ({}), {} tries, up to seq {}\n",
            word(&one["push"]),
            word(&one["session"]),
            word(&one["state"]),
            word(&one["cause"]),
            one["attempts"],
            one["up_to_seq"],
        ));
    }
    for one in push["devices"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "  device of session {}: {} by {}\n",
            word(&one["session"]),
            word(&one["platform"]),
            word(&one["provider"])
        ));
    }
    out
}
