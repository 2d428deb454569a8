//! `docs/configuration.md` is the table of keys. `LYNK_UPDATE_DOCS=1` rewrites the page instead of failing.

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

#[test]
fn the_configuration_reference_matches_the_keys() {
    let generated = lynk_server::configuration_reference();
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::write(PATH, generated).expect("the page can be written");
        return;
    }
    let page = std::fs::read_to_string(PATH).expect("the page");
    assert!(page == generated, "docs/configuration.md is stale: run `make docs`");
}
