//! One message at a time.

use proto::chat::v1 as pb;
use service::json;

use crate::error::{Error, Result};
use crate::message::{Anchor, Message};
use crate::room::{Member, Role, Room, RoomKind, Summary};

impl From<Room> for pb::Room {
    fn from(room: Room) -> Self {
        Self {
            id: room.id.as_str().to_owned(),
            kind: match room.kind {
                RoomKind::Direct => pb::RoomKind::Direct,
                RoomKind::Group => pb::RoomKind::Group,
                RoomKind::Public => pb::RoomKind::Public,
                RoomKind::Broadcast => pb::RoomKind::Broadcast,
            }
            .into(),
            name: room.name,
            channel: room.channel,
            epoch: room.epoch.as_ref().to_owned(),
            offset: room.offset,
            last_message_seq: room.last_message_seq,
            member_count: room.member_count,
            created_at: Some(room.created_at.into()),
            created_by: room.created_by.to_string(),
            direct_users: room.direct_users.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<Member> for pb::Member {
    fn from(member: Member) -> Self {
        Self {
            user: member.user.to_string(),
            role: match member.role {
                Role::Member => pb::Role::Member,
                Role::Admin => pb::Role::Admin,
                Role::Owner => pb::Role::Owner,
            }
            .into(),
            joined_at: Some(member.joined_at.into()),
            read_seq: member.read_seq,
        }
    }
}

pub(super) fn message(message: Message) -> Result<pb::Message> {
    Ok(pb::Message {
        room_id: message.room_id.as_str().to_owned(),
        seq: message.seq,
        id: message.id,
        author: message.author.to_string(),
        client_msg_id: message.client_msg_id,
        text: message.text,
        custom: message
            .custom
            .as_deref()
            .map(json::from_json)
            .transpose()
            .map_err(|error| Error::Internal(error.into()))?,
        mentions: message.mentions.iter().map(ToString::to_string).collect(),
        created_at: Some(message.created_at.into()),
        edited_at: message.edited_at.map(Into::into),
        deleted_at: message.deleted_at.map(Into::into),
    })
}

pub(super) fn summary(summary: Summary) -> Result<pb::RoomSummary> {
    Ok(pb::RoomSummary {
        unread_count: summary.unread_count(),
        unread_mentions: summary.unread_mentions,
        room: Some(summary.room.into()),
        membership: summary.membership.map(Into::into),
        last_message: summary.last_message.map(message).transpose()?,
    })
}

pub(super) fn room_kind(kind: pb::RoomKind) -> Result<RoomKind> {
    match kind {
        pb::RoomKind::Unspecified => Err(Error::invalid("kind must be given")),
        pb::RoomKind::Direct => Ok(RoomKind::Direct),
        pb::RoomKind::Group => Ok(RoomKind::Group),
        pb::RoomKind::Public => Ok(RoomKind::Public),
        pb::RoomKind::Broadcast => Ok(RoomKind::Broadcast),
    }
}

pub(super) fn role(role: pb::Role) -> Result<Role> {
    match role {
        pb::Role::Unspecified => Err(Error::invalid("role must be given")),
        pb::Role::Member => Ok(Role::Member),
        pb::Role::Admin => Ok(Role::Admin),
        pb::Role::Owner => Ok(Role::Owner),
    }
}

pub(super) fn anchor(anchor: Option<pb::list_messages_request::Anchor>) -> Anchor {
    use pb::list_messages_request::Anchor as Pb;
    match anchor {
        None => Anchor::Newest,
        Some(Pb::BeforeSeq(seq)) => Anchor::Before(seq),
        Some(Pb::AfterSeq(seq)) => Anchor::After(seq),
        Some(Pb::AroundSeq(seq)) => Anchor::Around(seq),
    }
}
