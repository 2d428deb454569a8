//! What operators see of reports, and decide about them.
//!
//! Thread: one of `control`, with a runtime for one question. What can fail: no such report, the store; every failure names its cure.

use lynk_domain::{Millis, RoomId, Seq};
use lynk_model::{REPORT_CHARS_MAX, Report, ReportOutcome, ReportQuery, Resolution};
use lynk_protocol::Reject;
use serde_json::{Value, json};

use crate::accounts::OfRooms;
use crate::exit::{Exit, Failure};
use crate::os;

/// Reports of one answer at most.
const PAGE_MAX: u64 = 100;

/// Answers `list`, `show` and `resolve`.
pub(super) fn answer(rooms: &dyn OfRooms, word: &str, question: &Value) -> Result<Value, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let runtime = runtime.map_err(|error| Failure::dependency(error.to_string()))?;
    let find = |query| runtime.block_on(rooms.reports(query)).map_err(|reject| failed(&reject));
    if word == "list" {
        let limit = question["limit"].as_u64().unwrap_or(20).clamp(1, PAGE_MAX);
        let found = find(ReportQuery::All {
            open: question["resolved"] != true,
            before: Millis(question["before"].as_u64().unwrap_or(0)),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        })?;
        let told: Vec<Value> = found.iter().map(told).collect();
        return Ok(json!({ "reports": told }));
    }
    let named = question["report"].as_str().and_then(|text| text.split_once('/'));
    let named = named.and_then(|(room, number)| Some((RoomId::parse(room)?, number.parse().ok()?)));
    let Some((room, number)) = named else {
        return Err(
            Failure::new(Exit::Usage, "a report is named ROOM/NUMBER").cure("see `lynk reports list`")
        );
    };
    if word == "resolve" {
        let words = || ReportOutcome::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
        let outcome = question["outcome"].as_str().and_then(ReportOutcome::parse);
        let outcome = outcome.ok_or_else(|| {
            Failure::new(Exit::Usage, "no such outcome").cure(format!("it is one of: {}", words()))
        })?;
        let note = question["note"].as_str().unwrap_or_default();
        if note.chars().count() > REPORT_CHARS_MAX || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Failure::new(Exit::Usage, "the note is too long, or has control characters")
                .cure(format!("at most {REPORT_CHARS_MAX} characters, and line breaks")));
        }
        let resolution = Resolution { number, outcome, note: note.to_owned() };
        let done = runtime.block_on(rooms.resolve(room, resolution, os::wall_millis()));
        if !done.map_err(|reject| failed(&reject))? {
            return Err(Failure::dependency("no such report is open").cure("see `lynk reports list`"));
        }
        tracing::info!(event = "report_resolved", %room, number, outcome = outcome.name(), "an operator resolved a report");
    }
    let found = find(ReportQuery::One(room, number))?;
    match found.first() {
        Some(report) => Ok(told(report)),
        None => Err(Failure::dependency("there is no such report").cure("see `lynk reports list`")),
    }
}

fn failed(reject: &Reject) -> Failure {
    Failure::dependency(reject.message().to_owned()).cure("see the server's log, and ask again")
}

fn told(report: &Report) -> Value {
    let id = |user: lynk_domain::UserId| (!user.is_nil()).then(|| user.to_string());
    json!({
        "report": format!("{}/{}", report.room, report.number),
        "kind": report.kind.name(),
        "reason": report.reason.name(),
        "at": report.at.0,
        "reporter": report.reporter.to_string(),
        "user": id(report.user),
        "seq": (report.seq > Seq(0)).then_some(report.seq.0),
        "text": report.text,
        "comment": report.comment,
        "outcome": report.outcome.map(ReportOutcome::name),
        "by": id(report.by),
        "done": (report.done > Millis(0)).then_some(report.done.0),
        "note": report.note,
    })
}
