//! Mentions and direct messages reach notify-service.

use proto::chat::v1::RoomKind;
use testkit::eventually;
use tonic::Status;

use crate::on_both_databases;
use crate::service::{DEADLINE, TestService};

on_both_databases!(
    mentions_and_direct_messages_are_notified,
    what_cannot_be_delivered_waits,
    what_is_refused_does_not_hold_up_the_rest,
    replicas_share_the_outbox,
);

async fn mentions_and_direct_messages_are_notified(service: TestService) {
    let group = service.room(RoomKind::Group, &["bob", "carol"]).await;
    service.sent("alice", &group, "nobody").await;
    service
        .sent("alice", &group, "@alice talks to herself")
        .await;
    service
        .sent("alice", &group, "@bob, @carol and @mallory: lunch?")
        .await;
    let direct = service.direct("bob", "alice").await;
    service.sent("bob", &direct, "psst @alice").await;

    let mut received = service.notifications.receive(2).await;
    received.sort_by(|a, b| b.category.cmp(&a.category));
    let [mention, message] = &received[..] else {
        panic!("{received:?}");
    };
    assert_eq!(mention.users, ["bob", "carol"]);
    assert_eq!(
        (mention.category.as_str(), mention.title.as_str()),
        ("mention", "alice in Room")
    );
    assert_eq!(mention.body, "@bob, @carol and @mallory: lunch?");
    assert_eq!(mention.link, format!("/#/room/{}/3", group.id));
    assert_eq!(mention.actor, "alice");
    assert_eq!(
        mention.idempotency_key,
        format!("chat:{}:3:mention", group.id)
    );
    assert_eq!(message.users, ["alice"]);
    assert_eq!(
        (message.category.as_str(), message.title.as_str()),
        ("direct_message", "bob")
    );
    assert_eq!(
        message.idempotency_key,
        format!("chat:{}:1:direct_message", direct.id)
    );
}

async fn what_cannot_be_delivered_waits(service: TestService) {
    let direct = service.direct("alice", "bob").await;
    for _ in 0..2 {
        service.notifications.fail_next(Status::unavailable("down"));
    }
    service.sent("alice", &direct, "hello").await;
    service.notifications.receive(1).await;
}

async fn what_is_refused_does_not_hold_up_the_rest(service: TestService) {
    let direct = service.direct("alice", "bob").await;
    service
        .notifications
        .fail_next(Status::invalid_argument("no"));
    service.sent("alice", &direct, "one").await;
    eventually(DEADLINE, async || {
        // The first one has met the failure by the time that a later one gets through.
        service.sent("alice", &direct, "two").await;
        !service.notifications.received().is_empty()
    })
    .await;
}

async fn replicas_share_the_outbox(service: TestService) {
    let replica = service.beside(service.broker.clone()).await;
    let direct = service.direct("alice", "bob").await;
    for n in 0..20 {
        let sender = if n % 2 == 0 { &service } else { &replica };
        sender.sent("alice", &direct, &n.to_string()).await;
    }
    let received = service.notifications.receive(20).await;
    let mut keys: Vec<_> = received
        .iter()
        .map(|request| &request.idempotency_key)
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), received.len()), (20, 20));
}
