//! The wire: what a client says, what it is told, and with which codes. Pure bytes-to-values code.
//!
//! Thread: any. JSON text frames of subprotocol `lynk.v1`; `docs/protocol.md` is the reference. Decoding
//! borrows from the frame and allocates only for lists and escaped text; encoding appends to a caller's buffer.
//! Limits are the caller's (the frame limit bounds every length here). Bad input is a [`Reject`], never a panic.

#![forbid(unsafe_code)]

mod asking;
mod code;
mod command;
mod encode;
mod frame;
mod json;
mod link;
pub mod shape;
mod time;

pub use asking::{DiscoverCursor, encode_join_request, encode_report_news};
pub use code::{CloseCode, ErrorCode, Reject};
pub use command::{
    Command, Decoded, History, MAX_SAFE_INTEGER, MoreWanted, OPS, Proof, Resume, decode, refused_command,
};
pub use encode::{
    Added, Done, OwnRead, Subscribed, encode_added, encode_avatar, encode_cleared,
    encode_conversation_accepted, encode_error, encode_event, encode_gap, encode_history_head,
    encode_message, encode_ok, encode_own_read, encode_parts, encode_presence, encode_reactions,
    encode_receipt, encode_removed, encode_resync, encode_side, encode_subscribed_head, encode_tail,
    encode_typing, page_of, write_time,
};
pub use frame::{FRAME_HEADROOM, Frame, FramePool};
pub use json::Json;
pub use link::LinkCode;
pub use time::parse_time;
