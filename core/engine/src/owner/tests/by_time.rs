use super::*;
use lynk_domain::RoomKind::{Private, Public};

fn small_window() -> Limits {
    Limits { room_window_events_max: 8, resume_events_max: 4, ..Limits::default() }
}

/// Times of messages, in order.
fn talk(w: &mut World, room: RoomId, count: u64) -> Vec<(u64, u64)> {
    (0..count)
        .map(|i| {
            w.wait(1_000);
            let answer = w.send(1 + (i % 2) as u8, room, "text");
            (answer["seq"].as_u64().expect("a seq"), w.now.wall.0)
        })
        .collect()
}

#[test]
fn a_page_from_a_time_begins_at_the_first_message_that_is_not_older() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    let mut said = talk(&mut w, room, 12);
    w.drain();
    let react = w.keyed("react", room, json!({"seq": said[0].0, "emoji": "x"}));
    w.run(2, react);
    said.extend(talk(&mut w, room, 20));
    for restarted in [false, true] {
        if restarted {
            w.crash();
        }
        for (seq, wall) in &said {
            for at in [*wall, wall - 1, wall - 999] {
                let page = w.history(2, room, json!({"at": at, "limit": 2}));
                assert_eq!(seqs(&page)[0], *seq, "{at} of {wall}: {page}");
                assert!(page["covers"]["from"].as_u64().expect("covers") <= *seq);
            }
        }
    }
    let before_all = w.history(2, room, json!({"at": 0, "all": true, "limit": 3}));
    assert_eq!((seqs(&before_all), &before_all["covers"]["from"]), (vec![1, 2, 3], &json!(1)));
    let after_all = w.history(2, room, json!({"at": w.now.wall.0 + 1}));
    let top = said.last().expect("some").0;
    assert_eq!((seqs(&after_all), after_all["more"].as_bool()), (vec![], Some(false)));
    assert_eq!(after_all["covers"]["from"], top + 1, "where to page back from: {after_all}");
}

#[test]
fn a_time_before_what_may_be_seen_leads_to_its_beginning() {
    let mut w = World::new(small_window());
    let room = w.room(Private, &[2]);
    let said = talk(&mut w, room, 4);
    let add = w.keyed("invite", room, json!({"user": user(3).to_string()}));
    let joined = w.run(1, add)["seq"].as_u64().expect("a seq");
    let seen = talk(&mut w, room, 12);
    for drained in [false, true] {
        if drained {
            w.drain();
            w.crash();
        }
        let page = w.history(3, room, json!({"at": said[1].1}));
        assert_eq!(page["events"][0]["reason"], "not_visible", "{page}");
        assert_eq!(page["events"][0]["to"], joined - 1);
        assert_eq!(seqs(&page)[1], seen[0].0);
        let page = w.history(3, room, json!({"at": seen[5].1}));
        assert_eq!(seqs(&page)[0], seen[5].0);
    }
}

#[test]
fn a_long_backlog_is_searched_in_steps() {
    let mut w = World::new(Limits { messages_per_room_per_second: 0, ..small_window() });
    let room = w.room(Public, &[2]);
    let said = talk(&mut w, room, 2_100);
    for index in [0, 1, 2, 3, 700, 1_024, 1_500, 2_047, 2_098] {
        let (seq, wall) = said[index];
        let page = w.history(2, room, json!({"at": wall, "limit": 1}));
        assert_eq!(seqs(&page), [seq]);
    }
}

#[test]
fn a_clock_that_went_back_over_a_restart_leads_to_some_place_with_that_time() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    talk(&mut w, room, 10);
    w.drain();
    w.crash();
    w.now.wall = Millis(w.now.wall.0 - 5_000);
    let again = talk(&mut w, room, 10);
    w.drain();
    for (_, wall) in again {
        let page = w.history(2, room, json!({"at": wall}));
        let first = &page["events"][0];
        let time = lynk_protocol::parse_time(first["time"].as_str().expect("a time")).expect("a time");
        assert!(time.0 >= wall, "{first}");
    }
}

#[test]
fn a_store_that_is_away_is_told_and_what_is_in_memory_is_not() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    let said = talk(&mut w, room, 20);
    w.drain();
    w.store = Store::Away;
    let page = w.history(2, room, json!({"at": said[18].1}));
    assert_eq!(seqs(&page), [said[18].0, said[19].0]);
    let command = json!({"op": "history", "room": room.to_string(), "at": said[2].1});
    assert_eq!(w.code(2, command), "unavailable");
}
