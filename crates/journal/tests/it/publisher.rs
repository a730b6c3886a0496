//! Exactly once and in order, whatever happens in between.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, HistoryPolicy, HistoryRequest, MemoryBroker};
use journal::{Metrics, Publisher, PublisherConfig};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::on_both_stores;
use crate::store::{Store, events};

on_both_stores!(
    what_is_committed_is_published,
    commits_handed_over_out_of_order_are_published_in_order,
    what_a_dead_process_left_is_swept,
    a_broker_without_memory_gets_the_hot_history,
    several_publishers_do_no_harm,
    more_than_a_batch_is_read_from_the_log,
    stopping_notes_what_was_published,
);

const DEADLINE: Duration = Duration::from_secs(10);

fn config() -> PublisherConfig {
    PublisherConfig {
        history: HistoryPolicy {
            size: 3,
            ..PublisherConfig::default().history
        },
        sweep_interval: Duration::from_millis(20),
        sweep_after: Duration::ZERO,
        ..PublisherConfig::default()
    }
}

fn publisher(store: &Store, broker: &Arc<MemoryBroker>) -> Publisher {
    let broker: Arc<dyn Broker> = broker.clone();
    Publisher::new(store.journal(), broker, config(), Metrics::default())
}

async fn history(broker: &MemoryBroker, channel: &str) -> (String, u64, Vec<(u64, String)>) {
    let request = HistoryRequest {
        meta_ttl: DEADLINE,
        ..HistoryRequest::default()
    };
    let history = broker.history(channel, request).await.unwrap();
    let publications = history.publications.into_iter();
    let publications = publications
        .map(|p| (p.offset, String::from_utf8(p.data.to_vec()).unwrap()))
        .collect();
    (
        history.position.epoch.to_string(),
        history.position.offset,
        publications,
    )
}

async fn top(broker: &MemoryBroker, channel: &str) -> u64 {
    let positions = broker.positions(&[channel.into()]).await.unwrap();
    positions[0].as_ref().map_or(0, |position| position.offset)
}

async fn what_is_committed_is_published(store: Store) {
    let broker = Arc::new(MemoryBroker::default());
    let publisher = publisher(&store, &broker);
    let appended = store.append("room:a", &events(&["one", "two"])).await;
    let position = appended.position();
    publisher.committed(appended);
    publisher.publish("room:a").await.unwrap();
    let publications = vec![(1, "one".into()), (2, "two".into())];
    let expected = (position.epoch.to_string(), position.offset, publications);
    assert_eq!(history(&broker, "room:a").await, expected);
    // Nothing to do is no error, whether there is a log or not.
    publisher.publish("room:a").await.unwrap();
    publisher.publish("room:unknown").await.unwrap();
}

async fn commits_handed_over_out_of_order_are_published_in_order(store: Store) {
    let broker = Arc::new(MemoryBroker::default());
    let publisher = publisher(&store, &broker);
    let first = store.append("room:a", &events(&["one"])).await;
    let second = store.append("room:a", &events(&["two"])).await;
    publisher.committed(second);
    publisher.committed(first);
    eventually(DEADLINE, async || top(&broker, "room:a").await == 2).await;
    let (_, _, publications) = history(&broker, "room:a").await;
    assert_eq!(publications, [(1, "one".to_owned()), (2, "two".to_owned())]);
}

async fn what_a_dead_process_left_is_swept(store: Store) {
    let broker = Arc::new(MemoryBroker::default());
    store.append("room:a", &events(&["one"])).await;
    store.append("room:b", &events(&["two"])).await;

    let stop = CancellationToken::new();
    let sweeper = tokio::spawn(publisher(&store, &broker).run(stop.clone()));
    eventually(DEADLINE, async || {
        top(&broker, "room:a").await == 1 && top(&broker, "room:b").await == 1
    })
    .await;
    let journal = store.journal();
    eventually(DEADLINE, async || {
        journal.unpublished(i64::MAX, 10).await.unwrap().is_empty()
    })
    .await;
    stop.cancel();
    sweeper.await.unwrap();
}

async fn a_broker_without_memory_gets_the_hot_history(store: Store) {
    let payloads: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let appended = store.append("room:a", &events(&payloads)).await;
    let first = Arc::new(MemoryBroker::default());
    publisher(&store, &first).publish("room:a").await.unwrap();

    let second = Arc::new(MemoryBroker::default());
    let after = publisher(&store, &second);
    after.committed(store.append("room:a", &events(&["10"])).await);
    eventually(DEADLINE, async || top(&second, "room:a").await == 10).await;
    let (epoch, _, publications) = history(&second, "room:a").await;
    assert_eq!(epoch, *appended.epoch);
    assert_eq!(
        publications,
        [(8, "8".into()), (9, "9".into()), (10, "10".to_owned())]
    );
}

async fn several_publishers_do_no_harm(store: Store) {
    let broker = Arc::new(MemoryBroker::default());
    let replicas: Vec<Publisher> = (0..3).map(|_| publisher(&store, &broker)).collect();
    for n in 1..=30_usize {
        let appended = store.append("room:a", &events(&[&n.to_string()])).await;
        for (index, replica) in replicas.iter().enumerate() {
            if n % (index + 1) == 0 {
                replica.committed(appended.clone());
            }
        }
    }
    for replica in &replicas {
        replica.publish("room:a").await.unwrap();
    }
    let (_, top, publications) = history(&broker, "room:a").await;
    assert_eq!(top, 30);
    assert_eq!(
        publications,
        [(28, "28".into()), (29, "29".into()), (30, "30".to_owned())]
    );
}

async fn more_than_a_batch_is_read_from_the_log(store: Store) {
    let broker = Arc::new(MemoryBroker::default());
    let publisher = publisher(&store, &broker);
    publisher.committed(store.append("room:a", &events(&["x"; 300])).await);
    eventually(DEADLINE, async || top(&broker, "room:a").await == 300).await;
}

async fn stopping_notes_what_was_published(store: Store) {
    let broker = Arc::new(MemoryBroker::default());
    let publisher = publisher(&store, &broker);
    let stop = CancellationToken::new();
    let running = tokio::spawn(publisher.clone().run(stop.clone()));
    publisher.committed(store.append("room:a", &events(&["one"])).await);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(top(&broker, "room:a").await, 1);
    assert_eq!(
        store
            .journal()
            .state("room:a")
            .await
            .unwrap()
            .unwrap()
            .published,
        1
    );
}
