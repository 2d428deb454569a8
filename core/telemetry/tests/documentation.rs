//! `docs/metrics.md` is the catalogue. `LYNK_UPDATE_DOCS=1` rewrites the page instead of failing.

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");

#[test]
fn the_metric_reference_matches_the_catalogue() {
    let generated = lynk_telemetry::reference();
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::write(PATH, generated).expect("the page can be written");
        return;
    }
    let page = std::fs::read_to_string(PATH).expect("the page");
    assert!(page == generated, "docs/metrics.md is stale: run `make docs`");
}
