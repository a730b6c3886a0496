//! Puts the parts together: for the binary, and for a process that runs several
//! services.

use std::sync::Arc;

use anyhow::Context;
use broker::Broker;
use journal::{Logs, Publisher, PublisherConfig};
use prometheus_client::registry::Registry;
use proto::chat::v1::chat_service_server::ChatServiceServer;
use proto::log::v1::log_service_server::LogServiceServer;
use runtime::admin::Readiness;
use runtime::grpc::Outgoing;
use service::{Database, watch::watch};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::announcer::Announcer;
use crate::config::Config;
use crate::grpc::{Grpc, RoomAuthorizer};
use crate::messages::{Messages, may_send};
use crate::metrics::Metrics;
use crate::notifier::GrpcNotifier;
use crate::outbox::Outbox;
use crate::rooms::Rooms;
use crate::sends::{Sends, SendsConfig};
use crate::store;

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

    let registry = registry.sub_registry_with_prefix("fanfare_chat");
    let metrics = journal::Metrics::default();
    metrics.register(registry);
    let publishing = PublisherConfig {
        history: config.history.policy(),
        ..PublisherConfig::default()
    };
    let publisher = Publisher::new(store.journal(), Arc::clone(&broker), publishing, metrics);
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
