//! `lynk init cassandra`

use clap::{Args, ValueEnum};
use lynk_cassandra::Replication;

use super::{WhereArgs, parse_plain};
use crate::cli::bad_flag;
use crate::exit::Failure;
use crate::setup::cassandra::{administrator_cql, roles_cql};

/// `lynk init cassandra`
#[derive(Args, Clone, Debug)]
pub(crate) struct CassandraArgs {
    /// Which text.
    #[arg(long, value_name = "STEP")]
    step: Step,
    /// Name of the keyspace.
    #[arg(long, value_name = "NAME", default_value = "lynk", value_parser = parse_plain)]
    keyspace: String,
    /// Copies in a data centre, for a keyspace that is made; may be repeated. Without it there is one copy, as of one node.
    #[arg(long, value_name = "DATACENTER=COPIES", value_parser = parse_copies)]
    replication: Vec<(String, u8)>,
    #[command(flatten)]
    place: WhereArgs,
}

/// A superuser cannot lock itself, so there are two texts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Step {
    /// For the superuser that a new cluster has.
    Administrator,
    /// For the administrator.
    Roles,
}

fn parse_copies(text: &str) -> Result<(String, u8), String> {
    let (name, copies) = text.split_once('=').ok_or("must have the form datacenter=copies")?;
    let copies = copies.parse().ok().filter(|copies| (1..=9).contains(copies));
    Ok((name.to_owned(), copies.ok_or("copies must be from 1 to 9")?))
}

impl CassandraArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let passwords = self.place.passwords()?;
        let text = match self.step {
            Step::Administrator if !self.replication.is_empty() => {
                return Err(bad_flag("--replication", "belongs to --step roles"));
            }
            Step::Administrator => administrator_cql(&passwords)?,
            Step::Roles => {
                let replication = match self.replication.is_empty() {
                    true => Replication::Simple(1),
                    false => Replication::Datacenters(self.replication),
                };
                roles_cql(&self.keyspace, &replication, &passwords)?
            }
        };
        self.place.put(&text)
    }
}
