//! [`Notifier`]: takes messages in, and turns what waits into pushes. It sends nothing itself: a turn returns what is to be sent, and is told
//! later how that ended.
//!
//! Thread: the bridge's. Everything it works with comes by ports, and the time as an argument, so tests drive it without a socket or a clock.
//!
//! Invariants: what [`Notifier::commit`] returns is claimed on disk and is given out once. A batch that comes again, from a journal that is read
//! again or a topic, is known by the seqs of its rooms. Whether somebody is still to be told is looked at again when a push is due: who has
//! read it, is there, has left or has muted the room meanwhile is not.
//!
//! Limits: [`MESSAGES_MAX`], [`BADGE_ROOMS_MAX`]. What can fail: the stores; nothing of it is lost, and it is asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lynk_domain::{Millis, RoomId, Seq, UserId};
use lynk_model::StoreError;
use lynk_model::event::{Event, EventBody, Subject, Topic};
use lynk_model::notify::{
    Attempted, Claim, Device, Fate, Finished, Pending, Push, PushCause, PushId, PushState, PushToken, Reason,
    RoomAudience, RoomTaken, RoomUnread, Taking, Took, Turn, Wanted,
};
use lynk_model::port::{Audience, Delivered, NotifyStore, PushNote};

use crate::PushCounts;
use crate::decide::{Facts, Message, Rules, decide};

/// Messages of one batch, at most; a longer one is taken in parts.
pub const MESSAGES_MAX: usize = 1_000;
/// Rooms whose unread messages a badge counts, at most: those of the latest pushes.
pub const BADGE_ROOMS_MAX: u32 = 100;
/// Tries of taking a batch in when somebody else takes from the same rooms.
const TAKE_TRIES: u32 = 3;
/// Tries of a turn whose outcome is not known.
const TURN_TRIES: u32 = 3;

/// Wall time.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// When things happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timing {
    /// A room has one push to somebody in such a time.
    pub(crate) window_millis: u64,
    /// Pause before the second try at most; each further one doubles it, up to `retry_max_millis`. Half of it is by chance.
    pub(crate) retry_min_millis: u64,
    pub(crate) retry_max_millis: u64,
    /// Tries of a push before it is given up.
    pub(crate) attempts_max: u32,
}

/// Why nothing could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A store.
    Store(StoreError),
    /// A provider.
    Provider(PushCause),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How a push ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Which.
    pub note: PushNote,
    /// How.
    pub delivered: Delivered,
}

/// What a turn is going to do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    turn: Turn,
    /// What each claim sends.
    claims: Vec<Vec<PushNote>>,
    /// What each repetition sends; `None` when its device is gone.
    again: Vec<Option<PushNote>>,
}

impl Plan {
    /// Pushes that it sends.
    pub(crate) fn sends(&self) -> usize {
        self.claims.iter().map(Vec::len).sum::<usize>() + self.again.iter().flatten().count()
    }

    fn is_empty(&self) -> bool {
        self.turn == Turn::default()
    }
}

/// See the module.
pub struct Notifier<S, A> {
    pub(crate) store: S,
    pub(crate) audience: A,
    rules: Rules,
    timing: Timing,
    counts: Arc<PushCounts>,
    /// Attempts that ended and are not noted yet.
    finished: Vec<Finished>,
    random: Random,
}

impl<S, A> std::fmt::Debug for Notifier<S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl<S: NotifyStore, A: Audience> Notifier<S, A> {
    pub(crate) fn new(
        store: S,
        audience: A,
        rules: Rules,
        timing: Timing,
        counts: Arc<PushCounts>,
        seed: u64,
    ) -> Self {
        Self { store, audience, rules, timing, counts, finished: Vec::new(), random: Random(seed) }
    }

    /// What an earlier process was sending is not sent again. `before`: what was claimed before that time is of a process that is gone.
    pub(crate) async fn abandon(&mut self, before: Millis, now: Millis) -> Result<usize, StoreError> {
        let gone = self.store.abandon(before, now).await?;
        for push in &gone {
            self.counts.ended(PushState::Unknown);
            tracing::warn!(
                event = "push_unknown",
                push = %push.id,
                "a push may or may not have been sent by a process that ended; it is not sent again"
            );
        }
        Ok(gone.len())
    }

    /// Takes events in; those of no message are passed over. May be given again.
    ///
    /// # Errors
    /// A store does not work: give them again.
    pub async fn take(&mut self, events: &[Event], now: Millis) -> Result<(), StoreError> {
        for part in events.chunks(MESSAGES_MAX) {
            self.take_part(part, now).await?;
        }
        Ok(())
    }

    async fn take_part(&mut self, events: &[Event], now: Millis) -> Result<(), StoreError> {
        let by_room = messages_of(events);
        // Most servers begin without a device, and then there is nothing to keep.
        if by_room.is_empty() || !self.store.any_device().await? {
            return Ok(());
        }
        let rooms: Vec<RoomId> = by_room.keys().copied().collect();
        for _ in 0..TAKE_TRIES {
            let taken = self.store.taken(&rooms).await?;
            let mut taking = Taking::default();
            for ((room, messages), from) in by_room.iter().zip(taken) {
                let new = &messages[messages.partition_point(|message| message.seq <= from)..];
                let Some(last) = new.last() else { continue };
                taking.rooms.push(RoomTaken { room: *room, from, to: last.seq });
                let decided = self.decide(*room, new, now).await?;
                taking.wanted.extend(decided.wanted);
                taking.decisions.extend(decided.decisions);
            }
            if taking.rooms.is_empty() {
                return Ok(());
            }
            if self.store.take(&taking, now).await? == Took::Done {
                for decision in &taking.decisions {
                    let of = &by_room[&decision.room];
                    let between =
                        of.iter().filter(|m| decision.first <= m.seq && m.seq <= decision.last).count();
                    self.counts.decided(decision.reason, between as u64);
                }
                return Ok(());
            }
        }
        Err(StoreError::Unavailable)
    }

    async fn decide(
        &mut self,
        room: RoomId,
        messages: &[Message],
        now: Millis,
    ) -> Result<crate::Decided, StoreError> {
        let named: BTreeSet<UserId> =
            messages.iter().flat_map(|message| message.mentions.users()).copied().collect();
        let named: Vec<UserId> = named.into_iter().collect();
        let everybody = messages.iter().any(|message| message.mentions.all());
        let Rules { large_room, everybody_max, .. } = self.rules;
        let members_max = if everybody { everybody_max.max(large_room) } else { large_room };
        let Some(audience) = self.audience.room(room, members_max, &named).await? else {
            return Ok(crate::Decided::default());
        };
        let devices = self.store.with_devices(&audience.members).await?;
        let active = self.active(&devices).await?;
        let mut blocked = BTreeMap::new();
        if !devices.is_empty() {
            for message in messages {
                if let std::collections::btree_map::Entry::Vacant(place) = blocked.entry(message.sender) {
                    place.insert(self.audience.blocked(message.sender).await?);
                }
            }
        }
        let facts = Facts { audience: &audience, devices: &devices, active: &active, blocked: &blocked };
        Ok(decide(room, messages, &facts, &self.rules, now))
    }

    /// Those of `users` who are connected, in their order.
    async fn active(&mut self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let active = self.audience.active(users).await?;
        Ok(users.iter().zip(active).filter(|(_, active)| *active).map(|(user, _)| *user).collect())
    }

    /// An attempt ended; it is noted with the next turn.
    pub(crate) fn ended(&mut self, ended: &Ended, now: Millis) {
        let push = &ended.note.push;
        let attempted = match ended.delivered {
            Delivered::Taken => Attempted::Sent,
            Delivered::Unregistered => Attempted::Unregistered,
            Delivered::Refused(cause) => Attempted::Dead(cause),
            Delivered::Failed { cause, .. } if push.attempts >= self.timing.attempts_max => {
                Attempted::Dead(cause)
            }
            Delivered::Failed { cause, retry_after_millis } => {
                let pause = self.pause(push.attempts).max(retry_after_millis);
                Attempted::Again { next: Millis(now.0.saturating_add(pause)), cause }
            }
        };
        match attempted {
            Attempted::Sent => self.counts.ended(PushState::Sent),
            Attempted::Unregistered => {
                self.counts.ended(PushState::Unregistered);
                self.counts.removed();
            }
            Attempted::Again { cause, .. } => self.counts.failed(cause),
            Attempted::Dead(cause) => {
                self.counts.failed(cause);
                self.counts.ended(PushState::Dead);
            }
        }
        self.finished.push(Finished { id: push.id, token: ended.note.device.token.clone(), attempted });
    }

    /// The pause after so many tries.
    fn pause(&mut self, attempts: u32) -> u64 {
        let shift = attempts.saturating_sub(1).min(20);
        let pause = (self.timing.retry_min_millis << shift).min(self.timing.retry_max_millis).max(2);
        pause / 2 + self.random.below(pause / 2 + 1)
    }

    /// What is to be done now, for about `room` pushes.
    pub(crate) async fn plan(&mut self, room: usize, now: Millis) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        if room == 0 {
            return Ok(plan);
        }
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let mut seen = Seen::default();
        for push in self.store.retries(now, limit).await? {
            let device = self.store.devices(push.user).await?;
            let device = device.into_iter().find(|device| device.session == push.session);
            plan.turn.again.push(push.id);
            let note = match device {
                Some(device) => {
                    let push = Push { attempts: push.attempts.saturating_add(1), ..push };
                    Some(self.note(push, device, &mut seen).await?)
                }
                None => None,
            };
            plan.again.push(note);
        }
        if plan.sends() >= room {
            return Ok(plan);
        }
        let due = self.store.due(now, limit).await?;
        self.counts.lag(due.first().map_or(0, |pending| now.0.saturating_sub(pending.wanted.due.0)));
        for pending in due {
            if plan.sends() >= room {
                break;
            }
            let notes = match self.still_wanted(&pending, &mut seen, now).await? {
                Err(reason) => {
                    let id = PushId(self.random.id());
                    let fate = Fate::Drop(id, reason);
                    plan.turn.claims.push(Claim { wanted: pending.wanted, window_end: Millis(0), fate });
                    plan.claims.push(Vec::new());
                    continue;
                }
                Ok(devices) => {
                    let mut notes = Vec::with_capacity(devices.len());
                    for device in devices {
                        let push = claimed(&pending.wanted, &device, PushId(self.random.id()), now);
                        notes.push(self.note(push, device, &mut seen).await?);
                    }
                    notes
                }
            };
            let to = notes.iter().map(|note| (note.push.id, note.push.session)).collect();
            let window_end = Millis(now.0.saturating_add(self.timing.window_millis));
            plan.turn.claims.push(Claim { wanted: pending.wanted, window_end, fate: Fate::Push(to) });
            plan.claims.push(notes);
        }
        Ok(plan)
    }

    /// The devices to be told, or why nobody is any more.
    async fn still_wanted(
        &mut self,
        pending: &Pending,
        seen: &mut Seen,
        now: Millis,
    ) -> Result<Result<Vec<Device>, Reason>, StoreError> {
        let wanted = &pending.wanted;
        if now.0.saturating_sub(wanted.since.0) > self.rules.life_millis {
            return Ok(Err(Reason::Old));
        }
        let devices = self.store.devices(wanted.user).await?;
        if devices.is_empty() {
            return Ok(Err(Reason::NoDevice));
        }
        let audience = match seen.rooms.get(&wanted.room) {
            Some(audience) if audience.size <= u64::from(self.rules.large_room) => audience.clone(),
            _ => {
                let found = self.audience.room(wanted.room, self.rules.large_room, &[wanted.user]).await?;
                let found = found.unwrap_or_default();
                seen.rooms.insert(wanted.room, found.clone());
                found
            }
        };
        if audience.members.binary_search(&wanted.user).is_err() {
            return Ok(Err(Reason::NotMember));
        }
        let wish = audience.wishes.iter().find(|(user, _)| *user == wanted.user).map(|(_, wish)| *wish);
        if wish.is_some_and(|wish| now < wish.muted_until) {
            return Ok(Err(Reason::Muted));
        }
        if self.audience.active(&[wanted.user]).await? == [true] {
            return Ok(Err(Reason::Active));
        }
        if self.unread(wanted.user, wanted.room, seen).await?.read >= wanted.upto {
            return Ok(Err(Reason::Read));
        }
        Ok(Ok(devices))
    }

    async fn unread(
        &mut self,
        user: UserId,
        room: RoomId,
        seen: &mut Seen,
    ) -> Result<RoomUnread, StoreError> {
        if let Some(unread) = seen.unread.get(&(user, room)) {
            return Ok(*unread);
        }
        let unread = self.audience.unread(user, room).await?;
        seen.unread.insert((user, room), unread);
        Ok(unread)
    }

    /// What a device is told: the badge is what the user has not read in the rooms that push, without those that
    /// wait to be accepted.
    async fn note(&mut self, push: Push, device: Device, seen: &mut Seen) -> Result<PushNote, StoreError> {
        let RoomUnread { unread, request, .. } = self.unread(push.user, push.room, seen).await?;
        let badge = match seen.badges.get(&push.user) {
            Some(badge) => *badge,
            None => {
                let mut badge = 0_u64;
                for room in self.store.rooms_of(push.user, BADGE_ROOMS_MAX).await? {
                    let of = self.unread(push.user, room, seen).await?;
                    badge = badge.saturating_add(if of.request { 0 } else { of.unread });
                }
                seen.badges.insert(push.user, badge);
                badge
            }
        };
        Ok(PushNote { push, device, badge, unread, request, trial: false })
    }

    /// Carries a plan out, with everything that ended: returns what is to be sent, now.
    ///
    /// # Errors
    /// The store does not work; nothing of the plan is to be sent.
    pub(crate) async fn commit(&mut self, mut plan: Plan, now: Millis) -> Result<Vec<PushNote>, StoreError> {
        plan.turn.finished.clone_from(&self.finished);
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = 1;
        let turned = loop {
            match self.store.turn(&plan.turn, now).await {
                Err(StoreError::Unknown) if tries < TURN_TRIES => tries += 1,
                turned => break turned?,
            }
        };
        self.finished.clear();
        let mut notes = Vec::new();
        for ((claim, to_send), claimed) in plan.turn.claims.iter().zip(plan.claims).zip(turned.claims) {
            match &claim.fate {
                Fate::Push(_) if claimed => notes.extend(to_send),
                Fate::Drop(_, reason) if claimed => {
                    self.counts.ended(PushState::Dropped);
                    tracing::debug!(
                        event = "push_dropped",
                        reason = reason.word(),
                        "a push is not needed any more"
                    );
                }
                _ => {}
            }
        }
        for ((id, note), claimed) in plan.turn.again.iter().zip(plan.again).zip(turned.again) {
            match note {
                Some(note) if claimed => notes.push(note),
                None if claimed => {
                    // Its device is gone: there is nobody to be told.
                    self.counts.ended(PushState::Unregistered);
                    if let Some(token) = PushToken::parse("gone") {
                        self.finished.push(Finished { id: *id, token, attempted: Attempted::Unregistered });
                    }
                }
                _ => {}
            }
        }
        Ok(notes)
    }

    /// Whether something ended that is not noted.
    pub(crate) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }
}

/// What one plan has asked already.
#[derive(Default)]
struct Seen {
    rooms: BTreeMap<RoomId, RoomAudience>,
    unread: BTreeMap<(UserId, RoomId), RoomUnread>,
    badges: BTreeMap<UserId, u64>,
}

fn claimed(wanted: &Wanted, device: &Device, id: PushId, now: Millis) -> Push {
    Push {
        id,
        user: wanted.user,
        room: wanted.room,
        session: device.session,
        from: wanted.from,
        upto: wanted.upto,
        message: wanted.message,
        messages: wanted.messages,
        mention: wanted.mention,
        state: PushState::Claimed,
        cause: PushCause::None,
        dropped: None,
        attempts: 1,
        at: now,
        next: Millis(0),
        told: false,
    }
}

/// Messages by room, ascending and each once.
fn messages_of(events: &[Event]) -> BTreeMap<RoomId, Vec<Message>> {
    let mut by_room: BTreeMap<RoomId, Vec<Message>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.topic == Topic::MessageCreated) {
        let (EventBody::Posted { id, n, mentions, .. }, Subject::Room(room)) = (&event.body, event.subject)
        else {
            continue;
        };
        let of = by_room.entry(room).or_default();
        // A topic may repeat what it gave; the order of a room is that of its seqs.
        if of.last().map_or(Seq(0), |last| last.seq) < event.seq {
            let (seq, sender, at) = (event.seq, event.by, event.at);
            of.push(Message { seq, n: *n, id: *id, sender, at, mentions: mentions.clone() });
        }
    }
    by_room
}

/// SplitMix64: for pauses, and names that nobody must guess.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, max: u64) -> u64 {
        self.next() % max.max(1)
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next().to_le_bytes());
        id[8..].copy_from_slice(&self.next().to_le_bytes());
        id
    }
}

#[cfg(test)]
mod tests;
