//! Why messages fail, in the few words that a metric has.
//!
//! Pure. The carrier gives each failure a number, hundreds of them, and changes them; those that say something an operator or a
//! user can act on are sorted here, and the others are `other`.

use lynk_auth::SmsError;

/// Why a message failed. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The number cannot have messages: it does not exist, is a landline, or is off.
    Number,
    /// Its owner or its network wants none of ours.
    Blocked,
    /// The account may not send to its country.
    Region,
    /// It was not sent while its code was good.
    Expired,
    /// We ask too often, or too much waits.
    Throttled,
    /// Key or token are wrong.
    Credentials,
    /// The sender's number or the messaging service cannot be used.
    Sender,
    /// The account is closed, suspended or out of money.
    Account,
    /// No connection.
    Unreachable,
    /// A connection to somebody who is not the carrier.
    Tls,
    /// The request was written, at least in part, and no answer came.
    Unanswered,
    /// The carrier's server failed.
    Server,
    /// Something else.
    Other,
}

impl Cause {
    /// All causes, in order.
    pub const ALL: [Self; 13] = [
        Self::Number,
        Self::Blocked,
        Self::Region,
        Self::Expired,
        Self::Throttled,
        Self::Credentials,
        Self::Sender,
        Self::Account,
        Self::Unreachable,
        Self::Tls,
        Self::Unanswered,
        Self::Server,
        Self::Other,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Blocked => "blocked",
            Self::Region => "region",
            Self::Expired => "expired",
            Self::Throttled => "throttled",
            Self::Credentials => "credentials",
            Self::Sender => "sender",
            Self::Account => "account",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Unanswered => "unanswered",
            Self::Server => "server",
            Self::Other => "other",
        }
    }

    /// What a number of the carrier's list means.
    #[must_use]
    pub fn of_code(code: u32) -> Self {
        match code {
            21211 | 21214 | 21217 | 21263 | 21264 | 21265 | 21614 | 21635 | 30003 | 30005 | 30006 => {
                Self::Number
            }
            21610 | 30004 | 30007 => Self::Blocked,
            21408 | 21612 => Self::Region,
            30036 => Self::Expired,
            20429 | 21611 | 14107 | 30001 | 30022 => Self::Throttled,
            20003 | 20004 | 20008 | 20403 => Self::Credentials,
            20404 | 21212 | 21266 | 21267 | 21603 | 21606 | 21608 | 21659 | 21660 | 21661 | 21701 | 21703
            | 21704 | 21705 | 30034 => Self::Sender,
            20005 | 30002 | 90010 => Self::Account,
            20500..=20504 => Self::Server,
            _ => Self::Other,
        }
    }

    /// How a message ends that the carrier certainly did not take, for this cause.
    #[must_use]
    pub fn ends(self) -> SmsError {
        match self {
            Self::Number | Self::Blocked | Self::Region | Self::Expired | Self::Other => SmsError::Refused,
            Self::Throttled
            | Self::Credentials
            | Self::Sender
            | Self::Account
            | Self::Unreachable
            | Self::Tls
            | Self::Unanswered
            | Self::Server => SmsError::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use lynk_telemetry::Metric;

    use super::*;

    #[test]
    fn names_are_the_label_values_of_the_metric() {
        let label = Metric::SmsFailures.label().expect("a label");
        assert_eq!(label.values, Cause::ALL.map(Cause::name));
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
    }

    #[test]
    fn what_one_number_can_cause_never_looks_like_a_carrier_that_is_away() {
        for code in [21211, 21610, 21408, 21614, 30003, 30007, 99999] {
            assert_eq!(Cause::of_code(code).ends(), SmsError::Refused, "{code}");
        }
        for code in [20003, 21606, 20429, 20005] {
            assert_eq!(Cause::of_code(code).ends(), SmsError::Unavailable, "{code}");
        }
    }
}
