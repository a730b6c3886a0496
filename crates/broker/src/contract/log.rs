//! Channels that are anchored to a log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{CHANNEL, LONG, Nodes, data, ephemeral, kept, policy};
use crate::{Broker, Error, HistoryRequest, MAX_OFFSET, Position, PublishRequest, PublishedAt};

fn at(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: epoch.into(),
        offset,
    }
}

async fn publish_at(broker: &dyn Broker, epoch: &str, offset: u64) -> PublishedAt {
    let request = PublishRequest {
        history: Some(policy(1000)),
        ..ephemeral(format!("{epoch}/{offset}"))
    };
    let published = broker
        .publish_at(CHANNEL, &at(epoch, offset), request)
        .await;
    published.expect("published")
}

async fn history(nodes: &Nodes) -> (Position, Vec<u64>) {
    let history = nodes.here.history(CHANNEL, HistoryRequest::default()).await;
    let history = history.expect("history");
    let offsets = history.publications.iter().map(|p| p.offset).collect();
    (history.position, offsets)
}

/// The next one is sent, an earlier one ignored, a later one reports the gap.
pub async fn a_log_is_published_in_order_and_without_gaps(nodes: &Nodes) {
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let there = &*nodes.there;
    assert_eq!(
        publish_at(there, "log", 2).await,
        PublishedAt::Gap { top: 0 }
    );
    assert_eq!(publish_at(there, "log", 1).await, PublishedAt::Appended);
    assert_eq!(publish_at(there, "log", 1).await, PublishedAt::AlreadyThere);
    assert_eq!(publish_at(there, "log", 2).await, PublishedAt::Appended);
    assert_eq!(publish_at(there, "log", 1).await, PublishedAt::AlreadyThere);
    assert_eq!(
        publish_at(there, "log", 5).await,
        PublishedAt::Gap { top: 2 }
    );
    assert_eq!(publish_at(there, "log", 3).await, PublishedAt::Appended);
    assert_eq!(history(nodes).await, (at("log", 3), vec![1, 2, 3]));

    // What is not in the log takes no place in it.
    there
        .publish(CHANNEL, ephemeral("typing"))
        .await
        .expect("published");
    assert_eq!(publish_at(there, "log", 4).await, PublishedAt::Appended);
    let arrived = recorder.publications(CHANNEL, 5).await;
    let arrived: Vec<_> = arrived.into_iter().map(|p| (p.offset, p.data)).collect();
    let expected = [
        (1, data("log/1")),
        (2, data("log/2")),
        (3, data("log/3")),
        (0, data("typing")),
        (4, data("log/4")),
    ];
    assert_eq!(arrived, expected);
}

/// Each of many replicas publishes the whole log; each event arrives once.
pub async fn a_log_is_published_once_whoever_races(nodes: &Nodes) {
    const N: u64 = 300;
    let recorder = nodes.record().await;
    nodes.here.subscribe(CHANNEL).await.expect("subscribed");
    let replicas = (0..4).map(|replica| {
        let broker = Arc::clone(if replica % 2 == 0 {
            &nodes.here
        } else {
            &nodes.there
        });
        tokio::spawn(async move {
            // Each begins elsewhere and goes where the gap says.
            let mut next = 1 + replica * 7;
            let mut appended = 0;
            while next <= N {
                match publish_at(&*broker, "log", next).await {
                    PublishedAt::Appended => {
                        appended += 1;
                        next += 1;
                    }
                    PublishedAt::AlreadyThere => next += 1,
                    PublishedAt::Gap { top } => next = top + 1,
                }
            }
            appended
        })
    });
    let appended = join_all(replicas).await;
    let appended: u64 = appended.into_iter().map(|n| n.expect("no panic")).sum();
    assert_eq!(appended, N);
    let arrived = recorder.publications(CHANNEL, 300).await;
    let offsets: Vec<_> = arrived.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, (1..=N).collect::<Vec<_>>());
    let (position, kept) = history(nodes).await;
    assert_eq!(position, at("log", N));
    assert_eq!(kept, offsets);
}

/// An epoch that the channel does not have.
pub async fn another_log_replaces_the_history_only_from_its_beginning(nodes: &Nodes) {
    let there = &*nodes.there;
    for _ in 0..3 {
        there.publish(CHANNEL, kept("")).await.expect("published");
    }
    assert_eq!(
        publish_at(there, "log", 4).await,
        PublishedAt::Gap { top: 0 }
    );
    let (before, offsets) = history(nodes).await;
    assert_ne!(&*before.epoch, "log");
    assert_eq!(offsets, [1, 2, 3]);
    assert_eq!(publish_at(there, "log", 1).await, PublishedAt::Appended);
    assert_eq!(history(nodes).await, (at("log", 1), vec![1]));
    assert_eq!(publish_at(there, "new", 1).await, PublishedAt::Appended);
    assert_eq!(publish_at(there, "new", 2).await, PublishedAt::Appended);
    assert_eq!(history(nodes).await, (at("new", 2), vec![1, 2]));
    assert_eq!(
        publish_at(there, "log", 2).await,
        PublishedAt::Gap { top: 0 }
    );
}

/// A history that begins in the middle of its log.
pub async fn an_anchor_is_set_once(nodes: &Nodes) {
    let there = &*nodes.there;
    there.publish(CHANNEL, kept("")).await.expect("published");
    let anchor = async |epoch, offset| {
        let anchored = there.anchor(CHANNEL, &at(epoch, offset), LONG).await;
        anchored.expect("anchored")
    };
    assert_eq!(anchor("log", 41).await, at("log", 41));
    assert_eq!(history(nodes).await, (at("log", 41), vec![]));
    assert_eq!(
        publish_at(there, "log", 41).await,
        PublishedAt::AlreadyThere
    );
    assert_eq!(
        publish_at(there, "log", 43).await,
        PublishedAt::Gap { top: 41 }
    );
    assert_eq!(publish_at(there, "log", 42).await, PublishedAt::Appended);
    assert_eq!(
        anchor("log", 99).await,
        at("log", 42),
        "it has this log already"
    );
    assert_eq!(history(nodes).await, (at("log", 42), vec![42]));
    assert_eq!(anchor("new", 0).await, at("new", 0));
    assert_eq!(history(nodes).await, (at("new", 0), vec![]));
    assert_eq!(publish_at(there, "new", 1).await, PublishedAt::Appended);

    let large = at("large", MAX_OFFSET - 1);
    assert_eq!(
        there.anchor(CHANNEL, &large, LONG).await.expect("anchored"),
        large
    );
    assert_eq!(
        publish_at(there, "large", MAX_OFFSET).await,
        PublishedAt::Appended
    );
    assert_eq!(
        history(nodes).await,
        (at("large", MAX_OFFSET), vec![MAX_OFFSET])
    );
}

/// Refused, whatever the broker has.
pub async fn senseless_positions_are_refused(nodes: &Nodes) {
    let there = &*nodes.there;
    let no_history = there
        .publish_at(CHANNEL, &at("log", 1), ephemeral(""))
        .await;
    assert!(matches!(no_history, Err(Error::Invalid(_))));
    for position in [
        at("log", 0),
        at("log", MAX_OFFSET + 1),
        at("log", u64::MAX),
        at("", 1),
        at("two\nlines", 1),
    ] {
        let published = there.publish_at(CHANNEL, &position, kept("")).await;
        assert!(matches!(published, Err(Error::Invalid(_))), "{position:?}");
        if position.offset > 0 {
            let anchored = there.anchor(CHANNEL, &position, Duration::ZERO).await;
            assert!(matches!(anchored, Err(Error::Invalid(_))), "{position:?}");
        }
    }
}
