//! A telephone number as it is kept.

use std::fmt;

/// Calling codes of one and two digits (ITU-T E.164, list of 2016 and later); all others have three.
const SHORT_CODES: [&str; 46] = [
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
    "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66",
    "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
];

/// A telephone number in E.164 form. `Debug` shows [`Self::masked`]: whole numbers belong into no log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Phone(String);

impl Phone {
    /// A number that is in E.164 form already: `+`, then 7 to 15 digits of which the first is no 0. `None` for anything
    /// else. Whether the number can exist is for the edge to know, which has the numbering plans.
    #[must_use]
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| Self(text.to_owned()))
    }

    /// The whole number, for its own user, the store and the carrier.
    #[must_use]
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The number without its last four digits: what numbers that were bought together have in common.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..self.0.len() - 4]
    }

    /// The calling code and the last two digits: `+49…12`. Enough to recognise one's own number by.
    #[must_use]
    pub fn masked(&self) -> String {
        let digits = &self.0[1..];
        // No code begins with another one, so the first match is the only one.
        let code =
            SHORT_CODES.iter().find(|code| digits.starts_with(**code)).map_or(&digits[..3], |code| code);
        format!("+{code}…{}", &digits[digits.len() - 2..])
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::Phone;

    fn phone(text: &str) -> Phone {
        Phone::from_e164(text).expect("a number")
    }

    #[test]
    fn only_the_international_form_is_kept() {
        assert_eq!(phone("+4915123456712").as_e164(), "+4915123456712");
        for bad in [
            "",
            "+",
            "4915123456712",
            "+0915123456712",
            "+49 1512",
            "+123456",
            "+1234567890123456",
            "+49١٢٣٤٥٦",
        ] {
            assert_eq!(Phone::from_e164(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_number_is_shown_by_its_code_and_last_digits_only() {
        for (text, masked) in [
            ("+4915123456712", "+49…12"),
            ("+12025550123", "+1…23"),
            ("+79161234567", "+7…67"),
            ("+989121234567", "+98…67"),
            ("+351912345678", "+351…78"),
        ] {
            assert_eq!(phone(text).masked(), masked);
            assert_eq!(format!("{:?}", phone(text)), format!("Phone({masked})"));
        }
        assert_eq!(phone("+4915123456712").prefix(), "+491512345");
    }
}
