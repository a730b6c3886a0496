//! All metrics of this crate, besides those of gRPC and the journal.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counts what the outbox does. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) notified: Counter,
    pub(crate) refused: Counter,
    pub(crate) undelivered: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "notifications_delivered",
            "Notifications that notify-service took",
            metrics.notified.clone(),
        );
        registry.register(
            "notifications_refused",
            "Notifications that notify-service will never take: dropped",
            metrics.refused.clone(),
        );
        registry.register(
            "notification_failures",
            "Attempts to deliver a notification that are repeated",
            metrics.undelivered.clone(),
        );
        metrics
    }
}
