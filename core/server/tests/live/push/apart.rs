//! `lynk notify`: notifications as a process of its own, which reads events as a user that may not write them, and has tables of its own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_domain::UserId;
use lynk_kafka::{Connect, EventConsumer, Identity};
use lynk_model::event::{Event, EventBody, Topic};

use super::{World, all_there, all_told, answer_late, crowd, messages, wait};
use crate::google::Answer;
use crate::support::outside::Outside;
use crate::support::{LYNK, PATIENCE, Server};

const TEST: &str = "a_notifier_that_is_killed_tells_nobody_twice_and_loses_nothing";

impl World {
    /// A server that leaves notifications to another process.
    fn apart(outside: &Outside) -> Self {
        let mut world = Self::new("1s");
        world.options.extend(["--set".to_owned(), "push.run=separate".to_owned()]);
        if Outside::for_all().is_none() {
            let options = outside.options(&world.data());
            world.options.extend(options);
        }
        world
    }

    /// That process.
    fn notifier(&self, outside: &Outside) -> Server {
        let place = self.place.path().join("notifier");
        let mut command = Command::new(LYNK);
        command.args(["notify", "--set", "admin.address=127.0.0.1:0", "--data"]).arg(&place);
        if Outside::for_all().is_some() {
            command.args(outside.options(&self.data()));
        }
        command.args(self.options());
        Server::spawn(command, &place)
    }
}

/// What was published about notifications that were given up, up to the one for which `found` says so.
fn given_up(outside: &Outside, mut found: impl FnMut(&Event) -> bool) -> Event {
    const ADMIN: &str = "kafka_admin";
    let credential = |kind: &str| {
        let path = Path::new(outside.value("CREDENTIALS_DIR")).join(format!("{ADMIN}.{kind}"));
        std::fs::read(path).expect("the services wrote it")
    };
    let connect = Connect {
        bootstrap: vec![outside.value("KAFKA_BOOTSTRAP").to_owned()],
        user: ADMIN.to_owned(),
        password: Secret::new(credential("password")),
        ca: std::fs::read(outside.value("TLS_CA")).expect("the services wrote it"),
        identity: Some(Identity { certificate: credential("crt"), key: Secret::new(credential("key")) }),
        timeout: Duration::from_secs(20),
    };
    let group = format!("dead.{}", std::process::id());
    let consumer = EventConsumer::new(&connect, &group, &[Topic::NotificationDead]).expect("usable");
    loop {
        let received = consumer.next(PATIENCE).expect("readable").expect("it is published");
        if found(&received.event) {
            return received.event;
        }
    }
}

/// One test of all, because those who notify share the events of a cluster: two at once would each see a part.
#[test]
fn a_notifier_that_is_killed_tells_nobody_twice_and_loses_nothing() {
    let Some(outside) = Outside::find(TEST) else { return };
    let world = World::apart(outside);
    let server = world.start();
    let mut running = world.notifier(outside);
    let (mut writer, room, there, away) = crowd(&world, &server);
    let first = writer.say(&room, "first")["seq"].clone();
    let writing = writer.user;
    let members: Vec<UserId> = there.iter().map(|member| member.user).chain([writing]).collect();
    // Whoever does not read does not answer pings, and is away before long.
    for mut member in there {
        std::thread::spawn(move || while member.next().is_some() {});
    }
    all_there(&world, &mut writer, &room, &first, &members);
    let mut told = 0;
    wait("the first message is told for ever", || {
        let before = std::mem::replace(&mut told, world.google.taken().len());
        std::thread::sleep(Duration::from_millis(500));
        (before == told && told >= away.len()).then_some(())
    });
    world.google.forget();
    answer_late(&world, &away);

    let (begun, count) = (Instant::now(), messages());
    let mut top = 0;
    for number in 1..=count {
        top = writer.say(&room, "m")["seq"].as_u64().expect("a seq");
        if number % (count / 4) == 0 && number < count {
            let before = world.google.taken().len();
            wait("nothing is sent", || (world.google.taken().len() > before).then_some(()));
            running.kill();
            running = world.notifier(outside);
        }
    }
    all_told(&world, &away, top, count + 1, begun);

    // The server has nothing to do with it but devices.
    assert_eq!(server.metric("lynk_push_decisions_total{reason=\"wanted\"}"), 0.0);
    assert!(running.metric("lynk_push_ends_total{outcome=\"sent\"}") > 0.0);
    let (code, ready) = running.get("/readyz");
    assert_eq!(code, 200, "{ready}");
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
    assert_eq!(ready["dependencies"]["notifications"]["status"], "ok", "{ready}");

    // What is given up is published.
    let (token, user) = away.iter().next().expect("somebody");
    world.google.forget_answers();
    world.google.will_answer(token, &[Answer::Refused(400, "INVALID_ARGUMENT", None)]);
    let seq = writer.say(&room, "given up")["seq"].as_u64().expect("a seq");
    let event =
        given_up(outside, |event| matches!(&event.body, EventBody::Dead { user: of, .. } if of == user));
    let EventBody::Dead { error, attempts, .. } = &event.body else { unreachable!("it was looked for") };
    assert_eq!((event.seq.0, error.as_str(), *attempts), (seq, "invalid", 1), "{event:?}");
    assert!(running.stop().success());
    assert!(server.stop().success());
}
