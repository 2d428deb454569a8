//! The write-ahead journal: records, segments, group commit, recovery, drain.
