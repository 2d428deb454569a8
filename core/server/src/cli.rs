//! The command line.
//!
//! Every command: help with two examples, `-o json` where there is an answer to read, and the exit codes 0 done, 1 failed,
//! 2 usage, 3 configuration, 4 something outside is missing or refuses.

mod accounts;
mod bench;
mod certs;
mod chat;
mod config;
mod copies;
mod health;
mod init;
mod keys;
mod migrate;
mod notify;
mod online;
mod reports;
mod token;
mod verify;
mod version;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Loaded, Problem, Problems, Sources, load};
use crate::exit::{Failure, report};
use crate::{doctor, serve};

/// Chat server for very many connections, in one process that keeps what it acknowledged.
#[derive(Parser, Debug)]
#[command(name = "lynk", version, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  lynk serve\n  lynk chat --as alice --room lobby\n\n\
    Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 something outside is missing or refuses")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server.
    #[command(
        after_help = "Examples:\n  lynk serve\n  lynk serve --config /etc/lynk.toml --data /var/lib/lynk --listen 0.0.0.0:7777 --set sms.provider=none\n\n\
        SIGTERM drains and ends; a second one ends at once. SIGHUP reads the configuration again."
    )]
    Serve(ServeArgs),
    /// Talk from a terminal, or from a script.
    #[command(
        after_help = "Examples:\n  lynk chat --as alice --room lobby\n  echo hello | lynk chat --as bot --room lobby -o json\n\n\
        Type /help inside. With -o json every line of standard output is one JSON object."
    )]
    Chat(chat::ChatArgs),
    /// Make an access token with the key of a data directory on this machine.
    #[command(
        after_help = "Examples:\n  lynk token --user 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e\n  lynk token --user alice --ttl 8h -o json"
    )]
    Token(token::TokenArgs),
    /// List or rotate the keys that sign access tokens.
    #[command(after_help = "Examples:\n  lynk keys list\n  lynk keys rotate --overlap 24h", subcommand)]
    Keys(keys::KeysCommand),
    /// Look at accounts, suspend them, and help who has lost an authenticator app; asks the server that runs.
    #[command(
        after_help = "Examples:\n  lynk accounts show --user alice\n  lynk accounts suspend --user alice --reason spam",
        subcommand
    )]
    Accounts(accounts::AccountsCommand),
    /// See what people report in all rooms, and say what came of it; asks the server that runs.
    #[command(
        after_help = "Examples:\n  lynk reports list\n  lynk reports resolve --report 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/3 --outcome dismissed",
        subcommand
    )]
    Reports(reports::ReportsCommand),
    /// Make, renew and revoke the certificates that outside systems and Lynk show each other.
    #[command(after_help = "Examples:\n  lynk certs init --for all\n  lynk certs list --check", subcommand)]
    Certs(certs::CertsCommand),
    /// Print what an administrator runs once on an outside system: roles, passwords, rights.
    #[command(
        after_help = "Examples:\n  lynk init postgres --out roles.sql\n  lynk init cassandra --step roles\n\n\
        Passwords go to files (0600) and are not shown; the texts have what a server checks them with, or read those files.",
        subcommand
    )]
    Init(init::InitCommand),
    /// Ask a server on this machine how it is.
    #[command(after_help = "Examples:\n  lynk health\n  lynk health live --config /etc/lynk.toml")]
    Health(health::HealthArgs),
    /// Tell who is online, over all processes that share a Redis.
    #[command(
        after_help = "Examples:\n  lynk online 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e --config /etc/lynk.toml\n  lynk online alice bob --set store.ephemeral=redis -o json\n\n\
        Reads what servers mirror into Redis: a moment old, and without those whom a mirror had no room for."
    )]
    Online(online::OnlineArgs),
    /// Make or update the tables of the outside stores that are configured.
    #[command(
        after_help = "Examples:\n  lynk migrate --config /etc/lynk.toml\n  lynk migrate --set store.relational=postgres -o json\n\n\
        Signs in as lynk_migrate (PostgreSQL) and lynk_cql_migrate (Cassandra); no other role may change tables. A server of the\n\
        version before goes on working. May be repeated; one at a time."
    )]
    Migrate(migrate::MigrateArgs),
    /// Copy all data as it is at one moment, while the server serves or without one.
    #[command(
        after_help = "Examples:\n  lynk backup --to /backups/2026-11-26\n  lynk backup --data /var/lib/lynk --to /backups/2026-11-26 -o json\n\n\
        A backup is a data directory of embedded stores, wherever the data was. It has no keys and no sessions: copy keys/ apart, once and\n\
        after each `lynk keys rotate`."
    )]
    Backup(copies::BackupArgs),
    /// Make an empty data directory, or fill empty outside stores, from a backup.
    #[command(
        after_help = "Examples:\n  lynk restore --from /backups/2026-11-26 --data /var/lib/lynk\n  lynk restore --from /backups/2026-11-26 --config /etc/lynk.toml -o json\n\n\
        The backup is checked first and stays as it is. Clients read their rooms anew; everybody signs in again."
    )]
    Restore(copies::RestoreArgs),
    /// Move from the embedded stores into outside ones, with a short pause at the end.
    #[command(
        after_help = "Examples:\n  lynk move --from embedded --to external --verify --config /etc/lynk-outside.toml\n  lynk move --from embedded --to external --config /etc/lynk-outside.toml -o json\n\n\
        The configuration names the new stores, which `lynk migrate` has made and which are empty. A server that runs serves while messages are\n\
        copied, and ends for the switch: start it again with that configuration."
    )]
    Move(copies::MoveArgs),
    /// Decide about notifications and send them, as a process of its own; or look at those that were given up.
    #[command(after_help = "Examples:\n  lynk notify --config /etc/lynk.toml\n  lynk notify dead list\n\n\
        For `push.run = \"separate\"`: reads message.created from Kafka as lynk_events_notification, and PostgreSQL as lynk_notify.")]
    Notify(notify::NotifyArgs),
    /// Tell what became of a message for somebody: stored, delivered, notified or not, and why.
    #[command(
        after_help = "Examples:\n  lynk why 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/17 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0f\n  \
        lynk why 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/17 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0f -o json\n\n\
        A message is named by its room and its seq, which every event of it carries. Asks the server that serves from the data directory."
    )]
    Why(notify::WhyArgs),
    /// Check the data directory of a server that does not run.
    #[command(after_help = "Examples:\n  lynk verify\n  lynk verify --data /var/lib/lynk -o json")]
    Verify(verify::VerifyArgs),
    /// Check whether this machine is fit to serve: kernel, io_uring, limits, disk, ports, clock.
    #[command(after_help = "Examples:\n  lynk doctor\n  lynk doctor --config /etc/lynk.toml -o json")]
    Doctor(doctor::DoctorArgs),
    /// Check, print or explain the configuration.
    #[command(
        after_help = "Examples:\n  lynk config check /etc/lynk.toml\n  lynk config explain limits.heartbeat",
        subcommand
    )]
    Config(config::ConfigCommand),
    /// Tell which version this is.
    #[command(after_help = "Examples:\n  lynk version\n  lynk version -o json")]
    Version(version::VersionArgs),
    /// Measure a server on this machine.
    #[command(
        after_help = "Examples:\n  lynk bench send --rate 100\n  lynk bench fanout --rooms 10 --members 100 --pid \"$(pgrep -x lynk)\""
    )]
    Bench(bench::BenchArgs),
}

/// Where settings come from; shared by the commands that need the configuration.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML).
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory [default: data].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Set any key; may be repeated.
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = parse_setting)]
    pub(crate) set: Vec<(String, String)>,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must have the form section.key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl ConfigArgs {
    /// All layers: this file, the environment, these flags.
    pub(crate) fn sources(&self) -> Sources {
        let mut flags = self.set.clone();
        if let Some(data) = &self.data {
            flags.push(("data.dir".to_owned(), data.display().to_string()));
        }
        // A variable that is not Unicode cannot be one of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources { file: self.config.clone(), environment, flags }
    }

    /// The configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Problems> {
        load(&self.sources())
    }
}

/// `lynk serve`
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where clients connect [default: 127.0.0.1:7777].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where health and metrics are served [default: 127.0.0.1:7778].
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Shard threads [default: one less than the usable cores].
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// auto, io_uring or epoll [default: auto].
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Start although the last starts crashed on the same kind of input.
    #[arg(long)]
    after_crashes: bool,
}

impl ServeArgs {
    fn run(mut self) -> Result<(), Failure> {
        let own = [
            ("listen.address", self.listen.map(|address| address.to_string())),
            ("admin.address", self.admin.map(|address| address.to_string())),
            ("shards.count", self.shards.map(|count| count.to_string())),
            ("shards.backend", self.backend.take()),
        ];
        for (key, value) in own {
            self.config.set.extend(value.map(|value| (key.to_owned(), value)));
        }
        serve::run(&self.config.sources(), self.after_crashes)
    }
}

/// How the server starts itself to decode a picture.
pub(crate) const DECODE_IMAGE: &str = "decode-image";

/// What `/version` tells.
pub(crate) use version::facts as version_facts;

/// A problem with a flag's value.
pub(crate) fn bad_flag(flag: &str, what: impl Into<String>) -> Failure {
    Failure::new(crate::exit::Exit::Usage, Problems::one(Problem::new(flag, what)).to_string())
}

/// Runs the command line of this process and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(DECODE_IMAGE) {
        // No command of people's, and no parser of theirs before it is confined.
        return lynk_compute::run_child(&arguments.collect::<Vec<_>>());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, mistakes to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    report(match cli.command {
        Command::Serve(args) => args.run(),
        Command::Chat(args) => args.run(),
        Command::Token(args) => args.run(),
        Command::Keys(command) => command.run(),
        Command::Accounts(command) => command.run(),
        Command::Reports(command) => command.run(),
        Command::Certs(command) => command.run(),
        Command::Init(command) => command.run(),
        Command::Health(args) => args.run(),
        Command::Online(args) => args.run(),
        Command::Migrate(args) => args.run(),
        Command::Backup(args) => args.run(),
        Command::Restore(args) => args.run(),
        Command::Move(args) => args.run(),
        Command::Notify(args) => args.run(),
        Command::Why(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Config(command) => command.run(),
        Command::Version(args) => args.run(),
        Command::Bench(args) => args.run(),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[cfg(all(feature = "cassandra", feature = "postgres"))]
    #[test]
    fn every_command_shows_two_examples_that_parse() {
        let mut pending = vec![Cli::command()];
        let mut seen = 0;
        while let Some(command) = pending.pop() {
            command.clone().debug_assert();
            pending.extend(command.get_subcommands().cloned());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> =
                help.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
            assert_eq!(examples.len(), 2, "{}: {help:?}", command.get_name());
            for example in examples {
                let line =
                    example.rsplit(" | ").next().unwrap_or(example).replace("\"$(pgrep -x lynk)\"", "1");
                let parsed = Cli::try_parse_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{example}: {:?}", parsed.err().map(|e| e.to_string()));
            }
            seen += 1;
        }
        assert!(seen >= 16, "{seen} commands");
    }

    #[test]
    fn flags_become_settings() {
        assert_eq!(parse_setting("log.level = warn"), Ok(("log.level".to_owned(), "warn".to_owned())));
        assert!(parse_setting("log.level").is_err());
    }
}
