//! A person takes out what the server has of it.

use serde_json::{Value, json};

use crate::people::{as_user, sign_in, socket, start};
use crate::support::http::Http;
use crate::support::key;

/// All pages of an export.
fn export(http: &mut Http) -> Vec<Value> {
    let mut pages = vec![http.good("POST", "/v1/me/export", json!({}), 200)];
    while let Some(cursor) = pages.last().and_then(|page| page["next"].as_str()) {
        assert!(pages.len() < 100, "it ends");
        let body = json!({ "cursor": cursor });
        pages.push(http.good("POST", "/v1/me/export", body, 200));
    }
    pages
}

fn all<'v>(pages: &'v [Value], name: &str) -> Vec<&'v Value> {
    pages.iter().flat_map(|page| page[name].as_array().expect("a list")).collect()
}

#[test]
fn an_export_has_all_that_is_of_its_owner_and_nothing_of_others() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path();
    let server = start(data, &["--shards", "2"]);
    let made = sign_in(&server, data, "+4915112345601", "alice");
    let other = sign_in(&server, data, "+4915112345602", "bob");
    let third = sign_in(&server, data, "+4915112345603", "carol");
    let ((mut hers, _), (mut his, _)) = (socket(&server, &made), socket(&server, &other));
    let alice = made["user"]["user"].as_str().expect("an id");
    let rooms: Vec<String> = (0..3).map(|_| hers.create()).collect();
    let mut own = Vec::new();
    for (n, room) in rooms.iter().enumerate() {
        his.join(room);
        for m in 0..3 {
            let ok = hers.say(room, &format!("hers {n}.{m}"));
            his.say(room, "his");
            let mut text = format!("hers {n}.{m}");
            if m == 1 {
                text += " changed";
                let edit = json!({"op": "edit", "room": room, "seq": ok["seq"], "text": text, "key": key().to_string()});
                assert_eq!(hers.ask(edit)["ev"], "ok");
            }
            own.push(text);
        }
    }
    let elsewhere = his.create();
    his.say(&elsewhere, "not hers to see");
    let mut http = as_user(&server, &made);
    let blocked = third["user"]["user"].as_str().expect("an id");
    http.good("PUT", &format!("/v1/blocks/{blocked}?key={}", key()), Value::Null, 200);
    let hers_blocks =
        as_user(&server, &other).ask("PUT", &format!("/v1/blocks/{blocked}?key={}", key()), None);
    assert_eq!(hers_blocks.status, 200);

    let said = hers.say(&rooms[0], "her last");
    own.push("her last".to_owned());
    let his_words = his.say(&rooms[0], "an insult");
    for (who, seq, comment) in [(&mut hers, &his_words["seq"], "he did"), (&mut his, &said["seq"], "she did")]
    {
        let report = json!({"op": "report", "room": rooms[0], "seq": seq, "reason": "other", "comment": comment, "key": key().to_string()});
        assert_eq!(who.ask(report)["ev"], "ok");
    }

    let pages = export(&mut http);
    let reports = all(&pages, "reports");
    assert_eq!(reports.len(), 1, "{reports:?}");
    let report = reports[0];
    assert_eq!(
        (&report["room"], &report["subject"], &report["seq"], &report["reason"], &report["comment"]),
        (&json!(rooms[0]), &json!("message"), &his_words["seq"], &json!("other"), &json!("he did"))
    );
    assert_eq!((&report["outcome"], report.get("text")), (&Value::Null, None), "what he said is his");
    assert!(pages.iter().all(|page| page["format"] == "lynk.export.v1" && page["made_at"].is_u64()));
    let account = &pages[0]["account"];
    assert_eq!(
        (&account["user"], &account["phone"], &account["user_name"]),
        (&json!(alice), &json!("+4915112345601"), &json!("alice"))
    );
    assert_eq!(account["blocks"], json!([blocked]));
    assert_eq!(account["sessions"].as_array().expect("a list").len(), 1);
    let what: Vec<_> = account["audit"].as_array().expect("a list").iter().map(|one| &one["what"]).collect();
    assert_eq!(what, ["exported", "signed_in", "registered"]);
    assert!(pages[1..].iter().all(|page| page.get("account").is_none()));
    let mut named: Vec<_> =
        all(&pages, "rooms").iter().map(|row| row["room"].as_str().expect("an id").to_owned()).collect();
    named.sort();
    let mut expected = rooms.clone();
    expected.sort();
    assert_eq!(named, expected);
    let messages = all(&pages, "messages");
    assert!(
        messages
            .iter()
            .all(|one| one["from"] == alice && rooms.iter().any(|room| one["room"] == room.as_str()))
    );
    let mut texts: Vec<_> =
        messages.iter().map(|one| one["text"].as_str().expect("text").to_owned()).collect();
    texts.sort();
    own.sort();
    assert_eq!(texts, own);
    for bad in ["", "x", "in/1/2", "rooms/alice"] {
        http.bad("POST", "/v1/me/export", json!({ "cursor": bad }), 400, "invalid_field");
    }
    // Somebody else's cursor shows nothing: a room of which one is no member is left out.
    let page = http.good("POST", "/v1/me/export", json!({ "cursor": format!("in/{elsewhere}/0") }), 200);
    assert!(page["messages"].as_array().expect("a list").iter().all(|one| one["from"] == alice));
    assert!(!page.to_string().contains("not hers to see"));
    assert!(server.stop().success());
}
