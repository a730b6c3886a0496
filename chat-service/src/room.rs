//! Rooms and members: what they are, and who may do what.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use service::Timestamp;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::user::UserId;

const CHANNEL_PREFIX: &str = "room:";
const MAX_ID: usize = 64;

/// A room's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// An id for a room that nobody can ask for twice.
    pub(crate) fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The room of two users: the same for the same pair, so that the database's
    /// primary key is what keeps it single.
    pub(crate) fn of_pair(low: &UserId, high: &UserId) -> Self {
        Self::derived(&["direct", low.as_str(), high.as_str()])
    }

    /// The room that a user creates with a key of idempotency.
    pub(crate) fn of_key(creator: &UserId, key: &str) -> Self {
        Self::derived(&["created", creator.as_str(), key])
    }

    fn derived(parts: &[&str]) -> Self {
        /// Our own; changing it would forget which room is whose.
        const NAMESPACE: uuid::Uuid = uuid::uuid!("7d1a8d7c-5f0c-4a55-9b9e-3c1f0c6e2b10");
        let lengths: Vec<String> = parts.iter().map(|part| part.len().to_string()).collect();
        let name = format!("{}|{}", lengths.join(","), parts.concat());
        Self(
            uuid::Uuid::new_v5(&NAMESPACE, name.as_bytes())
                .to_string()
                .into(),
        )
    }

    /// Parses an id from a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it cannot be one of ours.
    pub fn parse(id: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > MAX_ID || !id.chars().all(fits) {
            return Err(Error::invalid("room_id is not one of ours"));
        }
        Ok(Self(id.into()))
    }

    /// The room whose channel it is.
    #[must_use]
    pub fn of_channel(channel: &str) -> Option<Self> {
        Self::parse(channel.strip_prefix(CHANNEL_PREFIX)?).ok()
    }

    /// The room's channel, `room:<id>`.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{CHANNEL_PREFIX}{}", self.0)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoomKind {
    /// Two users; one room per pair.
    Direct,
    /// By invitation.
    Group,
    /// Listed; anybody may join.
    Public,
    /// Listed; anybody may join; only owner and admins send.
    Broadcast,
}

impl RoomKind {
    /// Whether it is listed and anybody may join.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Public | Self::Broadcast)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Public => "public",
            Self::Broadcast => "broadcast",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Public, Self::Broadcast]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl Serialize for RoomKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("ROOM_KIND_{}", self.name().to_uppercase()))
    }
}

/// What a member may do; a greater role may do all that a lesser one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads and sends.
    Member,
    /// Also adds and removes members, and deletes messages.
    Admin,
    /// Also gives roles.
    Owner,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("ROLE_{}", self.name().to_uppercase()))
    }
}

/// A room. Serialises as `fanfare.chat.v1.Room` does in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Its kind.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The channel of its events.
    pub channel: String,
    /// The log's id.
    pub epoch: Arc<str>,
    /// Number of the newest event.
    pub offset: u64,
    /// Number of the newest message; 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub last_message_seq: u64,
    /// How many members it has.
    pub member_count: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: UserId,
    /// Both users of a direct room, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub direct_users: Vec<UserId>,
}

/// A member of a room. Serialises as `fanfare.chat.v1.Member` does in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// Everything up to this message was read.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_seq: u64,
}

/// A room as one user sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The room.
    pub room: Room,
    /// The user's membership, if there is one.
    pub membership: Option<Member>,
    /// The newest message, as far as the user may see it.
    pub last_message: Option<Message>,
    /// Messages above the read pointer that mention the user.
    pub unread_mentions: u64,
    /// When the newest message was sent, or the room created.
    pub active_at: Timestamp,
}

impl Summary {
    /// Messages above the user's read pointer.
    #[must_use]
    pub fn unread_count(&self) -> u64 {
        let read = self.membership.as_ref().map(|member| member.read_seq);
        read.map_or(0, |read| self.room.last_message_seq.saturating_sub(read))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_room_and_every_pair_another() {
        let user = |id| UserId::parse(id).unwrap();
        let room = RoomId::of_pair(&user("a"), &user("b"));
        assert_eq!(room, RoomId::of_pair(&user("a"), &user("b")));
        assert_ne!(
            RoomId::of_pair(&user("a|b"), &user("c")),
            RoomId::of_pair(&user("a"), &user("b|c"))
        );
        assert_ne!(
            RoomId::of_pair(&user("a"), &user("b")),
            RoomId::of_key(&user("a"), "b")
        );
        assert_eq!(RoomId::of_channel(&room.channel()), Some(room));
        for channel in ["room:", "room:a b", "inbox:#a", "a", "room:a\0"] {
            assert_eq!(RoomId::of_channel(channel), None, "{channel}");
        }
    }
}
