//! `docs/configuration.md` is the table of keys, `docs/openapi.json` that of operations, `docs/asyncapi.json` that of frames. `LYNK_UPDATE_DOCS=1`
//! rewrites the page instead of failing.

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");

fn keep_equal(name: &str, generated: &str) {
    let path = format!("{DOCS}{name}");
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::write(path, generated).expect("the page can be written");
        return;
    }
    let page = std::fs::read_to_string(path).expect("the page");
    assert!(page == generated, "docs/{name} is stale: run `make docs`");
}

#[test]
fn the_configuration_reference_matches_the_keys() {
    keep_equal("configuration.md", &lynk_server::configuration_reference());
}

#[test]
fn the_api_document_matches_the_operations() {
    keep_equal("openapi.json", &lynk_server::openapi_document());
}

#[test]
fn the_socket_document_matches_the_frames() {
    keep_equal("asyncapi.json", &lynk_server::asyncapi_document());
}

/// All sources under a directory of the project.
fn sources(directory: &str, ending: &str) -> String {
    let mut text = String::new();
    let mut left = vec![std::path::PathBuf::from(format!("{DOCS}../{directory}"))];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory of tests") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && name != "node_modules" {
                left.push(path);
            } else if name.ends_with(ending) {
                text += &std::fs::read_to_string(path).expect("a source");
            }
        }
    }
    text
}

#[test]
fn every_row_of_the_parity_table_names_tests_that_exist() {
    let page = std::fs::read_to_string(format!("{DOCS}parity.md")).expect("the page");
    let rust = [
        ("live::", sources("core/server/tests/live", ".rs")),
        ("accounts::", sources("bridges/api/tests/accounts", ".rs")),
        ("codes::", sources("bridges/api/src/accounts/service", ".rs")),
        ("owner::", sources("core/engine/src/owner/tests", ".rs")),
        ("push::", sources("bridges/push/tests/push", ".rs")),
        ("notifier::", sources("bridges/push/src/notifier", ".rs")),
        ("decide::", sources("bridges/push/src/decide", ".rs")),
        ("embedded::", sources("persistence/embedded/src", ".rs")),
    ];
    let browser = sources("tests/browser", ".mjs");
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| feature")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().expect("three columns");
        let mut of_row = 0;
        for name in tests.split('`').skip(1).step_by(2) {
            let (area, source) = rust.iter().find(|(area, _)| name.starts_with(area)).expect(name);
            assert!(source.contains(&format!("fn {}(", &name[area.len()..])), "no test {name}");
            of_row += 1;
        }
        for title in tests.split('"').skip(1).step_by(2) {
            assert!(browser.contains(&format!("test('{title}'")), "no browser test {title:?}");
            of_row += 1;
        }
        assert!(of_row > 0, "no test in {row}");
        named += of_row;
    }
    assert!(named >= 30, "{named} tests");
}
