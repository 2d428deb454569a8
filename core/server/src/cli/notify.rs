//! `lynk notify`, `lynk why`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::copies::{check_is_data, show};
use crate::cli::ConfigArgs;
use crate::copies::control;
use crate::exit::Failure;
use crate::out::{Form, put, put_json};

/// `lynk notify`
#[derive(Args, Clone, Debug)]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    command: Option<NotifyCommand>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum NotifyCommand {
    /// Notifications that were given up.
    #[command(after_help = "Examples:\n  lynk notify dead list\n  lynk notify dead retry --all", subcommand)]
    Dead(DeadCommand),
}

/// `lynk notify dead`
#[derive(Subcommand, Clone, Debug)]
enum DeadCommand {
    /// List them, newest first.
    #[command(after_help = "Examples:\n  lynk notify dead list\n  lynk notify dead list --limit 10 -o json")]
    List(ListArgs),
    /// Try them again.
    #[command(
        after_help = "Examples:\n  lynk notify dead retry --all\n  lynk notify dead retry a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 -o json"
    )]
    Retry(RetryArgs),
}

/// `lynk notify dead list`
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// `lynk notify dead retry`
#[derive(Args, Clone, Debug)]
struct RetryArgs {
    /// Their names, as the list shows them.
    #[arg(value_name = "PUSH", required_unless_present = "all", conflicts_with = "all")]
    pushes: Vec<String>,
    /// All of them, a thousand at a time.
    #[arg(long)]
    all: bool,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// `lynk why`
#[derive(Args, Clone, Debug)]
pub(crate) struct WhyArgs {
    /// The message: ROOM/SEQ.
    message: String,
    /// The person: the user's id.
    user: String,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

fn ask(config: &ConfigArgs, question: &Value) -> Result<Value, Failure> {
    let config = config.load()?.config;
    check_is_data(&config.data_dir)?;
    let mut told = |stage: &Value| {
        // That the server begins is of no interest here; that it has to be waited for is.
        if stage["stage"].as_str().is_some_and(|stage| stage.starts_with("waiting")) {
            show(stage);
        }
    };
    control::ask(&config.data_dir, question, &mut told)
}

impl NotifyArgs {
    /// Runs the process, or asks a server.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = &self.config;
        match self.command {
            None => crate::push::separate(&config.sources()),
            Some(NotifyCommand::Dead(DeadCommand::List(args))) => {
                let told = ask(config, &json!({"op": "dead", "limit": args.limit}))?;
                match args.output {
                    Form::Json => put_json(&told),
                    Form::Text => {
                        let mut text = String::new();
                        for push in told["dead"].as_array().into_iter().flatten() {
                            let word = |name: &str| push[name].as_str().unwrap_or_default().to_owned();
                            text.push_str(&format!(
                                "{}  {}  {} tries  user {}  {}/{}\n",
                                word("push"),
                                word("cause"),
                                push["attempts"],
                                word("user"),
                                word("room"),
                                push["up_to_seq"],
                            ));
                        }
                        put(&text)
                    }
                }
            }
            Some(NotifyCommand::Dead(DeadCommand::Retry(args))) => {
                let pushes = (!args.all).then_some(&args.pushes);
                let told = ask(config, &json!({"op": "revive", "pushes": pushes}))?;
                match args.output {
                    Form::Json => put_json(&told),
                    Form::Text => put(&format!("{} are tried again\n", told["retried"])),
                }
            }
        }
    }
}

impl WhyArgs {
    /// Asks the server.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let question = json!({"op": "why", "message": self.message, "user": self.user});
        let told = ask(&self.config, &question)?;
        match self.output {
            Form::Json => put_json(&told),
            Form::Text => put(&crate::push::why_text(&told)),
        }
    }
}
