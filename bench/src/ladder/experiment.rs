//! What an experiment is: subjects side by side in one scenario, what is looked at, and the
//! targets.

use serde::{Deserialize, Serialize};

use crate::server::{Server, Setup};

/// Our server's name among the subjects.
pub const OURS: &str = "fanfare";
/// The subject that everything is compared with, unless said otherwise.
pub const FLOOR: &str = "floor";

/// Subjects side by side.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name in options and results.
    pub name: &'static str,
    /// How often it is run in each round.
    pub turns: usize,
    /// What is done, in words.
    pub title: String,
    /// Who does it.
    pub subjects: Vec<Subject>,
    /// Which of them the targets are about.
    pub judged: &'static str,
    /// What is looked at.
    pub measures: Vec<Measure>,
}

/// Something that is measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name in this experiment.
    pub label: String,
    /// What it runs.
    pub work: Work,
}

/// A server and what is done to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// What is started.
    pub setup: Setup,
    /// What happens then.
    pub task: Task,
}

/// What is done to a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The load generator runs against the first node; publications enter at the last.
    Run(Vec<String>),
    /// The load generator runs against all nodes in turn: those of a room, and who publishes to
    /// it, are at one.
    Spread(Vec<String>),
    /// `redis-benchmark` runs the broker's own script against the same Redis.
    RedisBenchmark {
        /// For about so long.
        seconds: u64,
    },
    /// `pgbench` inserts the rows of a message in a transaction of its own.
    Pgbench {
        /// Into so many rooms.
        rooms: usize,
        /// For so long.
        seconds: u64,
    },
}

/// A figure of the outcome.
#[derive(Clone, Debug)]
pub struct Measure {
    /// In words.
    pub title: &'static str,
    /// See [`Outcome::figure`](super::Outcome::figure).
    pub figure: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether less is better.
    pub less_is_better: bool,
    /// Which subject's figure of the same turn it is divided by.
    pub against: &'static str,
    /// What the judged subject is to reach.
    pub targets: Vec<Bound>,
}

impl Experiment {
    /// How many turns it has had after so many rounds.
    #[must_use]
    pub fn turns_until(&self, rounds: usize) -> usize {
        rounds * self.turns
    }
}

impl Measure {
    pub(super) fn bound(mut self, bound: Bound) -> Self {
        self.targets.push(bound);
        self
    }

    pub(super) fn against(self, against: &'static str) -> Self {
        Self { against, ..self }
    }
}

/// A target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The figure itself.
    AtMost(f64),
    /// The ratio to another subject.
    TimesAtMost(&'static str, f64),
    /// The ratio to another subject.
    TimesAtLeast(&'static str, f64),
    /// The difference to another subject.
    MoreAtMost(&'static str, f64),
    /// Less than that of any server but the floor.
    BelowPeers,
}

impl Bound {
    /// The number in it.
    #[must_use]
    pub fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit)
            | Self::TimesAtMost(_, limit)
            | Self::TimesAtLeast(_, limit)
            | Self::MoreAtMost(_, limit) => limit,
            Self::BelowPeers => 1.0,
        }
    }
}

impl Subject {
    /// A subject under a name.
    #[must_use]
    pub fn new(label: impl Into<String>, work: Work) -> Self {
        Self {
            label: label.into(),
            work,
        }
    }

    /// Whether it is somebody else's server.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        let is_server = matches!(self.work.task, Task::Run(_));
        is_server && !matches!(self.work.setup.server, Server::Fanfare | Server::Floor)
    }
}

impl Work {
    /// A server under the load generator.
    #[must_use]
    pub fn run(setup: Setup, arguments: &[String]) -> Self {
        Self {
            setup,
            task: Task::Run(arguments.to_vec()),
        }
    }
}
