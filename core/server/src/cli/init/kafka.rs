//! `lynk init kafka`

use clap::{Args, ValueEnum};

use super::WhereArgs;
use crate::cli::bad_flag;
use crate::exit::Failure;
use crate::setup::kafka::{administrator_arguments, roles_program};

/// `lynk init kafka`
#[derive(Args, Clone, Debug)]
pub(crate) struct KafkaArgs {
    /// Which text.
    #[arg(long, value_name = "STEP")]
    step: Step,
    /// Copies of each topic. With three or more, what is confirmed is in two [default: 1].
    #[arg(long, value_name = "COPIES", value_parser = clap::value_parser!(u16).range(1..=9))]
    replicas: Option<u16>,
    #[command(flatten)]
    place: WhereArgs,
}

/// A new broker knows nobody, so there are two texts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Step {
    /// Arguments for whoever formats the storage of a new broker.
    Administrator,
    /// For the administrator.
    Roles,
}

impl KafkaArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.step == Step::Administrator {
            if self.replicas.is_some() {
                return Err(bad_flag("--replicas", "belongs to --step roles"));
            }
            // A broker that was formatted would not know the new one, and nobody could sign in to tell it.
            if self.place.rotate {
                return Err(bad_flag("--rotate", "belongs to --step roles"));
            }
        }
        let passwords = self.place.passwords()?;
        self.place.put(&match self.step {
            Step::Administrator => administrator_arguments(&passwords)?,
            Step::Roles => roles_program(self.replicas.unwrap_or(1), &passwords)?,
        })
    }
}
