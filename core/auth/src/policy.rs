//! What an operator may set about signing in.

use crate::{SESSION_TOKEN_MILLIS_MAX, TOTP_CODES_GOOD};

/// Parts of a unit of currency in which money is counted: hundredths of a cent, as carriers price messages. Of which
/// currency is for the operator to know; it is that of all prices and of the budget.
pub const TEN_THOUSANDTHS: u32 = 10_000;

/// What a message to a country costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountryPrice {
    /// ISO 3166, two capital letters.
    pub country: [u8; 2],
    /// In ten-thousandths.
    pub price: u32,
}

/// How codes are sent and tried. A limit of 0 is no limit, where it says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodePolicy {
    /// Life of a code.
    pub life_millis: u64,
    /// Wrong tries of one code, of which the last one ends it.
    pub tries_max: u32,
    /// Time between two codes to one number.
    pub resend_millis: u64,
    /// Codes to one number in a day.
    pub per_number_day: u32,
    /// Codes that one address may ask for in an hour; 0 for no limit.
    pub per_address_hour: u32,
    /// Codes to numbers that differ in their last four digits only, in an hour; 0 for no limit.
    pub per_prefix_hour: u32,
    /// Codes in an hour: what a thief of messages can cost.
    pub messages_hour: u32,
    /// Codes in a day.
    pub messages_day: u32,
    /// What a message costs where [`Self::prices`] names no price, in ten-thousandths of a unit of currency.
    pub price: u32,
    /// What a message to a number of a country costs.
    pub prices: Vec<CountryPrice>,
    /// Money for codes in a day, in ten-thousandths of a unit of currency; 0 for no limit.
    pub spend_day: u32,
    /// Countries (ISO 3166, `DE`) whose numbers get codes; empty for all.
    pub countries: Vec<String>,
    /// Codes asked for, tried and turned into accounts by one address in a minute; 0 for no limit.
    pub attempts_per_address_minute: u32,
}

impl Default for CodePolicy {
    fn default() -> Self {
        Self {
            life_millis: 5 * 60_000,
            tries_max: 5,
            resend_millis: 60_000,
            per_number_day: 5,
            per_address_hour: 10,
            per_prefix_hour: 30,
            messages_hour: 500,
            messages_day: 2_000,
            price: 0,
            prices: Vec::new(),
            spend_day: 0,
            countries: Vec::new(),
            attempts_per_address_minute: 20,
        }
    }
}

/// Tries of codes that one number may see in a day, so that a guess succeeds with odds of at most 5 in 100,000.
pub const TRIES_PER_NUMBER_DAY_MAX: u32 = 50;

impl CodePolicy {
    /// What a message to a number of `country` costs, in ten-thousandths; `None` for a number of no country.
    #[must_use]
    pub fn price_of(&self, country: Option<&str>) -> u32 {
        let is_it = |one: &&CountryPrice| {
            country.is_some_and(|country| country.as_bytes().eq_ignore_ascii_case(&one.country))
        };
        self.prices.iter().find(is_it).map_or(self.price, |one| one.price)
    }

    /// The first broken relation between the values, as a sentence for an operator; `None` when all hold.
    #[must_use]
    pub fn broken_relation(&self) -> Option<&'static str> {
        // A code sent just before a day begins can be tried inside it.
        let tries = (self.per_number_day + 1).saturating_mul(self.tries_max);
        let dearest = self.prices.iter().map(|one| one.price).fold(self.price, u32::max);
        let unpriced = self.price == 0 || self.prices.iter().any(|one| one.price == 0);
        let relations = [
            (
                tries <= TRIES_PER_NUMBER_DAY_MAX,
                "tries_max times one more than per_number_day must not exceed 50: guessing would succeed too often",
            ),
            (self.messages_hour <= self.messages_day, "messages_hour must not exceed messages_day"),
            (
                self.spend_day == 0 || !unpriced,
                "spend_day needs a price above 0, also for countries that prices does not name: what costs nothing is not limited",
            ),
            (
                self.spend_day == 0 || dearest <= self.spend_day,
                "spend_day must not be less than the dearest price: such a message would never be sent",
            ),
        ];
        relations.into_iter().find(|(holds, _)| !holds).map(|(_, text)| text)
    }
}

/// How second factors are tried, and how long a proof of who somebody is counts as recent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactorPolicy {
    /// Who issues codes, as apps show it.
    pub issuer: String,
    /// Wrong codes of an account in an hour, of which the last one locks its second factor until there are fewer.
    pub wrong_hour: u32,
    /// Wrong codes of an account in a day.
    pub wrong_day: u32,
    /// How long an app that was shown a secret may take until its first code.
    pub enrolment_millis: u64,
    /// How old a proof may be for what is sensitive.
    pub recent_millis: u64,
    /// Whether everybody has to have one: a session without can do nothing but turn one on.
    pub required: bool,
}

impl Default for FactorPolicy {
    fn default() -> Self {
        Self {
            issuer: "Lynk".to_owned(),
            wrong_hour: 5,
            wrong_day: 10,
            enrolment_millis: 10 * 60_000,
            recent_millis: 5 * 60_000,
            required: false,
        }
    }
}

impl FactorPolicy {
    /// The first broken relation between the values, as a sentence for an operator; `None` when all hold.
    #[must_use]
    pub fn broken_relation(&self) -> Option<&'static str> {
        let relations = [
            (self.issuer.len() <= 64, "issuer must not be longer than 64 bytes"),
            (
                self.wrong_day.saturating_mul(TOTP_CODES_GOOD) <= TRIES_PER_NUMBER_DAY_MAX,
                "wrong_day times three must not exceed 50: guessing would succeed too often",
            ),
            (self.wrong_hour <= self.wrong_day, "wrong_hour must not exceed wrong_day"),
        ];
        relations.into_iter().find(|(holds, _)| !holds).map(|(_, text)| text)
    }
}

/// How long sessions and their tokens live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionPolicy {
    /// Life of an access token, at most [`SESSION_TOKEN_MILLIS_MAX`].
    pub access_millis: u64,
    /// A session that is not used for so long ends.
    pub idle_millis: u64,
    /// A session ends after so long, however much it is used.
    pub life_millis: u64,
    /// Time after a refresh token was used in which using it again gives the same successor.
    pub grace_millis: u64,
    /// Sessions of one account at a time; a further sign-in ends the one that was not used for longest.
    pub sessions_max: u32,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60_000;
        Self {
            access_millis: 15 * 60_000,
            idle_millis: 30 * DAY,
            life_millis: 180 * DAY,
            grace_millis: 30_000,
            sessions_max: 30,
        }
    }
}

impl SessionPolicy {
    /// The first broken relation between the values, as a sentence for an operator; `None` when all hold.
    #[must_use]
    pub fn broken_relation(&self) -> Option<&'static str> {
        let relations = [
            (self.access_millis <= SESSION_TOKEN_MILLIS_MAX, "access_ttl must not exceed 15 minutes"),
            (self.access_millis < self.idle_millis, "refresh_idle must exceed access_ttl"),
            (self.idle_millis <= self.life_millis, "refresh_idle must not exceed refresh_life"),
        ];
        relations.into_iter().find(|(holds, _)| !holds).map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_a_second_factor_is_bounded_as_guessing_a_code_is() {
        assert_eq!(FactorPolicy::default().broken_relation(), None);
        let daring = FactorPolicy { wrong_day: 17, ..FactorPolicy::default() };
        assert!(daring.broken_relation().expect("51 codes").contains("guessing"));
        let hasty = FactorPolicy { wrong_hour: 11, ..FactorPolicy::default() };
        assert!(hasty.broken_relation().expect("more an hour than a day").contains("wrong_hour"));
        let wordy = FactorPolicy { issuer: "ä".repeat(33), ..FactorPolicy::default() };
        assert!(wordy.broken_relation().expect("66 bytes").contains("issuer"));
    }

    #[test]
    fn the_defaults_hold_and_guessing_is_bounded() {
        assert_eq!(CodePolicy::default().broken_relation(), None);
        assert_eq!(SessionPolicy::default().broken_relation(), None);
        let daring = CodePolicy { per_number_day: 10, ..CodePolicy::default() };
        assert!(daring.broken_relation().expect("55 tries").contains("guessing"));
        assert_eq!(CodePolicy { tries_max: 4, ..daring }.broken_relation(), None);
        let dear = CodePolicy { messages_hour: 3_000, ..CodePolicy::default() };
        assert!(dear.broken_relation().expect("more an hour than a day").contains("messages_day"));
        let prices = vec![CountryPrice { country: *b"DE", price: 950 }];
        let priced = CodePolicy { price: 79, prices, spend_day: 950, ..CodePolicy::default() };
        assert_eq!(priced.broken_relation(), None);
        let costs = [Some("DE"), Some("de"), Some("US"), None].map(|country| priced.price_of(country));
        assert_eq!(costs, [950, 950, 79, 79]);
        let never = CodePolicy { spend_day: 949, ..priced.clone() };
        assert!(never.broken_relation().expect("too little for one").contains("dearest"));
        let free = CodePolicy { price: 0, ..priced };
        assert!(free.broken_relation().expect("others cost nothing").contains("above 0"));
        let brief = SessionPolicy { life_millis: 1, ..SessionPolicy::default() };
        assert!(brief.broken_relation().is_some());
        let access_millis = SESSION_TOKEN_MILLIS_MAX + 1;
        let forgotten = SessionPolicy { access_millis, ..SessionPolicy::default() };
        assert!(forgotten.broken_relation().expect("outlives the memory of its end").contains("access_ttl"));
    }
}
