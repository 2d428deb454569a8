//! `lynk version`

use clap::Args;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::out::{Form, put, put_json};

/// Version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `lynk version`
#[derive(Args, Clone, Debug)]
pub(crate) struct VersionArgs {
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// What `/version` and `lynk version -o json` tell.
pub(crate) fn facts() -> Value {
    json!({
        "version": VERSION,
        "protocol": lynk_http::SUBPROTOCOL,
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

impl VersionArgs {
    /// Prints it.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.output {
            Form::Text => put(&format!("lynk {VERSION}\n")),
            Form::Json => put_json(&facts()),
        }
    }
}
