//! The ladder: every scenario against every server, in interleaved rounds.
//!
//! In each round, each experiment has a turn, or several where its bound is close: it runs all
//! its subjects one after the other, each in a trial with a fresh server; who begins is another
//! in each turn. What is compared are figures of the same turn, so that a machine that is slower
//! for a while is slower for all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::process::Command;

mod conditions;
mod experiment;
mod experiments;
mod outcome;
mod reference;
mod results;
mod scale;
mod trial;

pub use self::experiment::{Bound, Experiment, FLOOR, Measure, OURS, Subject, Task, Work};
pub use self::experiments::experiments;
pub use self::outcome::Outcome;
pub use self::results::{Conditions, Results, Trial};
pub use self::scale::Scale;
pub use self::trial::{TrialOptions, trial};
use crate::report;
use crate::server::namespace::Network;
use crate::server::{self, Server, Tools};

/// No trial takes longer than this.
const TRIAL: Duration = Duration::from_secs(600);

/// What is measured, and where the report goes.
#[derive(Args, Debug)]
pub struct LadderOptions {
    /// How often everything is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// Ours, the floor, nchan and NATS only, smaller and shorter: two minutes. The same as
    /// `--scale quick --servers fanfare,floor,nchan,nats`, one round, and only what is
    /// compared with the floor.
    #[arg(long)]
    quick: bool,
    /// How large and long trials are.
    #[arg(long, value_enum, default_value = "full", conflicts_with = "quick")]
    scale: Scale,
    /// Only these experiments, separated by commas; see --list.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these servers, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Server>,
    /// Where results.json, report.html and table.md go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// A document that holds the markers of the ladder: what is between them is replaced.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Where our binaries are, if not beside this one.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Names the experiments and ends.
    #[arg(long)]
    list: bool,
    /// Stays in the network of the machine.
    #[arg(long)]
    shared_network: bool,
}

/// Experiments of `--quick`: those with targets against peers or the floor.
const QUICK: [&str; 6] = [
    "idle",
    "fanout-1000-one",
    "fanout-1000-rate",
    "rooms-rate",
    "fanout-1000-max",
    "storm",
];
const QUICK_SERVERS: [Server; 4] = [Server::Fanfare, Server::Floor, Server::Nchan, Server::Nats];
const ROUNDS: usize = 3;

impl LadderOptions {
    fn rounds(&self) -> usize {
        let default = match self.scale() {
            Scale::Full => ROUNDS,
            Scale::Quick | Scale::Tiny => 1,
        };
        self.rounds.unwrap_or(default).max(1)
    }

    fn scale(&self) -> Scale {
        if self.quick { Scale::Quick } else { self.scale }
    }

    fn chosen(&self) -> Result<Vec<Experiment>> {
        let mut all = experiments(self.scale());
        for name in &self.only {
            let is_known = all.iter().any(|experiment| experiment.name == name);
            ensure!(is_known, "there is no experiment {name}; see --list");
        }
        let is_chosen = |name: &str| match self.only.as_slice() {
            [] => !self.quick || QUICK.contains(&name),
            only => only.iter().any(|chosen| chosen == name),
        };
        all.retain(|experiment| is_chosen(experiment.name));
        let servers = match self.servers.as_slice() {
            [] if self.quick => &QUICK_SERVERS,
            [] => &Server::ALL[..],
            servers => servers,
        };
        for experiment in &mut all {
            experiment
                .subjects
                .retain(|subject| servers.contains(&subject.work.setup.server));
        }
        all.retain(|experiment| !experiment.subjects.is_empty());
        Ok(all)
    }
}

/// Measures, and writes the report.
///
/// # Errors
/// If nothing can be measured or written. A trial that fails is in the report.
pub fn ladder(options: &LadderOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(options))
}

#[expect(clippy::print_stdout, reason = "it is a command-line tool")]
async fn run(options: &LadderOptions) -> Result<()> {
    let chosen = options.chosen()?;
    if options.list {
        for experiment in &chosen {
            println!("{:<18} {}", experiment.name, experiment.title);
        }
        return Ok(());
    }
    if let Some(document) = &options.document {
        // Now, not after hours of measuring.
        report::check_document(document)?;
    }
    let tools = Tools::new(options.binaries.as_deref())?;
    let network = match options.shared_network {
        true => Network::Shared,
        false => Network::available(),
    };
    let mut results = Results {
        conditions: conditions::now(options.scale(), network, &tools),
        left_out: left_out(&chosen, &tools),
        versions: BTreeMap::new(),
        trials: Vec::new(),
    };
    for (name, why) in &results.left_out {
        say(&format!("left out: {name}: {why}"));
    }
    let is_out = |subject: &Subject| results.left_out.contains_key(subject.work.needs());
    ensure!(
        chosen
            .iter()
            .any(|experiment| !experiment.subjects.iter().all(is_out)),
        "nothing can be measured here"
    );
    for server in servers(&chosen) {
        if !results.left_out.contains_key(server.name()) {
            let version = server::version(server, &tools);
            results.versions.insert(server.name().to_owned(), version);
        }
    }
    let rounds = options.rounds();
    let document = options.document.as_deref();
    let climbing = async {
        for round in 1..=rounds {
            climb(round, &chosen, &tools, network, &mut results).await;
            results.conditions.rounds = round;
            // Now, so that whatever stops the ladder costs one round and not all.
            report::write(&chosen, &results, &options.out, document)?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        climbed = climbing => climbed?,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            let done = results.conditions.rounds;
            bail!("interrupted: {done} of {rounds} rounds are in the report");
        }
    }
    println!("{}", report::table(&chosen, &results));
    say(&format!(
        "written: {}",
        options.out.join("report.html").display()
    ));
    let failed = results
        .trials
        .iter()
        .filter(|trial| trial.error.is_some())
        .count();
    ensure!(
        failed == 0,
        "{failed} of {} trials failed",
        results.trials.len()
    );
    Ok(())
}

/// Runs all trials of one round, the first of which is 1.
async fn climb(
    round: usize,
    chosen: &[Experiment],
    tools: &Tools,
    network: Network,
    results: &mut Results,
) {
    for experiment in chosen {
        for turn in experiment.turns_until(round - 1) + 1..=experiment.turns_until(round) {
            take_turn(turn, experiment, tools, network, results).await;
        }
    }
}

/// Runs all subjects of an experiment, once.
async fn take_turn(
    turn: usize,
    experiment: &Experiment,
    tools: &Tools,
    network: Network,
    results: &mut Results,
) {
    let is_in = |subject: &&Subject| !results.left_out.contains_key(subject.work.needs());
    let mut subjects: Vec<_> = experiment.subjects.iter().filter(is_in).collect();
    let first = (turn - 1) % subjects.len().max(1);
    subjects.rotate_left(first);
    for subject in subjects {
        let name = format!("{}, turn {turn}: {}", experiment.name, subject.label);
        let started = Instant::now();
        let (outcome, error) = match attempt(&subject.work, tools, network).await {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let took = started.elapsed().as_secs_f64();
        match (&outcome, &error) {
            (Some(outcome), _) => say(&format!(
                "{name}: {} ({took:.1} s)",
                report::short(experiment, outcome)
            )),
            (_, error) => say(&format!(
                "{name}: FAILED: {} ({took:.1} s)",
                error.as_deref().unwrap_or_default()
            )),
        }
        results.trials.push(Trial {
            turn,
            experiment: experiment.name.to_owned(),
            subject: subject.label.clone(),
            seconds: took,
            outcome,
            error,
        });
    }
}

/// One trial, in a folder that goes with it.
async fn attempt(work: &Work, tools: &Tools, network: Network) -> Result<Outcome> {
    let dir = tempfile::Builder::new()
        .prefix("fanfare-bench-")
        .tempdir()?;
    open_to_others(dir.path())?;
    let own = std::env::current_exe()?;
    let arguments = TrialOptions::arguments(work, dir.path(), tools, network == Network::Own)?;
    let trial = Command::from(network.command(&own))
        .args(arguments)
        // What others make is removed with ours.
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("a trial")?;
    let output = tokio::time::timeout(TRIAL, trial.wait_with_output());
    let output = output
        .await
        .with_context(|| format!("not done within {TRIAL:?}"))??;
    let error = String::from_utf8_lossy(&output.stderr);
    let error = error.trim();
    ensure!(
        output.status.success(),
        "{}",
        error.strip_prefix("fanfare-bench: ").unwrap_or(error)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().context("the trial printed nothing")?;
    serde_json::from_str(last).context("what the trial printed")
}

/// PostgreSQL does not run as root, and must reach its folder in ours.
fn open_to_others(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o711);
    Ok(std::fs::set_permissions(dir, permissions)?)
}

fn servers(chosen: &[Experiment]) -> BTreeSet<Server> {
    let subjects = chosen.iter().flat_map(|experiment| &experiment.subjects);
    subjects.map(|subject| subject.work.setup.server).collect()
}

/// Everything that is chosen and cannot run, and why.
fn left_out(chosen: &[Experiment], tools: &Tools) -> BTreeMap<String, String> {
    let subjects = chosen.iter().flat_map(|experiment| &experiment.subjects);
    let works: Vec<&Work> = subjects.map(|subject| &subject.work).collect();
    let missing = |work: &&Work| Some((work.needs().to_owned(), work.missing(tools)?));
    works.iter().filter_map(missing).collect()
}

impl Work {
    /// What it is left out by, if that is missing.
    fn needs(&self) -> &'static str {
        use crate::server::Backing;
        match (&self.task, self.setup.backing) {
            (Task::Pgbench { .. }, _) => "pgbench",
            (Task::RedisBenchmark { .. }, _) => "redis-benchmark",
            (_, Backing::Chat) => "fanfare with chat",
            (_, Backing::Redis(_)) => "fanfare over Redis",
            (_, Backing::Nothing) => self.setup.server.name(),
        }
    }

    fn missing(&self, tools: &Tools) -> Option<String> {
        use crate::server::Backing;
        let server = || server::missing(self.setup.server, tools);
        match (&self.task, self.setup.backing) {
            (Task::Pgbench { .. }, _) => reference::missing_pgbench()
                .or_else(reference::missing_postgres)
                .or_else(|| tools.missing("fanfare")),
            (Task::RedisBenchmark { .. }, _) => {
                reference::missing_redis_benchmark().or_else(reference::missing_redis)
            }
            (_, Backing::Chat) => tools
                .missing("fanfare")
                .or_else(reference::missing_postgres),
            (_, Backing::Redis(_)) => server().or_else(reference::missing_redis),
            (_, Backing::Nothing) => server(),
        }
    }
}

/// Progress.
#[expect(clippy::print_stderr, reason = "it is a command-line tool")]
fn say(text: &str) {
    eprintln!("{text}");
}
