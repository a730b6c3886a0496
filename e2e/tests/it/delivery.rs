//! From every SDK to every SDK, through two gateways.

use e2e::{Cluster, SdkKind};

use crate::room::Room;

#[tokio::test]
async fn every_sdk_hears_every_other_through_the_other_gateway() {
    let cluster = Cluster::start().await;
    let mut clients = Vec::new();
    for (i, kind) in SdkKind::ALL.into_iter().enumerate() {
        for gateway in 0..2 {
            let user = format!("user-{i}-{gateway}");
            clients.push((cluster.client(gateway, kind, &user).await, user));
        }
    }
    let users: Vec<_> = clients[1..].iter().map(|(_, user)| user.as_str()).collect();
    let room = Room::group(&clients[0].0, &users).await;
    for (client, _) in &clients {
        client.subscribe(&room.channel).await;
    }
    let mut texts = Vec::new();
    for (client, user) in &clients {
        let text = format!("from {user}: ¡olé! 🎺 \"quoted\"");
        let answer = client
            .rpc("chat.SendMessage", room.message(&text))
            .await
            .unwrap();
        texts.push(text);
        assert_eq!(answer["message"]["seq"], texts.len());
        assert_eq!(answer["message"]["author"], **user);
    }
    for (client, _) in &clients {
        room.arrived(client, &texts).await;
    }
}

#[tokio::test]
async fn a_message_sent_twice_is_one() {
    let cluster = Cluster::start().await;
    let alice = cluster.client(0, SdkKind::JsJson, "alice").await;
    let bob = cluster.client(1, SdkKind::JsProtobuf, "bob").await;
    let room = Room::group(&alice, &["bob"]).await;
    bob.subscribe(&room.channel).await;
    let first = room.send(&alice, "once").await;
    assert_eq!(room.send(&alice, "once").await, first);

    let mut other = room.message("once");
    other["text"] = "twice".into();
    let refused = alice.rpc("chat.SendMessage", other).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.temporary),
        (409, false),
        "{refused:?}"
    );

    room.send(&alice, "the end").await;
    room.arrived(&bob, &["once".into(), "the end".into()]).await;
}
