//! `lynk accounts`

use clap::{Args, Subcommand};
use lynk_domain::Millis;
use serde_json::{Value, json};

use crate::cli::ConfigArgs;
use crate::copies::control;
use crate::data_dir::server_of;
use crate::exit::Failure;
use crate::out::{Form, put, put_json};

/// `lynk accounts …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum AccountsCommand {
    /// Tell what is known of an account: sessions, second factor, suspension, audit log.
    #[command(
        after_help = "Examples:\n  lynk accounts show --user alice\n  lynk accounts show --user 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e -o json"
    )]
    Show(AccountArgs),
    /// Keep an account out: its sessions end, and nobody signs in to it.
    #[command(
        after_help = "Examples:\n  lynk accounts suspend --user alice --reason spam\n  lynk accounts suspend --user alice -o json"
    )]
    Suspend(ChangeArgs),
    /// Let a suspended account sign in again.
    #[command(
        after_help = "Examples:\n  lynk accounts unsuspend --user alice\n  lynk accounts unsuspend --user alice -o json"
    )]
    Unsuspend(ChangeArgs),
    /// Turn off two-step sign-in of an account whose owner has lost the app and the recovery codes.
    #[command(
        after_help = "Examples:\n  lynk accounts end-totp --user alice --reason ticket-4711\n  lynk accounts end-totp --user alice -o json\n\n\
        Whoever has the telephone number signs in with it alone afterwards: be sure who asks."
    )]
    EndTotp(ChangeArgs),
    /// Erase an account for good, as its owner can; prints the receipt.
    #[command(
        after_help = "Examples:\n  lynk accounts erase --user alice --reason request-4711\n  lynk accounts erase --user 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e -o json\n\n\
        After a restore from a backup that is older than an erasure: erase the account again."
    )]
    Erase(ChangeArgs),
    /// Tell which erasures are not done.
    #[command(
        after_help = "Examples:\n  lynk accounts erasures\n  lynk accounts erasures --data /var/lib/lynk -o json"
    )]
    Erasures(ErasuresArgs),
}

/// `lynk accounts erasures`
#[derive(Args, Clone, Debug)]
pub(crate) struct ErasuresArgs {
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `lynk accounts show`
#[derive(Args, Clone, Debug)]
pub(crate) struct AccountArgs {
    /// The user name, in any spelling, or the id.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `lynk accounts suspend`, `unsuspend`, `end-totp`
#[derive(Args, Clone, Debug)]
pub(crate) struct ChangeArgs {
    /// Why, for the server's log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    account: AccountArgs,
}

impl AccountsCommand {
    /// Asks the server that runs.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (action, user, reason, output, config) = match self {
            Self::Show(args) => ("show", args.user, String::new(), args.output, args.config),
            Self::Suspend(args) => of("suspend", args),
            Self::Unsuspend(args) => of("unsuspend", args),
            Self::EndTotp(args) => of("end-totp", args),
            Self::Erase(args) => of("erase", args),
            Self::Erasures(args) => ("erasures", String::new(), String::new(), args.output, args.config),
        };
        let root = config.load()?.config.data_dir;
        if server_of(&root).is_none() {
            return Err(Failure::dependency(format!("no server serves from {}", root.display()))
                .cure("start it, or name its directory with --data"));
        }
        let question = json!({"op": "accounts", "action": action, "user": user, "reason": reason});
        let told = control::ask(&root, &question, &mut |_| {})?;
        match (output, action) {
            (Form::Json, _) => put_json(&told),
            (Form::Text, "erase") => put(&receipt(&told)),
            (Form::Text, "erasures") => put(&erasures(&told)),
            (Form::Text, _) => put(&text(action, &told)),
        }
    }
}

/// What a command that changes an account asks for.
fn of(action: &'static str, args: ChangeArgs) -> (&'static str, String, String, Form, ConfigArgs) {
    let ChangeArgs { reason, account: AccountArgs { user, output, config } } = args;
    (action, user, reason, output, config)
}

fn receipt(told: &Value) -> String {
    let mut out =
        format!("{} was erased {}\n", told["user"].as_str().unwrap_or_default(), date(&told["erased_at"]));
    for place in told["places"].as_array().into_iter().flatten() {
        let until = if place["until"].is_null() { "stays".to_owned() } else { date(&place["until"]) };
        let word = |name: &str| place[name].as_str().unwrap_or_default().to_owned();
        out += &format!("  {until:24}  {}: {}\n", word("place"), word("what"));
    }
    out
}

fn erasures(told: &Value) -> String {
    let waiting = told["waiting"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |one: &Value| {
        format!("{}  since {}\n", one["user"].as_str().unwrap_or_default(), date(&one["begun_at"]))
    };
    if waiting.is_empty() { "all are done\n".to_owned() } else { waiting.iter().map(line).collect() }
}

fn date(millis: &Value) -> String {
    let mut text = Vec::new();
    lynk_protocol::write_time(&mut text, Millis(millis.as_u64().unwrap_or_default()));
    String::from_utf8_lossy(&text).into_owned()
}

fn text(action: &str, told: &Value) -> String {
    let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let mut out = match (action, told["changed"] == true) {
        ("show", _) => String::new(),
        (_, true) => format!("{} is changed\n", word("user_name")),
        (_, false) => format!("{} was so already\n", word("user_name")),
    };
    out += &format!(
        "{}  {} ({}), {}\n  made       {}\n  sessions   {}\n",
        word("user"),
        word("user_name"),
        word("display_name"),
        word("phone"),
        date(&told["created_at"]),
        told["sessions"]
    );
    out += &match told["totp_since"].is_null() {
        true => "  two steps  off\n".to_owned(),
        false => {
            format!(
                "  two steps  since {}, {} recovery codes\n",
                date(&told["totp_since"]),
                told["recovery_codes_left"]
            )
        }
    };
    if !told["suspended_since"].is_null() {
        out += &format!("  SUSPENDED  since {}\n", date(&told["suspended_since"]));
    }
    for event in told["audit"].as_array().into_iter().flatten() {
        let session = event["session"].as_str().map(|id| format!("  {id}")).unwrap_or_default();
        out +=
            &format!("  {}  {}{session}\n", date(&event["at"]), event["what"].as_str().unwrap_or_default());
    }
    out
}
