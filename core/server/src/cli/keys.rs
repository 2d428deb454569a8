//! `lynk keys`

use clap::{Args, Subcommand};
use lynk_domain::Millis;
use serde_json::{Value, json};

use crate::cli::{ConfigArgs, bad_flag};
use crate::config::units::{format_millis, parse_millis};
use crate::data_dir::server_of;
use crate::exit::Failure;
use crate::keys::{Listed, Role, Rotated, Rotation, list, rotate};
use crate::os;
use crate::out::{Form, put, put_json};

/// How long a key that signed is accepted, unless it is said otherwise.
const OVERLAP_DEFAULT_MILLIS: u64 = 60 * 60 * 1_000;
/// The longest life of an access token of a session, and a minute for clocks.
const OVERLAP_MILLIS_MIN: u64 = lynk_auth::SESSION_TOKEN_MILLIS_MAX + 60 * 1_000;
const OVERLAP_MILLIS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;

/// `lynk keys …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum KeysCommand {
    /// Tell which keys there are, and what each is for.
    #[command(after_help = "Examples:\n  lynk keys list\n  lynk keys list --data /var/lib/lynk -o json")]
    List(ListArgs),
    /// Sign with the next key; the one before stays accepted for a while.
    #[command(
        after_help = "Examples:\n  lynk keys rotate --data /var/lib/lynk\n  lynk keys rotate --compromised -o json\n\n\
        A server that runs must read its keys again: SIGHUP."
    )]
    Rotate(RotateArgs),
}

/// `lynk keys list`
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `lynk keys rotate`
#[derive(Args, Clone, Debug)]
pub(crate) struct RotateArgs {
    /// How long keys that signed stay accepted [default: 1h].
    #[arg(long, value_name = "TIME")]
    overlap: Option<String>,
    /// Somebody else may have the keys: drop all of them now. Access tokens end; sessions stay, by their refresh tokens.
    #[arg(long, conflicts_with = "overlap")]
    compromised: bool,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

impl KeysCommand {
    /// Lists or rotates.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(),
            Self::Rotate(args) => args.run(),
        }
    }
}

impl ListArgs {
    fn run(self) -> Result<(), Failure> {
        let keys = list(&self.config.load()?.config.data_dir)?;
        match self.output {
            Form::Text => put(&keys.iter().map(line).collect::<String>()),
            Form::Json => put_json(&json!({ "keys": as_json(&keys) })),
        }
    }
}

impl RotateArgs {
    fn run(self) -> Result<(), Failure> {
        let overlap_millis = match &self.overlap {
            None => OVERLAP_DEFAULT_MILLIS,
            Some(text) => parse_millis(text)
                .filter(|millis| (OVERLAP_MILLIS_MIN..=OVERLAP_MILLIS_MAX).contains(millis))
                .ok_or_else(|| {
                    let (low, high) = (format_millis(OVERLAP_MILLIS_MIN), format_millis(OVERLAP_MILLIS_MAX));
                    bad_flag("--overlap", format!("must be a duration from {low} to {high}"))
                })?,
        };
        let root = self.config.load()?.config.data_dir;
        let rotation = Rotation { wall: os::wall_millis(), overlap_millis, compromised: self.compromised };
        let Rotated { keys, dropped } = rotate(&root, rotation)?;
        let server = server_of(&root);
        match self.output {
            Form::Text => {
                let mut out: String = keys.iter().map(line).collect();
                for kid in &dropped {
                    out += &format!("dropped   {kid}\n");
                }
                if let Some(pid) = &server {
                    out += &format!("a server uses these keys: kill -HUP {pid}\n");
                }
                put(&out)
            }
            Form::Json => {
                put_json(&json!({ "keys": as_json(&keys), "dropped": dropped, "reload_pid": server }))
            }
        }
    }
}

fn line(key: &Listed) -> String {
    format!("{:9} {}  {}\n", key.role.name(), key.kid, key.path.display())
}

fn as_json(keys: &[Listed]) -> Vec<Value> {
    let retired = |role: Role| match role {
        Role::Retired(Millis(at)) => Some(at),
        _ => None,
    };
    keys.iter()
        .map(|key| {
            json!({
                "role": key.role.name(),
                "kid": key.kid,
                "file": key.path.display().to_string(),
                "retired_unix_ms": retired(key.role),
            })
        })
        .collect()
}
