//! Histories, positions, idempotency and versions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::{CHANNEL, LONG, Nodes, data, ephemeral, kept, only_position, policy};
use crate::{Broker, HistoryPolicy, HistoryRequest, Position, PublishRequest};

const SHORT: Duration = Duration::from_millis(200);

/// So a client that subscribes to a silent channel can recover from its beginning.
pub async fn reading_makes_an_epoch_that_publishing_keeps(nodes: &Nodes) {
    let empty = nodes.here.history(CHANNEL, HistoryRequest::default()).await;
    let empty = empty.expect("history");
    assert!(empty.publications.is_empty());
    assert_eq!(empty.position.offset, 0);
    assert!(!empty.position.epoch.is_empty());
    let published = nodes.there.publish(CHANNEL, kept("one")).await;
    let position = published.expect("published").position.expect("a position");
    assert_eq!(position.epoch, empty.position.epoch);
    assert_eq!(position.offset, 1);
    let other = nodes.here.history("room:2", only_position()).await;
    assert_ne!(other.expect("history").position.epoch, position.epoch);
}

/// In the order asked, `None` for those that there are not.
pub async fn asking_for_positions_makes_nothing(nodes: &Nodes) {
    let channels: Vec<Arc<str>> = vec!["room:1".into(), "room:2".into(), "room:3".into()];
    let positions = nodes.here.positions(&channels).await.expect("positions");
    assert_eq!(positions, [None, None, None]);
    let published = nodes.there.publish("room:2", kept("one")).await;
    let position = published.expect("published").position;
    for _ in 0..2 {
        let positions = nodes.here.positions(&channels).await.expect("positions");
        assert_eq!(positions, [None, position.clone(), None]);
    }
    let none = nodes.here.positions(&[]).await;
    assert_eq!(none.expect("positions"), []);
}

/// Forwards, backwards, from a place, up to a number.
pub async fn any_part_of_a_history_can_be_read(nodes: &Nodes) {
    type Case = (Option<u64>, Option<u32>, bool, &'static [u64]);

    for n in 1..=10 {
        let request = PublishRequest {
            history: Some(policy(4)),
            ..ephemeral(n.to_string())
        };
        nodes
            .there
            .publish(CHANNEL, request)
            .await
            .expect("published");
    }
    let cases: [Case; 15] = [
        (None, None, false, &[7, 8, 9, 10]),
        (None, Some(2), false, &[7, 8]),
        (None, Some(0), false, &[]),
        (Some(0), None, false, &[7, 8, 9, 10]),
        (Some(6), None, false, &[7, 8, 9, 10]),
        (Some(7), Some(2), false, &[8, 9]),
        (Some(10), None, false, &[]),
        (Some(11), None, false, &[]),
        (Some(u64::MAX), None, false, &[]),
        (None, None, true, &[10, 9, 8, 7]),
        (None, Some(3), true, &[10, 9, 8]),
        (Some(9), None, true, &[8, 7]),
        (Some(7), None, true, &[]),
        (Some(0), None, true, &[]),
        (Some(u64::MAX), Some(1), true, &[10]),
    ];
    for (since, limit, reverse, expected) in cases {
        let request = HistoryRequest {
            since,
            limit,
            reverse,
            meta_ttl: LONG,
        };
        let history = nodes.here.history(CHANNEL, request.clone()).await;
        let history = history.expect("history");
        assert_eq!(history.position.offset, 10, "{request:?}");
        let offsets: Vec<_> = history.publications.iter().map(|p| p.offset).collect();
        assert_eq!(offsets, expected, "{request:?}");
        for publication in history.publications {
            assert_eq!(publication.data, data(publication.offset.to_string()));
        }
    }
}

/// A smaller size with a later publication takes effect at once.
pub async fn a_history_keeps_its_size(nodes: &Nodes) {
    for (size, expected) in [(5, 1), (5, 2), (5, 3), (2, 2), (5, 3), (1, 1), (0, 0)] {
        let request = PublishRequest {
            history: Some(policy(size)),
            ..ephemeral("")
        };
        nodes
            .there
            .publish(CHANNEL, request)
            .await
            .expect("published");
        let history = nodes.here.history(CHANNEL, HistoryRequest::default()).await;
        assert_eq!(history.expect("history").publications.len(), expected);
    }
}

/// What a client misses beyond the time, it cannot be given; but it can be told.
pub async fn publications_expire_and_the_position_stays(nodes: &Nodes) {
    let request = PublishRequest {
        history: Some(HistoryPolicy {
            ttl: SHORT,
            ..policy(10)
        }),
        ..ephemeral("")
    };
    nodes
        .there
        .publish(CHANNEL, request)
        .await
        .expect("published");
    let before = history(nodes).await;
    assert_eq!(before.publications.len(), 1);
    until(async || history(nodes).await.publications.is_empty()).await;
    assert_eq!(history(nodes).await.position, before.position);
    let published = nodes.there.publish(CHANNEL, kept("")).await;
    let position = published.expect("published").position.expect("a position");
    assert_eq!(position.epoch, before.position.epoch);
    assert_eq!(position.offset, 2);
}

/// The offsets begin anew, so the epoch must be another.
pub async fn a_position_expires_and_the_next_has_another_epoch(nodes: &Nodes) {
    let request = PublishRequest {
        history: Some(HistoryPolicy {
            size: 10,
            ttl: SHORT / 2,
            meta_ttl: SHORT,
        }),
        ..ephemeral("")
    };
    let published = nodes.there.publish(CHANNEL, request.clone()).await;
    let before = published.expect("published").position.expect("a position");
    until(async || position(&*nodes.here).await.is_none()).await;
    let published = nodes.there.publish(CHANNEL, request).await;
    let after = published.expect("published").position.expect("a position");
    assert_eq!((before.offset, after.offset), (1, 1));
    assert_ne!(before.epoch, after.epoch);
}

/// A channel with listeners but without publications keeps its position.
pub async fn reading_prolongs_the_life_of_a_position(nodes: &Nodes) {
    let read = |meta_ttl| {
        let request = HistoryRequest {
            meta_ttl,
            ..only_position()
        };
        nodes.here.history(CHANNEL, request)
    };
    let before = read(SHORT).await.expect("history").position;
    read(LONG).await.expect("history");
    // Another one that was not prolonged shows that the time is over.
    let request = HistoryRequest {
        meta_ttl: SHORT,
        ..only_position()
    };
    let other = nodes.here.history("room:2", request).await;
    other.expect("history");
    let gone = async || {
        let positions = nodes.here.positions(&["room:2".into()]).await;
        positions.expect("positions")[0].is_none()
    };
    until(gone).await;
    assert_eq!(position(&*nodes.here).await, Some(before));
}

/// Whoever has seen them can go on from where it is.
pub async fn removing_a_history_keeps_its_position(nodes: &Nodes) {
    nodes.there.remove_history(CHANNEL).await.expect("removed");
    assert_eq!(position(&*nodes.here).await, None);
    for _ in 0..3 {
        nodes
            .there
            .publish(CHANNEL, kept(""))
            .await
            .expect("published");
    }
    let before = history(nodes).await;
    nodes.there.remove_history(CHANNEL).await.expect("removed");
    let after = history(nodes).await;
    assert!(after.publications.is_empty());
    assert_eq!(after.position, before.position);
    nodes
        .there
        .publish(CHANNEL, kept(""))
        .await
        .expect("published");
    let offsets: Vec<_> = history(nodes).await.publications;
    assert_eq!(offsets.iter().map(|p| p.offset).collect::<Vec<_>>(), [4]);
}

/// The second one learns where the first one stands.
pub async fn a_key_is_published_once(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let with_key = |key: &str, request: PublishRequest| PublishRequest {
        idempotency_key: Some(key.into()),
        ..request
    };
    let first = nodes
        .there
        .publish(CHANNEL, with_key("k1", kept("one")))
        .await;
    let first = first.expect("published");
    assert!(!first.suppressed);
    nodes
        .there
        .publish(CHANNEL, with_key("k2", kept("two")))
        .await
        .expect("published");
    let again = nodes
        .here
        .publish(CHANNEL, with_key("k1", kept("again")))
        .await;
    let again = again.expect("published");
    assert!(again.suppressed);
    assert_eq!(again.position, first.position);

    for (text, suppressed) in [("three", false), ("again", true)] {
        let published = nodes
            .there
            .publish(CHANNEL, with_key("k3", ephemeral(text)))
            .await;
        let published = published.expect("published");
        assert_eq!(published.suppressed, suppressed);
        assert_eq!(published.position, None);
    }
    let elsewhere = nodes
        .there
        .publish("room:2", with_key("k1", kept("")))
        .await;
    assert!(
        !elsewhere.expect("published").suppressed,
        "a key is the channel's"
    );

    nodes
        .there
        .publish(CHANNEL, ephemeral("end"))
        .await
        .expect("published");
    let arrived = recorder.publications(CHANNEL, 4).await;
    let arrived: Vec<_> = arrived.into_iter().map(|p| p.data).collect();
    assert_eq!(arrived, ["one", "two", "three", "end"].map(data));
}

/// Exactly one of many wins.
pub async fn a_key_is_published_once_whoever_races(nodes: &Nodes) {
    let publishing = (0..32).map(|n| {
        let request = PublishRequest {
            idempotency_key: Some("key".into()),
            ..kept(n.to_string())
        };
        let node = if n % 2 == 0 {
            &nodes.here
        } else {
            &nodes.there
        };
        node.publish(CHANNEL, request)
    });
    let published = try_join_all(publishing).await.expect("all published");
    assert_eq!(published.iter().filter(|p| !p.suppressed).count(), 1);
    let first = &published[0].position;
    assert!(published.iter().all(|p| p.position == *first));
    assert_eq!(history(nodes).await.publications.len(), 1);
}

/// A state that is overtaken by a newer one is not published.
pub async fn old_versions_are_not_published(nodes: &Nodes) {
    let large = u64::MAX - 1;
    // Version, version epoch, whether it is suppressed.
    let cases = [
        (5, "", false),
        (5, "", true),
        (4, "", true),
        (10, "", false),
        (9, "", true),
        (1, "b", false),
        (2, "b", false),
        (2, "b", true),
        (0, "", false),
        (2, "b", true),
        (large, "b", false),
        (large - 1, "b", true),
        (large, "b", true),
        (large + 1, "b", false),
    ];
    let mut top = 0;
    for (version, version_epoch, suppressed) in cases {
        let request = PublishRequest {
            version,
            version_epoch: version_epoch.into(),
            ..kept("")
        };
        let published = nodes.there.publish(CHANNEL, request).await;
        let published = published.expect("published");
        top += u64::from(!suppressed);
        assert_eq!(
            published.suppressed, suppressed,
            "{version} {version_epoch}"
        );
        assert_eq!(published.position.expect("a position").offset, top);
    }
}

async fn history(nodes: &Nodes) -> crate::History {
    let request = HistoryRequest {
        meta_ttl: 10 * LONG,
        ..HistoryRequest::default()
    };
    nodes.here.history(CHANNEL, request).await.expect("history")
}

async fn position(broker: &dyn Broker) -> Option<Position> {
    let positions = broker.positions(&[CHANNEL.into()]).await;
    positions.expect("positions").remove(0)
}

pub(super) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    waited.expect("it becomes true");
}
