//! The gateway as a program: read the configuration, start, wait for a signal,
//! drain.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
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
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::load(Arguments::parse().flags) {
        Ok(config) => config,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "there is no log yet")]
            {
                eprintln!("{error}");
            }
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
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
