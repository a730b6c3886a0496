//! PostgreSQL dies and comes back.

use e2e::{Cluster, Options, SdkKind};

use crate::room::Room;

#[tokio::test]
async fn without_a_database_nothing_is_acknowledged_and_with_it_again_nothing_is_lost() {
    let options = Options {
        own_postgres: true,
        ..Options::default()
    };
    let mut cluster = Cluster::start_with(options).await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let bob = cluster.client(1, SdkKind::JsProtobuf, "bob").await;
    let room = Room::group(&alice, &["bob"]).await;
    bob.subscribe(&room.channel).await;

    let postgres = cluster.postgres.as_mut().unwrap();
    let texts = room
        .chat_during(&alice, async |sent| {
            sent.more(5).await;
            postgres.stop();
            let refused = alice.rpc("chat.SendMessage", room.message("nowhere")).await;
            let refused = refused.unwrap_err();
            assert!(refused.temporary, "{refused:?}");
            postgres.restart().await;
            sent.more(5).await;
        })
        .await;
    room.arrived(&bob, &texts).await;
}
