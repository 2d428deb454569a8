//! `lynk init postgres`

use clap::Args;

use super::{WhereArgs, parse_plain};
use crate::exit::Failure;
use crate::setup::postgres::sql;

/// `lynk init postgres`
#[derive(Args, Clone, Debug)]
pub(crate) struct PostgresArgs {
    /// Name of the database.
    #[arg(long, value_name = "NAME", default_value = "lynk", value_parser = parse_plain)]
    database: String,
    #[command(flatten)]
    place: WhereArgs,
}

impl PostgresArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.place.put(&sql(&self.database, &self.place.passwords()?)?)
    }
}
