//! The configuration as text: a commented default file, the reference page, the story of one key.

use std::fmt::Write as _;

use super::{Config, KEYS, Loaded, Origin};

fn section_of(path: &str) -> &str {
    path.split_once('.').map_or("", |(section, _)| section)
}

fn name_of(path: &str) -> &str {
    path.split_once('.').map_or(path, |(_, name)| name)
}

/// What a section is about.
fn about(section: &str) -> &'static str {
    match section {
        "listen" => "Where clients connect.",
        "admin" => "Health, metrics and version, for operators.",
        "data" => "Where everything is kept.",
        "shards" => "The threads that serve connections and rooms.",
        "auth" => {
            "Access tokens. The signing key is made at first start, under `keys/` of the data directory."
        }
        "codes" => {
            "One-time codes by SMS: how many are sent, and how often one may be tried. Windows slide: a day is any 24 to 25 hours, an hour any 60 to 63 minutes."
        }
        "sessions" => "What a sign-in leads to: a session with access and refresh tokens.",
        "factors" => "Authenticator apps as a second factor. `docs/accounts.md` has their limits.",
        "erase" => "What a receipt says of copies that the server cannot remove when an account is erased.",
        "sms" => "Who sends the codes.",
        "twilio" => {
            "The account that sends codes with `sms.provider = \"twilio\"`. `docs/sms.md` has the set-up."
        }
        "push" => {
            "Notifications of people who are not there. `docs/notifications.md` has the rules and the set-up."
        }
        "media" => "Pictures and files. `docs/media.md` has their life.",
        "s3" => "The bucket of files with `media.store = \"s3\"`. `docs/media.md` has the set-up.",
        "rooms" => "Defaults of rooms.",
        "journal" => "The write-ahead log between an acknowledgement and the message store.",
        "store" => "Which stores are used, and the embedded message log.",
        "credentials" => "Who we are for outside systems.",
        "postgres" => "Rooms and accounts in PostgreSQL.",
        "cassandra" => "The message log in Cassandra or ScyllaDB.",
        "redis" => "What waits for minutes, in Redis.",
        "drain" => "The end.",
        "log" => "What the server tells about itself, on standard output.",
        "debug" => "Switches for looking inside.",
        "limits" => {
            "Every bound that clients and memory are held to. `hello` announces those a client must know."
        }
        _ => "",
    }
}

/// A file with every key at its default, commented out.
pub(crate) fn default_toml() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# Lynk. Every key at its default. Uncomment what you change; `lynk config check FILE` tells what is wrong.\n\
         # Environment: LYNK__SECTION__KEY. Precedence: flag > environment > file > default.\n",
    );
    let mut section = "";
    for key in KEYS {
        if section_of(key.path) != section {
            section = section_of(key.path);
            let _ = write!(out, "\n# {}\n[{section}]\n", about(section));
        }
        let _ = writeln!(out, "# {} ({})", key.effect, key.range());
        let _ = writeln!(out, "#{} = {}", name_of(key.path), key.toml(&defaults));
    }
    out
}

/// The text of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# Configuration\n\n\
         `lynk serve` needs none. One TOML file (`--config FILE`), environment variables `LYNK__SECTION__KEY`, and flags \
         (`--set section.key=value`, or the flag of its own that the most used keys have) set the same keys. Precedence: flag > \
         environment > file > default. Times are written `\"250ms\"`, `\"15m\"`, `\"7d\"`; sizes `\"64KiB\"`, `\"1MiB\"`; money `\"0.0079\"`. Unknown keys and \
         values out of range are errors, all reported at once with file and line.\n\n\
         `lynk config default` prints a file with every key; `lynk config check FILE` checks one; `lynk config explain KEY` tells \
         what a key does, its value and who set it. SIGHUP reads the configuration again: keys marked *live* change, for \
         the others the log says that they need a restart.\n\n\
         This page is generated (`lynk config doc`); a test keeps it equal to the code.\n",
    );
    let mut section = "";
    for key in KEYS {
        if section_of(key.path) != section {
            section = section_of(key.path);
            let _ = write!(out, "\n## [{section}]\n\n{}\n\n", about(section));
            out.push_str("| Key | Unit | Default | Range | Effect |\n| --- | --- | --- | --- | --- |\n");
        }
        let live = if key.live { " *Live.*" } else { "" };
        let _ = writeln!(
            out,
            "| `{}` | {} | `{}` | {} | {}{live} |",
            name_of(key.path),
            key.unit(),
            key.toml(&defaults),
            key.range(),
            key.effect
        );
    }
    out
}

/// What one key does, its value, and who set it.
pub(crate) fn explain(row: usize, loaded: &Loaded) -> String {
    let key = &KEYS[row];
    let origin = match &loaded.origins[row] {
        Origin::Default => "the default".to_owned(),
        Origin::File(line) => format!("line {line} of the file"),
        Origin::Environment(name) => format!("environment {name}"),
        Origin::Flag => "the command line".to_owned(),
    };
    let reload = if key.live { "a reload (SIGHUP) applies it" } else { "needs a restart" };
    format!(
        "{}\n  {}\n  value    {} (from {origin})\n  default  {}\n  range    {}\n  change   {reload}\n  env      LYNK__{}\n",
        key.path,
        key.effect,
        key.toml(&loaded.config),
        key.toml(&Config::default()),
        key.range(),
        key.path.replace('.', "__").to_ascii_uppercase()
    )
}
