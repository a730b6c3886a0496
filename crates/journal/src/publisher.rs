//! Hands the events of logs to the broker: in order, exactly once, sooner or later.
//!
//! It never decides what is true: everything it does may be done again, by any
//! replica, at any time.

mod flight;
mod sweeper;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, HistoryPolicy};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::flight::Batch;
use crate::{Appended, Error, Journal, Metrics, Result};

/// How a publisher works.
#[derive(Clone, Debug)]
pub struct PublisherConfig {
    /// How much hot history the broker keeps of each channel.
    pub history: HistoryPolicy,
    /// Time between two looks for forgotten events; jittered by a quarter.
    pub sweep_interval: Duration,
    /// An event that waited this long was forgotten: its process died, or the broker
    /// was away.
    pub sweep_after: Duration,
    /// At most this many channels are published at the same time.
    pub max_concurrent: usize,
    /// At most this many channels wait for it; the rest is left to the sweeper.
    pub max_waiting: usize,
}

impl Default for PublisherConfig {
    fn default() -> Self {
        Self {
            history: HistoryPolicy {
                size: 300,
                ttl: Duration::from_secs(24 * 60 * 60),
                meta_ttl: Duration::from_secs(720 * 60 * 60),
            },
            sweep_interval: Duration::from_secs(2),
            sweep_after: Duration::from_secs(3),
            max_concurrent: 64,
            max_waiting: 10_000,
        }
    }
}

/// Publishes what was committed. Cheap to clone.
///
/// One flight per channel: what is committed to a channel while it is being
/// published goes with its next batch.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    journal: Arc<dyn Journal>,
    broker: Arc<dyn Broker>,
    config: PublisherConfig,
    metrics: Metrics,
    /// Channels in flight, with what came since their current batch began.
    flights: Mutex<HashMap<Arc<str>, Batch>>,
    permits: Semaphore,
    /// Published, and not yet noted in the log: noted in bulk, because a write for
    /// every publication would cost as much as the append did.
    marks: Mutex<HashMap<String, u64>>,
    wake_sweeper: Notify,
    /// The last attempt failed: says when to log, so that an outage is two lines.
    failing: AtomicBool,
    tasks: TaskTracker,
}

impl Publisher {
    /// A publisher of the logs in `journal`. Nothing is swept until
    /// [`run`](Self::run) is polled.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        broker: Arc<dyn Broker>,
        config: PublisherConfig,
        metrics: Metrics,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                permits: Semaphore::new(config.max_concurrent),
                journal,
                broker,
                config,
                metrics,
                flights: Mutex::default(),
                marks: Mutex::default(),
                wake_sweeper: Notify::new(),
                failing: AtomicBool::new(false),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Publishes events right after their commit, in the background. Never blocks and
    /// never fails: what cannot be published now stays in the log, and is published
    /// later. Needs a Tokio runtime.
    pub fn committed(&self, appended: Appended) {
        let channel = Arc::clone(&appended.channel);
        self.shared
            .join_flight(&channel, |batch| batch.add(appended));
    }

    /// Brings a channel up to its log and waits for it, for example because it may
    /// have been lost. An error says that it will have to be done again, which the
    /// sweeper does too.
    pub async fn publish(&self, channel: &str) -> Result<()> {
        let (done, result) = oneshot::channel();
        let joined = self
            .shared
            .join_flight(&channel.into(), |batch| batch.bring_up(done));
        if !joined {
            return Err(Error::Busy);
        }
        result.await.unwrap_or(Err(Error::Unsettled))
    }

    /// Lets the sweeper look now, for example because the broker came back.
    pub fn sweep(&self) {
        self.shared.wake_sweeper.notify_one();
    }

    /// Sweeps, and notes in the logs what was published, until told to stop; then
    /// waits for flights, five seconds at most. One per process; any number of
    /// replicas may run it.
    pub async fn run(self, stop: CancellationToken) {
        sweeper::run(&self.shared, &stop).await;
    }
}

impl Shared {
    /// Adds to a channel's next batch, and starts a flight if there is none. False:
    /// too many channels are waiting.
    fn join_flight(self: &Arc<Self>, channel: &Arc<str>, add: impl FnOnce(&mut Batch)) -> bool {
        let mut flights = self.flights.lock();
        if let Some(batch) = flights.get_mut(channel) {
            add(batch);
            return true;
        }
        if flights.len() >= self.config.max_waiting {
            drop(flights);
            self.metrics.failed.inc();
            return false;
        }
        let mut batch = Batch::default();
        add(&mut batch);
        flights.insert(Arc::clone(channel), batch);
        self.metrics
            .flights
            .set(i64::try_from(flights.len()).unwrap_or(i64::MAX));
        drop(flights);
        let flight = flight::run(Arc::clone(self), Arc::clone(channel));
        self.tasks.spawn(flight);
        true
    }

    /// The next batch of a channel; `None`: nothing came, and the flight has ended.
    fn next_batch(&self, channel: &Arc<str>) -> Option<Batch> {
        let mut flights = self.flights.lock();
        let batch = flights
            .get_mut(channel)
            .map(std::mem::take)
            .filter(|batch| !batch.is_empty());
        if batch.is_none() {
            flights.remove(channel);
            self.metrics
                .flights
                .set(i64::try_from(flights.len()).unwrap_or(i64::MAX));
        }
        batch
    }

    fn mark(&self, channel: &str, published: u64) {
        let mut marks = self.marks.lock();
        if let Some(mark) = marks.get_mut(channel) {
            *mark = published.max(*mark);
        } else {
            marks.insert(channel.to_owned(), published);
        }
    }

    fn succeeded(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("events are published again");
            self.wake_sweeper.notify_one();
        }
    }

    fn failed(&self, channel: &str, error: &Error) {
        self.metrics.failed.inc();
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                channel.name = channel,
                error = error as &dyn std::error::Error,
                "events could not be published and wait in the log"
            );
        } else {
            tracing::warn!(
                channel.name = channel,
                error = error as &dyn std::error::Error,
                "events could not be published and wait in the log; further failures are logged at debug level"
            );
        }
    }
}
