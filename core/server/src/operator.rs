//! Questions about accounts and reports that come through the control socket, and their answers as JSON.
//!
//! Thread: one of `control`. What can fail: no such account, the store; every failure names its cure.

mod reports;

use std::sync::Arc;

use lynk_api::accounts::{AccountFacts, AccountsState, OperatorAction, Whom};
use lynk_domain::{Millis, UserId};
use lynk_model::account::Erasure;
use lynk_protocol::{ErrorCode, Reject};
use serde_json::{Value, json};

use crate::accounts::OfRooms;
use crate::copies::control::AskAccounts;
use crate::exit::{Exit, Failure};

/// What may be asked, with the word for it.
pub(crate) const ACTIONS: [(&str, OperatorAction); 4] = [
    ("show", OperatorAction::Show),
    ("suspend", OperatorAction::Suspend),
    ("unsuspend", OperatorAction::Resume),
    ("end-totp", OperatorAction::EndFactor),
];

/// Answers questions with `accounts`, and with what rooms have of reports.
pub(crate) fn asker(accounts: AccountsState, rooms: Arc<dyn OfRooms>) -> AskAccounts {
    Arc::new(move |question| {
        match question["action"].as_str().and_then(|word| word.strip_prefix("reports-")) {
            Some(word) => reports::answer(&*rooms, word, question),
            None => answer(&accounts, question),
        }
    })
}

fn answer(accounts: &AccountsState, question: &Value) -> Result<Value, Failure> {
    let wrong = || {
        Failure::new(Exit::Usage, "the server does not know this question")
            .cure("use the lynk that the server runs")
    };
    let word = question["action"].as_str().ok_or_else(wrong)?;
    if word == "erasures" {
        let waiting = accounts.erasures().map_err(|reject| failed(&reject))?;
        let waiting: Vec<Value> = waiting.iter().map(waits).collect();
        return Ok(json!({ "waiting": waiting }));
    }
    if word == "erase" {
        let user = question["user"].as_str().ok_or_else(wrong)?;
        let receipt = accounts.erase(whom(user)).map_err(|reject| failed(&reject))?;
        let reason = question["reason"].as_str().unwrap_or_default();
        tracing::info!(
            event = "account_changed",
            action = word,
            user = receipt.user,
            reason,
            "an operator changed an account"
        );
        return Ok(json!(receipt));
    }
    let (word, action) = ACTIONS.into_iter().find(|(known, _)| *known == word).ok_or_else(wrong)?;
    let user = question["user"].as_str().ok_or_else(wrong)?;
    let facts = accounts.operate(whom(user), action).map_err(|reject| failed(&reject))?;
    if facts.changed {
        let reason = question["reason"].as_str().unwrap_or_default();
        tracing::info!(event = "account_changed", action = word, user = %facts.account.user, reason, "an operator changed an account");
    }
    Ok(told(&facts))
}

fn whom(user: &str) -> Whom {
    UserId::parse(user).map_or_else(|| Whom::Name(user.to_owned()), Whom::User)
}

fn failed(reject: &Reject) -> Failure {
    let failure = Failure::dependency(reject.message().to_owned());
    match reject.code {
        ErrorCode::UserNotFound => failure.cure("name the account by its user name or its id"),
        _ => failure.cure("see the server's log, and ask again"),
    }
}

fn waits(erasure: &Erasure) -> Value {
    let room = (!erasure.room.is_nil()).then(|| erasure.room.to_string());
    json!({"user": erasure.user.to_string(), "begun_at": erasure.begun.0, "room": room})
}

fn told(facts: &AccountFacts) -> Value {
    let millis = |at: Option<Millis>| at.map(|at| at.0);
    let account = &facts.account;
    let audit: Vec<Value> = facts
        .audit
        .iter()
        .map(|event| {
            let session = (!event.session.is_nil()).then(|| event.session.to_string());
            json!({"at": event.at.0, "what": event.kind.name(), "session": session})
        })
        .collect();
    json!({
        "user": account.user.to_string(),
        "user_name": account.user_name,
        "display_name": account.display_name,
        "phone": account.phone.masked(),
        "created_at": account.created.0,
        "sessions": facts.sessions,
        "totp_since": millis(facts.app),
        "recovery_codes_left": facts.recovery_left,
        "suspended_since": millis(facts.suspended),
        "changed": facts.changed,
        "audit": audit,
    })
}
