use std::collections::BTreeSet;
use std::path::Path;

use runtime::config::{Schema, keys};

/// Compares a section of docs/configuration.md with the keys that there are.
fn compare<T: Schema>(section: &str, is_elsewhere: impl Fn(&str) -> bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mark = format!("<!-- {section} keys -->");
    let table = text.split(&mark).nth(1).expect("the section is marked");
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let known: BTreeSet<String> = keys::<T>()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| !is_elsewhere(key))
        .collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "{section}: missing {missing:#?}, stale {stale:#?}"
    );
}

/// Described with the gateway's.
fn is_shared(key: &str) -> bool {
    ["log.", "opentelemetry.", "engine.redis."]
        .iter()
        .any(|section| key.starts_with(section))
}

#[test]
fn every_key_of_fanfare() {
    let gateway: BTreeSet<String> = keys::<gateway::config::Config>()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    compare::<fanfare::config::Config>("fanfare", |key| gateway.contains(key));
}

#[test]
fn every_key_of_chat_service() {
    compare::<chat_service::Config>("chat-service", is_shared);
}

#[test]
fn every_key_of_notify_service() {
    compare::<notify_service::Config>("notify-service", is_shared);
}
