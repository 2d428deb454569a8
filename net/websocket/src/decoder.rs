//! Bytes to messages and control frames.

use crate::close::{Close, decode_close};
use crate::head::{Context, DecodeError, Head, Opcode, Role, decode_head};
use crate::{CLIENT_HEADER_BYTES_MAX, CONTROL_BYTES_MAX, mask};

/// What the peer sent. Slices point into the caller's buffer or into the decoder, and live until the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// Answer with a pong of the same payload.
    Ping(&'a [u8]),
    /// Answer to one of our pings, or unasked.
    Pong(&'a [u8]),
    /// The peer starts or answers the close handshake. Whatever follows on the stream is ignored.
    Close(Close<'a>),
}

/// One step of [`Decoder::decode`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoded<'a> {
    /// Bytes taken from the front of the input.
    pub consumed: usize,
    /// What they completed. `None` means that all input is taken and more is needed.
    pub event: Option<Event<'a>>,
}

/// Decoder of one direction of one connection.
///
/// ```
/// use lynk_websocket::{Decoder, Event, Opcode, Role, encode_client_frame};
///
/// let mut stream = Vec::new();
/// encode_client_frame(&mut stream, true, Opcode::Text, b"hello", [1, 2, 3, 4]);
/// let mut decoder = Decoder::new(Role::Server, 1024);
/// let mut rest = stream.as_mut_slice();
/// loop {
///     let step = decoder.decode(rest)?;
///     let consumed = step.consumed;
///     match step.event {
///         Some(Event::Text(text)) => assert_eq!(text, "hello"),
///         Some(other) => panic!("unexpected {other:?}"),
///         None => break,
///     }
///     rest = &mut rest[consumed..];
/// }
/// # Ok::<(), lynk_websocket::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: u32,
    role: Role,
    /// After an error or a close frame: everything that follows is swallowed.
    ended: bool,
    partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<Decoder>() == 16, "a decoder is part of every connection");

/// Where a completed frame's payload lies.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    /// In the input, unmasked.
    Input {
        opcode: Opcode,
        start: usize,
        end: usize,
    },
    /// In [`Partial::control`].
    Control(Opcode),
    /// In [`Partial::message`].
    Message(Opcode),
}

impl Decoder {
    /// A decoder at the start of a stream. Messages above `message_bytes_max` fail.
    #[must_use]
    pub fn new(role: Role, message_bytes_max: u32) -> Self {
        Self { message_bytes_max, role, ended: false, partial: None }
    }

    /// Takes bytes from the front of `input` until one event is complete or the input is used up. Payloads are
    /// unmasked in place.
    ///
    /// Call it again with the rest of the input until it returns no event. That last call also frees the memory of a
    /// message it handed out before, so make it even when the input is used up.
    ///
    /// Allocates only for a frame that the end of `input` cuts, or for a fragmented message.
    ///
    /// # Errors
    /// The rule the peer broke. The decoder then swallows whatever follows.
    pub fn decode<'a>(&'a mut self, input: &'a mut [u8]) -> Result<Decoded<'a>, DecodeError> {
        let (consumed, found) = match self.advance(input) {
            Ok(step) => step,
            Err(error) => {
                self.end();
                return Err(error);
            }
        };
        let (opcode, payload) = match (found, &self.partial) {
            (Found::Nothing, _) => return Ok(Decoded { consumed, event: None }),
            (Found::Input { opcode, start, end }, _) => (opcode, &input[start..end]),
            (Found::Control(opcode), Some(partial)) => (opcode, partial.control_payload()),
            (Found::Message(opcode), Some(partial)) => (opcode, partial.message.as_slice()),
            (Found::Control(_) | Found::Message(_), None) => unreachable!("found in the partial state"),
        };
        let event = match opcode {
            Opcode::Text => {
                simdutf8::basic::from_utf8(payload).map(Event::Text).map_err(|_| DecodeError::InvalidUtf8)
            }
            Opcode::Close => decode_close(payload).map(Event::Close),
            Opcode::Binary => Ok(Event::Binary(payload)),
            Opcode::Ping => Ok(Event::Ping(payload)),
            Opcode::Pong => Ok(Event::Pong(payload)),
            Opcode::Continuation => unreachable!("a message has the opcode of its first frame"),
        };
        if event.is_err() || opcode == Opcode::Close {
            self.ended = true;
        }
        Ok(Decoded { consumed, event: Some(event?) })
    }

    /// Whether a frame or a fragmented message has begun and not ended.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.is_idle())
    }

    /// Heap bytes held for partial input.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.message.capacity())
    }

    fn end(&mut self) {
        self.ended = true;
        self.partial = None;
    }

    fn advance(&mut self, input: &mut [u8]) -> Result<(usize, Found), DecodeError> {
        if let Some(partial) = &mut self.partial {
            partial.forget_delivered();
            if partial.is_idle() {
                self.partial = None;
            }
        }
        let mut at = 0;
        while at < input.len() && !self.ended {
            let rest = &mut input[at..];
            let (used, found) = match &mut self.partial {
                Some(partial) => partial.resume(rest, self.role, self.message_bytes_max)?,
                None => self.begin(rest)?,
            };
            match found {
                Found::Nothing => at += used,
                Found::Input { opcode, start, end } => {
                    return Ok((at + used, Found::Input { opcode, start: at + start, end: at + end }));
                }
                found => return Ok((at + used, found)),
            }
        }
        if self.ended {
            self.partial = None;
        }
        Ok((input.len(), Found::Nothing))
    }

    /// A frame starts here and nothing is pending: the common case, and the only one without a copy.
    fn begin(&mut self, input: &mut [u8]) -> Result<(usize, Found), DecodeError> {
        let context =
            Context { role: self.role, message_bytes_max: self.message_bytes_max, message_bytes: None };
        if let Some(head) = decode_head(input, context)? {
            let start = usize::from(head.head_bytes);
            let end = start + head.payload_bytes as usize;
            if head.fin
                && let Some(payload) = input.get_mut(start..end)
            {
                mask(payload, head.key, 0);
                return Ok((end, Found::Input { opcode: head.opcode, start, end }));
            }
        }
        let partial = self.partial.insert(Box::default());
        partial.resume(input, self.role, self.message_bytes_max)
    }
}

/// Input that the end of a buffer cut, and the fragments of a message.
#[derive(Debug)]
struct Partial {
    /// Opcode of the fragmented or cut message in progress.
    message_opcode: Option<Opcode>,
    /// Whether `message` was handed out by the last call.
    message_delivered: bool,
    message: Vec<u8>,
    /// How much of `message` is known to be UTF-8: all but a character that is cut.
    message_checked: usize,
    /// The frame whose payload is arriving.
    frame: Option<Head>,
    /// Payload bytes of `frame` that have arrived.
    frame_received: u32,
    head: [u8; CLIENT_HEADER_BYTES_MAX],
    head_length: u8,
    control: [u8; CONTROL_BYTES_MAX],
    control_length: u8,
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            message_opcode: None,
            message_delivered: false,
            message: Vec::new(),
            message_checked: 0,
            frame: None,
            frame_received: 0,
            head: [0; CLIENT_HEADER_BYTES_MAX],
            head_length: 0,
            control: [0; CONTROL_BYTES_MAX],
            control_length: 0,
        }
    }
}

impl Partial {
    fn is_idle(&self) -> bool {
        self.message_opcode.is_none() && self.frame.is_none() && self.head_length == 0
    }

    fn control_payload(&self) -> &[u8] {
        &self.control[..usize::from(self.control_length)]
    }

    fn forget_delivered(&mut self) {
        if self.message_delivered {
            self.message_delivered = false;
            self.message = Vec::new();
            self.message_checked = 0;
        }
    }

    /// Takes bytes until a frame is complete or `input` is used up.
    fn resume(&mut self, input: &mut [u8], role: Role, limit: u32) -> Result<(usize, Found), DecodeError> {
        let mut used = 0;
        let head = match self.frame {
            Some(head) => head,
            None => loop {
                let Some(byte) = input.get(used) else { return Ok((used, Found::Nothing)) };
                self.head[usize::from(self.head_length)] = *byte;
                self.head_length += 1;
                used += 1;
                let message_bytes = self.message_opcode.map(|_| self.message.len() as u32);
                let context = Context { role, message_bytes_max: limit, message_bytes };
                if let Some(head) = decode_head(&self.head[..usize::from(self.head_length)], context)? {
                    self.begin_frame(head);
                    break head;
                }
            },
        };
        let missing = (head.payload_bytes - self.frame_received) as usize;
        let take = missing.min(input.len() - used);
        let chunk = &mut input[used..used + take];
        mask(chunk, head.key, self.frame_received as usize % 4);
        self.frame_received += take as u32;
        used += take;
        if head.opcode.is_control() {
            let at = usize::from(self.control_length);
            self.control[at..at + take].copy_from_slice(chunk);
            self.control_length += take as u8;
        } else {
            self.append(chunk, missing)?;
        }
        if take < missing {
            return Ok((used, Found::Nothing));
        }
        self.frame = None;
        if head.opcode.is_control() {
            if head.opcode == Opcode::Close {
                // Also checked where the event is made; an error found here frees everything at once.
                decode_close(self.control_payload())?;
            }
            return Ok((used, Found::Control(head.opcode)));
        }
        if !head.fin {
            return Ok((used, Found::Nothing));
        }
        let opcode = self.message_opcode.take().expect("a data frame sets the opcode");
        if opcode == Opcode::Text && self.message_checked < self.message.len() {
            return Err(DecodeError::InvalidUtf8);
        }
        self.message_delivered = true;
        Ok((used, Found::Message(opcode)))
    }

    fn begin_frame(&mut self, head: Head) {
        self.frame = Some(head);
        self.frame_received = 0;
        self.head_length = 0;
        if head.opcode.is_control() {
            self.control_length = 0;
        } else if head.opcode != Opcode::Continuation {
            self.message_opcode = Some(head.opcode);
        }
    }

    /// Adds unmasked payload to the message; `expected` bytes of its frame were still to come.
    fn append(&mut self, chunk: &[u8], expected: usize) -> Result<(), DecodeError> {
        if self.message.capacity() - self.message.len() < chunk.len() {
            // Memory follows what arrived, not what the head announced, and never passes the announced end.
            let step = chunk.len().max(self.message.len()).max(256);
            self.message.reserve_exact(step.min(expected));
        }
        self.message.extend_from_slice(chunk);
        if self.message_opcode != Some(Opcode::Text) {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.message[self.message_checked..]) {
            Ok(_) => self.message_checked = self.message.len(),
            Err(error) if error.error_len().is_none() => self.message_checked += error.valid_up_to(),
            Err(_) => return Err(DecodeError::InvalidUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
