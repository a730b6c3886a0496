//! The report: tables, plots and documentation out of the ladder's results.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::ladder::{Experiment, Outcome, Results, Scale, experiments};

mod document;
mod html;
mod number;
mod table;
mod verdict;

pub use self::verdict::{Judged, Line, Summary, Verdict, judge};

/// Where results are, and where the report goes.
#[derive(Args, Debug)]
pub struct ReportOptions {
    /// What a ladder has written.
    #[arg(default_value = "target/bench/results.json")]
    results: PathBuf,
    /// Where report.html and table.md go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// A document that holds the markers of the ladder: what is between them is replaced.
    #[arg(long)]
    document: Option<PathBuf>,
    /// The scale with which they were measured.
    #[arg(long, value_enum, default_value = "full")]
    scale: Scale,
}

/// Writes the report of results that were measured before.
///
/// # Errors
/// If the results cannot be read, or the report not be written.
pub fn again(options: &ReportOptions) -> Result<()> {
    let path = &options.results;
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let results: Results = serde_json::from_str(&text).context("results.json")?;
    let mut measured = experiments(options.scale);
    for experiment in &mut measured {
        let ran = |label: &str| results.of(experiment.name, label).next().is_some();
        experiment.subjects.retain(|subject| ran(&subject.label));
    }
    measured.retain(|experiment| !experiment.subjects.is_empty());
    write(
        &measured,
        &results,
        &options.out,
        options.document.as_deref(),
    )
}

/// Writes `results.json`, `table.md` and `report.html` into a folder, and the generated part
/// of a document.
///
/// # Errors
/// If a file cannot be written, or the document has no markers.
pub fn write(
    experiments: &[Experiment],
    results: &Results,
    out: &Path,
    document: Option<&Path>,
) -> Result<()> {
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let verdicts = judge(experiments, results);
    let put = |name: &str, text: String| replace(&out.join(name), &text);
    put("results.json", serde_json::to_string_pretty(results)?)?;
    put("table.md", document::generated(&verdicts, results))?;
    put("report.html", html::page(&verdicts, results))?;
    if let Some(path) = document {
        let text = filled(path, &document::generated(&verdicts, results))?;
        replace(path, &text)?;
    }
    Ok(())
}

/// Writes a file that is whole at any time: the old one or the new one.
fn replace(path: &Path, text: &str) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    fs::write(&name, text)
        .and_then(|()| fs::rename(&name, path))
        .with_context(|| path.display().to_string())
}

/// Whether the generated part could be put into a document.
///
/// # Errors
/// If it cannot be read or has no markers.
pub fn check_document(path: &Path) -> Result<()> {
    filled(path, "").map(|_| ())
}

fn filled(path: &Path, generated: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    document::replaced(&text, generated).with_context(|| path.display().to_string())
}

/// The targets and whether they are met, for a terminal.
#[must_use]
pub fn table(experiments: &[Experiment], results: &Results) -> String {
    table::targets(&judge(experiments, results))
}

/// One outcome in a few words.
#[must_use]
pub fn short(experiment: &Experiment, outcome: &Outcome) -> String {
    let figures = experiment.measures.iter().map(|measure| {
        let figure = outcome.figure(measure.figure);
        let figure = figure.map_or_else(|| "–".to_owned(), number::short);
        format!("{} {figure} {}", measure.figure, measure.unit)
    });
    let faults = outcome.faults();
    let faults = faults.iter().map(|(kind, count)| format!("{count} {kind}"));
    figures.chain(faults).collect::<Vec<_>>().join(", ")
}
