//! `lynk init`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lynk_cassandra::Replication;

use crate::cli::bad_flag;
use crate::data_dir::{replace, write_new};
use crate::exit::Failure;
use crate::out::put;
use crate::setup::password::Passwords;
use crate::setup::{cassandra, plain_name, postgres};

/// `lynk init …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum InitCommand {
    /// SQL for the superuser of PostgreSQL: Lynk's roles and database.
    #[command(
        after_help = "Examples:\n  lynk init postgres --out roles.sql\n  lynk init postgres --database chat --rotate\n\n\
        Then: psql -X -f roles.sql postgres, and `lynk migrate`. postgres_admin.password is for a server that is made anew."
    )]
    Postgres(PostgresArgs),
    /// CQL for the superuser of Cassandra: the administrator, then Lynk's roles and keyspace.
    #[command(
        after_help = "Examples:\n  lynk init cassandra --step administrator --out administrator.cql\n  lynk init cassandra --step roles --replication dc1=3 --out roles.cql\n\n\
        Then: the first with cqlsh as the superuser of the new cluster, the second as cassandra_admin, and `lynk migrate`."
    )]
    Cassandra(CassandraArgs),
}

/// Where things go.
#[derive(Args, Clone, Debug)]
pub(crate) struct WhereArgs {
    /// Directory of the passwords, beside certificates and keys.
    #[arg(long, value_name = "DIR", default_value = "credentials")]
    dir: PathBuf,
    /// Make all passwords anew.
    #[arg(long)]
    rotate: bool,
    /// Write the text to this file (0600) instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file.
    #[arg(long, requires = "out")]
    replace: bool,
}

impl WhereArgs {
    fn passwords(&self) -> Result<Passwords, Failure> {
        Passwords::open(&self.dir, self.rotate)
    }

    fn put(&self, text: &str) -> Result<(), Failure> {
        match &self.out {
            None => put(text),
            Some(path) if self.replace => replace(path, text.as_bytes(), 0o600),
            Some(path) if path.exists() => {
                Err(Failure::dependency(format!("{} is there already", path.display()))
                    .cure("name another file with --out, or overwrite it with --replace"))
            }
            Some(path) => write_new(path, text.as_bytes(), 0o600),
        }
    }
}

/// `lynk init postgres`
#[derive(Args, Clone, Debug)]
pub(crate) struct PostgresArgs {
    /// Name of the database.
    #[arg(long, value_name = "NAME", default_value = "lynk", value_parser = parse_plain)]
    database: String,
    #[command(flatten)]
    place: WhereArgs,
}

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

fn parse_plain(text: &str) -> Result<String, String> {
    let plain = plain_name(text).then(|| text.to_owned());
    plain.ok_or_else(|| "must be 1 to 48 of a-z, 0-9 and _, and begin with a letter".to_owned())
}

fn parse_copies(text: &str) -> Result<(String, u8), String> {
    let (name, copies) = text.split_once('=').ok_or("must have the form datacenter=copies")?;
    let copies = copies.parse().ok().filter(|copies| (1..=9).contains(copies));
    Ok((name.to_owned(), copies.ok_or("copies must be from 1 to 9")?))
}

impl InitCommand {
    /// Makes the text.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Postgres(args) => args.place.put(&postgres::sql(&args.database, &args.place.passwords()?)?),
            Self::Cassandra(args) => args.run(),
        }
    }
}

impl CassandraArgs {
    fn run(self) -> Result<(), Failure> {
        let passwords = self.place.passwords()?;
        let text = match self.step {
            Step::Administrator if !self.replication.is_empty() => {
                return Err(bad_flag("--replication", "belongs to --step roles"));
            }
            Step::Administrator => cassandra::administrator_cql(&passwords)?,
            Step::Roles => {
                let replication = match self.replication.is_empty() {
                    true => Replication::Simple(1),
                    false => Replication::Datacenters(self.replication),
                };
                cassandra::roles_cql(&self.keyspace, &replication, &passwords)?
            }
        };
        self.place.put(&text)
    }
}
