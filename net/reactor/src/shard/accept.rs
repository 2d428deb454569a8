//! New connections, and the end of them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use lynk_connection::Connection;
use lynk_domain::{IpPrefix, Nanos};
use lynk_engine::{Input, Slot};
use lynk_ring::AcceptFailure;

use super::Shard;
use crate::chat::Chat;
use crate::driver::{Driver, LISTENER_TOKENS};
use crate::listen::peer_address;

/// Pause of a listener for which descriptors, memory or places in the table ran out.
const PAUSE_NANOS: u64 = 100 * Nanos::MILLISECOND;
/// Connections taken out of one listener's queue when it closes: more than any queue holds.
const DRAIN_ACCEPTS_MAX: u32 = 1 << 16;

impl<D: Driver, C: Chat> Shard<D, C> {
    pub(super) fn accept(&mut self, socket: OwnedFd) {
        self.counters.accepted += 1;
        if self.is_full() {
            // It came in the same turn as the one that took the last place.
            self.counters.refused_full += 1;
            return;
        }
        self.admit(socket);
        if self.is_full() {
            self.hold_listeners();
        }
    }

    fn is_full(&self) -> bool {
        self.table.len() >= self.config.connections_max
    }

    /// Leaves further connections in the kernel's queue, which costs them nothing but time, and looks again later.
    fn hold_listeners(&mut self) {
        self.counters.accept_full += 1;
        for listener in &mut self.listeners {
            self.driver.stop_accepting(listener.file);
            listener.again_at = Some(self.now.mono.after(PAUSE_NANOS));
        }
    }

    /// Accepts again on listeners whose pause is over, unless there is still no room.
    pub(super) fn resume_listeners(&mut self) {
        let full = self.is_full();
        for listener in &mut self.listeners {
            if listener.again_at.is_some_and(|again| again <= self.now.mono) {
                listener.again_at = full.then(|| self.now.mono.after(PAUSE_NANOS));
                if !full {
                    self.driver.listen(listener.file);
                }
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        if self.half_open >= self.config.half_open_max {
            self.counters.refused_half_open += 1;
            return;
        }
        let Some(address) = peer_address(&socket) else {
            self.counters.accept_failed += 1;
            return;
        };
        let settings = &self.config.connection;
        let proxied = settings.trusted_proxies.contains(address);
        let connection = if proxied {
            Connection::behind_proxy(self.now.mono, settings)
        } else {
            Connection::new(self.now.mono, settings)
        };
        let driver = &mut self.driver;
        let Ok(slot) = self.table.insert(connection, |slot| driver.attach(socket, slot)) else {
            self.counters.accept_failed += 1;
            return;
        };
        self.half_open += 1;
        if let Some(entry) = self.table.get(slot) {
            self.driver.arm_readable(entry.file);
        }
        self.settle(slot);
        if proxied {
            // Whose limits it counts against is known later.
            self.proxied.insert(slot, address);
        } else {
            self.give(Input::Accepted { slot: Slot(slot), ip: IpPrefix::of(address) });
        }
    }

    /// A listener cannot accept, mostly for lack of descriptors or memory: connections wait in its queue meanwhile.
    pub(super) fn pause_listener(&mut self, token: u32, error: &io::Error) {
        self.counters.accept_paused += 1;
        if self.counters.accept_paused.is_power_of_two() {
            let advice = match AcceptFailure::of(error) {
                AcceptFailure::Exhausted => "raise the limit of open files (LimitNOFILE, ulimit -n)",
                AcceptFailure::Passing => {
                    "something refuses every connection; look at firewall and seccomp rules"
                }
                AcceptFailure::Broken => "the listener itself fails; restart the server if it does not end",
            };
            tracing::warn!(
                event = "accept_paused",
                shard = self.shard.0,
                %error,
                "cannot accept connections for now; {advice}"
            );
        }
        if let Some(listener) = self.listeners.get_mut((token - LISTENER_TOKENS) as usize) {
            listener.again_at = Some(self.now.mono.after(PAUSE_NANOS));
        }
    }

    /// Takes what waits in the queues, so that nobody is reset without an answer, and closes the listeners.
    pub(super) fn stop_listening(&mut self) {
        self.control.listening.store(false, Ordering::Release);
        for listener in std::mem::take(&mut self.listeners) {
            let mut waiting = drain_queue(|| self.driver.accept_waiting(listener.file));
            for socket in waiting.drain(..) {
                self.counters.accepted += 1;
                // Whatever the limit says: each gets its answer and goes.
                self.admit(socket);
            }
            self.driver.detach(listener.file);
        }
    }
}

/// Accepts until nobody waits or the listener fails. A connection that failed while it queued hides those behind it, and
/// is no end.
fn drain_queue(mut accept: impl FnMut() -> io::Result<OwnedFd>) -> Vec<OwnedFd> {
    let mut sockets = Vec::new();
    for _ in 0..DRAIN_ACCEPTS_MAX {
        match accept() {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if AcceptFailure::of(&error) == AcceptFailure::Passing => {}
            Err(error) => {
                tracing::warn!(event = "accept_drain_failed", %error, "connections that waited are reset");
                break;
            }
        }
    }
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_drained_past_connections_that_failed_in_it() {
        let socket = || {
            let (socket, _) = std::os::unix::net::UnixStream::pair().expect("pair");
            Ok(OwnedFd::from(socket))
        };
        let fail = |errno| Err(io::Error::from_raw_os_error(errno));
        let mut queue = vec![
            socket(),
            fail(libc::ECONNABORTED),
            socket(),
            fail(libc::EHOSTUNREACH),
            fail(libc::EINTR),
            socket(),
            fail(libc::EAGAIN),
            socket(),
        ]
        .into_iter();
        assert_eq!(drain_queue(|| queue.next().expect("it stops in time")).len(), 3);
        let mut queue = vec![socket(), fail(libc::EMFILE), socket()].into_iter();
        assert_eq!(drain_queue(|| queue.next().expect("it stops in time")).len(), 1);
    }
}
