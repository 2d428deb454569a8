//! Messages as shards would write them: rooms of very different activity, ids that do not compress, words that do.

use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId, uuid_v7};
use lynk_model::{Body, OwnedRecord, Parts, RecordHead, RecordKind};

const WORDS: [&str; 16] = [
    "lunch", "at", "noon", "then", "we", "look", "over", "the", "plan", "again", "maybe", "call", "me",
    "when", "you", "arrive",
];

/// Makes records. The same arguments make the same records.
pub(crate) struct Generator {
    state: u64,
    /// Messages so far, by room; a room's members are made of its number.
    tops: Vec<u64>,
    wall: u64,
}

impl Generator {
    pub(crate) fn new(rooms: usize) -> Self {
        Self { state: 1, tops: vec![0; rooms], wall: 1_700_000_000_000 }
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A room, the first ones far more often: the logarithm of the number is uniform, which is Zipf's law with s = 1.
    fn room(&mut self) -> usize {
        let uniform = (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
        let number = (self.tops.len() as f64).powf(uniform) as usize;
        number.clamp(1, self.tops.len()) - 1
    }

    pub(crate) fn any_room(&mut self) -> RoomId {
        let room = self.room();
        room_id(room)
    }

    pub(crate) fn batch(&mut self, count: usize) -> Vec<OwnedRecord> {
        (0..count).map(|_| self.message()).collect()
    }

    fn message(&mut self) -> OwnedRecord {
        let room = self.room();
        self.tops[room] += 1;
        self.wall += 1;
        let seq = Seq(self.tops[room]);
        let mut text = String::with_capacity(160);
        while text.len() < 120 {
            text.push_str(WORDS[(self.draw() % 16) as usize]);
            text.push(' ');
        }
        let id = MessageId(self.uuid());
        let body =
            Body::Message { id, n: Ordinal(seq.0), reply_to: Seq(0), text: &text, parts: Parts::none() };
        let mut payload = Vec::with_capacity(200);
        body.encode(&mut payload);
        let mut sender = [0x77; 16];
        sender[..8].copy_from_slice(&(room as u64 * 31 + self.draw() % 20).to_le_bytes());
        let head = RecordHead {
            kind: RecordKind::Message,
            flags: 0,
            room: room_id(room),
            seq,
            rev: seq,
            wall: Millis(self.wall),
            sender: UserId(sender),
            key: Key(self.uuid()),
        };
        OwnedRecord { head, payload }
    }

    fn uuid(&mut self) -> [u8; 16] {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.draw().to_le_bytes());
        uuid_v7(self.wall, random)
    }
}

/// Room ids are spread over all keys, as random ids are.
fn room_id(number: usize) -> RoomId {
    let mut id = [0x42; 16];
    id[..8].copy_from_slice(&(number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    RoomId(id)
}
