//! What people may call themselves and their devices.
//!
//! Thread: any. Pure. What can fail: the text, with [`ErrorCode::InvalidField`] that says what it must be.

use lynk_model::account::{
    BIO_CHARS_MAX, DEVICE_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, USER_NAME_CHARS_MAX, USER_NAME_CHARS_MIN,
};
use lynk_protocol::{ErrorCode, Reject};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::{MixedScript as _, RestrictionLevel, RestrictionLevelDetection as _};

/// Lines of what a user says of themselves.
const BIO_LINES_MAX: usize = 20;
/// Marks in a row that a letter may carry: more are decoration that overlaps other lines.
const MARKS_MAX: usize = 2;

/// A user name in the form in which it is kept: NFKC.
///
/// # Errors
/// It is not 3 to 32 letters, digits, `_`, `.` or `-`, or its letters are of scripts that no language mixes.
pub(super) fn user_name(text: &str) -> Result<String, Reject> {
    let refused = || {
        Reject::because(
            ErrorCode::InvalidField,
            "user_name must be 3 to 32 letters, digits, underscores, dots or hyphens",
        )
    };
    // NFKC lengthens a character at most 18-fold; longer texts are not looked at.
    if text.len() > 4 * USER_NAME_CHARS_MAX {
        return Err(refused());
    }
    let name: String = text.nfkc().collect();
    let mut marks = MARKS_MAX;
    for character in name.chars() {
        if character.is_alphanumeric() && !is_combining_mark(character) {
            marks = 0;
        } else if is_combining_mark(character) && marks < MARKS_MAX {
            marks += 1;
        } else if matches!(character, '_' | '.' | '-') {
            marks = MARKS_MAX;
        } else {
            return Err(refused());
        }
    }
    // A Cyrillic letter among Latin ones looks like another name (UTS 39, mixed scripts).
    if !name.is_single_script() && !name.check_restriction_level(RestrictionLevel::HighlyRestrictive) {
        return Err(Reject::because(
            ErrorCode::InvalidField,
            "user_name must keep to the letters of one language",
        ));
    }
    let length = (USER_NAME_CHARS_MIN..=USER_NAME_CHARS_MAX).contains(&name.chars().count());
    if length && name.chars().any(char::is_alphanumeric) { Ok(name) } else { Err(refused()) }
}

/// A display name; the user name when there is none.
///
/// # Errors
/// It is longer than 64 characters, or holds characters that move others.
pub(super) fn display_name(text: Option<&str>, user_name: &str) -> Result<String, Reject> {
    match text.map(str::trim) {
        None | Some("") => Ok(user_name.to_owned()),
        Some(text) => {
            line(text, DISPLAY_NAME_CHARS_MAX, "display_name must be at most 64 characters in one line")
        }
    }
}

/// What a user says of themselves; may be empty.
///
/// # Errors
/// It is longer than 500 characters, has more than 20 lines, or holds characters that move others.
pub(super) fn bio(text: &str) -> Result<String, Reject> {
    let refused =
        || Reject::because(ErrorCode::InvalidField, "bio must be at most 500 characters in at most 20 lines");
    if text.len() > 8 * BIO_CHARS_MAX {
        return Err(refused());
    }
    let text = text.trim().replace("\r\n", "\n");
    let lines: Result<Vec<String>, Reject> =
        text.split('\n').map(|one| line(one, BIO_CHARS_MAX, "bio must be plain text")).collect();
    let fits = text.chars().count() <= BIO_CHARS_MAX && lines?.len() <= BIO_LINES_MAX;
    if fits { Ok(text) } else { Err(refused()) }
}

/// What a user calls a device; may be empty.
///
/// # Errors
/// As [`display_name`].
pub(super) fn device(text: Option<&str>) -> Result<String, Reject> {
    let text = text.unwrap_or_default().trim();
    line(text, DEVICE_CHARS_MAX, "device must be at most 64 characters in one line")
}

fn line(text: &str, chars_max: usize, wants: &'static str) -> Result<String, Reject> {
    // Line and paragraph separators, and what turns the direction of the text after it.
    let moves = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().count() > chars_max || text.chars().any(moves) {
        return Err(Reject::because(ErrorCode::InvalidField, wants));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_letters_digits_and_three_marks_of_punctuation() {
        for (given, kept) in [
            ("alice", "alice"),
            ("ＡＬＩＣＥ", "ALICE"),
            ("a.b-c_9", "a.b-c_9"),
            ("Cafe\u{301}", "Café"),
            ("Жанна", "Жанна"),
            ("हिन्दी", "हिन्दी"),
            ("ﬁx", "fix"),
            ("田中たろうtanaka", "田中たろうtanaka"),
            ("Αλέξης_7", "Αλέξης_7"),
        ] {
            assert_eq!(user_name(given).as_deref(), Ok(kept), "{given}");
        }
        let long = "x".repeat(33);
        for bad in [
            "",
            "ab",
            "a b",
            "a\u{200b}bc",
            "a/bc",
            "...",
            "a@bc",
            "\u{301}abc",
            "x\u{300}\u{301}\u{302}y",
            "\u{202e}abc",
            "🙂🙂🙂",
            "p\u{430}ypal",
            "αdmin",
            &long,
            &"y".repeat(1 << 20),
        ] {
            assert!(user_name(bad).is_err(), "{bad:?}");
        }
        assert!(user_name(&"x".repeat(32)).is_ok());
    }

    #[test]
    fn other_names_are_one_line_of_any_script() {
        assert_eq!(display_name(None, "alice").as_deref(), Ok("alice"));
        assert_eq!(display_name(Some("  "), "alice").as_deref(), Ok("alice"));
        assert_eq!(display_name(Some(" Alice 👩‍💻 "), "alice").as_deref(), Ok("Alice 👩‍💻"));
        for bad in ["a\nb", "a\u{0}", "\u{202e}ecila", &"x".repeat(65)] {
            assert!(display_name(Some(bad), "alice").is_err() && device(Some(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(device(None).as_deref(), Ok(""));
    }

    #[test]
    fn what_somebody_says_may_have_lines() {
        assert_eq!(bio(" I count.\r\n\nAlso: 👩‍💻 ").as_deref(), Ok("I count.\n\nAlso: 👩‍💻"));
        assert_eq!(bio("  ").as_deref(), Ok(""));
        assert_eq!(bio(&"ü".repeat(500)).map(|text| text.chars().count()), Ok(500));
        for bad in [
            "ü".repeat(501),
            "a\n".repeat(20) + "a",
            "a\u{0}b".to_owned(),
            "\u{202e}ecila".to_owned(),
            "x".repeat(1 << 20),
        ] {
            assert!(bio(&bad).is_err(), "{:?}", bad.chars().take(9).collect::<String>());
        }
    }
}
