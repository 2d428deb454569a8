//! Telephone numbers as people write them, and whether they can exist.
//!
//! Thread: any; the first call loads the numbering plans (some milliseconds). Pure. What can fail: the text.

use lynk_domain::Phone;
use lynk_protocol::{ErrorCode, Reject};

/// Longest text that is looked at.
const TEXT_BYTES_MAX: usize = 32;

/// A number that can exist, and the country whose numbering plan it is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Number {
    pub(super) phone: Phone,
    /// ISO 3166, two letters; `None` for numbers of no country (satellites).
    pub(super) country: Option<String>,
}

/// Reads a number in international form: a plus sign, digits, and the usual punctuation between them.
///
/// # Errors
/// It is not one, or no numbering plan has it.
pub(super) fn parse(text: &str) -> Result<Number, Reject> {
    let wrong = || {
        Reject::because(
            ErrorCode::InvalidField,
            "phone must be a telephone number in international form, beginning with + and the country's code",
        )
    };
    let text = text.trim();
    let usual = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')' | '/');
    let Some(rest) =
        text.strip_prefix('+').filter(|rest| text.len() <= TEXT_BYTES_MAX && rest.chars().all(usual))
    else {
        return Err(wrong());
    };
    // Only digits reach the parser: what extensions and letters may mean is not asked.
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let number = phonenumber::parse(None, format!("+{digits}")).map_err(|_| wrong())?;
    if !number.is_valid() {
        return Err(wrong());
    }
    let form = number.format().mode(phonenumber::Mode::E164).to_string();
    let phone = Phone::from_e164(&form).ok_or_else(wrong)?;
    let country = number.country().id().map(|id| id.as_ref().to_owned());
    Ok(Number { phone, country })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_many_spellings_and_are_kept_in_one() {
        for text in ["+4915112345678", " +49 151 12345678 ", "+49 (151) 1234-5678", "+49.151.12345678"] {
            let number = parse(text).expect(text);
            assert_eq!(number.phone.as_e164(), "+4915112345678", "{text}");
            assert_eq!(number.country.as_deref(), Some("DE"));
        }
        let american = parse("+1 202-555-0123").expect("a number");
        assert_eq!((american.phone.as_e164(), american.country.as_deref()), ("+12025550123", Some("US")));
        assert_eq!(parse("+44 7400 123456").expect("a number").country.as_deref(), Some("GB"));
    }

    #[test]
    fn what_no_plan_has_is_refused_whatever_it_holds() {
        let long = format!("+{}", "1".repeat(1 << 16));
        for bad in [
            "",
            "+",
            "0151 12345678",
            "15112345678",
            "+49",
            "+00000000000",
            "+999999999999",
            "+49151123456789012345",
            "+49151\u{0}12345678",
            "+49151١٢٣٤٥٦٧٨",
            "tel:+4915112345678",
            "+4915112345678;ext=1",
            "+1 (202",
            &long,
        ] {
            let refused = parse(bad).expect_err(bad);
            assert_eq!(refused.code, ErrorCode::InvalidField);
            assert!(!refused.message().contains("151"), "the number is not repeated");
        }
    }
}
