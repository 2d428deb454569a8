//! When two names are the same name: of rooms, of users.
//!
//! Thread: any. Pure; allocates the folded text. Nothing can fail.

use lynk_domain::RoomKind;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// How long a name that a room or a user gave up stays closed to others, in milliseconds: 30 days.
pub const NAME_RESERVED_MILLIS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Whether rooms of a kind have unique names: those that strangers can see.
#[must_use]
pub fn name_is_unique(kind: RoomKind) -> bool {
    matches!(kind, RoomKind::Public | RoomKind::InviteOnly)
}

/// The folded form of the unique name that a room of a kind has; `None` when it has none.
#[must_use]
pub fn unique_name(kind: RoomKind, name: &str) -> Option<String> {
    let folded = fold_name(name);
    (name_is_unique(kind) && !folded.is_empty()).then_some(folded)
}

/// The form under which names are compared: NFKC, case folded, NFKC again. Part of the stored format.
///
/// Folding goes through upper case, character by character: it makes `ß` equal to `ss` and a final sigma
/// equal to an inner one, as full case folding does, and beyond it a dotless i equal to an i, which
/// only closes one more look-alike.
#[must_use]
pub fn fold_name(name: &str) -> String {
    name.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
}

/// Longest word that is kept, in characters.
const SEARCH_WORD_CHARS_MAX: usize = 64;

/// The words of a text in the form under which people are searched: NFKD without marks, case folded as in [`fold_name`], cut where
/// neither a letter nor a digit is. Part of the stored format.
#[must_use]
pub fn search_words(text: &str) -> Vec<String> {
    let unmarked = text.nfkd().filter(|c| !is_combining_mark(*c));
    // Folding may bring marks again.
    let folded = unmarked.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkd();
    let folded: String = folded.filter(|c| !is_combining_mark(*c)).collect();
    let words = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(SEARCH_WORD_CHARS_MAX).collect()).collect()
}

/// Longest form of a room's name that is kept for lists, in characters.
const LISTED_CHARS_MAX: usize = 64;

/// The form of a room's name by which public rooms are listed and searched: its [`search_words`], one space between two, cut at 64
/// characters. Part of the stored format.
#[must_use]
pub fn listed_name(name: &str) -> String {
    let form: String = search_words(name).join(" ").chars().take(LISTED_CHARS_MAX).collect();
    form.trim_end().to_owned()
}

/// The first text after all that begin with `word`, which [`search_words`] made: no word has its last character.
#[must_use]
pub fn after_prefix(word: &str) -> String {
    format!("{word}\u{10ffff}")
}

#[cfg(test)]
mod tests {
    use super::{after_prefix, fold_name, listed_name, search_words};

    #[test]
    fn words_are_found_without_case_and_accents() {
        for (text, words) in [
            ("Ada Lovelace", vec!["ada", "lovelace"]),
            ("  ÉLODIE d’Arc-Müller ", vec!["elodie", "d", "arc", "muller"]),
            ("Straße İstanbul ﬁne", vec!["strasse", "istanbul", "fine"]),
            ("a.b_c-9", vec!["a", "b", "c", "9"]),
            ("Ångström\u{301}", vec!["angstrom"]),
            ("田中 太郎", vec!["田中", "太郎"]),
            ("Ёлка", vec!["елка"]),
            ("👩‍💻 !?", vec![]),
        ] {
            assert_eq!(search_words(text), words, "{text}");
            for word in words {
                assert_eq!(search_words(word), [word], "once more changes nothing");
            }
        }
        assert_eq!(search_words(&"x".repeat(100))[0].len(), 64);
        assert!("ada" < after_prefix("ada").as_str() && "adam" < after_prefix("ada").as_str());
        assert!("adb" > after_prefix("ada").as_str() && "ad\u{10fffd}z" < after_prefix("ad").as_str());
    }

    #[test]
    fn a_rooms_name_is_listed_without_case_accents_and_signs() {
        for (name, listed) in [
            ("Général", "general"),
            ("  The *Café*, again ", "the cafe again"),
            ("!?", ""),
            (&*"é".repeat(100), &*"e".repeat(64)),
            (&*format!("{} x", "e".repeat(63)), &*"e".repeat(63)),
        ] {
            assert_eq!(listed_name(name), listed, "{name}");
            assert_eq!(listed_name(listed), listed, "once more changes nothing");
        }
    }

    #[test]
    fn names_that_look_alike_fold_together() {
        for (a, b) in [
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬁne", "FINE"),
            ("Cafe\u{301}", "CAFÉ"),
            ("\u{ff2c}ynk", "lynk"),
        ] {
            assert_eq!(fold_name(a), fold_name(b), "{a} {b}");
            assert_eq!(fold_name(&fold_name(a)), fold_name(a), "folding twice changes nothing");
        }
        assert_ne!(fold_name("general"), fold_name("générale"));
    }
}
