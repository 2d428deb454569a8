//! Twilio, from a configuration and files to what sends codes.
//!
//! Thread: boot. Secrets are in files, so that they are in no environment, no command line and no output of `lynk config`. What can
//! fail: the files and what they hold; every failure names its cure, and none repeats what is in a file.

use std::path::Path;
use std::time::Duration;

use lynk_bridge::Secret;
use lynk_sms::{Credentials, Options, Reports, Roots, Twilio};

use crate::config::TwilioConfig;
use crate::credentials::{check_secret, read};
use crate::exit::{Exit, Failure};

/// What sends codes.
///
/// # Errors
/// What stands in the way, and its cure.
pub(crate) fn open(config: &TwilioConfig) -> Result<Twilio, Failure> {
    let mut secrets = secrets(&config.secret_file)?;
    let (Some(secret), true) = (secrets.pop(), secrets.is_empty()) else {
        return Err(wrong(&config.secret_file, "must hold one line").cure("put the secret alone into it"));
    };
    let user = if config.key_sid.is_empty() { &config.account_sid } else { &config.key_sid };
    let roots = match config.ca_file.as_str() {
        "" => Roots::System,
        path => Roots::Pem(read(Path::new(path))?),
    };
    let reports = match config.public_url.as_str() {
        "" => None,
        url => Some(Reports { public_url: url.to_owned(), tokens: secrets_of(&config.auth_token_file)? }),
    };
    let options = Options {
        api_url: config.api_url.clone(),
        credentials: Credentials { account: config.account_sid.clone(), user: user.clone(), secret },
        sender: config.sender.clone(),
        roots,
        reports,
        timeout: Duration::from_millis(config.timeout_millis),
    };
    let twilio = Twilio::new(options).map_err(|error| {
        Failure::new(Exit::Config, format!("[twilio]: {error}"))
            .cure("compare it with the account in Twilio's console; `docs/sms.md` tells what each key is")
    })?;
    tracing::info!(
        event = "sms_twilio",
        reports = !config.public_url.is_empty(),
        "codes are sent through Twilio"
    );
    Ok(twilio)
}

/// The lines of a file that must not be seen.
fn secrets(path: &str) -> Result<Vec<Secret>, Failure> {
    check_secret(Path::new(path))?;
    let text = String::from_utf8(read(Path::new(path))?)
        .map_err(|_| wrong(path, "holds no text").cure("put the secret alone into it, on one line"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Secret::new).collect())
}

/// One or two secrets.
fn secrets_of(path: &str) -> Result<Vec<Secret>, Failure> {
    let secrets = secrets(path)?;
    match secrets.len() {
        1 | 2 => Ok(secrets),
        _ => Err(wrong(path, "must hold one line, or two while the token is being changed")
            .cure("put the account's token into it, and the next one below")),
    }
}

fn wrong(path: &str, what: &str) -> Failure {
    Failure::new(Exit::Config, format!("{path} {what}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_come_from_files_that_not_everybody_reads() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str, mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("writable");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
            path.display().to_string()
        };
        let sid = |kind: &str| format!("{kind}{}", "0a".repeat(16));
        let config = TwilioConfig {
            account_sid: sid("AC"),
            key_sid: sid("SK"),
            secret_file: file("key", "hunter2\n", 0o600),
            sender: sid("MG"),
            public_url: "https://chat.example".to_owned(),
            auth_token_file: file("token", "hunter3\nhunter4\n", 0o640),
            ..TwilioConfig::default()
        };
        // The machine may have no certificates of authorities, which is told.
        match open(&config) {
            Ok(_) => {}
            Err(failure) => assert!(failure.to_string().contains("CA certificates"), "{failure}"),
        }
        let failed = |config: TwilioConfig, expected: &str| {
            let failure = open(&config).expect_err("refused").to_string();
            assert!(failure.contains(expected) && !failure.contains("hunter"), "{failure}");
        };
        let open_to_all = file("open", "hunter5", 0o644);
        failed(TwilioConfig { secret_file: open_to_all, ..config.clone() }, "chmod 600");
        failed(
            TwilioConfig { secret_file: file("two", "hunter5\nhunter6", 0o600), ..config.clone() },
            "one line",
        );
        failed(TwilioConfig { secret_file: file("empty", "\n", 0o600), ..config.clone() }, "one line");
        failed(
            TwilioConfig { auth_token_file: file("none", "", 0o600), ..config.clone() },
            "one line, or two",
        );
        failed(TwilioConfig { secret_file: "/nowhere/key".to_owned(), ..config.clone() }, "/nowhere/key");
        failed(TwilioConfig { ca_file: file("ca", "hunter7", 0o600), ..config }, "[twilio]: certificates");
    }
}
