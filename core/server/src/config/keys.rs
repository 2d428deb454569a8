//! What a key is: its name, its field, its range, and its value as text.

use std::net::SocketAddr;
use std::path::PathBuf;

use lynk_auth::CountryPrice;
use lynk_http::Network;

use super::Config;
use super::units::{
    format_bytes, format_millis, format_money, parse_bytes, parse_count, parse_millis, parse_money,
};
use super::value::Choice;

/// What the text of a number means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// A plain number.
    Count,
    /// `"64KiB"`.
    Bytes,
    /// `"250ms"`.
    Millis,
    /// `"0.0079"`.
    Money,
}

impl Unit {
    fn parse(self, text: &str) -> Option<u64> {
        match self {
            Self::Count => parse_count(text),
            Self::Bytes => parse_bytes(text),
            Self::Millis => parse_millis(text),
            Self::Money => parse_money(text),
        }
    }

    fn format(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            Self::Bytes => format_bytes(value),
            Self::Millis => format_millis(value),
            Self::Money => format_money(value),
        }
    }

    fn wants(self) -> &'static str {
        match self {
            Self::Count => "must be a whole number",
            Self::Bytes => "must be a size such as \"64KiB\"",
            Self::Millis => "must be a duration such as \"250ms\" or \"15m\"",
            Self::Money => "must be an amount such as \"0.0079\"",
        }
    }
}

/// The field of [`Config`] that a key sets.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    U16(fn(&mut Config) -> &mut u16, Unit, u64, u64),
    U32(fn(&mut Config) -> &mut u32, Unit, u64, u64),
    U64(fn(&mut Config) -> &mut u64, Unit, u64, u64),
    Switch(fn(&mut Config) -> &mut bool),
    Text(fn(&mut Config) -> &mut String),
    /// A text that may be empty.
    Optional(fn(&mut Config) -> &mut String),
    Prices(fn(&mut Config) -> &mut Vec<CountryPrice>),
    Words(fn(&mut Config) -> &mut Vec<String>),
    Networks(fn(&mut Config) -> &mut Vec<Network>),
    Address(fn(&mut Config) -> &mut SocketAddr),
    Path(fn(&mut Config) -> &mut PathBuf),
    Choice(fn(&mut Config) -> &mut dyn Choice),
}

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    /// `section.name`.
    pub(crate) path: &'static str,
    pub(crate) field: Field,
    /// Whether a reload (SIGHUP) applies it; otherwise it needs a restart.
    pub(crate) live: bool,
    /// What it does, one or two sentences.
    pub(crate) effect: &'static str,
}

impl Key {
    /// Sets the field from a text.
    ///
    /// # Errors
    /// What the text must be, to follow the key's name.
    pub(crate) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        let number = |unit: Unit, low: u64, high: u64| {
            let value = unit.parse(text).ok_or_else(|| format!("{}, not {text:?}", unit.wants()))?;
            if (low..=high).contains(&value) {
                Ok(value)
            } else {
                Err(format!("must be from {} to {}, not {text:?}", unit.format(low), unit.format(high)))
            }
        };
        match self.field {
            Field::U16(field, unit, low, high) => {
                *field(config) = u16::try_from(number(unit, low, high)?).map_err(|_| "is too large")?;
            }
            Field::U32(field, unit, low, high) => {
                *field(config) = u32::try_from(number(unit, low, high)?).map_err(|_| "is too large")?;
            }
            Field::U64(field, unit, low, high) => *field(config) = number(unit, low, high)?,
            Field::Switch(field) => {
                *field(config) = match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err(format!("must be true or false, not {text:?}")),
                };
            }
            Field::Text(field) => {
                if text.is_empty() || text.chars().any(char::is_control) {
                    return Err("must be a text of at least one character".to_owned());
                }
                text.clone_into(field(config));
            }
            Field::Optional(field) => {
                if text.chars().any(char::is_control) {
                    return Err("must be one line".to_owned());
                }
                text.clone_into(field(config));
            }
            Field::Prices(field) => {
                let prices = words(text).map(|word| {
                    price(word).ok_or_else(|| {
                        format!("must be countries with a price each, such as \"DE=0.0950\", not {word:?}")
                    })
                });
                *field(config) = prices.collect::<Result<_, _>>()?;
            }
            Field::Words(field) => {
                *field(config) = words(text).map(str::to_owned).collect();
            }
            Field::Networks(field) => {
                let networks = words(text).map(|word| {
                    Network::parse(word).ok_or_else(|| {
                        format!("must be addresses or networks such as \"10.0.0.0/8\", not {word:?}")
                    })
                });
                *field(config) = networks.collect::<Result<_, _>>()?;
            }
            Field::Address(field) => {
                *field(config) = text.parse().map_err(|_| {
                    format!("must be an address and a port such as \"127.0.0.1:7777\", not {text:?}")
                })?;
            }
            Field::Path(field) => {
                if text.is_empty() {
                    return Err("must be a path".to_owned());
                }
                *field(config) = PathBuf::from(text);
            }
            Field::Choice(field) => {
                let choice = field(config);
                if !choice.choose(text) {
                    return Err(format!("must be one of {}, not {text:?}", choice.words().join(", ")));
                }
            }
        }
        Ok(())
    }

    /// The field as the text that would set it.
    pub(crate) fn get(&self, config: &Config) -> String {
        let mut config = config.clone();
        match self.field {
            Field::U16(field, unit, ..) => unit.format(u64::from(*field(&mut config))),
            Field::U32(field, unit, ..) => unit.format(u64::from(*field(&mut config))),
            Field::U64(field, unit, ..) => unit.format(*field(&mut config)),
            Field::Switch(field) => field(&mut config).to_string(),
            Field::Text(field) | Field::Optional(field) => field(&mut config).clone(),
            Field::Prices(field) => field(&mut config).iter().map(price_text).collect::<Vec<_>>().join(","),
            Field::Words(field) => field(&mut config).join(","),
            Field::Networks(field) => {
                field(&mut config).iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            Field::Address(field) => field(&mut config).to_string(),
            Field::Path(field) => field(&mut config).display().to_string(),
            Field::Choice(field) => field(&mut config).word().to_owned(),
        }
    }

    /// The field as TOML.
    pub(crate) fn toml(&self, config: &Config) -> String {
        let text = self.get(config);
        match self.field {
            Field::U16(_, Unit::Count, ..)
            | Field::U32(_, Unit::Count, ..)
            | Field::U64(_, Unit::Count, ..) => text,
            Field::Switch(_) => text,
            Field::Words(_) | Field::Networks(_) | Field::Prices(_) => {
                let words: Vec<_> = words(&text).map(|w| format!("{w:?}")).collect();
                format!("[{}]", words.join(", "))
            }
            _ => format!("{text:?}"),
        }
    }

    /// What values it takes, for people.
    pub(crate) fn range(&self) -> String {
        match self.field {
            Field::U16(_, unit, low, high)
            | Field::U32(_, unit, low, high)
            | Field::U64(_, unit, low, high) => {
                format!("{} to {}", unit.format(low), unit.format(high))
            }
            Field::Switch(_) => "true, false".to_owned(),
            Field::Text(_) => "text".to_owned(),
            Field::Optional(_) => "text, or none".to_owned(),
            Field::Prices(_) => "list of countries and prices".to_owned(),
            Field::Words(_) => "list of texts".to_owned(),
            Field::Networks(_) => "list of addresses and networks".to_owned(),
            Field::Address(_) => "address:port".to_owned(),
            Field::Path(_) => "path".to_owned(),
            Field::Choice(field) => field(&mut Config::default()).words().join(", "),
        }
    }

    /// Its unit, for people.
    pub(crate) fn unit(&self) -> &'static str {
        match self.field {
            Field::U16(_, unit, ..) | Field::U32(_, unit, ..) | Field::U64(_, unit, ..) => match unit {
                Unit::Count => "count",
                Unit::Bytes => "bytes",
                Unit::Millis => "time",
                Unit::Money => "money",
            },
            Field::Prices(_) => "money",
            _ => "–",
        }
    }
}

/// The items of a list in one text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A country and its price; at most 1,000 a message.
fn price(word: &str) -> Option<CountryPrice> {
    let (country, price) = word.split_once('=')?;
    let country: [u8; 2] = country.trim().to_ascii_uppercase().into_bytes().try_into().ok()?;
    let price = parse_money(price).filter(|price| *price <= PRICE_MAX)?;
    let is_country = country.iter().all(u8::is_ascii_uppercase);
    is_country.then_some(CountryPrice { country, price: u32::try_from(price).ok()? })
}

fn price_text(one: &CountryPrice) -> String {
    format!("{}={}", String::from_utf8_lossy(&one.country), format_money(one.price.into()))
}

/// Highest price of a message, in ten-thousandths.
pub(crate) const PRICE_MAX: u64 = 1_000 * 10_000;
