//! The suite of the event port, and what is particular to Kafka.

use lynk_kafka::topics::{AUTH, ENGINE, NOTIFICATION, NOTIFICATION_GROUPS};
use lynk_kafka::{Encoding, Envelope, EventConsumer, KafkaSink};
use lynk_model::StoreError;
use lynk_model::contract::{event_sink, every_event};
use lynk_model::event::{Event, Topic};
use lynk_model::port::{EventSink, ready};

use crate::support::{ADMIN, PATIENCE, posted, room, server};

#[test]
fn events_pass_the_contract_of_their_port() {
    let Some(server) = server("events_pass_the_contract_of_their_port") else { return };
    let mut watch = server.watch(&Topic::ALL);
    event_sink(&mut server.sink(ADMIN), &mut |_| watch.events());
}

/// A sink per user, as the server has them.
struct Both {
    engine: KafkaSink,
    auth: KafkaSink,
    notification: KafkaSink,
}

impl EventSink for Both {
    async fn publish(&mut self, batch: &[Event]) -> Result<(), StoreError> {
        let of = |users: &[Topic]| {
            batch.iter().filter(|event| users.contains(&event.topic)).cloned().collect::<Vec<_>>()
        };
        self.auth.publish(&of(&[Topic::UserCreated])).await?;
        self.notification.publish(&of(&[Topic::NotificationDead])).await?;
        let chat = [Topic::MessageReceived, Topic::MessageCreated, Topic::MessageUpdated, Topic::RoomChanged];
        self.engine.publish(&of(&chat)).await
    }
}

#[test]
fn the_rights_of_the_three_users_are_enough_for_every_event() {
    let Some(server) = server("the_rights_of_the_three_users_are_enough_for_every_event") else { return };
    let mut watch = server.watch(&Topic::ALL);
    let mut sinks = Both {
        engine: server.sink(ENGINE),
        auth: server.sink(AUTH),
        notification: server.sink(NOTIFICATION),
    };
    ready(sinks.publish(&every_event())).expect("publishes");
    assert_eq!(watch.all().len(), every_event().len());
}

#[test]
fn envelopes_are_headers_or_values_and_read_alike() {
    let Some(server) = server("envelopes_are_headers_or_values_and_read_alike") else { return };
    let mut watch = server.watch(&[Topic::MessageCreated]);
    for (number, envelope) in [Envelope::None, Envelope::Binary, Envelope::Structured].into_iter().enumerate()
    {
        let encoding = Encoding { envelope, source: "https://chat.example".to_owned() };
        let mut sink = KafkaSink::new(&server.connect(ENGINE), encoding).expect("usable");
        let event = posted(Topic::MessageCreated, room(100), number as u64 + 1);
        ready(sink.publish(std::slice::from_ref(&event))).expect("publishes");
        let seen = watch.all().pop().expect("it is there");
        assert_eq!(seen.event, event);
        let header = |name: &str| seen.headers.get(name).map(String::as_str);
        let content = if envelope == Envelope::Structured {
            "application/cloudevents+json"
        } else {
            "application/json"
        };
        assert_eq!(header("content-type"), Some(content));
        let id = event.idempotency_key();
        assert_eq!(header("ce_id"), (envelope == Envelope::Binary).then_some(id.as_str()));
        assert_eq!(header("ce_specversion"), (envelope == Envelope::Binary).then_some("1.0"));
        assert_eq!(
            (header("lynk-type"), header("lynk-idempotency-key")),
            (Some("message.created"), Some(id.as_str()))
        );
    }
}

#[test]
fn a_consumer_gets_what_it_has_not_committed_again() {
    let Some(server) = server("a_consumer_gets_what_it_has_not_committed_again") else { return };
    let group = format!("{NOTIFICATION_GROUPS}.test.{}", std::process::id());
    let mine = room(200);
    let mut sink = server.sink(ENGINE);
    let batch: Vec<_> = (1..=30).map(|seq| posted(Topic::MessageCreated, mine, seq)).collect();
    ready(sink.publish(&batch)).expect("publishes");
    let read = |until: u64| {
        let consumer = EventConsumer::new(&server.connect(NOTIFICATION), &group, &[Topic::MessageCreated])
            .expect("usable");
        let mut seqs = Vec::new();
        while seqs.last() != Some(&until) {
            let received = consumer.next(PATIENCE).expect("readable").expect("there is more");
            if received.event.subject == batch[0].subject {
                assert!(received.headers.iter().any(|(name, _)| name == "lynk-idempotency-key"));
                seqs.push(received.event.seq.0);
            }
        }
        (consumer, seqs)
    };
    let (consumer, seqs) = read(10);
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>());
    consumer.commit().expect("commits");
    // Read beyond, and forget it.
    while consumer.next(PATIENCE).expect("readable").expect("there is more").event.seq.0 != 20 {}
    drop(consumer);
    let (_, seqs) = read(30);
    assert_eq!(seqs, (11..=30).collect::<Vec<_>>());
}
