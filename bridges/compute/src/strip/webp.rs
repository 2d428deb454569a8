//! WebP: RIFF chunks of a name, a length and data, padded to even lengths. The whole length and the flags of what is there are known at
//! the end and written then.

use std::io::{BufRead, Seek, SeekFrom, Write};

use super::{FRAMES_MAX, StripError, Stripped, array, beginning, copy, count, exif, skip};

const KEPT: [&[u8; 4]; 3] = [b"ALPH", b"ANIM", b"ICCP"];
/// Flags of `VP8X`.
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;

struct Writer<'a, W> {
    to: &'a mut W,
    /// After the RIFF header.
    bytes: u64,
}

impl<W: Write> Writer<'_, W> {
    fn begin(&mut self, name: [u8; 4], length: u32) -> Result<(), StripError> {
        self.to.write_all(&name)?;
        self.to.write_all(&length.to_le_bytes())?;
        self.bytes += 8 + padded(length);
        Ok(())
    }

    /// A chunk of which `head` was read already.
    fn keep(
        &mut self,
        name: [u8; 4],
        length: u32,
        head: &[u8],
        from: &mut impl BufRead,
    ) -> Result<(), StripError> {
        self.begin(name, length)?;
        self.to.write_all(head)?;
        let rest = padded(length).checked_sub(head.len() as u64).ok_or(StripError::Malformed("a chunk"))?;
        copy(from, self.to, rest)
    }
}

fn padded(length: u32) -> u64 {
    u64::from(length).next_multiple_of(2)
}

pub(super) fn strip(from: &mut impl BufRead, to: &mut (impl Write + Seek)) -> Result<Stripped, StripError> {
    let [b'R', b'I', b'F', b'F', s0, s1, s2, s3, b'W', b'E', b'B', b'P'] = array(from)? else {
        return Err(StripError::Malformed("no signature"));
    };
    let mut left = u64::from(u32::from_le_bytes([s0, s1, s2, s3]))
        .checked_sub(4)
        .ok_or(StripError::Malformed("the length of the file"))?;
    to.write_all(b"RIFF\0\0\0\0WEBP")?;
    let mut writer = Writer { to, bytes: 4 };
    let (mut size, mut flags, mut orientation) = (None, None, None);
    let (mut frames, mut pixels) = (0, false);
    // A last odd byte is padding that some writers count and some do not.
    while left >= 8 {
        let [n0, n1, n2, n3, l0, l1, l2, l3] = array(from)?;
        let (name, length) = ([n0, n1, n2, n3], u32::from_le_bytes([l0, l1, l2, l3]));
        left = match (left - 8).checked_sub(padded(length)) {
            Some(left) => left,
            None if left - 8 == u64::from(length) => {
                return Err(StripError::Malformed("a chunk without its padding"));
            }
            None => return Err(StripError::Truncated),
        };
        match &name {
            b"VP8X" if writer.bytes == 4 && length >= 10 => {
                let mut head: [u8; 10] = array(from)?;
                flags = Some(head[0] & !(EXIF | XMP));
                head[0] &= !(EXIF | XMP);
                size = Some((three(head[4], head[5], head[6]) + 1, three(head[7], head[8], head[9]) + 1));
                writer.keep(name, 10, &head, from)?;
                skip(from, padded(length) - 10)?;
            }
            b"VP8 " if length >= 10 => {
                let head: [u8; 10] = array(from)?;
                let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                size = size.or(Some((side(head[6], head[7]), side(head[8], head[9]))));
                pixels = true;
                writer.keep(name, length, &head, from)?;
            }
            b"VP8L" if length >= 5 => {
                let head: [u8; 5] = array(from)?;
                let bits = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
                size = size.or(Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1)));
                pixels = true;
                writer.keep(name, length, &head, from)?;
            }
            b"VP8X" | b"VP8 " | b"VP8L" => return Err(StripError::Malformed("a header")),
            b"ANMF" => {
                count(&mut frames, FRAMES_MAX)?;
                pixels = true;
                writer.keep(name, length, &[], from)?;
            }
            b"EXIF" if flags.is_some() && orientation.is_none() => {
                let (part, rest) = beginning(from, length.into())?;
                skip(from, rest + (padded(length) - u64::from(length)))?;
                // Some writers put the beginning of JPEG's segment here as well.
                let up = exif::orientation(part.strip_prefix(b"Exif\0\0").unwrap_or(&part));
                orientation = Some(up);
                if up != 1 {
                    let tiff = exif::minimal(up);
                    writer.keep(name, 26, &tiff, from)?;
                }
            }
            known if KEPT.contains(&known) => writer.keep(name, length, &[], from)?,
            _ => skip(from, padded(length))?,
        }
    }
    let (Some((width, height)), true) = (size, pixels) else {
        return Err(StripError::Malformed("no picture"));
    };
    let orientation = orientation.unwrap_or(1);
    let Writer { to, bytes } = writer;
    let bytes = u32::try_from(bytes).map_err(|_| StripError::Malformed("the length of the file"))?;
    to.seek(SeekFrom::Start(4))?;
    to.write_all(&bytes.to_le_bytes())?;
    if let Some(flags) = flags
        && orientation != 1
    {
        // `VP8X` is the first chunk that was written.
        to.seek(SeekFrom::Start(20))?;
        to.write_all(&[flags | EXIF])?;
    }
    to.seek(SeekFrom::End(0))?;
    Ok(Stripped { width, height, orientation, frames: frames.max(1) })
}

fn three(low: u8, middle: u8, high: u8) -> u32 {
    u32::from_le_bytes([low, middle, high, 0])
}
