//! Redis forgets everything, dies and comes back.

use e2e::{Cluster, SdkKind};

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
