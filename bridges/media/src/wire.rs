//! Bodies of the operations on files.

use lynk_domain::Millis;
use lynk_model::media::{Media, MediaState, Purpose, Quota, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names are one line, without characters that turn the direction of what comes after.
pub(crate) const NAME: &str = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029\u202A-\u202E\u2066-\u2069]*$";

/// Codes of links into rooms.
const CODE: &str = "^[0-9a-f]{64}$";

/// `POST /v1/media`
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Announce {
    /// What the file is for.
    pub(crate) purpose: PurposeName,
    /// Of which room; left out for the picture of an account.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) room: Option<String>,
    /// What others read as its name; at most 255 bytes.
    #[serde(default)]
    #[schemars(length(max = 255), regex(pattern = NAME))]
    pub(crate) name: String,
    /// Its type, as in `Content-Type`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 127))]
    pub(crate) kind: String,
    /// How many bytes it has.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub(crate) bytes: u64,
}

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Debug)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MediaPurpose")]
pub(crate) enum PurposeName {
    /// A message of a room.
    Attachment,
    /// The picture of an account.
    Avatar,
    /// The picture of a room.
    RoomAvatar,
}

impl From<PurposeName> for Purpose {
    fn from(name: PurposeName) -> Self {
        match name {
            PurposeName::Attachment => Self::Attachment,
            PurposeName::Avatar => Self::Avatar,
            PurposeName::RoomAvatar => Self::RoomAvatar,
        }
    }
}

impl From<Purpose> for PurposeName {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Attachment => Self::Attachment,
            Purpose::Avatar => Self::Avatar,
            Purpose::RoomAvatar => Self::RoomAvatar,
        }
    }
}

/// How far a file is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Debug)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MediaState")]
pub(crate) enum StateName {
    /// Its bytes are awaited.
    Pending,
    /// Its bytes are there and are looked at; nobody gets them.
    Scanning,
    /// It can be attached and read.
    Ready,
    /// It was refused; its bytes go.
    Rejected,
}

/// A file, as its owner sees it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Media")]
pub(crate) struct MediaBody {
    /// Which.
    #[schemars(extend("format" = "uuid"))]
    media: String,
    /// What for.
    purpose: PurposeName,
    /// Of which room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    room: Option<String>,
    /// Its name.
    name: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// Its bytes: those announced until they are there, then those kept, without what describes a picture.
    bytes: u64,
    /// How far it is.
    state: StateName,
    /// Why it was refused: `unknown_type`, `other_type`, `damaged`, `too_large`, `too_slow`, `infected` or `not_scanned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Pixels across, of a picture that is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// Pixels down.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// Which variants there are: 0 is the file, 1 fits into 320 pixels, 2 into 1,280. Empty until it is ready.
    variants: Vec<u8>,
    /// When it was announced, in milliseconds since 1970.
    created: u64,
    /// Whether a message, a profile or a room has it.
    attached: bool,
}

impl MediaBody {
    /// `None` for what nobody needs any more.
    pub(crate) fn of(media: &Media) -> Option<Self> {
        let state = match media.state {
            MediaState::Pending => StateName::Pending,
            MediaState::Scanning => StateName::Scanning,
            MediaState::Ready => StateName::Ready,
            MediaState::Rejected => StateName::Rejected,
            MediaState::Doomed => return None,
        };
        let ready = state == StateName::Ready;
        let pixels = |count: u32| Some(count).filter(|count| ready && *count > 0);
        Some(Self {
            media: media.id.to_string(),
            purpose: media.purpose.into(),
            room: Some(media.room).filter(|room| !room.is_nil()).map(|room| room.to_string()),
            name: media.name.clone(),
            kind: media.kind.clone(),
            bytes: media.facts.bytes,
            state,
            reason: media.rejection().map(lynk_model::media::Rejection::word),
            width: pixels(media.facts.width),
            height: pixels(media.facts.height),
            variants: if ready { variants(media) } else { Vec::new() },
            created: media.created.0,
            attached: media.attached.is_some(),
        })
    }
}

/// The variants of a file that is ready.
pub(crate) fn variants(media: &Media) -> Vec<u8> {
    let small = (0..8).filter(|bit| media.facts.thumbnails & (1 << bit) != 0).map(|bit| bit + 1);
    std::iter::once(0).chain(small).collect()
}

/// An upload that may begin.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MediaUpload")]
pub(crate) struct Announced {
    /// The file.
    #[serde(flatten)]
    pub(crate) media: MediaBody,
    /// Where its bytes are to be put.
    pub(crate) upload: Link,
}

/// A link that is good for a while.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MediaLink")]
pub(crate) struct Link {
    /// Relative to this server, or whole where the bytes are elsewhere. It is a secret of whoever got it.
    pub(crate) url: String,
    /// How to ask: `PUT` with exactly the announced bytes and type, or `GET`.
    pub(crate) method: &'static str,
    /// Until when it is good, in milliseconds since 1970.
    pub(crate) ends: u64,
}

impl Link {
    pub(crate) fn new(method: &'static str, url: String, ends: Millis) -> Self {
        Self { url, method, ends: ends.0 }
    }
}

/// Query of `PUT /v1/media/{media}/content`; all of it comes from the link.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct PutQuery {
    /// How many bytes come.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(crate) bytes: u64,
    /// Of which type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Until when the link is good.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(crate) ends: u64,
    /// That it is a link of this server.
    pub(crate) signature: String,
}

/// Query of `GET /v1/media/{media}/content`; all of it but `save` comes from the link.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct GetQuery {
    /// Which variant.
    pub(crate) variant: u8,
    /// Whose link it is.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) user: String,
    /// In which session.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) session: String,
    /// Until when the link is good.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(crate) ends: u64,
    /// That it is a link of this server.
    pub(crate) signature: String,
    /// The code by which one looks into the room, where the link was made with one.
    #[schemars(length(min = 64, max = 64), regex(pattern = CODE))]
    pub(crate) code: Option<String>,
    /// Whether it is to be saved where a browser would show it, which may be added to any link.
    #[serde(default)]
    pub(crate) save: bool,
}

/// Query of `GET /v1/media/{media}/link`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct LinkQuery {
    /// 0 (left out: 0) is the file, 1 fits into 320 pixels, 2 into 1,280. A smaller picture that there is not is answered with the next larger one.
    #[serde(default)]
    #[schemars(range(max = 2))]
    pub(crate) variant: u8,
    /// The code of a link into the room whose picture it is, for who is no member.
    #[schemars(length(min = 64, max = 64), regex(pattern = CODE))]
    pub(crate) code: Option<String>,
}

/// Query of `GET /v1/media`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct PageQuery {
    /// The last file of the page before.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) after: Option<String>,
    /// How many at most; 50 when left out.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) limit: Option<u32>,
}

/// A page of one's own files, by id.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MediaPage")]
pub(crate) struct Page {
    /// Files that are not refused.
    pub(crate) media: Vec<MediaBody>,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// What the caller has, and may have.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MediaUsage")]
pub(crate) struct UsageBody {
    /// Bytes of all files, those awaited among them.
    bytes: u64,
    /// As many as there may be.
    bytes_max: u64,
    /// Uploads that were begun within a day.
    uploads: u64,
    /// As many as there may be.
    uploads_max: u64,
    /// Files that are awaited or looked at.
    open: u64,
    /// As many as there may be.
    open_max: u64,
}

impl UsageBody {
    pub(crate) fn new(usage: Usage, quota: &Quota) -> Self {
        Self {
            bytes: usage.bytes,
            bytes_max: quota.bytes,
            uploads: usage.uploads,
            uploads_max: quota.uploads,
            open: usage.open,
            open_max: quota.open,
        }
    }
}
