//! Where files lie: `<root>/<generation>/<shard>/<index>.seg`, and how their names are read back.
//!
//! Generation and shard are canonical decimals; the index has eight digits so that names sort. A file under
//! preparation carries `.tmp` and holds nothing that anyone relies on: every start removes it.

use std::path::{Path, PathBuf};

const SEGMENT_SUFFIX: &str = ".seg";
const PREPARING_SUFFIX: &str = ".tmp";

/// Directory of one generation.
#[must_use]
pub fn generation_dir(root: &Path, generation: u32) -> PathBuf {
    root.join(generation.to_string())
}

/// Directory of one shard's journal.
#[must_use]
pub fn shard_dir(root: &Path, generation: u32, shard: u16) -> PathBuf {
    generation_dir(root, generation).join(shard.to_string())
}

/// Path of one segment.
#[must_use]
pub fn segment_path(root: &Path, generation: u32, shard: u16, index: u32) -> PathBuf {
    shard_dir(root, generation, shard).join(segment_name(index))
}

/// File name of a segment.
#[must_use]
pub fn segment_name(index: u32) -> String {
    format!("{index:08}{SEGMENT_SUFFIX}")
}

/// The name under which the segment at `path` is prepared.
pub(crate) fn preparing_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PREPARING_SUFFIX);
    PathBuf::from(name)
}

/// A generation or shard directory's number; `None` for a name that this program never makes.
pub(crate) fn parse_number<N: std::str::FromStr + ToString>(name: &str) -> Option<N> {
    let number: N = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}

/// A segment's index; `None` for another file.
pub(crate) fn parse_segment(name: &str) -> Option<u32> {
    let index: u32 = name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?;
    (segment_name(index) == name).then_some(index)
}

/// Whether the file was being prepared when the process stopped.
pub(crate) fn is_preparing(name: &str) -> bool {
    name.strip_suffix(PREPARING_SUFFIX).is_some_and(|rest| parse_segment(rest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_names_are_ours() {
        assert_eq!(parse_number::<u16>("12"), Some(12));
        for foreign in ["012", "+1", "", "x", "70000", "1 "] {
            assert_eq!(parse_number::<u16>(foreign), None, "{foreign}");
        }
        assert_eq!(parse_segment("00000007.seg"), Some(7));
        for foreign in ["7.seg", "00000007.seg.tmp", "00000007", "+0000007.seg"] {
            assert_eq!(parse_segment(foreign), None, "{foreign}");
        }
        assert!(is_preparing("00000007.seg.tmp"));
        assert!(!is_preparing("note.tmp"));
    }
}
