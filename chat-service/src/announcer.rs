//! Tells channels what need not last: typing, read pointers, "you were added".

use std::sync::Arc;

use broker::{Broker, PublishRequest};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::event::RoomEvent;

/// Announcements under way at most; more are dropped, as a slow broker would have
/// them arrive too late to mean anything.
const MAX_UNDER_WAY: usize = 1_000;

/// Publishes without an offset, in the background, at most once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Announcer {
    broker: Arc<dyn Broker>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Announcer {
    /// Announces through a broker, in tasks of this tracker.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, tasks: TaskTracker) -> Self {
        Self {
            broker,
            permits: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
            tasks,
        }
    }

    pub(crate) fn announce(&self, channel: String, event: &RoomEvent<'_>) {
        let Ok(data) = event.encode() else {
            return; // Never: it is made of checked content.
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::debug!(channel.name = channel, "too many announcements: dropped");
            return;
        };
        let broker = Arc::clone(&self.broker);
        self.tasks.spawn(async move {
            let request = PublishRequest {
                data,
                ..PublishRequest::default()
            };
            if let Err(error) = broker.publish(&channel, request).await {
                tracing::debug!(
                    channel.name = channel,
                    error = &error as &dyn std::error::Error,
                    "an announcement was lost"
                );
            }
            drop(permit);
        });
    }
}
