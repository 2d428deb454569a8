//! `lynk verify`

use std::path::Path;

use clap::Args;
use lynk_embedded::{Accounts, MessageLog, MessageLogOptions, Rooms};
use lynk_journal::{Account, RealDisk, verify};
use lynk_model::port::{MessageStore as _, ready, source_name};
use serde_json::{Value, json};

use crate::cli::ConfigArgs;
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::out::{Form, put, put_json};

/// `lynk verify`
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

impl VerifyArgs {
    /// Reads everything and tells what it found. Changes no record.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let root = self.config.load()?.config.data_dir;
        if !root.join("VERSION").exists() {
            return Err(Failure::dependency(format!("{} is not a data directory", root.display()))
                .cure("name the data directory with --data"));
        }
        let dir = DataDir::open(&root)?;
        let stores = stores(dir.root());
        let journal = dir.root().join("journal");
        let account = verify(&RealDisk, &journal, &mut |generation, shard| {
            let messages = stores.messages.as_ref().ok()?;
            ready(messages.cursor(&source_name(generation, shard))).ok()
        });
        let account = account.map_err(|error| Failure::dependency(error.to_string()))?;
        let opens = parts(&stores).iter().all(|(_, result)| result.is_ok());
        let sound = account.is_sound() && opens;
        match self.output {
            Form::Text => put(&text(&account, &stores, sound))?,
            Form::Json => put_json(&as_json(&account, &stores, sound))?,
        }
        if sound {
            return Ok(());
        }
        Err(Failure::new(Exit::Failure, "the data directory is damaged").cure(
            "restore the named files from a backup, or the whole directory; nothing was changed. A start would refuse it too",
        ))
    }
}

struct Stores {
    messages: Result<MessageLog, String>,
    rooms: Result<(), String>,
    accounts: Result<(), String>,
}

fn stores(root: &Path) -> Stores {
    Stores {
        messages: MessageLog::open(root, MessageLogOptions::default()).map_err(|error| error.to_string()),
        rooms: Rooms::open(root).map(drop).map_err(|error| error.to_string()),
        accounts: Accounts::open(root).map(drop).map_err(|error| error.to_string()),
    }
}

fn text(account: &Account, stores: &Stores, sound: bool) -> String {
    let mut out = String::new();
    for journal in &account.journals {
        let records: u64 = journal.files.iter().map(|file| file.records).sum();
        let torn: u64 = journal.files.iter().map(|file| file.torn_bytes).sum();
        out += &format!(
            "journal {}/{}: {} segments, {records} records{}\n",
            journal.generation,
            journal.shard,
            journal.files.len(),
            if torn > 0 {
                format!(", {torn} bytes of an interrupted write, which the next start cuts")
            } else {
                String::new()
            }
        );
        if let Some(damage) = &journal.damage {
            out += &format!("  DAMAGED: {damage}\n");
        }
    }
    for (name, result) in parts(stores) {
        out += &match result {
            Ok(()) => format!("{name}: opens\n"),
            Err(error) => format!("{name}: DAMAGED: {error}\n"),
        };
    }
    out + if sound { "sound\n" } else { "" }
}

fn parts(stores: &Stores) -> [(&'static str, Result<(), &str>); 3] {
    [
        ("messages", stores.messages.as_ref().map(|_| ()).map_err(String::as_str)),
        ("rooms", stores.rooms.as_ref().copied().map_err(String::as_str)),
        ("accounts", stores.accounts.as_ref().copied().map_err(String::as_str)),
    ]
}

fn as_json(account: &Account, stores: &Stores, sound: bool) -> Value {
    let journals: Vec<Value> = account
        .journals
        .iter()
        .map(|journal| {
            let files: Vec<Value> = journal
                .files
                .iter()
                .map(|file| {
                    json!({
                        "path": file.path.display().to_string(), "bytes": file.bytes, "first": file.first.0, "last": file.last.0,
                        "records": file.records, "batches": file.batches, "end": file.end, "torn_bytes": file.torn_bytes,
                    })
                })
                .collect();
            json!({
                "generation": journal.generation, "shard": journal.shard, "files": files,
                "damage": journal.damage.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let mut value = json!({"sound": sound, "journals": journals});
    for (name, result) in parts(stores) {
        value[name] = json!({"opens": result.is_ok(), "error": result.err()});
    }
    value
}
