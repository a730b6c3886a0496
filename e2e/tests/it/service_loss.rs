//! chat-service is killed at the worst moment.

use e2e::{Cluster, Options, SdkKind};

use crate::room::Room;

/// The point between commit and publish.
const FAULT: &str = "chat.before_publish";

#[tokio::test]
async fn a_message_arrives_once_though_its_service_died_between_commit_and_publish() {
    let options = Options {
        fault_points: true,
        ..Options::default()
    };
    let mut cluster = Cluster::start_with(options).await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let bob = cluster.client(1, SdkKind::JsProtobuf, "bob").await;
    let room = Room::group(&alice, &["bob"]).await;
    bob.subscribe(&room.channel).await;
    room.send(&alice, "before").await;

    cluster.chat.set("FANFARE_TEST_FAULT", FAULT);
    cluster.chat.restart().await;
    let dying = alice.rpc("chat.SendMessage", room.message("from the dead"));
    let unanswered = dying.await.unwrap_err();
    assert!(unanswered.temporary, "{unanswered:?}");
    let status = cluster.chat.ended().await;
    assert!(!status.success(), "{status}");
    assert_eq!(room.texts(&bob), ["before"]);

    cluster.chat.unset("FANFARE_TEST_FAULT");
    cluster.chat.start().await;
    // Nobody repeats it, and nobody sends anything: it is published all the same.
    let texts = ["before".to_owned(), "from the dead".to_owned()];
    room.arrived(&bob, &texts).await;

    // Its author does not know, and repeats it.
    let answer = room.send(&alice, "from the dead").await;
    assert_eq!(answer["message"]["seq"], 2);
    room.send(&alice, "after").await;
    let [before, dead] = texts;
    room.arrived(&bob, &[before, dead, "after".into()]).await;
}

#[tokio::test]
async fn killed_services_lose_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let bob = cluster.client(1, SdkKind::JsJson, "bob").await;
    let room = Room::group(&alice, &["bob"]).await;
    bob.subscribe(&room.channel).await;
    let texts = room
        .chat_during(&alice, async |sent| {
            for _ in 0..3 {
                sent.more(5).await;
                cluster.chat.restart().await;
            }
        })
        .await;
    room.arrived(&bob, &texts).await;
}
