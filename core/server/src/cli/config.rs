//! `lynk config`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::ConfigArgs;
use crate::config::{KEYS, Sources, default_toml, explain, load, reference, unknown};
use crate::exit::{Exit, Failure};
use crate::out::{Form, put, put_json};

/// `lynk config …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ConfigCommand {
    /// Tell what is wrong with a file, the environment and flags together.
    #[command(after_help = "Examples:\n  lynk config check\n  lynk config check /etc/lynk.toml -o json")]
    Check(CheckArgs),
    /// Print a file with every key at its default.
    #[command(after_help = "Examples:\n  lynk config default\n  lynk config default --bare")]
    Default(DefaultArgs),
    /// Print the reference of all keys, in Markdown.
    #[command(after_help = "Examples:\n  lynk config doc\n  lynk config doc --section limits")]
    Doc(DocArgs),
    /// Tell what a key does, its value, and who set it.
    #[command(
        after_help = "Examples:\n  lynk config explain limits.heartbeat\n  lynk config explain listen.address --config /etc/lynk.toml"
    )]
    Explain(ExplainArgs),
}

/// `lynk config check`
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// The file; without one, the environment alone.
    file: Option<PathBuf>,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// `lynk config default`
#[derive(Args, Clone, Debug)]
pub(crate) struct DefaultArgs {
    /// Without the explanations.
    #[arg(long)]
    bare: bool,
}

/// `lynk config doc`
#[derive(Args, Clone, Debug)]
pub(crate) struct DocArgs {
    /// Only this section.
    #[arg(long, value_name = "NAME")]
    section: Option<String>,
}

/// `lynk config explain`
#[derive(Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    /// The key, as `section.key`.
    key: String,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ConfigCommand {
    /// Checks, prints or explains.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(args) => check(&args),
            Self::Default(args) => put(&default_file(args.bare)),
            Self::Doc(args) => doc(args.section.as_deref()),
            Self::Explain(args) => {
                let row = KEYS.iter().position(|key| key.path == args.key);
                let row = row.ok_or_else(|| Failure::new(Exit::Usage, unknown(&args.key)))?;
                put(&explain(row, &args.config.load()?))
            }
        }
    }
}

fn check(args: &CheckArgs) -> Result<(), Failure> {
    let own = ConfigArgs { config: args.file.clone(), ..ConfigArgs::default() };
    let sources: Sources = own.sources();
    match (load(&sources), args.output) {
        (Ok(_), Form::Text) => put("the configuration is valid\n"),
        (Ok(_), Form::Json) => put_json(&json!({"valid": true, "problems": []})),
        (Err(problems), Form::Text) => Err(problems.into()),
        (Err(problems), Form::Json) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            put_json(&json!({"valid": false, "problems": list}))?;
            Err(problems.into())
        }
    }
}

fn default_file(bare: bool) -> String {
    let text = default_toml();
    if !bare {
        return text;
    }
    text.lines().filter(|line| !line.starts_with("# ")).map(|line| format!("{line}\n")).collect()
}

fn doc(section: Option<&str>) -> Result<(), Failure> {
    let text = reference();
    let Some(section) = section else { return put(&text) };
    let head = format!("\n## [{section}]\n");
    let Some(start) = text.find(&head) else {
        return Err(Failure::new(Exit::Usage, format!("there is no section `[{section}]`")));
    };
    let rest = &text[start + 1..];
    let end = rest[head.len()..].find("\n## ").map_or(rest.len(), |at| at + head.len() + 1);
    put(&rest[..end])
}
