//! A chat of a few commands that goes through everything a reactor does: journal, commits, mail, chunked fan-out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use lynk_domain::{IpPrefix, Key, Lsn, Nanos, Now, RoomId, Seq, ShardId, UserId};
use lynk_engine::{
    Close, Counters, Effects, FLUSH_DELIVERIES_MAX, Input, JournalState, Mail, QueueLevel, Slot,
};
use lynk_model::{RecordHead, RecordKind};
use lynk_protocol::{CloseCode, Frame};
use lynk_reactor::Chat;

pub(crate) struct TinyChat {
    shard: ShardId,
    shard_count: u16,
    rooms: HashMap<u32, Vec<Slot>>,
    /// Connections that are slow consumers now.
    high: HashSet<Slot>,
    /// Open connections and where they come from.
    open: HashMap<Slot, IpPrefix>,
    appended: Lsn,
    committed: Lsn,
    /// Messages that wait for their commit.
    waiting: VecDeque<(Lsn, u32, Arc<Frame>)>,
    /// Fan-out under way: the frame, who gets it, how many have got it.
    fan_out: VecDeque<(Arc<Frame>, Vec<Slot>, usize)>,
    draining: bool,
    told_drained: bool,
    counters: Counters,
}

fn frame(text: &str) -> Arc<Frame> {
    Frame::new(|out| out.extend_from_slice(text.as_bytes()))
}

fn room_id(room: u32) -> RoomId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&room.to_le_bytes());
    RoomId(id)
}

fn room_number(id: RoomId) -> u32 {
    u32::from_le_bytes(*id.0.first_chunk().expect("16 bytes"))
}

impl TinyChat {
    pub(crate) fn new(shard: ShardId, shard_count: u16) -> Self {
        Self {
            shard,
            shard_count,
            rooms: HashMap::new(),
            high: HashSet::new(),
            open: HashMap::new(),
            appended: Lsn(0),
            committed: Lsn(0),
            waiting: VecDeque::new(),
            fan_out: VecDeque::new(),
            draining: false,
            told_drained: false,
            counters: Counters::default(),
        }
    }

    /// `join R`, `say R text` (durable), `shout R text` (not), `echo text`, `bye`, `from`, `hang milliseconds`.
    fn command(&mut self, now: Now, slot: Slot, text: &str, fx: &mut Effects) {
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        let room = rest.split_once(' ').and_then(|(room, text)| Some((room.parse().ok()?, text)));
        match (command, room) {
            ("join", _) => {
                let members = self.rooms.entry(rest.parse().expect("a room")).or_default();
                members.push(slot);
                fx.deliver(slot, frame(&format!("joined {rest}")));
            }
            ("say", Some((room, text))) => {
                self.appended = Lsn(self.appended.0 + 1);
                let head = RecordHead {
                    kind: RecordKind::Message,
                    flags: 0,
                    room: room_id(room),
                    seq: Seq(self.appended.0),
                    rev: Seq(self.appended.0),
                    wall: now.wall,
                    sender: UserId::NIL,
                    key: Key::NIL,
                };
                fx.records.push(self.appended, head, |out| out.extend_from_slice(text.as_bytes()));
                self.waiting.push_back((self.appended, room, frame(&format!("{room}: {text}"))));
            }
            ("shout", Some((room, text))) => self.publish(room, frame(&format!("{room}: {text}")), fx),
            ("echo", _) => fx.deliver(slot, frame(rest)),
            ("from", _) => {
                let [version, a, b, c, ..] = self.open[&slot].0;
                assert_eq!(version, 4);
                fx.deliver(slot, frame(&format!("{a}.{b}.{c}.0/24")));
            }
            ("hang", _) => {
                std::thread::sleep(std::time::Duration::from_millis(rest.parse().expect("milliseconds")));
            }
            ("bye", _) => fx.closes.push(Close { slot, code: CloseCode::Normal }),
            other => panic!("no such command: {other:?}"),
        }
    }

    fn publish(&mut self, room: u32, frame: Arc<Frame>, fx: &mut Effects) {
        for shard in (0..self.shard_count).map(ShardId).filter(|shard| *shard != self.shard) {
            let mail =
                Mail::Ephemeral { room: room_id(room), frame: Arc::clone(&frame), except: UserId::NIL };
            fx.mail.push((shard, mail));
        }
        self.deliver(room, frame);
    }

    fn deliver(&mut self, room: u32, frame: Arc<Frame>) {
        if let Some(members) = self.rooms.get(&room) {
            self.fan_out.push_back((frame, members.clone(), 0));
        }
    }

    fn flush(&mut self, fx: &mut Effects) {
        let mut left = FLUSH_DELIVERIES_MAX;
        while let Some((frame, members, done)) = self.fan_out.front_mut() {
            let chunk = &members[*done..members.len().min(*done + left)];
            left -= chunk.len();
            *done += chunk.len();
            self.counters.deliveries += chunk.len() as u64;
            let awake = chunk.iter().copied().filter(|slot| !self.high.contains(slot));
            fx.deliver_many(Arc::clone(frame), awake);
            if *done < members.len() {
                break;
            }
            self.fan_out.pop_front();
        }
        fx.more = !self.fan_out.is_empty();
    }
}

impl Chat for TinyChat {
    fn handle(&mut self, now: Now, input: Input<'_>, fx: &mut Effects) {
        match input {
            Input::Accepted { slot, ip } => {
                assert!(self.open.insert(slot, ip).is_none(), "{slot:?} was free")
            }
            Input::Upgraded { slot } => assert!(self.open.contains_key(&slot)),
            Input::Text { slot, text } => {
                assert!(self.open.contains_key(&slot), "{slot:?} is open");
                self.command(now, slot, text, fx);
            }
            Input::SendQueue { slot, level: QueueLevel::High } => assert!(self.high.insert(slot)),
            Input::SendQueue { slot, level: QueueLevel::Low } => assert!(self.high.remove(&slot)),
            Input::Closed { slot } => {
                assert!(self.open.remove(&slot).is_some(), "{slot:?} closes once");
                self.high.remove(&slot);
                self.rooms.values_mut().for_each(|members| members.retain(|one| *one != slot));
                for (_, members, done) in &mut self.fan_out {
                    let before = members[..*done].iter().filter(|one| **one == slot).count();
                    members.retain(|one| *one != slot);
                    *done -= before;
                }
            }
            Input::Mail { mail: Mail::Ephemeral { room, frame, .. }, .. } => {
                self.deliver(room_number(room), frame);
            }
            Input::Committed { lsn } => {
                assert!(lsn > self.committed && lsn <= self.appended);
                self.committed = lsn;
                while let Some((_, room, frame)) = self.waiting.pop_front_if(|(at, ..)| *at <= lsn) {
                    self.publish(room, frame, fx);
                }
            }
            Input::Flush => self.flush(fx),
            Input::Drain { .. } => {
                self.draining = true;
                let slots = self.open.keys().copied();
                fx.closes.extend(slots.map(|slot| Close { slot, code: CloseCode::Shutdown }));
            }
            Input::Journal(JournalState::Full) => panic!("the disk is full"),
            Input::Journal(_) | Input::Deadline => {}
            other => panic!("unexpected {other:?}"),
        }
        if self.draining && self.open.is_empty() && self.waiting.is_empty() && !self.told_drained {
            self.told_drained = true;
            fx.drained = true;
        }
    }

    fn next_deadline(&self) -> Option<Nanos> {
        None
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}
