//! The judges judged.
