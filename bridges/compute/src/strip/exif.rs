//! The one entry of EXIF that is kept: which way is up.
//!
//! Pure. What cannot be read is "as the pixels lie".

/// How much of a part is looked at; the entry is in the first directory, near the beginning.
pub(super) const BYTES_MAX: u64 = 64 << 10;

const ORIENTATION: u16 = 0x0112;
/// Entries of the first directory that are looked at; cameras write about twenty.
const ENTRIES_MAX: u16 = 512;

/// The orientation that a TIFF structure tells, 1 to 8.
pub(super) fn orientation(tiff: &[u8]) -> u8 {
    read(tiff).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

fn read(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..4)? {
        [b'M', b'M', 0, 42] => true,
        [b'I', b'I', 42, 0] => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let offset = *tiff.get(4..)?.first_chunk()?;
    let offset = if big { u32::from_be_bytes(offset) } else { u32::from_le_bytes(offset) };
    let directory = usize::try_from(offset).ok()?;
    for entry in 0..short(directory)?.min(ENTRIES_MAX) {
        let at = directory.checked_add(2 + usize::from(entry) * 12)?;
        if short(at)? == ORIENTATION {
            return u8::try_from(short(at.checked_add(8)?)?).ok();
        }
    }
    None
}

/// A TIFF structure that tells nothing but the orientation.
pub(super) const fn minimal(orientation: u8) -> [u8; 26] {
    [
        b'M',
        b'M',
        0,
        42,
        0,
        0,
        0,
        8, // big-endian; the first directory follows
        0,
        1, // one entry
        0x01,
        0x12,
        0,
        3,
        0,
        0,
        0,
        1,
        0,
        orientation,
        0,
        0, // orientation, one short
        0,
        0,
        0,
        0, // no further directory
    ]
}
