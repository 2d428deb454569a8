//! Who gets in, and what the broker lets them do: its own answers.

use std::time::Duration;

use lynk_bridge::Secret;
use lynk_kafka::topics::{AUTH, ENGINE, NOTIFICATION, NOTIFICATION_GROUPS, USERS};
use lynk_kafka::{Connect, Encoding, EventConsumer, Fault, FaultKind, KafkaSink};
use lynk_model::StoreError;
use lynk_model::contract::every_event;
use lynk_model::event::{Event, Topic};
use lynk_model::port::{EventSink as _, ready};

use crate::support::{PATIENCE, Server, server};

fn event(topic: Topic) -> Event {
    every_event().into_iter().find(|event| event.topic == topic).expect("one of each")
}

/// Nothing secret is in what is said.
fn said(server: &Server, words: &str) {
    for user in USERS {
        assert!(!words.contains(&server.password(user)), "the password is shown");
        let key = String::from_utf8(server.file(&format!("{}_KEY", user.to_uppercase()))).expect("PEM");
        assert!(key.lines().all(|line| line.starts_with('-') || !words.contains(line)), "the key is shown");
    }
}

fn write(server: &Server, connect: &Connect, topic: Topic) -> Result<(), Fault> {
    let mut sink = KafkaSink::new(connect, Encoding::default()).expect("usable");
    let published = ready(sink.publish(&[event(topic)]));
    said(server, &format!("{sink:?} {connect:?}"));
    published.map_err(|error| {
        let fault = sink.take_fault().expect("a reason");
        said(server, &format!("{fault} {fault:?}"));
        assert_eq!(error, StoreError::Unavailable, "nothing was published: {fault}");
        fault
    })
}

/// Whether a user may read a topic as one of a group. The topic has an event.
fn read(server: &Server, user: &str, group: &str, topic: Topic) -> Result<(), Fault> {
    let consumer = EventConsumer::new(&server.connect(user), group, &[topic]).expect("usable");
    match consumer.next(PATIENCE) {
        Ok(received) => {
            assert!(received.is_some(), "there is an event, or a refusal");
            Ok(())
        }
        Err(fault) => {
            said(server, &format!("{fault} {fault:?}"));
            Err(fault)
        }
    }
}

#[test]
fn without_the_right_certificate_and_password_nobody_gets_in() {
    let Some(server) = server("without_the_right_certificate_and_password_nobody_gets_in") else { return };
    let right = server.connect(ENGINE);
    write(&server, &right, Topic::MessageCreated).expect("the right one gets in");
    let brief = Connect { timeout: Duration::from_secs(20), ..right.clone() };
    let refused =
        |connect: &Connect| write(&server, connect, Topic::MessageCreated).expect_err("nobody gets in");

    let nobody = refused(&Connect { identity: None, ..brief.clone() });
    assert!(nobody.detail.contains("ertificate"), "{nobody}");
    let foreign = refused(&Connect { identity: Some(server.identity(ENGINE, "_FOREIGN")), ..brief.clone() });
    assert!(foreign.detail.contains("alert") || foreign.detail.contains("ertificate"), "{foreign}");
    let impostor = refused(&Connect { ca: server.file("FOREIGN_CA"), ..brief.clone() });
    assert!(impostor.kind == FaultKind::Refused && impostor.detail.contains("ertificate"), "{impostor}");
    let guessed = refused(&Connect { password: Secret::new("guessed"), ..brief.clone() });
    assert!(guessed.kind == FaultKind::Refused && guessed.detail.contains("uthentication"), "{guessed}");
    assert!(!guessed.detail.contains("guessed"), "{guessed}");
    let other = refused(&Connect { password: Secret::new(server.password(AUTH)), ..brief.clone() });
    assert_eq!(other.kind, FaultKind::Refused, "{other}");
    let unknown = refused(&Connect { user: "somebody".to_owned(), ..brief.clone() });
    assert_eq!(unknown.kind, FaultKind::Refused, "{unknown}");
    // The name of the certificate is no way round the password.
    let broker = refused(&Connect { user: "kafka".to_owned(), ..brief.clone() });
    assert_eq!(broker.kind, FaultKind::Refused, "{broker}");
    // A broker under a name that its certificate does not have.
    let port = server.value("KAFKA_BOOTSTRAP").rsplit_once(':').expect("a port").1.to_owned();
    let misnamed =
        refused(&Connect { bootstrap: vec![format!("127.0.0.2:{port}"), format!("[::1]:{port}")], ..brief });
    assert!(!misnamed.detail.is_empty());
}

#[test]
fn users_write_and_read_their_own_topics_only() {
    let Some(server) = server("users_write_and_read_their_own_topics_only") else { return };
    let may = [
        (
            ENGINE,
            vec![Topic::MessageReceived, Topic::MessageCreated, Topic::MessageUpdated, Topic::RoomChanged],
        ),
        (AUTH, vec![Topic::UserCreated]),
        (NOTIFICATION, vec![Topic::NotificationDead]),
    ];
    for (user, topics) in may {
        for topic in Topic::ALL {
            let written = write(&server, &server.connect(user), topic);
            match written {
                Ok(()) => assert!(topics.contains(&topic), "{user} wrote {topic:?}"),
                Err(fault) => {
                    assert!(!topics.contains(&topic), "{user} may write {topic:?}: {fault}");
                    assert_eq!(fault.kind, FaultKind::Refused, "{user} {topic:?}: {fault}");
                    assert!(fault.detail.contains("uthorization"), "{user} {topic:?}: {fault}");
                }
            }
        }
    }
    // By now every topic has an event.
    let group = |name: &str| format!("{name}.identity.{}", std::process::id());
    let notification = group(NOTIFICATION_GROUPS);
    for topic in Topic::ALL {
        let done = read(&server, NOTIFICATION, &notification, topic);
        assert_eq!(done.is_ok(), topic == Topic::MessageCreated, "{topic:?}: {done:?}");
        for user in [ENGINE, AUTH] {
            for group in [&notification, &group("other")] {
                let fault = read(&server, user, group, topic).expect_err("it reads nothing");
                assert_eq!(fault.kind, FaultKind::Refused, "{user} {topic:?}: {fault}");
            }
        }
    }
    let fault =
        read(&server, NOTIFICATION, &group("other"), Topic::MessageCreated).expect_err("not its group");
    assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
}
