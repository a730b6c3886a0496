//! Who is mentioned or written to directly hears of it, on every device.

use e2e::{Cluster, Event, Sdk, SdkKind};
use serde_json::{Value, json};

use crate::room::Room;

/// Bob's channel, to which the gateways subscribe him.
const INBOX: &str = "inbox:#bob";

#[tokio::test]
async fn a_mention_rings_on_all_devices_and_reading_it_on_one_reads_it_on_the_other() {
    let cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let phone = cluster.client(0, SdkKind::PythonProtobuf, "bob").await;
    let laptop = cluster.client(1, SdkKind::JsProtobuf, "bob").await;
    phone.subscribed(INBOX).await;
    laptop.subscribed(INBOX).await;

    let room = Room::group(&alice, &["bob"]).await;
    room.send(&alice, "nobody is meant").await;
    room.send(&alice, "are you there, @bob?").await;
    let mut ids = Vec::new();
    for device in [&phone, &laptop] {
        let event = created(device, "mention").await;
        assert_eq!(event["created"]["actor"], "alice", "{event}");
        assert_eq!(event["counts"]["unread"], 1, "{event}");
        ids.push(event["created"]["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);

    let read = phone
        .rpc("notify.MarkRead", json!({ "ids": [ids[0]] }))
        .await;
    // Zeros are left out of answers.
    assert_eq!(read.unwrap()["counts"].get("unread"), None);
    let changed = |data: &Value| data["changed"]["state"] == "STATE_READ";
    let event = laptop.publication(INBOX, "it is read", changed).await;
    assert_eq!(event["data"]["changed"]["ids"], json!([ids[0]]));
    assert_eq!(event["data"]["counts"]["unread"], 0);
}

#[tokio::test]
async fn a_direct_message_rings_though_notify_service_was_down() {
    let mut cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let bob = cluster.client(1, SdkKind::JsJson, "bob").await;
    bob.subscribed(INBOX).await;
    cluster.notify.kill();

    let opened = alice
        .rpc("chat.OpenDirectRoom", json!({ "user": "bob" }))
        .await;
    let room = Room::of(&opened.unwrap()["room"]);
    let again = bob
        .rpc("chat.OpenDirectRoom", json!({ "user": "alice" }))
        .await;
    assert_eq!(
        again.unwrap()["room"]["id"],
        *room.id,
        "the pair has one room"
    );
    room.send(&alice, "psst").await;

    cluster.notify.start().await;
    let event = created(&bob, "direct_message").await;
    assert_eq!(event["counts"]["unread"], 1, "{event}");
    // Once, also when chat-service has been started again meanwhile.
    cluster.chat.restart().await;
    room.send(&alice, "and another").await;
    bob.publication(INBOX, "the second one", |data| {
        data["counts"]["unread"] == 2
    })
    .await;
}

#[tokio::test]
async fn a_backend_notifies_and_a_client_may_not() {
    let cluster = Cluster::start().await;
    let bob = cluster.client(1, SdkKind::JsJson, "bob").await;
    bob.subscribed(INBOX).await;
    let notification = json!({ "users": ["bob"], "category": "greeting", "title": "Welcome",
        "idempotency_key": "welcome-bob" });
    for _ in 0..2 {
        let call = json!({ "method": "notify.Notify", "params": notification });
        cluster.api("rpc", call).await;
    }
    let event = created(&bob, "greeting").await;
    assert_eq!(event["counts"]["unread"], 1);

    let refused = bob.rpc("notify.Notify", notification).await.unwrap_err();
    assert!(!refused.temporary, "{refused:?}");
    let counts = bob.rpc("notify.GetCounts", json!({})).await.unwrap();
    assert_eq!(counts["counts"]["unread"], 1, "{counts}");
}

/// Redis is down while a notification is made: it is stored, and delivered later.
#[tokio::test]
async fn a_notification_outlives_redis() {
    let mut cluster = Cluster::start().await;
    let bob = cluster.client(1, SdkKind::JsJson, "bob").await;
    bob.subscribed(INBOX).await;
    cluster.redis.stop();
    let notification = json!({ "users": ["bob"], "category": "greeting", "title": "Welcome" });
    let call = json!({ "method": "notify.Notify", "params": notification });
    cluster.api("rpc", call).await;
    cluster.redis.restart().await;
    created(&bob, "greeting").await;
}

/// Waits for the notification of a category.
async fn created(device: &Sdk, category: &str) -> Event {
    let what = format!("a notification of category {category:?}");
    let event = device
        .publication(INBOX, &what, |data| data["created"]["category"] == category)
        .await;
    event["data"].clone()
}
