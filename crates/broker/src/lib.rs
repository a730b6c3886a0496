#![doc = include_str!("../README.md")]

mod error;
pub mod history;
mod memory;
mod redis;

#[cfg(feature = "contract")]
pub mod contract;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::error::{Cause, Error};
pub use self::memory::MemoryBroker;
pub use self::redis::{RedisBroker, RedisConfig, Stats};

/// How long a position is kept when the caller does not say.
pub const DEFAULT_META_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The largest offset: what every store in use can count exactly.
pub const MAX_OFFSET: u64 = (1 << 53) - 2;

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(5 * 60);

/// What a broker call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A place in a channel's history.
///
/// The offset alone does not say which history it counts: when the history began
/// anew (it expired, or the store lost it) the same number means another
/// publication, so both must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Identifies one life of the history.
    pub epoch: Arc<str>,
    /// Number of the newest publication seen; the first one has offset 1.
    pub offset: u64,
}

/// Who published, joined or is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// User id; empty for an anonymous client.
    pub user: String,
    /// Connection id.
    pub client: String,
    /// Opaque bytes from the connection's credentials; may be empty.
    pub conn_info: Bytes,
    /// Opaque bytes from the subscription's permission; may be empty.
    pub chan_info: Bytes,
}

/// What the broker carries in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Position's offset in the channel; 0 when the channel keeps no history or
    /// the publication is ephemeral.
    pub offset: u64,
    /// The payload, passed through as it is.
    pub data: Bytes,
    /// The publishing client, if it was one.
    pub info: Option<Arc<ClientInfo>>,
    /// Key-value pairs for filters.
    pub tags: BTreeMap<String, String>,
    /// Unix time in milliseconds at which the broker accepted it.
    pub time: i64,
    /// The user whose subscriptions to this channel end right after this
    /// publication: it is the last that they get.
    pub ends_user: Option<Arc<str>>,
    /// W3C trace context of who published it, so that a trace crosses the broker.
    pub traceparent: Option<Box<str>>,
}

/// How much history a publication's channel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// At most this many publications.
    pub size: u32,
    /// Publications are kept this long after the newest one.
    pub ttl: Duration,
    /// The position (epoch and top offset) is kept this long after the last use, and
    /// never shorter than the publications. Zero means [`DEFAULT_META_TTL`].
    pub meta_ttl: Duration,
}

/// What to publish.
#[derive(Clone, Debug, Default)]
pub struct PublishRequest {
    /// The payload.
    pub data: Bytes,
    /// The publishing client.
    pub info: Option<Arc<ClientInfo>>,
    /// Key-value pairs for filters.
    pub tags: BTreeMap<String, String>,
    /// See [`Publication::ends_user`].
    pub ends_user: Option<Arc<str>>,
    /// See [`Publication::traceparent`].
    pub traceparent: Option<Box<str>>,
    /// Keep it in the channel's history. `None`: it is only delivered, without an
    /// offset.
    pub history: Option<HistoryPolicy>,
    /// Within five minutes, a second publication with the same key in the same
    /// channel is not published and returns the first one's position.
    pub idempotency_key: Option<String>,
    /// With history: a publication whose version is not greater than the
    /// channel's is not published. 0: not versioned.
    pub version: u64,
    /// A version is compared only with versions of the same version epoch.
    pub version_epoch: String,
}

impl PublishRequest {
    /// What subscribers get, before it has an offset.
    fn into_publication(self, time: i64) -> Publication {
        Publication {
            offset: 0,
            data: self.data,
            info: self.info,
            tags: self.tags,
            time,
            ends_user: self.ends_user,
            traceparent: self.traceparent,
        }
    }
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands; `None` without history.
    pub position: Option<Position>,
    /// It was not published: its idempotency key was known or its version stale.
    pub suppressed: bool,
}

/// What became of a publication with a given position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedAt {
    /// It was the next one: appended and sent.
    Appended,
    /// Its offset is at or below the channel's top: nothing was done.
    AlreadyThere,
    /// Offsets are missing before it: nothing was done. The caller publishes
    /// everything after `top` first. `top` is 0 when the broker knows nothing of
    /// this epoch; the caller then may start with [`Broker::anchor`].
    Gap {
        /// The newest offset that the broker has.
        top: u64,
    },
}

/// Which part of a history to read.
#[derive(Clone, Debug, Default)]
pub struct HistoryRequest {
    /// After this position (before it when `reverse`), exclusive. The epoch is
    /// not checked here: the answer carries the history's.
    pub since: Option<u64>,
    /// At most this many; 0: only the position; `None`: all that there are.
    pub limit: Option<u32>,
    /// Newest first.
    pub reverse: bool,
    /// Prolongs the position's life, and is what a new position gets. Zero means
    /// [`DEFAULT_META_TTL`].
    pub meta_ttl: Duration,
}

/// A part of a channel's history.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The publications asked for.
    pub publications: Vec<Publication>,
    /// The top of the history. Reading a channel that has none yet makes its
    /// epoch, so that the position is one to recover from.
    pub position: Position,
}

/// How many are present in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub num_clients: u32,
    /// Distinct users.
    pub num_users: u32,
}

/// What a broker tells the node. Calls come in order for each channel, from the
/// broker's own tasks or from within `publish`; they must not block, and must
/// not call the broker.
pub trait EventHandler: Send + Sync + 'static {
    /// A publication arrived in a channel that this node subscribed to. `epoch` is
    /// the history's, empty when the publication has no offset.
    fn publication(&self, channel: &str, epoch: &Arc<str>, publication: Publication);
    /// A client joined (`true`) or left a channel that this node subscribed to.
    fn membership(&self, channel: &str, joined: bool, info: ClientInfo);
    /// A control message for this node or for all.
    fn control(&self, message: Bytes);
    /// Publications of these channels may have been lost (the link broke, or a
    /// queue overflowed) and the link is up again: positions must be compared.
    fn positions_uncertain(&self, channels: &[Arc<str>]);
}

/// Publish, subscribe, history, presence.
///
/// Every call ends within the broker's own deadline. [`Error::Unavailable`] means
/// that it may or may not have happened; all calls may be repeated, a `publish`
/// exactly once when it has an idempotency key.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug + 'static {
    /// Starts delivery to a handler; called once, before the first `subscribe`.
    /// A service that only publishes does not call it.
    async fn run(&self, handler: Arc<dyn EventHandler>) -> Result<()>;

    /// Asks for a channel's publications, joins and leaves. When it returns, the
    /// subscription is in force. An implementation keeps the set itself and makes
    /// it true again after every loss of its link.
    async fn subscribe(&self, channel: &str) -> Result<()>;
    /// No longer asks for them. Idempotent.
    async fn unsubscribe(&self, channel: &str) -> Result<()>;

    /// Publishes to a channel.
    async fn publish(&self, channel: &str, request: PublishRequest) -> Result<Published>;
    /// Publishes the event number `position.offset` of the log `position.epoch`
    /// to an anchored channel: idempotent, in order, reporting gaps.
    /// `request.history` must be given; its idempotency key and version are ignored.
    /// Another epoch than the channel's replaces the history when the offset is 1,
    /// and is a gap with top 0 otherwise.
    async fn publish_at(
        &self,
        channel: &str,
        position: &Position,
        request: PublishRequest,
    ) -> Result<PublishedAt>;
    /// Starts an anchored channel's history at a position without its earlier
    /// publications (they are older than the hot history): the next one is
    /// `position.offset + 1`. Does nothing if the channel already has this epoch.
    /// Returns the channel's position afterwards.
    async fn anchor(
        &self,
        channel: &str,
        position: &Position,
        meta_ttl: Duration,
    ) -> Result<Position>;

    /// Reads history.
    async fn history(&self, channel: &str, request: HistoryRequest) -> Result<History>;
    /// The tops of several channels in one round trip, in the order asked; `None`
    /// for a channel without history. Does not create or prolong anything.
    async fn positions(&self, channels: &[Arc<str>]) -> Result<Vec<Option<Position>>>;
    /// Removes the publications of a channel; its position stays.
    async fn remove_history(&self, channel: &str) -> Result<()>;

    /// Tells subscribers in all nodes that a client joined (`true`) or left.
    async fn publish_membership(
        &self,
        channel: &str,
        joined: bool,
        info: &ClientInfo,
    ) -> Result<()>;
    /// Writes or renews a client's presence in a channel, for `ttl`.
    async fn add_presence(&self, channel: &str, info: &ClientInfo, ttl: Duration) -> Result<()>;
    /// Removes a client's presence.
    async fn remove_presence(&self, channel: &str, client: &str, user: &str) -> Result<()>;
    /// Everybody who is present.
    async fn presence(&self, channel: &str) -> Result<Vec<ClientInfo>>;
    /// How many are present.
    async fn presence_stats(&self, channel: &str) -> Result<PresenceStats>;

    /// Sends a control message to one node, or to all (the sender too).
    async fn publish_control(&self, node: Option<&str>, message: Bytes) -> Result<()>;

    /// Whether publications can be sent and received at this moment. Cheap.
    fn is_available(&self) -> bool;
}
