//! Delivers the notifications that were stored with their messages: at least once,
//! by any replica, as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use rand::Rng;
use service::{Timestamp, chain, within};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::metrics::Metrics;
use crate::notifier::{Notifier, Undelivered};
use crate::store::{Delivery, Store};

/// Notifications taken at a time; an eighth of them is under way at once.
const BATCH: u32 = 64;
const CONCURRENT: usize = 8;
/// Another replica takes over what is not done by then. Longer than a batch can take.
const LEASE: Duration = Duration::from_secs(120);
/// Another replica's, or what waited for its time, is found within this.
const POLL: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// The task that empties the outbox.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) notifier: Arc<dyn Notifier>,
    /// Something was put in.
    pub(crate) wake: Arc<Notify>,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Metrics,
}

impl Outbox {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            match self.deliver_due().await {
                Ok(0) => failing = false,
                Ok(_) => {
                    failing = false;
                    if stop.is_cancelled() {
                        return;
                    }
                    continue;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(error = %chain(&error), "the outbox cannot be read for now");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(jittered(POLL)) => {}
            }
        }
    }

    /// Returns how many were taken.
    async fn deliver_due(&self) -> Result<usize> {
        let now = Timestamp::now();
        let claim = self.store.claim(now, now.after(LEASE), BATCH);
        let deliveries = within(self.timeout, claim).await?;
        let n_taken = deliveries.len();
        stream::iter(deliveries)
            .for_each_concurrent(CONCURRENT, |delivery| async move {
                if let Err(error) = self.deliver(&delivery).await {
                    // The lease ends some time, and then it is delivered again.
                    tracing::debug!(error = %chain(&error), "a delivery could not be noted");
                }
            })
            .await;
        Ok(n_taken)
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<()> {
        match self.notifier.notify(delivery).await {
            Ok(()) => {
                self.metrics.notified.inc();
            }
            Err(Undelivered::Refused(status)) => {
                self.metrics.refused.inc();
                tracing::error!(
                    room.id = delivery.room.as_str(), message.seq = delivery.seq, kind = delivery.kind,
                    error = %status, "notify-service refuses a notification: dropped"
                );
            }
            Err(Undelivered::Unavailable(status)) => {
                self.metrics.undelivered.inc();
                tracing::debug!(
                    room.id = delivery.room.as_str(), message.seq = delivery.seq, kind = delivery.kind,
                    attempts = delivery.attempts, error = %status, "a notification waits"
                );
                let until = Timestamp::now().after(pause(delivery.attempts));
                return within(self.timeout, self.store.postpone(delivery, until)).await;
            }
        }
        within(self.timeout, self.store.delivered(delivery)).await
    }
}

fn pause(attempts: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(8));
    jittered(doubled.min(MAX_PAUSE))
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}
