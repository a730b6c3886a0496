//! Removes notifications that nobody will look for any more.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use service::{Timestamp, within};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::store::Store;

/// Time between two looks, jittered so that replicas do not look together.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Notifications removed by one statement: its locks are short.
const BATCH: u32 = 500;

/// Removes what is read or archived and older than `retention`, now and then, until
/// told to stop. Any number of replicas may run it.
pub(crate) async fn run(
    store: Arc<dyn Store>,
    retention: Duration,
    deadline: Duration,
    stop: CancellationToken,
) {
    loop {
        let pause = INTERVAL.mul_f64(rand::rng().random_range(0.5..1.5));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match remove(&*store, Timestamp::now().before(retention), deadline, &stop).await {
            Ok(0) => {}
            Ok(n_removed) => tracing::info!(n_removed, "old notifications were removed"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "old notifications could not be removed; the next attempt is in about an hour"
            ),
        }
    }
}

/// Removes in batches until there is no more; returns how many.
async fn remove(
    store: &dyn Store,
    before: Timestamp,
    deadline: Duration,
    stop: &CancellationToken,
) -> Result<u64> {
    let mut n_removed = 0;
    while !stop.is_cancelled() {
        let n_batch = within(deadline, store.remove_done(before, BATCH)).await?;
        n_removed += n_batch;
        if n_batch < u64::from(BATCH) {
            break;
        }
    }
    Ok(n_removed)
}
