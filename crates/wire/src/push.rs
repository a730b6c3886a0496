//! What the server sends without being asked.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::publication::{ClientInfo, Publication};
use crate::reply::SubscribeResult;

/// A message of the server's own accord, mostly about a channel.
///
/// The schema also has a numeric `id` that may stand for the channel when a client asks for
/// channel compaction; this server does not grant it, and so never writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The channel; empty for what concerns the whole connection.
    pub channel: String,
    /// What happened.
    pub body: PushBody,
}

/// What a push tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushBody {
    /// Something was published.
    Publication(Publication),
    /// Somebody subscribed.
    Join(Join),
    /// Somebody unsubscribed.
    Leave(Leave),
    /// The server ended the subscription.
    Unsubscribe(UnsubscribePush),
    /// A message to this connection, outside of any channel.
    Message(Message),
    /// The server subscribed the connection.
    Subscribe(SubscribePush),
    /// The first message of a unidirectional connection.
    Connect(ConnectPush),
    /// The last message on transports that have no close frame.
    Disconnect(DisconnectPush),
    /// The connection's expiry has changed.
    Refresh(RefreshPush),
}

/// Somebody subscribed to the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Join {
    /// Who.
    #[prost(message, required, tag = "1")]
    pub info: ClientInfo,
}

/// Somebody left the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Leave {
    /// Who.
    #[prost(message, required, tag = "1")]
    pub info: ClientInfo,
}

/// The server ended the subscription: see [`Unsubscribe`](crate::Unsubscribe).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UnsubscribePush {
    /// Why, and whether to subscribe again.
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// Why, in words.
    #[prost(string, tag = "3")]
    pub reason: String,
}

/// A message to one connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// The payload.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
}

/// The server subscribed the connection to the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubscribePush {
    /// Whether the client may recover later.
    #[prost(bool, tag = "1")]
    pub recoverable: bool,
    /// The history's epoch.
    #[prost(string, tag = "4")]
    pub epoch: String,
    /// The history's top offset.
    #[prost(uint64, tag = "5")]
    pub offset: u64,
    /// Whether the server watches for gaps.
    #[prost(bool, tag = "6")]
    pub positioned: bool,
    /// Anything from whoever made the subscription.
    #[prost(bytes = "bytes", tag = "7")]
    pub data: Bytes,
}

/// A unidirectional connection is established.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectPush {
    /// The session's id.
    #[prost(string, tag = "1")]
    pub client: String,
    /// The server's version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Anything from the connect hook.
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
    /// Server-side subscriptions, by channel.
    #[prost(btree_map = "string, message", tag = "4")]
    pub subs: BTreeMap<String, SubscribeResult>,
    /// Whether the connection expires.
    #[prost(bool, tag = "5")]
    pub expires: bool,
    /// In how many seconds.
    #[prost(uint32, tag = "6")]
    pub ttl: u32,
    /// Seconds between two pings.
    #[prost(uint32, tag = "7")]
    pub ping: u32,
    /// Whether pings want an answer.
    #[prost(bool, tag = "8")]
    pub pong: bool,
    /// Which session of the node this is, for commands sent by other ways.
    #[prost(string, tag = "9")]
    pub session: String,
    /// Which node this is, for commands sent by other ways.
    #[prost(string, tag = "10")]
    pub node: String,
    /// The server's clock, in milliseconds of Unix time.
    #[prost(int64, tag = "11")]
    pub time: i64,
}

/// The server ends the connection: see [`Disconnect`](crate::Disconnect).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DisconnectPush {
    /// Why.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// Why, in words.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// Whether to come back.
    #[prost(bool, tag = "3")]
    pub reconnect: bool,
}

/// The connection's expiry has changed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RefreshPush {
    /// Whether the connection expires.
    #[prost(bool, tag = "1")]
    pub expires: bool,
    /// In how many seconds.
    #[prost(uint32, tag = "2")]
    pub ttl: u32,
}
