//! Logs of numbered events, and their exactly-once publication to channels.
//!
//! A service whose truth is in a database appends an event to a channel's log *in
//! the transaction that changes the truth* ([`sql`]). Events are numbered 1, 2, 3 …
//! without gaps; the number is the publication's offset and the log's id is the
//! channel's epoch. After the commit a [`Publisher`] hands the events to the broker.
//! If the process dies in between, or the broker is away or forgot everything, the
//! log still knows: the next publication or the sweeper of any replica repairs it.
//!
//! The crate knows neither rooms nor inboxes; data are bytes.

mod error;
mod event;
pub mod fault;
mod log_service;
mod metrics;
mod publisher;
pub mod sql;

use async_trait::async_trait;

pub use self::error::Error;
pub use self::event::{Appended, Event, LogState, NewEvent};
pub use self::log_service::{Authorizer, Logs, read_log};
pub use self::metrics::Metrics;
pub use self::publisher::{Publisher, PublisherConfig};

/// What a journal call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Logs, as the [`Publisher`] and the log service see them: committed events only.
///
/// Appending is not here: it belongs to the caller's transaction, see [`sql`].
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug + 'static {
    /// The events of a log after an offset, in order and without gaps, at most `limit`.
    async fn read(&self, channel: &str, after: u64, limit: u32) -> Result<Vec<Event>>;

    /// Where a log stands; `None` if nothing was ever appended to it.
    async fn state(&self, channel: &str) -> Result<Option<LogState>>;

    /// The same, after making sure that the channel has a log: an epoch is needed
    /// before the first event, as a position to recover from.
    async fn open(&self, channel: &str) -> Result<LogState>;

    /// Channels with an event that has waited for its publication since `before_ms`
    /// (Unix time in milliseconds) or longer, the longest first, at most `limit`.
    async fn unpublished(&self, before_ms: i64, limit: u32) -> Result<Vec<String>>;

    /// Notes that everything up to an offset was published, for several channels.
    /// Never moves back; unknown channels are ignored.
    async fn mark_published(&self, marks: &[(String, u64)]) -> Result<()>;
}
