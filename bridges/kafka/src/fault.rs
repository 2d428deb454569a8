//! What a call failed with.
//!
//! Thread: any; pure. The port's [`StoreError`] says what the caller must do, a [`Fault`] tells the operator why. Its words come from librdkafka and
//! name brokers and topics; settings are named without their values, because some of them are secret.

use std::fmt;

use lynk_model::StoreError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nothing was published or read; brokers are away.
    Unavailable,
    /// The broker refused the certificate, the password, the topic or the group. Nothing more will work until an operator acts.
    Refused,
    /// It may have been published.
    Unknown,
    /// A message that cannot be written or read.
    Corrupt,
}

impl FaultKind {
    /// All, in the order of their metrics.
    pub const ALL: [Self; 4] = [Self::Unavailable, Self::Refused, Self::Unknown, Self::Corrupt];

    /// For logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Corrupt => "corrupt",
        }
    }
}

/// A failure with the words for an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// Why.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }

    pub(crate) fn of(error: &KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, key, _) => {
                Self::new(FaultKind::Refused, format_args!("the setting {key} cannot be used"))
            }
            KafkaError::Nul(_) => Self::new(FaultKind::Refused, "a setting holds a zero byte"),
            error => {
                let code = error.rdkafka_error_code();
                Self::new(code.map_or(FaultKind::Unavailable, kind_of), error)
            }
        }
    }

    /// An error that a client told of by itself.
    pub(crate) fn told(error: &KafkaError, reason: &str) -> Self {
        let kind = if reason.contains("ertificate") { FaultKind::Refused } else { Self::of(error).kind };
        Self::new(kind, reason)
    }

    pub(crate) fn store_error(&self) -> StoreError {
        match self.kind {
            FaultKind::Unavailable | FaultKind::Refused => StoreError::Unavailable,
            FaultKind::Unknown => StoreError::Unknown,
            FaultKind::Corrupt => StoreError::Corrupt,
        }
    }
}

fn kind_of(code: Code) -> FaultKind {
    match code {
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::PolicyViolation => FaultKind::Refused,
        _ => FaultKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::config::ClientConfig;
    use rdkafka::producer::BaseProducer;

    #[test]
    fn a_setting_that_is_refused_is_named_without_its_value() {
        let made = ClientConfig::new().set("security.protocol", "hush").create::<BaseProducer>();
        let fault = Fault::of(&made.err().expect("refused"));
        assert!(!format!("{fault} {fault:?}").contains("hush"), "{fault}");
        let made = ClientConfig::new().set("linger.ms", "hush").create::<BaseProducer>();
        let fault = Fault::of(&made.err().expect("refused"));
        assert!(fault.detail.contains("linger.ms") && !format!("{fault:?}").contains("hush"), "{fault}");
    }
}
