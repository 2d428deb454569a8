//! Sizes, durations and money as people write them: `"64KiB"`, `"250ms"`, `"0.0079"`.

/// Size units, largest first, with their number of bytes.
const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Duration units, largest first, with their number of milliseconds.
const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes of `text`, for example `64KiB`; a bare number counts bytes.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    parse(text, &SIZES, Some(1))
}

/// Milliseconds of `text`, for example `250ms`, `15m`. A bare number is refused, as nobody can tell its unit.
pub(crate) fn parse_millis(text: &str) -> Option<u64> {
    if text == "0" { Some(0) } else { parse(text, &DURATIONS, None) }
}

/// A whole number with `_` between digits allowed, as in TOML.
pub(crate) fn parse_count(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Money in ten-thousandths of a unit of currency, of a decimal number with at most four places, for example `0.0079`.
pub(crate) fn parse_money(text: &str) -> Option<u64> {
    let text = text.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 4 {
        return None;
    }
    let part: u64 = format!("{part:0<4}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(10_000)?.checked_add(part)
}

/// Money as the shortest decimal number.
pub(crate) fn format_money(value: u64) -> String {
    let text = format!("{}.{:04}", value / 10_000, value % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parse(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let factor = match unit {
        "" => bare?,
        _ => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    parse_count(number)?.checked_mul(factor)
}

/// `bytes` in the largest unit that is exact.
pub(crate) fn format_bytes(bytes: u64) -> String {
    format(bytes, &SIZES)
}

/// `millis` in the largest unit that is exact.
pub(crate) fn format_millis(millis: u64) -> String {
    format(millis, &DURATIONS)
}

fn format(value: u64, units: &[(&str, u64)]) -> String {
    let smallest = units.iter().find(|(_, factor)| *factor == 1).map_or("", |(name, _)| name);
    let exact = units.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    match exact {
        Some((name, factor)) => format!("{}{name}", value / factor),
        None => format!("{value}{smallest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_they_were_written() {
        for bytes in [0, 1, 1_023, 1 << 10, 64 << 10, 3 << 30, u64::MAX] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }
        for millis in [0, 1, 250, 1_000, 90_000, 900_000, 604_800_000, u64::MAX] {
            assert_eq!(parse_millis(&format_millis(millis)), Some(millis));
        }
        assert_eq!(format_bytes(64 << 10), "64KiB");
        assert_eq!(format_millis(900_000), "15m");
        assert_eq!(format_millis(604_800_000), "7d");
    }

    #[test]
    fn money_is_exact_to_the_hundredth_of_a_cent() {
        for (text, value) in [("0", 0), ("0.0079", 79), ("0.5", 5_000), ("100", 1_000_000), ("1.25", 12_500)]
        {
            assert_eq!(parse_money(text), Some(value), "{text}");
            assert_eq!(format_money(value), text);
        }
        for value in [1, 10, 9_999, 10_000, 123_456_789] {
            assert_eq!(parse_money(&format_money(value)), Some(value));
        }
        for bad in ["", ".", "1.", ".5", "-1", "0.00791", "1,5", "1e3", "99999999999999999999", "1 EUR", "+1"]
        {
            assert_eq!(parse_money(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_has_no_clear_meaning_is_refused() {
        for bad in ["", "KiB", "64KB", "64 kib", "-1", "1.5MiB", "99999999999TiB", "1MiB2"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
        for bad in ["", "250", "ms", "1.5s", "5 minutes", "1h30m", "-1s"] {
            assert_eq!(parse_millis(bad), None, "{bad}");
        }
        assert_eq!(parse_bytes("1_024"), Some(1_024));
        assert_eq!(parse_bytes("64 KiB"), Some(64 << 10));
    }
}
