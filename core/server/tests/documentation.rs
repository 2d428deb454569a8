//! `docs/configuration.md` is the table of keys, `docs/openapi.json` that of operations. `LYNK_UPDATE_DOCS=1`
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
