//! Links that let people into rooms: requests and answers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Id, Key, Kind, Time};

/// Longest life of a link: a year.
const LINK_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// The code of a link: 64 hexadecimal digits. One of another form leads nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub(crate) struct LinkCode(String);

impl JsonSchema for LinkCode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LinkCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

object! {
    /// Who comes in.
    JoinRoom {
        /// Idempotency key.
        key: Key,
        /// The code of a link that leads into the room; not needed for a public one.
        #[serde(default)] code: Option<LinkCode>,
    }
}
object! {
    /// A new link.
    MakeLink {
        /// Idempotency key.
        key: Key,
        /// How long it lives, in seconds; a week when missing.
        #[serde(default)]
        #[schemars(range(min = 1, max = LINK_SECONDS_MAX))]
        seconds: Option<u64>,
        /// How many it lets in; any number when missing.
        #[serde(default)]
        #[schemars(range(min = 1, max = u32::MAX))]
        uses: Option<u32>,
    }
}
object! {
    /// The code of a link.
    WithCode {
        /// The code.
        code: LinkCode,
    }
}
object! {
    /// A link that was made. Its code is told here alone.
    LinkMade {
        /// The room.
        room: Id,
        /// What it is called.
        link: Id,
        /// What lets people in.
        code: LinkCode,
        /// When it ends.
        until: Time,
    }
}
object! {
    /// A link that lets people in.
    Link {
        /// What it is called.
        link: Id,
        /// Who made it.
        by: Id,
        /// When.
        at: Time,
        /// When it ends.
        until: Time,
        /// How many it let in.
        uses: u32,
        /// How many it lets in at most; missing for any number.
        #[serde(default)] max_uses: Option<u32>,
    }
}
object! {
    /// Links that live, newest first.
    Links {
        /// The room.
        room: Id,
        /// All of them.
        links: Vec<Link>,
    }
}
object! {
    /// Where a code leads.
    LinkTarget {
        /// The room.
        room: Id,
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// What it is about.
        description: String,
        /// Its picture, or null.
        #[serde(default)] avatar: Option<Id>,
        /// How many members it has.
        members: u64,
        /// The caller is one of them.
        member: bool,
    }
}
