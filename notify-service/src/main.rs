//! The `notify-service` binary: reads its configuration, builds, serves, drains.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use notify_service::store;
use notify_service::{Config, Services, Surroundings, build};
use prometheus_client::registry::Registry;
use runtime::admin::{self, Readiness};
use runtime::config::Flags;
use runtime::grpc::{Metrics, ServeOptions, serve};
use runtime::shutdown::Shutdown;
use runtime::telemetry;
use service::Database;
use service::process::{self, Command, bind};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const NAME: &str = "notify-service";

/// Notifications and inboxes of Fanfare.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::run(NAME, arguments.flags, arguments.command, run, migrate)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init(NAME, &config.log, &config.opentelemetry)?;
    let shutdown = Shutdown::listen()?;
    let mut registry = Registry::default();
    let readiness = Readiness::new();
    readiness.block("start", "the service is starting");

    let grpc = bind(config.grpc.address, "grpc.address").await?;
    let probes = bind(config.admin.address, "admin.address").await?;
    let broker = config.engine.broker()?;
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

async fn migrate(config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init(NAME, &config.log, &config.opentelemetry)?;
    let settings = &config.database;
    let database = Database::new(settings.url.expose(), settings.max_connections)
        .map_err(anyhow::Error::msg)
        .context("database.url")?;
    database
        .migrate(&store::migrations())
        .await
        .context("the tables cannot be brought up to date")?;
    tracing::info!("the tables are up to date");
    telemetry.shutdown().await;
    Ok(())
}
