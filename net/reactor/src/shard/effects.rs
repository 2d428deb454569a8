//! From the chat to everyone else: its effects, and what carrying them out leads to.

use lynk_connection::QueueLevel;
use lynk_domain::ShardId;
use lynk_engine::{ApiInput, Effects, FLUSH_DELIVERIES_MAX, Input, Mail, Slot, TicketOutcome};

use super::{Pending, Shard};
use crate::chat::Chat;
use crate::driver::Driver;
use crate::note::note;

/// What an input is, for the line that a crash prints.
fn name(input: &Input<'_>) -> &'static str {
    match input {
        Input::Accepted { .. } => "accepted",
        Input::Upgraded { .. } => "upgraded",
        Input::Text { .. } => "text",
        Input::SendQueue { .. } => "send queue",
        Input::Closed { .. } => "closed",
        Input::Mail { .. } => "mail",
        Input::MailRefused { .. } => "mail refused",
        Input::Api(_) => "api",
        Input::Reply { .. } => "store reply",
        Input::Committed { .. } => "journal commit",
        Input::Journal(_) => "journal state",
        Input::Drained { .. } => "drained records",
        Input::Deadline => "deadline",
        Input::Flush => "flush",
        Input::Drain { .. } => "drain",
    }
}

impl<D: Driver, C: Chat> Shard<D, C> {
    /// Gives an input to the chat and carries out everything that follows from it.
    pub(super) fn give(&mut self, input: Input<'_>) {
        self.handle(input);
        self.carry_out();
    }

    fn handle(&mut self, input: Input<'_>) {
        note(self.shard, name(&input));
        let is_flush = matches!(input, Input::Flush);
        self.chat.handle(self.now, input, &mut self.effects);
        if is_flush {
            let deliveries = self.effects.targets.len();
            debug_assert!(deliveries <= FLUSH_DELIVERIES_MAX, "a flush is one chunk");
            let max = &mut self.counters.flush_deliveries_max;
            *max = (*max).max(deliveries as u64);
        }
    }

    /// Carries out effects, and the effects of what that leads to, until nothing is left.
    pub(super) fn carry_out(&mut self) {
        loop {
            self.apply_effects();
            let Some(pending) = self.pending.pop_front() else { return };
            match pending {
                Pending::Queue(slot, level) => {
                    let level = match level {
                        QueueLevel::High => lynk_engine::QueueLevel::High,
                        QueueLevel::Low => lynk_engine::QueueLevel::Low,
                    };
                    self.handle(Input::SendQueue { slot: Slot(slot), level });
                }
                Pending::Closed(slot) => self.handle(Input::Closed { slot: Slot(slot) }),
                Pending::Refused(to, mail) => self.handle(Input::MailRefused { to, mail }),
                Pending::Journal(state) => self.handle(Input::Journal(state)),
                Pending::Answered(id, reply) => self.handle(Input::Reply { id, reply }),
                Pending::TicketRefused(ask) => {
                    let outcome = TicketOutcome::Busy;
                    self.handle(Input::Api(ApiInput::Ticket { to: ask.to, re: ask.re, outcome }));
                }
            }
        }
    }

    fn apply_effects(&mut self) {
        if self.effects.is_empty() {
            return;
        }
        self.unpublished = true;
        let mut effects = std::mem::take(&mut self.effects);
        if !effects.records.is_empty() {
            self.journal.append(&effects.records);
            if let Some(state) = self.journal.news() {
                self.pending.push_back(Pending::Journal(state));
            }
        }
        for (to, mail) in effects.mail.drain(..) {
            self.post(to, mail);
        }
        for ask in effects.tickets.drain(..) {
            if let Err(ask) = self.api.ask(ask) {
                self.pending.push_back(Pending::TicketRefused(ask));
            }
        }
        for (id, request) in effects.requests.drain(..) {
            if let Some((id, reply)) = self.store.post(id, request) {
                self.counters.store_refused += 1;
                self.pending.push_back(Pending::Answered(id, reply));
            }
        }
        self.counters.presence_dropped += self.presence.tell(effects.presence.drain(..));
        self.deliver(&mut effects);
        for close in effects.closes.drain(..) {
            if let Some(entry) = self.table.get(close.slot.0).filter(|entry| !entry.leaving) {
                entry.connection.close(self.now.mono, &self.config.connection, close.code);
                self.settle(close.slot.0);
            }
        }
        self.more |= effects.more;
        if effects.drained {
            self.control.drained.store(true, std::sync::atomic::Ordering::Release);
        }
        effects.clear();
        // Nothing above calls the chat, so nothing was appended meanwhile.
        self.effects = effects;
    }

    fn post(&mut self, to: ShardId, mail: Mail) {
        match self.peers.post(to, mail) {
            Ok(()) => self.counters.mail_posted += 1,
            Err(mail) => {
                self.counters.mail_refused += 1;
                self.pending.push_back(Pending::Refused(to, mail));
            }
        }
    }

    /// Queues frames for connections. Each frame is held once for the turn, whoever receives it.
    fn deliver(&mut self, effects: &mut Effects) {
        for delivery in effects.deliveries.drain(..) {
            let targets = &effects.targets[delivery.targets.start as usize..delivery.targets.end as usize];
            // An answer has one target; the engine fans nothing out to requests.
            if let [only] = targets
                && only.api_number().is_some()
            {
                let posted = self.api.answer(*only, delivery.frame);
                self.counters.answers_dropped += u64::from(!posted);
                continue;
            }
            let frame = self.queue.frame(delivery.frame);
            for target in targets {
                let slot = target.0;
                let Some(entry) = self.table.get(slot).filter(|entry| !entry.leaving) else { continue };
                let settings = &self.config.connection;
                let settle = self.queue.queue(slot, &mut entry.connection, self.now.mono, settings, frame);
                if settle {
                    self.settle(slot);
                }
            }
        }
    }
}
