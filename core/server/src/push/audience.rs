//! What notifications ask of rooms, messages and connections, from the stores of a server.
//!
//! Thread: the notifications'. What can fail: the stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use lynk_api::Clock;
use lynk_domain::{RoomId, Seq, UserId};
use lynk_embedded::RoomsBeside;
use lynk_model::StoreError;
use lynk_model::notify::{MemberSince, RoomAudience, RoomUnread};
use lynk_model::port::{Audience, Ephemeral, MessageStore, PRESENCE_PER_CALL_MAX};

/// Members and blocks, wherever they are.
pub(crate) trait Members {
    /// See [`Audience::room`].
    async fn room(
        &self,
        room: RoomId,
        max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError>;
    /// See [`Audience::blocked`].
    async fn blocked(&self, user: UserId) -> Result<Vec<UserId>, StoreError>;
    /// Since when the room is a member's. Whoever declined one is no member.
    async fn joined(&self, room: RoomId, user: UserId) -> Result<Option<MemberSince>, StoreError>;
}

fn failed(fault: lynk_embedded::Fault) -> StoreError {
    tracing::error!(event = "members_unreadable", %fault, "members of rooms cannot be read for notifications");
    StoreError::Unavailable
}

impl Members for RoomsBeside {
    async fn room(
        &self,
        room: RoomId,
        max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError> {
        self.audience(room, max, named).map_err(failed)
    }

    async fn blocked(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        Self::blocked(self, user).map_err(failed)
    }

    async fn joined(&self, room: RoomId, user: UserId) -> Result<Option<MemberSince>, StoreError> {
        Self::joined(self, room, user).map_err(failed)
    }
}

#[cfg(feature = "postgres")]
impl Members for lynk_postgres::PostgresNotify {
    async fn room(
        &self,
        room: RoomId,
        max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError> {
        self.audience(room, max, named).await
    }

    async fn blocked(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        Self::blocked(self, user).await
    }

    async fn joined(&self, room: RoomId, user: UserId) -> Result<Option<MemberSince>, StoreError> {
        Self::joined(self, room, user).await
    }
}

/// See the module.
pub(crate) struct ServerAudience<Q, M> {
    pub(crate) members: Q,
    /// The message log; `None` in a process that only answers for devices.
    pub(crate) messages: Option<M>,
    /// Where who is online is mirrored.
    pub(crate) ephemeral: Arc<dyn Ephemeral>,
    pub(crate) clock: Clock,
}

impl<Q: Members, M: MessageStore> Audience for ServerAudience<Q, M> {
    async fn room(
        &mut self,
        room: RoomId,
        members_max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError> {
        self.members.room(room, members_max, named).await
    }

    async fn blocked(&mut self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        self.members.blocked(user).await
    }

    async fn unread(&mut self, user: UserId, room: RoomId) -> Result<RoomUnread, StoreError> {
        let Some(messages) = &self.messages else { return Ok(RoomUnread::default()) };
        // Who is no member has nothing to read.
        let Some(since) = self.members.joined(room, user).await? else {
            return Ok(RoomUnread { unread: 0, read: Seq(u64::MAX), request: false });
        };
        let state = messages.read_state(room, user).await?;
        let read = since.read(state.map_or((0, Seq(0)), |state| (state.round, state.read)));
        let head = messages.head(room).await?;
        let counted = messages.count_not_unread(room, user, read, &BTreeSet::new()).await?;
        let after = counted.next.map_or(0, |(_, first)| (head.top_n.0 + 1).saturating_sub(first.0));
        let unread = after.saturating_sub(counted.own).saturating_sub(counted.deleted);
        Ok(RoomUnread { unread, read, request: since.request })
    }

    async fn active(&mut self, users: &[UserId]) -> Result<Vec<bool>, StoreError> {
        let mut active = Vec::with_capacity(users.len());
        for part in users.chunks(PRESENCE_PER_CALL_MAX) {
            let asked = self.ephemeral.mirrored_presence((self.clock)(), part.to_vec()).await;
            // Without the mirror nobody is known to be there: who is gets one notification too many, and nobody one too few.
            active.extend(asked.unwrap_or_else(|_| vec![false; part.len()]));
        }
        Ok(active)
    }
}
