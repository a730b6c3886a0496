//! Promises about the source tree that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::binaries::root;
use wire::{Disconnect, ErrorCode, Unsubscribe};

/// Generated code cannot keep the house rules.
const GENERATED: [&str; 1] = ["proto"];

#[test]
fn every_crate_inherits_the_lints() {
    let manifests = tracked("*Cargo.toml");
    assert!(manifests.len() > 10, "{manifests:?}");
    for manifest in manifests {
        let folder = manifest.parent().unwrap();
        let exempt = folder == Path::new("") || GENERATED.iter().any(|name| folder == *name);
        let text = read(&manifest);
        let inherits = text.contains("[lints]\nworkspace = true");
        assert!(inherits || exempt, "{} has no [lints]", manifest.display());
    }
}

#[test]
fn every_code_is_documented() {
    let text = read(Path::new("docs/protocol.md"));
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
    let errors = ErrorCode::ALL.iter().map(|code| code.0);
    let disconnects = Disconnect::ALL.iter().map(|d| d.code);
    // The first two are never sent.
    let unsubscribes = Unsubscribe::ALL
        .iter()
        .map(|u| u.code)
        .filter(|&code| code > 1);
    for code in errors.chain(disconnects).chain(unsubscribes) {
        let cell = format!("| {code} ");
        assert!(
            rows.iter().any(|row| row.starts_with(&cell)),
            "docs/protocol.md has no row for {code}"
        );
    }
}

#[test]
fn what_documents_link_to_is_there() {
    let mut dead = Vec::new();
    for document in tracked("*.md") {
        let folder = root().join(document.parent().unwrap());
        for target in links(&read(&document)) {
            let path = target.split('#').next().unwrap();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !folder.join(path).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

/// The targets of `[text](target)`, outside of code.
fn links(markdown: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part is inline code.
        for text in line.split('`').step_by(2) {
            let after = text.split("](").skip(1);
            found.extend(after.filter_map(|rest| rest.split([')', ' ']).next()));
        }
    }
    found
}

#[test]
fn links_are_found() {
    let markdown = "[a](one.md) `[b](two)` and [c](three.md#x \"t\")\n```\n[d](four)\n```";
    assert_eq!(links(markdown), ["one.md", "three.md#x"]);
}

/// Files of the tree by pattern, from its root.
fn tracked(pattern: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--", pattern])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).expect("paths are text");
    listed.lines().map(PathBuf::from).collect()
}

fn read(path: &Path) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
