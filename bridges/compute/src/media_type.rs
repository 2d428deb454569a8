//! What a file is, by its first bytes.
//!
//! Thread: any. Pure, no allocation but of a name that is changed. A file's type is never believed: what begins as nothing known here has none, and what somebody
//! declares must agree with what was found. Limits: [`SNIFF_BYTES`] are enough for every type.

use std::borrow::Cow;

/// How many bytes of a file's beginning [`sniff`] wants; all of them, where the file is shorter.
pub const SNIFF_BYTES: usize = 4_096;

macro_rules! media_types {
    ($($(#[$doc:meta])* $name:ident: $text:literal, $($extension:literal),+;)*) => {
        /// A type of media.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum MediaType {
            $($(#[$doc])* $name,)*
        }

        impl MediaType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As HTTP names it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The ends of names that files of it have, without a dot; the usual one first.
            #[must_use]
            pub const fn extensions(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($extension),+],)*
                }
            }
        }
    };
}

media_types! {
    /// JPEG.
    Jpeg: "image/jpeg", "jpg", "jpeg";
    /// PNG, also animated.
    Png: "image/png", "png";
    /// GIF.
    Gif: "image/gif", "gif";
    /// WebP.
    Webp: "image/webp", "webp";
    /// AVIF: not looked into.
    Avif: "image/avif", "avif";
    /// HEIC and HEIF: not looked into.
    Heic: "image/heic", "heic", "heif";
    /// MP4 video.
    Mp4: "video/mp4", "mp4", "m4v";
    /// MP4 with sound only.
    M4a: "audio/mp4", "m4a";
    /// QuickTime.
    Mov: "video/quicktime", "mov";
    /// WebM.
    Webm: "video/webm", "webm";
    /// WebM with sound only.
    WebmAudio: "audio/webm", "weba";
    /// MP3.
    Mp3: "audio/mpeg", "mp3";
    /// Ogg: Vorbis or Opus.
    Ogg: "audio/ogg", "ogg", "oga", "opus";
    /// Ogg with a picture.
    OggVideo: "video/ogg", "ogv";
    /// WAV.
    Wav: "audio/wav", "wav";
    /// PDF.
    Pdf: "application/pdf", "pdf";
    /// ZIP.
    Zip: "application/zip", "zip";
    /// Text of Microsoft Office.
    Docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx";
    /// Table of Microsoft Office.
    Xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx";
    /// Slides of Microsoft Office.
    Pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx";
    /// OpenDocument text.
    Odt: "application/vnd.oasis.opendocument.text", "odt";
    /// OpenDocument table.
    Ods: "application/vnd.oasis.opendocument.spreadsheet", "ods";
    /// OpenDocument slides.
    Odp: "application/vnd.oasis.opendocument.presentation", "odp";
    /// Electronic book.
    Epub: "application/epub+zip", "epub";
    /// Text in UTF-8.
    Text: "text/plain", "txt", "log";
    /// Values with commas.
    Csv: "text/csv", "csv";
    /// Markdown.
    Markdown: "text/markdown", "md", "markdown";
}

impl MediaType {
    /// The type that a declaration names. Parameters (`; charset=…`) and case do not matter; `None` is a type that is not allowed.
    #[must_use]
    pub fn parse(declared: &str) -> Option<Self> {
        let essence = declared.split(';').next().unwrap_or_default().trim();
        let known = match essence {
            other if other.eq_ignore_ascii_case("image/jpg") => "image/jpeg",
            other if other.eq_ignore_ascii_case("image/heif") => "image/heic",
            other if other.eq_ignore_ascii_case("audio/mp3") => "audio/mpeg",
            other if other.eq_ignore_ascii_case("audio/x-m4a") => "audio/mp4",
            other if other.eq_ignore_ascii_case("audio/x-wav") => "audio/wav",
            other if other.eq_ignore_ascii_case("application/x-zip-compressed") => "application/zip",
            other => other,
        };
        Self::ALL.iter().copied().find(|one| one.as_str().eq_ignore_ascii_case(known))
    }

    /// The usual end of a file's name, without a dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        self.extensions()[0]
    }

    /// The name that a file of this type is saved under: `name`, which ends as names of the type do, or gets the usual end. What somebody
    /// called `report.exe` is saved as `report.exe.pdf`, so no system takes it for what its bytes are not. No name stays none.
    #[must_use]
    pub fn saved_as(self, name: &str) -> Cow<'_, str> {
        let end = name.rsplit_once('.').map(|(_, end)| end);
        let known = end.is_some_and(|end| self.extensions().iter().any(|one| one.eq_ignore_ascii_case(end)));
        if known || name.is_empty() {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(format!("{name}.{}", self.extension()))
        }
    }

    /// The type whose first bytes this one shares: a document in a ZIP begins as a ZIP does.
    #[must_use]
    pub const fn container(self) -> Self {
        match self {
            Self::M4a => Self::Mp4,
            Self::WebmAudio => Self::Webm,
            Self::OggVideo => Self::Ogg,
            Self::Docx | Self::Xlsx | Self::Pptx | Self::Odt | Self::Ods | Self::Odp | Self::Epub => {
                Self::Zip
            }
            Self::Csv | Self::Markdown => Self::Text,
            other => other,
        }
    }

    /// Whether a file that was declared as `declared` may have these first bytes. What was declared is then the finer name of the two.
    #[must_use]
    pub const fn agrees(self, declared: Self) -> bool {
        self.container() as u8 == declared.container() as u8
    }

    /// Whether it is a picture, of whatever kind.
    #[must_use]
    pub const fn is_image(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Webp | Self::Avif | Self::Heic)
    }

    /// Whether [`strip`](crate::strip) and [`thumbnails`](crate::thumbnails) know it.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Webp)
    }
}

/// The type of a file that begins with `head`, its first [`SNIFF_BYTES`] or all of it. `None`: nothing that is allowed.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<MediaType> {
    use MediaType as T;
    Some(match head {
        [0xff, 0xd8, 0xff, ..] => T::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => T::Png,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => T::Gif,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => T::Webp,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => T::Wav,
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return brands(head),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => return ebml(head),
        [b'O', b'g', b'g', b'S', 0, ..] => T::Ogg,
        [b'I', b'D', b'3', 2..=4, ..] => T::Mp3,
        [b'%', b'P', b'D', b'F', b'-', ..] => T::Pdf,
        [b'P', b'K', 3, 4, ..] => zip(head),
        [b'P', b'K', 5, 6, ..] => T::Zip,
        [0xff, second, third, ..] if is_mp3(*second, *third) => T::Mp3,
        _ if is_text(head) => T::Text,
        _ => return None,
    })
}

/// The brands of an ISO base media file, the main one first.
fn brands(head: &[u8]) -> Option<MediaType> {
    let size = usize::try_from(u32::from_be_bytes(*head.first_chunk()?)).ok()?;
    // A size that is no multiple of four, or reaches beyond what was read, ends the list where it ends.
    let end = size.min(head.len());
    let main = head.get(8..12)?;
    let of_image = |brand: &[u8]| match brand {
        b"avif" | b"avis" => Some(MediaType::Avif),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some(MediaType::Heic),
        _ => None,
    };
    if let Some(image) = of_image(main) {
        return Some(image);
    }
    match main {
        b"mif1" | b"msf1" => {
            let others = head.get(16..end).unwrap_or_default();
            Some(others.chunks_exact(4).find_map(of_image).unwrap_or(MediaType::Heic))
        }
        b"qt  " => Some(MediaType::Mov),
        b"M4A " | b"M4B " => Some(MediaType::M4a),
        b"isom" | b"iso2" | b"iso3" | b"iso4" | b"iso5" | b"iso6" | b"iso7" | b"iso8" | b"iso9" | b"mp41"
        | b"mp42" | b"avc1" | b"dash" | b"M4V " | b"M4VP" | b"mmp4" | b"MSNV" | b"3gp4" | b"3gp5"
        | b"3gp6" | b"3g2a" => Some(MediaType::Mp4),
        _ => None,
    }
}

/// WebM is Matroska that says so.
fn ebml(head: &[u8]) -> Option<MediaType> {
    let start = head.get(..64.min(head.len()))?;
    let kind = start.windows(3).position(|id| id == [0x42, 0x82, 0x84])?;
    (start.get(kind + 3..kind + 7)? == b"webm").then_some(MediaType::Webm)
}

/// Documents whose first entry tells what they are: OpenDocument and EPUB store their type there, uncompressed. Others are ZIP, and
/// what is declared tells them apart.
fn zip(head: &[u8]) -> MediaType {
    let Some((header, rest)) = head.split_at_checked(30) else { return MediaType::Zip };
    let extra = usize::from(u16::from_le_bytes([header[28], header[29]]));
    let (Some(b"mimetype"), Some(content)) = (rest.get(..8), rest.get(8 + extra..)) else {
        return MediaType::Zip;
    };
    [MediaType::Odt, MediaType::Ods, MediaType::Odp, MediaType::Epub]
        .into_iter()
        .find(|kind| content.starts_with(kind.as_str().as_bytes()))
        .unwrap_or(MediaType::Zip)
}

/// The header of a frame of MPEG audio, layer III, with values that are not reserved.
const fn is_mp3(second: u8, third: u8) -> bool {
    let (sync, version, layer) = (second & 0xe0 == 0xe0, (second >> 3) & 3, (second >> 1) & 3);
    sync && version != 1 && layer == 1 && third >> 4 != 15 && third >> 4 != 0 && (third >> 2) & 3 != 3
}

/// UTF-8 without controls; the last character may be cut by the end of what was read.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && head.len() >= SNIFF_BYTES => {
            let (valid, _) = head.split_at(error.valid_up_to());
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
}
