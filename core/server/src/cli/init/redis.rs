//! `lynk init redis`

use clap::Args;
use lynk_redis::acl::is_prefix;

use super::WhereArgs;
use crate::exit::Failure;
use crate::setup::redis::users;

/// `lynk init redis`
#[derive(Args, Clone, Debug)]
pub(crate) struct RedisArgs {
    /// What all keys begin with: `redis.prefix` of the configuration.
    #[arg(long, value_name = "TEXT", default_value = "lynk", value_parser = parse_prefix)]
    prefix: String,
    /// For a server with cuckoo filters (`CF.*`); others refuse the whole file.
    #[arg(long)]
    filter: bool,
    #[command(flatten)]
    place: WhereArgs,
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let good = is_prefix(text).then(|| text.to_owned());
    good.ok_or_else(|| "must be 1 to 64 letters, digits, `-`, `_` or `.`".to_owned())
}

impl RedisArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.place.put(&users(&self.prefix, self.filter, &self.place.passwords()?)?)
    }
}
