use super::attach::{id, put, send_files};
use super::*;
use lynk_domain::RoomKind::{Private, Public};
use lynk_domain::shard_of_room;
use lynk_model::RecordKind;
use lynk_model::port::Files as _;

const DAY: u64 = 24 * 60 * 60 * 1_000;
const SWEEP: u64 = 1_000;

fn a_day() -> Limits {
    Limits {
        retention_millis: DAY,
        retention_sweep_millis: SWEEP,
        room_window_events_max: 6,
        resume_events_max: 4,
        room_window_millis: 10 * DAY,
        ..Limits::default()
    }
}

impl World {
    /// A room of this shard: others are swept by others.
    fn own_room(&mut self, kind: RoomKind, others: &[u8]) -> RoomId {
        loop {
            let room = self.room(kind, others);
            if shard_of_room(room, self.config.shard_count) == self.config.shard {
                return room;
            }
        }
    }

    /// So many messages of user 1, a second apart; the seq of the last.
    fn talk(&mut self, room: RoomId, count: u64) -> u64 {
        let mut last = 0;
        for number in 0..count {
            self.wait(1_000);
            last = self.send(1, room, &format!("text {number}"))["seq"].as_u64().expect("accepted");
        }
        last
    }

    /// A day passes, and what is old is looked for.
    fn pass_a_day(&mut self) {
        self.drain();
        self.wait(DAY + DAY / 24);
        self.sweep();
    }

    fn sweep(&mut self) {
        for _ in 0..4 {
            self.wait(SWEEP);
            self.settle();
        }
    }

    fn floor(&self, room: RoomId) -> u64 {
        self.loaded(room).expect("in memory").floor.0
    }
}

/// The first item of a page.
fn first_gap(page: &Value) -> (u64, u64, String) {
    let gap = page["events"].as_array().expect("a page").iter().find(|item| item["ev"] == "gap");
    let gap = gap.unwrap_or_else(|| panic!("no gap in {page}"));
    let number = |name: &str| gap[name].as_u64().expect("a number");
    (number("from"), number("to"), gap["reason"].as_str().expect("a reason").to_owned())
}

fn retention(to: u64) -> (u64, u64, String) {
    (1, to, "retention".to_owned())
}

#[test]
fn old_messages_are_removed_and_nothing_leads_to_them() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2, 3]);
    let old = w.talk(room, 12);
    let edit = w.keyed("edit", room, json!({"seq": old - 1, "text": "older than it looks"}));
    w.wait(DAY / 2);
    let edited = w.run(1, edit)["seq"].as_u64().expect("accepted");
    w.sweep();
    assert_eq!(w.floor(room), 0, "nothing is that old");
    w.drain();
    w.wait(DAY / 2 + DAY / 24);
    let kept = w.talk(room, 3) - 2;
    w.drain();
    w.sweep();
    assert_eq!((w.floor(room), edited, kept), (old, old + 1, old + 2));
    for round in 0..3 {
        let newest = w.history(2, room, json!({"all": true, "limit": 100}));
        assert_eq!(seqs(&newest)[..4], [kept + 2, kept + 1, kept, edited], "{newest}");
        assert_eq!((first_gap(&newest), &newest["covers"]["from"]), (retention(old), &json!(1)));
        assert_eq!(newest["events"][3]["text"], "", "what an edit said was the message's: {newest}");
        let forward = w.history(2, room, json!({"after": 3, "limit": 2}));
        assert_eq!(first_gap(&forward), (4, old, "retention".to_owned()));
        assert_eq!(seqs(&forward)[1..], [kept, kept + 1], "{forward}");
        let below = w.history(2, room, json!({"before": 5}));
        assert_eq!((first_gap(&below), below["more"].as_bool()), ((1, 4, "retention".into()), Some(false)));
        let from_then = w.history(2, room, json!({"at": w.now.wall.0 - 2 * DAY, "limit": 1}));
        assert_eq!((first_gap(&from_then), seqs(&from_then)[1]), (retention(old), kept));
        let resumed = w.subscribe(2, room, Some(edited - 2));
        assert_eq!(first_gap(&resumed), (old, old, "retention".to_owned()), "{resumed}");
        for (op, fields) in [
            ("edit", json!({"seq": old, "text": "again"})),
            ("delete", json!({"seq": old})),
            ("react", json!({"seq": old, "emoji": "x"})),
            ("pin", json!({"seq": old})),
            ("send", json!({"text": "to nothing", "reply_to": old})),
        ] {
            let command = w.keyed(op, room, fields);
            assert_eq!(w.code(1, command), "message_not_found", "{op}");
        }
        match round {
            0 => w.drain(),
            1 => w.crash(),
            _ => {}
        }
    }
}

#[test]
fn what_is_removed_is_not_unread() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2, 3]);
    let whom = json!([user(2).to_string()]);
    for i in [1, 3] {
        let mention = w.keyed("send", room, json!({"text": "you", "mentions": whom}));
        assert_eq!(w.run(i, mention)["ev"], "ok");
    }
    w.talk(room, 10);
    let unread = |w: &mut World, i| {
        w.subscribe(i, room, None);
        let told = w.subscribe(i, room, None);
        (told["unread"].as_u64(), told["mentions"].as_u64())
    };
    assert_eq!(unread(&mut w, 2), (Some(12), Some(2)));
    assert_eq!(unread(&mut w, 3), (Some(11), Some(0)));
    w.drain();
    w.wait(DAY / 2);
    w.talk(room, 3);
    let mention = w.keyed("send", room, json!({"text": "you", "mentions": whom}));
    let last = w.run(3, mention)["seq"].as_u64().expect("accepted");
    w.drain();
    w.wait(DAY / 2 + DAY / 24);
    w.sweep();
    assert_eq!(w.floor(room), last - 4);
    for restarted in [false, true] {
        if restarted {
            w.drain();
            w.crash();
        }
        assert_eq!(unread(&mut w, 2), (Some(4), Some(1)));
        assert_eq!(unread(&mut w, 3), (Some(3), Some(0)));
    }
    // Nobody ever read them, and one who marks them unread does not get them back.
    let marked = w.run(2, json!({"op": "mark_unread", "room": room.to_string(), "seq": 2}));
    assert_eq!(marked["unread"], 4);
    w.pass_a_day();
    assert_eq!(w.floor(room), last);
    assert_eq!(unread(&mut w, 2), (Some(0), Some(0)), "everything is removed");
    let page = w.history(2, room, json!({}));
    assert_eq!((first_gap(&page), seqs(&page).len()), (retention(last), 1));
    w.drain();
    w.crash();
    assert_eq!(unread(&mut w, 2), (Some(0), Some(0)));
    assert_eq!(w.talk(room, 1), last + 1, "numbers go on");
    assert_eq!(unread(&mut w, 2), (Some(1), Some(0)));
}

#[test]
fn a_member_who_joined_later_is_told_the_reason_that_reaches_further() {
    let mut w = World::new(a_day());
    let room = w.own_room(Private, &[2]);
    let old = w.talk(room, 4);
    w.drain();
    w.wait(DAY / 2);
    let add = w.keyed("invite", room, json!({"user": user(3).to_string()}));
    let joined = w.run(1, add)["seq"].as_u64().expect("a seq");
    let seen = w.talk(room, 2);
    w.drain();
    w.wait(DAY / 2 + DAY / 24);
    w.sweep();
    assert_eq!((w.floor(room), joined), (old, old + 1));
    let page = w.history(3, room, json!({"all": true}));
    assert_eq!(first_gap(&page), (1, joined - 1, "not_visible".to_owned()));
    let page = w.history(1, room, json!({"all": true}));
    assert_eq!(first_gap(&page), retention(old));
    w.pass_a_day();
    assert_eq!(w.floor(room), seen);
    for i in [1, 3] {
        let page = w.history(i, room, json!({"all": true}));
        assert_eq!(first_gap(&page), retention(seen));
    }
}

#[test]
fn a_room_is_not_loaded_to_be_cut_and_knows_of_it_when_it_is() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2]);
    let old = w.talk(room, 5);
    w.drain();
    w.wait(2 * DAY);
    w.commit();
    w.drain();
    assert!(w.evict(room));
    w.wait(SWEEP);
    w.serve();
    let waits = |w: &World| w.pending.iter().filter(|(_, r)| r.head.kind == RecordKind::Retain).count();
    assert_eq!((waits(&w), w.loaded(room).is_none()), (1, true));
    // Asked before the record is committed: the answer knows of it, so it waits.
    let re = w.post(2, json!({"op": "history", "room": room.to_string()}));
    w.serve();
    assert_eq!(w.answer(2, re), None);
    w.settle();
    assert_eq!(first_gap(&w.answer(2, re).expect("an answer")), retention(old));
    assert_eq!(w.floor(room), old);
    w.sweep();
    assert_eq!(waits(&w), 0, "it is not removed twice");
    w.drain();
    w.sweep();
    let of_the_room = w.journal.records.values().filter(|r| r.head.kind == RecordKind::Retain);
    assert_eq!(of_the_room.filter(|r| r.head.room == room).count(), 1);
}

#[test]
fn what_a_crash_takes_back_was_told_to_nobody() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2]);
    let old = w.talk(room, 5);
    w.drain();
    w.wait(2 * DAY);
    w.wait(SWEEP);
    w.serve();
    assert_eq!(w.floor(room), old, "it holds in memory");
    let re = w.post(2, json!({"op": "history", "room": room.to_string()}));
    assert_eq!(w.answer(2, re), None);
    w.crash();
    let page = w.history(2, room, json!({"all": true}));
    assert_eq!((seqs(&page)[0], w.floor(room)), (old, 0));
    w.sweep();
    assert_eq!(w.floor(room), old);
}

#[test]
fn a_page_under_way_shows_nothing_that_is_removed_meanwhile() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2]);
    let old = w.talk(room, 12);
    w.drain();
    w.wait(DAY + DAY / 24);
    w.commit();
    w.serve();
    let re = w.post(2, json!({"op": "history", "room": room.to_string(), "before": 10, "limit": 3}));
    let wide = w.post(2, json!({"op": "history", "room": room.to_string(), "after": 2, "all": true}));
    w.wait(SWEEP);
    // The search comes back before the pages.
    while w.floor(room) == 0 {
        let last = w.requests.len() - 1;
        w.serve_at(last);
    }
    assert_eq!((w.answer(2, re), w.answer(2, wide)), (None, None));
    w.settle();
    let page = w.answer(2, re).expect("an answer");
    assert_eq!((first_gap(&page), seqs(&page).len()), ((1, 9, "retention".to_owned()), 1));
    let page = w.answer(2, wide).expect("an answer");
    assert_eq!((first_gap(&page), seqs(&page).len()), ((3, old, "retention".to_owned()), 1));
}

#[test]
fn a_full_journal_puts_it_off() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2]);
    let old = w.talk(room, 5);
    w.drain();
    w.journal_is(JournalState::Full);
    w.wait(2 * DAY);
    w.sweep();
    assert_eq!((w.floor(room), w.pending.len()), (0, 0));
    w.journal_is(JournalState::Open);
    w.store = Store::Away;
    w.sweep();
    assert_eq!(w.floor(room), 0);
    w.store = Store::Up;
    w.sweep();
    assert_eq!(w.floor(room), old);
}

#[test]
fn a_room_may_keep_its_messages_for_a_shorter_time_than_the_server() {
    for (server, days, expected) in
        [(0, 2, true), (0, 0, false), (DAY, 9, true), (9 * DAY, 2, true), (9 * DAY, 9, false)]
    {
        let mut w = World::new(Limits { retention_millis: server, ..a_day() });
        let room = w.own_room(Public, &[2]);
        let other = w.own_room(Public, &[2]);
        let settings = w.keyed("settings", room, json!({"retention_days": days}));
        assert_eq!(w.run(1, settings)["ev"], "ok");
        w.talk(other, 2);
        let old = w.talk(room, 5);
        let about = w.run(2, json!({"op": "about", "room": room.to_string()}));
        assert_eq!(about["retention_days"], days);
        w.drain();
        w.wait(3 * DAY);
        w.sweep();
        assert_eq!(w.floor(room), if expected { old } else { 0 }, "{server} and {days}");
        assert_eq!(w.floor(other) > 0, server == DAY, "another room");
    }
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2]);
    let settings = w.keyed("settings", room, json!({"retention_days": 36_501}));
    assert_eq!(w.code(1, settings), "invalid_field");
    let settings = w.keyed("settings", room, json!({"retention_days": 3}));
    assert_eq!(w.code(2, settings), "forbidden");
}

#[test]
fn a_room_that_is_given_more_time_while_the_store_looks_keeps_what_was_found() {
    let mut w = World::new(Limits { retention_millis: 0, ..a_day() });
    let room = w.own_room(Public, &[2]);
    let settings = |w: &mut World, days: u32| {
        let command = w.keyed("settings", room, json!({"retention_days": days}));
        assert_eq!(w.run(1, command)["ev"], "ok");
    };
    let old = w.talk(room, 5);
    w.drain();
    settings(&mut w, 2);
    w.wait(3 * DAY);
    let looked = |w: &World| w.requests.iter().position(|(_, of)| matches!(of, StoreRequest::FindOld { .. }));
    while looked(&w).is_none() {
        w.wait(SWEEP);
    }
    let (id, request) = looked(&w).and_then(|index| w.requests.remove(index)).expect("found above");
    let reply = w.reply_to(&request);
    assert!(matches!(&reply, StoreReply::Old { found, .. } if !found.is_empty()), "{reply:?}");
    settings(&mut w, 9);
    w.with(|owner, cx| {
        cx.shared.requests_in_flight -= 1;
        owner.reply(cx, id, reply).expect("only the owner asks");
    });
    w.sweep();
    assert_eq!(w.floor(room), 0);
    settings(&mut w, 2);
    w.sweep();
    assert_eq!(w.floor(room), old);
}

/// A message with a file, as [`World::talk`].
fn say_file(w: &mut World, room: RoomId, file: u8) -> u64 {
    w.wait(1_000);
    put(w, room, 1, file, true);
    let command = send_files(w, room, Some("text"), &[file]);
    w.run(1, command)["seq"].as_u64().expect("accepted")
}

/// Which of some files are there.
fn there<const N: usize>(w: &World, files: [u8; N]) -> [bool; N] {
    files.map(|file| w.files.holds(id(file)))
}

#[test]
fn files_go_with_the_messages_that_are_removed_and_with_no_others() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[2]);
    say_file(&mut w, room, 1);
    let edited = say_file(&mut w, room, 2);
    let edit = w.keyed("edit", room, json!({"seq": edited, "text": ""}));
    let old = w.run(1, edit)["seq"].as_u64().expect("accepted");
    w.talk(room, 300);
    let last = say_file(&mut w, room, 3);
    // One that is attached, and whose message never came.
    put(&w, room, 1, 4, true);
    ready(w.files.attach(room, user(1), Key([9; 16]), &[id(4)])).expect("answers").expect("attaches");
    w.drain();
    w.wait(DAY / 2);
    let kept = say_file(&mut w, room, 5);
    w.drain();
    w.wait(DAY / 2 + DAY / 24);
    w.sweep();
    assert!(old < last && last < kept);
    assert_eq!(w.floor(room), last);
    assert_eq!(there(&w, [1, 2, 3, 4, 5]), [false, false, false, true, true]);
    w.wait(DAY);
    w.sweep();
    assert_eq!(w.floor(room), kept);
    assert_eq!(there(&w, [4, 5]), [true, false]);
}

#[test]
fn a_message_that_looks_old_and_stands_keeps_its_file() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[]);
    let mut files = BTreeMap::new();
    files.insert(1, say_file(&mut w, room, 1));
    w.talk(room, 3);
    w.drain();
    // The clock is far behind for a while, and set right.
    let right = w.now.wall;
    w.now.wall = Millis(right.0 - 30 * DAY);
    for file in 2..5 {
        files.insert(file, say_file(&mut w, room, file));
    }
    w.now.wall = Millis(right.0 + DAY / 2);
    for file in 5..8 {
        files.insert(file, say_file(&mut w, room, file));
    }
    w.drain();
    w.crash();
    for _ in 0..40 {
        w.wait(DAY / 24);
        w.sweep();
        w.drain();
        let floor = ready(w.messages.head(room)).expect("readable").floor;
        for (file, seq) in &files {
            let there = w.files.holds(id(*file));
            assert!(there || *seq <= floor.0, "file {file} of {seq}, removed up to {floor:?}");
        }
    }
    assert!(files.keys().all(|file| !w.files.holds(id(*file))), "all are old at last");
}

#[test]
fn files_of_removed_messages_end_after_a_crash_and_when_nobody_took_them_at_first() {
    let mut w = World::new(a_day());
    let room = w.own_room(Public, &[]);
    let old = say_file(&mut w, room, 1);
    w.drain();
    w.wait(DAY + DAY / 24);
    w.files.set_away(true);
    w.sweep();
    assert_eq!((w.floor(room), there(&w, [1])), (0, [true]), "which files go cannot be noted: nothing goes");
    w.files.set_away(false);
    while w.floor(room) == 0 {
        w.wait(SWEEP);
        w.files.set_away(false);
        w.settle();
        w.files.set_away(true);
    }
    assert_eq!(w.floor(room), old);
    w.sweep();
    assert_eq!(there(&w, [1]), [true], "nobody takes it");
    w.crash();
    w.drain_old();
    w.sweep();
    assert_eq!(there(&w, [1]), [true]);
    w.files.set_away(false);
    w.sweep();
    assert_eq!(there(&w, [1]), [false], "the next look saw that its message is gone");
}
