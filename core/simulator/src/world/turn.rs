//! One turn of a shard's loop: what the reactor does, over simulated parts.

use std::rc::Rc;
use std::sync::Arc;

use lynk_connection::{Connection, EndReason, Event as Heard, Plan, QueueLevel as Level, SocketStep};
use lynk_domain::{IpPrefix, Nanos, Now, RoomId, ShardId, UserId};
use lynk_engine::{ApiInput, FLUSH_DELIVERIES_MAX, Input, JournalState, Mail, QueueLevel, Slot as SlotId};
use lynk_protocol::Frame;

use super::shard::{Desk, Shard, Slot, mail_name, mail_text, refusable};
use super::{Client, Event, World};
use crate::faults::Sabotage;
use crate::network::Moved;
use crate::trace::Short;
use crate::wire::Ev;

/// Bytes received from one socket in one turn.
const RECEIVE_BYTES: usize = 4 << 10;
/// Mail taken from one sender in one turn.
const MAIL_MAX: usize = 32;
/// Mail beyond its capacity that a mailbox holds: answers, which are never refused, as many as one shard may have
/// commands at another.
const RESERVED_MAIL: usize = 2 * 1_024;
/// Room for one connection's output in one turn.
const SCRATCH_BYTES: usize = 64 << 10;

/// What an input says, owned.
pub(super) enum Told {
    Accepted(u32, IpPrefix),
    Upgraded(u32),
    Text(u32, String),
    SendQueue(u32, QueueLevel),
    Closed(u32),
    Mail(ShardId, Mail),
    Refused(ShardId, Mail),
    Reply(lynk_model::RequestId, lynk_model::StoreReply),
    Call(ApiInput),
    Committed(lynk_domain::Lsn),
    Journal(JournalState),
    Drained(lynk_model::SourceId, lynk_domain::Lsn),
    Deadline,
    Flush,
    Drain(Nanos),
}

impl Told {
    fn name(&self) -> &'static str {
        match self {
            Self::Accepted(..) => "accepted",
            Self::Upgraded(_) => "upgraded",
            Self::Text(..) => "text",
            Self::SendQueue(..) => "send_queue",
            Self::Closed(_) => "closed",
            Self::Mail(_, mail) | Self::Refused(_, mail) => mail_name(mail),
            Self::Reply(..) => "reply",
            Self::Call(_) => "call",
            Self::Committed(_) => "committed",
            Self::Journal(_) => "journal",
            Self::Drained(..) => "drained",
            Self::Deadline => "deadline",
            Self::Flush => "flush",
            Self::Drain(_) => "drain",
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Accepted(slot, _) | Self::Upgraded(slot) | Self::Text(slot, _) | Self::Closed(slot) => {
                u64::from(*slot)
            }
            Self::SendQueue(slot, level) => u64::from(*slot) << 8 | (*level == QueueLevel::High) as u64,
            Self::Mail(shard, _) => u64::from(shard.0),
            Self::Refused(shard, _) => u64::from(shard.0) << 16,
            Self::Reply(id, _) => id.0,
            Self::Committed(lsn) => lsn.0,
            Self::Journal(state) => *state as u64,
            Self::Drained(source, lsn) => u64::from(source.0) << 40 | lsn.0,
            Self::Drain(at) => at.0,
            Self::Call(ApiInput::Command { slot, .. }) => u64::from(slot.0),
            Self::Deadline | Self::Flush | Self::Call(_) => 0,
        }
    }
}

impl World {
    pub(super) fn desk(&mut self, id: ShardId) -> Option<&mut Desk> {
        self.process.as_mut()?.desks.get_mut(id.index())
    }

    /// Gives a shard its turn within `delay`.
    pub(super) fn wake_shard(&mut self, id: ShardId, delay: u64) {
        let at = self.now.saturating_add(delay);
        let Some(desk) = self.desk(id) else { return };
        if at < desk.turn_at {
            desk.turn_at = at;
            self.at(at, Event::Shard(id));
        }
    }

    /// A client touched its socket: its shard notices within `delay`.
    pub(super) fn wake_socket(&mut self, socket: usize, delay: u64) {
        let Some(process) = &mut self.process else {
            // Nobody is there any more.
            let gone = self.network.opened.iter().position(|s| *s == socket);
            gone.map(|at| self.network.opened.swap_remove(at));
            return;
        };
        let home = process
            .shards
            .iter()
            .flatten()
            .find(|shard| shard.slots.iter().flatten().any(|slot| slot.socket == socket))
            .map(|shard| shard.id);
        let id = match home {
            Some(id) => id,
            None => {
                let Some(at) = self.network.opened.iter().position(|s| *s == socket) else { return };
                self.network.opened.swap_remove(at);
                let shard = self.random.index(process.shards.len());
                let client = self.socket_of.get(socket).copied().unwrap_or(0);
                let ip = IpPrefix([4, 10, 0, (client % 200) as u8, 0, 0, 0]);
                process.desks[shard].accepts.push_back((socket, ip));
                ShardId(shard as u16)
            }
        };
        self.wake_shard(id, delay);
    }

    /// One turn.
    pub(super) fn turn(&mut self, id: ShardId) -> Result<(), String> {
        let now = self.now;
        let Some(desk) = self.desk(id).filter(|desk| desk.turn_at <= now) else {
            // A turn that was brought forward has been taken already.
            return Ok(());
        };
        desk.turn_at = u64::MAX;
        // The shard leaves the process for its turn, so that it and the world can be used side by side.
        let Some(mut shard) = self.process.as_mut().and_then(|p| p.shards.get_mut(id.index())?.take()) else {
            return Ok(());
        };
        let done = self.turn_of(&mut shard);
        let next = self.next_turn(&shard);
        if let Some(process) = &mut self.process {
            process.shards[id.index()] = Some(shard);
        }
        done?;
        if let Some(delay) = next {
            self.wake_shard(id, delay);
        }
        self.end_drain()
    }

    fn now_of(&mut self, shard: &mut Shard) -> Now {
        let wall = self.server_wall().max(shard.wall);
        shard.wall = wall;
        Now { mono: self.mono(), wall }
    }

    fn turn_of(&mut self, shard: &mut Shard) -> Result<(), String> {
        let now = self.now_of(shard);
        let id = shard.id;
        if let Some(deadline) = self.desk(id).and_then(|desk| desk.drain.take()) {
            self.tell(shard, now, Told::Drain(deadline))?;
        }
        self.finish_write(shard, now)?;
        self.take_supplies(shard);
        while let Some((socket, ip)) = self.desk(id).and_then(|desk| desk.accepts.pop_front()) {
            let connection = Connection::new(now.mono, &self.settings);
            let slot = Slot { connection, socket, told: false, deadline: Nanos::NEVER };
            let slot = shard.take_slot(slot);
            self.tell(shard, now, Told::Accepted(slot, ip))?;
            self.settle(shard, slot, now)?;
        }
        let senders = self.desk(id).map_or(0, |desk| desk.inbox.len());
        for sender in 0..senders {
            for _ in 0..MAIL_MAX {
                let Some(mail) = self.take_mail(id, sender) else { break };
                self.tell(shard, now, Told::Mail(ShardId(sender as u16), mail))?;
            }
        }
        while let Some((request, reply)) = self.desk(id).and_then(|desk| desk.replies.pop_front()) {
            self.tell(shard, now, Told::Reply(request, reply))?;
        }
        while let Some(input) = self.desk(id).and_then(|desk| desk.calls.pop_front()) {
            self.tell(shard, now, Told::Call(input))?;
        }
        while let Some((source, lsn)) = self.desk(id).and_then(|desk| desk.drained.pop_front()) {
            self.tell(shard, now, Told::Drained(source, lsn))?;
        }
        for slot in 0..shard.slots.len() as u32 {
            self.receive(shard, slot, now)?;
        }
        self.deadlines(shard, now)?;
        self.tell(shard, now, Told::Flush)?;
        shard.more = shard.fx.more;
        self.send(shard, now)?;
        self.start_write(shard, now)
    }

    /// The next mail of one sender that has arrived.
    fn take_mail(&mut self, id: ShardId, sender: usize) -> Option<Mail> {
        let now = self.now;
        let mailbox = self.desk(id)?.inbox.get_mut(sender)?;
        if mailbox.front()?.0 > now {
            return None;
        }
        mailbox.pop_front().map(|(_, mail)| mail)
    }

    /// When the shard has something to do again.
    fn next_turn(&mut self, shard: &Shard) -> Option<u64> {
        let mut next: Option<u64> = None;
        let mut sooner = |at: u64| next = Some(next.map_or(at, |known| known.min(at)));
        if shard.more {
            sooner(1_000);
        }
        if let Some(at) = shard.engine.next_deadline() {
            sooner(at.0.saturating_sub(self.now).max(1_000));
        }
        if let Some(at) = shard.writer.next_deadline() {
            sooner(at.0.saturating_sub(self.now).max(1_000));
        }
        for slot in shard.slots.iter().flatten() {
            if slot.deadline != Nanos::NEVER {
                sooner(slot.deadline.0.saturating_sub(self.now).max(1_000));
            }
            let Some(socket) = self.network.sockets.get(slot.socket).and_then(Option::as_ref) else {
                continue;
            };
            if socket.server_readable() && slot.connection.wants_read() {
                sooner(20_000);
            }
            if slot.connection.wants_write() && socket.server_writable() {
                sooner(50_000);
            }
        }
        let now = self.now;
        if let Some(desk) = self.desk(shard.id) {
            for (at, _) in desk.inbox.iter().filter_map(|mail| mail.front()) {
                sooner(at.saturating_sub(now).max(1_000));
            }
        }
        next
    }

    /// Gives the engine one input and carries out what it wants.
    pub(super) fn tell(&mut self, shard: &mut Shard, now: Now, told: Told) -> Result<(), String> {
        let mut told = Some(told);
        let mut refused = Vec::new();
        while let Some(one) = told.take() {
            self.trace.number(one.number());
            self.trace.bytes(one.name().as_bytes());
            self.trace_input(shard, &one);
            shard.fx.clear();
            let flush = matches!(one, Told::Flush);
            let text;
            let input = match one {
                Told::Accepted(slot, ip) => Input::Accepted { slot: SlotId(slot), ip },
                Told::Upgraded(slot) => Input::Upgraded { slot: SlotId(slot) },
                Told::Text(slot, said) => {
                    text = said;
                    Input::Text { slot: SlotId(slot), text: &text }
                }
                Told::SendQueue(slot, level) => Input::SendQueue { slot: SlotId(slot), level },
                Told::Closed(slot) => Input::Closed { slot: SlotId(slot) },
                Told::Mail(from, mail) => Input::Mail { from, mail },
                Told::Refused(to, mail) => Input::MailRefused { to, mail },
                Told::Reply(id, reply) => Input::Reply { id, reply },
                Told::Call(input) => Input::Api(input),
                Told::Committed(lsn) => Input::Committed { lsn },
                Told::Journal(state) => Input::Journal(state),
                Told::Drained(source, lsn) => Input::Drained { source, lsn },
                Told::Deadline => Input::Deadline,
                Told::Flush => Input::Flush,
                Told::Drain(deadline) => Input::Drain { deadline },
            };
            shard.engine.handle(now, input, &mut shard.fx);
            if flush {
                let count: usize = shard.fx.deliveries.iter().map(|d| d.targets.len()).sum();
                self.account.reached.full_flushes += u64::from(count == FLUSH_DELIVERIES_MAX);
                if count > FLUSH_DELIVERIES_MAX {
                    return Err(format!("one flush made {count} deliveries"));
                }
            }
            self.carry_out_effects(shard, now, &mut refused)?;
            if let Some((to, mail)) = refused.pop() {
                told = Some(Told::Refused(to, mail));
            }
        }
        Ok(())
    }

    fn trace_input(&self, shard: &Shard, told: &Told) {
        match told {
            Told::Text(slot, text) => {
                self.trace.bytes(text.as_bytes());
                self.trace
                    .line(|| format!("s{} text from slot {slot}: {}", shard.id.0, Short(text.as_bytes())));
            }
            Told::Mail(from, mail) => {
                self.trace.line(|| {
                    let text = mail_text(mail);
                    format!("s{} mail from {}: {}", shard.id.0, from.0, Short(text.as_bytes()))
                });
            }
            Told::Flush => {}
            other => {
                self.trace.line(|| format!("s{} {} {}", shard.id.0, other.name(), other.number()));
            }
        }
    }

    /// Carries out the effects, in the order that the engine asks for.
    fn carry_out_effects(
        &mut self,
        shard: &mut Shard,
        now: Now,
        refused: &mut Vec<(ShardId, Mail)>,
    ) -> Result<(), String> {
        let mut fx = std::mem::take(&mut shard.fx);
        let mut appended = lynk_domain::Lsn(0);
        for (lsn, record) in fx.records.iter() {
            let mut record = record;
            self.ledger.append(shard.journal, lsn.0, &record)?;
            self.account.records += 1;
            self.trace.number(lsn.0);
            self.trace.bytes(record.payload);
            self.trace.line(|| {
                format!(
                    "s{} appends {} {:?} seq {} of {}",
                    shard.id.0, lsn.0, record.head.kind, record.head.seq.0, record.head.room
                )
            });
            if self.plan.sabotage == Sabotage::ForgetKeys {
                record.head.key = lynk_domain::Key::NIL;
            }
            shard
                .writer
                .append(&record, lsn)
                .map_err(|e| format!("the journal refuses lsn {}: {e}", lsn.0))?;
            appended = lsn;
        }
        for (to, mail) in fx.mail.drain(..) {
            self.post(shard.id, to, mail, refused)?;
        }
        for (id, request) in fx.requests.drain(..) {
            self.ask_store(shard.id, id, request)?;
        }
        let mut deliveries = std::mem::take(&mut fx.deliveries);
        if self.plan.sabotage == Sabotage::Reorder && deliveries.len() > 1 && self.random.chance(200) {
            let last = deliveries.len() - 1;
            deliveries.swap(last - 1, last);
        }
        for delivery in &deliveries {
            let targets = &fx.targets[delivery.targets.start as usize..delivery.targets.end as usize];
            self.deliver(shard, now, &delivery.frame, targets)?;
        }
        fx.deliveries = deliveries;
        for close in &fx.closes {
            self.trace.line(|| format!("s{} closes slot {} with {:?}", shard.id.0, close.slot.0, close.code));
            self.trace.number(u64::from(close.slot.0));
            let settings = &self.settings;
            if let Some(slot) = shard.slots.get_mut(close.slot.0 as usize).and_then(Option::as_mut) {
                slot.connection.close(now.mono, settings, close.code);
            }
            self.settle(shard, close.slot.0, now)?;
        }
        shard.drain_done |= fx.drained;
        shard.fx = fx;
        if appended.0 > 0 {
            self.look_at_journal(shard, now)?;
            if self.plan.sabotage == Sabotage::CommitEarly {
                self.tell(shard, now, Told::Committed(appended))?;
            }
        }
        Ok(())
    }

    /// Puts mail into another shard's mailbox, or gives it back.
    fn post(
        &mut self,
        from: ShardId,
        to: ShardId,
        mail: Mail,
        refused: &mut Vec<(ShardId, Mail)>,
    ) -> Result<(), String> {
        let faults = self.plan.scenario.faults.mail;
        let chance = !self.healed && self.random.chance(faults.refused_permille);
        let sabotage = self.plan.sabotage == Sabotage::LoseEvents && self.random.chance(100);
        self.trace.bytes(mail_name(&mail).as_bytes());
        if sabotage && matches!(mail, Mail::Event { .. }) {
            return Ok(());
        }
        let delay = self.random.delay(if self.healed { 30_000 } else { faults.nanos });
        let now = self.now;
        let Some(desk) = self.desk(to) else { return Ok(()) };
        let inbox = &mut desk.inbox[from.index()];
        if refusable(&mail) && (inbox.len() >= faults.capacity || chance) {
            self.trace.line(|| format!("s{} refuses {} from {}", to.0, mail_name(&mail), from.0));
            refused.push((to, mail));
            self.account.reached.mail_refused += 1;
            return Ok(());
        }
        if inbox.len() > faults.capacity + RESERVED_MAIL {
            return Err(format!("{} mails from {} wait at {}", inbox.len(), from.0, to.0));
        }
        // One mailbox is one ordered queue.
        let at = inbox.back().map_or(0, |(at, _)| *at).max(now + delay);
        inbox.push_back((at, mail));
        self.wake_shard(to, at - now);
        Ok(())
    }

    /// Queues a frame for connections, after the judges have seen it.
    fn deliver(
        &mut self,
        shard: &mut Shard,
        now: Now,
        frame: &Arc<Frame>,
        targets: &[SlotId],
    ) -> Result<(), String> {
        let users: Vec<UserId> = targets
            .iter()
            .filter_map(|slot| shard.slots.get(slot.0 as usize)?.as_ref())
            .filter_map(|slot| self.users.get(*self.socket_of.get(slot.socket)?).copied())
            .chain(self.caller_of(targets).and_then(|client| self.users.get(client).copied()))
            .collect();
        let mut reply = false;
        let mut durable = None;
        for payload in frame.messages() {
            self.trace.bytes(payload);
            self.trace.line(|| {
                let slots: Vec<u32> = targets.iter().map(|t| t.0).collect();
                format!("s{} to {slots:?}: {}", shard.id.0, Short(payload))
            });
            let item = self.parsed.item(payload).map_err(|e| format!("an engine sends no JSON: {e}"))?;
            self.ledger.deliver(&item, &users).map_err(|what| format!("{what}: {}", Short(payload)))?;
            reply |= matches!(item.ev, Ev::Ok | Ev::Error | Ev::History);
            durable = durable.or(item.room.filter(|_| item.ev.durable()).map(|room| (room, item.seq)));
        }
        self.account.deliveries += targets.len() as u64;
        let mut targets = targets.to_vec();
        if self.spoil(shard, &mut targets, reply, durable) {
            return Ok(());
        }
        if let Some(client) = self.caller_of(&targets) {
            return self.answer_call(client, frame);
        }
        let index = shard.queue.frame(Arc::clone(frame));
        for target in targets {
            let Some(slot) = shard.slots.get_mut(target.0 as usize).and_then(Option::as_mut) else {
                continue;
            };
            if shard.queue.queue(target.0, &mut slot.connection, now.mono, &self.settings, index) {
                self.settle(shard, target.0, now)?;
            }
        }
        Ok(())
    }

    /// The client whose API slot is the only target.
    fn caller_of(&self, targets: &[SlotId]) -> Option<usize> {
        let [only] = targets else { return None };
        self.callers_from.checked_add(only.api_number()? as usize)
    }

    /// Gives the answer to a request to whoever made it.
    fn answer_call(&mut self, client: usize, frame: &Frame) -> Result<(), String> {
        let item = self.parsed.item(frame.payload())?;
        match self.clients.get_mut(client) {
            Some(Client::Caller(caller)) => caller.answer(item),
            Some(Client::Eraser(eraser)) => eraser.answer(item),
            _ => return Err("an answer in a slot that nobody has".to_owned()),
        }
        let delay = self.random.delay(60_000);
        self.wake_client(client, self.now + delay);
        Ok(())
    }

    /// Spoils a delivery as the sabotage says; whether it vanishes.
    fn spoil(
        &mut self,
        shard: &Shard,
        targets: &mut Vec<SlotId>,
        reply: bool,
        durable: Option<(RoomId, u64)>,
    ) -> bool {
        match self.plan.sabotage {
            Sabotage::LoseEvents => durable.is_some() && self.random.chance(30),
            Sabotage::DropReplies => reply && self.random.chance(20),
            Sabotage::Repeat if durable.is_some() && self.random.chance(50) => {
                targets.extend_from_within(..);
                false
            }
            Sabotage::DeliverAfterRemoval => {
                let Some((room, seq)) = durable else { return false };
                let removed = |slot: &Slot| {
                    let user = self.socket_of.get(slot.socket).and_then(|c| self.users.get(*c));
                    let truth = self.ledger.room(room);
                    truth.zip(user).is_some_and(|(truth, user)| {
                        truth.members.contains_key(user) && !truth.member_at(*user, seq)
                    })
                };
                for (index, slot) in shard.slots.iter().enumerate() {
                    if slot.as_ref().is_some_and(&removed) {
                        targets.push(SlotId(index as u32));
                    }
                }
                false
            }
            _ => false,
        }
    }

    /// Does what a connection asks for after it was used.
    fn settle(&mut self, shard: &mut Shard, index: u32, now: Now) -> Result<(), String> {
        loop {
            let Some(slot) = shard.slots.get_mut(index as usize).and_then(Option::as_mut) else {
                return Ok(());
            };
            let settled = slot.connection.settle();
            if let Some(deadline) = settled.deadline {
                slot.deadline = slot.deadline.min(deadline);
            }
            if settled.output {
                shard.queue.mark(index, &mut slot.connection);
            }
            let queued = slot.connection.queued_bytes();
            self.account.queued_bytes_max = self.account.queued_bytes_max.max(queued);
            let most = self.settings.send_queue_bytes_max as usize + (512 << 10);
            if queued > most {
                return Err(format!("a connection holds {queued} bytes"));
            }
            let socket = slot.socket;
            let told = slot.told;
            if let Some(end) = settled.end {
                self.trace.line(|| format!("s{} slot {index} ends: {}", shard.id.0, end.name()));
                let slow = matches!(end, EndReason::SendQueueFull | EndReason::SendStalled);
                self.account.reached.slow_closed += u64::from(slow);
            }
            match settled.socket {
                SocketStep::Keep => {}
                SocketStep::Release => return Err("the settings hand nothing over".to_owned()),
                SocketStep::ShutdownWrite | SocketStep::Close => {
                    if let Some(socket) = self.network.socket(socket) {
                        socket.server_close();
                    }
                    if let Some(client) = self.socket_of.get(socket) {
                        let delay = self.random.delay(60_000);
                        self.wake_client(*client, self.now + delay);
                    }
                }
            }
            let gone = settled.socket == SocketStep::Close;
            // What the engine closes itself it forgets when the socket is gone; so drain waits for the last byte.
            let over = settled.end.is_some_and(|end| !matches!(end, EndReason::Engine(_)));
            if (over || gone) && !told {
                slot.told = true;
                self.tell(shard, now, Told::Closed(index))?;
            }
            if let Some(level) = settled.level.filter(|_| !told) {
                let level = if level == Level::High { QueueLevel::High } else { QueueLevel::Low };
                self.tell(shard, now, Told::SendQueue(index, level))?;
                continue;
            }
            if gone && let Some(slot) = shard.slots.get_mut(index as usize) {
                *slot = None;
            }
            return Ok(());
        }
    }

    /// Reads from one socket and gives the engine what it says.
    fn receive(&mut self, shard: &mut Shard, index: u32, now: Now) -> Result<(), String> {
        let settings = Rc::clone(&self.settings);
        let Some(slot) = shard.slots.get_mut(index as usize).and_then(Option::as_mut) else { return Ok(()) };
        let Some(socket) = self.network.socket(slot.socket) else {
            slot.connection.socket_failed();
            return self.settle(shard, index, now);
        };
        if socket.is_reset() {
            slot.connection.socket_failed();
            return self.settle(shard, index, now);
        }
        if slot.connection.wants_write() && socket.server_writable() {
            slot.connection.writable();
        }
        if !slot.connection.wants_read() {
            return self.settle(shard, index, now);
        }
        if !socket.server_readable() {
            return self.settle(shard, index, now);
        }
        let mut buffer = [0; RECEIVE_BYTES];
        let count = match socket.server_recv(&mut buffer) {
            Moved::Bytes(count) => count,
            Moved::Blocked => return self.settle(shard, index, now),
            Moved::Ended => {
                slot.connection.end_of_stream();
                return self.settle(shard, index, now);
            }
            Moved::Reset => {
                slot.connection.socket_failed();
                return self.settle(shard, index, now);
            }
        };
        let mut at = 0;
        loop {
            let Some(slot) = shard.slots.get_mut(index as usize).and_then(Option::as_mut) else {
                return Ok(());
            };
            let received = slot.connection.receive(now.mono, &settings, &mut buffer[at..count]);
            at += received.consumed;
            let told = match received.event {
                None => break,
                Some(Heard::Upgraded { .. }) => Some(Told::Upgraded(index)),
                Some(Heard::Text(text)) => Some(Told::Text(index, text.to_owned())),
                // No simulated client comes through a proxy, or speaks plain HTTP.
                Some(Heard::Client(_) | Heard::Request | Heard::Binary(_) | Heard::Handled) => None,
            };
            self.settle(shard, index, now)?;
            if let Some(told) = told
                && shard.slots.get(index as usize).and_then(Option::as_ref).is_some_and(|s| !s.told)
            {
                self.tell(shard, now, told)?;
            }
        }
        self.settle(shard, index, now)
    }

    fn deadlines(&mut self, shard: &mut Shard, now: Now) -> Result<(), String> {
        for index in 0..shard.slots.len() as u32 {
            let Some(slot) = shard.slots.get_mut(index as usize).and_then(Option::as_mut) else { continue };
            if slot.deadline <= now.mono {
                slot.deadline = Nanos::NEVER;
                slot.connection.on_deadline(now.mono, &self.settings);
                self.settle(shard, index, now)?;
            }
        }
        if shard.engine.next_deadline().is_some_and(|at| at <= now.mono) {
            self.tell(shard, now, Told::Deadline)?;
        }
        Ok(())
    }

    /// Sends what this turn queued, once per connection.
    fn send(&mut self, shard: &mut Shard, now: Now) -> Result<(), String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(SCRATCH_BYTES, 0);
        let sent = self.send_all(shard, now, &mut scratch);
        self.scratch = scratch;
        let touched = sent?;
        shard.queue.finish();
        for target in touched {
            self.settle(shard, target, now)?;
        }
        // What the settling queued is sent in the next turn.
        shard.more |= !shard.queue.is_empty();
        Ok(())
    }

    /// Sends what this turn queued; returns the slots that it was queued for.
    fn send_all(&mut self, shard: &mut Shard, now: Now, scratch: &mut [u8]) -> Result<Vec<u32>, String> {
        let mut index = 0;
        let mut touched = Vec::new();
        shard.queue.begin();
        while let Some(target) = shard.queue.slot(index) {
            touched.push(target);
            let place = index;
            index += 1;
            let settings = &self.settings;
            let Some(slot) = shard.slots.get_mut(target as usize).and_then(Option::as_mut) else { continue };
            let plan = shard.queue.plan(place, &mut slot.connection, now.mono, settings, scratch);
            let socket = slot.socket;
            let bytes: &[u8] = match &plan {
                Plan::Idle => continue,
                Plan::NoRoom => return Err("the scratch is too small for a planned send".to_owned()),
                Plan::Frame(frame) => shard.queue.planned(*frame).wire(),
                Plan::Copied { bytes } | Plan::Reported { bytes } => &scratch[..*bytes],
            };
            let Some(wire) = self.network.socket(socket) else { continue };
            let moved = wire.server_send(bytes);
            let length = bytes.len();
            let count = match moved {
                Moved::Bytes(count) => count,
                Moved::Blocked | Moved::Ended => 0,
                Moved::Reset => {
                    slot.connection.socket_failed();
                    self.settle(shard, target, now)?;
                    continue;
                }
            };
            match plan {
                Plan::Reported { .. } if count == 0 => slot.connection.send_blocked(now.mono, settings),
                Plan::Reported { .. } => slot.connection.sent(now.mono, settings, count),
                _ if count < length => {
                    shard.queue.short(target, &mut slot.connection, now.mono, settings, count);
                }
                _ => {}
            }
            if count > 0
                && let Some(client) = self.socket_of.get(socket).copied()
            {
                let delay = self.random.delay(60_000);
                self.wake_client(client, self.now + delay);
            }
        }
        Ok(touched)
    }
}
