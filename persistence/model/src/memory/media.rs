//! [`MemoryMedia`].

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};

use crate::StoreError;
use crate::dump::{DumpPage, MediaMark, MediaRow};
use crate::media::{
    Attach, AttachOutcome, Attached, Begun, MEDIA_BATCH_MAX, Media, MediaState, PictureOf, Purpose, Quota,
    Settled, UPLOADS_WINDOW_MILLIS, Usage,
};
use crate::port::{Dump, Fill, LastFault, MediaStore};

/// [`MediaStore`] as a table.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct MemoryMedia {
    /// All rows.
    pub rows: BTreeMap<MediaId, Media>,
}

impl MemoryMedia {
    fn usage_at(&self, owner: UserId, now: Millis) -> Usage {
        let mut usage = Usage::default();
        for media in self.rows.values().filter(|media| media.owner == owner) {
            usage.bytes += if media.emptied { 0 } else { media.facts.bytes };
            usage.uploads += u64::from(counts(media, now));
            usage.open += u64::from(matches!(media.state, MediaState::Pending | MediaState::Scanning));
        }
        usage
    }

    /// Dooms the first of those that are not over.
    fn doom(&mut self, now: Millis, of: impl Fn(&Media) -> bool) -> u32 {
        let mut doomed = 0;
        for media in self.rows.values_mut().filter(|media| !media.state.is_over() && of(media)) {
            if doomed == MEDIA_BATCH_MAX {
                break;
            }
            (media.state, media.changed) = (MediaState::Doomed, now);
            doomed += 1;
        }
        doomed
    }
}

/// Whether it is attached for a message, and not over.
fn is_of_message(media: &Media) -> bool {
    media.purpose == Purpose::Attachment && media.attached.is_some() && !media.state.is_over()
}

/// Whether it is a file of a message of `room` that is not noted to leave.
fn may_leave(media: &Media, room: RoomId) -> bool {
    media.room == room && is_of_message(media) && media.leaves.is_none()
}

/// Whether it is an upload of the last day.
fn counts(media: &Media, now: Millis) -> bool {
    media.created.0.saturating_add(UPLOADS_WINDOW_MILLIS) > now.0
}

impl LastFault for MemoryMedia {}

impl MediaStore for MemoryMedia {
    async fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError> {
        if self.rows.contains_key(&media.id) {
            return Ok(Begun::Done);
        }
        let begun = self.usage_at(media.owner, media.created).may_begin(media.facts.bytes, quota);
        if begun == Begun::Done {
            self.rows.insert(media.id, media.clone());
        }
        Ok(begun)
    }

    async fn usage(&self, owner: UserId, now: Millis) -> Result<Usage, StoreError> {
        Ok(self.usage_at(owner, now))
    }

    async fn media(&self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError> {
        Ok(ids.iter().filter_map(|id| self.rows.get(id).cloned()).collect())
    }

    async fn of_owner(&self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        let rows = self.rows.range((Excluded(after), Unbounded)).map(|(_, media)| media);
        let own = rows.filter(|media| media.owner == owner && !media.state.is_over());
        Ok(own.take(limit as usize).cloned().collect())
    }

    async fn settle(
        &mut self,
        id: MediaId,
        settled: &Settled,
        now: Millis,
    ) -> Result<Option<Media>, StoreError> {
        let Some(media) = self.rows.get_mut(&id) else { return Ok(None) };
        if settled.follows(media.state) {
            (media.state, media.changed) = (settled.state(), now);
            media.facts = settled.facts(media.facts);
        }
        Ok(Some(media.clone()))
    }

    async fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError> {
        for id in &attach.ids {
            if let Err(why) = attach.check(self.rows.get(id)) {
                return Ok(AttachOutcome::Refused(*id, why));
            }
        }
        let mut done = Vec::new();
        for id in &attach.ids {
            let Some(media) = self.rows.get_mut(id) else { continue };
            media.attached.get_or_insert(Attached { key: attach.key, at: attach.at });
            done.push(media.clone());
        }
        Ok(AttachOutcome::Done(done))
    }

    async fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError> {
        Ok(self.doom(now, |media| ids.contains(&media.id)))
    }

    async fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError> {
        Ok(self.doom(now, |media| !room.is_nil() && media.room == room))
    }

    async fn posted(&mut self, room: RoomId, key: Key, ids: &[MediaId], seq: Seq) -> Result<(), StoreError> {
        for id in ids {
            let media = self.rows.get_mut(id).filter(|media| is_of_message(media) && media.room == room);
            if let Some(media) = media.filter(|media| media.attached.is_some_and(|of| of.key == key)) {
                media.seq = Some(seq);
            }
        }
        Ok(())
    }

    async fn attached(&self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        let rows = self.rows.range((Excluded(after), Unbounded)).map(|(_, media)| media);
        let wanted = rows.filter(|media| is_of_message(media) && !(unknown && media.seq.is_some()));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn has_files(&self, room: RoomId) -> Result<bool, StoreError> {
        Ok(self.rows.values().any(|media| may_leave(media, room)))
    }

    async fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError> {
        for id in ids {
            if let Some(media) = self.rows.get_mut(id).filter(|media| may_leave(media, room)) {
                media.leaves = Some(to);
            }
        }
        Ok(())
    }

    async fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError> {
        Ok(self.doom(now, |media| media.room == room && media.leaves.is_some_and(|to| to <= floor)))
    }

    async fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError> {
        let has = |media: &Media| match of {
            PictureOf::Room(room) => media.room == room,
            PictureOf::Account(user) => media.owner == user,
        };
        Ok(self.doom(now, |media| {
            has(media) && media.purpose == of.purpose() && media.attached.is_some() && media.id != keep
        }))
    }

    async fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError> {
        let of_room = |media: &Media| media.purpose == Purpose::RoomAvatar && media.attached.is_some();
        Ok(self.doom(now, |media| media.owner == owner && !of_room(media)))
    }

    async fn doom_orphans(
        &mut self,
        pending: Millis,
        unused: Millis,
        now: Millis,
    ) -> Result<u32, StoreError> {
        let begun = self.doom(now, |media| media.state == MediaState::Pending && media.created < pending);
        let left = self.doom(now, |media| {
            media.state == MediaState::Ready && media.attached.is_none() && media.changed < unused
        });
        Ok(begun + left)
    }

    async fn scanning(&self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError> {
        let of = |media: &&Media| media.state == MediaState::Scanning && media.changed < before;
        let mut rows: Vec<Media> = self.rows.values().filter(of).cloned().collect();
        rows.sort_by_key(|media| (media.changed, media.id));
        rows.truncate(limit as usize);
        Ok(rows)
    }

    async fn doomed(&self, limit: u32) -> Result<Vec<Media>, StoreError> {
        let of = |media: &&Media| media.state.is_over() && !media.emptied;
        Ok(self.rows.values().filter(of).take(limit as usize).cloned().collect())
    }

    async fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError> {
        for media in self.rows.values_mut().filter(|media| ids.contains(&media.id) && media.state.is_over()) {
            media.emptied = true;
        }
        Ok(())
    }

    async fn forget(&mut self, now: Millis) -> Result<u32, StoreError> {
        let of = |media: &&Media| media.emptied && !counts(media, now);
        let gone = self.rows.values().filter(of).take(MEDIA_BATCH_MAX as usize).map(|media| media.id);
        let gone: Vec<MediaId> = gone.collect();
        gone.iter().for_each(|id| drop(self.rows.remove(id)));
        Ok(u32::try_from(gone.len()).unwrap_or(u32::MAX))
    }
}

impl Dump for MemoryMedia {
    type Row = MediaRow;

    async fn rows(
        &mut self,
        mark: &MediaMark,
        limit: u32,
    ) -> Result<DumpPage<MediaRow, MediaMark>, StoreError> {
        let rows = self.rows.range((Excluded(mark.0), Unbounded)).take(limit as usize);
        let rows = rows.map(|(id, media)| (MediaRow(media.clone()), MediaMark(*id))).collect();
        Ok(DumpPage::at(mark, rows, limit))
    }
}

impl Fill for MemoryMedia {
    type Row = MediaRow;

    async fn fill(&mut self, rows: &[MediaRow]) -> Result<(), StoreError> {
        self.rows.extend(rows.iter().map(|row| (row.0.id, row.0.clone())));
        Ok(())
    }

    async fn take_out(&mut self, rows: &[MediaRow]) -> Result<(), StoreError> {
        rows.iter().for_each(|row| drop(self.rows.remove(&row.0.id)));
        Ok(())
    }
}
