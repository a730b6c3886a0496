//! Answers out: names of the `.proto`, numbers as numbers, defaults left out.

use bytes::Bytes;
use prost_types::Timestamp;
use proto::chat::v1::{
    GetRoomResponse, Member, Message, Role, Room, RoomKind, RoomSummary, SendMessageResponse,
};
use serde_json::json;
use transcode::PayloadFormat;

use crate::support::{Chat, a_message, call};

#[tokio::test]
async fn an_answer_in_json() {
    let chat = Chat::spawn().await;
    chat.answer(Ok(SendMessageResponse {
        message: Some(Message {
            room_id: "r1".to_owned(),
            seq: u64::MAX,
            text: "hello \"you\"\n".to_owned(),
            created_at: Some(Timestamp {
                seconds: 1_800_000_000,
                nanos: 5_000_000,
            }),
            mentions: vec!["ada".to_owned()],
            ..Message::default()
        }),
        offset: 9_007_199_254_740_993,
    }));
    let payload = Bytes::from(a_message().to_string());
    let answer = call(
        &chat.services,
        "chat.SendMessage",
        &payload,
        PayloadFormat::Json,
    )
    .await
    .unwrap();
    let text = std::str::from_utf8(&answer).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"message":{"room_id":"r1","seq":18446744073709551615,"text":"hello \"you\"\n","#,
            r#""mentions":["ada"],"created_at":"2027-01-15T08:00:00.005Z"},"#,
            r#""offset":9007199254740993}"#
        )
    );
    // One line, since a newline separates frames of the client protocol.
    assert!(!text.contains('\n'));
}

#[tokio::test]
async fn enums_are_names_and_an_empty_answer_is_an_object() {
    let chat = Chat::spawn().await;
    assert_eq!(chat.send(a_message()).await.unwrap(), json!({}));

    *chat.fake.get_room.lock().unwrap() = GetRoomResponse {
        summary: Some(RoomSummary {
            room: Some(Room {
                kind: RoomKind::Broadcast.into(),
                member_count: 3,
                ..Room::default()
            }),
            membership: Some(Member {
                role: Role::Owner.into(),
                ..Member::default()
            }),
            ..RoomSummary::default()
        }),
    };
    let answer = chat
        .json("chat.GetRoom", r#"{"room_id":"r1"}"#)
        .await
        .unwrap();
    assert_eq!(
        answer,
        json!({"summary": {
            "room": {"kind": "ROOM_KIND_BROADCAST", "member_count": 3}, "membership": {"role": "ROLE_OWNER"},
        }})
    );
}
