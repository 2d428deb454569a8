//! [`ConsolePush`]: what would be pushed, as lines of JSON in a file, for development. Ids and numbers; tokens are not in it.
//!
//! Thread: the bridge's; a line is one write. Limits: [`FILE_BYTES_MAX`], at which the file begins anew. What can fail: the disk, which is
//! told as a server that fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lynk_model::notify::PushCause;
use lynk_model::port::{Delivered, PushNote, PushSender};
use serde_json::json;

/// Largest file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Writes pushes to a file.
#[derive(Debug)]
pub struct ConsolePush(Mutex<File>);

impl ConsolePush {
    /// Opens or makes the file, which only its owner may read.
    ///
    /// # Errors
    /// The disk's.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self(Mutex::new(file)))
    }

    fn write(&self, note: &PushNote) -> io::Result<()> {
        let push = &note.push;
        let line = json!({
            "push": push.id.to_string(), "user": push.user.to_string(), "session": note.device.session.to_string(),
            "platform": note.device.platform.word(), "room": push.room.to_string(), "seq": push.upto.0,
            "message": push.message.to_string(), "messages": push.messages, "mention": push.mention,
            "unread": note.unread, "badge": note.badge, "request": note.request, "trial": note.trial,
        });
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata()?.len() > FILE_BYTES_MAX {
            file.set_len(0)?;
        }
        file.write_all(format!("{line}\n").as_bytes())
    }
}

impl PushSender for ConsolePush {
    async fn ready(&self, _: usize) -> Result<(), PushCause> {
        Ok(())
    }

    async fn send(&self, note: &PushNote) -> Delivered {
        match self.write(note) {
            Ok(()) => Delivered::Taken,
            Err(_) => Delivered::Failed { cause: PushCause::Server, retry_after_millis: 0 },
        }
    }
}
