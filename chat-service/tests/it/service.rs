//! A service with its own database, broker and notify-service, and its callers.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, HistoryRequest, MemoryBroker, Publication};
use chat_service::{Config, Services, Surroundings, build};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::{
    CreateRoomRequest, Message, OpenDirectRoomRequest, Room, RoomKind, SendMessageRequest,
    SendMessageResponse,
};
use proto::log::v1::log_service_client::LogServiceClient;
use proto::notify::v1 as notify;
use proto::notify::v1::notify_service_server::{NotifyService, NotifyServiceServer};
use runtime::admin::Readiness;
use runtime::config::SecretUrl;
use runtime::grpc::{Outgoing, ServeOptions, connect_lazy, serve};
use serde_json::Value;
use testkit::TestDatabase;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct TestService {
    pub(crate) broker: Arc<MemoryBroker>,
    pub(crate) notifications: Notifications,
    pub(crate) readiness: Readiness,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    channel: Channel,
    database: Database,
    registry: Registry,
}

enum Database {
    Postgres(TestDatabase),
    Sqlite(tempfile::TempDir),
    Elsewhere(String),
}

impl Database {
    fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url().to_owned(),
            Self::Sqlite(dir) => format!("sqlite://{}/chat.db", dir.path().display()),
            Self::Elsewhere(url) => url.clone(),
        }
    }
}

pub(crate) type Chat = ChatServiceClient<InterceptedService<Channel, As>>;

/// Makes calls for a user.
#[derive(Clone)]
pub(crate) struct As(String);

impl tonic::service::Interceptor for As {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        Outgoing::set_user(request.metadata_mut(), &self.0);
        Ok(request)
    }
}

impl TestService {
    pub(crate) async fn postgres() -> Self {
        Self::start(
            Database::Postgres(TestDatabase::new().await),
            Arc::default(),
            Notifications::default(),
        )
        .await
    }

    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start(
            Database::Sqlite(dir),
            Arc::default(),
            Notifications::default(),
        )
        .await
    }

    /// A service on a database that the test looks after.
    pub(crate) async fn on(url: &str) -> Self {
        Self::on_with(url, |_| {}).await
    }

    /// The same, with other settings than the tests'.
    pub(crate) async fn on_with(url: &str, set: impl FnOnce(&mut Config)) -> Self {
        let database = Database::Elsewhere(url.to_owned());
        Self::start_with(database, Arc::default(), Notifications::default(), set).await
    }

    /// Another process on the same database, with another broker.
    pub(crate) async fn beside(&self, broker: Arc<MemoryBroker>) -> Self {
        let database = Database::Elsewhere(self.database.url());
        Self::start(database, broker, self.notifications.clone()).await
    }

    async fn start(
        database: Database,
        broker: Arc<MemoryBroker>,
        notifications: Notifications,
    ) -> Self {
        Self::start_with(database, broker, notifications, |_| {}).await
    }

    async fn start_with(
        database: Database,
        broker: Arc<MemoryBroker>,
        notifications: Notifications,
        set: impl FnOnce(&mut Config),
    ) -> Self {
        let (stop, tasks, readiness) = (
            CancellationToken::new(),
            TaskTracker::new(),
            Readiness::new(),
        );
        let mut config = Config::default();
        config.database.url = SecretUrl::new(database.url());
        config.database.timeout = Duration::from_secs(2);
        set(&mut config);
        let mut registry = Registry::default();
        let notify = Routes::new(NotifyServiceServer::new(notifications.clone()));
        let surroundings = Surroundings {
            broker: broker.clone(),
            notify: serve_on_free_port(notify, &stop).await,
            registry: &mut registry,
            readiness: readiness.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let services: Services = build(&config, surroundings).await.unwrap();
        Self {
            channel: serve_on_free_port(services.routes(), &stop).await,
            broker,
            notifications,
            readiness,
            stop,
            tasks,
            database,
            registry,
        }
    }

    /// The value of a metric without labels, such as `fanfare_chat_send_groups_total`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap().parse().unwrap()
    }

    /// The service as a user calls it.
    pub(crate) fn chat(&self, user: &str) -> Chat {
        ChatServiceClient::with_interceptor(self.channel.clone(), As(user.to_owned()))
    }

    /// The service as nobody calls it.
    pub(crate) fn anonymous(&self) -> ChatServiceClient<Channel> {
        ChatServiceClient::new(self.channel.clone())
    }

    /// The log service as a gateway calls it.
    pub(crate) fn logs(&self) -> LogServiceClient<Channel> {
        LogServiceClient::new(self.channel.clone())
    }

    /// A room of alice's with further members.
    pub(crate) async fn room(&self, kind: RoomKind, members: &[&str]) -> Room {
        let request = CreateRoomRequest {
            kind: kind.into(),
            name: "Room".into(),
            members: members.iter().map(ToString::to_string).collect(),
            client_room_id: String::new(),
        };
        let response = self.chat("alice").create_room(request).await.unwrap();
        response.into_inner().room.unwrap()
    }

    pub(crate) async fn direct(&self, user: &str, other: &str) -> Room {
        let request = OpenDirectRoomRequest { user: other.into() };
        let response = self.chat(user).open_direct_room(request).await.unwrap();
        response.into_inner().room.unwrap()
    }

    /// Sends with the text as `client_msg_id`.
    pub(crate) async fn send(
        &self,
        user: &str,
        room: &Room,
        text: &str,
    ) -> Result<SendMessageResponse, Status> {
        let request = SendMessageRequest {
            room_id: room.id.clone(),
            client_msg_id: text.chars().take(64).collect(),
            text: text.into(),
            custom: None,
        };
        let response = self.chat(user).send_message(request).await;
        response.map(Response::into_inner)
    }

    pub(crate) async fn sent(&self, user: &str, room: &Room, text: &str) -> Message {
        self.send(user, room, text).await.unwrap().message.unwrap()
    }

    /// What a channel carries, oldest first, once there are so many.
    pub(crate) async fn events(&self, channel: &str, count: usize) -> Vec<(u64, Value)> {
        let publications = self.publications(channel, count).await;
        let event = |p: &Publication| (p.offset, serde_json::from_slice(&p.data).unwrap());
        publications.iter().map(event).collect()
    }

    pub(crate) async fn publications(&self, channel: &str, count: usize) -> Vec<Publication> {
        let request = HistoryRequest {
            meta_ttl: DEADLINE,
            ..HistoryRequest::default()
        };
        let mut publications = Vec::new();
        testkit::eventually(DEADLINE, async || {
            let history = self.broker.history(channel, request.clone()).await.unwrap();
            publications = history.publications;
            publications.len() >= count
        })
        .await;
        assert_eq!(publications.len(), count, "{publications:?}");
        publications
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve_on_free_port(routes: Routes, stop: &CancellationToken) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let options = ServeOptions::default();
    tokio::spawn(serve(
        listener,
        routes,
        options,
        stop.clone(),
        Duration::ZERO,
    ));
    connect_lazy(&address, DEADLINE).unwrap()
}

/// A notify-service that remembers, and fails when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Notifications {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    received: Vec<notify::NotifyRequest>,
    failures: Vec<Status>,
}

impl Notifications {
    pub(crate) fn received(&self) -> Vec<notify::NotifyRequest> {
        self.state.lock().received.clone()
    }

    /// Fails the next call with this.
    pub(crate) fn fail_next(&self, status: Status) {
        self.state.lock().failures.push(status);
    }

    pub(crate) async fn receive(&self, count: usize) -> Vec<notify::NotifyRequest> {
        testkit::eventually(DEADLINE, async || self.received().len() >= count).await;
        self.received()
    }
}

#[async_trait::async_trait]
impl NotifyService for Notifications {
    async fn notify(
        &self,
        request: Request<notify::NotifyRequest>,
    ) -> Result<Response<notify::NotifyResponse>, Status> {
        let mut state = self.state.lock();
        if let Some(status) = state.failures.pop() {
            return Err(status);
        }
        assert_eq!(
            request.metadata().get("fanfare-service").unwrap(),
            "chat-service"
        );
        state.received.push(request.into_inner());
        Ok(Response::new(notify::NotifyResponse::default()))
    }
    async fn list_inbox(
        &self,
        _: Request<notify::ListInboxRequest>,
    ) -> Result<Response<notify::ListInboxResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_counts(
        &self,
        _: Request<notify::GetCountsRequest>,
    ) -> Result<Response<notify::GetCountsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn mark_seen(
        &self,
        _: Request<notify::MarkSeenRequest>,
    ) -> Result<Response<notify::MarkSeenResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn mark_read(
        &self,
        _: Request<notify::MarkReadRequest>,
    ) -> Result<Response<notify::MarkReadResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn mark_all_read(
        &self,
        _: Request<notify::MarkAllReadRequest>,
    ) -> Result<Response<notify::MarkAllReadResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn archive(
        &self,
        _: Request<notify::ArchiveRequest>,
    ) -> Result<Response<notify::ArchiveResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
