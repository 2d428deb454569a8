//! Pictures without what their takers did not mean to tell: places, times, names, devices, comments.
//!
//! The parts of the file are copied one by one, and those that only describe are left out; pixels are not touched. Parts that are not
//! known are left out as well. What is kept of the description is which way is up, where that is not as the pixels lie, and the
//! colour profile. Whatever follows the picture's end (a second picture, a film) goes.
//!
//! Thread: one that may block on what it reads and writes. Memory: a buffer and at most one part of 64 KiB. Limits: [`FRAMES_MAX`],
//! [`SCANS_MAX`]. What can fail: reading, writing, and files that are cut or are not what they begin as; none of them panics.

mod exif;
mod gif;
mod jpeg;
mod png;
mod webp;

use std::fmt;
use std::io::{self, BufRead, Read as _, Seek, Write};

use crate::MediaType;

/// Pictures in an animation: a minute of thirty a second, and some.
pub const FRAMES_MAX: u32 = 2_000;
/// Passes over a progressive JPEG; encoders make about ten. Each costs as much as a picture.
pub const SCANS_MAX: u32 = 100;

/// Why there is no copy.
#[derive(Debug)]
#[non_exhaustive]
pub enum StripError {
    /// The file is not what it begins as; tells which part.
    Malformed(&'static str),
    /// The file ends in the middle.
    Truncated,
    /// More than [`FRAMES_MAX`] pictures, or [`SCANS_MAX`] passes.
    TooComplex,
    /// Not a kind that is known here.
    Unsupported,
    /// Reading or writing.
    Io(io::Error),
}

impl fmt::Display for StripError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(f, "the picture is damaged: {part}"),
            Self::Truncated => f.write_str("the picture is cut"),
            Self::TooComplex => f.write_str("the picture has too many frames or passes"),
            Self::Unsupported => f.write_str("pictures of this type are not read"),
            Self::Io(error) => write!(f, "the picture cannot be copied: {error}"),
        }
    }
}

impl std::error::Error for StripError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for StripError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// What was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stripped {
    /// Pixels across, as they lie in the file.
    pub width: u32,
    /// Pixels down, as they lie in the file.
    pub height: u32,
    /// Which way is up, as EXIF numbers it: 1 as the pixels lie, 5 and above exchange width and height.
    pub orientation: u8,
    /// Pictures in it; 1 unless it is an animation.
    pub frames: u32,
}

impl Stripped {
    /// Width and height as they are shown.
    #[must_use]
    pub const fn shown(&self) -> (u32, u32) {
        if self.orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) }
    }
}

/// Copies the picture that `from` begins with to `to`, which is at its beginning, without what only describes it.
///
/// # Errors
/// Reading or writing fails, or the file is not a whole picture of this kind; `to` then holds a part that is of no use.
pub fn strip(
    kind: MediaType,
    from: &mut impl BufRead,
    to: &mut (impl Write + Seek),
) -> Result<Stripped, StripError> {
    let stripped = match kind {
        MediaType::Jpeg => jpeg::strip(from, to),
        MediaType::Png => png::strip(from, to),
        MediaType::Gif => gif::strip(from, to),
        MediaType::Webp => webp::strip(from, to),
        _ => Err(StripError::Unsupported),
    }?;
    if stripped.width == 0 || stripped.height == 0 {
        return Err(StripError::Malformed("a side of no pixels"));
    }
    to.flush()?;
    Ok(stripped)
}

fn array<const N: usize>(from: &mut impl BufRead) -> Result<[u8; N], StripError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Copies exactly that many bytes.
fn copy(from: &mut impl BufRead, to: &mut impl Write, bytes: u64) -> Result<(), StripError> {
    match io::copy(&mut from.take(bytes), to)? {
        copied if copied == bytes => Ok(()),
        _ => Err(StripError::Truncated),
    }
}

/// Leaves out exactly that many bytes.
fn skip(from: &mut impl BufRead, bytes: u64) -> Result<(), StripError> {
    copy(from, &mut io::sink(), bytes)
}

/// One more of what there may be `max` of.
fn count(counted: &mut u32, max: u32) -> Result<(), StripError> {
    *counted += 1;
    if *counted > max { Err(StripError::TooComplex) } else { Ok(()) }
}

/// The first bytes of a part of that many, at most 64 KiB of them, and how many are left.
fn beginning(from: &mut impl BufRead, bytes: u64) -> Result<(Vec<u8>, u64), StripError> {
    let read = bytes.min(exif::BYTES_MAX);
    let mut part = Vec::new();
    from.take(read).read_to_end(&mut part)?;
    if part.len() as u64 == read { Ok((part, bytes - read)) } else { Err(StripError::Truncated) }
}
