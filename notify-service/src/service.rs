//! Puts the parts together: for the binary, and for a process that runs several
//! services.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::Broker;
use journal::{Logs, Publisher, PublisherConfig};
use prometheus_client::registry::Registry;
use proto::log::v1::log_service_server::LogServiceServer;
use proto::notify::v1::notify_service_server::NotifyServiceServer;
use rand::Rng;
use runtime::admin::Readiness;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::config::{Config, DatabaseConfig};
use crate::database::Database;
use crate::deadline::within;
use crate::error::Error;
use crate::grpc::{Grpc, InboxAuthorizer};
use crate::inboxes::Inboxes;
use crate::notifications::Notifications;
use crate::retention;
use crate::store::Store;

/// Time between two looks whether the database is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to bring the tables up to date.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// What stands in the way of readiness.
const DATABASE: &str = "database";

/// What the service needs of the process that it runs in.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// What carries events.
    pub broker: Arc<dyn Broker>,
    /// Where metrics are registered.
    pub registry: &'a mut Registry,
    /// Told when the database is away.
    pub readiness: Readiness,
    /// Waits for the background tasks at the end.
    pub tasks: TaskTracker,
    /// Ends the background tasks.
    pub stop: CancellationToken,
}

/// What the service answers.
///
/// Mount both on a listener or an in-process channel of their own: other services
/// have a `LogService` too.
#[derive(Clone, Debug)]
pub struct Services {
    /// `fanfare.notify.v1.NotifyService`: notifications and inboxes.
    pub notify: NotifyServiceServer<Grpc>,
    /// `fanfare.log.v1.LogService`: the logs of inboxes.
    pub log: LogServiceServer<Logs<InboxAuthorizer>>,
}

impl Services {
    /// Names that the health service answers for.
    pub const NAMES: &'static [&'static str] = &[
        "fanfare.notify.v1.NotifyService",
        "fanfare.log.v1.LogService",
    ];

    /// Both, ready to be served.
    #[must_use]
    pub fn routes(self) -> Routes {
        Routes::new(self.notify).add_service(self.log)
    }
}

/// Builds the service and starts its background tasks.
///
/// These are the publisher's sweeper, the database's probe, and retention. The
/// database is waited for only to bring its tables up to date, and then as long as
/// it takes or until `stop`.
///
/// # Errors
/// The database's address is bad, or its tables are not ours.
pub async fn build(config: &Config, surroundings: Surroundings<'_>) -> anyhow::Result<Services> {
    let Surroundings {
        broker,
        registry,
        readiness,
        tasks,
        stop,
    } = surroundings;
    let settings = &config.database;
    let database = Database::new(settings.url.expose(), settings.max_connections)
        .map_err(|problem| anyhow::anyhow!("database.url: {problem}"))?;
    let store = database.store().context("the folder of the database")?;
    if settings.migrate {
        tokio::select! {
            result = migrate_until_done(&database) => result?,
            () = stop.cancelled() => anyhow::bail!("stopped before the database was there"),
        }
    }

    let metrics = journal::Metrics::default();
    metrics.register(registry.sub_registry_with_prefix("fanfare_notify"));
    let publisher = Publisher::new(store.journal(), broker, PublisherConfig::default(), metrics);
    tasks.spawn(publisher.clone().run(stop.clone()));
    tasks.spawn(probe(
        Arc::clone(&store),
        settings.clone(),
        readiness,
        stop.clone(),
    ));
    if !config.retention.is_zero() {
        let store = Arc::clone(&store);
        tasks.spawn(retention::run(
            store,
            config.retention,
            settings.timeout,
            stop,
        ));
    }

    let notifications = Notifications::new(Arc::clone(&store), publisher.clone(), settings.timeout);
    let inboxes = Inboxes::new(Arc::clone(&store), publisher, settings.timeout);
    let logs = Logs::new(store.journal(), InboxAuthorizer(inboxes.clone()));
    Ok(Services {
        notify: NotifyServiceServer::new(Grpc::new(notifications, inboxes)),
        log: LogServiceServer::new(logs),
    })
}

/// Brings the tables up to date, waiting for a database that is away.
async fn migrate_until_done(database: &Database) -> anyhow::Result<()> {
    let mut pause = Duration::from_millis(100);
    loop {
        match database.migrate().await {
            Ok(()) => return Ok(()),
            Err(Error::Unavailable(cause)) => {
                tracing::warn!(error = %cause, "the database is not there yet");
                tokio::time::sleep(pause.mul_f64(rand::rng().random_range(0.5..1.0))).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            Err(error) => {
                return Err(error).context("the tables cannot be brought up to date");
            }
        }
    }
}

/// Keeps readiness true: asked rarely here, so that no probe waits for the database.
async fn probe(
    store: Arc<dyn Store>,
    settings: DatabaseConfig,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let mut away = false;
    loop {
        match within(settings.timeout, store.ping()).await {
            Ok(()) => {
                if std::mem::take(&mut away) {
                    tracing::info!("the database is back");
                }
                readiness.clear(DATABASE);
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the database is away; calls are refused until it is back"
                    );
                }
                readiness.block(DATABASE, error.to_string());
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
    }
}
