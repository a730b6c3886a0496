//! The gateway as a program: read the configuration, start, wait for a signal,
//! drain.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gateway::config::Config;
use gateway::{Gateway, Surroundings};
use runtime::config::{EXIT_BAD_CONFIG, Flags};
use runtime::shutdown::Shutdown;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A stateless WebSocket node.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves clients; the default.
    Serve,
    /// Prints the whole configuration, secrets masked, if it is good.
    CheckConfig,
    /// Ends with 0 if a probe's address answers 200.
    Healthcheck {
        /// Such as `http://127.0.0.1:9000/health/ready`.
        url: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Healthcheck { url }) = &arguments.command {
        return report(runtime::probe::healthcheck(url).map_err(Into::into));
    }
    let config = match Config::load(arguments.flags) {
        Ok(config) => config,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    report(match arguments.command {
        Some(Command::CheckConfig) => print(&runtime::config::print_effective(&config)),
        None | Some(Command::Serve | Command::Healthcheck { .. }) => serve(config),
    })
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = runtime::telemetry::init("gateway", &config.log, &config.opentelemetry)
        .context("starting telemetry")?;
    let shutdown = Shutdown::listen().context("listening for signals")?;
    runtime::process::raise_nofile_limit();
    let gateway = Gateway::start(config, Surroundings::default()).await?;
    shutdown.begun().await;
    gateway.drain().await;
    telemetry.shutdown().await;
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for whoever started it; the log may not be there (any more).
fn say(text: &str) {
    let _nobody_reads_it = writeln!(std::io::stderr(), "{text}");
}
