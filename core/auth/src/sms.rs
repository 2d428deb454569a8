//! The port through which codes reach telephones, and through which a carrier tells what became of them.
//!
//! Thread: that of whoever sends. A sender may wait, for as long as it bounds itself. What can fail: the carrier. Three
//! kinds of failure are told apart, because they end differently for the code: see [`SmsError`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use lynk_domain::{Millis, Phone};

use crate::{Code, CodeRequest};

/// A code on its way to its telephone. `Debug` shows neither code nor number.
#[derive(Clone, Debug)]
pub struct Sms {
    /// To whom.
    pub to: Phone,
    /// What it is about.
    pub code: Code,
    /// Which request it answers.
    pub request: CodeRequest,
    /// When it was made.
    pub made: Millis,
    /// How long it is good.
    pub life_millis: u64,
}

impl Sms {
    /// The text for people. ASCII, and short enough to be paid as one message.
    #[must_use]
    pub fn text(&self) -> String {
        let minutes = self.life_millis.div_ceil(60_000);
        format!(
            "{} is your Lynk code. It is good for {minutes} minutes. Give it to nobody.",
            self.code.reveal()
        )
    }
}

/// Why a message did not go out, or may not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SmsError {
    /// The carrier does not take messages to this number. Nothing was sent.
    Refused,
    /// The carrier cannot be reached, or takes no messages now. Nothing was sent.
    Unavailable,
    /// The carrier was asked and did not say what became of it: the message may arrive. The code stays good, and nobody
    /// sends it again.
    Unknown,
}

impl SmsError {
    /// Whether it is certain that the message does not arrive.
    #[must_use]
    pub fn is_certain(self) -> bool {
        self != Self::Unknown
    }
}

impl fmt::Display for SmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the carrier does not take messages to this number",
            Self::Unavailable => "the carrier takes no messages now",
            Self::Unknown => "the carrier did not say whether it took the message",
        })
    }
}

impl std::error::Error for SmsError {}

/// A request in which a carrier tells what became of a message; anybody may have made it. `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub struct SmsCall<'a> {
    /// Path and query as they were asked for.
    pub path: &'a str,
    /// The part of the path that names the message.
    pub reference: &'a str,
    /// What it is signed with.
    pub signature: Option<&'a [u8]>,
    /// Its body.
    pub body: &'a [u8],
}

impl fmt::Debug for SmsCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmsCall(..)")
    }
}

/// What a carrier told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmsReport {
    /// The message is on its way, or has arrived, or its end was known.
    Noted,
    /// It will not arrive: the code of this request has no reader.
    Lost(CodeRequest),
}

/// Why a call of a carrier is not believed. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmsCallError {
    /// Nobody signed it who may.
    Signature,
    /// It is signed, and not of the carrier's form.
    Malformed,
    /// No message has this reference, or it was sent too long ago.
    UnknownMessage,
    /// The message had this status before.
    Replayed,
    /// This sender is never called.
    NotServed,
}

/// A message being sent.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SmsError>> + Send + 'a>>;

/// Sends codes to telephones. An implementation bounds the time it takes, and logs neither numbers nor codes.
pub trait SmsSender: Send + Sync {
    /// Sends one message, once: an implementation repeats only what was certainly not taken. Whether it arrives is not known.
    fn send<'a>(&'a self, sms: &'a Sms) -> Sending<'a>;

    /// Takes what a carrier tells of a message. Does not block.
    ///
    /// # Errors
    /// The call is not believed.
    fn report(&self, call: &SmsCall<'_>) -> Result<SmsReport, SmsCallError> {
        let _ = call;
        Err(SmsCallError::NotServed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sms(life_millis: u64) -> Sms {
        Sms {
            to: Phone::from_e164("+4915112345678").expect("a number"),
            code: Code::parse("012345").expect("digits"),
            request: CodeRequest([1; 16]),
            made: Millis(7),
            life_millis,
        }
    }

    #[test]
    fn a_message_does_not_print_and_its_text_names_code_and_life() {
        let printed = format!("{:?}", sms(300_000));
        assert!(!printed.contains("012345") && !printed.contains("15112345678"), "{printed}");
        assert!(sms(300_000).text().starts_with("012345 is your Lynk code. It is good for 5 minutes."));
    }

    #[test]
    fn a_text_is_one_message_and_paid_once() {
        // 160 characters of the basic alphabet, which has all letters and digits of ASCII and this punctuation.
        let text = sms(600_000).text();
        assert!(text.len() <= 160, "{} characters", text.len());
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" .".contains(&byte)), "{text}");
    }
}
