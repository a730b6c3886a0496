//! The parameters of the server API's methods.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is published, by `publish` and `broadcast`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Publish {
    #[serde(default)]
    pub(super) channel: String,
    #[serde(default)]
    pub(super) channels: Vec<String>,
    pub(super) data: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) b64data: String,
    #[serde(default)]
    pub(super) skip_history: bool,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) idempotency_key: String,
    #[serde(default)]
    pub(super) version: u64,
    #[serde(default)]
    pub(super) version_epoch: String,
}

/// A place in a channel's history.
#[derive(Debug, Deserialize)]
pub(super) struct StreamPosition {
    #[serde(default)]
    pub(super) offset: u64,
    #[serde(default)]
    pub(super) epoch: String,
}

/// A switch that overrides a namespace's option.
#[derive(Debug, Deserialize)]
pub(super) struct BoolValue {
    #[serde(default)]
    pub(super) value: bool,
}

/// What differs from the namespace's options.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Override {
    pub(super) presence: Option<BoolValue>,
    pub(super) join_leave: Option<BoolValue>,
    pub(super) force_push_join_leave: Option<BoolValue>,
    pub(super) force_recovery: Option<BoolValue>,
    pub(super) force_positioning: Option<BoolValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Subscribe {
    #[serde(default)]
    pub(super) user: String,
    #[serde(default)]
    pub(super) channel: String,
    pub(super) info: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) b64info: String,
    #[serde(default)]
    pub(super) client: String,
    #[serde(default)]
    pub(super) session: String,
    pub(super) data: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) b64data: String,
    pub(super) recover_since: Option<StreamPosition>,
    #[serde(default)]
    pub(super) expire_at: i64,
    #[serde(default, rename = "override")]
    pub(super) overrides: Option<Override>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Unsubscribe {
    #[serde(default)]
    pub(super) user: String,
    #[serde(default)]
    pub(super) channel: String,
    #[serde(default)]
    pub(super) client: String,
    #[serde(default)]
    pub(super) session: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct DisconnectCode {
    #[serde(default)]
    pub(super) code: u32,
    #[serde(default)]
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Disconnect {
    #[serde(default)]
    pub(super) user: String,
    #[serde(default)]
    pub(super) client: String,
    #[serde(default)]
    pub(super) session: String,
    #[serde(default)]
    pub(super) whitelist: Vec<String>,
    pub(super) disconnect: Option<DisconnectCode>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refresh {
    #[serde(default)]
    pub(super) user: String,
    #[serde(default)]
    pub(super) client: String,
    #[serde(default)]
    pub(super) session: String,
    #[serde(default)]
    pub(super) expired: bool,
    #[serde(default)]
    pub(super) expire_at: i64,
    pub(super) info: Option<Box<RawValue>>,
}

/// For the methods that only name a channel.
#[derive(Debug, Deserialize)]
pub(super) struct Channel {
    #[serde(default)]
    pub(super) channel: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct History {
    #[serde(default)]
    pub(super) channel: String,
    #[serde(default)]
    pub(super) limit: i64,
    pub(super) since: Option<StreamPosition>,
    #[serde(default)]
    pub(super) reverse: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Channels {
    #[serde(default)]
    pub(super) pattern: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rpc {
    #[serde(default)]
    pub(super) method: String,
    pub(super) params: Option<Box<RawValue>>,
    /// The user that the backend acts for; empty: for itself.
    #[serde(default)]
    pub(super) user: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    #[serde(default)]
    pub(super) commands: Vec<BTreeMap<String, Box<RawValue>>>,
    /// Carry the commands out at the same time instead of one after the other.
    #[serde(default)]
    pub(super) parallel: bool,
}
