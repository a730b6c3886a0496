//! Finds events that nobody published, and notes in the logs what was published.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::flight::in_time;
use super::{Publisher, Shared};
use crate::Result;
use crate::event::now_ms;

/// Time between two notes of what was published.
const MARK_INTERVAL: Duration = Duration::from_millis(500);
/// Channels noted by one statement.
const MARKS: usize = 500;
/// More than this are forgotten while the database is away. Their events are then
/// offered to the broker once more, which ignores them.
const MAX_MARKS: usize = 100_000;
/// Channels looked at by one sweep.
const SWEEP: u32 = 200;
const DRAIN: Duration = Duration::from_secs(5);

pub(super) async fn run(shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut marking = tokio::time::interval(MARK_INTERVAL);
    marking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_sweep = Instant::now() + pause(shared);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = marking.tick() => note(shared).await,
            () = tokio::time::sleep_until(next_sweep) => {
                sweep(shared, stop).await;
                next_sweep = Instant::now() + pause(shared);
            }
            () = shared.wake_sweeper.notified() => {
                sweep(shared, stop).await;
                next_sweep = Instant::now() + pause(shared);
            }
        }
    }
    shared.tasks.close();
    if tokio::time::timeout(DRAIN, shared.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            "stopped while events were being published; another replica or the next start does it"
        );
    }
    note(shared).await;
}

/// Replicas that started together do not sweep together.
fn pause(shared: &Shared) -> Duration {
    shared
        .config
        .sweep_interval
        .mul_f64(rand::rng().random_range(0.75..1.25))
}

async fn sweep(shared: &Arc<Shared>, stop: &CancellationToken) {
    loop {
        match sweep_once(shared, stop).await {
            Ok(0) => return,
            Ok(n_channels) => tracing::info!(n_channels, "published events that were left behind"),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "sweep ended early"
                );
                return;
            }
        }
    }
}

/// Returns how many channels had to be looked after; 0: no more.
async fn sweep_once(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<usize> {
    // What this process has published is not to be found again.
    note(shared).await;
    let patience = i64::try_from(shared.config.sweep_after.as_millis()).unwrap_or(i64::MAX);
    let before = now_ms().saturating_sub(patience);
    let channels = in_time(shared.journal.unpublished(before, SWEEP)).await?;
    let publisher = Publisher {
        shared: Arc::clone(shared),
    };
    for channel in &channels {
        if stop.is_cancelled() {
            return Ok(0);
        }
        // An error here is nearly always the broker's: the others would fail too.
        publisher.publish(channel).await?;
        shared.metrics.swept.inc();
    }
    note(shared).await;
    Ok(channels.len())
}

/// Writes the marks. When the database is away they are kept, up to a limit.
async fn note(shared: &Shared) {
    let mut marks: Vec<(String, u64)> = std::mem::take(&mut *shared.marks.lock())
        .into_iter()
        .collect();
    while !marks.is_empty() {
        let rest = marks.split_off(marks.len().min(MARKS));
        if let Err(error) = in_time(shared.journal.mark_published(&marks)).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "published offsets could not be noted"
            );
            for (channel, published) in marks.into_iter().chain(rest) {
                if shared.marks.lock().len() < MAX_MARKS {
                    shared.mark(&channel, published);
                }
            }
            return;
        }
        marks = rest;
    }
}
