//! GIF89a: a screen, then blocks; the data of a block is a chain of sub-blocks of at most 255 bytes that an empty one ends.

use std::io::{BufRead, Write};

use super::{FRAMES_MAX, StripError, Stripped, array, copy, count, skip};

const IMAGE: u8 = 0x2c;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3b;
const CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;

/// Repetition in its two names, and the colour profile.
const APPLICATIONS: [&[u8; 11]; 3] = [b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"];

pub(super) fn strip(from: &mut impl BufRead, to: &mut impl Write) -> Result<Stripped, StripError> {
    let head: [u8; 13] = array(from)?;
    let [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', w0, w1, h0, h1, flags, ..] = head else {
        return Err(StripError::Malformed("no signature"));
    };
    to.write_all(&head)?;
    copy(from, to, colors(flags))?;
    let (width, height) = (u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into());
    let mut frames = 0;
    loop {
        match array(from)? {
            [IMAGE] => {
                count(&mut frames, FRAMES_MAX)?;
                let image: [u8; 9] = array(from)?;
                to.write_all(&[IMAGE])?;
                to.write_all(&image)?;
                // Colours, and the width of the first code.
                copy(from, to, colors(image[8]) + 1)?;
                chain(from, Some(to))?;
            }
            [EXTENSION] => extension(from, to)?,
            [TRAILER] if frames > 0 => {
                to.write_all(&[TRAILER])?;
                return Ok(Stripped { width, height, orientation: 1, frames });
            }
            [TRAILER] => return Err(StripError::Malformed("an end without a picture")),
            _ => return Err(StripError::Malformed("a block")),
        }
    }
}

/// Bytes of the table of colours that a field of flags announces.
const fn colors(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn extension<W: Write>(from: &mut impl BufRead, to: &mut W) -> Result<(), StripError> {
    let [kind] = array(from)?;
    match kind {
        CONTROL => {
            to.write_all(&[EXTENSION, kind])?;
            chain(from, Some(to))
        }
        APPLICATION => {
            let [length] = array(from)?;
            if length != 11 {
                skip(from, length.into())?;
                return if length == 0 { Ok(()) } else { chain::<W>(from, None) };
            }
            let name: [u8; 11] = array(from)?;
            if !APPLICATIONS.contains(&&name) {
                return chain::<W>(from, None);
            }
            to.write_all(&[EXTENSION, kind, length])?;
            to.write_all(&name)?;
            chain(from, Some(to))
        }
        // Comments, text that nothing shows, and what is not known.
        _ => chain::<W>(from, None),
    }
}

/// Copies, or leaves out, sub-blocks up to the empty one.
fn chain<W: Write>(from: &mut impl BufRead, mut to: Option<&mut W>) -> Result<(), StripError> {
    loop {
        let [length] = array(from)?;
        match &mut to {
            Some(to) => {
                to.write_all(&[length])?;
                copy(from, *to, length.into())?;
            }
            None => skip(from, length.into())?,
        }
        if length == 0 {
            return Ok(());
        }
    }
}
