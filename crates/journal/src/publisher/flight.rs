//! One channel being published: the batch, the straight way and the repair.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker::{Position, PublishRequest, PublishedAt};
use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use super::Shared;
use crate::{Appended, Error, Event, LogState, Result};

/// More events than this are rather read from the log again than kept in memory.
const BATCH_EVENTS: usize = 128;
/// Events of one channel under way to the broker at a time.
const PIPELINE: usize = 16;
/// Events read from the log at a time.
const PAGE: u32 = 100;
/// A repair that the broker undoes this often in a row is given up for now.
const REPAIRS: u32 = 3;
/// Each call to the log.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// What is to be published of one channel.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Committed since the last batch; of one log, so of one epoch.
    appended: Vec<Appended>,
    n_events: usize,
    /// Compare the broker with the log instead of only sending `appended`.
    bring_up: bool,
    waiting: Vec<oneshot::Sender<Result<()>>>,
}

impl Batch {
    pub(super) fn add(&mut self, appended: Appended) {
        self.n_events += appended.events.len();
        if self.n_events > BATCH_EVENTS {
            self.appended = Vec::new();
            self.bring_up = true;
        } else {
            self.appended.push(appended);
        }
    }

    pub(super) fn bring_up(&mut self, done: oneshot::Sender<Result<()>>) {
        self.bring_up = true;
        self.waiting.push(done);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appended.is_empty() && !self.bring_up
    }
}

/// Publishes a channel's batches until there is none.
pub(super) async fn run(shared: Arc<Shared>, channel: Arc<str>) {
    let Ok(_permit) = shared.permits.acquire().await else {
        return; // Never closed.
    };
    while let Some(batch) = shared.next_batch(&channel) {
        let result = publish_batch(&shared, &channel, &batch).await;
        match &result {
            Ok(published) => {
                shared.mark(&channel, *published);
                shared.succeeded();
            }
            Err(error) => shared.failed(&channel, error),
        }
        let failed = result.is_err();
        for waiting in batch.waiting {
            // Who waited may have gone.
            let _ = waiting.send(if failed {
                Err(Error::Unpublished)
            } else {
                Ok(())
            });
        }
    }
}

/// Returns the offset up to which everything is published.
async fn publish_batch(shared: &Shared, channel: &str, batch: &Batch) -> Result<u64> {
    if batch.bring_up {
        return repair(shared, channel).await;
    }
    let events: Vec<(&Arc<str>, &Event)> = batch
        .appended
        .iter()
        .flat_map(|appended| appended.events.iter().map(|event| (&appended.epoch, event)))
        .collect();
    let mut published = 0;
    for events in events.chunks(PIPELINE) {
        // They are sent in this order without waiting for one another. Should the broker
        // get them in another, it finds a gap, and the repair is right in any case.
        let calls = events
            .iter()
            .map(|(epoch, event)| publish(shared, channel, epoch, event));
        let answers = try_join_all(calls).await?;
        if answers
            .iter()
            .any(|answer| matches!(answer, PublishedAt::Gap { .. }))
        {
            return repair(shared, channel).await;
        }
        published = events.last().map_or(published, |(_, event)| event.offset);
    }
    Ok(published)
}

/// Publishes everything between the broker's top and the log's.
async fn repair(shared: &Shared, channel: &str) -> Result<u64> {
    'repair: for _ in 0..REPAIRS {
        let Some(log) = in_time(shared.journal.state(channel)).await? else {
            return Ok(0);
        };
        let mut published = start(shared, channel, &log).await?;
        if published < log.top {
            shared.metrics.repaired.inc();
        }
        while published < log.top {
            let events = in_time(shared.journal.read(channel, published, PAGE)).await?;
            if events.is_empty() {
                return Err(Error::Corrupt(format!("no event after offset {published}")));
            }
            for event in &events {
                match publish(shared, channel, &log.epoch, event).await? {
                    PublishedAt::Appended | PublishedAt::AlreadyThere => published = event.offset,
                    PublishedAt::Gap { .. } => continue 'repair,
                }
            }
        }
        return Ok(published);
    }
    Err(Error::Unsettled)
}

/// The offset after which the broker is to be told: its own top, or, when it knows
/// nothing of this log, the beginning of what is hot.
async fn start(shared: &Shared, channel: &str, log: &LogState) -> Result<u64> {
    let positions = shared.broker.positions(&[channel.into()]).await?;
    if let Some(Some(position)) = positions.into_iter().next()
        && position.epoch == log.epoch
    {
        return Ok(position.offset);
    }
    let history = &shared.config.history;
    let base = log.top.saturating_sub(u64::from(history.size));
    if base == 0 {
        // Event 1 replaces whatever history the broker has.
        return Ok(0);
    }
    shared.metrics.anchored.inc();
    let anchor = Position {
        epoch: Arc::clone(&log.epoch),
        offset: base,
    };
    let position = shared
        .broker
        .anchor(channel, &anchor, history.meta_ttl)
        .await?;
    Ok(position.offset)
}

async fn publish(
    shared: &Shared,
    channel: &str,
    epoch: &Arc<str>,
    event: &Event,
) -> Result<PublishedAt> {
    let position = Position {
        epoch: Arc::clone(epoch),
        offset: event.offset,
    };
    let request = PublishRequest {
        data: event.data.clone(),
        tags: event.tags.clone(),
        ends_user: event.ends_user.clone(),
        history: Some(shared.config.history),
        traceparent: event.traceparent.clone(),
        ..PublishRequest::default()
    };
    let published = shared
        .broker
        .publish_at(channel, &position, request)
        .await?;
    if published == PublishedAt::Appended {
        shared.metrics.published.inc();
    }
    Ok(published)
}

/// Gives a call to the log its deadline.
pub(super) async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(STORE_DEADLINE, call)
        .await
        .unwrap_or(Err(Error::StoreTimeout))
}
