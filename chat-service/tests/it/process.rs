//! The binary with a real Redis and PostgreSQL, when something dies.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker::{Broker, HistoryRequest, RedisBroker, RedisConfig};
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::{CreateRoomRequest, Room, RoomKind, SendMessageRequest};
use runtime::grpc::{Outgoing, connect_lazy};
use testkit::{RedisServer, TestDatabase, eventually};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Longer than the pauses of reconnecting and sweeping together.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running `chat-service`, killed when it is dropped.
struct Process {
    child: Child,
    chat: ChatServiceClient<InterceptedService<Channel, Alice>>,
}

#[derive(Clone)]
struct Alice;

impl Interceptor for Alice {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        Outgoing::set_user(request.metadata_mut(), "alice");
        Ok(request)
    }
}

impl Process {
    async fn start(database: &TestDatabase, redis: &RedisServer, fault: Option<&str>) -> Self {
        let (grpc, admin) = (free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
        command
            .arg("--set")
            .arg(format!("grpc.address=127.0.0.1:{grpc}"))
            .arg("--set")
            .arg(format!("admin.address=127.0.0.1:{admin}"))
            .arg("--set")
            .arg(format!("database.url={}", database.url()))
            .arg("--set")
            .arg(format!("engine.redis.address={}", redis.url()))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        if let Some(fault) = fault {
            command.env("FANFARE_TEST_FAULT", fault);
        }
        let mut process = Self {
            child: command.spawn().unwrap(),
            chat: ChatServiceClient::with_interceptor(
                connect_lazy(&format!("http://127.0.0.1:{grpc}"), DEADLINE).unwrap(),
                Alice,
            ),
        };
        eventually(DEADLINE, async || {
            let url = format!("http://127.0.0.1:{admin}/health/ready");
            let ready = tokio::task::spawn_blocking(move || runtime::probe::healthcheck(&url));
            assert!(
                process.child.try_wait().unwrap().is_none(),
                "chat-service ended"
            );
            ready.await.unwrap().is_ok()
        })
        .await;
        process
    }

    async fn room(&self) -> Room {
        let request = CreateRoomRequest {
            kind: RoomKind::Group.into(),
            name: "Room".into(),
            ..CreateRoomRequest::default()
        };
        let response = self.chat.clone().create_room(request).await.unwrap();
        response.into_inner().room.unwrap()
    }

    async fn send(&self, room: &Room, text: &str) -> Result<u64, Status> {
        let request = SendMessageRequest {
            room_id: room.id.clone(),
            client_msg_id: text.into(),
            text: text.into(),
            custom: None,
        };
        let response = self.chat.clone().send_message(request).await?;
        Ok(response.into_inner().message.unwrap().seq)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn redis_broker(redis: &RedisServer) -> RedisBroker {
    let config = RedisConfig {
        address: redis.url(),
        ..RedisConfig::default()
    };
    RedisBroker::new(config).unwrap()
}

/// The numbers of a room's events in Redis, and the texts of its messages.
async fn published(broker: &RedisBroker, room: &Room) -> (Vec<u64>, Vec<String>) {
    let request = HistoryRequest {
        meta_ttl: Duration::from_secs(3600),
        ..HistoryRequest::default()
    };
    let Ok(history) = broker.history(&room.channel, request).await else {
        return Default::default();
    };
    let publications = history.publications.into_iter();
    publications
        .map(|publication| {
            let event: serde_json::Value = serde_json::from_slice(&publication.data).unwrap();
            let text = event["message_created"]["text"].as_str();
            (publication.offset, text.unwrap_or_default().to_owned())
        })
        .unzip()
}

#[tokio::test]
async fn what_is_sent_while_redis_is_away_is_published_when_it_is_back() {
    let database = TestDatabase::new().await;
    let mut redis = RedisServer::start().await;
    let broker = redis_broker(&redis);
    let service = Process::start(&database, &redis, None).await;
    let room = service.room().await;
    assert_eq!(service.send(&room, "before").await.unwrap(), 1);
    eventually(DEADLINE, async || {
        published(&broker, &room).await.0.len() == 2
    })
    .await;

    redis.stop();
    for n in 2..=5 {
        assert_eq!(
            service.send(&room, &format!("during {n}")).await.unwrap(),
            n
        );
    }
    // It has lost everything.
    redis.restart().await;
    eventually(DEADLINE, async || {
        published(&broker, &room).await.0.len() == 6
    })
    .await;
    assert_eq!(service.send(&room, "after").await.unwrap(), 6);
    eventually(DEADLINE, async || {
        published(&broker, &room).await.0.len() == 7
    })
    .await;
    let (offsets, texts) = published(&broker, &room).await;
    assert_eq!(offsets, (1..=7).collect::<Vec<_>>());
    assert_eq!(texts[1..3], ["before".to_owned(), "during 2".to_owned()]);
    assert_eq!(texts[6], "after");
}

#[cfg(feature = "fault-points")]
#[tokio::test]
async fn what_was_committed_by_a_process_that_died_is_published_once() {
    let database = TestDatabase::new().await;
    let redis = RedisServer::start().await;
    let broker = redis_broker(&redis);
    let room = {
        let service = Process::start(&database, &redis, None).await;
        let room = service.room().await;
        eventually(DEADLINE, async || {
            published(&broker, &room).await.0.len() == 1
        })
        .await;
        room
    };
    let mut dying = Process::start(&database, &redis, Some("chat.before_publish")).await;
    dying.send(&room, "last words").await.unwrap_err();
    eventually(DEADLINE, async || dying.child.try_wait().unwrap().is_some()).await;
    assert_eq!(published(&broker, &room).await.0, [1]);

    let service = Process::start(&database, &redis, None).await;
    eventually(DEADLINE, async || {
        published(&broker, &room).await.0.len() == 2
    })
    .await;
    assert_eq!(
        service.send(&room, "last words").await.unwrap(),
        1,
        "the retry finds it"
    );
    assert_eq!(service.send(&room, "more").await.unwrap(), 2);
    eventually(DEADLINE, async || {
        published(&broker, &room).await.0.len() == 3
    })
    .await;
    let (offsets, texts) = published(&broker, &room).await;
    assert_eq!(offsets, [1, 2, 3]);
    assert_eq!(texts[1..], ["last words".to_owned(), "more".to_owned()]);
}
