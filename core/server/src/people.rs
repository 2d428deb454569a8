//! Names for users while there are no accounts: `alice` is a user id, and the id is `alice` again.
//!
//! Up to 20 characters of `a–z 0–9 . - _` are packed, six bits each, into the free bits of a UUID of version 8, the one for
//! private use. Ids of real accounts have other versions, so the two never meet.

use lynk_domain::UserId;

/// Longest name that fits into an id.
const NAME_CHARS_MAX: usize = 20;
/// Value of a position behind the end of the name.
const END: u8 = 0;
/// Characters with the values 1, 2, 3 …
const ALPHABET: &[u8; 39] = b"abcdefghijklmnopqrstuvwxyz0123456789.-_";

/// The user that `text` means: an id in hyphenated form, or a name. `None` when it is neither.
pub(crate) fn user_of(text: &str) -> Option<UserId> {
    UserId::parse(text).filter(|id| !id.is_nil()).or_else(|| id_of_name(text))
}

/// What to call a user: the name, or the beginning of the id.
pub(crate) fn name_of(user: UserId) -> String {
    name_of_id(user).unwrap_or_else(|| user.to_string()[..8].to_owned())
}

fn id_of_name(name: &str) -> Option<UserId> {
    if name.is_empty() || name.len() > NAME_CHARS_MAX {
        return None;
    }
    let mut values = [END; NAME_CHARS_MAX];
    for (value, byte) in values.iter_mut().zip(name.bytes()) {
        let index = ALPHABET.iter().position(|known| *known == byte.to_ascii_lowercase())?;
        *value = index as u8 + 1;
    }
    let bits = values.iter().fold(0u128, |bits, value| bits << 6 | u128::from(*value)) << 2;
    // 122 bits around the version (bits 48–51 from the top) and the variant (bits 64–65).
    let high = bits >> 74;
    let middle = bits >> 62 & 0xfff;
    let low = bits & ((1 << 62) - 1);
    let id = high << 80 | 0x8 << 76 | middle << 64 | 0b10 << 62 | low;
    Some(UserId(id.to_be_bytes()))
}

fn name_of_id(user: UserId) -> Option<String> {
    let id = u128::from_be_bytes(user.0);
    if id >> 76 & 0xf != 8 || id >> 62 & 0b11 != 0b10 {
        return None;
    }
    let bits = (id >> 80) << 74 | (id >> 64 & 0xfff) << 62 | id & ((1 << 62) - 1);
    let mut name = String::new();
    for place in 0..NAME_CHARS_MAX {
        let value = (bits >> (116 - 6 * place) & 0x3f) as usize;
        if value == usize::from(END) {
            break;
        }
        name.push(char::from(*ALPHABET.get(value - 1)?));
    }
    (id_of_name(&name) == Some(user)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_ids() {
        for name in ["a", "alice", "bob-2", "x.y_z", "abcdefghijklmnopqrst", "____________________"] {
            let id = user_of(name).expect("a name");
            assert_eq!(name_of(id), name);
            assert_eq!(user_of(&id.to_string()), Some(id), "the id is accepted as well");
            assert_eq!(id.0[6] >> 4, 8);
            assert_eq!(id.0[8] >> 6, 0b10);
        }
        assert_eq!(user_of("Alice"), user_of("alice"));
        assert_ne!(user_of("alice"), user_of("alicea"));
    }

    #[test]
    fn what_is_no_name_is_refused_and_foreign_ids_are_shortened() {
        for bad in ["", "ab cd", "ümit", "abcdefghijklmnopqrstu", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(user_of(bad), None, "{bad}");
        }
        let real = UserId(lynk_domain::uuid_v7(1_700_000_000_000, [9; 10]));
        assert_eq!(name_of(real), real.to_string()[..8]);
        // Version 8, but not one of ours: a character after the end.
        let mut odd = user_of("a").expect("a name");
        odd.0[15] = 4;
        assert_eq!(name_of(odd), odd.to_string()[..8]);
    }
}
