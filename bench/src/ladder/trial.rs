//! One trial: a server, what is done to it, and its end. It is a process of its own, so
//! that it can be in namespaces of its own and be ended as a whole.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use super::experiment::{Task, Work};
use super::outcome::Outcome;
use super::reference;
use crate::server::{self, NAMESPACE, Running, Tools, namespace};

/// What the ladder tells a trial.
#[derive(Args, Debug)]
pub struct TrialOptions {
    /// What is to be done, as JSON.
    #[arg(long)]
    work: String,
    /// An empty folder.
    #[arg(long)]
    dir: PathBuf,
    /// Where our binaries are.
    #[arg(long)]
    binaries: PathBuf,
    /// It is in a new network.
    #[arg(long)]
    own_network: bool,
}

impl TrialOptions {
    /// The same as arguments.
    pub(super) fn arguments(
        work: &Work,
        dir: &Path,
        tools: &Tools,
        own_network: bool,
    ) -> Result<Vec<String>> {
        let mut arguments = ["trial", "--work", &serde_json::to_string(work)?, "--dir"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(dir.display().to_string());
        arguments.push("--binaries".to_owned());
        arguments.push(tools.binaries.display().to_string());
        if own_network {
            arguments.push("--own-network".to_owned());
        }
        Ok(arguments)
    }
}

/// Runs it and prints its outcome as JSON.
///
/// # Errors
/// If the server does not start, or the task fails.
#[expect(clippy::print_stdout, reason = "it is what the ladder reads")]
pub fn trial(options: &TrialOptions) -> Result<()> {
    let work: Work = serde_json::from_str(&options.work).context("--work")?;
    let tools = Tools::new(Some(&options.binaries))?;
    if options.own_network {
        namespace::prepare()?;
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        match &work.task {
            Task::Pgbench { rooms, seconds } => {
                reference::pgbench(*rooms, *seconds, &tools, &options.dir).await
            }
            Task::RedisBenchmark { seconds } => reference::redis_benchmark(*seconds).await,
            Task::Run(arguments) => {
                let running = server::start(&work.setup, &tools, &options.dir).await?;
                generate(&running, arguments)
            }
            Task::Split {
                arguments,
                connections,
                rate,
            } => {
                let running = server::start(&work.setup, &tools, &options.dir).await?;
                split(&running, arguments, *connections, *rate)
            }
        }
    })?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// As many open files as we may have. Servers inherit it.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map(|maximum| maximum.max(200_000));
    let further = Rlimit {
        current: wanted,
        maximum: wanted,
    };
    // Only a privileged process may raise the maximum.
    if setrlimit(Resource::Nofile, further).is_err() {
        let all = Rlimit {
            current: limit.maximum,
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, all);
    }
}

/// Runs the load generator: listeners at the first node, publishers at the last, the CPU of
/// all nodes counted.
fn generate(running: &Running, arguments: &[String]) -> Result<Outcome> {
    let (Some(first), Some(last)) = (running.urls.first(), running.urls.last()) else {
        bail!("no node runs");
    };
    let mut command = generator(arguments, running)?;
    command.args(["--url", first]);
    if first != last {
        command.args(["--publish-url", last]);
    }
    for node in &running.nodes {
        command.args(["--pid", &node.to_string()]);
    }
    finish(command.spawn()?)
}

/// Runs a load generator for each node at the same time, and puts their outcomes together.
fn split(
    running: &Running,
    arguments: &[String],
    connections: usize,
    rate: usize,
) -> Result<Outcome> {
    let parts = running.nodes.len();
    let begin = |(part, (url, node)): (usize, (&String, &u32))| -> Result<_> {
        let mut command = generator(arguments, running)?;
        command
            .args(["--connections", &(connections / parts).to_string()])
            .args(["--rate", &(rate / parts).to_string()])
            .args(["--channel", &format!("{NAMESPACE}:{part}-{{}}")])
            .args(["--url", url, "--pid", &node.to_string()]);
        Ok(command.spawn()?)
    };
    let nodes = running.urls.iter().zip(&running.nodes).enumerate();
    let children: Vec<_> = nodes.map(begin).collect::<Result<_>>()?;
    let outcomes: Vec<_> = children.into_iter().map(finish).collect::<Result<_>>()?;
    merge(outcomes)
}

/// The mean of what is per delivery, as each has the same number of them; the sum of counts.
fn merge(outcomes: Vec<Outcome>) -> Result<Outcome> {
    let mut parts = outcomes.into_iter();
    let mut merged = parts.next().context("no outcome")?;
    merged.latency_ms.clear();
    let figure = "cpu_us_per_delivery";
    let mut figures = vec![merged.figure(figure)];
    for part in parts {
        figures.push(part.figure(figure));
        for (name, count) in part.counts {
            let before = merged
                .counts
                .get(&name)
                .and_then(Value::as_u64)
                .unwrap_or(0);
            let sum = before + count.as_u64().unwrap_or(0);
            merged.counts.insert(name, sum.into());
        }
    }
    let known: Vec<f64> = figures.iter().flatten().copied().collect();
    ensure!(
        known.len() == figures.len(),
        "a part did not measure {figure}"
    );
    #[expect(clippy::cast_precision_loss, reason = "a handful of nodes")]
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    merged.measures.clear();
    merged.measures.insert(figure.to_owned(), mean.into());
    Ok(merged)
}

fn generator(arguments: &[String], running: &Running) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("run")
        .args(arguments)
        .args(&running.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn finish(child: std::process::Child) -> Result<Outcome> {
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the load generator: {}",
        error.trim()
    );
    serde_json::from_slice(&output.stdout).context("what the load generator printed")
}
