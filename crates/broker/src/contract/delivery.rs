//! What arrives where, and in which order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};

use super::{CHANNEL, Event, Nodes, data, ephemeral, kept, policy};
use crate::{ClientInfo, HistoryRequest, PublishRequest};

/// One after the other, with consecutive offsets in one epoch.
pub async fn publications_arrive_in_order(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    for n in 1..=200_u64 {
        let published = nodes.there.publish(CHANNEL, kept(n.to_string())).await;
        let published = published.expect("published");
        assert!(!published.suppressed);
        assert_eq!(published.position.expect("a position").offset, n);
    }
    let publications = recorder.publications(CHANNEL, 200).await;
    assert_eq!(publications.len(), 200);
    for (n, publication) in (1..).zip(&publications) {
        assert_eq!(publication.offset, n);
        assert_eq!(publication.data, data(n.to_string()));
    }
    let position = nodes.there.positions(&[CHANNEL.into()]).await;
    let position = position.expect("positions").remove(0).expect("a position");
    for event in recorder.events() {
        let Event::Publication { epoch, .. } = event else {
            panic!("something else arrived: {event:?}");
        };
        assert_eq!(epoch, position.epoch);
    }
}

/// Many publishers at once.
pub async fn concurrent_publications_arrive_in_the_order_of_their_offsets(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let publishers = (0..8).map(|publisher| {
        let broker = Arc::clone(if publisher % 2 == 0 {
            &nodes.here
        } else {
            &nodes.there
        });
        tokio::spawn(async move {
            let publications = (0..50).map(|n| {
                let request = kept(format!("{publisher}/{n}"));
                broker.publish(CHANNEL, request)
            });
            try_join_all(publications).await.expect("all published");
        })
    });
    for publisher in join_all(publishers).await {
        publisher.expect("no panic");
    }
    let publications = recorder.publications(CHANNEL, 400).await;
    let offsets: Vec<_> = publications.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, (1..=400).collect::<Vec<_>>());
}

/// A node gets nothing that it did not ask for.
pub async fn only_subscribed_channels_arrive(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    for channel in ["room:2", "room", "room:11", ""] {
        let request = kept("not for us");
        nodes
            .there
            .publish(channel, request)
            .await
            .expect("published");
        // Once it would be in force, all before it would have arrived.
        nodes.here.subscribe(channel).await.expect("subscribed");
        let request = kept("for us");
        nodes
            .there
            .publish(channel, request)
            .await
            .expect("published");
        let publications = recorder.publications(channel, 1).await;
        assert_eq!(publications[0].data, data("for us"));
    }
}

/// Neither publications nor joins, until it subscribes again.
pub async fn nothing_arrives_after_unsubscribing(nodes: &Nodes) {
    let recorder = nodes.record().await;
    for round in 0..10 {
        nodes.here.subscribe(CHANNEL).await.expect("subscribed");
        let request = kept("wanted");
        nodes
            .there
            .publish(CHANNEL, request)
            .await
            .expect("published");
        recorder.publications(CHANNEL, round + 1).await;
        nodes.here.unsubscribe(CHANNEL).await.expect("unsubscribed");
        let request = kept("unwanted");
        nodes
            .there
            .publish(CHANNEL, request)
            .await
            .expect("published");
    }
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let request = kept("wanted");
    nodes
        .there
        .publish(CHANNEL, request)
        .await
        .expect("published");
    let publications = recorder.publications(CHANNEL, 11).await;
    assert!(publications.iter().all(|p| p.data == data("wanted")));
}

/// Both may be repeated.
pub async fn subscribing_twice_and_unsubscribing_the_unknown_are_harmless(nodes: &Nodes) {
    let recorder = nodes.record().await;
    let result = nodes.here.unsubscribe("unknown").await;
    result.expect("unsubscribed");
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    for text in ["one", "two"] {
        let request = ephemeral(text);
        nodes
            .there
            .publish(CHANNEL, request)
            .await
            .expect("published");
    }
    let publications = recorder.publications(CHANNEL, 2).await;
    assert_eq!(publications[0].data, data("one"));
    assert_eq!(publications[1].data, data("two"));
    let result = nodes.here.unsubscribe(CHANNEL).await;
    result.expect("once is enough");
    nodes
        .there
        .publish(CHANNEL, ephemeral("no"))
        .await
        .expect("published");
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    nodes
        .there
        .publish(CHANNEL, ephemeral("three"))
        .await
        .expect("published");
    let publications = recorder.publications(CHANNEL, 3).await;
    assert_eq!(publications[2].data, data("three"));
}

/// To subscribers and into the history.
pub async fn everything_a_publication_has_arrives(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let info = ClientInfo {
        user: "42".into(),
        client: "c1".into(),
        conn_info: Bytes::from_static(b"{\"name\":\"Ada\"}"),
        chan_info: Bytes::from_static(b"\x00\xff"),
    };
    let request = PublishRequest {
        data: Bytes::from_static(b"\x00\n\xff{}"),
        info: Some(Arc::new(info)),
        tags: BTreeMap::from([("ticker".into(), "ABC".into()), ("x".into(), String::new())]),
        ends_user: Some("43".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        history: Some(policy(10)),
        ..PublishRequest::default()
    };
    let published = nodes.there.publish(CHANNEL, request.clone()).await;
    let position = published.expect("published").position.expect("a position");
    let arrived = recorder.publications(CHANNEL, 1).await.remove(0);
    assert_eq!(arrived.offset, position.offset);
    assert_eq!(arrived.data, request.data);
    assert_eq!(arrived.info, request.info);
    assert_eq!(arrived.tags, request.tags);
    assert_eq!(arrived.ends_user, request.ends_user);
    assert_eq!(arrived.traceparent, request.traceparent);
    assert!(arrived.time > 1_700_000_000_000, "milliseconds, and now");
    let history = nodes.here.history(CHANNEL, HistoryRequest::default()).await;
    let history = history.expect("history");
    assert_eq!(history.position, position);
    assert_eq!(history.publications, [arrived]);
}

/// They take no place in the order of offsets.
pub async fn ephemeral_publications_have_no_offset_and_no_history(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    nodes
        .there
        .publish(CHANNEL, kept("one"))
        .await
        .expect("published");
    let published = nodes.there.publish(CHANNEL, ephemeral("typing")).await;
    assert_eq!(published.expect("published").position, None);
    nodes
        .there
        .publish(CHANNEL, kept("two"))
        .await
        .expect("published");
    let publications = recorder.publications(CHANNEL, 3).await;
    let offsets: Vec<_> = publications.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [1, 0, 2]);
    let Event::Publication { epoch, .. } = recorder.events().remove(1) else {
        panic!("not a publication");
    };
    assert_eq!(&*epoch, "");
    let history = nodes.here.history(CHANNEL, HistoryRequest::default()).await;
    assert_eq!(history.expect("history").publications.len(), 2);
}

/// Names are not ours to judge, payloads are bytes.
pub async fn any_name_and_any_payload_will_do(nodes: &Nodes) {
    let recorder = nodes.record().await;
    let large = Bytes::from(vec![b'\n'; 1024 * 1024]);
    for channel in [
        "",
        "{",
        "}",
        "{x}",
        "a b\r\n*",
        "чат:№1",
        "#$%:@",
        "user#42,43",
    ] {
        nodes.here.subscribe(channel).await.expect("subscribed");
        for data in [Bytes::new(), Bytes::from_static(b"\0"), large.clone()] {
            let request = PublishRequest { data, ..kept("") };
            nodes
                .there
                .publish(channel, request)
                .await
                .expect("published");
        }
        let publications = recorder.publications(channel, 3).await;
        assert_eq!(publications[0].data, Bytes::new());
        assert_eq!(publications[2].data, large);
        let history = nodes
            .there
            .history(channel, HistoryRequest::default())
            .await;
        assert_eq!(history.expect("history").publications, publications);
    }
}

/// Subscribed all at once, each gets its own.
pub async fn many_channels_at_once(nodes: &Nodes) {
    const N: usize = 3000;
    let recorder = nodes.record().await;
    let channels: Vec<_> = (0..N).map(|n| format!("room:{n}")).collect();
    let subscribing = channels.iter().map(|channel| nodes.here.subscribe(channel));
    try_join_all(subscribing).await.expect("all subscribed");
    let publishing = channels.iter().map(|channel| {
        let request = ephemeral(channel.clone());
        nodes.there.publish(channel, request)
    });
    try_join_all(publishing).await.expect("all published");
    let arrived = recorder
        .until(|events| (events.len() >= N).then(|| events.to_vec()))
        .await;
    let mut per_channel = HashMap::new();
    for event in arrived {
        let Event::Publication {
            channel,
            publication,
            ..
        } = event
        else {
            panic!("something else arrived: {event:?}");
        };
        assert_eq!(publication.data, data(&*channel));
        *per_channel.entry(channel).or_insert(0) += 1;
    }
    assert_eq!(per_channel.len(), N);
    assert!(per_channel.values().all(|&n| n == 1));
}

/// A join published before a publication arrives before it.
pub async fn joins_and_leaves_arrive_in_order_with_publications(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let info = ClientInfo {
        user: "42".into(),
        client: "c1".into(),
        conn_info: Bytes::from_static(b"{}"),
        chan_info: Bytes::new(),
    };
    let elsewhere = nodes.there.publish_membership("room:2", true, &info).await;
    elsewhere.expect("published");
    for joined in [true, false] {
        let result = nodes.there.publish_membership(CHANNEL, joined, &info).await;
        result.expect("published");
        nodes
            .there
            .publish(CHANNEL, kept(""))
            .await
            .expect("published");
    }
    recorder.publications(CHANNEL, 2).await;
    let seen: Vec<_> = recorder
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Membership {
                channel,
                joined,
                info: who,
            } => {
                assert_eq!((channel.as_str(), &who), (CHANNEL, &info));
                if joined { "join" } else { "leave" }
            }
            _ => "publication",
        })
        .collect();
    assert_eq!(seen, ["join", "publication", "leave", "publication"]);
}

/// To all, the sender too.
pub async fn control_messages_arrive(nodes: &Nodes) {
    let recorder = nodes.record().await;
    for sender in [&nodes.there, &nodes.here] {
        let message = Bytes::from_static(b"\0\ndisconnect");
        let result = sender.publish_control(None, message).await;
        result.expect("published");
    }
    let arrived = recorder.until(|events| (events.len() >= 2).then(|| events.to_vec()));
    for event in arrived.await {
        assert_eq!(event, Event::Control(Bytes::from_static(b"\0\ndisconnect")));
    }
}
