//! What happens while the database or Redis is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{MemoryBroker, RedisBroker, RedisConfig};
use proto::notify::v1::{GetCountsRequest, ListInboxRequest, NotifyRequest};
use testkit::{PostgresServer, RedisServer, TestDatabase, eventually};
use tonic::Code;

use crate::support::{SOON, TestService, by, by_service, notify_request};

async fn assert_unavailable_in_time(service: &TestService) {
    let mut client = service.notify.clone();
    let began = Instant::now();
    let status = client
        .get_counts(by("ann", GetCountsRequest {}))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let request = by_service(notify_request(&["ann"], "hello"));
    let status = client.notify(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "both within their deadlines"
    );
    eventually(SOON, async || !service.readiness.reasons().is_empty()).await;
}

async fn assert_recovers(service: &TestService) {
    let notify = async || {
        let request = NotifyRequest {
            idempotency_key: "k".to_owned(),
            ..notify_request(&["ann"], "again")
        };
        service
            .notify
            .clone()
            .notify(by_service(request))
            .await
            .is_ok()
    };
    eventually(SOON, notify).await;
    eventually(SOON, async || service.readiness.reasons().is_empty()).await;
    let inbox = service.list("ann", ListInboxRequest::default()).await;
    let n_again = inbox
        .notifications
        .iter()
        .filter(|n| n.title == "again")
        .count();
    assert_eq!(n_again, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashed_is_found_again() {
    let mut server = PostgresServer::start().await;
    let service = TestService::on(server.database().await, Arc::new(MemoryBroker::new())).await;
    service.notify(&["ann"], "before").await;
    server.stop();
    assert_unavailable_in_time(&service).await;
    server.restart().await;
    assert_recovers(&service).await;
    let inbox = service.list("ann", ListInboxRequest::default()).await;
    assert!(
        inbox.notifications.iter().any(|n| n.title == "before"),
        "acknowledged is kept"
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_holds_nobody_up() {
    let server = PostgresServer::start().await;
    let service = TestService::on(server.database().await, Arc::new(MemoryBroker::new())).await;
    service.notify(&["ann"], "before").await;
    server.pause();
    assert_unavailable_in_time(&service).await;
    server.resume();
    assert_recovers(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_it_stores_and_publishes_later() {
    let mut redis = RedisServer::start().await;
    let config = RedisConfig {
        address: redis.url(),
        io_timeout: Duration::from_millis(500),
        ..RedisConfig::default()
    };
    let broker = Arc::new(RedisBroker::new(config).unwrap());
    let service = TestService::on(TestDatabase::new().await, broker).await;
    service.notify(&["ann"], "before").await;
    service.published("ann", 1).await;

    redis.stop();
    service.notify(&["ann", "bob"], "while it was away").await;
    assert!(
        service.readiness.reasons().is_empty(),
        "Redis is not needed to be ready"
    );

    // It comes back without any memory.
    redis.restart().await;
    let ann = service.published("ann", 2).await;
    assert_eq!(ann[1]["created"]["title"], "while it was away");
    assert_eq!(ann[1]["counts"]["version"], 2);
    let bob = service.published("bob", 1).await;
    assert_eq!(bob.len(), 1, "once");
    service.stop().await;
}
