//! Rows of media, and their encoding.

use lynk_domain::MediaId;

use super::{DumpMark, DumpRow};
use crate::media::Media;

/// A row of media.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaRow(pub Media);

impl DumpRow for MediaRow {
    type Mark = MediaMark;
    const TABLES: &'static str = "media";

    fn key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.id.0);
    }

    fn weight(&self) -> usize {
        1
    }

    fn is_counted(&self) -> bool {
        true
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let media = &self.0;
        for id in [media.id.0, media.owner.0, media.room.0] {
            out.extend_from_slice(&id);
        }
        out.extend([media.purpose as u8, media.state as u8, media.facts.thumbnails, u8::from(media.emptied)]);
        for text in [&media.name, &media.kind] {
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        let facts = &media.facts;
        for number in [facts.bytes, facts.width.into(), facts.height.into(), media.created.0, media.changed.0]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        if let Some(attached) = media.attached {
            out.extend_from_slice(&attached.key.0);
            out.extend_from_slice(&attached.at.0.to_le_bytes());
        }
        if let Some(to) = media.leaves {
            out.extend_from_slice(&to.0.to_le_bytes());
        }
        if let Some(seq) = media.seq {
            out.push(1);
            out.extend_from_slice(&seq.0.to_le_bytes());
        }
    }
}

impl MediaRow {
    /// The mark after the row.
    #[must_use]
    pub fn mark(&self) -> MediaMark {
        MediaMark(self.0.id)
    }
}

/// Where a dump of media goes on: after this file. The default is its begin.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MediaMark(pub MediaId);

impl DumpMark for MediaMark {
    fn next_table(&self) -> Option<Self> {
        None
    }
}
