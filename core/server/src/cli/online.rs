//! `lynk online`

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use lynk_api::system_clock;
use lynk_domain::UserId;
use lynk_presence::Online;
use serde_json::json;

use crate::cli::{ConfigArgs, bad_flag};
use crate::exit::{Exit, Failure};
use crate::out::{Form, put, put_json};
use crate::{people, stores};

/// How long Redis may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(20);
/// Users that one run asks for.
const USERS_MAX: usize = 1_000;

/// `lynk online`
#[derive(Args, Clone, Debug)]
pub(crate) struct OnlineArgs {
    /// Ids of users.
    #[arg(value_name = "USER", required = true)]
    users: Vec<String>,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

impl OnlineArgs {
    /// Reads the mirror that all processes write.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        if self.users.len() > USERS_MAX {
            return Err(bad_flag("USER", format!("at most {USERS_MAX} users at a time")));
        }
        let user = |text: &String| {
            people::user_of(text).ok_or_else(|| bad_flag("USER", format!("{text:?} is no id of a user")))
        };
        let users = self.users.iter().map(user).collect::<Result<Vec<UserId>, _>>()?;
        let Some(shared) = stores::ephemeral(&config)? else {
            return Err(Failure::new(
                Exit::Config,
                "who is online is known to the server's process only".to_owned(),
            )
            .cure("set store.ephemeral to redis, for the server as well; or ask `lynk chat`"));
        };
        let reader = Online::new(Arc::clone(&shared.store), system_clock());
        let runtime = stores::runtime()?;
        let until = Instant::now() + PATIENCE;
        let read = loop {
            match runtime.block_on(reader.of(&users)) {
                Err(_) if Instant::now() < until => std::thread::sleep(POLL),
                read => break read,
            }
        };
        let detail = shared.bridge.health.report().detail;
        (shared.finish)();
        let online = read.map_err(|_| {
            Failure::dependency(format!("Redis cannot be asked: {detail}"))
                .cure("see whether it runs, and whether `credentials.dir` has the right identity for it")
        })?;
        let told = users.iter().zip(online);
        match self.output {
            Form::Json => {
                let all: Vec<_> =
                    told.map(|(user, online)| json!({"user": user.to_string(), "online": online})).collect();
                put_json(&json!({"users": all}))
            }
            Form::Text => {
                let line = |(user, online): (&UserId, bool)| {
                    format!("{user} {}\n", if online { "online" } else { "away" })
                };
                put(&told.map(line).collect::<String>())
            }
        }
    }
}
