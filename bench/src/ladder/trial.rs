//! One trial: a server, what is done to it, and its end. It is a process of its own, so
//! that it can be in namespaces of its own and be ended as a whole.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::experiment::{Task, Work};
use super::outcome::Outcome;
use super::reference;
use crate::server::{self, Running, Tools, namespace};

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
                let (Some(first), Some(last)) = (running.urls.first(), running.urls.last()) else {
                    bail!("no node runs");
                };
                generate(
                    &running,
                    arguments,
                    slice::from_ref(first),
                    slice::from_ref(last),
                )
            }
            Task::Spread(arguments) => {
                let running = server::start(&work.setup, &tools, &options.dir).await?;
                generate(&running, arguments, &running.urls, &running.urls)
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

/// Runs the load generator with its listeners and publishers at these nodes; the CPU of all
/// nodes is counted.
fn generate(
    running: &Running,
    arguments: &[String],
    listen: &[String],
    publish: &[String],
) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").args(arguments).args(&running.arguments);
    for url in listen {
        command.args(["--url", url]);
    }
    for url in publish {
        command.args(["--publish-url", url]);
    }
    for node in &running.nodes {
        command.args(["--pid", &node.to_string()]);
    }
    let output = command.stdin(Stdio::null()).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the load generator: {}",
        error.trim()
    );
    serde_json::from_slice(&output.stdout).context("what the load generator printed")
}
