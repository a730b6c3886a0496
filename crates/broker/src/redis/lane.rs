//! The way of a runtime's commands to Redis: who asks on a thread is answered there,
//! and no other thread is woken for it. A reactor that hands its commands to another
//! one costs both a wake-up, and the answer the same again.

use std::sync::Arc;

use tokio::runtime::{self, Handle};
use tokio::task::AbortHandle;

use super::config::RedisConfig;
use super::connector::Connector;
use super::keys::Keys;
use super::publications::Publications;
use super::publisher::Publisher;
use super::scripts::Scripts;
use super::stats::Stats;

/// What the lanes of a broker share.
pub(super) struct Common {
    pub(super) config: RedisConfig,
    pub(super) keys: Keys,
    pub(super) scripts: Arc<Scripts>,
    pub(super) connector: Arc<Connector>,
    pub(super) stats: Arc<Stats>,
}

/// A connection for commands and what waits for it.
pub(super) struct Lane {
    runtime: runtime::Id,
    pub(super) publisher: Arc<Publisher>,
    pub(super) publications: Publications,
    keeper: AbortHandle,
}

impl Lane {
    fn new(common: &Common, runtime: &Handle) -> Self {
        let (publisher, keeper) = Publisher::new(
            Arc::clone(&common.connector),
            Arc::clone(&common.scripts),
            Arc::clone(&common.stats),
            common.config.io_timeout,
        );
        let publisher = Arc::new(publisher);
        let publications = Publications::new(
            common.keys.clone(),
            Arc::clone(&common.scripts),
            Arc::clone(&publisher),
            Arc::clone(&common.stats),
            common.config.io_timeout,
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
    /// Begins to connect.
    ///
    /// # Panics
    /// If there is no runtime.
    pub(super) fn new(common: &Common, runtimes: &[Handle]) -> Self {
        assert!(!runtimes.is_empty(), "tasks need a runtime");
        let lane = |runtime| Lane::new(common, runtime);
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
