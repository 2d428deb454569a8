//! `docs/protocol.md` states the codes of the code. `LYNK_UPDATE_DOCS=1` rewrites the page instead of failing.

use lynk_protocol::{CloseCode, ErrorCode, OPS};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");

fn page() -> String {
    std::fs::read_to_string(PATH).expect("the protocol page")
}

fn generated() -> String {
    let mut out = String::from("| error code | number | retry | meaning |\n|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let retry = if code.retryable() { "yes" } else { "no" };
        out += &format!("| `{}` | {} | {retry} | {} |\n", code.name(), code as u16, code.advice());
    }
    out += "\n| close code | reason | reconnect |\n|---|---|---|\n";
    for code in CloseCode::ALL {
        let retry = if code.reconnect() { "yes" } else { "no" };
        out += &format!("| {} | {} | {retry} |\n", code.number(), code.reason());
    }
    out
}

#[test]
fn the_code_tables_match_the_code() {
    let page = page();
    let (before, rest) = page.split_once("<!-- codes:begin -->\n").expect("begin mark");
    let (tables, after) = rest.split_once("<!-- codes:end -->").expect("end mark");
    let generated = generated();
    // Only what changed: the test beside this one reads the page meanwhile.
    if std::env::var_os("LYNK_UPDATE_DOCS").is_some() && tables != generated {
        let whole = format!("{before}<!-- codes:begin -->\n{generated}<!-- codes:end -->{after}");
        std::fs::write(PATH, whole).expect("the page can be written");
        return;
    }
    assert_eq!(tables, generated, "run `make docs`");
}

#[test]
fn every_op_is_documented() {
    let page = page();
    for op in OPS {
        assert!(page.contains(&format!("`{op}`")), "docs/protocol.md does not mention `{op}`");
    }
}
