//! The generated part of docs/performance.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::table;
use super::verdict::Verdict;
use crate::ladder::{Outcome, Results};

const BEGIN: &str = "<!-- ladder: begin -->";
const END: &str = "<!-- ladder: end -->";

/// A document with what is between the markers replaced.
pub(super) fn replaced(document: &str, generated: &str) -> Result<String> {
    let (before, rest) = document
        .split_once(BEGIN)
        .context("the first marker is missing")?;
    let (_, after) = rest
        .split_once(END)
        .context("the second marker is missing")?;
    Ok(format!("{before}{BEGIN}\n\n{generated}\n{END}{after}"))
}

/// Conditions, targets, all measures, correctness, what was left out.
pub(super) fn generated(verdicts: &[Verdict], results: &Results) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "### Conditions\n\n{}", conditions(results));
    let _ = writeln!(text, "### Targets\n\n{}", table::targets(verdicts));
    let _ = writeln!(text, "### All measures\n\n{}", table::measures(verdicts));
    let _ = writeln!(text, "### Correctness\n\n{}", correctness(results));
    let _ = write!(text, "### Left out\n\n{}", left_out(results));
    text
}

/// The machine, the command, the versions.
pub(super) fn facts(results: &Results) -> Vec<(String, String)> {
    let at = &results.conditions;
    let mut facts = vec![
        (
            "machine".to_owned(),
            format!(
                "{}, {} cores, {} GiB",
                at.processor, at.cores, at.memory_gib
            ),
        ),
        ("system".to_owned(), format!("{}, {}", at.system, at.kernel)),
        ("network".to_owned(), at.network.clone()),
        ("date".to_owned(), at.date.clone()),
        (
            "tree".to_owned(),
            format!("commit {}, binaries of `{}`", at.commit, at.profile),
        ),
        ("command".to_owned(), format!("`{}`", at.command)),
        ("rounds".to_owned(), at.rounds.to_string()),
        ("load average before".to_owned(), format!("{:.2}", at.load)),
    ];
    if at.quick {
        facts.push((
            "scale".to_owned(),
            "**smaller and shorter than the targets ask for**".to_owned(),
        ));
    }
    facts.extend(
        results
            .versions
            .iter()
            .map(|(name, version)| (name.clone(), version.clone())),
    );
    facts
}

fn conditions(results: &Results) -> String {
    let mut rows = vec![vec!["what".to_owned(), "value".to_owned()]];
    rows.extend(
        facts(results)
            .into_iter()
            .map(|(name, value)| vec![name, value]),
    );
    table::markdown(&rows)
}

/// Faults and failures of each subject over all turns, in words.
pub(super) fn faults(results: &Results) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str), BTreeMap<&str, u64>> = BTreeMap::new();
    let mut found = Vec::new();
    for trial in &results.trials {
        let key = (trial.experiment.as_str(), trial.subject.as_str());
        for (kind, count) in trial.outcome.iter().flat_map(Outcome::faults) {
            *counts.entry(key).or_default().entry(kind).or_default() += count;
        }
        if let Some(error) = &trial.error {
            found.push(format!(
                "{}, {}, turn {}: failed: {}",
                trial.experiment,
                trial.subject,
                trial.turn,
                error.replace('\n', " ")
            ));
        }
    }
    for ((experiment, subject), kinds) in counts {
        let kinds = kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        found.push(format!("{experiment}, {subject}: {kinds}"));
    }
    found
}

fn correctness(results: &Results) -> String {
    let faults = faults(results);
    if faults.is_empty() {
        return "No trial failed; no delivery was lost, doubled or out of order.\n".to_owned();
    }
    list(&faults)
}

fn left_out(results: &Results) -> String {
    if results.left_out.is_empty() {
        return "Nothing.\n".to_owned();
    }
    let lines = results
        .left_out
        .iter()
        .map(|(name, why)| format!("{name}: {why}"));
    list(&lines.collect::<Vec<_>>())
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("- {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_of_the_markers_stays() {
        let document = format!("# Title\n{BEGIN}\nold\n{END}\nby hand\n");
        let replaced = replaced(&document, "new\n").unwrap();
        assert_eq!(
            replaced,
            format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nby hand\n")
        );
        assert!(super::replaced("no markers", "new").is_err());
    }
}
