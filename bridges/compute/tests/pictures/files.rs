//! Pictures with descriptions in every place where one may be.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{Frame, ImageEncoder as _, Rgb, RgbImage, Rgba, RgbaImage};
use lynk_compute::MediaType;

/// In every description.
pub(crate) const SECRET: &[u8] = b"48.2082N 16.3738E";

/// Red above, blue below, green to the right of both.
pub(crate) fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        if x >= width * 3 / 4 {
            Rgb([0, 200, 0])
        } else if y < height / 2 {
            Rgb([200, 0, 0])
        } else {
            Rgb([0, 0, 200])
        }
    })
}

/// The same, half of it transparent.
pub(crate) fn glass(width: u32, height: u32) -> RgbaImage {
    let scene = scene(width, height);
    RgbaImage::from_fn(width, height, |x, y| {
        let Rgb([r, g, b]) = *scene.get_pixel(x, y);
        Rgba([r, g, b, if y < height / 2 { 255 } else { 60 }])
    })
}

/// TIFF with an orientation and a place.
pub(crate) fn exif(orientation: u16) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0]);
    tiff.extend(orientation.to_le_bytes());
    tiff.extend([0, 0]);
    // Description: text at offset 38.
    tiff.extend([0x0e, 0x01, 2, 0]);
    tiff.extend(u32::try_from(SECRET.len()).expect("it fits").to_le_bytes());
    tiff.extend(38_u32.to_le_bytes());
    tiff.extend([0; 4]);
    tiff.extend(SECRET);
    tiff
}

fn segment(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut segment = vec![0xff, kind];
    segment.extend(u16::try_from(content.len() + 2).expect("it fits").to_be_bytes());
    segment.extend(content);
    segment
}

/// The plain JPEG.
pub(crate) fn plain_jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 95).encode_image(&scene(width, height)).expect("encodes");
    file
}

pub(crate) fn jpeg(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let plain = plain_jpeg(width, height);
    let mut file = plain[..2].to_vec();
    file.extend(segment(0xe1, &[b"Exif\0\0", &exif(orientation)]));
    file.extend(segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET]));
    file.extend(segment(0xed, &[b"Photoshop 3.0\0", SECRET]));
    file.extend(segment(0xe2, &[b"MPF\0", SECRET]));
    file.extend(segment(0xfe, &[SECRET]));
    file.extend(&plain[2..]);
    // A film behind the picture, as some telephones put it there.
    file.extend(SECRET);
    file
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

pub(crate) fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = u32::try_from(content.len()).expect("it fits").to_be_bytes().to_vec();
    chunk.extend(kind);
    chunk.extend(content);
    chunk.extend(crc(&chunk[4..]).to_be_bytes());
    chunk
}

/// `IHDR` and what follows it.
const PNG_HEADER_BYTES: usize = 8 + 25;

pub(crate) fn png(picture: &RgbaImage, orientation: u16) -> Vec<u8> {
    let mut plain = Vec::new();
    PngEncoder::new(&mut plain)
        .write_image(picture.as_raw(), picture.width(), picture.height(), image::ExtendedColorType::Rgba8)
        .expect("encodes");
    let mut file = plain[..PNG_HEADER_BYTES].to_vec();
    file.extend(chunk(b"gAMA", &45_455_u32.to_be_bytes()));
    file.extend(chunk(b"eXIf", &exif(orientation)));
    file.extend(chunk(b"tEXt", &[b"Comment\0".as_slice(), SECRET].concat()));
    file.extend(chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), SECRET].concat()));
    file.extend(chunk(b"zTXt", &[b"Place\0\0".as_slice(), SECRET].concat()));
    file.extend(chunk(b"tIME", &[7, 234, 11, 27, 1, 2, 3]));
    file.extend(chunk(b"prVt", SECRET));
    file.extend(&plain[PNG_HEADER_BYTES..]);
    file.extend(SECRET);
    file
}

/// A header without a picture.
pub(crate) fn png_of(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    file.extend(chunk(b"IHDR", &header));
    file.extend(chunk(b"IDAT", data));
    file.extend(chunk(b"IEND", &[]));
    file
}

fn riff_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend(u32::try_from(content.len()).expect("it fits").to_le_bytes());
    chunk.extend(content);
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

pub(crate) fn webp(picture: &RgbaImage, orientation: u16) -> Vec<u8> {
    let mut plain = Vec::new();
    WebPEncoder::new_lossless(&mut plain)
        .write_image(picture.as_raw(), picture.width(), picture.height(), image::ExtendedColorType::Rgba8)
        .expect("encodes");
    let mut extended = vec![0x10 | 0x08 | 0x04, 0, 0, 0];
    extended.extend(&(picture.width() - 1).to_le_bytes()[..3]);
    extended.extend(&(picture.height() - 1).to_le_bytes()[..3]);
    let mut file = b"WEBP".to_vec();
    file.extend(riff_chunk(b"VP8X", &extended));
    file.extend(&plain[12..]);
    file.extend(riff_chunk(b"EXIF", &exif(orientation)));
    file.extend(riff_chunk(b"XMP ", SECRET));
    file.extend(riff_chunk(b"note", SECRET));
    let mut whole = b"RIFF".to_vec();
    whole.extend(u32::try_from(file.len()).expect("it fits").to_le_bytes());
    whole.extend(file);
    whole
}

pub(crate) fn gif(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut encoder = GifEncoder::new(&mut plain);
    encoder.set_repeat(image::codecs::gif::Repeat::Infinite).expect("encodes");
    for _ in 0..frames {
        encoder.encode_frame(Frame::new(glass(width, height))).expect("encodes");
    }
    drop(encoder);
    let table = if plain[10] & 0x80 == 0 { 0 } else { 3 << ((plain[10] & 7) + 1) };
    let (head, rest) = plain.split_at(13 + table);
    let short = u8::try_from(SECRET.len()).expect("it fits");
    let mut file = head.to_vec();
    file.extend([0x21, 0xfe, short]);
    file.extend(SECRET);
    file.push(0);
    file.extend([0x21, 0xff, 11]);
    file.extend(b"XMP DataXMP");
    file.extend(SECRET.iter().map(|byte| byte & 0x7f));
    file.push(1);
    // The end that makes a reader of sub-blocks come out, wherever it was.
    file.extend((0..=255_u8).rev());
    file.push(0);
    file.extend(rest);
    file.extend(SECRET);
    file
}

/// One of each, with descriptions.
pub(crate) fn all() -> Vec<(MediaType, Vec<u8>)> {
    vec![
        (MediaType::Jpeg, jpeg(64, 48, 6)),
        (MediaType::Png, png(&glass(64, 48), 6)),
        (MediaType::Webp, webp(&glass(64, 48), 6)),
        (MediaType::Gif, gif(64, 48, 3)),
    ]
}

pub(crate) fn holds(file: &[u8], needle: &[u8]) -> bool {
    file.windows(needle.len()).any(|window| window == needle)
}

pub(crate) fn strip(
    kind: MediaType,
    file: &[u8],
) -> Result<(Vec<u8>, lynk_compute::Stripped), lynk_compute::StripError> {
    let mut to = Cursor::new(Vec::new());
    let stripped = lynk_compute::strip(kind, &mut Cursor::new(file), &mut to)?;
    Ok((to.into_inner(), stripped))
}
