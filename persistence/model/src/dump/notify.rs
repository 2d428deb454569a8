//! Rows of notifications, and their encoding.

use lynk_domain::{Millis, RoomId, Seq, SessionId, UserId};

use super::{DumpMark, DumpRow};
use crate::notify::{Decision, Device, Pending, Push, PushId};

/// A row of notifications.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotifyRow {
    /// A device.
    Device(Device),
    /// Up to where a room was taken in.
    Taken {
        /// Which room.
        room: RoomId,
        /// Up to here.
        seq: Seq,
        /// When.
        at: Millis,
    },
    /// What waits for a user and room.
    Pending(Pending),
    /// A push.
    Push(Push),
    /// How messages were decided.
    Decision(Decision),
}

impl NotifyRow {
    /// Whether it tells of the past only. The others are of a server that goes on: what signs in, and what is still to be sent.
    #[must_use]
    pub fn is_history(&self) -> bool {
        match self {
            Self::Push(push) => push.state.is_over(),
            Self::Decision(_) => true,
            Self::Device(_) | Self::Taken { .. } | Self::Pending(_) => false,
        }
    }

    /// The mark after the row.
    #[must_use]
    pub fn mark(&self) -> NotifyMark {
        match self {
            Self::Device(device) => NotifyMark::Devices(device.session),
            Self::Taken { room, .. } => NotifyMark::Taken(*room),
            Self::Pending(pending) => NotifyMark::Pending(pending.wanted.user, pending.wanted.room),
            Self::Push(push) => NotifyMark::Pushes(push.id),
            Self::Decision(decision) => NotifyMark::Decisions(decision.user, decision.room, decision.first),
        }
    }
}

impl DumpRow for NotifyRow {
    type Mark = NotifyMark;
    const TABLES: &'static str = "notifications";

    fn key(&self, out: &mut Vec<u8>) {
        let mut of = Fields(out);
        match self {
            Self::Device(device) => {
                of.0.push(1);
                of.ids(&[device.session.0]);
            }
            Self::Taken { room, .. } => {
                of.0.push(2);
                of.ids(&[room.0]);
            }
            Self::Pending(pending) => {
                of.0.push(3);
                of.ids(&[pending.wanted.user.0, pending.wanted.room.0]);
            }
            Self::Push(push) => {
                of.0.push(4);
                of.ids(&[push.id.0]);
            }
            Self::Decision(decision) => {
                of.0.push(5);
                of.ids(&[decision.user.0, decision.room.0]);
                of.numbers(&[decision.first.0]);
            }
        }
    }

    fn weight(&self) -> usize {
        1
    }

    fn is_counted(&self) -> bool {
        true
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut of = Fields(out);
        match self {
            Self::Device(device) => {
                of.0.push(1);
                of.ids(&[device.session.0, device.user.0]);
                of.0.extend([device.provider as u8, device.platform as u8, u8::from(device.id_only)]);
                of.numbers(&[device.token.reveal().len() as u64]);
                of.0.extend_from_slice(device.token.reveal().as_bytes());
                of.numbers(&[device.created.0, device.last_ok.map_or(u64::MAX, |at| at.0)]);
            }
            Self::Taken { room, seq, at } => {
                of.0.push(2);
                of.ids(&[room.0]);
                of.numbers(&[seq.0, at.0]);
            }
            Self::Pending(pending) => {
                let wanted = &pending.wanted;
                of.0.push(3);
                of.ids(&[wanted.user.0, wanted.room.0, wanted.message.0]);
                of.numbers(&[wanted.from.0, wanted.upto.0, wanted.messages.into(), wanted.mention.into()]);
                of.numbers(&[wanted.since.0, wanted.due.0, pending.window_end.0, pending.pushed.0]);
            }
            Self::Push(push) => {
                of.0.push(4);
                of.ids(&[push.id.0, push.user.0, push.room.0, push.session.0, push.message.0]);
                of.numbers(&[push.from.0, push.upto.0, push.messages.into(), push.mention.into()]);
                let dropped = push.dropped.map_or(0, |reason| reason as u8);
                of.0.extend([push.state as u8, push.cause as u8, dropped, u8::from(push.told)]);
                of.numbers(&[push.attempts.into(), push.at.0, push.next.0]);
            }
            Self::Decision(decision) => {
                of.0.push(5);
                of.ids(&[decision.user.0, decision.room.0]);
                of.numbers(&[decision.first.0, decision.last.0, decision.at.0]);
                of.0.push(decision.reason as u8);
            }
        }
    }
}

struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn ids(&mut self, ids: &[[u8; 16]]) {
        ids.iter().for_each(|id| self.0.extend_from_slice(id));
    }
    fn numbers(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.0.extend_from_slice(&number.to_le_bytes()));
    }
}

/// Where a dump of notifications goes on. The default is its begin. Marks are in the order of the dump.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NotifyMark {
    /// After this device.
    Devices(SessionId),
    /// After this room.
    Taken(RoomId),
    /// After what waits for this user and room.
    Pending(UserId, RoomId),
    /// After this push.
    Pushes(PushId),
    /// After this decision.
    Decisions(UserId, RoomId, Seq),
}

impl Default for NotifyMark {
    fn default() -> Self {
        Self::Devices(SessionId::NIL)
    }
}

impl DumpMark for NotifyMark {
    fn next_table(&self) -> Option<Self> {
        match self {
            Self::Devices(_) => Some(Self::Taken(RoomId::NIL)),
            Self::Taken(_) => Some(Self::Pending(UserId::NIL, RoomId::NIL)),
            Self::Pending(..) => Some(Self::Pushes(PushId([0; 16]))),
            Self::Pushes(_) => Some(Self::Decisions(UserId::NIL, RoomId::NIL, Seq(0))),
            Self::Decisions(..) => None,
        }
    }
}
