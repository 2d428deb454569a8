//! QR codes (ISO 18004), as SVG for pages and as PNG for everything else.
//!
//! Thread: any; a fraction of a millisecond for each kind. Pure. Error correction M: a display is clean, and a smaller picture is
//! read from farther away. Limits: [`TEXT_BYTES_MAX`]. What can fail: a text that is too long.

use std::fmt;

use png::{BitDepth, ColorType, Encoder};
use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};

/// Longest text: what still makes a picture that a telephone reads from a display.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Pixels of a module's side.
const MODULE: usize = 6;
/// Modules of white on each side, which the standard demands.
const QUIET: usize = 4;

/// Why there is no picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum QrError {
    /// The text is longer than [`TEXT_BYTES_MAX`].
    TooLong,
    /// It cannot be encoded.
    Encoding,
}

impl fmt::Display for QrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the text is too long for a QR code",
            Self::Encoding => "the text cannot be encoded as a QR code",
        })
    }
}

impl std::error::Error for QrError {}

/// One text as two pictures. `Debug` shows nothing of them: the text may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Qr {
    /// A document of its own.
    pub svg: String,
    /// A file.
    pub png: Vec<u8>,
}

impl fmt::Debug for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Qr(redacted)")
    }
}

/// The pictures of a text.
///
/// # Errors
/// The text is too long.
pub fn qr(text: &str) -> Result<Qr, QrError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(QrError::TooLong);
    }
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| QrError::Encoding)?;
    let side = u32::try_from(MODULE).map_err(|_| QrError::Encoding)?;
    let svg = code.render::<svg::Color<'_>>().module_dimensions(side, side).quiet_zone(true).build();
    Ok(Qr { svg, png: png(&code).map_err(|_| QrError::Encoding)? })
}

/// One bit for each pixel, rows from the top, 1 is white.
fn png(code: &QrCode) -> Result<Vec<u8>, png::EncodingError> {
    let (colors, width) = (code.to_colors(), code.width());
    let pixels = (width + 2 * QUIET) * MODULE;
    let stride = pixels.div_ceil(8);
    let mut rows = vec![0xff_u8; stride * pixels];
    for (at, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (left, top) = ((at % width + QUIET) * MODULE, (at / width + QUIET) * MODULE);
        for y in top..top + MODULE {
            for x in left..left + MODULE {
                rows[y * stride + x / 8] &= !(0x80 >> (x % 8));
            }
        }
    }
    let side = u32::try_from(pixels).map_err(|_| png::EncodingError::LimitsExceeded)?;
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, side, side);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    encoder.write_header()?.write_image_data(&rows)?;
    Ok(file)
}
