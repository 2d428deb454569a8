//! Standard output of the commands.

use std::io::{ErrorKind, Write as _};

use crate::exit::Failure;

/// Form of a command's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Writes `text` to standard output. A reader that has gone away (`lynk … | head`) is not a failure.
///
/// # Errors
/// Standard output is closed or full.
pub(crate) fn put(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes one JSON value and a line end.
///
/// # Errors
/// As [`put`].
pub(crate) fn put_json(value: &serde_json::Value) -> Result<(), Failure> {
    put(&format!("{value}\n"))
}
