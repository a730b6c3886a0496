//! Who joins misses nothing, who leaves gets nothing more.

use e2e::{Cluster, SdkKind};
use serde_json::json;

use crate::room::Room;

#[tokio::test]
async fn a_removed_member_gets_nothing_after_the_removal() {
    let cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let room = Room::group(&alice, &["bob", "carol"]).await;
    // Two members side by side on one gateway, of whom one goes.
    let bob = cluster.client(1, SdkKind::JsJson, "bob").await;
    let carols = [
        cluster.client(1, SdkKind::JsProtobuf, "carol").await,
        cluster.client(0, SdkKind::PythonJson, "carol").await,
    ];
    for client in carols.iter().chain([&bob]) {
        client.subscribe(&room.channel).await;
    }
    room.send(&alice, "for all of us").await;
    let remove = json!({ "room_id": room.id, "user": "carol" });
    alice.rpc("chat.RemoveMember", remove).await.unwrap();
    room.send(&alice, "now that she is gone").await;

    let texts = [
        "for all of us".to_owned(),
        "now that she is gone".to_owned(),
    ];
    room.arrived(&bob, &texts).await;
    for carol in &carols {
        carol.unsubscribed(&room.channel).await;
        // An answer that follows whatever was sent to her before.
        let refused = carol
            .rpc("chat.SendMessage", room.message("let me in"))
            .await;
        assert!(!refused.unwrap_err().temporary);
        assert_eq!(room.texts(carol), texts[..1]);
    }
    let again = cluster.client(1, SdkKind::JsJson, "carol").await;
    again.ask_to_subscribe(&room.channel, &json!(null)).await;
    let refused = again.unsubscribed(&room.channel).await;
    assert_eq!(refused["code"], 103, "{refused}");
}

#[tokio::test]
async fn who_joins_while_others_talk_misses_nothing() {
    let cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let room = Room::public(&alice).await;
    for kind in [SdkKind::JsJson, SdkKind::PythonProtobuf] {
        let dave = cluster.client(1, kind, &format!("dave-{kind:?}")).await;
        let mut listed = Vec::new();
        let texts = room
            .chat_during(&alice, async |sent| {
                sent.more(5).await;
                let join = json!({ "room_id": room.id });
                dave.rpc("chat.JoinRoom", join.clone()).await.unwrap();
                let page = dave.rpc("chat.ListMessages", join).await.unwrap();
                for message in page["messages"].as_array().unwrap() {
                    listed.push(message["text"].as_str().unwrap().to_owned());
                }
                sent.more(5).await;
                let since = json!({ "epoch": page["epoch"], "offset": page["offset"] });
                dave.subscribe_since(&room.channel, &since).await;
                sent.more(5).await;
            })
            .await;
        // What was said before the last talk is in the list as well.
        let listed = listed.iter().filter(|text| texts.contains(text)).count();
        assert!(listed >= 5, "{listed}");
        room.arrived(&dave, &texts[listed..]).await;
    }
}
