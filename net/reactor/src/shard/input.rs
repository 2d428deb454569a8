//! From the driver to the chat: completions and bytes.

use std::io;

use lynk_connection::{EndReason, Event as Arrived};
use lynk_domain::IpPrefix;
use lynk_engine::{Input, Slot};
use lynk_http::Refusal;
use lynk_ring::Report;

use super::{Pending, Shard};
use crate::chat::Chat;
use crate::driver::{Driver, Event, LISTENER_TOKENS};
use crate::listen::peer_address;
use crate::note::note;

/// Connections read from in one turn before mail and fan-out get theirs.
const READS_PER_TURN: usize = 512;

impl<D: Driver, C: Chat> Shard<D, C> {
    /// Results of the sends of the turn before, before anything else: what they left over comes first on its connection.
    pub(super) fn finish_sends(&mut self) {
        note(self.shard, "sends");
        for event in &self.events {
            let Event::Sent { token, report, result } = event else { continue };
            let Some(entry) = self.table.get(*token).filter(|entry| !entry.leaving) else { continue };
            let (connection, now, settings) = (&mut entry.connection, self.now.mono, &self.config.connection);
            if *report == Report::Short {
                let taken = *result.as_ref().unwrap_or(&0);
                let planned = self.queue.planned_bytes(*token, connection);
                self.unsent_bytes += planned.saturating_sub(taken) as u64;
            }
            match (report, result) {
                (Report::Always, Ok(count)) => {
                    self.counters.sent_bytes += *count as u64;
                    connection.sent(now, settings, *count);
                }
                (Report::Always, Err(error)) if is_blocked(error) => connection.send_blocked(now, settings),
                (Report::Short, Ok(count)) => {
                    self.counters.sends_short += 1;
                    self.queue.short(*token, connection, now, settings, *count);
                }
                (Report::Short, Err(error)) if is_blocked(error) => {
                    self.counters.sends_short += 1;
                    self.queue.short(*token, connection, now, settings, 0);
                }
                (_, Err(_)) => connection.socket_failed(),
            }
            self.touched.push(*token);
        }
        // The driver's turn ended: the kernel has consumed every send, and every short one was reported.
        self.queue.finish();
        let planned = std::mem::take(&mut self.planned_bytes);
        self.counters.sent_bytes += planned.saturating_sub(std::mem::take(&mut self.unsent_bytes));
        let mut touched = std::mem::take(&mut self.touched);
        for slot in touched.drain(..) {
            self.settle(slot);
        }
        self.touched = touched;
        self.carry_out();
    }

    /// Everything else that the driver saw.
    pub(super) fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.unpublished |= !events.is_empty();
        for event in events.drain(..) {
            match event {
                Event::Sent { .. } => {}
                Event::Readable { token, hung_up } => self.note_readable(token, hung_up),
                Event::Writable { token } => {
                    if let Some(entry) = self.table.get(token).filter(|entry| !entry.leaving) {
                        entry.connection.writable();
                        self.settle(token);
                    }
                }
                Event::Accepted { socket } => self.accept(socket),
                Event::AcceptStopped { token, error } => self.pause_listener(token, &error),
                Event::Written { op, outcome } => match self.journal.finish(op, outcome, self.now.mono) {
                    Ok(Some(lsn)) => self.give(Input::Committed { lsn }),
                    Ok(None) => {}
                    Err(fatal) => self.fail(fatal),
                },
                Event::Detached { token } => {
                    if token < LISTENER_TOKENS {
                        self.table.free(token);
                    }
                }
                Event::Released { token, socket } => {
                    let read = self.table.free(token).map(|mut entry| entry.connection.take_request());
                    let client = self.clients.remove(&token).or_else(|| peer_address(&socket));
                    self.api.hand_over(socket, read.unwrap_or_default(), client);
                }
            }
        }
        self.events = events;
        self.tell_journal_state();
        self.carry_out();
    }

    fn fail(&mut self, fatal: lynk_journal::Fatal) {
        self.failed = true;
        if let Some(on_fatal) = self.on_fatal.take() {
            on_fatal(self.shard, fatal);
        }
    }

    fn note_readable(&mut self, slot: u32, hung_up: bool) {
        let Some(entry) = self.table.get(slot).filter(|entry| !entry.leaving) else { return };
        entry.unread = true;
        entry.hung_up |= hung_up;
        if !entry.listed && entry.connection.wants_read() {
            entry.listed = true;
            self.ready.push(slot);
        }
    }

    /// Reads from everyone who has something, some bytes each.
    pub(super) fn read_ready(&mut self) {
        std::mem::swap(&mut self.ready, &mut self.reading);
        let mut reading = std::mem::take(&mut self.reading);
        for slot in reading.drain(..reading.len().min(READS_PER_TURN)) {
            self.read(slot);
        }
        // The rest goes before those that were listed meanwhile.
        if !reading.is_empty() {
            reading.append(&mut self.ready);
            std::mem::swap(&mut self.ready, &mut reading);
        }
        self.reading = reading;
        self.more |= !self.ready.is_empty();
    }

    fn read(&mut self, slot: u32) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.read_into(slot, &mut buffer);
        self.buffer = buffer;
        if let Some(entry) = self.table.get(slot) {
            // It counted as listed until here, so that settling did not list it a second time.
            entry.listed = entry.unread && !entry.leaving && entry.connection.wants_read();
            if entry.listed {
                self.ready.push(slot);
            }
        }
        self.carry_out();
    }

    /// Reads until the socket has no more, the connection wants no more, or it has had its share of this turn. `unread`
    /// tells afterwards whether there may be more.
    fn read_into(&mut self, slot: u32, buffer: &mut [u8]) {
        let mut left = self.config.read_bytes_per_turn;
        while left > 0 {
            let entry = self.table.get(slot).filter(|entry| !entry.leaving && entry.connection.wants_read());
            let Some(entry) = entry else { return };
            match self.driver.recv(entry.file, buffer) {
                Ok(0) => {
                    // The end reads as the end for ever, also while an answer to its close is still to go out.
                    entry.unread = false;
                    entry.connection.end_of_stream();
                    return self.settle(slot);
                }
                Ok(count) => {
                    let drained = count < buffer.len() && !entry.hung_up;
                    entry.unread = !drained;
                    left = left.saturating_sub(count);
                    self.counters.received_bytes += count as u64;
                    self.receive(slot, &mut buffer[..count]);
                    if drained {
                        return;
                    }
                }
                Err(error) if is_blocked(&error) => {
                    entry.unread = false;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    entry.unread = false;
                    entry.connection.socket_failed();
                    return self.settle(slot);
                }
            }
        }
    }

    /// Gives received bytes to the connection and what they complete to the chat.
    fn receive(&mut self, slot: u32, bytes: &mut [u8]) {
        let mut at = 0;
        loop {
            let Some(entry) = self.table.get(slot) else { return };
            let settings = &self.config.connection;
            let received = entry.connection.receive(self.now.mono, settings, &mut bytes[at..]);
            at += received.consumed;
            let slot = Slot(slot);
            match received.event {
                None => break,
                Some(Arrived::Text(text)) => {
                    note(self.shard, "text");
                    self.chat.handle(self.now, Input::Text { slot, text }, &mut self.effects);
                }
                Some(Arrived::Client(client)) => {
                    let proxy = self.proxied.remove(&slot.0);
                    let address = client.or(proxy).expect("a connection names its client once");
                    if self.api.exists() {
                        self.clients.insert(slot.0, address);
                    }
                    note(self.shard, "accepted");
                    let ip = IpPrefix::of(address);
                    self.chat.handle(self.now, Input::Accepted { slot, ip }, &mut self.effects);
                }
                Some(Arrived::Upgraded { .. }) => {
                    entry.half_open = false;
                    self.half_open -= 1;
                    self.clients.remove(&slot.0);
                    note(self.shard, "upgraded");
                    self.chat.handle(self.now, Input::Upgraded { slot }, &mut self.effects);
                }
                Some(Arrived::Request) => {
                    note(self.shard, "request");
                    if self.api.promise() {
                        entry.connection.hand_over();
                    } else {
                        self.counters.refused_requests += 1;
                        entry.connection.refuse(self.now.mono, settings, Refusal::Full);
                    }
                    continue;
                }
                Some(Arrived::Binary(_) | Arrived::Handled) => continue,
            }
            self.carry_out();
        }
        self.settle(slot);
    }

    /// Carries out what a connection asks for, after every call of it.
    pub(super) fn settle(&mut self, slot: u32) {
        let Some(entry) = self.table.get(slot).filter(|entry| !entry.leaving) else { return };
        let settled = entry.connection.settle();
        let queued = u32::try_from(entry.connection.queued_bytes()).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut entry.queued_bytes, queued);
        let total = &mut self.counters.queued_bytes;
        *total = *total + u64::from(queued) - u64::from(before);
        self.counters.queued_bytes_max = self.counters.queued_bytes_max.max(*total);
        if settled.output {
            self.queue.mark(slot, &mut entry.connection);
        }
        if let Some(deadline) = settled.deadline {
            self.wheel.insert(deadline, slot);
        }
        if let Some(level) = settled.level {
            self.pending.push_back(Pending::Queue(slot, level));
        }
        if let Some(reason) = settled.end {
            self.counters.ended[reason.index()] += 1;
            if std::mem::take(&mut entry.half_open) {
                self.half_open -= 1;
            }
            if reason != EndReason::HandedOver {
                self.clients.remove(&slot);
            }
            if self.proxied.remove(&slot).is_none() {
                self.pending.push_back(Pending::Closed(slot));
            }
        }
        match settled.socket {
            lynk_connection::SocketStep::Keep => {}
            lynk_connection::SocketStep::ShutdownWrite => self.driver.shutdown_write(entry.file),
            lynk_connection::SocketStep::Release => {
                entry.leaving = true;
                self.driver.release(entry.file);
                return;
            }
            lynk_connection::SocketStep::Close => {
                entry.leaving = true;
                self.driver.detach(entry.file);
                return;
            }
        }
        if entry.connection.wants_write() {
            self.driver.arm_writable(entry.file);
        }
        if entry.unread && !entry.listed && entry.connection.wants_read() {
            entry.listed = true;
            self.ready.push(slot);
        }
    }
}

fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
