//! The broker over Redis.

mod faults;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::contract::{Event, Nodes, Recorder};
use broker::{
    Broker, ClientInfo, Error, HistoryPolicy, HistoryRequest, PublishRequest, RedisBroker,
    RedisConfig,
};
use bytes::Bytes;
use testkit::RedisServer;
use tokio::runtime::{Handle, Runtime};

broker::contract_tests!(nodes);

async fn nodes() -> Nodes {
    let server = RedisServer::start().await;
    Nodes {
        here: Arc::new(node(&server, "here")),
        there: Arc::new(node(&server, "there")),
        guard: Box::new(server),
    }
}

fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig {
        address: server.url(),
        ..RedisConfig::default()
    }
}

fn node(server: &RedisServer, name: &str) -> RedisBroker {
    RedisBroker::for_node(config(server), name, &[Handle::current()]).expect("a good configuration")
}

async fn record(broker: &RedisBroker) -> Arc<Recorder> {
    let recorder = Arc::new(Recorder::default());
    broker.run(recorder.clone()).await.expect("it runs");
    recorder
}

fn text(text: &'static str) -> PublishRequest {
    PublishRequest {
        data: Bytes::from_static(text.as_bytes()),
        ..PublishRequest::default()
    }
}

/// No other thread is woken for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_on_a_runtime_goes_over_its_own_connection() {
    let server = RedisServer::start().await;
    let other = runtime();
    let runtimes = [Handle::current(), other.handle().clone()];
    let broker = RedisBroker::for_node(config(&server), "node", &runtimes).unwrap();
    let broker = Arc::new(broker);
    // A call of its own kind on each, and one from neither, which is the first's.
    broker.presence_stats("room:1").await.unwrap();
    let there = Arc::clone(&broker);
    let publishing = async move { there.publish("room:1", text("there")).await };
    other.spawn(publishing).await.unwrap().unwrap();
    let last_commands = last_commands(&server).await;
    assert_eq!(last_commands, ["evalsha", "publish"], "on one each");
    let elsewhere = runtime();
    let from_there = Arc::clone(&broker);
    let removing = async move { from_there.remove_history("room:1").await };
    elsewhere.spawn(removing).await.unwrap().unwrap();
    let last_commands = self::last_commands(&server).await;
    assert_eq!(last_commands, ["del", "publish"], "on the first");
    for runtime in [other, elsewhere] {
        runtime.shutdown_background();
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The last command of each connection, in alphabetical order.
async fn last_commands(server: &RedisServer) -> Vec<String> {
    let clients = server.command("CLIENT LIST").await;
    let words = clients.split_ascii_whitespace();
    let commands = words.filter_map(|word| word.strip_prefix("cmd="));
    let others = commands.filter(|command| !command.starts_with("client"));
    let mut others: Vec<_> = others.map(str::to_owned).collect();
    others.sort_unstable();
    others
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_never_see_each_other() {
    let server = RedisServer::start().await;
    let with_prefix = |prefix: &str| {
        let config = RedisConfig {
            prefix: prefix.into(),
            ..config(&server)
        };
        RedisBroker::for_node(config, "node", &[Handle::current()]).expect("a good configuration")
    };
    let (one, two) = (with_prefix("one"), with_prefix("one:pub"));
    let (at_one, at_two) = (record(&one).await, record(&two).await);
    for broker in [&one, &two] {
        broker.subscribe("room:1").await.unwrap();
    }
    for (broker, name) in [(&one, "one"), (&two, "two")] {
        let request = PublishRequest {
            history: Some(HistoryPolicy {
                size: 10,
                ttl: Duration::from_secs(60),
                meta_ttl: Duration::ZERO,
            }),
            idempotency_key: Some("key".into()),
            ..text(name)
        };
        let published = broker.publish("room:1", request).await.unwrap();
        assert!(!published.suppressed);
        let message = Bytes::from_static(name.as_bytes());
        broker.publish_control(None, message.clone()).await.unwrap();
        broker.publish_control(Some("node"), message).await.unwrap();
        let info = ClientInfo::default();
        let ttl = Duration::from_secs(60);
        broker.add_presence("room:1", &info, ttl).await.unwrap();
        let stats = broker.presence_stats("room:1").await.unwrap();
        assert_eq!(stats.num_clients, 1);
    }
    for (broker, recorder, name) in [(&one, at_one, "one"), (&two, at_two, "two")] {
        let events = recorder.until(|events| (events.len() >= 3).then(|| events.to_vec()));
        for event in events.await {
            match event {
                Event::Publication { publication, .. } => assert_eq!(publication.data, name),
                Event::Control(message) => assert_eq!(message, name),
                other => panic!("{other:?}"),
            }
        }
        let history = broker.history("room:1", HistoryRequest::default()).await;
        assert_eq!(history.unwrap().publications.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_message_to_one_node_reaches_only_that_one() {
    let server = RedisServer::start().await;
    let (one, two) = (node(&server, "one"), node(&server, "two"));
    let (at_one, at_two) = (record(&one).await, record(&two).await);
    for (to, message) in [
        (Some("one"), "1"),
        (Some("two"), "2"),
        (Some("three"), "3"),
        (None, "all"),
    ] {
        let message = Bytes::from_static(message.as_bytes());
        one.publish_control(to, message).await.unwrap();
    }
    for (recorder, own) in [(at_one, "1"), (at_two, "2")] {
        let events = recorder.until(|events| (events.len() >= 2).then(|| events.to_vec()));
        let expected = [own, "all"].map(|text| Event::Control(text.into()));
        assert_eq!(events.await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_connects_with_a_password_and_over_a_socket() {
    let server = RedisServer::with_args(&["--requirepass", "s3cret"]).await;
    let socket = format!("unix://{}", server.socket().display());
    for address in [server.url(), socket] {
        let config = RedisConfig {
            address,
            password: "s3cret".into(),
            ..RedisConfig::default()
        };
        let broker = RedisBroker::new(config).unwrap();
        broker.publish("room:1", text("")).await.unwrap();
        assert!(!format!("{broker:?}").contains("s3cret"));
    }
    let config = RedisConfig {
        address: server.url(),
        password: "wrong".into(),
        io_timeout: Duration::from_millis(300),
        ..RedisConfig::default()
    };
    let broker = RedisBroker::new(config).unwrap();
    let published = broker.publish("room:1", text("")).await;
    assert!(matches!(published, Err(Error::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_few_rights_is_enough() {
    let server = RedisServer::start().await;
    // What docs tell an operator to grant: our keys and channels, no administration.
    let acl = "ACL SETUSER few on >pw ~fanfare:* &fanfare:* +@all -@admin -@dangerous";
    assert_eq!(server.command(acl).await, "+OK\r\n");
    let config = RedisConfig {
        user: "few".into(),
        password: "pw".into(),
        ..config(&server)
    };
    let broker = RedisBroker::for_node(config, "node", &[Handle::current()]).unwrap();
    let recorder = record(&broker).await;
    broker.subscribe("room:1").await.unwrap();
    broker.publish("room:1", text("hello")).await.unwrap();
    recorder.publications("room:1", 1).await;
    assert_eq!(broker.advise().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gives_advice() {
    let server = RedisServer::start().await;
    let broker = RedisBroker::new(config(&server)).unwrap();
    assert_eq!(broker.advise().await, Vec::<String>::new());
    server.command("CONFIG SET maxmemory 100mb").await;
    server
        .command("CONFIG SET maxmemory-policy allkeys-lru")
        .await;
    let limit = "CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"";
    assert_eq!(server.command(limit).await, "+OK\r\n");
    let advice = broker.advise().await;
    assert_eq!(advice.len(), 2, "{advice:?}");
    assert!(advice[0].contains("allkeys-lru"));
    assert!(advice[1].contains("1048576"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_messages_are_counted_and_passed_over() {
    let server = RedisServer::start().await;
    let broker = node(&server, "node");
    let recorder = record(&broker).await;
    broker.subscribe("room:1").await.unwrap();
    server
        .command("PUBLISH fanfare:pub:{.room:1} nonsense")
        .await;
    broker.publish("room:1", text("sense")).await.unwrap();
    let arrived = recorder.publications("room:1", 1).await;
    assert_eq!(arrived[0].data, "sense");
    assert_eq!(broker.stats().dropped.load(Ordering::Relaxed), 1);
    assert_eq!(broker.stats().received.load(Ordering::Relaxed), 2);
    assert_eq!(broker.stats().publishes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn subscribing_before_running_is_refused() {
    let server = RedisServer::start().await;
    let broker = RedisBroker::new(config(&server)).unwrap();
    let subscribed = broker.subscribe("room:1").await;
    assert!(matches!(subscribed, Err(Error::Invalid(_))));
    record(&broker).await;
    let again = broker.run(Arc::new(Recorder::default())).await;
    assert!(matches!(again, Err(Error::Invalid(_))));
}
