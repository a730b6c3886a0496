//! Puts the parts together: for the binary, and for a process that runs several
//! services.

use std::sync::Arc;

use anyhow::Context;
use broker::Broker;
use journal::{Logs, Publisher, PublisherConfig};
use prometheus_client::registry::Registry;
use proto::log::v1::log_service_server::LogServiceServer;
use proto::notify::v1::notify_service_server::NotifyServiceServer;
use runtime::admin::Readiness;
use service::{Database, watch::watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::config::Config;
use crate::grpc::{Grpc, InboxAuthorizer};
use crate::inboxes::Inboxes;
use crate::notifications::Notifications;
use crate::retention;
use crate::store;

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
    let store = store::open(&database).context("the folder of the database")?;
    if settings.migrate {
        let migrations = store::migrations();
        tokio::select! {
            result = database.migrate_until_done(&migrations) => {
                result.context("the tables cannot be brought up to date")?;
            }
            () = stop.cancelled() => anyhow::bail!("stopped before the database was there"),
        }
    }

    let metrics = journal::Metrics::default();
    metrics.register(registry.sub_registry_with_prefix("fanfare_notify"));
    let publisher = Publisher::new(store.journal(), broker, PublisherConfig::default(), metrics);
    tasks.spawn(publisher.clone().run(stop.clone()));
    let watched = Arc::clone(&store);
    let missing_tables = move || {
        let store = Arc::clone(&watched);
        async move { store.missing_tables().await }
    };
    tasks.spawn(watch(
        missing_tables,
        settings.timeout,
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
