//! JPEG (ITU-T T.81, JFIF): markers with a length, and after each start of scan coded data up to the next marker.

use std::io::{BufRead, Write};

use super::{SCANS_MAX, StripError, Stripped, array, beginning, copy, count, exif, skip};

const END: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

pub(super) fn strip(from: &mut impl BufRead, to: &mut impl Write) -> Result<Stripped, StripError> {
    if array(from)? != [0xff, 0xd8] {
        return Err(StripError::Malformed("no start of image"));
    }
    to.write_all(&[0xff, 0xd8])?;
    let (mut size, mut orientation, mut scans) = (None, None, 0);
    let mut next = None;
    loop {
        let kind = match next.take() {
            Some(kind) => kind,
            None => marker(from)?,
        };
        match kind {
            END => break,
            // A frame; not DHT (C4), JPG (C8) and DAC (CC), which lie among them.
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                if size.is_some() {
                    return Err(StripError::Malformed("two frames"));
                }
                size = Some(frame(kind, from, to)?);
            }
            0xc4 | 0xcc | 0xdb | 0xdd => keep(kind, from, to)?,
            START_OF_SCAN => {
                if size.is_none() {
                    return Err(StripError::Malformed("a scan before its frame"));
                }
                count(&mut scans, SCANS_MAX)?;
                keep(kind, from, to)?;
                next = Some(scan(from, to)?);
            }
            0xe0..=0xef => application(kind, from, to, &mut orientation)?,
            // Comments and what is reserved.
            0xfe | 0xf0..=0xfd | 0xc8 => {
                let bytes = length(from)?;
                skip(from, bytes)?;
            }
            // DNL would change the height after the fact; hierarchical files are read by nothing.
            _ => return Err(StripError::Malformed("a marker out of place")),
        }
    }
    let (width, height) = size.ok_or(StripError::Malformed("no frame"))?;
    if scans == 0 {
        return Err(StripError::Malformed("no scan"));
    }
    to.write_all(&[0xff, END])?;
    Ok(Stripped { width, height, orientation: orientation.unwrap_or(1), frames: 1 })
}

/// The kind of the next marker, after any fill bytes.
fn marker(from: &mut impl BufRead) -> Result<u8, StripError> {
    if array(from)? != [0xff] {
        return Err(StripError::Malformed("bytes between two segments"));
    }
    loop {
        match array(from)? {
            [0xff] => {}
            [kind] => return Ok(kind),
        }
    }
}

/// Bytes of a segment after its length.
fn length(from: &mut impl BufRead) -> Result<u64, StripError> {
    let bytes = u64::from(u16::from_be_bytes(array(from)?));
    bytes.checked_sub(2).ok_or(StripError::Malformed("a segment shorter than its length"))
}

fn begin(kind: u8, bytes: u64, to: &mut impl Write) -> Result<(), StripError> {
    let length = u16::try_from(bytes + 2).map_err(|_| StripError::Malformed("a segment"))?;
    to.write_all(&[0xff, kind])?;
    Ok(to.write_all(&length.to_be_bytes())?)
}

fn keep(kind: u8, from: &mut impl BufRead, to: &mut impl Write) -> Result<(), StripError> {
    let bytes = length(from)?;
    begin(kind, bytes, to)?;
    copy(from, to, bytes)
}

fn frame(kind: u8, from: &mut impl BufRead, to: &mut impl Write) -> Result<(u32, u32), StripError> {
    let bytes = length(from)?;
    let rest = bytes.checked_sub(5).ok_or(StripError::Malformed("a frame's header"))?;
    let head: [u8; 5] = array(from)?;
    begin(kind, bytes, to)?;
    to.write_all(&head)?;
    copy(from, to, rest)?;
    let [_, h1, h0, w1, w0] = head;
    Ok((u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into()))
}

/// JFIF, the colour profile and Adobe's word on colours stay, the orientation of EXIF as well.
fn application(
    kind: u8,
    from: &mut impl BufRead,
    to: &mut impl Write,
    orientation: &mut Option<u8>,
) -> Result<(), StripError> {
    let bytes = length(from)?;
    // A segment has less than 64 KiB, so this is all of it.
    let (segment, _) = beginning(from, bytes)?;
    let stays = match kind {
        0xe0 => segment.starts_with(b"JFIF\0"),
        0xe2 => segment.starts_with(b"ICC_PROFILE\0"),
        0xee => segment.starts_with(b"Adobe"),
        _ => false,
    };
    if stays {
        begin(kind, bytes, to)?;
        if kind == 0xe0 && segment.len() >= 14 && segment[12..14] != [0, 0] {
            // JFIF may hold a small picture of its own, of before a cut.
            let mut plain = [0; 14];
            plain.copy_from_slice(&segment[..14]);
            plain[12..14].fill(0);
            to.write_all(&plain)?;
            return Ok(to.write_all(&vec![0; segment.len() - 14])?);
        }
        return Ok(to.write_all(&segment)?);
    }
    if let (0xe1, Some(tiff), None) = (kind, segment.strip_prefix(b"Exif\0\0"), *orientation) {
        let up = exif::orientation(tiff);
        *orientation = Some(up);
        if up != 1 {
            let tiff = exif::minimal(up);
            begin(0xe1, 6 + tiff.len() as u64, to)?;
            to.write_all(b"Exif\0\0")?;
            to.write_all(&tiff)?;
        }
    }
    Ok(())
}

/// Coded data up to the next marker that is no restart, and that marker's kind. A zero after `FF` means the byte itself.
fn scan(from: &mut impl BufRead, to: &mut impl Write) -> Result<u8, StripError> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Err(StripError::Truncated);
        }
        let plain = memchr::memchr(0xff, buffer).unwrap_or(buffer.len());
        if plain > 0 {
            to.write_all(&buffer[..plain])?;
            from.consume(plain);
            continue;
        }
        match marker(from)? {
            kind @ (0 | 0x01 | 0xd0..=0xd7) => to.write_all(&[0xff, kind])?,
            kind => return Ok(kind),
        }
    }
}
