//! What one trial brought, as `fanfare-bench run` prints it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The outcome of a scenario. What a scenario does not measure is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Which scenario.
    pub scenario: String,
    /// What was spoken.
    pub dialect: String,
    /// With which parameters.
    pub parameters: Value,
    /// What was measured; the unit is in the name.
    pub measures: BTreeMap<String, Value>,
    /// What was sent, and what became of it.
    pub counts: BTreeMap<String, Value>,
    /// Percentiles, in milliseconds.
    pub latency_ms: BTreeMap<String, Value>,
    /// What the load generator itself has used.
    pub generator: BTreeMap<String, Value>,
}

/// Counts that must be zero.
const FAULTS: [&str; 3] = ["lost", "doubled", "reordered"];

impl Outcome {
    /// A figure by its name among the measures, or by `latency_ms.…`; `None` if it was not
    /// measured.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        let figure = match name.split_once('.') {
            Some(("latency_ms", percentile)) => self.latency_ms.get(percentile),
            Some(("generator", name)) => self.generator.get(name),
            _ => self.measures.get(name),
        };
        figure?.as_f64()
    }

    /// Deliveries that were not what they had to be, by kind; empty if all were.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let count = |kind| Some((kind, self.counts.get(kind)?.as_u64()?));
        let faults = FAULTS.into_iter().filter_map(count);
        faults.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_and_faults_are_found() {
        let outcome: Outcome = serde_json::from_value(json!({
            "scenario": "fanout",
            "measures": { "cpu_us_per_delivery": 2.5, "unknown": null },
            "counts": { "sent": 3, "lost": 0, "doubled": 2 },
            "latency_ms": { "p99": 7.0 },
        }))
        .unwrap();
        assert_eq!(outcome.figure("cpu_us_per_delivery"), Some(2.5));
        assert_eq!(outcome.figure("latency_ms.p99"), Some(7.0));
        assert_eq!(outcome.figure("unknown"), None);
        assert_eq!(outcome.figure("latency_ms.p50"), None);
        assert_eq!(outcome.faults(), BTreeMap::from([("doubled", 2)]));
    }
}
