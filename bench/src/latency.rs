//! How long things took, kept in constant space.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::Micros;

/// Longest time that is told apart from longer ones.
const LONGEST: Micros = 600_000_000;

/// Times of many events, with an error of at most 0.1 %.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        Self(histogram.expect("the bounds are constant and valid"))
    }
}

impl Latencies {
    /// Notes one.
    #[inline]
    pub fn record(&mut self, latency: Micros) {
        self.0.saturating_record(latency);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Their percentiles; `None` when there are none.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.count() > 0).then(|| Percentiles {
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: milliseconds(self.0.max()),
        })
    }

    fn at(&self, quantile: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(quantile))
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// Milliseconds that this part of all events took at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// All of them.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), None);
        for micros in 1..=1000 {
            latencies.record(micros);
        }
        let percentiles = latencies.percentiles().expect("there are some");
        assert!((percentiles.p50 - 0.5).abs() < 0.001, "{percentiles:?}");
        assert!((percentiles.p99 - 0.99).abs() < 0.001, "{percentiles:?}");
        assert!((percentiles.max - 1.0).abs() < 0.001, "{percentiles:?}");
    }

    #[test]
    fn what_takes_longer_than_the_longest_is_kept_as_that() {
        let mut latencies = Latencies::default();
        latencies.record(u64::MAX);
        let percentiles = latencies.percentiles().expect("there is one");
        assert!(percentiles.max >= 600_000.0, "{percentiles:?}");
    }
}
