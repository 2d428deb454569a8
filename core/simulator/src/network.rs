//! Sockets: two byte pipes each, with small buffers, short reads and writes, half-closes and resets.
//!
//! A pipe carries bytes in order or not at all, as TCP does; everything else is up to the faults: how many bytes
//! one call moves, whether it is refused although it could have moved some, and when a reset takes what is on its way.

use std::collections::VecDeque;

use crate::random::Random;

/// Which sockets misbehave, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetworkFaults {
    /// In so many of a thousand calls fewer bytes move than could.
    pub(crate) short_permille: u32,
    /// In so many of a thousand calls nothing moves although it could.
    pub(crate) blocked_permille: u32,
    /// Bytes that the server's send buffer and the wire hold together.
    pub(crate) down_bytes: (u64, u64),
    /// Bytes that wait for the server to read.
    pub(crate) up_bytes: u64,
}

impl Default for NetworkFaults {
    fn default() -> Self {
        Self { short_permille: 0, blocked_permille: 0, down_bytes: (64 << 10, 256 << 10), up_bytes: 64 << 10 }
    }
}

/// What a call on a socket did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// None now.
    Blocked,
    /// None ever again: the peer has finished writing.
    Ended,
    /// The connection is gone.
    Reset,
}

#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, ended: false }
    }

    fn read(&mut self, buffer: &mut [u8], most: usize) -> usize {
        let count = most.min(buffer.len()).min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let first = count.min(front.len());
        buffer[..first].copy_from_slice(&front[..first]);
        buffer[first..count].copy_from_slice(&back[..count - first]);
        self.bytes.drain(..count);
        count
    }
}

/// One connection's two directions.
#[derive(Debug)]
pub(crate) struct Socket {
    up: Pipe,
    down: Pipe,
    reset: bool,
    faults: NetworkFaults,
    random: Random,
}

impl Socket {
    pub(crate) fn new(faults: NetworkFaults, mut random: Random) -> Self {
        let down = random.between(faults.down_bytes.0, faults.down_bytes.1) as usize;
        Self { up: Pipe::new(faults.up_bytes as usize), down: Pipe::new(down), reset: false, faults, random }
    }

    /// Everything on its way is lost, and both ends will notice.
    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.up.bytes.clear();
        self.down.bytes.clear();
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset
    }

    /// Stops the faults, so that everything queued gets through.
    pub(crate) fn heal(&mut self) {
        self.faults = NetworkFaults { short_permille: 0, blocked_permille: 0, ..self.faults };
    }

    fn most(&mut self, wanted: usize) -> usize {
        if self.random.chance(self.faults.blocked_permille) {
            0
        } else if self.random.chance(self.faults.short_permille) {
            self.random.between(1, wanted as u64) as usize
        } else {
            wanted
        }
    }

    fn write(&mut self, up: bool, bytes: &[u8]) -> Moved {
        if self.reset {
            return Moved::Reset;
        }
        let most = if bytes.is_empty() { 0 } else { self.most(bytes.len()) };
        let pipe = if up { &mut self.up } else { &mut self.down };
        let count = most.min(pipe.capacity.saturating_sub(pipe.bytes.len()));
        if count == 0 {
            return Moved::Blocked;
        }
        pipe.bytes.extend(&bytes[..count]);
        Moved::Bytes(count)
    }

    fn read(&mut self, up: bool, buffer: &mut [u8]) -> Moved {
        if self.reset {
            return Moved::Reset;
        }
        let pipe = if up { &self.up } else { &self.down };
        if pipe.bytes.is_empty() {
            return if pipe.ended { Moved::Ended } else { Moved::Blocked };
        }
        let most = self.most(buffer.len());
        if most == 0 {
            return Moved::Blocked;
        }
        let pipe = if up { &mut self.up } else { &mut self.down };
        Moved::Bytes(pipe.read(buffer, most))
    }

    pub(crate) fn server_recv(&mut self, buffer: &mut [u8]) -> Moved {
        self.read(true, buffer)
    }

    pub(crate) fn server_send(&mut self, bytes: &[u8]) -> Moved {
        self.write(false, bytes)
    }

    /// The server has closed its end; what it wrote still arrives.
    pub(crate) fn server_close(&mut self) {
        self.down.ended = true;
        self.up.capacity = 0;
        self.up.bytes.clear();
    }

    pub(crate) fn client_recv(&mut self, buffer: &mut [u8]) -> Moved {
        self.read(false, buffer)
    }

    pub(crate) fn client_send(&mut self, bytes: &[u8]) -> Moved {
        self.write(true, bytes)
    }

    /// The client will write no more; what it wrote still arrives.
    pub(crate) fn client_finish(&mut self) {
        self.up.ended = true;
    }

    /// Whether the server has something to read or to notice.
    pub(crate) fn server_readable(&self) -> bool {
        self.reset || self.up.ended || !self.up.bytes.is_empty()
    }

    /// Whether the server could write.
    pub(crate) fn server_writable(&self) -> bool {
        self.reset || self.down.bytes.len() < self.down.capacity
    }

    /// Whether the client has something to read or to notice.
    pub(crate) fn client_readable(&self) -> bool {
        self.reset || self.down.ended || !self.down.bytes.is_empty()
    }

    #[cfg(test)]
    fn down_bytes(&self) -> usize {
        self.down.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(faults: NetworkFaults) -> Socket {
        Socket::new(faults, Random::new(3))
    }

    #[test]
    fn bytes_arrive_in_order_whatever_one_call_moves() {
        let faults = NetworkFaults {
            short_permille: 700,
            blocked_permille: 200,
            down_bytes: (7, 7),
            ..NetworkFaults::default()
        };
        let mut socket = socket(faults);
        let sent: Vec<u8> = (0..=255).collect();
        let (mut written, mut got) = (0, Vec::new());
        while got.len() < sent.len() {
            if let Moved::Bytes(count) = socket.server_send(&sent[written..]) {
                written += count;
            }
            let mut buffer = [0; 5];
            if let Moved::Bytes(count) = socket.client_recv(&mut buffer) {
                got.extend_from_slice(&buffer[..count]);
            }
            assert!(socket.down_bytes() <= 7);
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn an_end_comes_after_the_bytes_and_a_reset_before_them() {
        let mut socket = socket(NetworkFaults::default());
        assert_eq!(socket.server_send(b"bye"), Moved::Bytes(3));
        socket.server_close();
        let mut buffer = [0; 8];
        assert_eq!(socket.client_recv(&mut buffer), Moved::Bytes(3));
        assert_eq!(socket.client_recv(&mut buffer), Moved::Ended);
        assert_eq!(socket.client_send(b"x"), Moved::Blocked);
        socket.reset();
        assert_eq!(socket.client_recv(&mut buffer), Moved::Reset);
        assert_eq!(socket.server_recv(&mut buffer), Moved::Reset);
    }
}
