//! A filter of names: "certainly not here" or "maybe".
//!
//! A Bloom filter of fixed size rather than a cuckoo filter: names are never taken out (a name that was given up stays
//! reserved), so deletion buys nothing, and a Bloom filter that is too full only says "maybe" more often, where a cuckoo
//! filter begins to refuse names. Beyond [`NAMES_MAX`] it says "maybe" of everything.

/// Memory of the filter: one in a hundred of the names that do not exist is a "maybe" at about 880,000 names.
pub const NAME_FILTER_BYTES: usize = 1 << 20;
/// Names after which the filter spares hardly a question any more: one in six is a "maybe".
pub const NAMES_MAX: usize = 1_750_000;

const BITS: u64 = NAME_FILTER_BYTES as u64 * 8;
const HASHES: u64 = 7;

/// Allocated with the first name.
#[derive(Default)]
pub(super) struct NameFilter {
    words: Vec<u64>,
    /// Names that were added and not there before, as far as that can be told.
    names: usize,
}

/// Two hashes of a name, of which any number follow: FNV-1a, and a finished form of it.
fn hashes(name: &str) -> (u64, u64) {
    let first = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut second = first;
    second = (second ^ (second >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    second = (second ^ (second >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (first, (second ^ (second >> 31)) | 1)
}

fn places(name: &str) -> impl Iterator<Item = (usize, u64)> {
    let (first, second) = hashes(name);
    (0..HASHES).map(move |n| {
        // The low bits of FNV are the weak ones.
        let bit = (first.wrapping_add(second.wrapping_mul(n + 1)) >> 17) % BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

impl NameFilter {
    pub(super) fn add(&mut self, name: &str) {
        self.words.resize(NAME_FILTER_BYTES / 8, 0);
        let mut new = false;
        for (word, mask) in places(name) {
            new |= self.words[word] & mask == 0;
            self.words[word] |= mask;
        }
        self.names += usize::from(new);
    }

    pub(super) fn is_full(&self) -> bool {
        self.names >= NAMES_MAX
    }

    pub(super) fn may_have(&self, name: &str) -> bool {
        self.is_full()
            || !self.words.is_empty() && places(name).all(|(word, mask)| self.words[word] & mask != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_was_added_is_found_and_few_others() {
        let mut filter = NameFilter::default();
        assert!(!filter.may_have("room"));
        let name = |n: u32| format!("room {n}");
        for n in 0..880_000 {
            filter.add(&name(n));
        }
        assert!((0..880_000).all(|n| filter.may_have(&name(n))));
        let wrong = (880_000..980_000).filter(|n| filter.may_have(&name(*n))).count();
        assert!((200..2_000).contains(&wrong), "{wrong} in 100,000");
    }

    #[test]
    fn a_full_filter_says_maybe_of_everything() {
        let mut filter = NameFilter::default();
        filter.add("room");
        for _ in 0..NAMES_MAX {
            filter.add("room");
        }
        assert!(!filter.is_full() && !filter.may_have("another"), "one name, however often");
        filter.names = NAMES_MAX - 1;
        filter.add("the last one");
        assert!(filter.is_full() && filter.may_have("another"));
    }
}
