//! Counters that a node exports as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`RedisBroker`](crate::RedisBroker) did since it was made.
#[derive(Debug, Default)]
pub struct Stats {
    /// Publications, joins, leaves and control messages that were sent.
    pub publishes: AtomicU64,
    /// Messages that arrived for this node.
    pub received: AtomicU64,
    /// Calls that failed, for whatever reason.
    pub errors: AtomicU64,
    /// Connections that were made again after one was lost or refused.
    pub reconnects: AtomicU64,
    /// Messages that arrived and were not understood.
    pub dropped: AtomicU64,
    /// Age of the newest publication when it arrived, in milliseconds, by the clocks
    /// of publisher and receiver.
    pub lag_ms: AtomicU64,
}

impl Stats {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
