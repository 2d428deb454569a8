//! PNG (third edition): chunks of a length, a type, data and a checksum, from `IHDR` to `IEND`.

use std::io::{BufRead, Write};

use super::{FRAMES_MAX, StripError, Stripped, array, beginning, copy, count, exif, skip};

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// What pictures are made of, and what says how colours and pixels are meant.
const KEPT: [&[u8; 4]; 17] = [
    b"PLTE", b"IDAT", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI",
    b"bKGD", b"hIST", b"pHYs", b"acTL", b"fdAT", b"fcTL",
];

pub(super) fn strip(from: &mut impl BufRead, to: &mut impl Write) -> Result<Stripped, StripError> {
    if array(from)? != SIGNATURE {
        return Err(StripError::Malformed("no signature"));
    }
    to.write_all(&SIGNATURE)?;
    let (length, kind) = chunk(from)?;
    if (length, &kind) != (13, b"IHDR") {
        return Err(StripError::Malformed("no header"));
    }
    let header: [u8; 13] = array(from)?;
    begin(length, kind, to)?;
    to.write_all(&header)?;
    copy(from, to, 4)?;
    let [w3, w2, w1, w0, h3, h2, h1, h0, ..] = header;
    let (width, height) = (u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
    let (mut frames, mut orientation, mut pixels) = (0, None, false);
    loop {
        let (length, kind) = chunk(from)?;
        match &kind {
            b"IEND" => {
                if length != 0 || !pixels {
                    return Err(StripError::Malformed("an end without a picture"));
                }
                begin(length, kind, to)?;
                copy(from, to, 4)?;
                return Ok(Stripped {
                    width,
                    height,
                    orientation: orientation.unwrap_or(1),
                    frames: frames.max(1),
                });
            }
            // In its place: an animation's order is numbered and not disturbed by it.
            b"eXIf" if orientation.is_none() => {
                let (tiff, rest) = beginning(from, length.into())?;
                skip(from, rest + 4)?;
                let up = exif::orientation(&tiff);
                orientation = Some(up);
                if up != 1 {
                    describe(up, to)?;
                }
            }
            known if KEPT.contains(&known) => {
                pixels |= known == b"IDAT";
                if known == b"fcTL" {
                    count(&mut frames, FRAMES_MAX)?;
                }
                begin(length, kind, to)?;
                copy(from, to, u64::from(length) + 4)?;
            }
            // A capital letter means that no picture can be made without it.
            [first, ..] if first.is_ascii_uppercase() => {
                return Err(StripError::Malformed("a critical chunk that is not known"));
            }
            _ => skip(from, u64::from(length) + 4)?,
        }
    }
}

fn chunk(from: &mut impl BufRead) -> Result<(u32, [u8; 4]), StripError> {
    let length = u32::from_be_bytes(array(from)?);
    let kind: [u8; 4] = array(from)?;
    if length > i32::MAX.unsigned_abs() || !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(StripError::Malformed("a chunk's header"));
    }
    Ok((length, kind))
}

fn begin(length: u32, kind: [u8; 4], to: &mut impl Write) -> Result<(), StripError> {
    to.write_all(&length.to_be_bytes())?;
    Ok(to.write_all(&kind)?)
}

fn describe(orientation: u8, to: &mut impl Write) -> Result<(), StripError> {
    let tiff = exif::minimal(orientation);
    let length = u32::try_from(tiff.len()).map_err(|_| StripError::Malformed("a description"))?;
    begin(length, *b"eXIf", to)?;
    to.write_all(&tiff)?;
    let crc = b"eXIf".iter().chain(&tiff).fold(u32::MAX, |crc, byte| step(crc ^ u32::from(*byte)));
    Ok(to.write_all(&(!crc).to_be_bytes())?)
}

/// Eight bits of CRC-32; thirty bytes are too few for a table.
fn step(crc: u32) -> u32 {
    (0..8).fold(crc, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
}
