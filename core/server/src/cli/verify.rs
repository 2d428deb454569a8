//! `lynk verify`

use clap::Args;
use lynk_embedded::{Accounts, MessageLog, OpenError, Rooms};
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
        let stores = stores(&dir)?;
        let journal = dir.root().join("journal");
        let account = verify(&RealDisk, &journal, &mut |generation, shard| {
            // Without a position nothing counts as drained.
            let Found::Opens(messages) = &stores.messages else { return None };
            ready(messages.cursor(&source_name(generation, shard))).ok()
        });
        let account = account.map_err(|error| Failure::dependency(error.to_string()))?;
        let opens = parts(&stores).iter().all(|(_, found)| !matches!(found, Found::Damaged(_)));
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

/// What became of a store.
enum Found<T> {
    /// It opens.
    Opens(T),
    /// It is a system of its own, which this command does not look at.
    Outside,
    /// It does not open.
    Damaged(String),
}

impl<T> Found<T> {
    fn of(embedded: bool, open: impl FnOnce() -> Result<T, OpenError>) -> Self {
        if !embedded {
            return Self::Outside;
        }
        open().map_or_else(|error| Self::Damaged(error.to_string()), Self::Opens)
    }

    fn look(&self) -> Found<()> {
        match self {
            Self::Opens(_) => Found::Opens(()),
            Self::Outside => Found::Outside,
            Self::Damaged(error) => Found::Damaged(error.clone()),
        }
    }
}

struct Stores {
    messages: Found<MessageLog>,
    rooms: Found<Rooms>,
    accounts: Found<Accounts>,
}

fn stores(dir: &DataDir) -> Result<Stores, Failure> {
    let noted = dir.stores(crate::stores::EMBEDDED)?;
    let embedded = |part: &str| noted.lines().any(|line| line == format!("{part} = embedded"));
    let (root, relational) = (dir.root(), embedded("relational"));
    Ok(Stores {
        messages: Found::of(embedded("messages"), || MessageLog::open(root, crate::stores::keeping_log())),
        rooms: Found::of(relational, || Rooms::open(root)),
        accounts: Found::of(relational, || Accounts::open(root)),
    })
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
    for (name, found) in parts(stores) {
        out += &match found {
            Found::Opens(()) => format!("{name}: opens\n"),
            Found::Outside => format!("{name}: in an outside store, not looked at\n"),
            Found::Damaged(error) => format!("{name}: DAMAGED: {error}\n"),
        };
    }
    out + if sound { "sound\n" } else { "" }
}

fn parts(stores: &Stores) -> [(&'static str, Found<()>); 3] {
    [
        ("messages", stores.messages.look()),
        ("rooms", stores.rooms.look()),
        ("accounts", stores.accounts.look()),
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
    for (name, found) in parts(stores) {
        value[name] = match found {
            Found::Opens(()) => json!({"opens": true, "error": null}),
            Found::Outside => json!({"opens": null, "error": null}),
            Found::Damaged(error) => json!({"opens": false, "error": error}),
        };
    }
    value
}
