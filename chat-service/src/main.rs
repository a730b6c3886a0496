//! The `chat-service` binary: reads its configuration, builds, serves, drains.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use chat_service::store;
use chat_service::{Config, Services, Surroundings, build};
use clap::Parser;
use prometheus_client::registry::Registry;
use runtime::admin::{self, Readiness};
use runtime::config::Flags;
use runtime::grpc::{Metrics, ServeOptions, connect_lazy, serve};
use runtime::shutdown::Shutdown;
use runtime::telemetry;
use service::Database;
use service::process::{self, Command, bind};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const NAME: &str = "chat-service";

/// Rooms and messages of Fanfare.
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
    let notify =
        connect_lazy(&config.notify.address, config.notify.timeout).context("notify.address")?;
    let options = ServeOptions {
        shared_key: config.grpc.shared_key.clone(),
        metrics: Metrics::register(registry.sub_registry_with_prefix("fanfare_chat")),
        health: Services::NAMES,
    };
    if config.grpc.shared_key.is_empty() && !config.grpc.address.ip().is_loopback() {
        tracing::warn!(
            "grpc.shared_key is empty: whoever reaches {} may call",
            config.grpc.address
        );
    }
    // Calls under way still publish: the background ends after them.
    let background = CancellationToken::new();
    let surroundings = Surroundings {
        broker,
        notify,
        registry: &mut registry,
        readiness: readiness.clone(),
        tasks: shutdown.tracker().clone(),
        stop: background.clone(),
    };
    let services = tokio::select! {
        services = build(&config, surroundings) => services?,
        () = shutdown.begun() => return Ok(()),
    };

    let reasons = readiness.clone();
    let router = admin::router(Arc::new(registry), move || reasons.reasons());
    let probes = tokio::spawn(admin::serve_on(
        probes,
        router,
        shutdown.token().child_token(),
    ));
    readiness.clear("start");
    tracing::info!(grpc.address = %config.grpc.address, "chat-service is ready");
    let drain = config.shutdown.timeout;
    serve(grpc, services.routes(), options, shutdown.token(), drain).await?;

    background.cancel();
    shutdown.drain(drain).await;
    probes.abort();
    tracing::info!("chat-service has ended");
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
