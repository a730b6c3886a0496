//! The broker of one node.

use std::sync::Arc;
use std::time::Duration;

use broker::contract::{Nodes, Recorder};
use broker::{
    Broker, ClientInfo, Error, HistoryPolicy, HistoryRequest, IDEMPOTENCY_TTL, MemoryBroker,
    PublishRequest,
};
use testkit::eventually;

broker::contract_tests!(nodes);

async fn nodes() -> Nodes {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    Nodes {
        here: Arc::clone(&broker),
        there: broker,
        guard: Box::new(()),
    }
}

#[tokio::test(start_paused = true)]
async fn what_expired_takes_no_memory() {
    let broker = MemoryBroker::new();
    let minute = Duration::from_secs(60);
    for n in 0..500 {
        let channel = format!("room:{n}");
        let info = ClientInfo {
            client: "c".into(),
            ..ClientInfo::default()
        };
        broker.add_presence(&channel, &info, minute).await.unwrap();
        let request = PublishRequest {
            idempotency_key: Some("key".into()),
            history: Some(HistoryPolicy {
                size: 10,
                ttl: minute,
                meta_ttl: 2 * minute,
            }),
            ..PublishRequest::default()
        };
        broker.publish(&channel, request).await.unwrap();
    }
    broker.subscribe("room:7").await.unwrap();
    assert_eq!(broker.n_channels(), 500);
    tokio::time::sleep(IDEMPOTENCY_TTL + minute).await;
    assert_eq!(broker.n_channels(), 1, "one has a listener");
    broker.unsubscribe("room:7").await.unwrap();
    assert_eq!(broker.n_channels(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_after_its_time() {
    let broker = MemoryBroker::new();
    let publish = async || {
        let request = PublishRequest {
            idempotency_key: Some("key".into()),
            ..PublishRequest::default()
        };
        broker.publish("room:1", request).await.unwrap().suppressed
    };
    assert!(!publish().await);
    tokio::time::advance(IDEMPOTENCY_TTL - Duration::from_secs(1)).await;
    assert!(publish().await);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!publish().await);
}

#[tokio::test]
async fn it_runs_once_and_its_task_ends_with_it() {
    let broker = MemoryBroker::new();
    let handler = Arc::new(Recorder::default());
    broker.run(handler.clone()).await.unwrap();
    let again = broker.run(handler).await;
    assert!(matches!(again, Err(Error::Invalid(_))));
    let history = broker.history("room:1", HistoryRequest::default()).await;
    history.unwrap();
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(broker);
    eventually(Duration::from_secs(5), async || {
        metrics.num_alive_tasks() == 0
    })
    .await;
}
