//! The `notify-service` binary: reads its configuration, builds, serves, drains.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker::{Broker, MemoryBroker, RedisBroker};
use clap::{Parser, Subcommand};
use notify_service::config::EngineType;
use notify_service::database::Database;
use notify_service::{Config, Services, Surroundings, build};
use prometheus_client::registry::Registry;
use runtime::admin::{self, Readiness};
use runtime::config::{EXIT_BAD_CONFIG, Flags, load};
use runtime::grpc::{Metrics, ServeOptions, serve};
use runtime::shutdown::Shutdown;
use runtime::telemetry;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Notifications and inboxes of Fanfare.
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
    /// Answers calls; the default.
    Serve,
    /// Brings the tables of the database up to date and ends.
    Migrate,
    /// Prints the whole configuration, secrets masked, if it is good.
    CheckConfig,
    /// Ends with 0 if a probe's address (http://…) answers 200.
    Healthcheck {
        /// Such as `http://127.0.0.1:9202/health/ready`.
        url: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Healthcheck { url }) = &arguments.command {
        return report(runtime::probe::healthcheck(url).map_err(Into::into));
    }
    let config: Config = match load(arguments.flags.sources()) {
        Ok(config) => config,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    match arguments.command.unwrap_or(Command::Serve) {
        Command::CheckConfig => {
            let text = runtime::config::print_effective(&config);
            report(
                std::io::stdout()
                    .write_all(text.as_bytes())
                    .map_err(Into::into),
            )
        }
        Command::Migrate => report(in_runtime(migrate(&config))),
        Command::Serve | Command::Healthcheck { .. } => report(in_runtime(run(config))),
    }
}

fn in_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init("notify-service", &config.log, &config.opentelemetry)?;
    let shutdown = Shutdown::listen()?;
    let mut registry = Registry::default();
    let readiness = Readiness::new();
    readiness.block("start", "the service is starting");

    let grpc = bind(config.grpc.address, "grpc.address").await?;
    let probes = bind(config.admin.address, "admin.address").await?;
    let broker = broker(&config)?;
    let options = ServeOptions {
        shared_key: config.grpc.shared_key.clone(),
        metrics: Metrics::register(registry.sub_registry_with_prefix("fanfare_notify")),
        health: Services::NAMES,
    };
    if config.grpc.shared_key.is_empty() && !config.grpc.address.ip().is_loopback() {
        tracing::warn!(
            "grpc.shared_key is empty: whoever reaches {} may call",
            config.grpc.address
        );
    }
    let surroundings = Surroundings {
        broker,
        registry: &mut registry,
        readiness: readiness.clone(),
        tasks: shutdown.tracker().clone(),
        stop: shutdown.token(),
    };
    let services = build(&config, surroundings).await?;

    let reasons = readiness.clone();
    let router = admin::router(Arc::new(registry), move || reasons.reasons());
    let probes = tokio::spawn(admin::serve_on(
        probes,
        router,
        shutdown.token().child_token(),
    ));
    readiness.clear("start");
    tracing::info!(grpc.address = %config.grpc.address, "notify-service is ready");
    let drain = config.shutdown.timeout;
    serve(grpc, services.routes(), options, shutdown.token(), drain).await?;

    shutdown.drain(drain).await;
    probes.abort();
    tracing::info!("notify-service has ended");
    telemetry.shutdown().await;
    Ok(())
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init("notify-service", &config.log, &config.opentelemetry)?;
    let settings = &config.database;
    let database = Database::new(settings.url.expose(), settings.max_connections)
        .map_err(anyhow::Error::msg)
        .context("database.url")?;
    database
        .migrate()
        .await
        .context("the tables cannot be brought up to date")?;
    tracing::info!("the tables are up to date");
    telemetry.shutdown().await;
    Ok(())
}

fn broker(config: &Config) -> anyhow::Result<Arc<dyn Broker>> {
    Ok(match config.engine.kind {
        EngineType::Memory => Arc::new(MemoryBroker::new()),
        EngineType::Redis => Arc::new(RedisBroker::new(config.engine.redis.clone())?),
    })
}

async fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("{key}: cannot listen on {address}"))
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

/// The one line that says why the process ends.
fn say(message: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "notify-service: {message}");
}
