//! The head of a frame: opcode, flags, length and masking key (RFC 6455 §5.2), and what can be wrong with it.

use std::fmt;

/// Longest payload of a control frame.
pub const CONTROL_BYTES_MAX: usize = 125;

/// Which end of the connection decodes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Every frame of the peer must be masked.
    Server,
    /// No frame of the peer may be masked.
    Client,
}

/// Meaning of a frame. The discriminant is the value on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message in progress.
    Continuation = 0,
    /// Text, or the first fragment of one.
    Text = 1,
    /// Binary, or the first fragment of one.
    Binary = 2,
    /// Start or answer of the close handshake.
    Close = 8,
    /// Are you there?
    Ping = 9,
    /// Answer to a ping, or a one-way sign of life.
    Pong = 10,
}

impl Opcode {
    const fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether frames of this kind may appear between the fragments of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The rule that a peer broke. Every one ends the connection with [`Self::close_code`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// A reserved bit is set although no extension was agreed.
    ReservedBits,
    /// An opcode that nobody has defined.
    ReservedOpcode,
    /// A control frame without FIN.
    ControlFragmented,
    /// A control frame above [`CONTROL_BYTES_MAX`].
    ControlTooLong,
    /// A continuation without a message in progress.
    UnexpectedContinuation,
    /// A new message before the one in progress was finished.
    MessageUnfinished,
    /// A client's frame without a mask.
    Unmasked,
    /// A server's frame with a mask.
    Masked,
    /// A length in more bytes than it needs, or above 2^63 - 1.
    LengthMalformed,
    /// A message above the limit.
    MessageTooLarge,
    /// Text, or a close reason, that is not UTF-8.
    InvalidUtf8,
    /// A close frame with one byte of payload.
    CloseTruncated,
    /// A close code that must not be sent.
    CloseCodeInvalid,
}

impl DecodeError {
    /// Every error.
    pub const ALL: [Self; 13] = [
        Self::ReservedBits,
        Self::ReservedOpcode,
        Self::ControlFragmented,
        Self::ControlTooLong,
        Self::UnexpectedContinuation,
        Self::MessageUnfinished,
        Self::Unmasked,
        Self::Masked,
        Self::LengthMalformed,
        Self::MessageTooLarge,
        Self::InvalidUtf8,
        Self::CloseTruncated,
        Self::CloseCodeInvalid,
    ];

    /// Stable name, as a metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved_bits",
            Self::ReservedOpcode => "reserved_opcode",
            Self::ControlFragmented => "control_fragmented",
            Self::ControlTooLong => "control_too_long",
            Self::UnexpectedContinuation => "unexpected_continuation",
            Self::MessageUnfinished => "message_unfinished",
            Self::Unmasked => "unmasked",
            Self::Masked => "masked",
            Self::LengthMalformed => "length_malformed",
            Self::MessageTooLarge => "message_too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::CloseTruncated => "close_truncated",
            Self::CloseCodeInvalid => "close_code_invalid",
        }
    }

    /// Close code to answer with.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 => 1007,
            Self::MessageTooLarge => 1009,
            _ => 1002,
        }
    }

    /// The broken rule in a few words; fits in a close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::ControlFragmented => "fragmented control frame",
            Self::ControlTooLong => "control frame too long",
            Self::UnexpectedContinuation => "continuation without a message",
            Self::MessageUnfinished => "message inside a message",
            Self::Unmasked => "frame is not masked",
            Self::Masked => "frame is masked",
            Self::LengthMalformed => "malformed length",
            Self::MessageTooLarge => "message too large",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::CloseTruncated => "truncated close frame",
            Self::CloseCodeInvalid => "invalid close code",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for DecodeError {}

/// What the frames before this one, and the settings, allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) role: Role,
    /// Largest message, in bytes.
    pub(crate) message_bytes_max: u32,
    /// Bytes of the fragmented message so far; `None` when none is in progress.
    pub(crate) message_bytes: Option<u32>,
}

/// A complete, valid head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    /// Zero when the frame is not masked, which makes unmasking it harmless.
    pub(crate) key: [u8; 4],
    pub(crate) head_bytes: u8,
    pub(crate) payload_bytes: u32,
}

/// Decodes the head at the start of `bytes`; `None` when it is cut short.
///
/// A prefix is checked as far as it goes, in wire order, so that the error is the same however the stream is cut
/// and the earliest possible.
pub(crate) fn decode_head(bytes: &[u8], context: Context) -> Result<Option<Head>, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(DecodeError::ReservedBits);
    }
    let fin = first & 0x80 != 0;
    let opcode = Opcode::from_wire(first & 0x0f).ok_or(DecodeError::ReservedOpcode)?;
    match (opcode, context.message_bytes) {
        (Opcode::Continuation, None) => return Err(DecodeError::UnexpectedContinuation),
        (Opcode::Text | Opcode::Binary, Some(_)) => return Err(DecodeError::MessageUnfinished),
        (control, _) if control.is_control() && !fin => return Err(DecodeError::ControlFragmented),
        _ => {}
    }

    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let masked = second & 0x80 != 0;
    match context.role {
        Role::Server if !masked => return Err(DecodeError::Unmasked),
        Role::Client if masked => return Err(DecodeError::Masked),
        _ => {}
    }
    let short = second & 0x7f;
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(DecodeError::ControlTooLong);
    }

    let after_flags = &bytes[2..];
    let (length, length_bytes) = match short {
        126 => match after_flags.first_chunk() {
            Some(wide) => (u64::from(u16::from_be_bytes(*wide)), 2),
            None => return Ok(None),
        },
        127 => match after_flags.first_chunk() {
            Some(wide) => (u64::from_be_bytes(*wide), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    let shortest = match length {
        0..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    if length_bytes != shortest || length >> 63 != 0 {
        return Err(DecodeError::LengthMalformed);
    }
    let payload_bytes = u32::try_from(length).map_err(|_| DecodeError::MessageTooLarge)?;
    if !opcode.is_control() {
        let whole = context.message_bytes.unwrap_or(0).checked_add(payload_bytes);
        if whole.is_none_or(|whole| whole > context.message_bytes_max) {
            return Err(DecodeError::MessageTooLarge);
        }
    }

    let (key, key_bytes) = if masked {
        match after_flags[length_bytes..].first_chunk() {
            Some(key) => (*key, 4),
            None => return Ok(None),
        }
    } else {
        ([0; 4], 0)
    };
    let head_bytes = 2 + length_bytes as u8 + key_bytes;
    Ok(Some(Head { fin, opcode, key, head_bytes, payload_bytes }))
}
