//! Puts the parts together: for the binary, and for a process that runs several
//! services.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::Broker;
use journal::{Logs, Publisher, PublisherConfig};
use prometheus_client::registry::Registry;
use proto::chat::v1::chat_service_server::ChatServiceServer;
use proto::log::v1::log_service_server::LogServiceServer;
use rand::Rng;
use runtime::admin::Readiness;
use runtime::grpc::Outgoing;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::announcer::Announcer;
use crate::config::{Config, DatabaseConfig};
use crate::database::Database;
use crate::deadline::within;
use crate::error::Error;
use crate::grpc::{Grpc, RoomAuthorizer};
use crate::messages::{Messages, may_send};
use crate::metrics::Metrics;
use crate::notifier::GrpcNotifier;
use crate::outbox::Outbox;
use crate::rooms::Rooms;
use crate::sends::{Sends, SendsConfig};
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
    /// Leads to notify-service.
    pub notify: Channel,
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
    /// `fanfare.chat.v1.ChatService`: rooms and messages.
    pub chat: ChatServiceServer<Grpc>,
    /// `fanfare.log.v1.LogService`: the logs of rooms.
    pub log: LogServiceServer<Logs<RoomAuthorizer>>,
}

impl Services {
    /// Names that the health service answers for.
    pub const NAMES: &'static [&'static str] =
        &["fanfare.chat.v1.ChatService", "fanfare.log.v1.LogService"];

    /// Both, ready to be served.
    #[must_use]
    pub fn routes(self) -> Routes {
        Routes::new(self.chat).add_service(self.log)
    }
}

/// Builds the service and starts its background tasks.
///
/// These are the publisher's sweeper, the outbox, and the database's probe. The
/// database is waited for only to bring its tables up to date, and then as long as
/// it takes or until `stop`.
///
/// # Errors
/// The database's address or the shared key is bad, or the tables are not ours.
pub async fn build(config: &Config, surroundings: Surroundings<'_>) -> anyhow::Result<Services> {
    let Surroundings {
        broker,
        notify,
        registry,
        readiness,
        tasks,
        stop,
    } = surroundings;
    let settings = &config.database;
    let database = Database::new(settings.url.expose(), settings.max_connections)
        .map_err(|problem| anyhow::anyhow!("database.url: {problem}"))?;
    let store = database.store().context("the folder of the database")?;
    if settings.migrate || database.is_file() {
        tokio::select! {
            result = migrate_until_done(&database) => result?,
            () = stop.cancelled() => anyhow::bail!("stopped before the database was there"),
        }
    }

    let registry = registry.sub_registry_with_prefix("fanfare_chat");
    let metrics = journal::Metrics::default();
    metrics.register(registry);
    let publishing = PublisherConfig {
        history: config.history.policy(),
        ..PublisherConfig::default()
    };
    let publisher = Publisher::new(store.journal(), Arc::clone(&broker), publishing, metrics);
    tasks.spawn(publisher.clone().run(stop.clone()));
    tasks.spawn(probe(
        Arc::clone(&store),
        settings.clone(),
        readiness,
        stop.clone(),
    ));
    let outgoing = Outgoing::new(
        "chat-service",
        &config.grpc.shared_key,
        config.notify.timeout,
    )
    .context("grpc.shared_key")?;
    let wake = Arc::new(Notify::new());
    let metrics = Metrics::register(registry);
    let outbox = Outbox {
        store: Arc::clone(&store),
        notifier: Arc::new(GrpcNotifier::new(notify, outgoing)),
        wake: Arc::clone(&wake),
        timeout: settings.timeout,
        metrics: metrics.clone(),
    };
    tasks.spawn(outbox.run(stop));

    let timeout = settings.timeout;
    let sending = SendsConfig {
        max_waiting: settings.max_waiting_sends,
        timeout,
        tasks: tasks.clone(),
    };
    let sends = Sends::new(
        Arc::clone(&store),
        publisher.clone(),
        wake,
        may_send,
        sending,
        metrics,
    );
    let announcer = Announcer::new(broker, tasks);
    let rooms = Rooms::new(
        Arc::clone(&store),
        publisher.clone(),
        announcer.clone(),
        timeout,
    );
    let messages = Messages::new(Arc::clone(&store), publisher, announcer, sends, timeout);
    let logs = Logs::new(store.journal(), RoomAuthorizer(rooms.clone()));
    Ok(Services {
        chat: ChatServiceServer::new(Grpc::new(rooms, messages)),
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
