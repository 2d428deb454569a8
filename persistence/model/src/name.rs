//! When two names are the same name: of rooms, of users.
//!
//! Thread: any. Pure; allocates the folded text. Nothing can fail.

use lynk_domain::RoomKind;
use unicode_normalization::UnicodeNormalization;

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

#[cfg(test)]
mod tests {
    use super::fold_name;

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
