//! `lynk token`

use clap::Args;
use lynk_auth::SESSION_TOKEN_MILLIS_MAX;
use lynk_domain::SessionId;
use serde_json::json;

use crate::cli::{ConfigArgs, bad_flag};
use crate::config::units::{format_millis, parse_millis};
use crate::data_dir::Keys;
use crate::exit::Failure;
use crate::out::{Form, put, put_json};
use crate::people;
use crate::token::{DEFAULT_TTL_MILLIS, TTL_MILLIS_MAX, issue, new_session};

/// `lynk token`
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenArgs {
    /// Whose: a user id, or a name (for development).
    #[arg(long, value_name = "USER")]
    user: String,
    /// For how long [default: 15m].
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// For this session instead of a new one: a token for `refresh`. Then for 15m at most.
    #[arg(long, value_name = "UUID")]
    session: Option<String>,
    /// `text`: the token alone. `json`: with user, session and end.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

impl TokenArgs {
    /// Prints a token.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let user = people::user_of(&self.user)
            .ok_or_else(|| bad_flag("--user", format!("{:?} is neither a name nor a user id", self.user)))?;
        let ttl = match &self.ttl {
            None => DEFAULT_TTL_MILLIS,
            Some(text) => {
                parse_millis(text).filter(|ttl| (1_000..=TTL_MILLIS_MAX).contains(ttl)).ok_or_else(|| {
                    bad_flag(
                        "--ttl",
                        format!("must be a duration from 1s to {}", format_millis(TTL_MILLIS_MAX)),
                    )
                })?
            }
        };
        let session = match &self.session {
            None => new_session()?,
            Some(text) => SessionId::parse(text)
                .filter(|session| !session.is_nil())
                .ok_or_else(|| bad_flag("--session", "must be a UUID"))?,
        };
        // When a session ends it is remembered as over for so long: a token that lives on would be good again.
        if self.session.is_some() && ttl > SESSION_TOKEN_MILLIS_MAX {
            let max = format_millis(SESSION_TOKEN_MILLIS_MAX);
            return Err(bad_flag("--ttl", format!("must not exceed {max} together with --session")));
        }
        let config = self.config.load()?.config;
        let keys = Keys::load(&config.data_dir)?;
        let (token, expires) = issue(&keys, &config.auth_scope(), user, session, ttl)?;
        match self.output {
            Form::Text => put(&format!("{token}\n")),
            Form::Json => put_json(&json!({
                "token": token,
                "user": user.to_string(),
                "session": session.to_string(),
                "expires_unix_ms": expires.0,
            })),
        }
    }
}
