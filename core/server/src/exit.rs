//! How a command ends: exit codes, and errors that name the cure.

use std::fmt;
use std::process::ExitCode;

/// Exit codes of every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did not work.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// Something outside that the command needs is missing or refuses: kernel, disk, port, permissions, another
    /// process.
    Dependency = 4,
}

/// Why a command failed, with what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    cure: Option<String>,
}

impl Failure {
    /// A failure that says `what` happened.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), cure: None }
    }

    /// Something outside is missing or refuses.
    pub(crate) fn dependency(what: impl Into<String>) -> Self {
        Self::new(Exit::Dependency, what)
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// What happened, without the cure.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it.
    pub(crate) fn cure_text(&self) -> Option<&str> {
        self.cure.as_deref()
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.cure {
            Some(cure) => write!(f, "\n  what to do: {cure}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// A failure without a cure of its own: its whole chain of causes is told.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::new(Exit::Failure, format!("{error:#}")),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error.to_string())
    }
}

impl From<crate::config::Problems> for Failure {
    fn from(problems: crate::config::Problems) -> Self {
        Self::new(Exit::Config, problems.to_string())
            .cure("`lynk config default` prints every key; `lynk config explain KEY` tells about one")
    }
}

/// Tells a failure on standard error and turns it into the process's exit code.
pub(crate) fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if standard error is closed.
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("lynk: {failure}\n").as_bytes());
            ExitCode::from(failure.exit() as u8)
        }
    }
}
