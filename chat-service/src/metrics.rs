//! All metrics of this crate, besides those of gRPC and the journal.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts what sends and the outbox do. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) sends_waiting: Gauge,
    pub(crate) groups: Counter,
    pub(crate) sends_grouped: Counter,
    pub(crate) sends_refused: Counter,
    pub(crate) sends_expired: Counter,
    pub(crate) notified: Counter,
    pub(crate) refused: Counter,
    pub(crate) undelivered: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "waiting_sends",
            "Sends that wait for their transaction to begin",
            metrics.sends_waiting.clone(),
        );
        registry.register(
            "send_groups",
            "Transactions in which messages were stored or refused together",
            metrics.groups.clone(),
        );
        registry.register(
            "grouped_sends",
            "Sends that were in one of these transactions",
            metrics.sends_grouped.clone(),
        );
        registry.register(
            "refused_sends",
            "Sends refused because too many waited",
            metrics.sends_refused.clone(),
        );
        registry.register(
            "expired_sends",
            "Sends not stored because their deadline passed, or their caller left, while they waited",
            metrics.sends_expired.clone(),
        );
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
