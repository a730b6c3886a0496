//! All metrics of this crate.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts what the publisher does. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) published: Counter,
    pub(crate) repaired: Counter,
    pub(crate) anchored: Counter,
    pub(crate) failed: Counter,
    pub(crate) swept: Counter,
    pub(crate) flights: Gauge,
}

impl Metrics {
    /// Registers them under `journal_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("journal");
        registry.register(
            "publications",
            "Events that this process published",
            self.published.clone(),
        );
        registry.register(
            "repairs",
            "Times that a channel was brought up to its log because the broker missed events",
            self.repaired.clone(),
        );
        registry.register(
            "anchors",
            "Times that a channel's history was begun anew because the broker did not know its log",
            self.anchored.clone(),
        );
        registry.register(
            "publication_failures",
            "Times that events could not be published and were left to the sweeper",
            self.failed.clone(),
        );
        registry.register(
            "swept_channels",
            "Channels that the sweeper found with unpublished events",
            self.swept.clone(),
        );
        registry.register(
            "publishing_channels",
            "Channels being published at this moment",
            self.flights.clone(),
        );
    }
}
