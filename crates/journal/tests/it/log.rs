//! Numbers, epochs, and what is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use journal::NewEvent;

use crate::on_both_stores;
use crate::store::{Store, events};

on_both_stores!(
    numbers_have_no_gaps_whoever_appends,
    an_aborted_append_leaves_no_trace,
    events_come_back_as_they_were,
    a_log_has_its_epoch_before_its_first_event,
    marks_never_move_back,
);

async fn numbers_have_no_gaps_whoever_appends(store: Store) {
    let store = Arc::new(store);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for n in 0..10 {
                let payload = format!("{writer}-{n}");
                if n % 3 == 2 {
                    store.append_and_abort("room:a", &events(&[&payload])).await;
                } else {
                    store
                        .append("room:a", &events(&[&payload, "and one"]))
                        .await;
                }
            }
        });
    }
    writers.join_all().await;

    let journal = store.journal();
    let read = journal.read("room:a", 0, 1_000).await.unwrap();
    let offsets: Vec<u64> = read.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, (1..=8 * 7 * 2).collect::<Vec<_>>());
    let distinct: BTreeSet<_> = read.iter().map(|event| &event.data).collect();
    assert_eq!(distinct.len(), 8 * 7 + 1);
    assert_eq!(
        journal.state("room:a").await.unwrap().unwrap().top,
        8 * 7 * 2
    );
}

async fn an_aborted_append_leaves_no_trace(store: Store) {
    store.append_and_abort("room:a", &events(&["lost"])).await;
    let journal = store.journal();
    assert_eq!(journal.state("room:a").await.unwrap(), None);
    assert!(journal.read("room:a", 0, 10).await.unwrap().is_empty());
    assert!(journal.unpublished(i64::MAX, 10).await.unwrap().is_empty());
}

async fn events_come_back_as_they_were(store: Store) {
    let left = NewEvent {
        data: "{\"ü\":\"\u{0}\"}".into(),
        tags: BTreeMap::from([("kind".into(), "left".into())]),
        ends_user: Some("alice".into()),
        traceparent: None,
    };
    let appended = store.append("room:a", &[NewEvent::new("1"), left]).await;
    store.append("room:b", &events(&["elsewhere"])).await;

    assert_eq!(appended.position().offset, 2);
    let journal = store.journal();
    let read = journal.read("room:a", 0, 10).await.unwrap();
    assert_eq!(read, appended.events);
    assert_eq!(read[1].ends_user.as_deref(), Some("alice"));
    assert_eq!(read[1].tags["kind"], "left");
    assert_eq!(journal.read("room:a", 1, 10).await.unwrap(), read[1..]);
    assert_eq!(journal.read("room:a", 0, 1).await.unwrap(), read[..1]);
    assert!(journal.read("room:a", 2, 10).await.unwrap().is_empty());
}

async fn a_log_has_its_epoch_before_its_first_event(store: Store) {
    let opened = store.open("inbox:#alice").await.unwrap();
    assert_eq!(opened.top, 0);
    assert_eq!(store.open("inbox:#alice").await.unwrap(), opened);
    let appended = store.append("inbox:#alice", &events(&["1"])).await;
    assert_eq!(appended.epoch, opened.epoch);
    assert_eq!(appended.events[0].offset, 1);
    assert_ne!(store.open("inbox:#bob").await.unwrap().epoch, opened.epoch);
}

async fn marks_never_move_back(store: Store) {
    store.append("room:a", &events(&["1", "2", "3"])).await;
    store.append("room:b", &events(&["1"])).await;
    let journal = store.journal();
    let published = async |channel| journal.state(channel).await.unwrap().unwrap().published;
    let unpublished = async || journal.unpublished(i64::MAX, 10).await.unwrap();
    assert_eq!(unpublished().await.len(), 2);

    journal
        .mark_published(&[("room:a".into(), 2), ("room:b".into(), 1)])
        .await
        .unwrap();
    assert_eq!(unpublished().await, ["room:a"]);
    journal
        .mark_published(&[("room:a".into(), 1), ("unknown".into(), 1)])
        .await
        .unwrap();
    assert_eq!(published("room:a").await, 2);
    // More than there is can only come from a broker that is wrong.
    journal
        .mark_published(&[("room:a".into(), 9)])
        .await
        .unwrap();
    assert_eq!(published("room:a").await, 3);
    assert!(unpublished().await.is_empty());

    store.append("room:a", &events(&["4"])).await;
    assert_eq!(unpublished().await, ["room:a"]);
    assert!(journal.unpublished(0, 10).await.unwrap().is_empty());
}
