//! What subscribers of a room, and of a user's own channel, receive.

use std::sync::Arc;

use broker::{Broker, ClientInfo, EventHandler, Publication};
use bytes::Bytes;
use parking_lot::Mutex;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use proto::chat::v1::{
    AddMemberRequest, JoinRoomRequest, MarkReadRequest, Message, Room, RoomEvent, RoomKind,
    SendTypingRequest, room_event,
};
use serde_json::Value;
use tonic::Code;

use crate::on_both_databases;
use crate::service::{DEADLINE, TestService};

on_both_databases!(
    events_are_what_the_gateway_would_make_of_them,
    typing_and_reading_are_ephemeral,
    who_is_added_is_told,
    large_rooms_do_not_tell_who_types_or_reads,
);

#[derive(Debug, Default)]
struct Received(Mutex<Vec<(String, Publication)>>);

impl EventHandler for Received {
    fn publication(&self, channel: &str, _: &Arc<str>, publication: Publication) {
        self.0.lock().push((channel.to_owned(), publication));
    }
    fn membership(&self, _: &str, _: bool, _: ClientInfo) {}
    fn control(&self, _: Bytes) {}
    fn positions_uncertain(&self, _: &[Arc<str>]) {}
}

impl Received {
    async fn subscribe(service: &TestService, channels: &[&str]) -> Arc<Self> {
        let received = Arc::new(Self::default());
        service.broker.run(received.clone()).await.unwrap();
        for channel in channels {
            service.broker.subscribe(channel).await.unwrap();
        }
        received
    }

    /// The JSON of the ephemeral publications so far.
    fn ephemeral(&self) -> Vec<(String, Value)> {
        let publications = self.0.lock();
        let ephemeral = publications
            .iter()
            .filter(|(_, publication)| publication.offset == 0);
        ephemeral
            .map(|(c, p)| (c.clone(), serde_json::from_slice(&p.data).unwrap()))
            .collect()
    }

    async fn expect(&self, count: usize) -> Vec<(String, Value)> {
        testkit::eventually(DEADLINE, async || self.ephemeral().len() >= count).await;
        self.ephemeral()
    }
}

/// As the gateway transcodes answers of this service.
fn transcoded(event: room_event::Event) -> Value {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let descriptor = pool
        .get_message_by_name("fanfare.chat.v1.RoomEvent")
        .unwrap();
    let bytes = RoomEvent { event: Some(event) }.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, &*bytes).unwrap();
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap()
}

async fn events_are_what_the_gateway_would_make_of_them(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    let message: Message = service.sent("alice", &room, "hi @bob").await;
    let events = service.events(&room.channel, 3).await;
    assert_eq!(
        events[2],
        (3, transcoded(room_event::Event::MessageCreated(message)))
    );

    let request = proto::chat::v1::ListMembersRequest {
        room_id: room.id.clone(),
        ..Default::default()
    };
    let members = service
        .chat("bob")
        .list_members(request)
        .await
        .unwrap()
        .into_inner()
        .members;
    let bob = proto::chat::v1::MemberEvent {
        room_id: room.id.clone(),
        member: Some(members[1].clone()),
        by: "alice".into(),
    };
    assert_eq!(
        events[1],
        (2, transcoded(room_event::Event::MemberJoined(bob)))
    );
}

async fn typing_and_reading_are_ephemeral(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    service.sent("alice", &room, "hi").await;
    let received = Received::subscribe(&service, &[&room.channel]).await;
    let typing = || SendTypingRequest {
        room_id: room.id.clone(),
    };
    service.chat("bob").send_typing(typing()).await.unwrap();
    service.chat("bob").send_typing(typing()).await.unwrap();
    let request = MarkReadRequest {
        room_id: room.id.clone(),
        seq: 1,
    };
    service
        .chat("bob")
        .mark_read(request.clone())
        .await
        .unwrap();
    service.chat("bob").mark_read(request).await.unwrap();
    service.chat("alice").send_typing(typing()).await.unwrap();
    let refused = service
        .chat("mallory")
        .send_typing(typing())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);

    let mut events = received.expect(3).await;
    events.sort_by_key(|(_, event)| event.to_string());
    let of = |user: &str| {
        (
            room.channel.clone(),
            serde_json::json!({"typing": {"room_id": room.id, "user": user}}),
        )
    };
    let read = serde_json::json!({"read": {"room_id": room.id, "user": "bob", "read_seq": 1}});
    assert_eq!(
        events,
        [(room.channel.clone(), read), of("alice"), of("bob")]
    );
    service.events(&room.channel, 3).await;
}

async fn who_is_added_is_told(service: TestService) {
    let channels = ["inbox:#alice", "inbox:#bob", "inbox:#carol"];
    let received = Received::subscribe(&service, &channels).await;
    let group = service.room(RoomKind::Group, &["bob"]).await;
    let request = AddMemberRequest {
        room_id: group.id.clone(),
        user: "carol".into(),
    };
    service.chat("alice").add_member(request).await.unwrap();
    let direct: Room = service.direct("carol", "alice").await;
    service.direct("carol", "alice").await;

    let mut told: Vec<_> = received.expect(3).await;
    told.sort_by(|(a, _), (b, _)| a.cmp(b));
    let told: Vec<_> = told
        .iter()
        .map(|(channel, event)| {
            (
                channel.as_str(),
                event["room_added"]["id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("inbox:#alice", direct.id.as_str()),
            ("inbox:#bob", &group.id),
            ("inbox:#carol", &group.id)
        ]
    );
    let event = &received.ephemeral()[0].1;
    assert_eq!(event["room_added"]["kind"], "ROOM_KIND_GROUP");
}

async fn large_rooms_do_not_tell_who_types_or_reads(service: TestService) {
    let users: Vec<String> = (0..200).map(|n| format!("user{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let large = service.room(RoomKind::Public, &users).await;
    let small = service.room(RoomKind::Public, &[]).await;
    service.sent("alice", &large, "hi").await;
    let received = Received::subscribe(&service, &[&large.channel, &small.channel]).await;
    for room in [&large, &small] {
        let request = SendTypingRequest {
            room_id: room.id.clone(),
        };
        service.chat("alice").send_typing(request).await.unwrap();
    }
    let request = MarkReadRequest {
        room_id: large.id.clone(),
        seq: 1,
    };
    service.chat("user1").mark_read(request).await.unwrap();
    let request = JoinRoomRequest {
        room_id: small.id.clone(),
    };
    service.chat("bob").join_room(request).await.unwrap();
    let request = SendTypingRequest {
        room_id: small.id.clone(),
    };
    service.chat("bob").send_typing(request).await.unwrap();
    let events = received.expect(2).await;
    assert!(
        events.iter().all(|(channel, _)| *channel == small.channel),
        "{events:?}"
    );
}
