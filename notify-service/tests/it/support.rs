//! A running service, and callers of it.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, History, HistoryRequest, MemoryBroker};
use notify_service::{Config, Services, Surroundings, build};
use prometheus_client::registry::Registry;
use proto::log::v1::log_service_client::LogServiceClient;
use proto::notify::v1::notify_service_client::NotifyServiceClient;
use proto::notify::v1::{ListInboxRequest, ListInboxResponse, NotifyRequest};
use runtime::admin::Readiness;
use runtime::grpc::{Outgoing, SERVICE, ServeOptions, serve};
use runtime::shutdown::Shutdown;
use serde_json::Value;
use testkit::TestDatabase;
use tokio::net::TcpListener;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A service with a database of its own.
pub(crate) struct TestService {
    pub(crate) notify: NotifyServiceClient<Channel>,
    pub(crate) log: LogServiceClient<Channel>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) readiness: Readiness,
    shutdown: Shutdown,
    _place: Place,
}

#[expect(dead_code, reason = "held for their drop")]
enum Place {
    Postgres(TestDatabase),
    Sqlite(tempfile::TempDir),
}

impl TestService {
    pub(crate) async fn postgres() -> Self {
        Self::on(TestDatabase::new().await, Arc::new(MemoryBroker::new())).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/notify.db", folder.path().display());
        Self::start(&url, Arc::new(MemoryBroker::new()), Place::Sqlite(folder)).await
    }

    pub(crate) async fn on(database: TestDatabase, broker: Arc<dyn Broker>) -> Self {
        let url = database.url().to_owned();
        Self::start(&url, broker, Place::Postgres(database)).await
    }

    async fn start(url: &str, broker: Arc<dyn Broker>, place: Place) -> Self {
        let mut config = Config::default();
        config.database.url = url.into();
        config.database.timeout = Duration::from_secs(2);
        let shutdown = Shutdown::new();
        let readiness = Readiness::new();
        let surroundings = Surroundings {
            broker: Arc::clone(&broker),
            registry: &mut Registry::default(),
            readiness: readiness.clone(),
            tasks: shutdown.tracker().clone(),
            stop: shutdown.token(),
        };
        let services = build(&config, surroundings).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let options = ServeOptions {
            health: Services::NAMES,
            ..ServeOptions::default()
        };
        let (routes, stop) = (services.routes(), shutdown.token());
        shutdown
            .tracker()
            .spawn(async move { serve(listener, routes, options, stop, SOON).await.unwrap() });
        let channel = runtime::grpc::connect_lazy(&address, SOON).unwrap();
        Self {
            notify: NotifyServiceClient::new(channel.clone()),
            log: LogServiceClient::new(channel),
            broker,
            readiness,
            shutdown,
            _place: place,
        }
    }

    /// Notifies users of a title, and returns the ids.
    pub(crate) async fn notify(&self, users: &[&str], title: &str) -> Vec<String> {
        let request = by_service(notify_request(users, title));
        let response = self.notify.clone().notify(request).await.unwrap();
        let results = response.into_inner().results;
        results
            .into_iter()
            .map(|result| result.notification_id)
            .collect()
    }

    pub(crate) async fn list(&self, user: &str, request: ListInboxRequest) -> ListInboxResponse {
        let response = self.notify.clone().list_inbox(by(user, request)).await;
        response.unwrap().into_inner()
    }

    /// What the broker has of a user's inbox.
    pub(crate) async fn history(&self, user: &str) -> History {
        let request = HistoryRequest {
            meta_ttl: SOON,
            ..HistoryRequest::default()
        };
        self.broker
            .history(&format!("inbox:#{user}"), request)
            .await
            .unwrap_or_default()
    }

    /// The events that were published to a user, once there are as many.
    pub(crate) async fn published(&self, user: &str, n_events: usize) -> Vec<Value> {
        testkit::eventually(SOON, async || {
            self.history(user).await.publications.len() >= n_events
        })
        .await;
        let history = self.history(user).await;
        let decode = |publication: &broker::Publication| {
            serde_json::from_slice(&publication.data).expect("events are JSON")
        };
        history.publications.iter().map(decode).collect()
    }

    /// Stops it and waits for all of its tasks.
    pub(crate) async fn stop(self) {
        let Self {
            notify,
            log,
            shutdown,
            ..
        } = self;
        drop((notify, log));
        assert!(shutdown.drain(SOON).await, "all tasks end");
    }
}

pub(crate) fn notify_request(users: &[&str], title: &str) -> NotifyRequest {
    NotifyRequest {
        users: users.iter().map(|&user| user.to_owned()).collect(),
        category: "mention".to_owned(),
        title: title.to_owned(),
        ..NotifyRequest::default()
    }
}

/// A call made for a user, as the gateway makes it.
pub(crate) fn by<T>(user: &str, message: T) -> Request<T> {
    let mut request = by_service(message);
    Outgoing::set_user(request.metadata_mut(), user);
    request
}

/// A call that a service makes by itself.
pub(crate) fn by_service<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let name = MetadataValue::from_static("chat-service");
    request.metadata_mut().insert(SERVICE, name);
    request
}

/// Runs stories on a service with each kind of database.
#[macro_export]
macro_rules! on_both {
    ($($story:ident,)*) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let service = $crate::support::TestService::postgres().await;
                super::$story(&service).await;
                service.stop().await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let service = $crate::support::TestService::sqlite().await;
                super::$story(&service).await;
                service.stop().await;
            })*
        }
    };
}
