//! What clients send.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::publication::{FilterNode, StreamPosition};

/// One message from a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Chosen by the client and repeated in the reply; 0 when no reply is wanted.
    pub id: u32,
    /// What is asked; `None` in an empty command, which is how a client answers a ping.
    pub request: Option<Request>,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Authenticate. The first command of every connection.
    Connect(ConnectRequest),
    /// Receive what is published to a channel.
    Subscribe(SubscribeRequest),
    /// Stop receiving.
    Unsubscribe(UnsubscribeRequest),
    /// Publish to a channel.
    Publish(PublishRequest),
    /// Who is in a channel.
    Presence(PresenceRequest),
    /// How many are in a channel.
    PresenceStats(PresenceStatsRequest),
    /// What was published to a channel.
    History(HistoryRequest),
    /// Exists in the schema only; not a way to keep a connection alive.
    Ping(PingRequest),
    /// A message to the backend that is not answered.
    Send(SendRequest),
    /// A call to the backend.
    Rpc(RpcRequest),
    /// Extend the connection with a new token.
    Refresh(RefreshRequest),
    /// Extend a subscription with a new token.
    SubRefresh(SubRefreshRequest),
}

/// Authenticates a connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct ConnectRequest {
    /// Connection token (JWT); empty for anonymous or header-based authentication.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Anything for the connect hook.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
    /// Server-side channels to recover or to subscribe to, by channel.
    #[prost(btree_map = "string, message", tag = "3")]
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// The client's library, for example `js`.
    #[prost(string, tag = "4")]
    pub name: String,
    /// The library's version.
    #[prost(string, tag = "5")]
    pub version: String,
    /// Headers that the environment of the client cannot set on the HTTP request.
    #[prost(btree_map = "string, string", tag = "6")]
    pub headers: BTreeMap<String, String>,
    /// Feature bits.
    #[prost(int64, tag = "7")]
    pub flag: i64,
    /// Compression dictionary that the client has.
    #[prost(string, tag = "8")]
    pub dict: String,
    /// Compression profile that the client wants.
    #[prost(string, tag = "9")]
    pub profile: String,
}

/// Subscribes to a channel, or recovers a subscription.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
#[expect(clippy::struct_excessive_bools, reason = "the schema's fields")]
pub struct SubscribeRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
    /// Subscription token (JWT), for channels that want one.
    #[prost(string, tag = "2")]
    pub token: String,
    /// Whether to recover from `offset` and `epoch`.
    #[prost(bool, tag = "3")]
    pub recover: bool,
    /// The epoch that the client knows.
    #[prost(string, tag = "6")]
    pub epoch: String,
    /// The offset of the last publication that the client has.
    #[prost(uint64, tag = "7")]
    pub offset: u64,
    /// Anything for the subscribe hook.
    #[prost(bytes = "bytes", tag = "8")]
    pub data: Bytes,
    /// Whether the server should watch for gaps.
    #[prost(bool, tag = "9")]
    pub positioned: bool,
    /// Whether the client wants to recover later.
    #[prost(bool, tag = "10")]
    pub recoverable: bool,
    /// Whether the client wants to hear of joins and leaves.
    #[prost(bool, tag = "11")]
    pub join_leave: bool,
    /// The delta algorithm that the client knows: `fossil`, or empty.
    #[prost(string, tag = "12")]
    pub delta: String,
    /// Which publications the client wants, by their tags.
    #[prost(message, optional, boxed, tag = "13")]
    pub tf: Option<Box<FilterNode>>,
    /// Feature bits: see [`CHANNEL_COMPACTION`](Self::CHANNEL_COMPACTION) and
    /// [`REJECT_UNRECOVERED`](Self::REJECT_UNRECOVERED).
    #[prost(int64, tag = "14")]
    pub flag: i64,
    /// Subscription type: 0 stream, 1 map, 2 map of clients, 3 map of users, 4 shared poll.
    #[prost(int32, tag = "15")]
    pub r#type: i32,
    /// Phase of a map subscription: 0 live, 1 stream, 2 state.
    #[prost(int32, tag = "16")]
    pub phase: i32,
    /// Where the next page of a map's state begins.
    #[prost(string, tag = "17")]
    pub cursor: String,
    /// Entries per page of a map's state.
    #[prost(int32, tag = "18")]
    pub limit: i32,
    /// Whether an ordered map is read in ascending order.
    #[prost(bool, tag = "19")]
    pub asc: bool,
}

impl SubscribeRequest {
    /// Bit of `flag`: pushes may name the channel by a number.
    pub const CHANNEL_COMPACTION: i64 = 1;
    /// Bit of `flag`: answer with error 112 instead of `recovered: false`.
    pub const REJECT_UNRECOVERED: i64 = 2;
}

/// Ends a subscription.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UnsubscribeRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
}

/// Publishes to a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PublishRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
    /// The payload.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
    /// 0 for a stream, 1 for a map.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    /// The key to set or remove, in a map.
    #[prost(string, tag = "4")]
    pub key: String,
    /// Whether the key is removed.
    #[prost(bool, tag = "5")]
    pub removed: bool,
}

/// Asks who is in a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PresenceRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
}

/// Asks how many are in a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PresenceStatsRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
}

/// Asks for what was published to a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HistoryRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
    /// How many publications: 0 for the position alone, -1 for as many as the server gives.
    #[prost(int32, tag = "7")]
    pub limit: i32,
    /// From where, exclusive.
    #[prost(message, optional, tag = "8")]
    pub since: Option<StreamPosition>,
    /// Whether to go from the newest to the oldest.
    #[prost(bool, tag = "9")]
    pub reverse: bool,
}

/// The request of the schema that no server handles.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PingRequest {}

/// A message to the backend.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SendRequest {
    /// The payload.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
}

/// A call to the backend.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RpcRequest {
    /// The arguments.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// The method.
    #[prost(string, tag = "2")]
    pub method: String,
}

/// Extends the connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct RefreshRequest {
    /// A new connection token.
    #[prost(string, tag = "1")]
    pub token: String,
}

/// Extends a subscription, or changes what a shared-poll subscription follows.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct SubRefreshRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel: String,
    /// A new subscription token.
    #[prost(string, tag = "2")]
    pub token: String,
    /// 0 token, 1 follow `track`, 2 no longer follow `untrack`.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    /// Keys to follow.
    #[prost(message, repeated, tag = "4")]
    pub track: Vec<TrackedItems>,
    /// Keys no longer to follow.
    #[prost(string, repeated, tag = "5")]
    pub untrack: Vec<String>,
}

/// Keys to follow, with the backend's permission to do so.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct TrackedItems {
    /// The backend's signature over the keys.
    #[prost(string, tag = "1")]
    pub signature: String,
    /// The keys.
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<TrackedKey>,
}

/// A key to follow.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TrackedKey {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The version that the client has.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// `Debug` that shows the named fields and leaves out tokens, signatures, headers and payloads,
/// so that none of them reaches a log by accident.
macro_rules! debug_without_secrets {
    ($( $type:ident { $($field:ident),* } )*) => {
        $(
            impl std::fmt::Debug for $type {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.debug_struct(stringify!($type))
                        $( .field(stringify!($field), &self.$field) )*
                        .finish_non_exhaustive()
                }
            }
        )*
    };
}

debug_without_secrets! {
    ConnectRequest { subs, name, version, flag }
    SubscribeRequest {
        channel, recover, epoch, offset, positioned, recoverable, join_leave, delta, tf, flag,
        r#type, phase, cursor, limit, asc
    }
    RefreshRequest {}
    SubRefreshRequest { channel, r#type, track, untrack }
    TrackedItems { items }
}
