//! Small pictures of a picture.
//!
//! Thread: in the server, that of a process of its own ([`crate::images`]), because decoding takes as long as the file wants and
//! cannot be ended; it is a function of its input all the same. Pure. Limits: [`PIXELS_MAX`] and [`DECODED_BYTES_MAX`], looked at before
//! anything is decoded. What can fail: those, and files that are no picture. Formats' libraries may allocate more than they say, which
//! is why the process has a limit of its own.

use std::fmt;
use std::io::{BufRead, Seek};

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{PngDecoder, PngEncoder};
use image::codecs::webp::WebPDecoder;
use image::imageops::FilterType;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, Limits};

use crate::MediaType;

/// Pixels of a picture that is decoded.
pub const PIXELS_MAX: u64 = 50_000_000;
/// Bytes of its pixels, decoded: four for each of [`PIXELS_MAX`]. With 16 bits for each colour it is half as many pixels.
pub const DECODED_BYTES_MAX: u64 = 4 * PIXELS_MAX;
/// Sides of the boxes that small pictures fit in.
pub const BOXES: [u32; 2] = [320, 1_280];

/// Of 100: no difference on a display, a third of the bytes of 95.
const JPEG_QUALITY: u8 = 82;
/// Longest colour profile that is given on; those of displays have a few thousand bytes.
const PROFILE_BYTES_MAX: usize = 64 << 10;

/// A small picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thumbnail {
    /// The side of the box that it was made for, of [`BOXES`].
    pub fits: u32,
    /// Pixels across, as it is shown.
    pub width: u32,
    /// Pixels down, as it is shown.
    pub height: u32,
    /// [`MediaType::Jpeg`], or [`MediaType::Png`] where something is transparent.
    pub kind: MediaType,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ThumbnailError {
    /// More than [`PIXELS_MAX`], or than [`DECODED_BYTES_MAX`].
    TooLarge,
    /// The file is damaged.
    Undecodable,
    /// Pictures of this type are not read.
    Unsupported,
}

impl fmt::Display for ThumbnailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the picture has too many pixels",
            Self::Undecodable => "the picture cannot be decoded",
            Self::Unsupported => "pictures of this type are not read",
        })
    }
}

impl std::error::Error for ThumbnailError {}

impl From<ImageError> for ThumbnailError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            _ => Self::Undecodable,
        }
    }
}

/// One picture for each of [`BOXES`], the smaller first: upright, without anything that describes it but a colour profile. A box that the
/// picture does not fill has one only if it is the first. Of an animation it is the first picture.
///
/// # Errors
/// Too large, or damaged.
pub fn thumbnails(kind: MediaType, from: impl BufRead + Seek) -> Result<Vec<Thumbnail>, ThumbnailError> {
    match kind {
        MediaType::Jpeg => decode(JpegDecoder::new(from)?),
        MediaType::Png => decode(PngDecoder::with_limits(from, limits())?),
        MediaType::Gif => decode(GifDecoder::new(from)?),
        MediaType::Webp => decode(WebPDecoder::new(from)?),
        _ => Err(ThumbnailError::Unsupported),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    limits
}

/// Whether a picture of this many pixels is decoded.
#[must_use]
pub const fn is_small_enough(width: u32, height: u32) -> bool {
    width as u64 * height as u64 <= PIXELS_MAX
}

fn decode(mut decoder: impl ImageDecoder) -> Result<Vec<Thumbnail>, ThumbnailError> {
    let (width, height) = decoder.dimensions();
    if !is_small_enough(width, height) || decoder.total_bytes() > DECODED_BYTES_MAX {
        return Err(ThumbnailError::TooLarge);
    }
    decoder.set_limits(limits())?;
    let orientation = decoder.orientation()?;
    let profile = decoder.icc_profile()?.filter(|profile| is_of_display(profile));
    let mut picture = DynamicImage::from_decoder(decoder)?;
    let mut small = Vec::with_capacity(BOXES.len());
    // From the largest box to the smallest, so that each works on what the one before left.
    for fits in BOXES.into_iter().rev() {
        let fills = width.max(height) > fits;
        if !fills && fits != BOXES[0] {
            continue;
        }
        if fills {
            picture = reduced(&picture, fits);
        }
        let mut upright = picture.clone();
        upright.apply_orientation(orientation);
        small.push(encode(fits, &upright, profile.as_deref())?);
    }
    small.reverse();
    Ok(small)
}

/// Fits it in a box. The mean of what falls on a pixel is right, and fast, where many do; where few do it shows steps.
fn reduced(picture: &DynamicImage, fits: u32) -> DynamicImage {
    if picture.width().max(picture.height()) >= 2 * fits {
        picture.thumbnail(fits, fits)
    } else {
        picture.resize(fits, fits, FilterType::Triangle)
    }
}

/// A profile of red, green and blue: what is written is that, whatever was read.
fn is_of_display(profile: &[u8]) -> bool {
    profile.len() <= PROFILE_BYTES_MAX && profile.get(16..20) == Some(b"RGB ")
}

fn encode(fits: u32, picture: &DynamicImage, profile: Option<&[u8]>) -> Result<Thumbnail, ThumbnailError> {
    let (width, height, mut bytes) = (picture.width(), picture.height(), Vec::new());
    let transparent = picture.color().has_alpha().then(|| picture.to_rgba8());
    let transparent = transparent.filter(|rgba| rgba.pixels().any(|pixel| pixel.0[3] != u8::MAX));
    let kind = if let Some(rgba) = transparent {
        let mut encoder = PngEncoder::new(&mut bytes);
        if let Some(profile) = profile {
            encoder.set_icc_profile(profile.to_vec()).map_err(|_| ThumbnailError::Undecodable)?;
        }
        encoder.write_image(rgba.as_raw(), width, height, ExtendedColorType::Rgba8)?;
        MediaType::Png
    } else {
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        if let Some(profile) = profile {
            encoder.set_icc_profile(profile.to_vec()).map_err(|_| ThumbnailError::Undecodable)?;
        }
        encoder.write_image(picture.to_rgb8().as_raw(), width, height, ExtendedColorType::Rgb8)?;
        MediaType::Jpeg
    };
    Ok(Thumbnail { fits, width, height, kind, bytes })
}
