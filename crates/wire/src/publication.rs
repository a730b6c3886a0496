//! What travels in channels, and who sent it.

use std::collections::BTreeMap;

use bytes::Bytes;

/// What is published to a channel, as its subscribers receive it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Publication {
    /// The payload.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// The client that published it; absent when a backend did.
    #[prost(message, optional, tag = "5")]
    pub info: Option<ClientInfo>,
    /// The place in the channel's history, counted from 1; 0 without history.
    #[prost(uint64, tag = "6")]
    pub offset: u64,
    /// Labels that subscribers may filter by.
    #[prost(btree_map = "string, string", tag = "7")]
    pub tags: BTreeMap<String, String>,
    /// Whether `data` is a patch against the publication before.
    #[prost(bool, tag = "8")]
    pub delta: bool,
    /// When it was published, in milliseconds of Unix time; 0 when not told.
    #[prost(int64, tag = "9")]
    pub time: i64,
    /// The channel, where several channels share one subscription.
    #[prost(string, tag = "10")]
    pub channel: String,
    /// The key this publication sets or removes, in a map channel.
    #[prost(string, tag = "11")]
    pub key: String,
    /// Whether the key is removed.
    #[prost(bool, tag = "12")]
    pub removed: bool,
    /// The key's place in an ordered map.
    #[prost(sint64, tag = "13")]
    pub score: i64,
    /// The history's epoch; carried by the publication with offset 1.
    #[prost(string, tag = "14")]
    pub epoch: String,
    /// The key's value before.
    #[prost(bytes = "bytes", tag = "15")]
    pub prev_data: Bytes,
    /// The version of the data, where its source counts versions.
    #[prost(uint64, tag = "16")]
    pub version: u64,
}

/// Who is behind a publication, a join, a leave or an entry of presence.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClientInfo {
    /// The user; empty for an anonymous one.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The id of the user's session.
    #[prost(string, tag = "2")]
    pub client: String,
    /// What the connection's token says about the user.
    #[prost(bytes = "bytes", tag = "3")]
    pub conn_info: Bytes,
    /// What the subscription's token says about the user in this channel.
    #[prost(bytes = "bytes", tag = "4")]
    pub chan_info: Bytes,
}

/// A place in the history of a channel.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct StreamPosition {
    /// The number of publications so far; the offset of the newest one.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// Changes when the history began anew.
    #[prost(string, tag = "2")]
    pub epoch: String,
}

/// A condition on the tags of a publication: a comparison, or a combination of conditions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilterNode {
    /// `and`, `or`, `not`; empty for a comparison.
    #[prost(string, tag = "1")]
    pub op: String,
    /// The tag to compare.
    #[prost(string, tag = "2")]
    pub key: String,
    /// How to compare: `eq`, `neq`, `in`, `nin`, `ex`, `nex`, `sw`, `ew`, `ct`, `lt`, `lte`,
    /// `gt`, `gte`.
    #[prost(string, tag = "3")]
    pub cmp: String,
    /// The value to compare with.
    #[prost(string, tag = "4")]
    pub val: String,
    /// The values to compare with, for `in` and `nin`.
    #[prost(string, repeated, tag = "5")]
    pub vals: Vec<String>,
    /// The conditions that `op` combines.
    #[prost(message, repeated, tag = "6")]
    pub nodes: Vec<Self>,
}
