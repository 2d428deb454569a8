//! The suite of what people report.

use lynk_domain::{Millis, RoomId, RoomKind, Seq, UserId};

use super::rooms::{OWNER, ROOM, applied, apply, command, create};
use crate::port::{RoomStore, ready};
use crate::{
    ListQuery, Listed, MetaChange, MetaOutcome, MetaTransaction, REPORT_DAY_MILLIS, REPORTS_PER_DAY_MAX,
    Report, ReportKind, ReportOutcome, ReportQuery, ReportReason, Resolution,
};

/// A report of that number, about that user, was written.
fn told(number: u64, user: u8) -> MetaOutcome {
    MetaOutcome::Reported { number, user: UserId([user; 16]) }
}

fn report(kind: ReportKind, user: u8, seq: u64) -> Report {
    Report {
        room: ROOM,
        number: 0,
        reporter: UserId([7; 16]),
        kind,
        user: UserId([user; 16]),
        seq: Seq(seq),
        reason: ReportReason::Hate,
        comment: "c".to_owned(),
        text: "said".to_owned(),
        at: Millis(1_000),
        outcome: None,
        by: UserId::NIL,
        done: Millis(0),
        note: String::new(),
    }
}

fn make(number: u8, report: &Report) -> MetaTransaction {
    let change = MetaChange::Report(Box::new(report.clone()));
    MetaTransaction { actor: report.reporter, wall: report.at, ..command(ROOM, number, change) }
}

fn resolve(number: u8, by: UserId, of: u64) -> MetaTransaction {
    let resolution = Resolution { number: of, outcome: ReportOutcome::Dismissed, note: "n".to_owned() };
    MetaTransaction { actor: by, ..command(ROOM, number, MetaChange::Resolve(Box::new(resolution))) }
}

fn page<R: RoomStore>(store: &R, open: bool, before: u64, viewer: UserId, limit: u32) -> Vec<u64> {
    let query = ListQuery::Reports { open, before, viewer, limit };
    let listed = ready(store.list(ROOM, &query)).expect("readable");
    let Listed::Reports(reports) = listed else { panic!("{listed:?}") };
    reports.iter().map(|one| one.number).collect()
}

/// Reports wait until somebody who may decides; whom they are about sees none of them; there are so many a day.
pub fn reports_wait_for_somebody_to_decide<R: RoomStore>(store: &mut R) {
    let message = report(ReportKind::Message, 2, 40);
    assert_eq!(apply(store, &make(9, &message)), MetaOutcome::Missing);
    applied(store, &create(ROOM, 1, RoomKind::Public, "reported"));
    assert_eq!(apply(store, &make(2, &message)), told(1, 2));
    assert!(matches!(apply(store, &make(2, &message)), MetaOutcome::Repeated { .. }));
    assert_eq!(apply(store, &make(3, &message)), MetaOutcome::Exists);
    let (member, room) = (report(ReportKind::User, 3, 0), report(ReportKind::Room, 0, 0));
    assert_eq!(apply(store, &make(4, &member)), told(2, 3));
    assert_eq!(apply(store, &make(5, &room)), told(3, 0));
    let other = Report { reporter: UserId([8; 16]), at: Millis(2_000), ..message.clone() };
    assert_eq!(apply(store, &make(6, &other)), told(4, 2), "of another person");
    assert_eq!(page(store, true, 0, OWNER, 9), [4, 2, 1]);
    assert_eq!(page(store, true, 0, OWNER, 1), [4]);
    assert_eq!(page(store, true, 4, OWNER, 1), [2]);
    assert_eq!(page(store, true, 0, UserId([2; 16]), 9), [2]);
    assert_eq!(page(store, false, 0, OWNER, 9), [0u64; 0]);

    for (number, by, of) in [(10, UserId([2; 16]), 1), (11, OWNER, 3), (12, OWNER, 9)] {
        assert_eq!(apply(store, &resolve(number, by, of)), MetaOutcome::NoReport, "{number}");
    }
    assert_eq!(apply(store, &resolve(13, OWNER, 1)), told(1, 2));
    assert_eq!(apply(store, &resolve(14, OWNER, 1)), MetaOutcome::NoReport);
    let operator = MetaTransaction { key: lynk_domain::Key::NIL, ..resolve(15, UserId::NIL, 3) };
    assert_eq!(apply(store, &operator), told(3, 0));
    assert_eq!((page(store, true, 0, OWNER, 9), page(store, false, 0, OWNER, 9)), (vec![4, 2], vec![1]));
    assert_eq!(apply(store, &make(16, &message)), told(5, 2), "again, when the first is decided");

    let find = |store: &R, one: Option<(RoomId, u64)>, open, before| {
        let all = ReportQuery::All { open, before: Millis(before), limit: 9 };
        let query = one.map_or(all, |(room, number)| ReportQuery::One(room, number));
        ready(store.reports(&query)).expect("readable")
    };
    let numbers = |found: Vec<Report>| found.iter().map(|one| one.number).collect::<Vec<_>>();
    assert_eq!(numbers(find(store, None, true, 0)), [4, 5, 2]);
    assert_eq!(numbers(find(store, None, true, 2_000)), [5, 2]);
    assert_eq!(numbers(find(store, None, false, 0)), [3, 1]);
    assert_eq!(find(store, Some((RoomId([9; 16]), 1)), true, 0), []);
    let decided = Report {
        number: 1,
        outcome: Some(ReportOutcome::Dismissed),
        by: OWNER,
        done: Millis(1_013),
        note: "n".to_owned(),
        ..message.clone()
    };
    assert_eq!(find(store, Some((ROOM, 1)), true, 0), [decided]);

    let by = |store: &R, reporter, after, limit| {
        let query = ReportQuery::By { reporter: UserId([reporter; 16]), after, limit };
        numbers(ready(store.reports(&query)).expect("readable"))
    };
    let mut own: Vec<u64> = [find(store, None, true, 0), find(store, None, false, 0)]
        .into_iter()
        .flatten()
        .filter_map(|one| (one.reporter == UserId([7; 16])).then_some(one.number))
        .collect();
    own.sort_unstable();
    assert!(own.len() > 2, "{own:?}");
    assert_eq!(by(store, 7, (RoomId::NIL, 0), 99), own, "open and decided ones");
    assert_eq!(by(store, 7, (RoomId::NIL, 0), 1), own[..1]);
    assert_eq!(by(store, 7, (ROOM, own[0]), 1), own[1..2], "where the page before ended");
    assert_eq!(by(store, 9, (RoomId::NIL, 0), 99), Vec::<u64>::new(), "nobody else's");

    for number in 4..REPORTS_PER_DAY_MAX as u8 {
        let another = report(ReportKind::Message, 2, 100 + u64::from(number));
        assert_eq!(apply(store, &make(20 + number, &another)), told(2 + u64::from(number), 2));
    }
    let late = Report { at: Millis(1_000 + REPORT_DAY_MILLIS), ..report(ReportKind::Message, 2, 500) };
    let last = Report { at: Millis(late.at.0 - 1), ..late.clone() };
    assert_eq!(apply(store, &make(200, &last)), MetaOutcome::Limit);
    assert_eq!(apply(store, &make(201, &late)), told(22, 2));
}
