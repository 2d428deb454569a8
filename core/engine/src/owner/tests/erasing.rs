//! The server takes back what an erased user said, wherever it was said, and does nothing else in the user's name.

use super::*;

fn messages(page: &Value) -> Vec<(u64, &str)> {
    let events = page["events"].as_array().expect("a list");
    let of = |event: &'_ Value| (event["seq"].as_u64().expect("a seq"), event["deleted"].is_u64());
    events
        .iter()
        .filter(|event| event["ev"] == "message")
        .map(|event| {
            let (seq, deleted) = of(event);
            (seq, if deleted { "" } else { event["text"].as_str().unwrap_or_default() })
        })
        .collect()
}

#[test]
fn what_a_user_said_in_a_room_that_it_left_is_taken_back_and_stays_so_after_a_crash() {
    let mut world = World::new(Limits::default());
    let room = world.room(RoomKind::Private, &[2, 3]);
    let mut own = Vec::new();
    for text in ["one", "two", "three"] {
        own.push(world.send(2, room, text)["seq"].as_u64().expect("a seq"));
        world.send(3, room, "of another");
    }
    // In the store, in the journal, and one edited.
    world.drain();
    let edit = world.keyed("edit", room, json!({"seq": own[1], "text": "changed"}));
    assert_eq!(world.run(2, edit)["ev"], "ok");
    let leave = world.keyed("leave", room, json!({}));
    assert_eq!(world.run(2, leave)["ev"], "ok");
    let read = |world: &mut World| world.history(2, room, json!({"after": 0, "limit": 100}));
    assert_eq!(read(&mut world)["code"], "room_not_found", "the user is no member any more");

    world.erasing = true;
    let page = read(&mut world);
    assert_eq!(messages(&page).iter().filter(|(seq, _)| own.contains(seq)).count(), 3);
    for seq in &own {
        let delete = world.keyed("delete", room, json!({"seq": seq}));
        assert_eq!(world.run(2, delete)["ev"], "ok", "{seq}");
    }
    let again = world.keyed("delete", room, json!({"seq": own[0]}));
    assert_eq!(world.code(2, again), "conflict");
    let others = own[0] + 1;
    for (op, fields) in [
        ("delete", json!({"seq": others})),
        ("edit", json!({"seq": own[0], "text": "x"})),
        ("react", json!({"seq": others, "emoji": "👍", "on": true})),
    ] {
        let command = world.keyed(op, room, fields);
        assert_ne!(world.run(2, command)["ev"], "ok", "{op}");
    }
    let say = world.send_command(room, "in its name");
    assert_eq!(world.code(2, say), "room_not_found");
    let nowhere = world.keyed("delete", RoomId([9; 16]), json!({"seq": 1}));
    assert_eq!(world.code(2, nowhere), "room_not_found");
    world.erasing = false;
    world.crash();
    let page = world.history(3, room, json!({"after": 0, "limit": 100}));
    let left = messages(&page);
    assert!(own.iter().all(|seq| left.contains(&(*seq, ""))), "{left:?}");
    assert_eq!(left.iter().filter(|(_, text)| *text == "of another").count(), 3);
}
