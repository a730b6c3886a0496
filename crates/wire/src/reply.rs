//! What the server sends.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::Error;
use crate::publication::{ClientInfo, Publication};
use crate::push::Push;

/// One message to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The id of the command that is answered; 0 for pushes and pings.
    pub id: u32,
    /// The answer.
    pub body: ReplyBody,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody {
    /// The command failed.
    Error(Error),
    /// The connection is authenticated.
    Connect(ConnectResult),
    /// The subscription is made.
    Subscribe(SubscribeResult),
    /// The subscription is ended.
    Unsubscribe(UnsubscribeResult),
    /// The publication is accepted.
    Publish(PublishResult),
    /// Who is in the channel.
    Presence(PresenceResult),
    /// How many are in the channel.
    PresenceStats(PresenceStatsResult),
    /// What was published to the channel.
    History(HistoryResult),
    /// The backend's answer.
    Rpc(RpcResult),
    /// The connection is extended.
    Refresh(RefreshResult),
    /// The subscription is extended.
    SubRefresh(SubRefreshResult),
    /// Not an answer: the server speaks first.
    Push(Push),
    /// The empty message: are you there?
    Ping,
}

impl Reply {
    /// The answer to the command with this id.
    #[must_use]
    pub fn new(id: u32, body: ReplyBody) -> Self {
        Self { id, body }
    }

    /// A message of the server's own accord.
    #[must_use]
    pub fn push(push: Push) -> Self {
        Self {
            id: 0,
            body: ReplyBody::Push(push),
        }
    }

    /// The failure of the command with this id.
    #[must_use]
    pub fn error(id: u32, error: impl Into<Error>) -> Self {
        Self {
            id,
            body: ReplyBody::Error(error.into()),
        }
    }
}

/// The connection is authenticated.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectResult {
    /// The session's id.
    #[prost(string, tag = "1")]
    pub client: String,
    /// The server's version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Whether the client must refresh its token.
    #[prost(bool, tag = "3")]
    pub expires: bool,
    /// In how many seconds.
    #[prost(uint32, tag = "4")]
    pub ttl: u32,
    /// Anything from the connect hook.
    #[prost(bytes = "bytes", tag = "5")]
    pub data: Bytes,
    /// Server-side subscriptions, by channel.
    #[prost(btree_map = "string, message", tag = "6")]
    pub subs: BTreeMap<String, SubscribeResult>,
    /// Seconds between two pings; 0 when there are none.
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
    /// Feature bits that are granted.
    #[prost(int64, tag = "12")]
    pub flag: i64,
    /// The compression dictionary in use.
    #[prost(message, optional, tag = "13")]
    pub dict: Option<Dictionary>,
}

/// A dictionary for compression.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Dictionary {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its content.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
    /// Its content in Base64, for JSON clients.
    #[prost(string, tag = "3")]
    pub data_b64: String,
}

/// The subscription is made.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[expect(clippy::struct_excessive_bools, reason = "the schema's fields")]
pub struct SubscribeResult {
    /// Whether the client must refresh the subscription's token.
    #[prost(bool, tag = "1")]
    pub expires: bool,
    /// In how many seconds.
    #[prost(uint32, tag = "2")]
    pub ttl: u32,
    /// Whether the client may recover later.
    #[prost(bool, tag = "3")]
    pub recoverable: bool,
    /// The history's epoch.
    #[prost(string, tag = "6")]
    pub epoch: String,
    /// What the client missed, in ascending order.
    #[prost(message, repeated, tag = "7")]
    pub publications: Vec<Publication>,
    /// Whether `publications` is all that the client missed.
    #[prost(bool, tag = "8")]
    pub recovered: bool,
    /// Where the client stands: the top of the history, or when recovered the offset that the
    /// client asked from, because it advances by walking `publications`.
    #[prost(uint64, tag = "9")]
    pub offset: u64,
    /// Whether the server watches for gaps.
    #[prost(bool, tag = "10")]
    pub positioned: bool,
    /// Anything from the subscribe hook or token.
    #[prost(bytes = "bytes", tag = "11")]
    pub data: Bytes,
    /// Whether recovery was tried.
    #[prost(bool, tag = "12")]
    pub was_recovering: bool,
    /// Whether publications may be patches.
    #[prost(bool, tag = "13")]
    pub delta: bool,
    /// The number that stands for the channel in pushes, when compaction is granted.
    #[prost(int64, tag = "14")]
    pub id: i64,
    /// Subscription type, as asked.
    #[prost(int32, tag = "15")]
    pub r#type: i32,
    /// Phase of a map subscription.
    #[prost(int32, tag = "16")]
    pub phase: i32,
    /// Where the next page of a map's state begins; empty after the last.
    #[prost(string, tag = "17")]
    pub cursor: String,
    /// A page of a map's state.
    #[prost(message, repeated, tag = "18")]
    pub state: Vec<Publication>,
    /// Shortest time between two publications of the client, in milliseconds.
    #[prost(uint32, tag = "19")]
    pub publish_debounce: u32,
}

/// The subscription is ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UnsubscribeResult {}

/// The publication is accepted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PublishResult {}

/// Who is in the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PresenceResult {
    /// By the id of the session.
    #[prost(btree_map = "string, message", tag = "1")]
    pub presence: BTreeMap<String, ClientInfo>,
}

/// How many are in the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PresenceStatsResult {
    /// Sessions.
    #[prost(uint32, tag = "1")]
    pub num_clients: u32,
    /// Different users.
    #[prost(uint32, tag = "2")]
    pub num_users: u32,
}

/// What was published to the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HistoryResult {
    /// In the order that was asked for.
    #[prost(message, repeated, tag = "1")]
    pub publications: Vec<Publication>,
    /// The history's epoch.
    #[prost(string, tag = "2")]
    pub epoch: String,
    /// The history's top offset.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
}

/// The backend's answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RpcResult {
    /// The result.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
}

/// The connection is extended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RefreshResult {
    /// The session's id; the JavaScript SDK takes it over whenever `expires` is set.
    #[prost(string, tag = "1")]
    pub client: String,
    /// The server's version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Whether the client must refresh again.
    #[prost(bool, tag = "3")]
    pub expires: bool,
    /// In how many seconds.
    #[prost(uint32, tag = "4")]
    pub ttl: u32,
}

/// The subscription is extended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubRefreshResult {
    /// Whether the client must refresh again.
    #[prost(bool, tag = "1")]
    pub expires: bool,
    /// In how many seconds.
    #[prost(uint32, tag = "2")]
    pub ttl: u32,
    /// What the followed keys hold now.
    #[prost(message, repeated, tag = "3")]
    pub items: Vec<Publication>,
}
