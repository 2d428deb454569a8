//! Fields that no frequent command has, read from the frame a second time by the ops that have them.

use std::borrow::Cow;

use lynk_domain::{AckLevel, HistoryVisibility, MediaId, RoomId, RoomKind};
use serde::Deserialize;
use serde::de::Deserializer;

use super::envelope::{Id, Text, invalid, missing, parse_name, resume_of, take, view};
use super::{MoreWanted, Proof, Resume, told};
use crate::{ErrorCode, LinkCode, Reject};

#[derive(Deserialize)]
struct ResumeItem {
    room: Id,
    epoch: Option<u32>,
    seq: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Rare<'a> {
    #[serde(borrow)]
    token: Option<Text<'a>>,
    #[serde(borrow)]
    ticket: Option<Text<'a>>,
    resume: Option<Vec<ResumeItem>>,
    pub(super) watch: Option<Vec<Id>>,
    pub(super) unwatch: Option<Vec<Id>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    level: Option<Text<'a>>,
    #[serde(borrow)]
    visibility: Option<Text<'a>>,
    pub(super) slow_mode_seconds: Option<u32>,
    #[serde(borrow)]
    pub(super) role: Option<Text<'a>>,
    pub(super) seconds: Option<u64>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(default, deserialize_with = "nil_or_id")]
    avatar: Option<Id>,
    max_members: Option<u32>,
    retention_days: Option<u32>,
    read_only: Option<bool>,
    #[serde(borrow)]
    code: Option<Text<'a>>,
    pub(super) link: Option<Id>,
    pub(super) uses: Option<u32>,
    #[serde(borrow)]
    pub(super) cursor: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) comment: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) state: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) outcome: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) note: Option<Text<'a>>,
    pub(super) number: Option<u64>,
}

/// `null` is the nil id: that there is none is said, too.
fn nil_or_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    Ok(Some(Option::<Id>::deserialize(deserializer)?.unwrap_or(Id([0; 16]))))
}

impl<'a> Rare<'a> {
    /// Reads them from the frame.
    pub(super) fn of(text: &'a str) -> Result<Self, Reject> {
        serde_json::from_str(text).map_err(|error| Reject::because(ErrorCode::InvalidField, told(&error)))
    }

    /// The code of a link, if it is said. What has no form of a code is told as one that leads nowhere.
    pub(super) fn code(&self) -> Result<Option<LinkCode>, Reject> {
        let code = view(&self.code).map(|text| LinkCode::parse(text).ok_or(ErrorCode::InvalidCode.into()));
        code.transpose()
    }

    /// Settings beside name, level, visibility and slow mode.
    pub(super) fn settings(&mut self) -> MoreWanted<'a> {
        MoreWanted {
            kind: None,
            description: take(&mut self.description),
            avatar: self.avatar.as_ref().map(|id| MediaId(id.0)),
            members_max: self.max_members,
            retention_days: self.retention_days,
            read_only: self.read_only,
        }
    }

    /// The kind of a room that has members by its own rules.
    pub(super) fn kind(&self) -> Result<Option<RoomKind>, Reject> {
        match parse_name("kind", view(&self.kind), RoomKind::parse)? {
            Some(RoomKind::Direct) => Err(invalid("kind", "`direct` is made by op `direct`")),
            kind => Ok(kind),
        }
    }

    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, Reject> {
        take(&mut self.name).ok_or_else(|| missing("name"))
    }

    pub(super) fn reason(&mut self) -> Cow<'a, str> {
        take(&mut self.reason).unwrap_or(Cow::Borrowed(""))
    }

    pub(super) fn level(&self) -> Result<Option<AckLevel>, Reject> {
        parse_name("level", view(&self.level), AckLevel::parse)
    }

    pub(super) fn visibility(&self) -> Result<Option<HistoryVisibility>, Reject> {
        parse_name("visibility", view(&self.visibility), HistoryVisibility::parse)
    }

    pub(super) fn token(&mut self) -> Result<Cow<'a, str>, Reject> {
        take(&mut self.token).ok_or_else(|| missing("token"))
    }

    pub(super) fn proof(&mut self) -> Result<Proof<'a>, Reject> {
        Proof::of(take(&mut self.token), take(&mut self.ticket))
    }

    pub(super) fn resume(&mut self) -> Result<Vec<Resume>, Reject> {
        let items = self.resume.take().unwrap_or_default();
        items.into_iter().map(|item| resume_of(RoomId(item.room.0), item.epoch, item.seq)).collect()
    }
}
