//! `lynk init`

#[cfg(feature = "cassandra")]
mod cassandra;
#[cfg(feature = "postgres")]
mod postgres;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::data_dir::{replace, write_new};
use crate::exit::Failure;
use crate::out::put;
use crate::setup::password::Passwords;
use crate::setup::plain_name;

/// `lynk init …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum InitCommand {
    #[cfg(feature = "postgres")]
    /// SQL for the superuser of PostgreSQL: Lynk's roles and database.
    #[command(
        after_help = "Examples:\n  lynk init postgres --out roles.sql\n  lynk init postgres --database chat --rotate\n\n\
        Then: psql -X -f roles.sql postgres, and `lynk migrate`. postgres_admin.password is for a server that is made anew."
    )]
    Postgres(postgres::PostgresArgs),
    #[cfg(feature = "cassandra")]
    /// CQL for the superuser of Cassandra: the administrator, then Lynk's roles and keyspace.
    #[command(
        after_help = "Examples:\n  lynk init cassandra --step administrator --out administrator.cql\n  lynk init cassandra --step roles --replication dc1=3 --out roles.cql\n\n\
        Then: the first with cqlsh as the superuser of the new cluster, the second as cassandra_admin, and `lynk migrate`."
    )]
    Cassandra(cassandra::CassandraArgs),
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

fn parse_plain(text: &str) -> Result<String, String> {
    let plain = plain_name(text).then(|| text.to_owned());
    plain.ok_or_else(|| "must be 1 to 48 of a-z, 0-9 and _, and begin with a letter".to_owned())
}

impl InitCommand {
    /// Makes the text.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(args) => args.run(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(args) => args.run(),
        }
    }
}
