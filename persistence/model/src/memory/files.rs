//! Files in memory, for tests and the simulator: uploads that somebody put there.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lynk_domain::{Key, MediaId, RoomId, Seq, UserId};

use crate::port::{AttachedFile, Files, FilesAnswer};
use crate::{AttachRefusal, Attachment, StoreError};

/// Uploads, by id.
#[derive(Debug, Default)]
pub struct MemoryFiles {
    uploads: Mutex<BTreeMap<MediaId, Upload>>,
    pictures: Mutex<BTreeMap<MediaId, Picture>>,
    away: AtomicBool,
    /// Where [`Files::attached`] goes on.
    next: Mutex<MediaId>,
}

#[derive(Debug)]
struct Upload {
    room: RoomId,
    owner: UserId,
    file: Attachment,
    ready: bool,
    /// Key of the message that has it.
    key: Option<Key>,
    /// That message and all before it are about to be removed.
    leaves: Option<Seq>,
    /// Where that message is, if it was told.
    seq: Option<Seq>,
}

/// An upload for the picture of a room.
#[derive(Debug)]
struct Picture {
    room: RoomId,
    owner: UserId,
    ready: bool,
    taken: bool,
}

impl MemoryFiles {
    /// An upload of `owner` for the picture of `room`, which is ready or not.
    pub fn put_picture(&self, room: RoomId, owner: UserId, id: MediaId, ready: bool) {
        self.pictures().insert(id, Picture { room, owner, ready, taken: false });
    }

    fn pictures(&self) -> MutexGuard<'_, BTreeMap<MediaId, Picture>> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An upload of `owner` for `room`, which is ready or not; replaces one of the same id that is in no message.
    pub fn put(&self, room: RoomId, owner: UserId, file: Attachment, ready: bool) {
        self.with(|uploads| {
            uploads.insert(file.id, Upload { room, owner, file, ready, key: None, leaves: None, seq: None })
        });
    }

    /// Whether there is a file: it was put, and its message was not deleted.
    #[must_use]
    pub fn holds(&self, file: MediaId) -> bool {
        self.with(|uploads| uploads.contains_key(&file)) || self.pictures().contains_key(&file)
    }

    /// The message with which it is noted to leave.
    #[must_use]
    pub fn leaves(&self, file: MediaId) -> Option<Seq> {
        self.with(|uploads| uploads.get(&file).and_then(|upload| upload.leaves))
    }

    /// The message that has it, as far as it was told.
    #[must_use]
    pub fn seq(&self, file: MediaId) -> Option<Seq> {
        self.with(|uploads| uploads.get(&file).and_then(|upload| upload.seq))
    }

    /// Lets what is asked of the ends of files fail, or no more.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// An answer, unless this is away.
    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BTreeMap<MediaId, Upload>) -> T,
    ) -> FilesAnswer<'static, T> {
        let away = self.away.load(Ordering::Relaxed);
        Box::pin(std::future::ready(if away { Err(StoreError::Unavailable) } else { Ok(self.with(work)) }))
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<MediaId, Upload>) -> T) -> T {
        work(&mut self.uploads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn attach_now(
        &self,
        (room, owner, key): (RoomId, UserId, Key),
        files: &[MediaId],
    ) -> Result<Vec<Attachment>, AttachRefusal> {
        self.with(|uploads| {
            let mut attached = Vec::with_capacity(files.len());
            for id in files {
                let upload = uploads.get(id).filter(|upload| upload.room == room && upload.owner == owner);
                let upload = upload.filter(|upload| upload.key.is_none_or(|of| of == key));
                let upload = upload.ok_or(AttachRefusal::NotFound)?;
                if !upload.ready {
                    return Err(AttachRefusal::NotReady);
                }
                attached.push(upload.file.clone());
            }
            for id in files {
                if let Some(upload) = uploads.get_mut(id) {
                    upload.key = Some(key);
                }
            }
            Ok(attached)
        })
    }
}

impl Files for MemoryFiles {
    fn attach<'a>(
        &'a self,
        room: RoomId,
        owner: UserId,
        key: Key,
        files: &'a [MediaId],
    ) -> FilesAnswer<'a, Result<Vec<Attachment>, AttachRefusal>> {
        Box::pin(std::future::ready(Ok(self.attach_now((room, owner, key), files))))
    }

    fn posted<'a>(&'a self, room: RoomId, key: Key, files: &'a [MediaId], seq: Seq) -> FilesAnswer<'a, ()> {
        self.answer(|uploads| {
            for file in files {
                let upload = uploads.get_mut(file).filter(|upload| upload.room == room);
                if let Some(upload) = upload.filter(|upload| upload.key == Some(key)) {
                    upload.seq = Some(seq);
                }
            }
        })
    }

    fn attached(&self, limit: u32) -> FilesAnswer<'_, Vec<AttachedFile>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let after = *next;
        let answer = self.with(|uploads| {
            let rows = uploads.range((Excluded(after), Unbounded));
            let of = |(id, upload): (&MediaId, &Upload)| {
                let Upload { room, owner, seq, .. } = *upload;
                upload.key.map(|key| AttachedFile { id: *id, room, owner, key, seq })
            };
            rows.filter_map(of).take(limit as usize).collect::<Vec<_>>()
        });
        *next = answer.last().map_or(MediaId::NIL, |last| last.id);
        self.answer(move |_| answer)
    }

    fn take_picture(
        &self,
        room: RoomId,
        owner: UserId,
        picture: MediaId,
    ) -> FilesAnswer<'_, Result<(), AttachRefusal>> {
        self.answer(|_| {
            let mut pictures = self.pictures();
            let picture = pictures.get_mut(&picture);
            let picture = picture.filter(|picture| picture.room == room && picture.owner == owner);
            let picture = picture.ok_or(AttachRefusal::NotFound)?;
            if !picture.ready {
                return Err(AttachRefusal::NotReady);
            }
            picture.taken = true;
            Ok(())
        })
    }

    fn keep_picture(&self, room: RoomId, keep: MediaId) -> FilesAnswer<'_, ()> {
        self.answer(|_| {
            self.pictures().retain(|id, picture| picture.room != room || !picture.taken || *id == keep);
        })
    }

    fn release<'a>(&'a self, room: RoomId, files: &'a [MediaId]) -> FilesAnswer<'a, ()> {
        self.answer(|uploads| uploads.retain(|id, upload| upload.room != room || !files.contains(id)))
    }

    fn has_files(&self, room: RoomId) -> FilesAnswer<'_, bool> {
        let may_leave =
            |upload: &Upload| upload.room == room && upload.key.is_some() && upload.leaves.is_none();
        self.answer(|uploads| uploads.values().any(may_leave))
    }

    fn leave<'a>(&'a self, room: RoomId, files: &'a [MediaId], to: Seq) -> FilesAnswer<'a, ()> {
        self.answer(|uploads| {
            for file in files {
                if let Some(upload) = uploads.get_mut(file).filter(|upload| upload.room == room) {
                    upload.leaves.get_or_insert(to);
                }
            }
        })
    }

    fn passed(&self, room: RoomId, floor: Seq) -> FilesAnswer<'_, ()> {
        let left = |upload: &Upload| upload.room == room && upload.leaves.is_some_and(|to| to <= floor);
        self.answer(|uploads| uploads.retain(|_, upload| !left(upload)))
    }

    fn end(&self, room: RoomId) -> FilesAnswer<'_, ()> {
        self.answer(|uploads| {
            uploads.retain(|_, upload| upload.room != room);
            self.pictures().retain(|_, picture| picture.room != room);
        })
    }
}
