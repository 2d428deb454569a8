use super::*;

const ROOM: RoomId = RoomId([9; 16]);
const NOW: Millis = Millis(1_000_000);
const RULES: Rules = Rules { large_room: 500, everybody_max: 10_000, life_millis: 60_000 };

fn user(n: u8) -> UserId {
    UserId([n; 16])
}

fn message(seq: u64, sender: u8) -> Message {
    Message {
        seq: Seq(seq),
        n: Ordinal(seq),
        id: MessageId([seq as u8; 16]),
        sender: user(sender),
        at: NOW,
        mentions: Mentions::default(),
    }
}

/// A room of users 1 to 5, who all have devices.
struct World {
    audience: RoomAudience,
    devices: Vec<UserId>,
    active: Vec<UserId>,
    blocked: BTreeMap<UserId, Vec<UserId>>,
}

impl World {
    fn new() -> Self {
        let members: Vec<_> = (1..=5).map(user).collect();
        let audience = RoomAudience { size: 5, members: members.clone(), wishes: Vec::new(), request: None };
        Self { audience, devices: members, active: Vec::new(), blocked: BTreeMap::new() }
    }

    fn wish(mut self, of: u8, muted_until: u64, wish: Wish) -> Self {
        self.audience.wishes.push((user(of), RoomWish { muted_until: Millis(muted_until), wish }));
        self.audience.wishes.sort_by_key(|(user, _)| *user);
        self
    }

    fn decide(&self, messages: &[Message]) -> Decided {
        let facts = Facts {
            audience: &self.audience,
            devices: &self.devices,
            active: &self.active,
            blocked: &self.blocked,
        };
        decide(ROOM, messages, &facts, &RULES, NOW)
    }

    /// Reasons by user of one message of user 1.
    fn reasons(&self, message: Message) -> Vec<(u8, Reason)> {
        let decided = self.decide(&[message]);
        decided.decisions.iter().map(|decision| (decision.user.0[0], decision.reason)).collect()
    }
}

#[test]
fn everybody_but_the_sender_is_told() {
    let reasons = World::new().reasons(message(1, 1));
    assert_eq!(reasons[0], (1, Reason::Sender));
    assert!(reasons[1..].iter().all(|(_, reason)| *reason == Reason::Wanted));
    assert_eq!(reasons.len(), 5);
}

#[test]
fn each_rule_has_its_reason() {
    let mut world = World::new().wish(3, NOW.0 + 1, Wish::Default).wish(4, 0, Wish::Mentions);
    world.active = vec![user(5)];
    world.blocked.insert(user(1), vec![user(2)]);
    assert_eq!(
        world.reasons(message(1, 1)),
        [
            (1, Reason::Sender),
            (2, Reason::Blocked),
            (3, Reason::Muted),
            (4, Reason::MentionsOnly),
            (5, Reason::Active)
        ]
    );
    // A mention reaches who asked for mentions, and nobody who blocked, muted or is there.
    let mention = Message { mentions: Mentions::new(false, (2..=5).map(user).collect()), ..message(1, 1) };
    let reasons = world.reasons(mention.clone());
    assert_eq!(
        reasons[1..],
        [(2, Reason::Blocked), (3, Reason::Muted), (4, Reason::Wanted), (5, Reason::Active)]
    );
    assert!(world.decide(&[mention]).wanted[0].mention);
    let old = Message { at: Millis(NOW.0 - RULES.life_millis - 1), ..message(1, 1) };
    assert!(World::new().reasons(old)[1..].iter().all(|(_, reason)| *reason == Reason::Old));
    // A mute that is over mutes nothing.
    assert_eq!(World::new().wish(3, NOW.0, Wish::Default).reasons(message(1, 1))[2], (3, Reason::Wanted));
}

#[test]
fn a_large_room_tells_mentions_and_those_who_want_everything() {
    let mut world = World::new().wish(3, 0, Wish::All);
    world.audience.size = 501;
    world.audience.members = vec![user(2), user(3)];
    let mention = Message { mentions: Mentions::new(false, vec![user(2)]), ..message(8, 1) };
    let decided = world.decide(&[message(7, 1), mention]);
    let rows: Vec<_> =
        decided.decisions.iter().map(|d| (d.user.0[0], d.first.0, d.last.0, d.reason)).collect();
    assert_eq!(
        rows,
        [
            (0, 7, 8, Reason::LargeRoom),
            (2, 7, 7, Reason::LargeRoom),
            (2, 8, 8, Reason::Wanted),
            (3, 7, 8, Reason::Wanted)
        ]
    );
    let wanted: Vec<_> =
        decided.wanted.iter().map(|w| (w.user.0[0], w.from.0, w.upto.0, w.messages)).collect();
    assert_eq!(wanted, [(2, 8, 8, 1), (3, 7, 8, 2)]);
    let everybody = Message { mentions: Mentions::new(true, Vec::new()), ..message(9, 1) };
    let wanted = world.decide(&[everybody]).wanted;
    assert_eq!(wanted.iter().map(|w| (w.user.0[0], w.mention)).collect::<Vec<_>>(), [(2, true), (3, true)]);
    world.audience.size = 500;
    assert!(
        world.decide(&[message(7, 1)]).decisions.iter().all(|decision| decision.reason == Reason::Wanted)
    );
}

#[test]
fn a_batch_is_one_push_for_each_and_one_row_for_each_change_of_mind() {
    let decided = World::new().decide(&[message(1, 1), message(2, 2), message(4, 1), message(9, 1)]);
    let of = |n: u8| {
        let rows = decided.decisions.iter().filter(|decision| decision.user == user(n));
        rows.map(|d| (d.first.0, d.last.0, d.reason)).collect::<Vec<_>>()
    };
    assert_eq!(of(1), [(1, 1, Reason::Sender), (2, 2, Reason::Wanted), (4, 9, Reason::Sender)]);
    assert_eq!(of(2), [(1, 1, Reason::Wanted), (2, 2, Reason::Sender), (4, 9, Reason::Wanted)]);
    assert_eq!(of(3), [(1, 9, Reason::Wanted)]);
    let wanted = decided.wanted.iter().find(|wanted| wanted.user == user(2)).expect("wanted");
    assert_eq!((wanted.from, wanted.upto, wanted.messages), (Seq(1), Seq(9), 3));
    assert_eq!(wanted.message, MessageId([9; 16]), "the newest");
    assert_eq!(decided.wanted.len(), 5);
}

#[test]
fn nobody_without_a_device_is_looked_at() {
    let mut world = World::new();
    world.devices = vec![user(4), user(77)];
    assert_eq!(world.reasons(message(1, 1)), [(4, Reason::Wanted)]);
    assert_eq!(world.decide(&[]), Decided::default());
}

#[test]
fn of_a_strangers_request_the_first_message_alone_is_told() {
    let mut world = World::new();
    world.audience.request = Some((user(2), Ordinal(4)));
    let decided = world.decide(&[message(5, 1), message(6, 1), message(7, 1)]);
    let of =
        |n: u8| decided.wanted.iter().find(|wanted| wanted.user == user(n)).map(|wanted| wanted.messages);
    assert_eq!((of(2), of(3)), (Some(1), Some(3)));
    let reasons: Vec<_> = decided
        .decisions
        .iter()
        .filter(|decision| decision.user == user(2))
        .map(|decision| (decision.first.0, decision.last.0, decision.reason))
        .collect();
    assert_eq!(reasons, [(5, 5, Reason::Wanted), (6, 7, Reason::Request)]);
}
