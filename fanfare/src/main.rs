//! The `fanfare` binary: one command to run everything, and tools for operators.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fanfare::config::Config;
use fanfare::serve::Fanfare;
use fanfare::{credentials, doctor, token};
use runtime::config::{EXIT_BAD_CONFIG, Flags};
use runtime::shutdown::Shutdown;
use runtime::telemetry;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A real-time backend: gateway, chat and notifications in one process
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything; the default
    Serve,
    /// Makes a token for a connection, or with --channel for a subscription
    Token(token::Request),
    /// Prints the whole configuration, defaults included and secrets masked
    CheckConfig,
    /// Looks for what would hold Fanfare back on this machine
    Doctor,
    /// Prints the version
    Version,
    /// Ends with 0 if a health endpoint (http://…) answers 200
    Healthcheck {
        /// Such as `http://127.0.0.1:8000/health/ready`
        url: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve);
    // These two need no configuration, so a bad one must not hold them back.
    match &command {
        Command::Version => return print(&format!("fanfare {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Healthcheck { url } => {
            let checked = runtime::probe::healthcheck(url);
            return report(checked.map_err(|error| anyhow::anyhow!("{url}: {error}")));
        }
        _ => {}
    }
    let config = match Config::load(arguments.flags) {
        Ok(config) => config,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    match command {
        Command::CheckConfig => print(&runtime::config::print_effective(&config)),
        Command::Doctor => in_runtime(async { doctor(&config).await }),
        Command::Token(request) => match credentials::ensure(config).and_then(|config| {
            let key = &config.gateway.client.token.hmac_secret_key;
            token::make(&request, key)
        }) {
            Ok(token) => print(&format!("{token}\n")),
            Err(error) => report(Err(error)),
        },
        Command::Serve | Command::Version | Command::Healthcheck { .. } => {
            in_runtime(async { report(Box::pin(serve(config)).await) })
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init(
        "fanfare",
        &config.gateway.log,
        &config.gateway.opentelemetry,
    )?;
    let shutdown = Shutdown::listen()?;
    runtime::process::raise_nofile_limit();
    let fanfare = Fanfare::start(credentials::ensure(config)?).await?;
    print(&fanfare.greeting());
    shutdown.begun().await;
    fanfare.drain().await;
    telemetry.shutdown().await;
    Ok(())
}

async fn doctor(config: &Config) -> ExitCode {
    let findings = doctor::examine(config).await;
    let text: String = findings.iter().map(|f| format!("{f}\n")).collect();
    print(&text);
    if findings.iter().any(doctor::Finding::is_failure) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Two even on one core: the exporter of traces needs one while another waits.
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().max(2)))
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => report(Err(error.into())),
    }
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

/// Prints what was asked for.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more: `fanfare check-config | head`.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says why the process ends.
fn say(message: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "fanfare: {message}");
}
