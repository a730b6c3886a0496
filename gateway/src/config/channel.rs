//! Channels: namespaces and their options.

use runtime::config::Timespan;
use serde::{Deserialize, Serialize};

/// Section `channel`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelConfig {
    /// Options of channels whose name has no namespace.
    pub without_namespace: ChannelOptions,
    /// The others: `name:…`. A channel of any other namespace does not exist.
    pub namespaces: Vec<NamespaceConfig>,
    /// Longest name of a channel in bytes.
    pub max_length: usize,
    /// How long a channel's position (epoch and top offset) is kept after its
    /// last use, where the namespace does not say.
    pub history_meta_ttl: Timespan,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            without_namespace: ChannelOptions::default(),
            namespaces: Vec::new(),
            max_length: 255,
            history_meta_ttl: Timespan::from_secs(720 * 3600),
        }
    }
}

/// An element of `channel.namespaces`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NamespaceConfig {
    /// What stands before the first `:` of a channel's name.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: ChannelOptions,
}

/// What a channel keeps and who may do what in it. Nothing is allowed unless it
/// says so.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the options are independent switches"
)]
pub struct ChannelOptions {
    /// How many publications are kept; 0: none.
    pub history_size: u32,
    /// How long publications are kept after the newest one.
    pub history_ttl: Timespan,
    /// How long the position is kept; 0: `channel.history_meta_ttl`.
    pub history_meta_ttl: Timespan,
    /// Whether it is kept who is subscribed.
    pub presence: bool,
    /// Whether a join and a leave are published when a client comes and goes.
    pub join_leave: bool,
    /// Whether subscribers get join and leave without asking.
    pub force_push_join_leave: bool,
    /// Whether a client may ask for positioning.
    pub allow_positioning: bool,
    /// Whether every subscription is positioned: a lost publication is noticed.
    pub force_positioning: bool,
    /// Whether a client may ask for recovery.
    pub allow_recovery: bool,
    /// Whether every subscription is recovered after a reconnect.
    pub force_recovery: bool,
    /// What recovery returns.
    pub force_recovery_mode: RecoveryMode,
    /// Clients with a user id may subscribe.
    pub allow_subscribe_for_client: bool,
    /// With the above: anonymous clients too.
    pub allow_subscribe_for_anonymous: bool,
    /// Clients may publish.
    pub allow_publish_for_client: bool,
    /// Subscribers may publish.
    pub allow_publish_for_subscriber: bool,
    /// With one of the above: anonymous clients too.
    pub allow_publish_for_anonymous: bool,
    /// Clients may read history.
    pub allow_history_for_client: bool,
    /// Subscribers may read history.
    pub allow_history_for_subscriber: bool,
    /// With one of the above: anonymous clients too.
    pub allow_history_for_anonymous: bool,
    /// Clients may see who is present.
    pub allow_presence_for_client: bool,
    /// Subscribers may see who is present.
    pub allow_presence_for_subscriber: bool,
    /// With one of the above: anonymous clients too.
    pub allow_presence_for_anonymous: bool,
    /// The users that a name lists after its last `#` may subscribe.
    pub allow_user_limited_channels: bool,
    /// What a name (after `namespace:`) must match; empty: any ASCII.
    pub channel_regex: String,
    /// What publications must be.
    pub publication_data_format: PublicationDataFormat,
    /// Has no effect yet: a subscription that asks for a filter is refused.
    pub allow_tags_filter: bool,
    /// Has no effect yet: deltas are not granted, and clients do without.
    pub allowed_delta_types: Vec<String>,
    /// Has no effect yet: see `allowed_delta_types`.
    pub delta_publish: bool,
    /// What subscriptions to it are.
    pub subscription_type: SubscriptionType,
    /// Ours. The service (`services[].name`) that decides who may subscribe, and
    /// keeps the logs of its channels; empty: none.
    pub service: String,
    /// Ours. What happens to a publication that finds a client's outbox full.
    pub overflow_policy: OverflowPolicy,
}

/// Values of `force_recovery_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryMode {
    /// All that was missed, or the word that this is impossible.
    #[default]
    #[serde(alias = "")]
    Stream,
    /// The latest publication.
    Cache,
}

/// Values of `publication_data_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationDataFormat {
    /// Anything that is not empty.
    #[default]
    #[serde(rename = "")]
    Any,
    /// Any JSON.
    Json,
    /// A JSON object.
    JsonObject,
    /// Anything, also nothing.
    Binary,
}

/// Values of `subscription_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionType {
    /// A stream of publications.
    #[default]
    #[serde(alias = "")]
    Stream,
    /// Not supported yet.
    Map,
    /// Not supported yet.
    MapClients,
    /// Not supported yet.
    MapUsers,
    /// Not supported yet.
    SharedPoll,
}

/// Values of `overflow_policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverflowPolicy {
    /// The connection is closed with 3008; the client comes back and recovers.
    #[default]
    Disconnect,
    /// The publication is not sent to that client.
    Drop,
}

impl ChannelOptions {
    /// The options that are set and have no effect yet. They only add to what a
    /// subscription can do, so a configuration made for them works without.
    #[must_use]
    pub fn without_effect(&self) -> Vec<&'static str> {
        let set = [
            ("allow_tags_filter", self.allow_tags_filter),
            ("allowed_delta_types", !self.allowed_delta_types.is_empty()),
            ("delta_publish", self.delta_publish),
        ];
        set.into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| name)
            .collect()
    }
}
