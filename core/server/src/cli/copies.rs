//! `lynk backup`, `lynk restore`, `lynk move`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use lynk_domain::Millis;
use serde_json::{Value, json};

use crate::cli::ConfigArgs;
use crate::config::MessagesIn;
use crate::copies::{Progress, backup, control, copies_soon, moving, offline, restore};
use crate::data_dir::{DataDir, FACTOR_KEY, server_of};
use crate::exit::Failure;
use crate::out::{Form, put, put_json};
use crate::stores;

/// `lynk backup`
#[derive(Args, Clone, Debug)]
pub(crate) struct BackupArgs {
    /// The backup: a directory that does not exist yet.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave the bytes of pictures and files out: they are copied by other means.
    #[arg(long)]
    without_files: bool,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `lynk restore`
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Leave the bytes of pictures and files out: they are put back by other means.
    #[arg(long)]
    without_files: bool,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Where stores are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Place {
    /// In the data directory.
    Embedded,
    /// In outside systems.
    External,
}

/// `lynk move`
#[derive(Args, Clone, Debug)]
pub(crate) struct MoveArgs {
    /// Where they are now: embedded.
    #[arg(long, value_name = "PLACE")]
    from: Place,
    /// Where they go to: external, as the configuration says.
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Compare every room by its hash before the switch.
    #[arg(long)]
    verify: bool,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Progress goes to standard error: the answer is alone on standard output.
pub(super) fn show(told: &Value) {
    let stage = told["stage"].as_str().unwrap_or_default();
    let line = match (&told["rooms"], &told["rows"]) {
        (Value::Null, Value::Null) if told["files"].is_u64() => {
            let mib = told["bytes"].as_u64().unwrap_or_default() >> 20;
            format!("{stage}: {}, {mib} MiB\n", counted(&told["files"], "file"))
        }
        (Value::Null, Value::Null) => format!("{stage}\n"),
        (Value::Null, rows) => format!("{stage}: {}\n", counted(rows, "row")),
        (rooms, Value::Null) => format!("{stage}: {}\n", counted(rooms, "room")),
        (rooms, rows) => format!("{stage}: {}, {}\n", counted(rooms, "room"), counted(rows, "row")),
    };
    let _nobody_looks = std::io::stderr().write_all(line.as_bytes());
}

/// A number of things by the name of one.
fn counted(number: &Value, one: &str) -> String {
    match number.as_u64().unwrap_or_default() {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

fn moment(told: &Value) -> String {
    let mut text = Vec::new();
    lynk_protocol::write_time(&mut text, Millis(told["taken_unix_millis"].as_u64().unwrap_or_default()));
    String::from_utf8_lossy(&text).into_owned()
}

/// Refuses what is no data directory.
pub(super) fn check_is_data(root: &Path) -> Result<(), Failure> {
    if root.join("VERSION").exists() {
        return Ok(());
    }
    Err(Failure::dependency(format!("{} is not a data directory", root.display()))
        .cure("name the data directory with --data"))
}

impl BackupArgs {
    /// Asks the server, or does it when there is none.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = copies_soon(self.config.load()?.config);
        let root = &config.data_dir;
        check_is_data(root)?;
        let to = std::path::absolute(&self.to)?;
        let done = if server_of(root).is_some() {
            let question =
                json!({"op": "backup", "to": to.to_string_lossy(), "without_files": self.without_files});
            control::ask(root, &question, &mut show)?
        } else {
            let dir = DataDir::open(root)?;
            stores::agree(&config, &dir)?;
            let files = !self.without_files;
            let mut open = backup::Stores { config: &config, root: dir.root(), log: None, files };
            let runtime = stores::runtime()?;
            match config.outside.messages {
                MessagesIn::Embedded => {
                    let mut log = offline::log(&dir)?;
                    offline::drain(&config, &dir, &mut log, &runtime)?;
                    open.log = Some(log);
                }
                MessagesIn::Cassandra => {
                    #[cfg(feature = "cassandra")]
                    {
                        let mut log = stores::cassandra::log(&config, dir.installation()?, &runtime)?;
                        offline::drain(&config, &dir, &mut log, &runtime)?;
                    }
                }
            }
            let mut tell = |told: &Value| {
                show(told);
                true
            };
            backup::run(&open, None, &to, Progress::new(&mut tell))?
        };
        match self.output {
            Form::Json => put_json(&done),
            Form::Text => put(&format!(
                "{}: {}, {} and {} as of {}; keys/ is not in it{}\n",
                to.display(),
                counted(&done["rooms"], "room"),
                counted(&done["accounts"], "account"),
                counted(&done["files"], "file"),
                moment(&done),
                match done["files_missing"].as_u64().unwrap_or_default() {
                    0 => String::new(),
                    missing => format!("; of {missing} files bytes are missing"),
                }
            )),
        }
    }
}

impl RestoreArgs {
    /// Restores.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = copies_soon(self.config.load()?.config);
        if let Some(feature) = stores::missing_feature(&config) {
            return Err(Failure::dependency(format!("this build has no {feature}")));
        }
        let mut tell = |told: &Value| {
            show(told);
            true
        };
        let done = restore::run(
            &config,
            &std::path::absolute(&self.from)?,
            !self.without_files,
            Progress::new(&mut tell),
        )?;
        match self.output {
            Form::Json => put_json(&done),
            Form::Text => put(&format!(
                "{}: restored as of {}{}\n",
                config.data_dir.display(),
                moment(&done),
                match config.data_dir.join("keys").join(FACTOR_KEY).exists() {
                    true => "; keys/ is there",
                    false =>
                        "; put the old keys/ into it before the start: without it everybody's tokens are void, and who has an authenticator app cannot sign in with it",
                }
            )),
        }
    }
}

impl MoveArgs {
    /// Asks the server, or does it when there is none.
    pub(crate) fn run(self) -> Result<(), Failure> {
        if (self.from, self.to) != (Place::Embedded, Place::External) {
            return Err(super::bad_flag(
                "--from",
                "stores move from embedded to external, and back by `lynk backup` and `lynk restore`",
            ));
        }
        let sources = self.config.sources();
        let to = copies_soon(self.config.load()?.config);
        if let Some(feature) = stores::missing_feature(&to) {
            return Err(Failure::dependency(format!("this build has no {feature}")));
        }
        let root = &to.data_dir;
        check_is_data(root)?;
        let done = if server_of(root).is_some() {
            control::ask(root, &control::move_question(&sources, self.verify)?, &mut show)?
        } else {
            self.without_server(&to)?
        };
        match self.output {
            Form::Json => put_json(&done),
            Form::Text => put(&format!(
                "moved {} and {}; start the server with this configuration now: {}\n",
                counted(&done["rooms"], "room"),
                counted(&done["accounts"], "account"),
                done["moved"].as_str().unwrap_or_default()
            )),
        }
    }

    fn without_server(&self, to: &crate::config::Config) -> Result<Value, Failure> {
        let dir = DataDir::open(&to.data_dir)?;
        if dir.stores(stores::EMBEDDED)? == stores::wanted(to) {
            return Err(Failure::dependency("the data is in these stores already")
                .cure("start the server with this configuration"));
        }
        let mut from = to.clone();
        from.outside.relational = crate::config::RelationalIn::Embedded;
        from.outside.messages = MessagesIn::Embedded;
        stores::agree(&from, &dir)?;
        let mut log = offline::log(&dir)?;
        offline::drain(&from, &dir, &mut log, &stores::runtime()?)?;
        let moved = moving::Move {
            from: &from,
            to,
            root: dir.root(),
            installation: dir.installation()?,
            log: Some(log),
            verify: self.verify,
        };
        let mut tell = |told: &Value| {
            show(told);
            true
        };
        moving::run(&moved, None, Progress::new(&mut tell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_told_as_several() {
        let told = |number: u64| counted(&json!(number), "account");
        assert_eq!([told(0), told(1), told(2)], ["0 accounts", "1 account", "2 accounts"]);
    }
}
