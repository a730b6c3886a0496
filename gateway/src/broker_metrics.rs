//! The Redis broker's own counters, read when `/metrics` is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker::RedisBroker;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// See the module.
#[derive(Debug)]
pub(crate) struct BrokerMetrics(pub(crate) Arc<RedisBroker>);

impl Collector for BrokerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let counters: [(&str, &str, &AtomicU64); 5] = [
            ("publishes", "Publications sent to Redis", &stats.publishes),
            ("received", "Messages received from Redis", &stats.received),
            ("redis_errors", "Calls to Redis that failed", &stats.errors),
            ("reconnects", "Links to Redis made again", &stats.reconnects),
            (
                "dropped",
                "Messages from Redis that were not understood",
                &stats.dropped,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("fanfare_broker_{name}");
            let value = ConstCounter::new(value.load(Ordering::Relaxed));
            let encoder = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            value.encode(encoder)?;
        }
        let lag = i64::try_from(stats.lag_ms.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let encoder = encoder.encode_descriptor(
            "fanfare_broker_lag_milliseconds",
            "From a publication's acceptance to its arrival at this node",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(lag).encode(encoder)
    }
}
