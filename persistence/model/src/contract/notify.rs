//! The suites of the port of notifications.

use lynk_domain::{MessageId, Millis, RoomId, Seq, SessionId, UserId};

use super::copies::{all_rows, copy, follow, pages};
use crate::dump::NotifyRow;
use crate::memory::MemoryNotify;
use crate::notify::{
    Attempted, Claim, DEVICES_PER_ACCOUNT_MAX, Decision, Device, Fate, Finished, Platform, Provider, Push,
    PushCause, PushId, PushState, PushToken, Reason, RoomTaken, Taking, Took, Turn, Turned, Wanted,
};
use crate::port::{Fill as _, NotifyDump, NotifyFill, NotifyStore, ready};

const ROOM: RoomId = RoomId([0x70; 16]);

fn user(n: u8) -> UserId {
    UserId([n; 16])
}

fn session(n: u8) -> SessionId {
    SessionId([n; 16])
}

fn token(n: u8) -> PushToken {
    PushToken::parse(&format!("token-{n}")).expect("a token")
}

fn id(n: u8) -> PushId {
    PushId([n; 16])
}

fn device(of: u8, number: u8) -> Device {
    Device {
        session: session(number),
        user: user(of),
        provider: Provider::Fcm,
        token: token(number),
        platform: Platform::Android,
        id_only: true,
        created: Millis(1_000 + u64::from(number)),
        last_ok: None,
    }
}

fn wanted(of: u8, from: u64, upto: u64, due: u64) -> Wanted {
    Wanted {
        user: user(of),
        room: ROOM,
        from: Seq(from),
        upto: Seq(upto),
        message: MessageId([upto as u8; 16]),
        messages: (upto - from + 1) as u32,
        mention: false,
        since: Millis(due),
        due: Millis(due),
    }
}

fn decided(of: UserId, first: u64, last: u64, reason: Reason) -> Decision {
    Decision { user: of, room: ROOM, first: Seq(first), last: Seq(last), reason, at: Millis(last) }
}

fn taking(from: u64, to: u64, wanted: Vec<Wanted>, decisions: Vec<Decision>) -> Taking {
    Taking { rooms: vec![RoomTaken { room: ROOM, from: Seq(from), to: Seq(to) }], wanted, decisions }
}

fn take<S: NotifyStore>(store: &mut S, taking: &Taking) -> Took {
    ready(store.take(taking, Millis(5))).expect("takes")
}

fn turn<S: NotifyStore>(store: &mut S, turn: &Turn, now: u64) -> Turned {
    ready(store.turn(turn, Millis(now))).expect("turns")
}

fn claim(of: &Wanted, pushes: &[(u8, u8)], window_end: u64) -> Turn {
    let to = pushes.iter().map(|(push, device)| (id(*push), session(*device))).collect();
    let claim = Claim { wanted: of.clone(), window_end: Millis(window_end), fate: Fate::Push(to) };
    Turn { claims: vec![claim], ..Turn::default() }
}

fn ends(push: u8, device: u8, attempted: Attempted) -> Turn {
    let finished = vec![Finished { id: id(push), token: token(device), attempted }];
    Turn { finished, ..Turn::default() }
}

fn push<S: NotifyStore>(store: &S, of: u8, seq: u64) -> Option<Push> {
    ready(store.why(user(of), ROOM, Seq(seq))).expect("readable").pushes.pop()
}

/// A session has one device, a token belongs to one session, and an account has so many devices.
pub fn a_token_belongs_to_one_session<S: NotifyStore>(store: &mut S) {
    assert_eq!(ready(store.any_device()), Ok(false));
    assert_eq!(ready(store.put_device(&device(1, 1))), Ok(0));
    assert_eq!(ready(store.put_device(&device(1, 1))), Ok(0), "the same again");
    assert_eq!(ready(store.any_device()), Ok(true));
    let renewed = Device { token: token(9), ..device(1, 1) };
    assert_eq!(ready(store.put_device(&renewed)), Ok(0));
    assert_eq!(ready(store.devices(user(1))), Ok(vec![renewed]));
    // Another account signs in on the same device: whoever is there now gets the pushes.
    let taken = Device { token: token(9), ..device(2, 2) };
    assert_eq!(ready(store.put_device(&taken)), Ok(1));
    assert_eq!(ready(store.devices(user(1))), Ok(Vec::new()));
    assert_eq!(ready(store.with_devices(&[user(3), user(2), user(1), user(2)])), Ok(vec![user(2)]));
    assert_eq!(ready(store.with_devices(&[])), Ok(Vec::new()));
    assert_eq!(ready(store.remove_devices(&[session(2), session(7)])), Ok(1));
    assert_eq!(ready(store.devices(user(2))), Ok(Vec::new()));
    let max = DEVICES_PER_ACCOUNT_MAX as u8;
    for number in 0..max {
        assert_eq!(ready(store.put_device(&device(4, 100 + number))), Ok(0));
    }
    assert_eq!(ready(store.put_device(&device(4, 100 + max))), Ok(1));
    let left = ready(store.devices(user(4))).expect("readable");
    assert_eq!(left.len(), max as usize);
    assert_eq!((left[0].session, left[left.len() - 1].session), (session(101), session(100 + max)));
}

/// A batch is taken once, whoever offers it again.
pub fn a_batch_is_taken_once<S: NotifyStore>(store: &mut S) {
    assert_eq!(ready(store.taken(&[ROOM])), Ok(vec![Seq(0)]));
    let first = taking(0, 3, vec![wanted(1, 1, 3, 10)], vec![decided(user(1), 1, 3, Reason::Wanted)]);
    assert_eq!(take(store, &first), Took::Done);
    assert_eq!(take(store, &first), Took::Behind);
    assert_eq!(ready(store.taken(&[RoomId([1; 16]), ROOM])), Ok(vec![Seq(0), Seq(3)]));
    let due = ready(store.due(Millis(10), 10)).expect("readable");
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].wanted, wanted(1, 1, 3, 10));
    assert_eq!(ready(store.due(Millis(9), 10)), Ok(Vec::new()));
    // What waits grows, and is due when the first of it is.
    let mut more = wanted(1, 4, 6, 99);
    more.mention = true;
    assert_eq!(take(store, &taking(3, 6, vec![more.clone()], Vec::new())), Took::Done);
    let grown = Wanted { from: Seq(1), messages: 6, since: Millis(10), due: Millis(10), ..more };
    assert_eq!(ready(store.due(Millis(10), 10)).expect("readable")[0].wanted, grown);
    assert_eq!(ready(store.next_due()), Ok(Some(Millis(10))));
}

/// What waits is claimed once, and not before the window of the last push is over.
pub fn a_window_has_one_push<S: NotifyStore>(store: &mut S) {
    for number in 1..=2 {
        ready(store.put_device(&device(1, number))).expect("puts");
    }
    let first = wanted(1, 1, 3, 10);
    take(store, &taking(0, 3, vec![first.clone()], Vec::new()));
    let claimed = claim(&first, &[(1, 1), (2, 2)], 1_000);
    assert_eq!(turn(store, &claimed, 20).claims, [true]);
    assert_eq!(turn(store, &claimed, 20).claims, [true], "who did not hear of it asks again");
    assert_eq!(turn(store, &claim(&first, &[(3, 1)], 1_000), 20).claims, [false], "somebody else is late");
    assert_eq!(ready(store.due(Millis(5_000), 10)), Ok(Vec::new()));
    let known = ready(store.why(user(1), ROOM, Seq(2))).expect("readable");
    let states: Vec<_> = known.pushes.iter().map(|push| (push.id, push.state, push.attempts)).collect();
    assert_eq!(states, [(id(1), PushState::Claimed, 1), (id(2), PushState::Claimed, 1)]);
    assert_eq!(known.pending.expect("a window").window_end, Millis(1_000));
    // Inside of the window.
    let next = wanted(1, 4, 4, 30);
    take(store, &taking(3, 4, vec![next.clone()], Vec::new()));
    assert_eq!(ready(store.due(Millis(999), 10)), Ok(Vec::new()));
    let due = ready(store.due(Millis(1_000), 10)).expect("readable");
    assert_eq!(due[0].wanted, Wanted { due: Millis(1_000), ..next.clone() });
    assert_eq!((due[0].pushed, due[0].window_end), (Seq(3), Millis(1_000)));
    // What has grown since it was read is not claimed as it was read.
    take(store, &taking(4, 5, vec![wanted(1, 5, 5, 40)], Vec::new()));
    assert_eq!(turn(store, &claim(&due[0].wanted, &[(4, 1)], 2_000), 1_000).claims, [false]);
    let due = ready(store.due(Millis(1_000), 10)).expect("readable");
    let dropped =
        Claim { wanted: due[0].wanted.clone(), window_end: Millis(0), fate: Fate::Drop(id(5), Reason::Read) };
    let turned = turn(store, &Turn { claims: vec![dropped], ..Turn::default() }, 1_000);
    assert_eq!(turned.claims, [true]);
    let told = push(store, 1, 5).expect("noted");
    assert_eq!(
        (told.state, told.dropped, told.session),
        (PushState::Dropped, Some(Reason::Read), SessionId::NIL)
    );
    assert_eq!(ready(store.rooms_of(user(1), 10)), Ok(vec![ROOM]));
}

/// Attempts end as they end, once.
pub fn attempts_end_once<S: NotifyStore>(store: &mut S) {
    for number in 1..=4 {
        ready(store.put_device(&device(number, number))).expect("puts");
        let own = wanted(number, 1, 1, 10);
        let from = u64::from(number) - 1;
        take(store, &taking(from, from + 1, vec![own.clone()], Vec::new()));
        assert_eq!(turn(store, &claim(&own, &[(number, number)], 50), 10).claims, [true]);
    }
    turn(store, &ends(1, 1, Attempted::Sent), 20);
    assert_eq!(ready(store.devices(user(1))).expect("readable")[0].last_ok, Some(Millis(20)));
    turn(store, &ends(1, 1, Attempted::Dead(PushCause::Invalid)), 21);
    assert_eq!(push(store, 1, 1).expect("noted").state, PushState::Sent, "it had ended");

    let again = Attempted::Again { next: Millis(70), cause: PushCause::Quota };
    turn(store, &ends(2, 2, again), 22);
    assert_eq!(ready(store.retries(Millis(69), 10)), Ok(Vec::new()));
    assert_eq!(ready(store.next_due()), Ok(Some(Millis(70))));
    let due = ready(store.retries(Millis(70), 10)).expect("readable");
    assert_eq!((due.len(), due[0].id, due[0].cause, due[0].attempts), (1, id(2), PushCause::Quota, 1));
    let repeat = Turn { again: vec![id(2), id(9)], ..Turn::default() };
    assert_eq!(turn(store, &repeat, 71).again, [true, false]);
    assert_eq!(turn(store, &repeat, 71).again, [false, false], "one process repeats it");
    assert_eq!(push(store, 2, 1).expect("noted").attempts, 2);

    // A device that was registered anew meanwhile keeps its new token.
    let renewed = Device { token: token(30), ..device(3, 3) };
    ready(store.put_device(&renewed)).expect("puts");
    turn(store, &ends(3, 3, Attempted::Unregistered), 23);
    assert_eq!(ready(store.devices(user(3))), Ok(vec![renewed]));
    assert_eq!(push(store, 3, 1).expect("noted").state, PushState::Unregistered);
    turn(store, &ends(4, 4, Attempted::Unregistered), 23);
    assert_eq!(ready(store.devices(user(4))), Ok(Vec::new()));
    assert_eq!(ready(store.devices(user(1))).expect("readable").len(), 1, "that token and only that");
}

/// What a process that died had claimed is never claimed again, and what it had not is.
pub fn what_a_dead_process_claimed_is_unknown<S: NotifyStore>(store: &mut S) {
    let first = wanted(1, 1, 1, 10);
    take(store, &taking(0, 1, vec![first.clone(), wanted(2, 1, 1, 10)], Vec::new()));
    turn(store, &claim(&first, &[(1, 1)], 1_000), 20);
    assert_eq!(ready(store.abandon(Millis(20), Millis(30))), Ok(Vec::new()), "not before its time");
    let gone = ready(store.abandon(Millis(21), Millis(30))).expect("abandons");
    assert_eq!(
        gone.iter().map(|push| (push.id, push.state)).collect::<Vec<_>>(),
        [(id(1), PushState::Unknown)]
    );
    assert_eq!(ready(store.abandon(Millis(99), Millis(30))), Ok(Vec::new()));
    assert_eq!(ready(store.retries(Millis(9_999), 10)), Ok(Vec::new()));
    let due = ready(store.due(Millis(9_999), 10)).expect("readable");
    assert_eq!(due.iter().map(|pending| pending.wanted.user).collect::<Vec<_>>(), [user(2)]);
    turn(store, &ends(1, 1, Attempted::Sent), 40);
    assert_eq!(push(store, 1, 1).expect("noted").state, PushState::Unknown, "nobody waits for it any more");
}

/// Decisions of consecutive messages are one row as long as they are alike, and each message finds its own.
pub fn decisions_are_found_by_message<S: NotifyStore>(store: &mut S) {
    let batches: [&[(u8, u64, u64, Reason)]; 3] = [
        &[(1, 1, 4, Reason::Active), (2, 1, 1, Reason::Sender), (2, 2, 4, Reason::Muted)],
        &[
            (1, 5, 6, Reason::Active),
            (1, 7, 7, Reason::Wanted),
            (2, 5, 7, Reason::Muted),
            (0, 5, 7, Reason::LargeRoom),
        ],
        &[(1, 9, 9, Reason::Active)],
    ];
    let mut from = 0;
    for batch in batches {
        let decisions: Vec<_> = batch
            .iter()
            .map(|(of, first, last, reason)| decided(user(*of), *first, *last, *reason))
            .collect();
        let to = batch.iter().map(|(_, _, last, _)| *last).max().unwrap_or(from);
        assert_eq!(take(store, &taking(from, to, Vec::new(), decisions)), Took::Done);
        from = to;
    }
    let why = |of: u8, seq: u64| {
        let known = ready(store.why(user(of), ROOM, Seq(seq))).expect("readable");
        known.decision.map(|decision| (decision.first.0, decision.last.0, decision.reason))
    };
    assert_eq!(why(1, 3), Some((1, 6, Reason::Active)));
    assert_eq!(why(1, 7), Some((7, 7, Reason::Wanted)));
    assert_eq!(why(1, 9), Some((9, 9, Reason::Active)));
    assert_eq!(why(1, 10), None);
    assert_eq!(why(2, 1), Some((1, 1, Reason::Sender)));
    assert_eq!(why(2, 6), Some((2, 7, Reason::Muted)));
    assert_eq!(why(3, 6), Some((5, 7, Reason::LargeRoom)), "that of everybody");
    assert_eq!(why(3, 4), None);
    assert_eq!(ready(store.why(user(1), ROOM, Seq(1))).expect("readable").taken, Seq(9));
}

/// What was given up is listed, told once, and can be tried again.
pub fn what_was_given_up_is_told_and_revived<S: NotifyStore>(store: &mut S) {
    for number in 1..=3 {
        let own = wanted(number, 1, 1, 10);
        let from = u64::from(number) - 1;
        take(store, &taking(from, from + 1, vec![own.clone()], Vec::new()));
        turn(store, &claim(&own, &[(number, number)], 50), 10);
        turn(store, &ends(number, number, Attempted::Dead(PushCause::Invalid)), 20 + u64::from(number));
    }
    let ids = |untold, limit| {
        let dead = ready(store.dead(untold, limit)).expect("readable");
        dead.iter().map(|push| push.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(false, 10), [id(3), id(2), id(1)]);
    assert_eq!(ids(true, 2), [id(1), id(2)]);
    ready(store.mark_told(&[id(1), id(9)])).expect("marks");
    let dead = |store: &S| {
        ready(store.dead(true, 10)).expect("readable").into_iter().map(|p| p.id).collect::<Vec<_>>()
    };
    assert_eq!(dead(store), [id(2), id(3)]);
    assert_eq!(ready(store.revive(&[id(1), id(2), id(9)], Millis(40))), Ok(2));
    assert_eq!(dead(store), [id(3)]);
    let due = ready(store.retries(Millis(40), 10)).expect("readable");
    assert_eq!(due.iter().map(|push| (push.id, push.attempts)).collect::<Vec<_>>(), [(id(1), 0), (id(2), 0)]);
}

/// What is old goes, and what is still to be sent stays.
pub fn old_rows_are_forgotten<S: NotifyStore>(store: &mut S) {
    let (sent, waits) = (wanted(1, 1, 1, 10), wanted(2, 1, 1, 10));
    let decisions = vec![decided(user(1), 1, 1, Reason::Wanted), decided(user(2), 1, 5_000, Reason::Wanted)];
    take(store, &taking(0, 5_000, vec![sent.clone(), waits], decisions));
    turn(store, &claim(&sent, &[(1, 1)], 50), 10);
    turn(store, &ends(1, 1, Attempted::Sent), 20);
    let all = |store: &mut S, before: u64, max: u64| {
        let mut sum = 0;
        loop {
            match ready(store.prune(Millis(before), max)).expect("prunes") {
                0 => return sum,
                rows => sum += rows,
            }
        }
    };
    assert_eq!(all(store, 1, 100), 0);
    // The decision of the first, its push and its window, and that the room was taken in.
    assert_eq!(all(store, 1_000, 100), 4);
    let known = ready(store.why(user(1), ROOM, Seq(1))).expect("readable");
    assert_eq!((known.decision, known.pending, known.pushes.len(), known.taken), (None, None, 0, Seq(0)));
    assert_eq!(ready(store.due(Millis(10), 10)).expect("readable").len(), 1);
    assert_eq!(all(store, 0, 0), 1, "the other decision");
    ready(store.put_device(&device(2, 2))).expect("puts");
    ready(store.erase(user(2))).expect("erases");
    assert_eq!(ready(store.due(Millis(10), 10)), Ok(Vec::new()));
    assert_eq!(ready(store.devices(user(2))), Ok(Vec::new()));
}

/// Notifications that are filled from the reference are dumped as they were filled, and go on as the reference does. The store must be
/// empty.
pub fn filled_notifications_equal_their_source<S: NotifyStore + NotifyFill, D: NotifyDump>(
    store: &mut S,
    snapshot: impl Fn(&S) -> D,
) {
    let mut source = MemoryNotify::default();
    some_of_everything(&mut source);
    for _ in 0..2 {
        ready(copy(&mut source, store, 2)).expect("copies");
    }
    let expected = all_rows(&mut source);
    assert!(expected.len() >= 3 + 1 + 4 + 4 + 2, "{}", expected.len());
    let mut before = snapshot(store);
    assert_eq!(all_rows(&mut before), expected);
    let mut back = MemoryNotify::default();
    ready(copy(&mut before, &mut back, 2)).expect("copies");
    assert_eq!(all_rows(&mut back), expected);
    more_of_everything(&mut source);
    more_of_everything(store);
    assert_eq!(all_rows(&mut before), expected, "a snapshot stays");
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
    let pushes = pages(&mut back, 100).into_iter().filter(|row| matches!(row, NotifyRow::Push(_)));
    assert_eq!(pushes.filter(NotifyRow::is_history).count(), 3, "one of four is still tried");
}

/// What changes in notifications after they were copied is brought over row by row. The store must be empty.
pub fn filled_notifications_follow_their_source<S: NotifyStore + NotifyFill, D: NotifyDump>(
    store: &mut S,
    snapshot: impl Fn(&S) -> D,
) {
    let mut source = MemoryNotify::default();
    some_of_everything(&mut source);
    ready(copy(&mut source, store, 2)).expect("copies");
    let mut before = source.clone();
    more_of_everything(&mut source);
    // Somebody signs out, two sessions have each other's token now, and old rows are forgotten.
    ready(source.remove_devices(&[session(1)])).expect("removes");
    for (of, number) in [(2, 40), (3, 2), (2, 30)] {
        ready(source.put_device(&Device { token: token(number), ..device(of, of) })).expect("puts");
    }
    let gone: Vec<NotifyRow> = pages(&mut before.clone(), 100)
        .into_iter()
        .filter(|row| match row {
            NotifyRow::Push(push) => push.user == user(1),
            NotifyRow::Decision(decision) => decision.user == user(1),
            NotifyRow::Pending(pending) => pending.wanted.user == user(3),
            NotifyRow::Taken { .. } => true,
            NotifyRow::Device(_) => false,
        })
        .collect();
    ready(source.take_out(&gone)).expect("takes out");
    follow(store, &mut before, &mut source);
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
}

fn some_of_everything<S: NotifyStore>(store: &mut S) {
    attempts_end_once(store);
    let decisions =
        vec![decided(user(1), 5, 6, Reason::Wanted), decided(UserId::NIL, 5, 6, Reason::LargeRoom)];
    take(store, &taking(4, 6, vec![wanted(1, 5, 6, 99)], decisions));
}

fn more_of_everything<S: NotifyStore>(store: &mut S) {
    let decisions = vec![decided(user(1), 7, 8, Reason::Wanted), decided(user(2), 7, 8, Reason::Active)];
    take(store, &taking(6, 8, vec![wanted(1, 7, 8, 100), wanted(2, 7, 8, 100)], decisions));
    turn(store, &ends(2, 2, Attempted::Dead(PushCause::Server)), 300);
}
