//! Rows as both databases give them, and what they become.

use serde_json::value::RawValue;
use service::Timestamp;

use super::{Delivery, corrupt, unsigned};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::room::{Member, Role, Room, RoomId, RoomKind, Summary};
use crate::user::UserId;

#[derive(Debug, sqlx::FromRow)]
pub(super) struct RoomRow {
    room_id: String,
    kind: String,
    name: String,
    created_by: String,
    created_ms: i64,
    last_message_seq: i64,
    activity_ms: i64,
    member_count: i64,
    user_low: Option<String>,
    user_high: Option<String>,
    epoch: String,
    top: i64,
}

impl RoomRow {
    pub(super) fn into_room(self) -> Result<Room> {
        let id = room_id(&self.room_id)?;
        Ok(Room {
            kind: room_kind(&self.kind)?,
            channel: id.channel(),
            id,
            name: self.name,
            epoch: self.epoch.into(),
            offset: unsigned(self.top)?,
            last_message_seq: unsigned(self.last_message_seq)?,
            member_count: u32::try_from(self.member_count).unwrap_or(u32::MAX),
            created_at: Timestamp::from_millis(self.created_ms),
            created_by: UserId::stored(self.created_by),
            direct_users: [self.user_low, self.user_high]
                .into_iter()
                .flatten()
                .map(UserId::stored)
                .collect(),
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct SummaryRow {
    #[sqlx(flatten)]
    room: RoomRow,
    role: Option<String>,
    joined_ms: Option<i64>,
    read_seq: Option<i64>,
    message_id: Option<String>,
    author: Option<String>,
    client_msg_id: Option<String>,
    body: Option<String>,
    custom: Option<String>,
    mentions: Option<String>,
    sent_ms: Option<i64>,
    edited_ms: Option<i64>,
    deleted_ms: Option<i64>,
    unread_mentions: i64,
}

impl SummaryRow {
    pub(super) fn into_summary(self, user: &UserId) -> Result<Summary> {
        let active_at = Timestamp::from_millis(self.room.activity_ms);
        let room = self.room.into_room()?;
        let last_message = match self.message_id {
            None => None,
            Some(message_id) => Some(
                MessageRow {
                    seq: super::signed(room.last_message_seq),
                    message_id,
                    author: self.author.unwrap_or_default(),
                    client_msg_id: self.client_msg_id.unwrap_or_default(),
                    event_offset: 0,
                    fingerprint: String::new(),
                    body: self.body.unwrap_or_default(),
                    custom: self.custom,
                    mentions: self.mentions,
                    created_ms: self.sent_ms.unwrap_or_default(),
                    edited_ms: self.edited_ms,
                    deleted_ms: self.deleted_ms,
                }
                .into_message(&room.id)?,
            ),
        };
        let membership = match (self.role, self.joined_ms, self.read_seq) {
            (Some(role), Some(joined_ms), Some(read_seq)) => Some(
                MemberRow {
                    user_id: user.as_str().to_owned(),
                    role,
                    joined_ms,
                    read_seq,
                }
                .into_member()?,
            ),
            _ => None,
        };
        Ok(Summary {
            room,
            membership,
            last_message,
            unread_mentions: unsigned(self.unread_mentions)?,
            active_at,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct MemberRow {
    user_id: String,
    role: String,
    joined_ms: i64,
    read_seq: i64,
}

impl MemberRow {
    pub(super) fn into_member(self) -> Result<Member> {
        Ok(Member {
            user: UserId::stored(self.user_id),
            role: role(&self.role)?,
            joined_at: Timestamp::from_millis(self.joined_ms),
            read_seq: unsigned(self.read_seq)?,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct MessageRow {
    pub(super) seq: i64,
    pub(super) message_id: String,
    pub(super) author: String,
    pub(super) client_msg_id: String,
    pub(super) event_offset: i64,
    pub(super) fingerprint: String,
    pub(super) body: String,
    pub(super) custom: Option<String>,
    pub(super) mentions: Option<String>,
    pub(super) created_ms: i64,
    pub(super) edited_ms: Option<i64>,
    pub(super) deleted_ms: Option<i64>,
}

impl MessageRow {
    pub(super) fn into_message(self, room: &RoomId) -> Result<Message> {
        Ok(Message {
            room_id: room.clone(),
            seq: unsigned(self.seq)?,
            id: self.message_id,
            author: UserId::stored(self.author),
            client_msg_id: self.client_msg_id,
            text: self.body,
            custom: self
                .custom
                .map(RawValue::from_string)
                .transpose()
                .map_err(broken)?,
            mentions: match self.mentions {
                Some(json) => serde_json::from_str(&json).map_err(broken)?,
                None => Vec::new(),
            },
            created_at: Timestamp::from_millis(self.created_ms),
            edited_at: self.edited_ms.map(Timestamp::from_millis),
            deleted_at: self.deleted_ms.map(Timestamp::from_millis),
        })
    }
}

/// The room under lock, for sending.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct SendRow {
    /// Of the message in its group, from 1; where messages are looked at together.
    #[sqlx(default)]
    pub(super) number: i64,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) last_message_seq: i64,
    pub(super) activity_ms: i64,
    pub(super) user_low: Option<String>,
    pub(super) user_high: Option<String>,
    pub(super) role: Option<String>,
    pub(super) duplicate: Option<i64>,
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct DeliveryRow {
    room_id: String,
    seq: i64,
    kind: String,
    users: String,
    title: String,
    body: String,
    actor: String,
    attempts: i64,
}

impl DeliveryRow {
    pub(super) fn into_delivery(self) -> Result<Delivery> {
        Ok(Delivery {
            room: room_id(&self.room_id)?,
            seq: unsigned(self.seq)?,
            kind: self.kind,
            users: serde_json::from_str(&self.users).map_err(broken)?,
            title: self.title,
            body: self.body,
            actor: self.actor,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
        })
    }
}

pub(super) fn room_kind(name: &str) -> Result<RoomKind> {
    RoomKind::from_name(name).ok_or_else(|| corrupt(format!("kind of room {name:?}")))
}

pub(super) fn role(name: &str) -> Result<Role> {
    Role::from_name(name).ok_or_else(|| corrupt(format!("role {name:?}")))
}

fn room_id(id: &str) -> Result<RoomId> {
    RoomId::parse(id).map_err(|_| corrupt(format!("room id {id:?}")))
}

fn broken(error: serde_json::Error) -> Error {
    Error::Internal(error.into())
}
