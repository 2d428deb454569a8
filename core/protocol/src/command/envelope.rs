//! The fields of a frame, read at once whatever the op; and how each of them is taken out.
//!
//! Only fields of commands about messages and pages are here: each costs every frame a little. The others are read by
//! [`super::rare`], from the same text, for the ops that have them.

use std::borrow::Cow;
use std::fmt;

use lynk_domain::{Cursor, Epoch, Key, RoomId, Seq, UserId};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::{MAX_SAFE_INTEGER, Resume};
use crate::time::Moment;
use crate::{ErrorCode, Reject};

/// An id in hyphenated form, parsed without allocation.
pub(super) struct Id(pub(super) [u8; 16]);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 36 characters")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                RoomId::parse(text).map(|id| Id(id.0)).ok_or_else(|| E::custom("not an id of 36 characters"))
            }
        }
        deserializer.deserialize_str(V)
    }
}

/// Text that stays borrowed when it holds no escapes. (Inside an `Option`, serde would copy a bare `Cow`.)
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(V).map(Text)
    }
}

#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) id: Option<u64>,
    #[serde(borrow)]
    pub(super) op: Option<Text<'a>>,
    pub(super) room: Option<Id>,
    pub(super) user: Option<Id>,
    pub(super) key: Option<Id>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) reply_to: Option<u64>,
    pub(super) mentions: Option<Vec<Id>>,
    pub(super) mention_all: Option<bool>,
    pub(super) seq: Option<u64>,
    pub(super) epoch: Option<u32>,
    pub(super) before: Option<u64>,
    pub(super) after: Option<AfterField<'a>>,
    pub(super) at: Option<Moment>,
    pub(super) limit: Option<u32>,
    pub(super) all: Option<bool>,
    #[serde(borrow)]
    pub(super) emoji: Option<Text<'a>>,
    pub(super) on: Option<bool>,
    pub(super) attachments: Option<Vec<Id>>,
}

/// `after` is a seq in `history` and an id in `sync` and `members`.
pub(super) enum AfterField<'a> {
    Seq(u64),
    Id([u8; 16]),
    Bad(std::marker::PhantomData<&'a ()>),
}

impl<'de: 'a, 'a> Deserialize<'de> for AfterField<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for V<'a> {
            type Value = AfterField<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seq or an id")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(AfterField::Seq(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(RoomId::parse(text)
                    .map_or(AfterField::Bad(std::marker::PhantomData), |id| AfterField::Id(id.0)))
            }
        }
        deserializer.deserialize_any(V(std::marker::PhantomData))
    }
}

pub(super) fn take<'a>(field: &mut Option<Text<'a>>) -> Option<Cow<'a, str>> {
    field.take().map(|text| text.0)
}

pub(super) fn view<'a>(field: &'a Option<Text<'_>>) -> Option<&'a str> {
    field.as_ref().map(|text| &*text.0)
}

pub(super) fn missing(name: &'static str) -> Reject {
    Reject::because(ErrorCode::InvalidField, format!("field `{name}` is missing"))
}

pub(super) fn invalid(name: &'static str, what: &str) -> Reject {
    Reject::because(ErrorCode::InvalidField, format!("field `{name}` {what}"))
}

pub(super) fn seq_field(name: &'static str, value: u64) -> Result<Seq, Reject> {
    if value > MAX_SAFE_INTEGER {
        return Err(invalid(name, "is larger than 2^53 - 1"));
    }
    Ok(Seq(value))
}

impl<'a> Envelope<'a> {
    pub(super) fn room(&self) -> Result<RoomId, Reject> {
        self.room.as_ref().map(|id| RoomId(id.0)).ok_or_else(|| missing("room"))
    }
    pub(super) fn user(&self) -> Result<UserId, Reject> {
        self.user.as_ref().map(|id| UserId(id.0)).ok_or_else(|| missing("user"))
    }
    pub(super) fn key(&self) -> Result<Key, Reject> {
        let key = self.key.as_ref().map(|id| Key(id.0)).ok_or_else(|| missing("key"))?;
        if key.is_nil() { Err(invalid("key", "must not be zero")) } else { Ok(key) }
    }
    pub(super) fn seq(&self) -> Result<Seq, Reject> {
        match self.seq {
            None => Err(missing("seq")),
            Some(0) => Err(invalid("seq", "starts at 1")),
            Some(value) => seq_field("seq", value),
        }
    }
    /// Items with lower numbers than this.
    pub(super) fn before(&self) -> Result<Option<u64>, Reject> {
        Ok(self.before.map(|number| seq_field("before", number)).transpose()?.map(|Seq(number)| number))
    }
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Reject> {
        take(&mut self.text).ok_or_else(|| missing("text"))
    }
    pub(super) fn after_id(&self) -> Result<Option<[u8; 16]>, Reject> {
        match self.after {
            None => Ok(None),
            Some(AfterField::Id(id)) => Ok(Some(id)),
            Some(_) => Err(invalid("after", "is not an id of 36 characters")),
        }
    }
}

pub(super) fn parse_name<T>(
    field: &'static str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Reject> {
    match value {
        None => Ok(None),
        Some(name) => parse(name).map(Some).ok_or_else(|| invalid(field, "has no such value")),
    }
}

pub(super) fn resume_of(room: RoomId, epoch: Option<u32>, seq: Option<u64>) -> Result<Resume, Reject> {
    let cursor = match (epoch, seq) {
        (None, None) => None,
        (epoch, Some(seq)) => Some(Cursor { epoch: Epoch(epoch.unwrap_or(0)), seq: seq_field("seq", seq)? }),
        (Some(_), None) => return Err(missing("seq")),
    };
    Ok(Resume { room, cursor })
}

pub(super) fn ids(list: Option<Vec<Id>>) -> Vec<UserId> {
    list.unwrap_or_default().into_iter().map(|id| UserId(id.0)).collect()
}
