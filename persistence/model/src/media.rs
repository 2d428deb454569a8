//! Stored pictures and files: what a store knows of each, without its bytes.
//!
//! Thread: any. Pure. Invariants: a file goes from [`MediaState::Pending`] forward only; what is attached was ready; a row outlives its
//! bytes, so that nothing lies in a blob store that no row names. Limits: those below. What can fail: nothing here.

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};

/// Files that one call attaches, at most: those of a message.
pub const ATTACHED_MAX: usize = 10;
/// Bytes of a file's name, at most.
pub const MEDIA_NAME_MAX: usize = 255;
/// Bytes of a file's type, at most.
pub const MEDIA_TYPE_MAX: usize = 127;
/// Rows that one call releases or dooms, at most, so that none pays for many: call it until it says 0.
pub const MEDIA_BATCH_MAX: u32 = 1_000;
/// The window in which uploads of an account are counted, in milliseconds.
pub const UPLOADS_WINDOW_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Purpose {
    /// A message of a room.
    Attachment = 1,
    /// The picture of an account.
    Avatar = 2,
    /// The picture of a room.
    RoomAvatar = 3,
}

impl Purpose {
    /// The stored form's value.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        [Self::Attachment, Self::Avatar, Self::RoomAvatar].into_iter().find(|one| *one as u8 == byte)
    }
}

/// How far a file is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum MediaState {
    /// Its bytes are awaited.
    Pending = 1,
    /// Its bytes are there and are looked at; nobody gets them.
    Scanning = 2,
    /// It can be attached and read.
    Ready = 3,
    /// It was refused; its bytes go.
    Rejected = 4,
    /// Nobody needs it any more; its bytes go.
    Doomed = 5,
}

impl MediaState {
    /// The stored form's value.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        [Self::Pending, Self::Scanning, Self::Ready, Self::Rejected, Self::Doomed]
            .into_iter()
            .find(|one| *one as u8 == byte)
    }

    /// Whether its bytes are to go.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Rejected | Self::Doomed)
    }
}

/// Why a file was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Rejection {
    /// Its first bytes are of no type that is allowed.
    UnknownType = 1,
    /// It is of another type than was announced.
    OtherType = 2,
    /// The picture is damaged, or cannot be decoded.
    Damaged = 3,
    /// The picture has too many pixels, or takes too much memory.
    TooLarge = 4,
    /// Decoding the picture took too long.
    TooSlow = 5,
    /// What looks for harmful files found something.
    Infected = 6,
    /// What looks for harmful files did not answer for so long that nobody waits any more.
    NotScanned = 7,
}

impl Rejection {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::UnknownType,
        Self::OtherType,
        Self::Damaged,
        Self::TooLarge,
        Self::TooSlow,
        Self::Infected,
        Self::NotScanned,
    ];

    /// The stored form's value.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u8 == byte)
    }

    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::OtherType => "other_type",
            Self::Damaged => "damaged",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Infected => "infected",
            Self::NotScanned => "not_scanned",
        }
    }
}

/// To what a file is attached, in its own room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    /// The key of the command that did it.
    pub key: Key,
    /// When.
    pub at: Millis,
}

/// What is known of a file's content once it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MediaFacts {
    /// Bytes as they are stored; an image whose EXIF data was taken out has fewer than were uploaded.
    pub bytes: u64,
    /// Width of a picture in pixels, or 0.
    pub width: u32,
    /// Height of a picture in pixels, or 0.
    pub height: u32,
    /// Which smaller variants there are: bit `n` for the n-th size. Of a file that was refused, which has none: why, a [`Rejection`].
    pub thumbnails: u8,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// Which: 128 random bits.
    pub id: MediaId,
    /// Who uploads it.
    pub owner: UserId,
    /// Of which room; nil for the picture of an account.
    pub room: RoomId,
    /// What for.
    pub purpose: Purpose,
    /// Its name, as the owner has it; may be empty. At most [`MEDIA_NAME_MAX`] bytes.
    pub name: String,
    /// Its type, as in `Content-Type`, without parameters. At most [`MEDIA_TYPE_MAX`] bytes.
    pub kind: String,
    /// What is in it; until it is there, the bytes that were announced.
    pub facts: MediaFacts,
    /// How far it is.
    pub state: MediaState,
    /// When it was begun.
    pub created: Millis,
    /// When its state changed last.
    pub changed: Millis,
    /// To what it is attached.
    pub attached: Option<Attached>,
    /// Its message is at or below this seq of its room, where all are about to be removed: noted before they are.
    pub leaves: Option<Seq>,
    /// Seq of its message. Noted when that is in the room's log to stay, so `None` does not say that there is none.
    pub seq: Option<Seq>,
    /// Whether its bytes are gone: the row stays until its day of uploads is over.
    pub emptied: bool,
}

impl Media {
    /// Why it was refused, if it was.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        Some(self.facts.thumbnails)
            .filter(|_| self.state == MediaState::Rejected)
            .and_then(Rejection::from_u8)
    }
}

/// What an account may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Bytes of all its files, those that are awaited among them.
    pub bytes: u64,
    /// Uploads that are begun within [`UPLOADS_WINDOW_MILLIS`].
    pub uploads: u64,
    /// Files whose bytes are awaited or looked at.
    pub open: u64,
}

/// What an account has, in the units of its [`Quota`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Uploads of the last day.
    pub uploads: u64,
    /// Files that are awaited or looked at.
    pub open: u64,
}

/// Whether an upload may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It has begun.
    Done,
    /// Too many are open.
    Open,
    /// Too many were begun within a day.
    Uploads,
    /// It would be too many bytes.
    Bytes,
}

impl Usage {
    /// Whether `bytes` more may begin.
    #[must_use]
    pub fn may_begin(&self, bytes: u64, quota: &Quota) -> Begun {
        if self.open >= quota.open {
            Begun::Open
        } else if self.uploads >= quota.uploads {
            Begun::Uploads
        } else if self.bytes.saturating_add(bytes) > quota.bytes {
            Begun::Bytes
        } else {
            Begun::Done
        }
    }
}

/// What became of a file whose bytes are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It is looked at.
    Scanning(MediaFacts),
    /// It is ready.
    Ready(MediaFacts),
    /// It is refused.
    Rejected(Rejection),
}

impl Settled {
    /// The state that it leads to.
    #[must_use]
    pub fn state(&self) -> MediaState {
        match self {
            Self::Scanning(_) => MediaState::Scanning,
            Self::Ready(_) => MediaState::Ready,
            Self::Rejected(_) => MediaState::Rejected,
        }
    }

    /// What is known of the content then, where `before` was.
    #[must_use]
    pub fn facts(&self, before: MediaFacts) -> MediaFacts {
        match self {
            Self::Scanning(facts) | Self::Ready(facts) => *facts,
            Self::Rejected(why) => MediaFacts { thumbnails: *why as u8, ..before },
        }
    }

    /// Whether it follows from a state.
    #[must_use]
    pub fn follows(&self, state: MediaState) -> bool {
        match self {
            Self::Scanning(_) => state == MediaState::Pending,
            Self::Ready(_) | Self::Rejected(_) => matches!(state, MediaState::Pending | MediaState::Scanning),
        }
    }
}

/// Which files are to be attached, and by what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attach {
    /// Which, each once; at most [`ATTACHED_MAX`].
    pub ids: Vec<MediaId>,
    /// Who asks: only the owner may.
    pub owner: UserId,
    /// In which room; nil for the picture of an account.
    pub room: RoomId,
    /// What for: only files that were uploaded for it.
    pub purpose: Purpose,
    /// The key of the command: repeating it with the same key is harmless.
    pub key: Key,
    /// When.
    pub at: Millis,
}

/// What has one picture at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PictureOf {
    /// A room.
    Room(RoomId),
    /// An account.
    Account(UserId),
}

impl PictureOf {
    /// What its pictures are uploaded for.
    #[must_use]
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Room(_) => Purpose::RoomAvatar,
            Self::Account(_) => Purpose::Avatar,
        }
    }

    /// The key with which its pictures are attached: one for all, so that a picture can be taken again by another command.
    #[must_use]
    pub fn key(self) -> Key {
        match self {
            Self::Room(room) => Key(room.0),
            Self::Account(user) => Key(user.0),
        }
    }

    /// The room of its pictures: nil for an account.
    #[must_use]
    pub fn room(self) -> RoomId {
        match self {
            Self::Room(room) => room,
            Self::Account(_) => RoomId::NIL,
        }
    }
}

/// Why a file cannot be attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAttached {
    /// There is none of that id which is the asker's, in that room. It does not say more.
    Unknown,
    /// It is awaited or looked at.
    NotReady,
    /// It was refused, or is gone.
    Gone,
    /// It is attached to something else.
    Used,
}

/// Whether files were attached: all, or none because of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttachOutcome {
    /// They are, in the order in which they were asked for.
    Done(Vec<Media>),
    /// Nothing changed, because of this one.
    Refused(MediaId, NotAttached),
}

impl Attach {
    /// Whether `media` can be attached; `Ok(false)` when it is already by the same command.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, media: Option<&Media>) -> Result<bool, NotAttached> {
        let media = media.filter(|media| {
            media.owner == self.owner && media.room == self.room && media.purpose == self.purpose
        });
        let media = media.ok_or(NotAttached::Unknown)?;
        match media.state {
            MediaState::Pending | MediaState::Scanning => Err(NotAttached::NotReady),
            MediaState::Rejected | MediaState::Doomed => Err(NotAttached::Gone),
            MediaState::Ready => match media.attached {
                None => Ok(true),
                Some(attached) if attached.key == self.key => Ok(false),
                Some(_) => Err(NotAttached::Used),
            },
        }
    }
}
