//! Times that clients name: RFC 3339 text, or milliseconds since 1970.
//!
//! Thread: any. Pure. Times before 1970 become its beginning, and fractions below a millisecond are dropped.

use std::fmt;

use lynk_domain::Millis;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Days from 0000-03-01 to 1970-01-01, with leap days by the usual civil calendar arithmetic.
const DAYS_TO_1970: i64 = 719_468;

/// Reads a time of RFC 3339: `2026-11-23T17:48:51.123Z`, or with an offset as `+01:00`. `None` for anything else. A leap second is the
/// second after it.
#[must_use]
pub fn parse_time(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    let number = |from: usize, digits: usize| -> Option<i64> {
        let digits = bytes.get(from..from + digits)?;
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let sign = |at: usize, one_of: &[u8]| bytes.get(at).is_some_and(|byte| one_of.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let signs = [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    let fits = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 || !signs.iter().all(|(at, of)| sign(*at, of)) {
        return None;
    }
    let mut at = 19;
    let mut millis = 0;
    if sign(at, b".") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = digits.min(3);
        millis = number(at + 1, kept)? * 10_i64.pow(3 - kept as u32);
        if digits == 0 {
            return None;
        }
        at += 1 + digits;
    }
    let offset = match bytes.get(at..)? {
        b"Z" | b"z" => 0,
        [plus @ (b'+' | b'-'), rest @ ..] if rest.len() == 5 && rest[2] == b':' => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *plus == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let days = days_since_1970(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    Some(Millis(u64::try_from(seconds * 1_000 + millis).unwrap_or(0)))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970
}

/// A time in a command: a text or a number.
pub(crate) struct Moment(pub(crate) Millis);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Moment;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as in RFC 3339, or milliseconds since 1970")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Moment, E> {
                Ok(Moment(Millis(value)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                // In a query everything is text.
                let millis = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
                let at = parse_time(text).or_else(|| millis().flatten().map(Millis));
                at.map(Moment).ok_or_else(|| E::custom("not a time as in RFC 3339"))
            }
        }
        deserializer.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_time;

    #[test]
    fn what_is_written_is_read_back() {
        // Uneven steps over more than four centuries meet every kind of year and month.
        for at in (0..14_000_000_000_000).step_by(86_399_983 * 11) {
            let mut text = Vec::new();
            write_time(&mut text, Millis(at));
            let text = String::from_utf8(text).expect("ASCII");
            assert_eq!(parse_time(&text), Some(Millis(at)), "{text}");
        }
    }

    #[test]
    fn other_forms_of_rfc_3339_are_read() {
        for (text, at) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00.5z", 500),
            ("1970-01-01 00:00:01.23456Z", 1_234),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T18:30:00.001-05:30", 1),
            ("2000-02-29T23:59:60Z", 951_868_800_000),
            ("1960-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(parse_time(text), Some(Millis(at)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T17:48Z",
            "2026-11-23T17:48:51",
            "2026-11-23T17:48:51.Z",
            "2026-11-23T17:48:51.123",
            "2026-11-23T17:48:51+0100",
            "2026-11-23T17:48:51+01:00Z",
            "2026-11-23T17:48:51+24:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T17:60:00Z",
            "2O26-11-23T17:48:51Z",
            "+026-11-23T17:48:51Z",
            "2026-11-23T17:48:51é",
            "99999-11-23T17:48:51Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
