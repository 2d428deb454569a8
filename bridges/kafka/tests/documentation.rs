//! What is generated matches what it is generated from. `LYNK_UPDATE_DOCS=1` rewrites it instead of failing.

#[path = "../../../core/server/tests/support/json_schema.rs"]
mod json_schema;

use std::path::{Path, PathBuf};

use lynk_kafka::{Encoding, Envelope, document, encode, schema, topics};
use lynk_model::contract::every_event;
use lynk_model::event::Topic;
use serde_json::{Map, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares, or writes.
fn check(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().expect("in a folder")).expect("can be made");
        // Another test reads it at any moment.
        let new = file.with_extension("new");
        std::fs::write(&new, generated).expect("can be written");
        std::fs::rename(new, &file).expect("can be put in place");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == generated, "{path} is stale: run `make docs`");
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    for topic in Topic::ALL {
        let schema = serde_json::to_string_pretty(&schema(topic)).expect("JSON");
        check(&format!("docs/events/{}.json", topic.name()), &(schema + "\n"));
    }
}

#[test]
fn the_document_of_the_topics_is_that_of_the_table() {
    let document = serde_json::to_string_pretty(&document()).expect("JSON");
    check("docs/events/asyncapi.json", &(document + "\n"));
}

/// The document with what it refers to beside it.
fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(root().join("docs/events").join(path)).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn what_is_published_is_what_the_document_says() {
    let document = document();
    let mut topics: Vec<_> = Topic::ALL.iter().map(|topic| topic.name()).collect();
    topics.sort_unstable();
    let channels: Vec<_> = document["channels"].as_object().expect("channels").keys().collect();
    assert_eq!(channels, topics);
    let mut seen = std::collections::BTreeSet::new();
    for envelope in [Envelope::None, Envelope::Binary, Envelope::Structured] {
        let encoding = Encoding { envelope, source: "https://chat.example".to_owned() };
        for event in every_event() {
            let encoded = encode(&event, &encoding).expect("fits");
            let message = &document["components"]["messages"][encoded.topic];
            let holds_in = |document: &Value, schema: &Value, value: &Value| {
                json_schema::check(document, schema, value, encoded.topic)
                    .unwrap_or_else(|why| panic!("{why}"));
            };
            let holds = |schema: &Value, value: &Value| holds_in(&document, schema, value);
            // Those of the envelope are listed apart.
            let (of_envelope, own): (Map<_, _>, Map<_, _>) = encoded
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
                .partition(|(name, _)| name.starts_with("ce_"));
            holds(&message["headers"], &own.into());
            if envelope == Envelope::Binary {
                holds(&document["components"]["schemas"]["CloudEventsHeaders"], &of_envelope.into());
            }
            holds(&message["bindings"]["kafka"]["key"], &encoded.key.as_str().into());
            let mut value: Value = serde_json::from_slice(&encoded.value).expect("JSON");
            if envelope == Envelope::Structured {
                value = value["data"].take();
            }
            let file = read(message["payload"]["$ref"].as_str().expect("a file"));
            holds_in(&file, &file, &value);
            seen.insert(encoded.topic);
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), topics, "an event of each topic");
}

#[test]
fn the_test_server_is_set_up_by_the_table() {
    check("scripts/services.d/kafka/table", &topics::list());
}

#[test]
fn the_page_shows_the_table() {
    const BEGIN: &str = "<!-- rights: generated -->\n";
    const END: &str = "<!-- end -->";
    let path = root().join("docs/kafka.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("a beginning");
    let (_, after) = rest.split_once(END).expect("an end");
    check("docs/kafka.md", &format!("{before}{BEGIN}{}{END}{after}", topics::markdown()));
}
