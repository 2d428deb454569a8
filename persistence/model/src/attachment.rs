//! What a message carries beside its text: files, by what they were when it was sent.
//!
//! Thread: any. Pure. The file itself, and who may fetch it, is the media store's; a message tells enough to show a place for it. In
//! [`Parts`](crate::Parts): id 16, bytes u64, width u32, height u32 (0: not known), length of the type u8, type, length of the name u16,
//! name; little-endian, in the order of the command.
//!
//! Limits: [`ATTACHMENTS_MAX`] for each message; [`ATTACHMENT_TYPE_BYTES_MAX`] and [`ATTACHMENT_NAME_BYTES_MAX`]. What can fail: bytes of a newer program.

use lynk_domain::MediaId;

use crate::BodyError;
use crate::body::Reader;

/// Attachments of one message.
pub const ATTACHMENTS_MAX: usize = 10;
/// Bytes of a type's name.
pub const ATTACHMENT_TYPE_BYTES_MAX: usize = 127;
/// Bytes of a file's name: 255 characters of four bytes.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 1_020;
/// All of them fit into a part.
const _: () = assert!(
    ATTACHMENTS_MAX * (35 + ATTACHMENT_TYPE_BYTES_MAX + ATTACHMENT_NAME_BYTES_MAX) < u16::MAX as usize
);

/// A file of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attachment {
    /// The file.
    pub id: MediaId,
    /// What its sender called it.
    pub name: String,
    /// What it is, as HTTP names it.
    pub kind: String,
    /// Its length.
    pub bytes: u64,
    /// Pixels across as it is shown; 0 where that is not known.
    pub width: u32,
    /// Pixels down as it is shown; 0 where that is not known.
    pub height: u32,
}

impl Attachment {
    /// Bytes that count against the size of a page, about those of its JSON without escapes.
    pub(crate) fn content_bytes(&self) -> usize {
        120 + self.name.len() + self.kind.len()
    }

    /// Appends the stored form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(
            self.kind.len() <= ATTACHMENT_TYPE_BYTES_MAX && self.name.len() <= ATTACHMENT_NAME_BYTES_MAX
        );
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.width.to_le_bytes());
        out.extend_from_slice(&self.height.to_le_bytes());
        out.push(self.kind.len() as u8);
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(&(self.name.len() as u16).to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        let (id, bytes, width, height) = (MediaId(r.take()?), r.u64()?, r.u32()?, r.u32()?);
        let length = usize::from(r.u8()?);
        let kind = r.text(length)?.to_owned();
        let length = usize::from(r.u16()?);
        let name = r.text(length)?.to_owned();
        Ok(Self { id, name, kind, bytes, width, height })
    }

    /// Whether it may be stored.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !self.id.is_nil()
            && (1..=ATTACHMENT_TYPE_BYTES_MAX).contains(&self.kind.len())
            && self.name.len() <= ATTACHMENT_NAME_BYTES_MAX
    }
}
