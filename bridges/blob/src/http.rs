//! How HTTP answers with a blob: which part, under which name, shown or saved.
//!
//! Thread: any. Pure. A blob never changes under its id, so its entity tag is its id and variant. Limits: one range is answered; a request
//! for several gets the whole, as RFC 9110 allows (section 14.2). Nothing can fail.

use lynk_domain::MediaId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Which part of a blob is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// All of it: 200.
    Whole,
    /// From the first to the last byte, both counted: 206.
    Part {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// What was asked for is not there: 416.
    Unsatisfiable,
}

/// The strong entity tag of a blob's variant, with its quotes.
#[must_use]
pub fn entity_tag(id: MediaId, variant: u8) -> String {
    format!("\"{id}.{variant}\"")
}

/// What a request's `Range` and `If-Range` mean for a blob of `bytes` with this tag. What is not understood is as if it were not there.
#[must_use]
pub fn range(header: Option<&str>, if_range: Option<&str>, tag: &str, bytes: u64) -> Range {
    // A date is no tag of ours: whoever sends one gets the whole.
    if if_range.is_some_and(|of| of.trim() != tag) {
        return Range::Whole;
    }
    let Some(asked) = header.and_then(bytes_unit) else { return Range::Whole };
    let Some((first, last)) = asked.split_once('-') else { return Range::Whole };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match number(last) {
            Some(0) => Range::Unsatisfiable,
            Some(_) if bytes == 0 => Range::Unsatisfiable,
            Some(count) => Range::Part { first: bytes.saturating_sub(count), last: bytes - 1 },
            None => Range::Whole,
        };
    }
    let Some(first) = number(first) else { return Range::Whole };
    let last = match (last.is_empty(), number(last)) {
        (true, _) => u64::MAX,
        (false, Some(last)) if last >= first => last,
        _ => return Range::Whole,
    };
    if first >= bytes {
        return Range::Unsatisfiable;
    }
    Range::Part { first, last: last.min(bytes - 1) }
}

/// What follows `bytes=`, when it is one range.
fn bytes_unit(header: &str) -> Option<&str> {
    let (unit, rest) = header.split_once('=')?;
    (unit.trim().eq_ignore_ascii_case("bytes") && !rest.contains(',')).then_some(rest)
}

/// Digits, and nothing else; more than fit are as many as fit.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether a browser may show a type by itself: none that can hold a program.
#[must_use]
pub fn is_shown(kind: &str) -> bool {
    const SHOWN: [&str; 13] = [
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/avif",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
        "video/mp4",
        "video/webm",
        "video/ogg",
    ];
    SHOWN.contains(&kind)
}

/// Characters of a name that RFC 8187 lets stand as they are.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of `Content-Disposition`: `inline` where `shown`, otherwise `attachment`, with the name where there is one. It is ASCII whatever the
/// name has.
#[must_use]
pub fn disposition(shown: bool, name: &str) -> String {
    let kind = if shown { "inline" } else { "attachment" };
    // A name is no path, on no system.
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() {
        return kind.to_owned();
    }
    format!("{kind}; filename*=UTF-8''{}", utf8_percent_encode(name, NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_answered_and_what_is_not_understood_is_the_whole() {
        let part = |first, last| Range::Part { first, last };
        let cases = [
            ("bytes=0-", part(0, 9)),
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-4", part(2, 4)),
            ("Bytes=2-99", part(2, 9)),
            ("bytes=9-9", part(9, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=0-99999999999999999999999", part(0, 9)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=10-11", Range::Unsatisfiable),
            ("bytes=99999999999999999999999-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=4-2", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("lines=0-1", Range::Whole),
            ("", Range::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(range(Some(header), None, "\"t\"", 10), expected, "{header}");
        }
        assert_eq!(range(None, None, "\"t\"", 10), Range::Whole);
        assert_eq!(range(Some("bytes=0-"), None, "\"t\"", 0), Range::Unsatisfiable);
        assert_eq!(range(Some("bytes=-1"), None, "\"t\"", 0), Range::Unsatisfiable);
    }

    #[test]
    fn a_part_of_another_blob_is_never_answered() {
        let tag = entity_tag(MediaId([1; 16]), 0);
        assert_ne!(tag, entity_tag(MediaId([1; 16]), 1));
        let of = |if_range: &str| range(Some("bytes=1-2"), Some(if_range), &tag, 10);
        assert_eq!(of(&tag), Range::Part { first: 1, last: 2 });
        for other in [format!("W/{tag}"), "\"x\"".to_owned(), "Fri, 27 Nov 2026 00:00:00 GMT".to_owned()] {
            assert_eq!(of(&other), Range::Whole, "{other}");
        }
    }

    #[test]
    fn what_could_run_is_saved_and_names_cannot_break_the_header() {
        for kind in ["text/html", "image/svg+xml", "application/pdf", "text/plain", "image/PNG", ""] {
            assert!(!is_shown(kind), "{kind}");
        }
        assert!(is_shown("image/png") && is_shown("video/mp4"));
        assert_eq!(disposition(true, ""), "inline");
        assert_eq!(disposition(false, "a b.png"), "attachment; filename*=UTF-8''a%20b.png");
        let hostile = disposition(false, "..\\../x\"\r\nSet-Cookie: \u{202e}\u{e9};.exe");
        assert_eq!(hostile, "attachment; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20%E2%80%AE%C3%A9%3B.exe");
    }
}
