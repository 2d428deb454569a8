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

/// The areas that names of tests begin with, each with the sources of its tests.
fn areas() -> Vec<(&'static str, String)> {
    [
        ("live::", "core/server/tests/live"),
        ("accounts::", "bridges/api/tests/accounts"),
        ("codes::", "bridges/api/src/accounts"),
        ("owner::", "core/engine/src/owner/tests"),
        ("push::", "bridges/push/tests/push"),
        ("notifier::", "bridges/push/src/notifier"),
        ("decide::", "bridges/push/src/decide"),
        ("embedded::", "persistence/embedded/src"),
        ("auth::", "core/auth/src"),
        ("http::", "net/http/src"),
        ("connection::", "net/connection/src"),
        ("blob::", "bridges/blob/src"),
        ("pictures::", "bridges/compute/tests/pictures"),
        ("copies::", "core/server/tests/copies"),
        ("bucket::", "bridges/blob/tests"),
        ("outside::", "core/server/tests/outside"),
        ("scan::", "bridges/media/src"),
        ("config::", "core/server/src/config"),
    ]
    .map(|(area, directory)| (area, sources(directory, ".rs")))
    .into()
}

/// Checks that every test that the last cell of `row` names is there, and counts them.
fn named_tests(row: &str, rust: &[(&str, String)], browser: &str) -> usize {
    let tests = row.trim_end_matches('|').trim_end().rsplit(" | ").next().expect("columns");
    let mut count = 0;
    for name in tests.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        let (area, source) = rust.iter().find(|(area, _)| name.starts_with(area)).expect(name);
        assert!(source.contains(&format!("fn {}(", &name[area.len()..])), "no test {name}");
        count += 1;
    }
    for title in tests.split('"').skip(1).step_by(2) {
        assert!(browser.contains(&format!("test('{title}'")), "no browser test {title:?}");
        count += 1;
    }
    for script in tests.split('`').filter(|word| word.starts_with("scripts/")) {
        assert!(std::path::Path::new(&format!("{DOCS}../{script}")).exists(), "no {script}");
        count += 1;
    }
    count
}

#[test]
fn every_row_of_the_parity_table_names_tests_that_exist() {
    let page = std::fs::read_to_string(format!("{DOCS}parity.md")).expect("the page");
    let (rust, browser) = (areas(), sources("tests/browser", ".mjs"));
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| feature")) {
        let of_row = named_tests(row, &rust, &browser);
        assert!(
            row.contains("`live::") || row.contains("`copies::"),
            "no test of a running server, on every kind of store, in {row}"
        );
        named += of_row;
    }
    assert!(named >= 30, "{named} tests");
}

/// How many requirements each section of the standard has, from its first on; and those among them that are of level 3.
const ASVS: &[(&str, u8, &[u8])] = &[
    ("4.4", 4, &[]),
    ("5.1", 1, &[]),
    ("5.2", 6, &[4, 5, 6]),
    ("5.3", 3, &[3]),
    ("5.4", 3, &[]),
    ("6.1", 3, &[]),
    ("6.2", 12, &[]),
    ("6.3", 8, &[5, 6, 7, 8]),
    ("6.4", 6, &[5, 6]),
    ("6.5", 8, &[6, 7, 8]),
    ("6.6", 4, &[4]),
    ("6.8", 4, &[]),
    ("7.1", 3, &[]),
    ("7.2", 4, &[]),
    ("7.3", 2, &[]),
    ("7.4", 5, &[]),
    ("7.5", 3, &[3]),
    ("7.6", 2, &[]),
    ("8.1", 4, &[3, 4]),
    ("8.2", 4, &[4]),
    ("8.3", 3, &[2, 3]),
    ("8.4", 2, &[2]),
    ("9.1", 3, &[]),
    ("9.2", 4, &[]),
];

#[test]
fn every_requirement_of_the_verification_standard_has_a_row_that_names_tests() {
    let page = std::fs::read_to_string(format!("{DOCS}asvs.md")).expect("the page");
    let (rust, browser) = (areas(), sources("tests/browser", ".mjs"));
    let mut rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| number"));
    for (section, count, of_level_three) in ASVS {
        for number in (1..=*count).filter(|number| !of_level_three.contains(number)) {
            let row = rows.next().expect("a row for each requirement");
            let (of_row, state) = row.trim_start_matches("| ").split_once(" | ").expect("columns");
            assert_eq!(of_row, format!("{section}.{number}"), "rows are in the standard's order");
            let named = named_tests(row, &rust, &browser);
            match state.split(" | ").next().expect("a word") {
                "met" | "operator" | "partly" => assert!(named > 0, "no test in {row}"),
                "none" => {}
                other => panic!("{of_row} is {other:?}"),
            }
        }
    }
    assert_eq!(rows.next(), None, "no more rows");
}
