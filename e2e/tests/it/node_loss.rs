//! A gateway is killed under its clients.

use e2e::{Cluster, Event, Sdk, SdkKind};

use crate::room::Room;

#[tokio::test]
async fn clients_of_a_killed_gateway_recover_on_the_other() {
    let mut cluster = Cluster::start().await;
    let balancer = cluster.balancer().await;
    let url = balancer.websocket_url();
    let alice = Sdk::connect(SdkKind::JsJson, &url, &cluster.token("alice")).await;
    let room = Room::group(&alice, &["bob"]).await;
    let mut bobs = Vec::new();
    for kind in SdkKind::ALL {
        let bob = Sdk::connect(kind, &url, &cluster.token("bob")).await;
        bob.subscribe(&room.channel).await;
        bobs.push(bob);
    }

    let texts = room
        .chat_during(&alice, async |sent| {
            sent.more(5).await;
            cluster.gateways[0].kill();
            for bob in &bobs {
                bob.until("it is back", |events| subscribed(events) == 2)
                    .await;
            }
            sent.more(5).await;
            // And back to where they came from.
            cluster.gateways[0].start().await;
            balancer.prefer(0);
            cluster.gateways[1].kill();
            for bob in &bobs {
                bob.until("it is back again", |events| subscribed(events) == 3)
                    .await;
            }
            sent.more(5).await;
        })
        .await;

    for bob in &bobs {
        room.arrived(bob, &texts).await;
        let events = bob.events();
        let mut returns = events.iter().filter(|e| is_room(e)).skip(1);
        assert!(
            returns.all(|e| e["was_recovering"] == true && e["recovered"] == true),
            "{bob:?}"
        );
    }
}

/// A gateway that is asked to end sends its clients away, and they lose nothing.
#[tokio::test]
async fn clients_of_a_drained_gateway_recover_on_the_other() {
    let mut cluster = Cluster::start().await;
    let balancer = cluster.balancer().await;
    let url = balancer.websocket_url();
    let alice = Sdk::connect(SdkKind::JsJson, &url, &cluster.token("alice")).await;
    let bob = Sdk::connect(SdkKind::JsProtobuf, &url, &cluster.token("bob")).await;
    let room = Room::group(&alice, &["bob"]).await;
    bob.subscribe(&room.channel).await;

    let texts = room
        .chat_during(&alice, async |sent| {
            sent.more(5).await;
            let status = cluster.gateways[0].terminate().await;
            assert!(status.success(), "{status}");
            bob.until("it is back", |events| subscribed(events) == 2)
                .await;
            sent.more(5).await;
        })
        .await;
    room.arrived(&bob, &texts).await;
    // 3001: shutdown.
    let told = |e: &Event| e["event"] == "connecting" && e["code"] == 3001;
    assert!(bob.events().iter().any(told), "{bob:?}");
}

/// How often a client was subscribed to the room.
fn subscribed(events: &[Event]) -> usize {
    events.iter().filter(|event| is_room(event)).count()
}

fn is_room(event: &Event) -> bool {
    let channel = event["channel"].as_str().unwrap_or_default();
    event["event"] == "subscribed" && channel.starts_with("room:")
}
