//! Redis forgets everything, dies, comes back, and knows less than was delivered.

use e2e::{Cluster, SdkKind};
use serde_json::json;

use crate::room::Room;

#[tokio::test]
async fn what_is_acknowledged_outlives_redis() {
    let mut cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let stays = [
        cluster.client(0, SdkKind::JsJson, "bob").await,
        cluster.client(1, SdkKind::JsProtobuf, "bob").await,
        cluster.client(1, SdkKind::PythonJson, "bob").await,
    ];
    let returns = [
        cluster.client(1, SdkKind::JsJson, "bob").await,
        cluster.client(0, SdkKind::PythonProtobuf, "bob").await,
    ];
    let room = Room::group(&alice, &["bob"]).await;
    for bob in stays.iter().chain(&returns) {
        bob.subscribe(&room.channel).await;
    }

    let texts = room
        .chat_during(&alice, async |sent| {
            sent.more(5).await;
            cluster.redis.flush().await;
            sent.more(5).await;
            for bob in &returns {
                bob.disconnect().await;
            }
            sent.more(5).await;
            cluster.redis.stop();
            // Nobody who sends notices.
            sent.more(5).await;
            cluster.redis.restart().await;
            sent.more(5).await;
            for bob in &returns {
                bob.reconnect().await;
            }
            cluster.redis.flush().await;
            sent.more(5).await;
        })
        .await;
    for bob in stays.iter().chain(&returns) {
        room.arrived(bob, &texts).await;
    }
}

/// As while it is being filled again after a loss, but for as long as the test lasts.
#[tokio::test]
async fn a_redis_that_is_behind_the_log_misleads_nobody() {
    let cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let stays = cluster.client(0, SdkKind::JsJson, "bob").await;
    let room = Room::group(&alice, &["bob"]).await;
    let empty = stays.subscribe(&room.channel).await;
    let since = json!({ "epoch": empty["epoch"], "offset": empty["offset"] });

    let texts: Vec<_> = (1..=10).map(|n| format!("message {n}")).collect();
    let keys = ["meta", "history"].map(|kind| format!("fanfare:{kind}:{{.{}}}", room.channel));
    for text in &texts[..5] {
        room.send(&alice, text).await;
    }
    for key in &keys {
        let copied = cluster
            .redis
            .command(&format!("COPY {key} old-{key}"))
            .await;
        assert!(copied.starts_with(":1"), "{copied}");
    }
    for text in &texts[5..] {
        room.send(&alice, text).await;
    }
    room.arrived(&stays, &texts).await;
    for key in &keys {
        let renamed = cluster
            .redis
            .command(&format!("RENAME old-{key} {key}"))
            .await;
        assert!(renamed.starts_with("+OK"), "{renamed}");
    }

    let comes = cluster.client(0, SdkKind::JsProtobuf, "bob").await;
    let subscribed = comes.subscribe_since(&room.channel, &since).await;
    assert_eq!(subscribed["recovered"], true, "{subscribed:?}");
    room.arrived(&comes, &texts).await;
    let begun = comes.count("subscribing");
    assert_eq!(begun, 1, "in one go: {:?}", comes.events());
}
