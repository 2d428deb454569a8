//! New connections, and the end of them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use lynk_connection::Connection;
use lynk_domain::Nanos;
use lynk_engine::{Input, Slot};

use super::Shard;
use crate::chat::Chat;
use crate::driver::{Driver, LISTENER_TOKENS};
use crate::listen::peer_network;

/// Pause of a listener for which descriptors or memory ran out.
const PAUSE_NANOS: u64 = 100 * Nanos::MILLISECOND;

impl<D: Driver, C: Chat> Shard<D, C> {
    pub(super) fn accept(&mut self, socket: OwnedFd) {
        self.counters.accepted += 1;
        if self.table.len() >= self.config.connections_max {
            self.counters.refused_full += 1;
            return;
        }
        if self.half_open >= self.config.half_open_max {
            self.counters.refused_half_open += 1;
            return;
        }
        let Some(ip) = peer_network(&socket) else {
            self.counters.accept_failed += 1;
            return;
        };
        let connection = Connection::new(self.now.mono, &self.config.connection);
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
        self.give(Input::Accepted { slot: Slot(slot), ip });
    }

    /// A listener ran out of descriptors or memory: connections wait in its queue until some are free again.
    pub(super) fn pause_listener(&mut self, token: u32, error: &io::Error) {
        self.counters.accept_paused += 1;
        if self.counters.accept_paused.is_power_of_two() {
            tracing::warn!(
                event = "accept_paused",
                shard = self.shard.0,
                %error,
                "cannot accept connections for now; raise the limit of open files (LimitNOFILE, ulimit -n)"
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
            while let Ok(socket) = self.driver.accept_waiting(listener.file) {
                self.accept(socket);
            }
            self.driver.detach(listener.file);
        }
    }
}
