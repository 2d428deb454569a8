//! The tree keeps its own rules: tiers, `unsafe` confined, files of one idea, module docs, no machine paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

const LINES_MAX: usize = 800;
const UNSAFE_ALLOWED: [&str; 2] = ["net/ring/", "core/mailbox/"];

/// Tier of a workspace directory; `ARCHITECTURE.md` has the same table for people.
fn tier(directory: &str) -> Option<u8> {
    Some(match directory {
        "core/domain" | "core/mailbox" | "core/telemetry" | "net/ring" | "core/tidy" => 0,
        "core/protocol" | "core/auth" | "persistence/model" | "net/websocket" | "net/http" | "net/tls" => 1,
        "core/engine"
        | "persistence/journal"
        | "net/connection"
        | "persistence/embedded"
        | "bridges/bridge" => 2,
        "net/reactor" | "core/simulator" => 3,
        // It puts together what other bridges have.
        "bridges/media" => 4,
        "core/server" => 5,
        other if other.starts_with("bridges/") => 3,
        other if other.starts_with("bench/") => 4,
        _ => return None,
    })
}

/// Edges inside T0, T1 and T3, and the only ones there: bridges that speak HTTP have one client.
const LEVEL_EDGES: [(&str, &str); 4] = [
    ("bridges/blob", "bridges/https"),
    ("core/protocol", "persistence/model"),
    ("bridges/push", "bridges/https"),
    ("bridges/sms", "bridges/https"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root")
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().expect("cargo metadata")
}

fn directories(metadata: &Metadata) -> BTreeMap<PackageId, String> {
    let root = root();
    metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let directory = package.manifest_path.parent().expect("a manifest lies in a directory");
            let relative = Path::new(directory).strip_prefix(&root).expect("inside the workspace");
            (package.id.clone(), relative.to_string_lossy().into_owned())
        })
        .collect()
}

#[test]
fn every_edge_goes_to_a_lower_tier() {
    let metadata = metadata();
    let directories = directories(&metadata);
    let names: BTreeMap<_, _> =
        metadata.workspace_packages().iter().map(|p| (p.name.to_string(), p.id.clone())).collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let from = &directories[&package.id];
        let Some(from_tier) = tier(from) else {
            wrong.push(format!("{from} has no tier: add it to core/tidy and ARCHITECTURE.md"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            let Some(to) = names.get(&dependency.name).map(|id| &directories[id]) else { continue };
            let listed = LEVEL_EDGES.contains(&(from.as_str(), to.as_str()));
            if tier(to).is_none_or(|to_tier| to_tier >= from_tier) && !listed {
                wrong.push(format!("{from} must not depend on {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_below_t3_reaches_an_async_runtime() {
    let metadata = metadata();
    let directories = directories(&metadata);
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let edges: BTreeMap<_, Vec<_>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (node.id.clone(), normal.map(|dep| dep.pkg.clone()).collect())
        })
        .collect();
    let runtime: BTreeSet<_> = metadata
        .packages
        .iter()
        .filter(|p| ["tokio", "async-std", "smol", "monoio", "glommio"].contains(&p.name.as_str()))
        .map(|p| p.id.clone())
        .collect();
    for (id, directory) in directories.iter().filter(|(_, d)| tier(d).is_some_and(|t| t < 3)) {
        let mut seen = BTreeSet::new();
        let mut stack = vec![id.clone()];
        while let Some(next) = stack.pop() {
            assert!(!runtime.contains(&next), "{directory} reaches an async runtime");
            if seen.insert(next.clone()) {
                stack.extend(edges.get(&next).into_iter().flatten().cloned());
            }
        }
    }
}

/// Every text file that git knows, or would add, as a path relative to the root, with its content.
fn tracked(suffix: &str) -> Vec<(String, String)> {
    let out = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the tree");
    assert!(out.status.success(), "git ls-files failed");
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter(|path| path.ends_with(suffix))
        .filter_map(|path| Some((path.to_owned(), std::fs::read_to_string(root().join(path)).ok()?)))
        .collect()
}

#[test]
fn rust_files_are_short_documented_and_safe() {
    let mut wrong = Vec::new();
    for (path, text) in tracked(".rs") {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{path} has {lines} lines, more than {LINES_MAX}"));
        }
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        if !first.starts_with("//!") && !is_test {
            wrong.push(format!("{path} has no module doc"));
        }
        let may = UNSAFE_ALLOWED.iter().any(|allowed| path.starts_with(allowed));
        let word = "unsafe ";
        let used = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains(&format!("{word}{{"))
                || code.contains(&format!("{word}fn"))
                || code.contains(&format!("{word}impl"))
        });
        if used && !may {
            wrong.push(format!("{path} uses unsafe code"));
        }
        if path.ends_with("src/lib.rs") && !may && !text.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{path} does not forbid unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_name_no_machine() {
    let mut wrong = Vec::new();
    for suffix in [".rs", ".md", ".toml", ".sh", "Makefile", "run"] {
        for (path, text) in tracked(suffix) {
            for (number, line) in text.lines().enumerate() {
                let needles = ["/work/", "/root/", "/home/"];
                if path != "core/tidy/tests/tidy.rs" && needles.iter().any(|n| line.contains(n)) {
                    wrong.push(format!("{path}:{}: a path of one machine", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
