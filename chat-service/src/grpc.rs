//! Translates between `fanfare.chat.v1` and ours. No rules here.

mod convert;

use async_trait::async_trait;
use bytes::Bytes;
use journal::Authorizer;
use proto::chat::v1 as pb;
use proto::chat::v1::chat_service_server::ChatService;
use runtime::grpc::Caller;
use service::json;
use tonic::{Request, Response, Status};

use self::convert::{anchor, message, role, room_kind, summary};
use crate::error::Error;
use crate::messages::Messages;
use crate::room::RoomId;
use crate::rooms::Rooms;
use crate::user::UserId;

/// The service as gRPC sees it.
#[derive(Clone, Debug)]
pub struct Grpc {
    rooms: Rooms,
    messages: Messages,
}

impl Grpc {
    /// Answers calls out of these.
    #[must_use]
    pub fn new(rooms: Rooms, messages: Messages) -> Self {
        Self { rooms, messages }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl ChatService for Grpc {
    async fn create_room(
        &self,
        request: Request<pb::CreateRoomRequest>,
    ) -> Answer<pb::CreateRoomResponse> {
        let (user, request) = caller(request)?;
        let kind = room_kind(request.kind())?;
        let room = self
            .rooms
            .create(
                &user,
                kind,
                &request.name,
                &request.members,
                &request.client_room_id,
            )
            .await?;
        Ok(Response::new(pb::CreateRoomResponse {
            room: Some(room.into()),
        }))
    }

    async fn open_direct_room(
        &self,
        request: Request<pb::OpenDirectRoomRequest>,
    ) -> Answer<pb::OpenDirectRoomResponse> {
        let (user, request) = caller(request)?;
        let other = UserId::parse(&request.user)?;
        let room = self.rooms.open_direct(&user, &other).await?;
        Ok(Response::new(pb::OpenDirectRoomResponse {
            room: Some(room.into()),
        }))
    }

    async fn get_room(&self, request: Request<pb::GetRoomRequest>) -> Answer<pb::GetRoomResponse> {
        let (user, request) = caller(request)?;
        let found = self
            .rooms
            .get(&user, &RoomId::parse(&request.room_id)?)
            .await?;
        Ok(Response::new(pb::GetRoomResponse {
            summary: Some(summary(found)?),
        }))
    }

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Answer<pb::ListRoomsResponse> {
        let (user, request) = caller(request)?;
        let (rooms, next_cursor) = self
            .rooms
            .list(&user, request.limit, &request.cursor)
            .await?;
        Ok(Response::new(pb::ListRoomsResponse {
            rooms: rooms.into_iter().map(summary).collect::<Result<_, _>>()?,
            next_cursor,
        }))
    }

    async fn list_public_rooms(
        &self,
        request: Request<pb::ListPublicRoomsRequest>,
    ) -> Answer<pb::ListPublicRoomsResponse> {
        let (_, request) = caller(request)?;
        let listed = self
            .rooms
            .list_open(request.limit, &request.cursor, &request.query);
        let (rooms, next_cursor) = listed.await?;
        Ok(Response::new(pb::ListPublicRoomsResponse {
            rooms: rooms.into_iter().map(Into::into).collect(),
            next_cursor,
        }))
    }

    async fn join_room(
        &self,
        request: Request<pb::JoinRoomRequest>,
    ) -> Answer<pb::JoinRoomResponse> {
        let (user, request) = caller(request)?;
        let joined = self
            .rooms
            .join(&user, &RoomId::parse(&request.room_id)?)
            .await?;
        Ok(Response::new(pb::JoinRoomResponse {
            summary: Some(summary(joined)?),
        }))
    }

    async fn leave_room(
        &self,
        request: Request<pb::LeaveRoomRequest>,
    ) -> Answer<pb::LeaveRoomResponse> {
        let (user, request) = caller(request)?;
        self.rooms
            .leave(&user, &RoomId::parse(&request.room_id)?)
            .await?;
        Ok(Response::new(pb::LeaveRoomResponse {}))
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Answer<pb::AddMemberResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let added = self
            .rooms
            .add(&user, &room, &UserId::parse(&request.user)?)
            .await?;
        Ok(Response::new(pb::AddMemberResponse {
            member: Some(added.into()),
        }))
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Answer<pb::RemoveMemberResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        self.rooms
            .remove(&user, &room, &UserId::parse(&request.user)?)
            .await?;
        Ok(Response::new(pb::RemoveMemberResponse {}))
    }

    async fn set_member_role(
        &self,
        request: Request<pb::SetMemberRoleRequest>,
    ) -> Answer<pb::SetMemberRoleResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let target = UserId::parse(&request.user)?;
        let changed = self
            .rooms
            .set_role(&user, &room, &target, role(request.role())?)
            .await?;
        Ok(Response::new(pb::SetMemberRoleResponse {
            member: Some(changed.into()),
        }))
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Answer<pb::ListMembersResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let listed = self
            .rooms
            .members(&user, &room, request.limit, &request.cursor);
        let (members, next_cursor) = listed.await?;
        Ok(Response::new(pb::ListMembersResponse {
            members: members.into_iter().map(Into::into).collect(),
            next_cursor,
        }))
    }

    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Answer<pb::SendMessageResponse> {
        let deadline = runtime::grpc::deadline(&request).map(Into::into);
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let custom = request.custom.map(json::to_json).transpose();
        let custom = custom.map_err(|error| Error::invalid(format!("custom {error}")))?;
        let sent = self
            .messages
            .send(
                &user,
                &room,
                request.client_msg_id,
                request.text,
                custom,
                deadline,
            )
            .await?;
        Ok(Response::new(pb::SendMessageResponse {
            message: Some(message(sent.message)?),
            offset: sent.offset,
        }))
    }

    async fn edit_message(
        &self,
        request: Request<pb::EditMessageRequest>,
    ) -> Answer<pb::EditMessageResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let edited = self
            .messages
            .edit(&user, &room, request.seq, request.text)
            .await?;
        Ok(Response::new(pb::EditMessageResponse {
            message: Some(message(edited.message)?),
            offset: edited.offset,
        }))
    }

    async fn delete_message(
        &self,
        request: Request<pb::DeleteMessageRequest>,
    ) -> Answer<pb::DeleteMessageResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let deleted = self.messages.delete(&user, &room, request.seq).await?;
        Ok(Response::new(pb::DeleteMessageResponse {
            message: Some(message(deleted.message)?),
            offset: deleted.offset,
        }))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Answer<pb::ListMessagesResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let listed = self
            .messages
            .list(&user, &room, anchor(request.anchor), request.limit);
        let page = listed.await?;
        Ok(Response::new(pb::ListMessagesResponse {
            messages: page
                .messages
                .into_iter()
                .map(message)
                .collect::<Result<_, _>>()?,
            has_more_before: page.has_more_before,
            has_more_after: page.has_more_after,
            epoch: page.position.epoch.as_ref().to_owned(),
            offset: page.position.offset,
        }))
    }

    async fn mark_read(
        &self,
        request: Request<pb::MarkReadRequest>,
    ) -> Answer<pb::MarkReadResponse> {
        let (user, request) = caller(request)?;
        let room = RoomId::parse(&request.room_id)?;
        let marked = self.messages.mark_read(&user, &room, request.seq).await?;
        Ok(Response::new(pb::MarkReadResponse {
            read_seq: marked.read_seq,
            unread_count: marked.unread_count,
        }))
    }

    async fn get_unread(
        &self,
        request: Request<pb::GetUnreadRequest>,
    ) -> Answer<pb::GetUnreadResponse> {
        let (user, _) = caller(request)?;
        let unread = self.messages.unread(&user).await?;
        let rooms = unread
            .iter()
            .map(|unread| pb::get_unread_response::RoomUnread {
                room_id: unread.room.as_str().to_owned(),
                unread_count: unread.messages,
                unread_mentions: unread.mentions,
            });
        Ok(Response::new(pb::GetUnreadResponse {
            rooms: rooms.collect(),
            total_unread: unread.iter().map(|unread| unread.messages).sum(),
            total_mentions: unread.iter().map(|unread| unread.mentions).sum(),
        }))
    }

    async fn send_typing(
        &self,
        request: Request<pb::SendTypingRequest>,
    ) -> Answer<pb::SendTypingResponse> {
        let (user, request) = caller(request)?;
        self.rooms
            .typing(&user, &RoomId::parse(&request.room_id)?)
            .await?;
        Ok(Response::new(pb::SendTypingResponse {}))
    }
}

/// Lets members subscribe to their rooms.
#[derive(Clone, Debug)]
pub struct RoomAuthorizer(pub Rooms);

#[async_trait]
impl Authorizer for RoomAuthorizer {
    async fn authorize(&self, channel: &str, user: &str) -> Result<Bytes, Status> {
        self.0.authorize_subscribe(channel, user).await?;
        Ok(Bytes::new())
    }
}

/// For whom a call is made, and what it asks.
fn caller<T>(request: Request<T>) -> Result<(UserId, T), Status> {
    let user = UserId::parse(Caller::of(&request).require_user()?)?;
    Ok((user, request.into_inner()))
}
