//! `docs/postgres.md` shows the table of rights. `LYNK_UPDATE_DOCS=1` rewrites it instead of failing.

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/postgres.md");
const BEGIN: &str = "<!-- grants: generated -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_shows_the_table_of_rights() {
    let page = std::fs::read_to_string(PATH).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("a mark");
    let (_, after) = rest.split_once(END).expect("a mark");
    let generated = format!("{before}{BEGIN}{}{END}{after}", lynk_postgres::grants::markdown());
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::write(PATH, generated).expect("the page can be written");
        return;
    }
    assert!(page == generated, "docs/postgres.md is stale: run `make docs`");
}
