//! What users do with their inboxes.

use proto::notify::v1::{
    ArchiveRequest, Counts, GetCountsRequest, ListInboxRequest, MarkAllReadRequest,
    MarkReadRequest, MarkSeenRequest,
};
use tonic::Code;

use crate::on_both;
use crate::support::{TestService, by};

on_both! {
    marks_answer_with_the_counters,
    pages_lead_through_the_whole_inbox,
    bad_input_is_refused,
}

async fn marks_answer_with_the_counters(service: &TestService) {
    let mut client = service.notify.clone();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.extend(service.notify(&["ann"], &format!("number {n}")).await);
    }
    let counts = |unread, unseen, version| {
        Some(Counts {
            unread,
            unseen,
            version,
        })
    };
    let seen = MarkSeenRequest { ids: ids.clone() };
    for _ in 0..2 {
        let answer = client.mark_seen(by("ann", seen.clone())).await.unwrap();
        assert_eq!(
            answer.into_inner().counts,
            counts(4, 0, 5),
            "and again the same"
        );
    }
    let read = MarkReadRequest {
        ids: ids[..2].to_vec(),
        unread: false,
    };
    let answer = client.mark_read(by("ann", read)).await.unwrap();
    assert_eq!(answer.into_inner().counts, counts(2, 0, 6));
    let unread = MarkReadRequest {
        ids: ids[..1].to_vec(),
        unread: true,
    };
    let answer = client.mark_read(by("ann", unread)).await.unwrap();
    assert_eq!(answer.into_inner().counts, counts(3, 0, 7));
    let archive = ArchiveRequest {
        ids: ids[..1].to_vec(),
    };
    // Another user's ids are as good as unknown.
    let answer = client.archive(by("eve", archive.clone())).await.unwrap();
    assert_eq!(answer.into_inner().counts, counts(0, 0, 0));
    let answer = client.archive(by("ann", archive)).await.unwrap();
    assert_eq!(answer.into_inner().counts, counts(2, 0, 8));
    for _ in 0..2 {
        let answer = client
            .mark_all_read(by("ann", MarkAllReadRequest {}))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().counts, counts(0, 0, 9));
    }
    let answer = client
        .get_counts(by("ann", GetCountsRequest {}))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().counts, counts(0, 0, 9));

    let list = async |unread_only, archived| {
        let request = ListInboxRequest {
            unread_only,
            archived,
            ..ListInboxRequest::default()
        };
        service.list("ann", request).await.notifications.len()
    };
    assert_eq!(list(false, false).await, 3);
    assert_eq!(list(true, false).await, 0);
    assert_eq!(list(false, true).await, 1);
}

async fn pages_lead_through_the_whole_inbox(service: &TestService) {
    let mut expected = Vec::new();
    for n in 0..7 {
        expected.extend(service.notify(&["ann"], &format!("number {n}")).await);
    }
    expected.reverse();
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let request = ListInboxRequest {
            limit: 3,
            cursor,
            ..ListInboxRequest::default()
        };
        let page = service.list("ann", request).await;
        found.extend(
            page.notifications
                .into_iter()
                .map(|notification| notification.id),
        );
        // What comes meanwhile is on no later page.
        service.notify(&["ann"], "meanwhile").await;
        if page.next_cursor.is_empty() {
            break;
        }
        cursor = page.next_cursor;
    }
    assert_eq!(found, expected);
}

async fn bad_input_is_refused(service: &TestService) {
    let mut client = service.notify.clone();
    let request = ListInboxRequest {
        cursor: "x".to_owned(),
        ..ListInboxRequest::default()
    };
    let status = client.list_inbox(by("ann", request)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let request = ListInboxRequest {
        unread_only: true,
        archived: true,
        ..ListInboxRequest::default()
    };
    let status = client.list_inbox(by("ann", request)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for ids in [
        vec![String::new()],
        vec!["nul\0".to_owned()],
        vec!["i".to_owned(); 501],
    ] {
        let status = client
            .mark_seen(by("ann", MarkSeenRequest { ids }))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("ids"), "{status}");
    }
}
