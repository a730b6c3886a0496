//! What a room's channel carries: `fanfare.chat.v1.RoomEvent` as JSON.
//!
//! Field names are the Protobuf ones, 64-bit integers are numbers, times RFC 3339,
//! enums their names; zero values are left out.

use bytes::Bytes;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::room::{Member, Room, RoomId};
use crate::user::UserId;

/// Something that happened in a room.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent<'a> {
    /// A message was sent.
    MessageCreated(&'a Message),
    /// A message has another text.
    MessageUpdated(&'a Message),
    /// A message became a tombstone.
    MessageDeleted(&'a Message),
    /// Somebody is a member now.
    MemberJoined(MemberEvent<'a>),
    /// Somebody no longer is.
    MemberLeft(MemberEvent<'a>),
    /// A member has another role.
    MemberChanged(MemberEvent<'a>),
    /// Somebody is typing. Ephemeral.
    Typing {
        /// Where.
        room_id: &'a RoomId,
        /// Who.
        user: &'a UserId,
    },
    /// Somebody's read pointer moved. Ephemeral.
    Read {
        /// Where.
        room_id: &'a RoomId,
        /// Whose.
        user: &'a UserId,
        /// To which message.
        read_seq: u64,
    },
    /// To a user's own channel: the user was added to a room. Ephemeral.
    RoomAdded(&'a Room),
}

/// A change of a membership.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemberEvent<'a> {
    /// Where.
    pub room_id: &'a RoomId,
    /// The membership, after joining or changing, before leaving.
    pub member: &'a Member,
    /// Who did it.
    pub by: &'a UserId,
}

impl RoomEvent<'_> {
    /// The event as the log keeps it and the channel carries it.
    ///
    /// # Errors
    /// [`Error::Internal`]; never for events made of checked content.
    pub fn encode(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|error| Error::Internal(error.into()))
    }
}
