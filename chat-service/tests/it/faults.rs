//! What the service does when something is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::MemoryBroker;
use proto::chat::v1::{ListRoomsRequest, RoomKind};
use testkit::{PostgresServer, TestDatabase, eventually};
use tonic::Code;

use crate::service::{DEADLINE, TestService};

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be_so_and_comes_back() {
    let mut server = PostgresServer::start().await;
    let database = server.database().await;
    let service = TestService::on(database.url()).await;
    let room = service.room(RoomKind::Group, &[]).await;
    service.sent("alice", &room, "before").await;

    server.stop();
    let began = Instant::now();
    let refused = service.send("alice", &room, "during").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    eventually(DEADLINE, async || !service.readiness.reasons().is_empty()).await;

    server.restart().await;
    eventually(DEADLINE, async || {
        service.send("alice", &room, "during").await.is_ok()
    })
    .await;
    eventually(DEADLINE, async || service.readiness.reasons().is_empty()).await;
    let events = service.events(&room.channel, 3).await;
    assert_eq!(events[2].1["message_created"]["text"], "during");
}

#[tokio::test]
async fn a_database_that_hangs_costs_no_more_than_the_deadline() {
    let server = PostgresServer::start().await;
    let database = server.database().await;
    let service = TestService::on(database.url()).await;
    let room = service.room(RoomKind::Group, &[]).await;
    server.pause();
    let began = Instant::now();
    let refused = service
        .chat("alice")
        .list_rooms(ListRoomsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    server.resume();
    eventually(DEADLINE, async || {
        service.send("alice", &room, "after").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn tables_that_are_missing_are_named_until_they_are_made() {
    let database = TestDatabase::new().await;
    let service = TestService::on_with(database.url(), |config| config.database.migrate = false);
    let service = service.await;
    eventually(DEADLINE, async || !service.readiness.reasons().is_empty()).await;
    let reasons = format!("{:?}", service.readiness.reasons());
    for table in [
        "rooms",
        "members",
        "messages",
        "mentions",
        "outbox",
        "logs",
        "log_events",
        "migrate",
    ] {
        assert!(reasons.contains(table), "{table}: {reasons}");
    }
    let tables = service::Database::new(database.url(), 1).unwrap();
    tables
        .migrate(&chat_service::store::migrations())
        .await
        .unwrap();
    eventually(DEADLINE, async || service.readiness.reasons().is_empty()).await;
}

#[tokio::test]
async fn another_replica_publishes_what_a_dead_one_left() {
    let service = TestService::postgres().await;
    let room = service.room(RoomKind::Group, &[]).await;
    service.sent("alice", &room, "one").await;
    service.events(&room.channel, 2).await;
    // Another node, whose broker has heard of nothing: as after a loss of Redis.
    let replica = service.beside(Arc::new(MemoryBroker::new())).await;
    replica.sent("alice", &room, "two").await;
    let events = replica.events(&room.channel, 3).await;
    assert_eq!(events[2].1["message_created"]["text"], "two");
    assert_eq!(events[1].1["message_created"]["text"], "one");
}

#[tokio::test]
async fn stopping_ends_every_task() {
    let service = TestService::sqlite().await;
    let room = service.room(RoomKind::Group, &["bob"]).await;
    service.sent("alice", &room, "@bob").await;
    service.stop.cancel();
    service.tasks.close();
    tokio::time::timeout(DEADLINE, service.tasks.wait())
        .await
        .unwrap();
    service.events(&room.channel, 3).await;
}
