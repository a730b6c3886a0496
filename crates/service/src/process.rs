//! What the binary of a service does with its command line.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use runtime::config::{EXIT_BAD_CONFIG, Flags, Schema, load};
use tokio::net::TcpListener;

/// The commands of a service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answers calls; the default.
    Serve,
    /// Brings the tables of the database up to date and ends.
    Migrate,
    /// Prints the whole configuration, secrets masked, if it is good.
    CheckConfig,
    /// Ends with 0 if a probe's address (http://…) answers 200.
    Healthcheck {
        /// Such as `http://127.0.0.1:9201/health/ready`.
        url: String,
    },
}

/// Carries out the command of the service called `name`, with the configuration that
/// its flags lead to. What goes wrong is one line on standard error.
pub fn run<C: Schema>(
    name: &str,
    flags: Flags,
    command: Option<Command>,
    serve: impl AsyncFnOnce(C) -> anyhow::Result<()>,
    migrate: impl AsyncFnOnce(C) -> anyhow::Result<()>,
) -> ExitCode {
    let result = match command.unwrap_or(Command::Serve) {
        Command::Healthcheck { url } => runtime::probe::healthcheck(&url).map_err(Into::into),
        command => match load(flags.sources()) {
            Ok(config) => match command {
                Command::Migrate => in_runtime(migrate(config)),
                Command::CheckConfig => print(&config),
                Command::Serve | Command::Healthcheck { .. } => in_runtime(serve(config)),
            },
            Err(error) => {
                say(name, &error.to_string());
                return ExitCode::from(EXIT_BAD_CONFIG);
            }
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(name, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Listens on an address; `key` is where it was configured.
///
/// # Errors
/// With the key and the address.
pub async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("{key}: cannot listen on {address}"))
}

fn print<C: Schema>(config: &C) -> anyhow::Result<()> {
    let text = runtime::config::print_effective(config);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn in_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// The one line that says why the process ends.
fn say(name: &str, message: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{name}: {message}");
}
