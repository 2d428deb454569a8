//! RFC 6455 frames: a decoder that works in place, and encoders. Sans-I/O.
//!
//! Thread: any; a shard owns one [`Decoder`] per connection, the terminal client and the load tool one per
//! socket. Nothing here knows a socket or a clock, and masking keys are passed in.
//!
//! Invariants:
//! - A whole unfragmented message that lies in the caller's buffer is unmasked there and handed out as a slice of
//!   it: no copy, no allocation. Only a frame cut by the end of the buffer, or a fragmented message, allocates, and
//!   that memory is freed as soon as the message has been handed out.
//! - The result does not depend on how the stream is cut into buffers.
//! - Text reaches the caller as `&str`: it is checked as it arrives, so invalid text fails at its first bad byte,
//!   across fragments and buffers.
//!
//! Limits: [`CONTROL_BYTES_MAX`], [`SERVER_HEADER_BYTES_MAX`], [`CLIENT_HEADER_BYTES_MAX`], and the message size
//! given to [`Decoder::new`]. A decoder without partial input is 16 bytes.
//!
//! What can fail: decoding, with a [`DecodeError`] that names the broken rule and the close code to answer.

#![forbid(unsafe_code)]

mod accept;
mod close;
mod decoder;
mod encode;
mod head;
mod mask;

pub use accept::{ACCEPT_BYTES, accept_key};
pub use close::{Close, close_code_valid};
pub use decoder::{Decoded, Decoder, Event};
pub use encode::{
    CLIENT_HEADER_BYTES_MAX, Control, Header, SERVER_HEADER_BYTES_MAX, encode_client_frame,
    encode_client_header, encode_server_header,
};
pub use head::{CONTROL_BYTES_MAX, DecodeError, Opcode, Role};
pub use mask::mask;
