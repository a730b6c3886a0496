//! What happens when Redis or the way to it fails.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker::contract::{Event, Recorder};
use broker::{
    Broker, Error, HistoryPolicy, HistoryRequest, Position, PublishRequest, Published, PublishedAt,
    RedisBroker, RedisConfig,
};
use futures_util::future::{join_all, try_join_all};
use testkit::{RedisServer, eventually};
use tokio::runtime::Handle;

use super::{config, node, record, text};

const CHANNEL: &str = "room:1";

/// Reconnecting takes up to two seconds once Redis is back.
const SOON: Duration = Duration::from_secs(15);

fn kept() -> PublishRequest {
    PublishRequest {
        history: Some(HistoryPolicy {
            size: 100,
            ttl: Duration::from_secs(60),
            meta_ttl: Duration::from_secs(600),
        }),
        ..text("kept")
    }
}

async fn uncertain(recorder: &Recorder) -> Vec<String> {
    recorder
        .until(|events| {
            events.iter().find_map(|event| match event {
                Event::PositionsUncertain(channels) => {
                    Some(channels.iter().map(ToString::to_string).collect())
                }
                _ => None,
            })
        })
        .await
}

async fn available(broker: &RedisBroker) {
    eventually(SOON, async || broker.is_available()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_killed_link_all_is_subscribed_again_and_uncertain() {
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    let recorder = record(&broker).await;
    let channels: HashSet<Arc<str>> = (0..50).map(|n| format!("room:{n}").into()).collect();
    try_join_all(channels.iter().map(|channel| broker.subscribe(channel)))
        .await
        .unwrap();
    broker.unsubscribe("room:49").await.unwrap();

    server.command("CLIENT KILL TYPE pubsub").await;
    let mut found: HashSet<Arc<str>> = HashSet::new();
    // Each of the two connections reports its own.
    eventually(SOON, async || {
        found.extend(recorder.events().into_iter().flat_map(|event| match event {
            Event::PositionsUncertain(channels) => channels,
            _ => Vec::new(),
        }));
        found.len() >= 49
    })
    .await;
    assert!(!found.contains("room:49"));
    assert_eq!(found.len(), 49);
    for channel in &found {
        broker.publish(channel, text("again")).await.unwrap();
        recorder.publications(channel, 1).await;
    }
    assert!(broker.stats().reconnects.load(Ordering::Relaxed) >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_without_loss_keeps_positions_and_history() {
    let mut server = RedisServer::durable().await;
    let broker = node(&server, "a");
    let recorder = record(&broker).await;
    broker.subscribe(CHANNEL).await.unwrap();
    let before = broker.publish(CHANNEL, kept()).await.unwrap().position;
    recorder.publications(CHANNEL, 1).await;
    server.stop();
    eventually(SOON, async || !broker.is_available()).await;
    server.restart().await;
    assert_eq!(uncertain(&recorder).await, [CHANNEL]);
    available(&broker).await;
    let history = broker.history(CHANNEL, HistoryRequest::default()).await;
    let history = history.unwrap();
    assert_eq!(Some(history.position), before);
    assert_eq!(history.publications.len(), 1);
    broker.publish(CHANNEL, kept()).await.unwrap();
    let arrived = recorder.publications(CHANNEL, 2).await;
    assert_eq!(arrived[1].offset, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_with_loss_changes_the_epoch() {
    let mut server = RedisServer::start().await;
    let broker = node(&server, "a");
    let recorder = record(&broker).await;
    broker.subscribe(CHANNEL).await.unwrap();
    let before = broker.publish(CHANNEL, kept()).await.unwrap().position;
    server.restart().await;
    assert_eq!(uncertain(&recorder).await, [CHANNEL]);
    let positions = broker.positions(&[CHANNEL.into()]).await.unwrap();
    assert_eq!(positions, [None]);
    let after = broker.publish(CHANNEL, kept()).await.unwrap().position;
    let (before, after) = (before.unwrap(), after.unwrap());
    assert_ne!(before.epoch, after.epoch);
    assert_eq!(after.offset, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_takes_scripts_and_data_and_the_log_brings_them_back() {
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    let recorder = record(&broker).await;
    broker.subscribe(CHANNEL).await.unwrap();
    let at = |offset| Position {
        epoch: "log".into(),
        offset,
    };
    for offset in 1..=3 {
        broker
            .publish_at(CHANNEL, &at(offset), kept())
            .await
            .unwrap();
    }
    server.flush().await;
    let published = broker.publish_at(CHANNEL, &at(4), kept()).await.unwrap();
    assert_eq!(published, PublishedAt::Gap { top: 0 });
    let ttl = Duration::from_secs(60);
    broker.anchor(CHANNEL, &at(3), ttl).await.unwrap();
    let published = broker.publish_at(CHANNEL, &at(4), kept()).await.unwrap();
    assert_eq!(published, PublishedAt::Appended);
    let arrived = recorder.publications(CHANNEL, 4).await;
    let offsets: Vec<_> = arrived.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4], "no subscriber noticed");
    assert!(broker.is_available());
}

/// They go to Redis together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_fails_takes_no_other_along() {
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    server
        .command("SET fanfare:meta:{.room:7} not-a-hash")
        .await;
    let channels = (0..20).map(|n| format!("room:{n}"));
    let publishing = channels.map(|channel| {
        let broker = &broker;
        async move {
            let all = (0..10).map(|_| broker.publish(&channel, kept()));
            (channel.clone(), join_all(all).await)
        }
    });
    for (channel, published) in join_all(publishing).await {
        if channel == "room:7" {
            let failed = |p: &Result<_, Error>| matches!(p, Err(Error::Failed(_)));
            assert!(published.iter().all(failed), "{published:?}");
            continue;
        }
        let offset = |p: Result<Published, Error>| p.unwrap().position.unwrap().offset;
        let mut offsets: Vec<_> = published.into_iter().map(offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (1..=10).collect::<Vec<_>>(), "{channel}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_was_evicted_takes_its_publications_along() {
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    for _ in 0..3 {
        broker.publish(CHANNEL, kept()).await.unwrap();
    }
    server.command("DEL fanfare:meta:{.room:1}").await;
    let read = broker
        .history(CHANNEL, HistoryRequest::default())
        .await
        .unwrap();
    assert_eq!(read.publications, []);
    server.command("DEL fanfare:meta:{.room:1}").await;
    let position = broker.publish(CHANNEL, kept()).await.unwrap().position;
    assert_eq!(position.unwrap().offset, 1);
    let read = broker
        .history(CHANNEL, HistoryRequest::default())
        .await
        .unwrap();
    assert_eq!(read.publications.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_is_noticed_within_ten_seconds_and_left_behind() {
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    let recorder = record(&broker).await;
    broker.subscribe(CHANNEL).await.unwrap();
    server.pause();
    let paused = Instant::now();
    eventually(Duration::from_secs(10), async || !broker.is_available()).await;
    assert!(paused.elapsed() < Duration::from_secs(10));
    server.resume();
    assert_eq!(uncertain(&recorder).await, [CHANNEL]);
    available(&broker).await;
    broker.publish(CHANNEL, text("again")).await.unwrap();
    let arrived = recorder.publications(CHANNEL, 1).await;
    assert_eq!(arrived.last().unwrap().data, "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_during_an_outage_end_in_time_and_leave_nothing_behind() {
    let mut server = RedisServer::start().await;
    let config = RedisConfig {
        io_timeout: Duration::from_millis(500),
        ..config(&server)
    };
    let broker = RedisBroker::for_node(config, "a", &[Handle::current()]).unwrap();
    let recorder = record(&broker).await;
    broker.subscribe("before").await.unwrap();
    server.stop();
    // Until the loss is noticed, it is in force.
    eventually(SOON, async || broker.subscribe("before").await.is_err()).await;

    let started = Instant::now();
    let (published, subscribed, again, read) = tokio::join!(
        broker.publish(CHANNEL, text("lost")),
        broker.subscribe(CHANNEL),
        broker.subscribe("before"),
        broker.history(CHANNEL, HistoryRequest::default()),
    );
    assert!(matches!(published, Err(Error::Unavailable(_))));
    assert!(matches!(subscribed, Err(Error::Unavailable(_))));
    assert!(matches!(again, Err(Error::Unavailable(_))));
    assert!(matches!(read, Err(Error::Unavailable(_))));
    assert!(started.elapsed() < Duration::from_secs(2));
    // It needs no Redis.
    broker.unsubscribe("unknown").await.unwrap();

    server.restart().await;
    assert_eq!(uncertain(&recorder).await, ["before"]);
    available(&broker).await;
    let names = server.command("PUBSUB CHANNELS fanfare:pub:*").await;
    assert!(names.contains("{.before}"), "{names}");
    assert!(!names.contains("{.room:1}"), "it must not stay: {names}");
    broker.subscribe(CHANNEL).await.unwrap();
    broker.publish(CHANNEL, text("back")).await.unwrap();
    assert_eq!(recorder.publications(CHANNEL, 1).await[0].data, "back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_may_wait_for_redis_to_come_back() {
    let mut server = RedisServer::start().await;
    let broker = Arc::new(node(&server, "a"));
    broker.publish(CHANNEL, text("")).await.unwrap();
    server.stop();
    eventually(SOON, async || !broker.is_available()).await;
    let publishing = tokio::spawn({
        let broker = Arc::clone(&broker);
        async move { broker.publish(CHANNEL, text("patient")).await }
    });
    server.restart().await;
    publishing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_channels_come_back_in_batches() {
    const N: usize = 20_000;
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    let recorder = record(&broker).await;
    let channels: Vec<String> = (0..N).map(|n| format!("room:{n}")).collect();
    // Nothing is answered before all have asked.
    server.pause();
    let asked = AtomicUsize::new(0);
    let subscribe = async |channel| {
        asked.fetch_add(1, Ordering::Relaxed);
        broker.subscribe(channel).await
    };
    let all_asked = async {
        eventually(SOON, async || asked.load(Ordering::Relaxed) == N).await;
        server.resume();
    };
    let (subscribed, ()) = tokio::join!(
        try_join_all(channels.iter().map(|channel| subscribe(channel))),
        all_asked
    );
    subscribed.unwrap();
    let calls = subscribe_calls(&server).await;
    // 20,000 at 512 a command are 40.
    assert!(calls < 60, "{calls} commands");

    server.command("CLIENT KILL TYPE pubsub").await;
    let n_uncertain = |events: &[Event]| -> usize {
        let channels = events.iter().map(|event| match event {
            Event::PositionsUncertain(channels) => channels.len(),
            _ => 0,
        });
        channels.sum()
    };
    recorder
        .until(|events| (n_uncertain(events) >= N).then_some(()))
        .await;
    assert_eq!(n_uncertain(&recorder.events()), N);
    let again = subscribe_calls(&server).await - calls;
    assert!(again < 60, "{again} commands");
    let channel = &channels[N - 1];
    broker.publish(channel, text("again")).await.unwrap();
    recorder.publications(channel, 1).await;
}

async fn subscribe_calls(server: &RedisServer) -> usize {
    let stats = server.command("INFO commandstats").await;
    let (_, calls) = stats.split_once("cmdstat_subscribe:calls=").expect("stats");
    let (calls, _) = calls.split_once(',').expect("stats");
    calls.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_redis_and_finds_it_later() {
    let mut server = RedisServer::start().await;
    server.stop();
    let config = RedisConfig {
        io_timeout: Duration::from_millis(300),
        ..config(&server)
    };
    let broker = RedisBroker::for_node(config, "a", &[Handle::current()]).unwrap();
    let recorder = record(&broker).await;
    assert!(!broker.is_available());
    server.restart().await;
    available(&broker).await;
    broker.subscribe(CHANNEL).await.unwrap();
    broker.publish(CHANNEL, text("hello")).await.unwrap();
    recorder.publications(CHANNEL, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_became_a_replica_is_left() {
    let server = RedisServer::start().await;
    let config = RedisConfig {
        io_timeout: Duration::from_millis(500),
        ..config(&server)
    };
    let broker = RedisBroker::for_node(config, "a", &[Handle::current()]).unwrap();
    record(&broker).await;
    server.command("REPLICAOF 127.0.0.1 1").await;
    let published = broker.publish(CHANNEL, kept()).await;
    assert!(
        matches!(published, Err(Error::Unavailable(_))),
        "{published:?}"
    );
    // By the answer: the next sign of life is asked for after three seconds.
    let at_once = Duration::from_secs(2);
    eventually(at_once, async || !broker.is_available()).await;
    server.command("REPLICAOF NO ONE").await;
    available(&broker).await;
    broker.publish(CHANNEL, kept()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_tasks_and_connections_end_with_it() {
    let server = RedisServer::start().await;
    let broker = node(&server, "a");
    record(&broker).await;
    broker.subscribe(CHANNEL).await.unwrap();
    let metrics = Handle::current().metrics();
    assert!(metrics.num_alive_tasks() > 0);
    drop(broker);
    eventually(SOON, async || metrics.num_alive_tasks() == 0).await;
    eventually(SOON, async || {
        let clients = server.command("INFO clients").await;
        clients.contains("connected_clients:1\r\n")
    })
    .await;
}
