//! `lynk chat`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lynk_domain::UserId;

use crate::chat::{Access, Options};
use crate::cli::{ConfigArgs, bad_flag};
use crate::client::Url;
use crate::config::units::parse_millis;
use crate::exit::{Exit, Failure};
use crate::out::Form;
use crate::{chat, people};

/// `lynk chat`
#[derive(Args, Clone, Debug)]
pub(crate) struct ChatArgs {
    /// The server [default: the address of the configuration].
    #[arg(long, value_name = "ws://HOST:PORT")]
    url: Option<String>,
    /// Who you are: a user id, or a name of up to 20 letters, digits, dots, dashes (for development). Needs the data
    /// directory of the server, whose key signs you in.
    #[arg(long = "as", visible_alias = "user", value_name = "USER", required_unless_present = "token_file")]
    user: Option<String>,
    /// Enter this room, by name or id; made if there is none of that name. May be repeated.
    #[arg(long, value_name = "ROOM")]
    room: Vec<String>,
    /// Sign in with the access token in this file instead (`-`: the environment variable `LYNK_TOKEN`).
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// How long to stay after the end of standard input.
    #[arg(long, value_name = "TIME", default_value = "0")]
    linger: String,
    /// `text` for people, `json` for programs.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ChatArgs {
    /// Chats.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let url = self.url.clone().unwrap_or_else(|| format!("ws://{}{}", config.listen, config.listen_path));
        let url = Url::parse(&url).map_err(|what| bad_flag("--url", what))?;
        let linger = parse_millis(&self.linger)
            .ok_or_else(|| bad_flag("--linger", "must be a duration such as 500ms or 10s"))?;
        let (user, access) = match (&self.user, &self.token_file) {
            (Some(user), _) => {
                let id = people::user_of(user)
                    .ok_or_else(|| bad_flag("--as", format!("{user:?} is neither a name nor a user id")))?;
                let scope = config.auth_scope();
                (id, Access::DataDir { root: config.data_dir, user: id, scope })
            }
            (None, Some(path)) => {
                let token = read_token(path)?;
                let user = user_of_token(&token)
                    .ok_or_else(|| Failure::new(Exit::Failure, "that is not an access token"))?;
                (user, Access::Token(token))
            }
            (None, None) => return Err(bad_flag("--as", "say who you are")),
        };
        // The key must be usable before anything is connected.
        access.token()?;
        let linger = Duration::from_millis(linger);
        chat::run(&Options { url, user, access, rooms: self.room, form: self.output, linger })
    }
}

fn read_token(path: &std::path::Path) -> Result<String, Failure> {
    let text = if path == std::path::Path::new("-") {
        std::env::var("LYNK_TOKEN")
            .map_err(|_| Failure::new(Exit::Failure, "the environment variable LYNK_TOKEN is not set"))?
    } else {
        std::fs::read_to_string(path).map_err(|error| crate::data_dir::refused(path, &error))?
    };
    Ok(text.trim().to_owned())
}

/// Whose token it is, as it says itself; the server decides whether that is true.
fn user_of_token(token: &str) -> Option<UserId> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&json).ok()?;
    UserId::parse(claims.get("sub")?.as_str()?)
}
