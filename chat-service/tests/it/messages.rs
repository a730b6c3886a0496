//! Sending, editing, deleting.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::chat::v1::{
    DeleteMessageRequest, DeleteMessageResponse, EditMessageRequest, EditMessageResponse,
    RemoveMemberRequest, Room, RoomKind, SendMessageRequest,
};
use tonic::{Code, Response, Status};

use crate::on_both_databases;
use crate::service::TestService;

on_both_databases!(
    messages_are_numbered_without_gaps_whoever_sends,
    a_retry_is_the_same_message,
    retries_at_the_same_time_are_one_message,
    bad_messages_are_refused,
    only_members_send_and_only_admins_broadcast,
    only_its_author_edits,
    deleting_leaves_a_tombstone,
    custom_data_comes_back,
);

async fn edit(
    service: &TestService,
    user: &str,
    room: &Room,
    seq: u64,
    text: &str,
) -> Result<EditMessageResponse, Status> {
    let request = EditMessageRequest {
        room_id: room.id.clone(),
        seq,
        text: text.into(),
    };
    service
        .chat(user)
        .edit_message(request)
        .await
        .map(Response::into_inner)
}

async fn delete(
    service: &TestService,
    user: &str,
    room: &Room,
    seq: u64,
) -> Result<DeleteMessageResponse, Status> {
    let request = DeleteMessageRequest {
        room_id: room.id.clone(),
        seq,
    };
    service
        .chat(user)
        .delete_message(request)
        .await
        .map(Response::into_inner)
}

fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

async fn messages_are_numbered_without_gaps_whoever_sends(service: TestService) {
    const SENDERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
    const EACH: u64 = 10;
    let room = Arc::new(service.room(RoomKind::Group, &SENDERS[1..]).await);
    let service = Arc::new(service);
    let mut senders = tokio::task::JoinSet::new();
    for sender in SENDERS {
        let (service, room) = (service.clone(), room.clone());
        senders.spawn(async move {
            let mut sent = Vec::new();
            for n in 0..EACH {
                sent.push(service.sent(sender, &room, &format!("{sender} {n}")).await);
            }
            assert!(sent.is_sorted_by_key(|message| message.seq));
            sent
        });
    }
    let mut sent: Vec<_> = senders.join_all().await.into_iter().flatten().collect();
    sent.sort_by_key(|message| message.seq);
    let total = SENDERS.len() as u64 * EACH;
    assert_eq!(
        sent.iter().map(|m| m.seq).collect::<Vec<_>>(),
        (1..=total).collect::<Vec<_>>()
    );

    let count = SENDERS.len() + sent.len();
    let events = service.events(&room.channel, count).await;
    let published = events
        .iter()
        .filter_map(|(_, event)| event.get("message_created"));
    for (message, event) in sent.iter().zip(published) {
        assert_eq!(event["seq"], message.seq);
        assert_eq!(event["text"], *message.text);
    }
    let offsets: Vec<u64> = events.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (1..=count as u64).collect::<Vec<_>>());
}

async fn a_retry_is_the_same_message(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    let request = |text: &str| SendMessageRequest {
        room_id: room.id.clone(),
        client_msg_id: "m1".into(),
        text: text.into(),
        custom: None,
    };
    let first = service
        .chat("alice")
        .send_message(request("hello"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.offset, 3);
    service.sent("alice", &room, "another").await;
    let retry = service
        .chat("alice")
        .send_message(request("hello"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(retry, first);
    let other = service.chat("alice").send_message(request("goodbye")).await;
    assert_eq!(code(other), Code::AlreadyExists);
    // Other people's ids are their own.
    let bobs = service
        .chat("bob")
        .send_message(request("hello"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bobs.message.unwrap().seq, 3);
    // An edit does not make a late retry another message.
    edit(&service, "alice", &room, 1, "hello!").await.unwrap();
    let late = service
        .chat("alice")
        .send_message(request("hello"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(late.message.unwrap().text, "hello!");
    service.events(&room.channel, 6).await;
}

async fn retries_at_the_same_time_are_one_message(service: TestService) {
    let room = Arc::new(service.room(RoomKind::Group, &[]).await);
    let service = Arc::new(service);
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (service, room) = (service.clone(), room.clone());
        senders.spawn(async move { service.send("alice", &room, "once").await.unwrap() });
    }
    let sent = senders.join_all().await;
    assert!(sent.iter().all(|response| *response == sent[0]));
    assert_eq!(sent[0].message.as_ref().unwrap().seq, 1);
    service.events(&room.channel, 2).await;
}

async fn bad_messages_are_refused(service: TestService) {
    let room = service.room(RoomKind::Group, &[]).await;
    for (id, text) in [
        ("", "x"),
        (&*"i".repeat(65), "x"),
        ("i\n", "x"),
        ("i", ""),
        ("i", " \t"),
        ("i", "a\0b"),
        ("i", &"ü".repeat(8_001)),
    ] {
        let request = SendMessageRequest {
            room_id: room.id.clone(),
            client_msg_id: id.into(),
            text: text.into(),
            custom: None,
        };
        let refused = service.chat("alice").send_message(request).await;
        assert_eq!(code(refused), Code::InvalidArgument, "{id:?} {text:?}");
    }
    assert_eq!(
        service.sent("alice", &room, &"ü".repeat(8_000)).await.seq,
        1
    );
}

async fn only_members_send_and_only_admins_broadcast(service: TestService) {
    let group = service.room(RoomKind::Group, &["bob"]).await;
    assert_eq!(
        code(service.send("mallory", &group, "x").await),
        Code::NotFound
    );
    let public = service.room(RoomKind::Public, &[]).await;
    assert_eq!(
        code(service.send("mallory", &public, "x").await),
        Code::PermissionDenied
    );
    let broadcast = service.room(RoomKind::Broadcast, &["bob"]).await;
    assert_eq!(
        code(service.send("bob", &broadcast, "x").await),
        Code::PermissionDenied
    );
    service.sent("alice", &broadcast, "x").await;

    service.sent("bob", &group, "here").await;
    let request = RemoveMemberRequest {
        room_id: group.id.clone(),
        user: "bob".into(),
    };
    service.chat("alice").remove_member(request).await.unwrap();
    assert_eq!(
        code(service.send("bob", &group, "gone").await),
        Code::NotFound
    );
}

async fn only_its_author_edits(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    service.sent("bob", &room, "frist").await;
    assert_eq!(
        code(edit(&service, "alice", &room, 1, "x").await),
        Code::PermissionDenied
    );
    assert_eq!(
        code(edit(&service, "mallory", &room, 1, "x").await),
        Code::NotFound
    );
    assert_eq!(
        code(edit(&service, "bob", &room, 2, "x").await),
        Code::NotFound
    );
    assert_eq!(
        code(edit(&service, "bob", &room, 1, "").await),
        Code::InvalidArgument
    );
    let edited = edit(&service, "bob", &room, 1, "first @alice")
        .await
        .unwrap();
    assert_eq!(edited.offset, 4);
    let message = edited.message.unwrap();
    assert_eq!(
        (message.text.as_str(), &*message.mentions),
        ("first @alice", &["alice".to_owned()][..])
    );
    assert!(message.edited_at.is_some());
    // Nothing changes, so nothing is said.
    let again = edit(&service, "bob", &room, 1, "first @alice")
        .await
        .unwrap();
    assert_eq!((again.message.unwrap(), again.offset), (message, 4));
    let events = service.events(&room.channel, 4).await;
    assert_eq!(events[3].1["message_updated"]["text"], "first @alice");
}

async fn deleting_leaves_a_tombstone(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob", "carol"]).await;
    for text in ["one", "two @alice", "three"] {
        service.sent("bob", &room, text).await;
    }
    assert_eq!(
        code(delete(&service, "carol", &room, 1).await),
        Code::PermissionDenied
    );
    let deleted = delete(&service, "bob", &room, 1).await.unwrap();
    let message = deleted.message.unwrap();
    assert_eq!((message.text.as_str(), message.seq), ("", 1));
    assert!(message.deleted_at.is_some());
    assert_eq!(
        delete(&service, "bob", &room, 1).await.unwrap().message,
        Some(message)
    );
    assert_eq!(
        code(edit(&service, "bob", &room, 1, "x").await),
        Code::FailedPrecondition
    );
    let deleted = delete(&service, "alice", &room, 2)
        .await
        .unwrap()
        .message
        .unwrap();
    assert!(deleted.mentions.is_empty());

    let events = service.events(&room.channel, 8).await;
    let tombstone = &events[6].1["message_deleted"];
    assert_eq!(tombstone["seq"], 1);
    assert_eq!(tombstone.get("text"), None);
    assert_eq!(events[7].1["message_deleted"]["seq"], 2);
}

async fn custom_data_comes_back(service: TestService) {
    use prost_types::value::Kind;
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let fields = BTreeMap::from([
        ("n".to_owned(), value(Kind::NumberValue(1.5))),
        ("s".to_owned(), value(Kind::StringValue("x".into()))),
    ]);
    let room = service.room(RoomKind::Group, &[]).await;
    let request = SendMessageRequest {
        room_id: room.id.clone(),
        client_msg_id: "m".into(),
        text: "x".into(),
        custom: Some(prost_types::Struct {
            fields: fields.clone().into_iter().collect(),
        }),
    };
    let sent = service
        .chat("alice")
        .send_message(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(sent.message.unwrap().custom, request.custom);
    let events = service.events(&room.channel, 2).await;
    let custom = &events[1].1["message_created"]["custom"];
    assert_eq!(*custom, serde_json::json!({"n": 1.5, "s": "x"}));

    let mut large = request;
    large.client_msg_id = "l".into();
    let text = value(Kind::StringValue("x".repeat(20_000)));
    large.custom = Some(prost_types::Struct {
        fields: [("x".to_owned(), text)].into(),
    });
    let refused = service.chat("alice").send_message(large).await;
    assert_eq!(code(refused), Code::InvalidArgument);
}
