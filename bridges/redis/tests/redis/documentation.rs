//! `docs/redis.md` shows the table of rights, and the test server's users are made from it. `LYNK_UPDATE_DOCS=1` rewrites both
//! instead of failing.

use lynk_redis::acl;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
const BEGIN: &str = "<!-- rights: generated -->\n";
const END: &str = "<!-- end -->\n";

fn keep(path: &str, generated: &str) {
    let path = format!("{ROOT}{path}");
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
        std::fs::write(&path, generated).expect("the file can be written");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == generated, "{path} is stale: run `make docs`");
}

#[test]
fn the_page_shows_the_table_of_rights() {
    let page = std::fs::read_to_string(format!("{ROOT}docs/redis.md")).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("a mark");
    let (_, after) = rest.split_once(END).expect("a mark");
    keep("docs/redis.md", &format!("{before}{BEGIN}{}{END}{after}", acl::markdown()));
}

#[test]
fn the_test_server_has_the_users_of_the_table() {
    keep("scripts/services.d/redis/users.acl", &acl::file("lynk", "@lynk_ephemeral@", false));
}
