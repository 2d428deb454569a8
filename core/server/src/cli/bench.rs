//! `lynk bench`

use clap::Args;
use lynk_domain::UserId;
use lynk_loadgen::BenchCommand;

use crate::cli::ConfigArgs;
use crate::data_dir::Keys;
use crate::exit::Failure;
use crate::token::{TTL_MILLIS_MAX, issue, new_session};

/// `lynk bench …`
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
    #[command(flatten)]
    config: ConfigArgs,
}

impl BenchArgs {
    /// Measures.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let scope = config.auth_scope();
        let mut keys = None;
        crate::os::raise_open_files();
        let mut tokens = |n: u64| {
            if keys.is_none() {
                keys = Some(Keys::load(&config.data_dir)?);
            }
            let keys = keys.as_ref().expect("loaded above");
            let user = bench_user(n);
            let (token, _) = issue(keys, &scope, user, new_session()?, TTL_MILLIS_MAX)?;
            Ok((user, token))
        };
        Ok(lynk_loadgen::run(&self.command, &mut tokens)?)
    }
}

/// The n-th user of a measurement: an id that no real user has.
fn bench_user(n: u64) -> UserId {
    let mut id = *b"lynk-be\0\0\0\0\0\0\0\0\0";
    id[8..].copy_from_slice(&n.to_be_bytes());
    id[6] = 0x80 | id[6] & 0x0f;
    id[8] = 0x80 | id[8] & 0x3f;
    UserId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_measurement_are_distinct_and_have_no_names() {
        let some: std::collections::BTreeSet<_> = (0..10_000).map(bench_user).collect();
        assert_eq!(some.len(), 10_000);
        assert_eq!(crate::people::name_of(bench_user(7)), bench_user(7).to_string()[..8]);
    }
}
