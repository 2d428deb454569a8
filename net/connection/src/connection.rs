//! The state machine of one connection.

use std::net::IpAddr;
use std::sync::Arc;

use lynk_domain::Nanos;
use lynk_http::{
    HEAD_BYTES_MAX, Head, ProxyHeader, Refusal, decode_head, decode_proxy_header, encode_switching,
    forwarded_client,
};
use lynk_protocol::{CloseCode, Frame};
use lynk_websocket::{Control, Decoder, Event as WireEvent, Role, accept_key};

use crate::outbox::Outbox;
use crate::{EndReason, Plan, SLOW_SEND_BYTES_MAX, Settings};

/// What the peer sent, for the engine. Slices live until the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// Who the connection is from, as a trusted proxy tells; once, before the upgrade, and only from
    /// [`Connection::behind_proxy`]. `None`: the proxy speaks for itself or does not say, so it is the client. It may
    /// still be refused.
    Client(Option<IpAddr>),
    /// A plain request has arrived, at least its head; only with [`Settings::requests`]. The next call is
    /// [`Connection::hand_over`] or [`Connection::refuse`].
    Request,
    /// The WebSocket handshake is done; the response is queued.
    Upgraded {
        /// Whether the client offered the subprotocol, and it was selected.
        subprotocol: bool,
    },
    /// A text message.
    Text(&'a str),
    /// A binary message; only with [`Settings::binary`].
    Binary(&'a [u8]),
    /// Something that the connection dealt with itself: a control frame.
    Handled,
}

/// One step of [`Connection::receive`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    /// Bytes taken from the front of the input.
    pub consumed: usize,
    /// What they completed. `None`: all input is taken.
    pub event: Option<Event<'a>>,
}

/// How full the send queue is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueLevel {
    /// Passed the high watermark.
    High,
    /// Fell to the low watermark.
    Low,
}

/// What to do with the socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SocketStep {
    /// Nothing.
    Keep,
    /// `shutdown(SHUT_WR)`, and go on reading: the peer must see what was sent before the socket closes.
    ShutdownWrite,
    /// Let go of it without closing it, and give it to whoever answers [`Connection::take_request`].
    Release,
    /// Close it and free the slot.
    Close,
}

/// What changed since the last [`Connection::settle`]. Each fact is told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The send queue passed a watermark: tell the engine.
    pub level: Option<QueueLevel>,
    /// The connection has ended for the engine: tell it (unless it closed it itself) and count the reason. The socket
    /// may live on for a while.
    pub end: Option<EndReason>,
    /// What to do with the socket.
    pub socket: SocketStep,
    /// Put this deadline into the wheel.
    pub deadline: Option<Nanos>,
    /// There are bytes to send: [`crate::TurnQueue::mark`] it.
    pub output: bool,
}

/// Bytes of a connection at most, without what it has queued or received in part.
pub const CONNECTION_BYTES_MAX: usize = 80;
const _: () =
    assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX, "connections are kept by the thousand");

/// Silent intervals, each begun with a ping, after which the peer counts as gone.
const PINGS_MISSED_MAX: u8 = 2;
const NO_ENTRY: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The request head is arriving.
    Head,
    /// A plain request whose taker is being looked for.
    Request,
    /// Upgraded.
    Open,
    /// Ended, with something left to send or an answer to wait for.
    Ending(Answer),
    /// Everything is sent and the write side shut down; input is discarded until the stream ends.
    WriteShut,
    /// Somebody else's.
    HandedOver,
    /// Nothing left but to close the socket.
    Dead,
}

/// What the peer still has to say when the connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// A close frame.
    Expected,
    /// Nothing that we would understand.
    None,
    /// It has closed already.
    Received,
}

#[derive(Debug)]
enum Inbound {
    /// What has arrived of the head; empty when it comes in one piece.
    Head(Vec<u8>),
    Frames(Decoder),
}

/// One connection. See the [crate documentation](crate) for how a driver uses it.
#[derive(Debug)]
pub struct Connection {
    inbound: Inbound,
    link: Link,
}

/// All but the decoder, so that events can borrow the decoder while replies are queued.
#[derive(Debug)]
struct Link {
    outbox: Option<Box<Outbox>>,
    /// Next deadline of the state: head, heartbeat or end.
    deadline: Nanos,
    /// Earliest entry for this connection in the driver's wheel.
    armed: Nanos,
    /// Where the two batches of [`crate::TurnQueue`] have it.
    turn_entries: [u32; 2],
    state: State,
    end: Option<EndReason>,
    end_told: bool,
    step_told: SocketStep,
    /// Above the high watermark, and not yet at the low one again.
    above: bool,
    above_told: bool,
    /// A trusted proxy opened it and has not said for whom.
    proxied: bool,
    /// Something arrived since the last heartbeat.
    heard: bool,
    /// The message that arrives had begun at the last heartbeat.
    unfinished: bool,
    /// Pings without an answer.
    pings_open: u8,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(now: Nanos, settings: &Settings) -> Self {
        Self {
            inbound: Inbound::Head(Vec::new()),
            link: Link {
                outbox: None,
                deadline: now.after(settings.head_nanos_max),
                armed: Nanos::NEVER,
                turn_entries: [NO_ENTRY; 2],
                state: State::Head,
                end: None,
                end_told: false,
                step_told: SocketStep::Keep,
                above: false,
                above_told: false,
                proxied: false,
                heard: false,
                unfinished: false,
                pings_open: 0,
            },
        }
    }

    /// A connection that one of [`Settings::trusted_proxies`] opened: a PROXY protocol header or the request head tells
    /// for whom, with [`Event::Client`].
    #[must_use]
    pub fn behind_proxy(now: Nanos, settings: &Settings) -> Self {
        let mut connection = Self::new(now, settings);
        connection.link.proxied = true;
        connection
    }

    /// Takes bytes that arrived, up to one event. Call it with the rest of the buffer until it returns no event; also
    /// when the buffer is used up, because that last call frees the memory of a message it handed out.
    ///
    /// Payloads are unmasked in place. Allocates only for a head or a frame that the end of the buffer cuts, for a
    /// fragmented message, and for replies to control frames.
    pub fn receive<'a>(&'a mut self, now: Nanos, settings: &Settings, input: &'a mut [u8]) -> Received<'a> {
        let all = Received { consumed: input.len(), event: None };
        self.link.heard |= !input.is_empty();
        match self.link.state {
            State::Head => return self.receive_head(now, settings, input),
            State::Open | State::Ending(Answer::Expected) => {}
            State::Request | State::HandedOver => {
                debug_assert!(input.is_empty(), "nothing is read before a taker is found");
                return all;
            }
            State::Ending(_) | State::WriteShut | State::Dead => {
                self.inbound = Inbound::Head(Vec::new());
                return all;
            }
        }
        let Inbound::Frames(decoder) = &mut self.inbound else { return all };
        let link = &mut self.link;
        // Each event is followed by another call, so a message that ended is seen here before the next one begins.
        link.unfinished &= decoder.is_partial();
        let step = match decoder.decode(input) {
            Ok(step) => step,
            Err(error) => {
                link.fail(now, settings, EndReason::Protocol(error));
                return all;
            }
        };
        let open = link.state == State::Open;
        let event = match step.event {
            None => None,
            Some(WireEvent::Text(text)) if open => Some(Event::Text(text)),
            Some(WireEvent::Binary(bytes)) if open && settings.binary => Some(Event::Binary(bytes)),
            Some(WireEvent::Binary(_)) if open => {
                link.end(now, settings, EndReason::Binary, Answer::Expected);
                Some(Event::Handled)
            }
            Some(WireEvent::Ping(payload)) if open => {
                link.outbox().push_control(&Control::pong(payload));
                link.check_queue(now, settings);
                Some(Event::Handled)
            }
            Some(WireEvent::Close(close)) => {
                link.peer_close(now, settings, close.code);
                Some(Event::Handled)
            }
            Some(_) => Some(Event::Handled),
        };
        Received { consumed: step.consumed, event }
    }

    fn receive_head(&mut self, now: Nanos, settings: &Settings, input: &[u8]) -> Received<'static> {
        let all = Received { consumed: input.len(), event: None };
        let proxied = self.link.proxied;
        let Inbound::Head(kept) = &mut self.inbound else { return all };
        let before = kept.len();
        let head = if before == 0 {
            input
        } else {
            kept.extend_from_slice(&input[..input.len().min(HEAD_BYTES_MAX - before)]);
            kept.as_slice()
        };
        if proxied {
            match decode_proxy_header(head) {
                Ok(Some(ProxyHeader::Absent)) => {}
                Ok(Some(ProxyHeader::Present { client, bytes })) => {
                    *kept = Vec::new();
                    self.link.proxied = false;
                    return Received { consumed: bytes - before, event: Some(Event::Client(client)) };
                }
                Ok(None) => {
                    if before == 0 {
                        *kept = input.to_vec();
                    }
                    return all;
                }
                Err(refusal) => {
                    self.refuse(now, settings, refusal);
                    return all;
                }
            }
        }
        let (upgrade, head_bytes) = match decode_head(head, &settings.policy) {
            Ok(Some((Head::Upgrade(upgrade), head_bytes))) => (upgrade, head_bytes),
            Ok(Some((Head::Other(request), _))) => {
                let mut refusal = request.refusal(&settings.policy);
                if settings.requests && refusal == Refusal::NotFound {
                    if !settings.draining {
                        return self.receive_request(settings, before, input);
                    }
                    refusal = Refusal::Draining;
                }
                self.refuse(now, settings, refusal);
                return all;
            }
            Ok(None) => {
                if before == 0 {
                    *kept = input.to_vec();
                }
                return all;
            }
            Err(refusal) => {
                self.refuse(now, settings, refusal);
                return all;
            }
        };
        if settings.draining {
            self.refuse(now, settings, Refusal::Draining);
            return all;
        }
        if proxied {
            let client = forwarded_client(head, &settings.trusted_proxies);
            // The next call sees the same input again and goes on with the upgrade, unless it is refused meanwhile.
            kept.truncate(before);
            self.link.proxied = false;
            return Received { consumed: 0, event: Some(Event::Client(client)) };
        }
        let subprotocol = upgrade.subprotocol;
        let mut response = Vec::new();
        encode_switching(&mut response, &accept_key(upgrade.key), subprotocol);
        self.link.outbox().push_control(&response);
        self.link.state = State::Open;
        self.link.deadline = now.after(settings.heartbeat_nanos);
        self.inbound = Inbound::Frames(Decoder::new(Role::Server, settings.frame_bytes_max));
        Received { consumed: head_bytes - before, event: Some(Event::Upgraded { subprotocol }) }
    }

    /// The head of a plain request is complete. Everything that arrived is kept as it is, for whoever takes it; the first
    /// `before` bytes of that came before `input`.
    fn receive_request(&mut self, settings: &Settings, before: usize, input: &[u8]) -> Received<'static> {
        let Inbound::Head(kept) = &mut self.inbound else { unreachable!("a request begins with its head") };
        if std::mem::take(&mut self.link.proxied) {
            let head = if before == 0 { input } else { kept.as_slice() };
            let client = forwarded_client(head, &settings.trusted_proxies);
            // The next call sees the same input again, unless the connection is refused meanwhile.
            kept.truncate(before);
            return Received { consumed: 0, event: Some(Event::Client(client)) };
        }
        kept.truncate(before);
        kept.extend_from_slice(input);
        self.link.state = State::Request;
        Received { consumed: input.len(), event: Some(Event::Request) }
    }

    /// The request has a taker: nothing is read, sent or timed here any more. [`Self::take_request`] has what arrived.
    ///
    /// # Panics
    /// When no [`Event::Request`] came before.
    pub fn hand_over(&mut self) {
        assert!(self.link.state == State::Request, "only a request is handed over");
        self.link.end = Some(EndReason::HandedOver);
        self.link.state = State::HandedOver;
        self.link.deadline = Nanos::NEVER;
    }

    /// The bytes that arrived, without a PROXY protocol header, for whoever reads on from the socket. Empty the second
    /// time, and for anything but a request that was handed over.
    #[must_use]
    pub fn take_request(&mut self) -> Vec<u8> {
        match &mut self.inbound {
            Inbound::Head(bytes) if self.link.state == State::HandedOver => std::mem::take(bytes),
            _ => Vec::new(),
        }
    }

    /// The peer will send no more.
    pub fn end_of_stream(&mut self) {
        self.link.end_of_stream();
    }

    /// The socket reported an error, on whatever call.
    pub fn socket_failed(&mut self) {
        self.link.end.get_or_insert(EndReason::SocketFailed);
        self.link.die();
    }

    /// Closes it for the engine: what is queued goes out first, in this turn's [`crate::TurnQueue`] too. Before the
    /// upgrade the answer is an HTTP refusal.
    pub fn close(&mut self, now: Nanos, settings: &Settings, code: CloseCode) {
        match self.link.state {
            State::Head | State::Request => self.refuse(
                now,
                settings,
                match code {
                    CloseCode::RateLimited => Refusal::TooManyConnections,
                    CloseCode::Shutdown => Refusal::Draining,
                    _ => Refusal::Full,
                },
            ),
            State::Open => self.link.end(now, settings, EndReason::Engine(code), Answer::Expected),
            State::Ending(_) | State::WriteShut | State::HandedOver | State::Dead => {}
        }
    }

    /// Answers with an HTTP refusal; only before the upgrade, otherwise nothing happens.
    pub fn refuse(&mut self, now: Nanos, settings: &Settings, refusal: Refusal) {
        if matches!(self.link.state, State::Head | State::Request) {
            self.inbound = Inbound::Head(Vec::new());
            self.link.end(now, settings, EndReason::Refused(refusal), Answer::None);
        }
    }

    /// An entry of the wheel has fired. Harmless when nothing is due.
    pub fn on_deadline(&mut self, now: Nanos, settings: &Settings) {
        let head = self.link.state == State::Head;
        let partial = matches!(&self.inbound, Inbound::Frames(decoder) if decoder.is_partial());
        self.link.on_deadline(now, settings, partial);
        if head && self.link.state != State::Head {
            self.inbound = Inbound::Head(Vec::new());
        }
    }

    /// The earliest time at which [`Self::on_deadline`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Nanos {
        self.link.next_deadline()
    }

    /// What changed: call it after every other call and carry it out.
    #[must_use]
    pub fn settle(&mut self) -> Settled {
        self.link.settle()
    }

    /// Whether to receive from the socket: not above the high watermark. Bytes that were received already may still be
    /// given to [`Self::receive`].
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.link.state {
            State::Head | State::Open => !self.link.above,
            State::Ending(_) | State::WriteShut => true,
            State::Request | State::HandedOver | State::Dead => false,
        }
    }

    /// Whether the socket must become writable before more can be sent.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.link.state != State::Dead && self.link.outbox.as_ref().is_some_and(|outbox| outbox.blocked)
    }

    /// The socket is writable again.
    pub fn writable(&mut self) {
        if let Some(outbox) = &mut self.link.outbox {
            outbox.blocked = false;
        }
    }

    /// Whether the WebSocket is open: it takes frames and hands out messages.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.state == State::Open
    }

    /// Bytes queued on the slow path.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.link.outbox.as_ref().map_or(0, |outbox| outbox.queued_bytes())
    }

    /// Heap bytes that this connection owns; frames it shares are not counted.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let inbound = match &self.inbound {
            Inbound::Head(kept) => kept.capacity(),
            Inbound::Frames(decoder) => decoder.heap_bytes(),
        };
        inbound + self.link.outbox.as_ref().map_or(0, |outbox| outbox.heap_bytes())
    }

    /// Queues a frame on the slow path. Drivers go through [`crate::TurnQueue::queue`], which takes the fast path when
    /// it can. Nothing happens unless it is open.
    pub fn queue(&mut self, now: Nanos, settings: &Settings, frame: Arc<Frame>) {
        if self.takes_frames() {
            self.link.outbox().push_frame(frame);
            self.link.check_queue(now, settings);
        }
    }

    /// Copies the next bytes of the slow path into `room` and returns how many; 0 when there is nothing, or a send is
    /// in flight, or the socket is blocked. Report their fate with [`Self::sent`] or [`Self::send_blocked`].
    pub fn next_send(&mut self, room: &mut [u8]) -> usize {
        match &mut self.link.outbox {
            Some(outbox) if outbox.is_ready() => outbox.copy_next(room),
            _ => 0,
        }
    }

    /// The kernel took the first `count` of the bytes in flight. Fewer than all: wait until writable.
    pub fn sent(&mut self, now: Nanos, settings: &Settings, count: usize) {
        self.link.sent(now, settings, count);
    }

    /// The kernel took none of the bytes in flight: wait until writable.
    pub fn send_blocked(&mut self, now: Nanos, settings: &Settings) {
        self.link.sent(now, settings, 0);
    }

    pub(crate) fn takes_frames(&self) -> bool {
        self.link.state == State::Open
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.link.outbox.is_some()
    }

    pub(crate) fn turn_entry(&self, side: u8) -> usize {
        self.link.turn_entries[usize::from(side)] as usize
    }

    pub(crate) fn set_turn_entry(&mut self, side: u8, entry: u32) {
        self.link.turn_entries[usize::from(side)] = entry;
    }

    pub(crate) fn plan_slow(&mut self, room: &mut [u8]) -> Plan {
        let Some(outbox) = &mut self.link.outbox else { return Plan::Idle };
        if self.link.state == State::Dead || !outbox.is_ready() {
            return Plan::Idle;
        }
        if room.len() < outbox.queued_bytes().min(crate::FAST_BYTES_MAX) {
            return Plan::NoRoom;
        }
        let length = room.len().min(SLOW_SEND_BYTES_MAX);
        Plan::Reported { bytes: outbox.copy_next(&mut room[..length]) }
    }

    /// Takes frames that were queued before all it has, and whose first `sent` bytes are gone.
    pub(crate) fn take_earlier(
        &mut self,
        now: Nanos,
        settings: &Settings,
        frames: impl Iterator<Item = Arc<Frame>>,
        sent: usize,
    ) {
        let mut frames = frames.peekable();
        if self.link.state != State::Dead && frames.peek().is_some() {
            self.link.outbox().push_earlier(frames, sent);
            self.link.check_queue(now, settings);
        }
    }

    /// A fast-path send came back short: wait until the socket is writable.
    pub(crate) fn block_short(&mut self, now: Nanos, settings: &Settings) {
        if let Some(outbox) = &mut self.link.outbox {
            outbox.blocked = true;
            outbox.stall_at = now.after(settings.send_stall_nanos_max);
        }
    }
}

impl Link {
    fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_with(|| Box::new(Outbox::new()))
    }

    /// Looks at the watermarks after the queue changed.
    fn check_queue(&mut self, now: Nanos, settings: &Settings) {
        let bytes = self.outbox.as_ref().map_or(0, |outbox| outbox.queued_bytes());
        if bytes > settings.send_queue_bytes_max as usize && self.state == State::Open {
            self.end_dropping(now, settings, EndReason::SendQueueFull);
        }
        if bytes > settings.send_queue_bytes_high as usize {
            self.above = true;
        } else if bytes <= settings.send_queue_bytes_low as usize {
            self.above = false;
        }
    }

    fn sent(&mut self, now: Nanos, settings: &Settings, count: usize) {
        // The connection may have died while the send was in flight.
        let Some(outbox) = &mut self.outbox else { return };
        outbox.sent(count);
        if count > 0 || outbox.stall_at == Nanos::NEVER {
            outbox.stall_at = now.after(settings.send_stall_nanos_max);
        }
        if outbox.is_empty() {
            self.outbox = None;
            if let State::Ending(answer) = self.state {
                self.flushed(answer);
            }
        }
        self.check_queue(now, settings);
    }

    /// The last byte of an ended connection is out.
    fn flushed(&mut self, answer: Answer) {
        match answer {
            Answer::Expected => {}
            Answer::None => self.state = State::WriteShut,
            Answer::Received => self.die(),
        }
    }

    /// Ends the connection: the close frame or the refusal goes out behind what is queued.
    fn end(&mut self, now: Nanos, settings: &Settings, reason: EndReason, answer: Answer) {
        debug_assert!(
            matches!(self.state, State::Head | State::Request | State::Open),
            "a connection ends once"
        );
        self.end = Some(reason);
        self.state = State::Ending(answer);
        self.deadline = now.after(settings.close_nanos_max);
        let mut bytes = Vec::new();
        if let EndReason::Refused(refusal) = reason {
            refusal.encode_response(&mut bytes, settings.retry_after_seconds);
        } else if let Some((code, text)) = reason.close() {
            bytes.extend_from_slice(&Control::close(code, text));
        }
        self.outbox().push_last(bytes);
    }

    /// Ends the connection because of what the peer sent; nothing it says from now on is understood.
    fn fail(&mut self, now: Nanos, settings: &Settings, reason: EndReason) {
        match self.state {
            State::Open => self.end(now, settings, reason, Answer::None),
            State::Ending(_) => self.no_answer(),
            State::Head | State::Request | State::WriteShut | State::HandedOver | State::Dead => {}
        }
    }

    /// Ends a slow consumer: what it has not begun to receive is dropped.
    fn end_dropping(&mut self, now: Nanos, settings: &Settings, reason: EndReason) {
        if let Some(outbox) = &mut self.outbox {
            outbox.drop_unsent();
        }
        self.end(now, settings, reason, Answer::Expected);
    }

    /// The answer that was awaited will not come in a form we understand.
    fn no_answer(&mut self) {
        self.state = State::Ending(Answer::None);
        if self.outbox.is_none() {
            self.flushed(Answer::None);
        }
    }

    fn peer_close(&mut self, now: Nanos, settings: &Settings, code: Option<u16>) {
        match self.state {
            State::Open => {
                self.end = Some(EndReason::PeerClosed);
                self.state = State::Ending(Answer::Received);
                self.deadline = now.after(settings.close_nanos_max);
                let answer = code.map_or_else(Control::close_empty, |code| Control::close(code, ""));
                self.outbox().push_last(answer.to_vec());
            }
            State::Ending(Answer::Expected) => self.peer_done(),
            _ => {}
        }
    }

    fn end_of_stream(&mut self) {
        match self.state {
            State::Head | State::Request | State::Open => {
                self.end = Some(EndReason::PeerGone);
                self.die();
            }
            State::Ending(_) => self.peer_done(),
            State::WriteShut | State::Dead => self.die(),
            State::HandedOver => {}
        }
    }

    /// The peer has nothing more to say: what is queued goes out, then the socket closes.
    fn peer_done(&mut self) {
        self.state = State::Ending(Answer::Received);
        if self.outbox.is_none() {
            self.die();
        }
    }

    fn die(&mut self) {
        self.state = State::Dead;
        self.outbox = None;
        self.deadline = Nanos::NEVER;
    }

    fn next_deadline(&self) -> Nanos {
        let stall_at = match &self.outbox {
            Some(outbox) if self.state == State::Open => outbox.stall_at,
            _ => Nanos::NEVER,
        };
        self.deadline.min(stall_at)
    }

    fn on_deadline(&mut self, now: Nanos, settings: &Settings, partial: bool) {
        if now < self.armed {
            // An entry of an earlier deadline that moved, or of an earlier connection in this slot.
            return;
        }
        self.armed = Nanos::NEVER;
        let stalled = self.outbox.as_ref().is_some_and(|outbox| outbox.stall_at <= now);
        if stalled && self.state == State::Open {
            self.end_dropping(now, settings, EndReason::SendStalled);
        }
        if now < self.deadline {
            return;
        }
        match self.state {
            State::Head | State::Request => {
                self.end(now, settings, EndReason::Refused(Refusal::Timeout), Answer::None);
            }
            State::Open => self.heartbeat(now, settings, partial),
            State::Ending(_) | State::WriteShut => self.die(),
            State::HandedOver | State::Dead => {}
        }
    }

    /// `partial`: a message has begun and not ended.
    fn heartbeat(&mut self, now: Nanos, settings: &Settings, partial: bool) {
        // Control frames between its fragments would keep an unfinished message, and the memory it holds, for ever.
        let arriving = partial && !self.above;
        if arriving && self.unfinished {
            self.end(now, settings, EndReason::MessageStalled, Answer::Expected);
            return;
        }
        self.unfinished = arriving;
        // Above the watermark nothing is read, so an answer cannot be heard; a peer that is gone then shows as a stall.
        if self.heard || self.above {
            self.pings_open = 0;
        }
        self.heard = false;
        if self.pings_open >= PINGS_MISSED_MAX {
            self.end(now, settings, EndReason::PingTimeout, Answer::Expected);
            return;
        }
        self.pings_open += 1;
        self.deadline = now.after(settings.heartbeat_nanos);
        self.outbox().push_control(&Control::ping(b""));
        self.check_queue(now, settings);
    }

    fn settle(&mut self) -> Settled {
        let level = match (self.above_told, self.above) {
            (false, true) => Some(QueueLevel::High),
            (true, false) => Some(QueueLevel::Low),
            _ => None,
        };
        self.above_told = self.above;
        let end = self.end.filter(|_| !self.end_told);
        self.end_told = self.end.is_some();
        let step = match self.state {
            State::Head | State::Request | State::Open | State::Ending(_) => SocketStep::Keep,
            State::WriteShut => SocketStep::ShutdownWrite,
            State::HandedOver => SocketStep::Release,
            State::Dead => SocketStep::Close,
        };
        let socket = if step > self.step_told { step } else { SocketStep::Keep };
        self.step_told = self.step_told.max(step);
        let next = self.next_deadline();
        let deadline = (next < self.armed).then_some(next);
        self.armed = self.armed.min(next);
        Settled {
            level: level.filter(|_| self.end.is_none()),
            end,
            socket,
            deadline,
            output: self.outbox.as_ref().is_some_and(|outbox| outbox.is_ready()),
        }
    }
}

#[cfg(test)]
mod tests;
