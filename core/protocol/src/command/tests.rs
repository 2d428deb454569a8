use lynk_domain::Millis;

use super::*;

const ROOM: &str = "c6570214-468b-58cf-974c-e7b638713f42";

fn reject(text: &str) -> (u64, ErrorCode) {
    let decoded = decode(text);
    (decoded.re, decoded.command.expect_err(text).code)
}

#[test]
fn a_send_borrows_its_text_unless_it_is_escaped() {
    let text = format!(r#"{{"id":7,"op":"send","room":"{ROOM}","key":"{ROOM}","text":"hi"}}"#);
    match decode(&text) {
        Decoded { re: 7, command: Ok(Command::Send { text: Cow::Borrowed("hi"), reply_to: None, .. }) } => {}
        other => panic!("{other:?}"),
    }
    let text = format!(r#"{{"id":7,"op":"send","room":"{ROOM}","key":"{ROOM}","text":"a\nb"}}"#);
    match decode(&text).command {
        Ok(Command::Send { text, .. }) => assert_eq!(text, "a\nb"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_bad_input_has_its_code_and_keeps_its_id() {
    assert_eq!(reject("{"), (0, ErrorCode::BadRequest));
    assert_eq!(reject("[]").1, ErrorCode::InvalidField);
    assert_eq!(reject(r#"{"id":3}"#), (3, ErrorCode::InvalidField));
    assert_eq!(reject(r#"{"id":3,"op":"nonsense"}"#), (3, ErrorCode::UnknownOp));
    assert_eq!(reject(r#"{"id":3,"op":"read","room":7}"#), (3, ErrorCode::InvalidField));
    assert_eq!(reject(r#"{"id":3,"op":"read","room":"zz","seq":1}"#), (3, ErrorCode::InvalidField));
    assert_eq!(
        reject(&format!(r#"{{"id":3,"op":"read","room":"{ROOM}","seq":0}}"#)).1,
        ErrorCode::InvalidField
    );
    assert_eq!(reject(r#"{"id":3,"op":"send","id":4}"#).1, ErrorCode::InvalidField);
    let deep = "[".repeat(100_000);
    assert_eq!(reject(&format!(r#"{{"id":3,"x":{deep}"#)).1, ErrorCode::BadRequest);
    assert_eq!(reject(r#"{"id":9007199254740992,"op":"ping"}"#).1, ErrorCode::InvalidField);
}

#[test]
fn hello_takes_a_token_or_a_ticket_and_debug_prints_neither() {
    fn proof(text: &str) -> Proof<'_> {
        match decode(text).command {
            Ok(Command::Hello { proof, .. }) => proof,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(proof(r#"{"id":1,"op":"hello","token":"t0"}"#), Proof::Token("t0".into()));
    let ticket = proof(r#"{"id":1,"op":"hello","ticket":"t1"}"#);
    assert_eq!(ticket, Proof::Ticket("t1".into()));
    assert_eq!(format!("{ticket:?}"), "Ticket(redacted)");
    assert_eq!(reject(r#"{"id":1,"op":"hello"}"#).1, ErrorCode::InvalidField);
    assert_eq!(reject(r#"{"id":1,"op":"hello","token":"t0","ticket":"t1"}"#).1, ErrorCode::InvalidField);
}

#[test]
fn after_is_a_seq_in_history_and_an_id_elsewhere() {
    let text = format!(r#"{{"id":1,"op":"history","room":"{ROOM}","after":5}}"#);
    assert!(matches!(decode(&text).command, Ok(Command::History(History { after: Some(Seq(5)), .. }))));
    let text = format!(r#"{{"id":1,"op":"sync","after":"{ROOM}"}}"#);
    assert!(matches!(decode(&text).command, Ok(Command::Sync { after: Some(_), .. })));
    assert_eq!(reject(r#"{"id":1,"op":"sync","after":5}"#).1, ErrorCode::InvalidField);
}

#[test]
fn a_history_is_asked_for_by_one_place() {
    let history =
        |place: &str| match decode(&format!(r#"{{"op":"history","room":"{ROOM}",{place}}}"#)).command {
            Ok(Command::History(history)) => Ok(history),
            Err(reject) => Err(reject.code),
            other => panic!("{other:?}"),
        };
    for at in [
        "1700000000123",
        r#""1700000000123""#,
        r#""2023-11-14T22:13:20.123Z""#,
        r#""2023-11-14T23:13:20.123+01:00""#,
    ] {
        let asked = history(&format!(r#""at":{at}"#)).expect("a time");
        assert_eq!((asked.at, asked.before, asked.after), (Some(Millis(1_700_000_000_123)), None, None));
    }
    for bad in [
        r#""at":1,"before":2"#,
        r#""at":1,"after":2"#,
        r#""before":1,"after":2"#,
        r#""at":"yesterday""#,
        r#""at":-1"#,
        r#""at":9007199254740992"#,
        r#""at":1,"limit":0"#,
    ] {
        assert_eq!(history(bad), Err(ErrorCode::InvalidField), "{bad}");
    }
}

#[test]
fn mentions_are_a_set_of_users_and_none_when_there_are_none() {
    const OTHER: &str = "c6570214-468b-58cf-974c-e7b638713f41";
    let parts = |op: &str, fields: &str| {
        let text = format!(r#"{{"op":"{op}","room":"{ROOM}","key":"{ROOM}","seq":1,"text":"hi"{fields}}}"#);
        match decode(&text).command {
            Ok(Command::Send { parts, .. } | Command::Edit { parts, .. }) => Ok(parts),
            Err(reject) => Err(reject.code),
            other => panic!("{other:?}"),
        }
    };
    let user = |text| UserId::parse(text).expect("an id");
    for op in ["send", "edit"] {
        for none in ["", r#","mentions":[]"#, r#","mention_all":false"#, r#","mentions":null"#] {
            assert_eq!(parts(op, none), Ok(Parts::default()), "{none}");
        }
        let named = parts(op, &format!(r#","mentions":["{ROOM}","{OTHER}","{ROOM}"]"#)).expect("users");
        assert_eq!(named.mentions.users(), [user(OTHER), user(ROOM)]);
        assert!(!named.mentions.all());
        assert!(parts(op, r#","mention_all":true"#).expect("everybody").mentions.all());
        for bad in
            [r#","mentions":["x"]"#, r#","mentions":"all""#, r#","mention_all":1"#, r#","mentions":[7]"#]
        {
            assert_eq!(parts(op, bad), Err(ErrorCode::InvalidField), "{bad}");
        }
        let many = vec![format!(r#""{ROOM}""#); lynk_model::MENTIONED_USERS_MAX + 1].join(",");
        assert_eq!(parts(op, &format!(r#","mentions":[{many}]"#)), Err(ErrorCode::TooLarge));
    }
}

#[test]
fn an_encoded_error_tells_what_it_answers() {
    let room = RoomId::parse(ROOM).expect("an id");
    for room in [None, Some(room)] {
        let mut out = Vec::new();
        crate::encode_error(&mut out, 7, room, &ErrorCode::Busy.into(), 1);
        assert_eq!(refused_command(&out), Some((7, room)));
    }
    let mut out = Vec::new();
    crate::encode_ok(&mut out, 7, &crate::Done::default());
    assert_eq!(refused_command(&out), None);
}

#[test]
fn every_op_is_known() {
    for op in OPS {
        let text = format!(r#"{{"id":1,"op":"{op}"}}"#);
        if let Err(reject) = decode(&text).command {
            assert_ne!(reject.code, ErrorCode::UnknownOp, "{op}");
        }
    }
}

#[test]
fn an_error_quotes_little_of_what_the_client_sent() {
    for filler in ["\u{7f}", "é", "x"] {
        let long = filler.repeat((128 << 10) / filler.len());
        let text = format!(r#"{{"op":"ping","id":"{long}"}}"#);
        let reject = decode(&text).command.expect_err("an id is a number");
        assert_eq!(reject.code, ErrorCode::InvalidField);
        let told = reject.message();
        assert!(told.len() < 300, "{} bytes", told.len());
        assert!(told.starts_with("invalid type: string") && told.contains("at line 1 column"), "{told}");
    }
    let short = decode(r#"{"op":"ping","id":"x"}"#).command.expect_err("an id is a number");
    assert!(short.message().starts_with(r#"invalid type: string "x", expected u64 at line 1 column"#));
}

#[test]
fn a_send_names_files_and_may_then_be_without_text() {
    const OTHER: &str = "0193b5a2-7c1e-7d3a-9b42-5f6a7b8c9d0e";
    let sent = |fields: &str| {
        let text = format!(r#"{{"op":"send","room":"{ROOM}","key":"{ROOM}"{fields}}}"#);
        match decode(&text).command {
            Ok(Command::Send { text, attachments, .. }) => Ok((text.into_owned(), attachments)),
            Err(reject) => Err(reject.code),
            other => panic!("{other:?}"),
        }
    };
    let file = |text| MediaId::parse(text).expect("an id");
    let both = format!(r#","attachments":["{OTHER}","{ROOM}"]"#);
    assert_eq!(sent(&both), Ok((String::new(), vec![file(OTHER), file(ROOM)])));
    assert_eq!(sent(&format!(r#","text":"hi"{both}"#)).map(|(text, _)| text), Ok("hi".to_owned()));
    for none in [r#","attachments":[]"#, r#","attachments":null"#, ""] {
        assert_eq!(sent(&format!(r#","text":"hi"{none}"#)), Ok(("hi".to_owned(), Vec::new())), "{none}");
        assert_eq!(sent(none), Err(ErrorCode::InvalidField), "{none}");
    }
    let twice = format!(r#","attachments":["{OTHER}","{OTHER}"]"#);
    for bad in
        [&twice, r#","attachments":["x"]"#, r#","attachments":["00000000-0000-0000-0000-000000000000"]"#]
    {
        assert_eq!(sent(bad), Err(ErrorCode::InvalidField), "{bad}");
    }
    let many = vec![format!("\"{ROOM}\""); 11].join(",");
    assert_eq!(sent(&format!(r#","attachments":[{many}]"#)), Err(ErrorCode::TooLarge));
}
