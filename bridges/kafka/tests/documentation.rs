//! What is generated matches what it is generated from. `LYNK_UPDATE_DOCS=1` rewrites it instead of failing.

use std::path::{Path, PathBuf};

use lynk_kafka::{schema, topics};
use lynk_model::event::Topic;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares, or writes.
fn check(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().expect("in a folder")).expect("can be made");
        std::fs::write(&file, generated).expect("can be written");
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
