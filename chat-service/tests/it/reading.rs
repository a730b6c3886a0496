//! Reading messages, and what is unread.

use proto::chat::v1::list_messages_request::Anchor;
use proto::chat::v1::{
    GetUnreadRequest, ListMessagesRequest, ListMessagesResponse, ListRoomsRequest, MarkReadRequest,
    MarkReadResponse, Room, RoomKind,
};
use proto::log::v1::ReadLogRequest;
use tonic::Code;

use crate::on_both_databases;
use crate::service::TestService;

on_both_databases!(
    pages_before_after_and_around,
    only_members_read,
    unread_is_what_is_above_the_pointer,
    the_pointer_never_moves_back,
    a_gateway_reads_the_log,
);

async fn list(
    service: &TestService,
    room: &Room,
    anchor: Option<Anchor>,
    limit: u32,
) -> (Vec<u64>, ListMessagesResponse) {
    let request = ListMessagesRequest {
        room_id: room.id.clone(),
        anchor,
        limit,
    };
    let page = service
        .chat("bob")
        .list_messages(request)
        .await
        .unwrap()
        .into_inner();
    (
        page.messages.iter().map(|message| message.seq).collect(),
        page,
    )
}

async fn mark(service: &TestService, user: &str, room: &Room, seq: u64) -> MarkReadResponse {
    let request = MarkReadRequest {
        room_id: room.id.clone(),
        seq,
    };
    service
        .chat(user)
        .mark_read(request)
        .await
        .unwrap()
        .into_inner()
}

async fn pages_before_after_and_around(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    let (seqs, page) = list(&service, &room, None, 0).await;
    assert!(seqs.is_empty() && !page.has_more_before && !page.has_more_after);
    assert_eq!((page.epoch, page.offset), (room.epoch.clone(), 2));
    for n in 1..=10 {
        service.sent("alice", &room, &n.to_string()).await;
    }
    for (anchor, expected, before, after) in [
        (None, vec![8, 9, 10], true, false),
        (Some(Anchor::BeforeSeq(8)), vec![5, 6, 7], true, true),
        (Some(Anchor::BeforeSeq(3)), vec![1, 2], false, true),
        (Some(Anchor::BeforeSeq(1)), vec![], false, true),
        (Some(Anchor::AfterSeq(0)), vec![1, 2, 3], false, true),
        (Some(Anchor::AfterSeq(8)), vec![9, 10], true, false),
        (Some(Anchor::AfterSeq(10)), vec![], true, false),
        (Some(Anchor::AfterSeq(u64::MAX)), vec![], true, false),
        (Some(Anchor::AroundSeq(5)), vec![4, 5, 6], true, true),
        (Some(Anchor::AroundSeq(1)), vec![1, 2, 3], false, true),
        (Some(Anchor::AroundSeq(10)), vec![8, 9, 10], true, false),
    ] {
        let (seqs, page) = list(&service, &room, anchor, 3).await;
        assert_eq!(seqs, expected, "{anchor:?}");
        assert_eq!(
            (page.has_more_before, page.has_more_after),
            (before, after),
            "{anchor:?}"
        );
        assert_eq!(page.offset, 12);
    }
    assert_eq!(list(&service, &room, None, 0).await.0.len(), 10);
}

async fn only_members_read(service: TestService) {
    for (kind, expected) in [
        (RoomKind::Group, Code::NotFound),
        (RoomKind::Public, Code::PermissionDenied),
    ] {
        let room = service.room(kind, &[]).await;
        let request = ListMessagesRequest {
            room_id: room.id.clone(),
            ..ListMessagesRequest::default()
        };
        let refused = service
            .chat("mallory")
            .list_messages(request)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), expected);
        let request = MarkReadRequest {
            room_id: room.id,
            seq: 1,
        };
        let refused = service
            .chat("mallory")
            .mark_read(request)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), expected);
    }
}

async fn unread_is_what_is_above_the_pointer(service: TestService) {
    let one = service.room(RoomKind::Group, &["bob"]).await;
    let other = service.room(RoomKind::Group, &["bob"]).await;
    for text in ["1", "2 @bob", "3 @bob @mallory"] {
        service.sent("alice", &one, text).await;
    }
    service.sent("alice", &other, "@bob").await;
    service.sent("bob", &other, "what I send I have read").await;

    let unread = async || {
        let response = service
            .chat("bob")
            .get_unread(GetUnreadRequest {})
            .await
            .unwrap();
        let unread = response.into_inner();
        let rooms = unread.rooms.iter();
        let rooms = rooms.map(|r| (r.room_id.clone(), r.unread_count, r.unread_mentions));
        (
            rooms.collect::<Vec<_>>(),
            unread.total_unread,
            unread.total_mentions,
        )
    };
    assert_eq!(unread().await, (vec![(one.id.clone(), 3, 2)], 3, 2));
    let rooms = service
        .chat("bob")
        .list_rooms(ListRoomsRequest::default())
        .await
        .unwrap();
    let mut summaries = rooms.into_inner().rooms.into_iter();
    let summary = summaries
        .find(|s| s.room.as_ref().unwrap().id == one.id)
        .unwrap();
    assert_eq!((summary.unread_count, summary.unread_mentions), (3, 2));
    assert_eq!(summary.last_message.unwrap().text, "3 @bob @mallory");

    let marked = mark(&service, "bob", &one, 2).await;
    assert_eq!((marked.read_seq, marked.unread_count), (2, 1));
    assert_eq!(unread().await, (vec![(one.id.clone(), 1, 1)], 1, 1));
    mark(&service, "bob", &one, 3).await;
    assert_eq!(unread().await, (vec![], 0, 0));
}

async fn the_pointer_never_moves_back(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    for text in ["1", "2", "3"] {
        service.sent("alice", &room, text).await;
    }
    assert_eq!(mark(&service, "bob", &room, 2).await.read_seq, 2);
    assert_eq!(mark(&service, "bob", &room, 1).await.read_seq, 2);
    assert_eq!(mark(&service, "bob", &room, u64::MAX).await.read_seq, 3);
    assert_eq!(mark(&service, "bob", &room, 3).await.unread_count, 0);
}

async fn a_gateway_reads_the_log(service: TestService) {
    let room = service.room(RoomKind::Group, &[]).await;
    for text in ["1", "2", "3"] {
        service.sent("alice", &room, text).await;
    }
    let request = ReadLogRequest {
        channel: room.channel.clone(),
        epoch: room.epoch.clone(),
        since_offset: 1,
        limit: 2,
    };
    let log = service
        .logs()
        .read_log(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((log.epoch, log.top_offset), (room.epoch, 4));
    let published = service.publications(&room.channel, 4).await;
    assert_eq!(log.publications.len(), 2);
    for (read, published) in log.publications.iter().zip(&published[1..]) {
        assert_eq!(
            (read.offset, &read.data),
            (published.offset, &published.data)
        );
    }
    let stale = ReadLogRequest {
        epoch: "another".into(),
        ..request
    };
    let refused = service.logs().read_log(stale).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
