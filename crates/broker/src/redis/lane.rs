//! The way of a runtime's commands to Redis: who asks on a thread is answered there,
//! and no other thread is woken for it. A reactor that hands its commands to another
//! one costs both a wake-up, and the answer the same again.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::task::AbortHandle;

use super::connector::Connector;
use super::keys::Keys;
use super::publications::Publications;
use super::publisher::Publisher;
use super::scripts::Scripts;
use super::stats::Stats;

/// A connection for commands and what waits for it.
pub(super) struct Lane {
    runtime: runtime::Id,
    pub(super) publisher: Arc<Publisher>,
    pub(super) publications: Publications,
    keeper: AbortHandle,
}

impl Lane {
    /// Begins to connect, on a runtime.
    pub(super) fn new(
        runtime: &Handle,
        keys: &Keys,
        scripts: &Arc<Scripts>,
        connector: &Arc<Connector>,
        stats: &Arc<Stats>,
        io_timeout: Duration,
    ) -> Self {
        let (publisher, keeper) = Publisher::new(
            Arc::clone(connector),
            Arc::clone(scripts),
            Arc::clone(stats),
            io_timeout,
        );
        let publisher = Arc::new(publisher);
        let publications = Publications::new(
            keys.clone(),
            Arc::clone(scripts),
            Arc::clone(&publisher),
            Arc::clone(stats),
        );
        Self {
            runtime: runtime.id(),
            publisher,
            publications,
            keeper: runtime.spawn(keeper).abort_handle(),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// One for each of some runtimes.
pub(super) struct Lanes(Box<[Lane]>);

impl Lanes {
    /// # Panics
    /// If there is no runtime.
    pub(super) fn new(runtimes: &[Handle], lane: impl Fn(&Handle) -> Lane) -> Self {
        assert!(!runtimes.is_empty(), "tasks need a runtime");
        Self(runtimes.iter().map(lane).collect())
    }

    /// That of the runtime that this is called on, or the first for all others. What
    /// is asked for one after the other on a runtime is done in this order.
    pub(super) fn here(&self) -> &Lane {
        let found = Handle::try_current().ok().and_then(|handle| {
            let here = handle.id();
            self.0.iter().find(|lane| lane.runtime == here)
        });
        found.unwrap_or(&self.0[0])
    }

    pub(super) fn are_available(&self) -> bool {
        self.0.iter().all(|lane| lane.publisher.is_available())
    }
}
