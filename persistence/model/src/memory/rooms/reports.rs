//! What people report.

use std::ops::Bound::{Excluded, Unbounded};

use lynk_domain::{Millis, RoomId, UserId};

use super::MemoryRooms;
use crate::{
    MODERATION_LIFE_MILLIS, MetaOutcome, MetaTransaction, REPORT_DAY_MILLIS, REPORTS_PER_DAY_MAX,
    REPORTS_PER_ROOM_MAX, Report, ReportKind, ReportQuery, Resolution,
};

impl MemoryRooms {
    pub(super) fn report(&mut self, tx: &MetaTransaction, report: &Report) -> MetaOutcome {
        if self.rooms.get(&tx.room).is_none_or(|room| room.row.deleted > Millis(0)) {
            return MetaOutcome::Missing;
        }
        let of_room = || self.reports.range((tx.room, 0)..=(tx.room, u64::MAX)).map(|(_, one)| one);
        let same = |one: &Report| {
            let subject = (one.reporter, one.kind, one.seq, one.user);
            subject == (report.reporter, report.kind, report.seq, report.user)
        };
        if of_room().any(|one| one.outcome.is_none() && same(one)) {
            return MetaOutcome::Exists;
        }
        let day = Millis(tx.wall.0.saturating_sub(REPORT_DAY_MILLIS));
        let of_user = self.reports.values().filter(|one| one.reporter == report.reporter && one.at > day);
        let open = of_room().filter(|one| one.outcome.is_none());
        if of_user.count() >= REPORTS_PER_DAY_MAX as usize || open.count() >= REPORTS_PER_ROOM_MAX as usize {
            return MetaOutcome::Limit;
        }
        let number = of_room().next_back().map_or(0, |one| one.number) + 1;
        let oldest = Millis(tx.wall.0.saturating_sub(MODERATION_LIFE_MILLIS));
        self.reports.retain(|_, one| one.outcome.is_none() || one.done > oldest);
        self.reports.insert((tx.room, number), Report { number, ..report.clone() });
        MetaOutcome::Reported { number, user: report.user }
    }

    pub(super) fn resolve(&mut self, tx: &MetaTransaction, resolution: &Resolution) -> MetaOutcome {
        let found = self.reports.get_mut(&(tx.room, resolution.number));
        let by_moderator = !tx.actor.is_nil();
        let may = |one: &&mut Report| {
            let for_moderators = one.kind != ReportKind::Room && one.user != tx.actor;
            one.outcome.is_none() && (for_moderators || !by_moderator)
        };
        let Some(report) = found.filter(may) else { return MetaOutcome::NoReport };
        report.outcome = Some(resolution.outcome);
        (report.by, report.done) = (tx.actor, tx.wall);
        report.note.clone_from(&resolution.note);
        MetaOutcome::Reported { number: report.number, user: report.user }
    }

    /// Those of a room that `viewer` may see, newest first.
    pub(super) fn reports_of(
        &self,
        room: RoomId,
        (open, before, viewer, limit): (bool, u64, UserId, u32),
    ) -> Vec<Report> {
        let end = if before == 0 { u64::MAX } else { before - 1 };
        let found = self.reports.range((room, 0)..=(room, end)).rev().map(|(_, one)| one);
        let seen = found.filter(|one| {
            one.kind != ReportKind::Room && one.user != viewer && one.outcome.is_none() == open
        });
        seen.take(limit as usize).cloned().collect()
    }

    /// Those of all rooms that are asked for.
    pub(super) fn all_reports(&self, query: &ReportQuery) -> Vec<Report> {
        match *query {
            ReportQuery::One(room, number) => {
                self.reports.get(&(room, number)).cloned().into_iter().collect()
            }
            ReportQuery::All { open, before, limit } => {
                let wanted =
                    |one: &&Report| one.outcome.is_none() == open && (before == Millis(0) || one.at < before);
                let mut found: Vec<Report> = self.reports.values().filter(wanted).cloned().collect();
                found.sort_by_key(|one| std::cmp::Reverse((one.at, one.room, one.number)));
                found.truncate(limit as usize);
                found
            }
            ReportQuery::By { reporter, after, limit } => {
                let own = self.reports.range((Excluded(after), Unbounded)).map(|(_, one)| one);
                own.filter(|one| one.reporter == reporter).take(limit as usize).cloned().collect()
            }
        }
    }
}
