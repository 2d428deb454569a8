//! `lynk reports`

use clap::{Args, Subcommand};
use lynk_domain::Millis;
use serde_json::{Value, json};

use crate::cli::ConfigArgs;
use crate::copies::control;
use crate::data_dir::server_of;
use crate::exit::Failure;
use crate::out::{Form, put, put_json};

/// `lynk reports …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ReportsCommand {
    /// List the reports of all rooms, newest first.
    #[command(
        after_help = "Examples:\n  lynk reports list\n  lynk reports list --resolved --limit 100 -o json\n\n\
        A page goes on with --before and the `at` of its last report."
    )]
    List(ListArgs),
    /// Show one report with what was said.
    #[command(
        after_help = "Examples:\n  lynk reports show --report 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/3\n  lynk reports show --report 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/3 -o json"
    )]
    Show(ShowArgs),
    /// Say what came of a report.
    #[command(
        after_help = "Examples:\n  lynk reports resolve --report 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/3 --outcome dismissed\n  lynk reports resolve --report 0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e/3 --outcome other --note warned -o json\n\n\
        It does nothing else: see `lynk accounts suspend`."
    )]
    Resolve(ResolveArgs),
}

/// `lynk reports list`
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Those that are resolved instead of those that are open.
    #[arg(long)]
    resolved: bool,
    /// Made before this time, in milliseconds since 1970.
    #[arg(long, value_name = "MILLIS", default_value_t = 0)]
    before: u64,
    /// Reports at most; above 100 is 100.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u64,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `lynk reports show`
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    /// The report: its room and its number in it.
    #[arg(long, value_name = "ROOM/NUMBER")]
    report: String,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `lynk reports resolve`
#[derive(Args, Clone, Debug)]
pub(crate) struct ResolveArgs {
    /// `dismissed`, `message_deleted`, `member_kicked`, `member_banned` or `other`.
    #[arg(long, value_name = "OUTCOME")]
    outcome: String,
    /// In words.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    report: ShowArgs,
}

impl ReportsCommand {
    /// Asks the server that runs.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (question, output, config) = match self {
            Self::List(args) => {
                let ListArgs { resolved, before, limit, output, config } = args;
                let question =
                    json!({"action": "reports-list", "resolved": resolved, "before": before, "limit": limit});
                (question, output, config)
            }
            Self::Show(ShowArgs { report, output, config }) => {
                (json!({"action": "reports-show", "report": report}), output, config)
            }
            Self::Resolve(ResolveArgs { outcome, note, report: ShowArgs { report, output, config } }) => {
                let question =
                    json!({"action": "reports-resolve", "report": report, "outcome": outcome, "note": note});
                (question, output, config)
            }
        };
        let root = config.load()?.config.data_dir;
        if server_of(&root).is_none() {
            return Err(Failure::dependency(format!("no server serves from {}", root.display()))
                .cure("start it, or name its directory with --data"));
        }
        let mut question = question;
        question["op"] = "accounts".into();
        let told = control::ask(&root, &question, &mut |_| {})?;
        match (output, told["reports"].as_array()) {
            (Form::Json, _) => put_json(&told),
            (Form::Text, Some(reports)) if reports.is_empty() => put("there are none\n"),
            (Form::Text, Some(reports)) => put(&reports.iter().map(line).collect::<String>()),
            (Form::Text, None) => put(&text(&told)),
        }
    }
}

fn word(report: &Value, name: &str) -> String {
    match &report[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn line(report: &Value) -> String {
    let word = |name| word(report, name);
    format!(
        "{}  {}  {:8} {:10}  {}\n",
        date(&report["at"]),
        word("report"),
        word("kind"),
        word("reason"),
        word("user")
    )
}

fn text(report: &Value) -> String {
    let mut out = line(report);
    for name in ["reporter", "seq", "text", "comment", "outcome", "by", "note"] {
        let word = word(report, name);
        if !word.is_empty() {
            out += &format!("  {name:10} {}\n", word.escape_debug());
        }
    }
    out
}

fn date(millis: &Value) -> String {
    let mut text = Vec::new();
    lynk_protocol::write_time(&mut text, Millis(millis.as_u64().unwrap_or_default()));
    String::from_utf8_lossy(&text).into_owned()
}
