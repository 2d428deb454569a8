//! Accounts, from a data directory and a configuration to a running thread.
//!
//! Thread: boot. What can fail: the store and the keys; every failure names its cure.

use std::io::IsTerminal as _;
use std::sync::Arc;

use lynk_api::accounts::{
    AccountsState, AccountsThread, ConsoleSms, NoBlocks, Parts, Policies, SmsSender, start as start_accounts,
    system_clock,
};
use lynk_embedded::Accounts;

use crate::config::{Config, SmsConsole, SmsProvider};
use crate::data_dir::{DataDir, Keys, refused};
use crate::exit::Failure;

/// File of codes in the data directory.
const SMS_FILE: &str = "dev-sms.txt";

/// Opens the store and starts the accounts' thread.
///
/// # Errors
/// What stands in the way, and its cure.
pub(crate) fn start(
    config: &Config,
    dir: &DataDir,
    keys: Keys,
) -> Result<(AccountsState, AccountsThread), Failure> {
    let store = Accounts::open(dir.root()).map_err(|error| Failure::dependency(error.to_string()))?;
    let parts = Parts {
        store,
        fault: |store: &Accounts| store.take_fault().map(|fault| fault.to_string()),
        secret: dir.secret()?,
        ring: keys.ring(config.auth_scope())?,
        policies: Policies { codes: config.codes.clone(), sessions: config.sessions.clone() },
        sms: sms(config, dir)?,
        blocks: Arc::new(NoBlocks),
        clock: system_clock(),
    };
    start_accounts(parts).map_err(|error| {
        Failure::dependency(error.to_string())
            .cure("`lynk verify` tells whether the data directory is damaged")
    })
}

/// Who sends codes.
fn sms(config: &Config, dir: &DataDir) -> Result<Option<Arc<dyn SmsSender>>, Failure> {
    if config.sms_provider == SmsProvider::None {
        return Ok(None);
    }
    let terminal = match config.sms_console {
        SmsConsole::Terminal => true,
        SmsConsole::File => false,
        SmsConsole::Auto => std::io::stderr().is_terminal(),
    };
    if terminal {
        tracing::info!(event = "sms_console", "codes are shown on this terminal instead of being sent");
        return Ok(Some(Arc::new(ConsoleSms::terminal())));
    }
    let path = dir.root().join(SMS_FILE);
    let console = ConsoleSms::file(&path).map_err(|error| refused(&path, &error))?;
    tracing::info!(event = "sms_console", file = %path.display(), "codes are written to a file instead of being sent");
    Ok(Some(Arc::new(console)))
}
