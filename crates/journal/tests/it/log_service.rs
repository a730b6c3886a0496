//! `ReadLog` as a gateway calls it.

use journal::read_log;
use proto::log::v1::ReadLogRequest;
use tonic::Code;

use crate::on_both_stores;
use crate::store::{Store, events};

on_both_stores!(reads_what_is_missing, ends_before_the_answer_is_too_large);

async fn reads_what_is_missing(store: Store) {
    let appended = store.append("room:a", &events(&["1", "2", "3"])).await;
    let journal = store.journal();
    let mut request = ReadLogRequest {
        channel: "room:a".into(),
        epoch: appended.epoch.to_string(),
        since_offset: 1,
        limit: 0,
    };
    let response = read_log(&*journal, &request).await.unwrap();
    assert_eq!(
        (response.epoch.as_str(), response.top_offset),
        (&*appended.epoch, 3)
    );
    let offsets: Vec<u64> = response.publications.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [2, 3]);
    assert_eq!(response.publications[1].data, "3");

    request.limit = 1;
    assert_eq!(
        read_log(&*journal, &request)
            .await
            .unwrap()
            .publications
            .len(),
        1
    );

    request.since_offset = 3;
    assert!(
        read_log(&*journal, &request)
            .await
            .unwrap()
            .publications
            .is_empty()
    );

    request.epoch = "another".into();
    let status = read_log(&*journal, &request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);

    request.epoch.clear();
    request.channel = "room:unknown".into();
    let first = read_log(&*journal, &request).await.unwrap();
    assert_eq!(first.top_offset, 0);
    assert!(!first.epoch.is_empty(), "a position to recover from");
    let again = read_log(&*journal, &request).await.unwrap();
    assert_eq!(again.epoch, first.epoch);
}

async fn ends_before_the_answer_is_too_large(store: Store) {
    let large = "x".repeat(900_000);
    store
        .append("room:a", &events(&[&large, &large, &large]))
        .await;
    let request = ReadLogRequest {
        channel: "room:a".into(),
        ..ReadLogRequest::default()
    };
    let response = read_log(&*store.journal(), &request).await.unwrap();
    assert_eq!(response.publications.len(), 2);
    assert_eq!(response.top_offset, 3);
}
