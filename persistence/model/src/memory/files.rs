//! Files in memory, for tests and the simulator: uploads that somebody put there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lynk_domain::{Key, MediaId, RoomId, UserId};

use crate::port::{Files, FilesAnswer};
use crate::{AttachRefusal, Attachment};

/// Uploads, by id.
#[derive(Debug, Default)]
pub struct MemoryFiles(Mutex<BTreeMap<MediaId, Upload>>);

#[derive(Debug)]
struct Upload {
    room: RoomId,
    owner: UserId,
    file: Attachment,
    ready: bool,
    /// Key of the message that has it.
    key: Option<Key>,
}

impl MemoryFiles {
    /// An upload of `owner` for `room`, which is ready or not; replaces one of the same id that is in no message.
    pub fn put(&self, room: RoomId, owner: UserId, file: Attachment, ready: bool) {
        self.with(|uploads| uploads.insert(file.id, Upload { room, owner, file, ready, key: None }));
    }

    /// Whether there is a file: it was put, and its message was not deleted.
    #[must_use]
    pub fn holds(&self, file: MediaId) -> bool {
        self.with(|uploads| uploads.contains_key(&file))
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<MediaId, Upload>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

    fn release<'a>(&'a self, room: RoomId, files: &'a [MediaId]) -> FilesAnswer<'a, ()> {
        self.with(|uploads| uploads.retain(|id, upload| upload.room != room || !files.contains(id)));
        Box::pin(std::future::ready(Ok(())))
    }
}
