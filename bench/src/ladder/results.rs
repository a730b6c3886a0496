//! All that a ladder has found, as `results.json` holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// Everything, before any judgement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where and how.
    pub conditions: Conditions,
    /// What was left out, and why.
    pub left_out: BTreeMap<String, String>,
    /// Versions of the servers that ran.
    pub versions: BTreeMap<String, String>,
    /// Every trial, in the order in which they ran.
    pub trials: Vec<Trial>,
}

/// The machine and the command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conditions {
    /// When it began, in UTC.
    pub date: String,
    /// How to repeat it.
    pub command: String,
    /// Fewer and shorter trials.
    pub quick: bool,
    /// How often everything was measured; a round that was not ended does not count.
    pub rounds: usize,
    /// The processor's name.
    pub processor: String,
    /// How many the system shows.
    pub cores: usize,
    /// In GiB.
    pub memory_gib: u64,
    /// Name and release.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// In words: in namespaces, or not.
    pub network: String,
    /// The commit of the tree, if it is one.
    pub commit: String,
    /// How our binaries were built.
    pub profile: String,
    /// The load average of the last minute, before the first trial.
    pub load: f64,
}

/// One server in one scenario, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// The turn of the experiment, from 1 and through all rounds.
    pub turn: usize,
    /// The name of the experiment.
    pub experiment: String,
    /// What was measured in it.
    pub subject: String,
    /// How long it took, with starting and ending the server.
    pub seconds: f64,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<Outcome>,
    /// Why nothing did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Results {
    /// The trials of one subject in an experiment.
    pub fn of<'a>(
        &'a self,
        experiment: &'a str,
        subject: &'a str,
    ) -> impl Iterator<Item = &'a Trial> {
        let is_of = move |t: &&Trial| t.experiment == experiment && t.subject == subject;
        self.trials.iter().filter(is_of)
    }
}
