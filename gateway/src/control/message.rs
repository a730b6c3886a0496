//! What nodes tell each other. Protobuf, so that nodes of two versions understand
//! each other during a rolling update: fields are only added.

use bytes::Bytes;

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Control {
    /// The sending node's id.
    #[prost(string, tag = "1")]
    pub(crate) from: String,
    #[prost(oneof = "What", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    pub(crate) what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum What {
    /// A node is here.
    #[prost(message, tag = "2")]
    Node(NodeInfo),
    /// The sending node stops.
    #[prost(bool, tag = "3")]
    Leaving(bool),
    #[prost(message, tag = "4")]
    Unsubscribe(UnsubscribeUser),
    #[prost(message, tag = "5")]
    Subscribe(SubscribeUser),
    #[prost(message, tag = "6")]
    Disconnect(DisconnectUser),
    #[prost(message, tag = "7")]
    Refresh(RefreshUser),
    #[prost(message, tag = "8")]
    ChannelsQuestion(ChannelsQuestion),
    #[prost(message, tag = "9")]
    ChannelsAnswer(ChannelsAnswer),
}

/// A node as others know it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeInfo {
    #[prost(string, tag = "1")]
    pub(crate) uid: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) version: String,
    #[prost(uint32, tag = "4")]
    pub(crate) num_clients: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) num_users: u32,
    #[prost(uint32, tag = "6")]
    pub(crate) num_channels: u32,
    #[prost(uint32, tag = "7")]
    pub(crate) num_subs: u32,
    /// Seconds since it started.
    #[prost(uint32, tag = "8")]
    pub(crate) uptime: u32,
}

/// Ends subscriptions of a user (of one connection if `client` is given).
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UnsubscribeUser {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) client: String,
    #[prost(string, tag = "3")]
    pub(crate) channel: String,
}

/// Subscribes a user's connections. Overrides: 0 not given, 1 off, 2 on.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SubscribeUser {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) client: String,
    #[prost(string, tag = "3")]
    pub(crate) channel: String,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) info: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) data: Bytes,
    #[prost(int64, tag = "6")]
    pub(crate) expire_at: i64,
    #[prost(bool, tag = "7")]
    pub(crate) recover: bool,
    #[prost(uint64, tag = "8")]
    pub(crate) offset: u64,
    #[prost(string, tag = "9")]
    pub(crate) epoch: String,
    #[prost(int32, tag = "10")]
    pub(crate) presence: i32,
    #[prost(int32, tag = "11")]
    pub(crate) join_leave: i32,
    #[prost(int32, tag = "12")]
    pub(crate) force_push_join_leave: i32,
    #[prost(int32, tag = "13")]
    pub(crate) force_recovery: i32,
    #[prost(int32, tag = "14")]
    pub(crate) force_positioning: i32,
}

/// Ends a user's connections, but for those in the whitelist.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DisconnectUser {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) client: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) whitelist: Vec<String>,
    #[prost(uint32, tag = "4")]
    pub(crate) code: u32,
    #[prost(string, tag = "5")]
    pub(crate) reason: String,
}

/// Prolongs or expires a user's connections.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RefreshUser {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) client: String,
    #[prost(bool, tag = "3")]
    pub(crate) expired: bool,
    #[prost(int64, tag = "4")]
    pub(crate) expire_at: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) info: Bytes,
}

/// Which channels do you have?
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChannelsQuestion {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
}

/// These.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChannelsAnswer {
    #[prost(uint64, tag = "1")]
    pub(crate) question: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) channels: Vec<ChannelCount>,
}

/// A channel and how many listen to it on one node.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChannelCount {
    #[prost(string, tag = "1")]
    pub(crate) channel: String,
    #[prost(uint32, tag = "2")]
    pub(crate) clients: u32,
}
