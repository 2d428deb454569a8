//! `lynk migrate`

use clap::Args;
use serde_json::json;

use crate::cli::ConfigArgs;
use crate::config::{MessagesIn, RelationalIn};
use crate::exit::Failure;
use crate::out::{Form, put, put_json};
use crate::stores;

/// `lynk migrate`
#[derive(Args, Clone, Debug)]
pub(crate) struct MigrateArgs {
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

impl MigrateArgs {
    /// Brings the tables of every outside store that is configured to the newest version.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let mut done: Vec<(&str, i64, i64)> = Vec::new();
        let runtime = stores::runtime()?;
        if config.outside.relational == RelationalIn::Postgres {
            #[cfg(feature = "postgres")]
            {
                let (from, to) = stores::postgres::migrate(&config, &runtime)?;
                done.push(("postgres", from.into(), to.into()));
            }
        }
        if config.outside.messages == MessagesIn::Cassandra {
            #[cfg(feature = "cassandra")]
            {
                let (from, to) = stores::cassandra::migrate(&config, &runtime)?;
                done.push(("cassandra", from.into(), to.into()));
            }
        }
        match self.output {
            Form::Json => {
                let all: Vec<_> = done
                    .iter()
                    .map(|(store, from, to)| json!({"store": store, "from": from, "to": to}))
                    .collect();
                put_json(&json!({"migrated": all}))
            }
            Form::Text if done.is_empty() => {
                put("no outside store is configured: embedded stores migrate when the server starts\n")
            }
            Form::Text => {
                let line = |(store, from, to): &(&str, i64, i64)| match from == to {
                    true => format!("{store}: version {to}, nothing to do\n"),
                    false => format!("{store}: version {from} -> {to}\n"),
                };
                put(&done.iter().map(line).collect::<String>())
            }
        }
    }
}
