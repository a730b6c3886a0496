//! Creating, finding, joining and leaving rooms.

use proto::chat::v1::{
    AddMemberRequest, CreateRoomRequest, GetRoomRequest, JoinRoomRequest, LeaveRoomRequest,
    ListMembersRequest, ListPublicRoomsRequest, ListRoomsRequest, OpenDirectRoomRequest,
    RemoveMemberRequest, Role, Room, RoomKind, RoomSummary, SetMemberRoleRequest,
};
use proto::log::v1::AuthorizeSubscribeRequest;
use tonic::{Code, Status};

use crate::on_both_databases;
use crate::service::TestService;

on_both_databases!(
    a_room_belongs_to_who_creates_it,
    creating_twice_with_a_key_creates_once,
    bad_rooms_are_refused,
    a_pair_has_one_direct_room,
    opening_at_the_same_time_opens_one,
    who_is_no_member_sees_only_open_rooms,
    public_rooms_are_joined_and_left,
    groups_are_joined_by_invitation_only,
    roles_decide_who_removes_whom,
    a_room_keeps_an_owner,
    rooms_are_listed_by_activity_in_pages,
    open_rooms_are_found_by_name_in_pages,
    members_are_listed_in_pages,
    only_members_subscribe,
    nobody_calls_without_a_name,
);

fn create(kind: RoomKind, name: &str, key: &str) -> CreateRoomRequest {
    CreateRoomRequest {
        kind: kind.into(),
        name: name.into(),
        members: Vec::new(),
        client_room_id: key.into(),
    }
}

async fn get(service: &TestService, user: &str, room: &Room) -> Result<RoomSummary, Status> {
    let request = GetRoomRequest {
        room_id: room.id.clone(),
    };
    let response = service.chat(user).get_room(request).await?;
    Ok(response.into_inner().summary.unwrap())
}

async fn join(service: &TestService, user: &str, room: &Room) -> Result<RoomSummary, Status> {
    let request = JoinRoomRequest {
        room_id: room.id.clone(),
    };
    let response = service.chat(user).join_room(request).await?;
    Ok(response.into_inner().summary.unwrap())
}

async fn leave(service: &TestService, user: &str, room: &Room) -> Result<(), Status> {
    let request = LeaveRoomRequest {
        room_id: room.id.clone(),
    };
    service.chat(user).leave_room(request).await.map(|_| ())
}

async fn add(service: &TestService, user: &str, room: &Room, whom: &str) -> Result<(), Status> {
    let request = AddMemberRequest {
        room_id: room.id.clone(),
        user: whom.into(),
    };
    service.chat(user).add_member(request).await.map(|_| ())
}

async fn remove(service: &TestService, user: &str, room: &Room, whom: &str) -> Result<(), Status> {
    let request = RemoveMemberRequest {
        room_id: room.id.clone(),
        user: whom.into(),
    };
    service.chat(user).remove_member(request).await.map(|_| ())
}

async fn set_role(
    service: &TestService,
    user: &str,
    room: &Room,
    whom: &str,
    role: Role,
) -> Result<(), Status> {
    let request = SetMemberRoleRequest {
        room_id: room.id.clone(),
        user: whom.into(),
        role: role.into(),
    };
    service
        .chat(user)
        .set_member_role(request)
        .await
        .map(|_| ())
}

fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

async fn a_room_belongs_to_who_creates_it(service: TestService) {
    let room = service
        .room(RoomKind::Group, &["bob", "bob", "alice"])
        .await;
    assert_eq!((room.kind(), room.name.as_str()), (RoomKind::Group, "Room"));
    assert_eq!(room.channel, format!("room:{}", room.id));
    assert_eq!(
        (room.member_count, room.offset, room.last_message_seq),
        (2, 2, 0)
    );
    assert_eq!(room.created_by, "alice");
    assert!(!room.epoch.is_empty() && room.created_at.is_some() && room.direct_users.is_empty());

    let summary = get(&service, "alice", &room).await.unwrap();
    assert_eq!(summary.room, Some(room.clone()));
    assert_eq!(summary.membership.unwrap().role(), Role::Owner);
    let summary = get(&service, "bob", &room).await.unwrap();
    assert_eq!(summary.membership.unwrap().role(), Role::Member);
    assert_eq!((summary.unread_count, summary.last_message), (0, None));
}

async fn creating_twice_with_a_key_creates_once(service: TestService) {
    let mut rooms = Vec::new();
    for (user, key) in [("alice", "k"), ("alice", "k"), ("bob", "k"), ("alice", "")] {
        let request = create(RoomKind::Group, "Room", key);
        let response = service.chat(user).create_room(request).await.unwrap();
        rooms.push(response.into_inner().room.unwrap());
    }
    assert_eq!(rooms[0], rooms[1]);
    assert_ne!(rooms[0].id, rooms[2].id);
    assert_ne!(rooms[0].id, rooms[3].id);
    service.events(&rooms[0].channel, 1).await;
}

async fn bad_rooms_are_refused(service: TestService) {
    let mut crowded = create(RoomKind::Group, "x", "");
    crowded.members = (0..501).map(|n| format!("u{n}")).collect();
    let mut nameless = create(RoomKind::Group, "x", "");
    nameless.members = vec![String::new()];
    for request in [
        create(RoomKind::Unspecified, "x", ""),
        create(RoomKind::Direct, "x", ""),
        create(RoomKind::Group, " ", ""),
        create(RoomKind::Group, "a\nb", ""),
        create(RoomKind::Group, &"x".repeat(129), ""),
        create(RoomKind::Group, "x", &"k".repeat(65)),
        crowded,
        nameless,
    ] {
        let refused = service.chat("alice").create_room(request.clone()).await;
        assert_eq!(code(refused), Code::InvalidArgument, "{request:?}");
    }
}

async fn a_pair_has_one_direct_room(service: TestService) {
    let room = service.direct("bob", "alice").await;
    assert_eq!(service.direct("alice", "bob").await, room);
    assert_eq!(room.kind(), RoomKind::Direct);
    assert_eq!(room.direct_users, ["alice", "bob"]);
    assert_ne!(service.direct("alice", "carol").await.id, room.id);
    let request = OpenDirectRoomRequest {
        user: "alice".into(),
    };
    let refused = service.chat("alice").open_direct_room(request).await;
    assert_eq!(code(refused), Code::InvalidArgument);

    assert_eq!(code(get(&service, "carol", &room).await), Code::NotFound);
    assert_eq!(
        code(leave(&service, "bob", &room).await),
        Code::FailedPrecondition
    );
    assert_eq!(
        code(add(&service, "bob", &room, "carol").await),
        Code::FailedPrecondition
    );
    assert_eq!(
        code(remove(&service, "bob", &room, "alice").await),
        Code::FailedPrecondition
    );
}

async fn opening_at_the_same_time_opens_one(service: TestService) {
    let service = std::sync::Arc::new(service);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..10 {
        let service = service.clone();
        calls.spawn(async move {
            let (user, other) = if n % 2 == 0 {
                ("alice", "bob")
            } else {
                ("bob", "alice")
            };
            service.direct(user, other).await
        });
    }
    let rooms = calls.join_all().await;
    assert!(rooms.iter().all(|room| *room == rooms[0]));
    service.events(&rooms[0].channel, 2).await;
}

async fn who_is_no_member_sees_only_open_rooms(service: TestService) {
    for (kind, expected) in [
        (RoomKind::Group, Code::NotFound),
        (RoomKind::Public, Code::Ok),
        (RoomKind::Broadcast, Code::Ok),
    ] {
        let room = service.room(kind, &[]).await;
        assert_eq!(code(get(&service, "mallory", &room).await), expected);
    }
    let unknown = Room {
        id: "unknown".into(),
        ..Room::default()
    };
    assert_eq!(code(get(&service, "alice", &unknown).await), Code::NotFound);
    let malformed = Room {
        id: "a b".into(),
        ..Room::default()
    };
    assert_eq!(
        code(get(&service, "alice", &malformed).await),
        Code::InvalidArgument
    );
}

async fn public_rooms_are_joined_and_left(service: TestService) {
    let room = service.room(RoomKind::Public, &[]).await;
    service.sent("alice", &room, "before").await;
    let joined = join(&service, "bob", &room).await.unwrap();
    assert_eq!(joined.membership.unwrap().role(), Role::Member);
    assert_eq!(joined.room.unwrap().member_count, 2);
    assert_eq!(joined.unread_count, 0, "what was said before is not unread");
    join(&service, "bob", &room).await.unwrap();
    leave(&service, "bob", &room).await.unwrap();
    leave(&service, "bob", &room).await.unwrap();
    assert_eq!(get(&service, "bob", &room).await.unwrap().membership, None);
    let unknown = Room {
        id: "unknown".into(),
        ..Room::default()
    };
    assert_eq!(code(join(&service, "bob", &unknown).await), Code::NotFound);

    let events = service.events(&room.channel, 4).await;
    assert_eq!(events[2].1["member_joined"]["member"]["user"], "bob");
    assert_eq!(events[3].1["member_left"]["by"], "bob");
}

async fn groups_are_joined_by_invitation_only(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    assert_eq!(
        code(join(&service, "carol", &room).await),
        Code::PermissionDenied
    );
    assert_eq!(
        code(add(&service, "bob", &room, "carol").await),
        Code::PermissionDenied
    );
    assert_eq!(
        code(add(&service, "carol", &room, "carol").await),
        Code::NotFound
    );
    add(&service, "alice", &room, "carol").await.unwrap();
    add(&service, "alice", &room, "carol").await.unwrap();
    join(&service, "carol", &room).await.unwrap();
    assert_eq!(
        get(&service, "carol", &room)
            .await
            .unwrap()
            .room
            .unwrap()
            .member_count,
        3
    );
    service.events(&room.channel, 3).await;
}

async fn roles_decide_who_removes_whom(service: TestService) {
    let room = service
        .room(RoomKind::Group, &["bob", "carol", "dave"])
        .await;
    for (user, role) in [("bob", Role::Admin), ("carol", Role::Admin)] {
        set_role(&service, "alice", &room, user, role)
            .await
            .unwrap();
        set_role(&service, "alice", &room, user, role)
            .await
            .unwrap();
    }
    let denied = Code::PermissionDenied;
    assert_eq!(
        code(set_role(&service, "bob", &room, "dave", Role::Admin).await),
        denied
    );
    assert_eq!(code(remove(&service, "dave", &room, "bob").await), denied);
    assert_eq!(code(remove(&service, "bob", &room, "carol").await), denied);
    assert_eq!(code(remove(&service, "bob", &room, "alice").await), denied);
    remove(&service, "bob", &room, "dave").await.unwrap();
    remove(&service, "bob", &room, "dave").await.unwrap();
    remove(&service, "alice", &room, "bob").await.unwrap();
    assert_eq!(
        code(remove(&service, "bob", &room, "carol").await),
        Code::NotFound
    );
    assert_eq!(
        code(set_role(&service, "alice", &room, "nobody", Role::Admin).await),
        Code::NotFound
    );

    let publications = service.publications(&room.channel, 8).await;
    let ended: Vec<_> = publications
        .iter()
        .filter_map(|p| p.ends_user.as_deref())
        .collect();
    assert_eq!(
        ended,
        ["dave", "bob"],
        "their subscriptions end with these events"
    );
    let changed: serde_json::Value = serde_json::from_slice(&publications[4].data).unwrap();
    assert_eq!(changed["member_changed"]["member"]["role"], "ROLE_ADMIN");
}

async fn a_room_keeps_an_owner(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob"]).await;
    let precondition = Code::FailedPrecondition;
    assert_eq!(code(leave(&service, "alice", &room).await), precondition);
    assert_eq!(
        code(set_role(&service, "alice", &room, "alice", Role::Member).await),
        precondition
    );
    set_role(&service, "alice", &room, "bob", Role::Owner)
        .await
        .unwrap();
    leave(&service, "alice", &room).await.unwrap();
    assert_eq!(code(leave(&service, "bob", &room).await), precondition);
}

async fn rooms_are_listed_by_activity_in_pages(service: TestService) {
    let mut expected = Vec::new();
    for n in 0..5 {
        let room = service.room(RoomKind::Group, &["bob"]).await;
        service.sent("alice", &room, &format!("message {n}")).await;
        expected.insert(0, room.id);
    }
    service.direct("alice", "carol").await;
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = ListRoomsRequest { limit: 2, cursor };
        let page = service
            .chat("bob")
            .list_rooms(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.rooms.len() <= 2);
        listed.extend(page.rooms);
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    // Rooms may share a millisecond: then their order is by id.
    let active = |summary: &RoomSummary| {
        let at = summary.last_message.clone().unwrap().created_at.unwrap();
        (at.seconds, at.nanos)
    };
    assert!(listed.is_sorted_by(|a, b| active(a) >= active(b)));
    let mut ids: Vec<_> = listed.iter().map(|s| s.room.clone().unwrap().id).collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(listed[0].unread_count, 1);
    let request = ListRoomsRequest {
        limit: 2,
        cursor: "x".into(),
    };
    assert_eq!(
        code(service.chat("bob").list_rooms(request).await),
        Code::InvalidArgument
    );
}

async fn open_rooms_are_found_by_name_in_pages(service: TestService) {
    for name in ["Übung", "50% off", "general.1", "General", "random"] {
        let request = create(RoomKind::Public, name, "");
        service.chat("alice").create_room(request).await.unwrap();
    }
    service.room(RoomKind::Group, &[]).await;
    let find = async |query: &str, cursor: &str| {
        let request = ListPublicRoomsRequest {
            limit: 2,
            cursor: cursor.into(),
            query: query.into(),
        };
        let page = service
            .chat("bob")
            .list_public_rooms(request)
            .await
            .unwrap()
            .into_inner();
        let names: Vec<String> = page.rooms.into_iter().map(|room| room.name).collect();
        (names, page.next_cursor)
    };
    let (names, cursor) = find("", "").await;
    assert_eq!(names, ["50% off", "General"]);
    let (names, cursor) = find("", &cursor).await;
    assert_eq!(names, ["general.1", "random"]);
    let (names, cursor) = find("", &cursor).await;
    assert_eq!((names, cursor), (vec!["Übung".to_owned()], String::new()));
    assert_eq!(find("GENERAL", "").await.0, ["General", "general.1"]);
    assert_eq!(find("üb", "").await.0, ["Übung"]);
    assert_eq!(find("%", "").await.0, ["50% off"]);
    assert!(find("_", "").await.0.is_empty());
}

async fn members_are_listed_in_pages(service: TestService) {
    let room = service.room(RoomKind::Group, &["bob", "carol"]).await;
    let request = |limit, cursor: &str| ListMembersRequest {
        room_id: room.id.clone(),
        limit,
        cursor: cursor.into(),
    };
    let page = service
        .chat("bob")
        .list_members(request(2, ""))
        .await
        .unwrap()
        .into_inner();
    let users: Vec<_> = page
        .members
        .iter()
        .map(|member| member.user.as_str())
        .collect();
    assert_eq!(users, ["alice", "bob"]);
    let next = request(2, &page.next_cursor);
    let page = service
        .chat("bob")
        .list_members(next)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (page.members[0].user.as_str(), page.next_cursor.as_str()),
        ("carol", "")
    );
    let refused = service.chat("mallory").list_members(request(2, "")).await;
    assert_eq!(code(refused), Code::NotFound);
}

async fn only_members_subscribe(service: TestService) {
    let group = service.room(RoomKind::Group, &["bob"]).await;
    let public = service.room(RoomKind::Public, &[]).await;
    for (channel, user, expected) in [
        (group.channel.as_str(), "bob", Code::Ok),
        (&group.channel, "mallory", Code::PermissionDenied),
        (&public.channel, "alice", Code::Ok),
        (&public.channel, "bob", Code::PermissionDenied),
        (&public.channel, "", Code::PermissionDenied),
        ("room:unknown", "bob", Code::PermissionDenied),
        ("inbox:#bob", "bob", Code::NotFound),
    ] {
        let request = AuthorizeSubscribeRequest {
            channel: channel.into(),
            user: user.into(),
        };
        let answer = service.logs().authorize_subscribe(request).await;
        assert_eq!(code(answer), expected, "{channel} {user}");
    }
}

async fn nobody_calls_without_a_name(service: TestService) {
    let refused = service
        .anonymous()
        .list_rooms(ListRoomsRequest::default())
        .await;
    assert_eq!(code(refused), Code::Unauthenticated);
    let refused = service
        .chat("a#b")
        .list_rooms(ListRoomsRequest::default())
        .await;
    assert_eq!(code(refused), Code::InvalidArgument);
}
