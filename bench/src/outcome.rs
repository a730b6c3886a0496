//! What a run has found, as JSON for programs and as a table for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::dialect::Tally;
use crate::latency::Percentiles;
use crate::ledger::Counts;

/// What a run has found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was run.
    pub scenario: String,
    /// The protocol that was spoken.
    pub dialect: String,
    /// What it was run with.
    pub parameters: Map<String, Value>,
    /// Figures by name; the unit is the end of the name.
    pub measures: Map<String, Value>,
    /// What was delivered, where something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// From when it was due to when it came, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Percentiles>,
    /// What the generator itself used.
    pub generator: Generator,
    /// What a reader should know besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What the generator itself used, while it measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Generator {
    /// CPU time by message received.
    pub cpu_us_per_message: f64,
    /// CPU time.
    pub cpu_seconds: f64,
}

impl Generator {
    /// This CPU time for so many messages.
    #[must_use]
    pub fn new(cpu: Duration, messages: u64) -> Self {
        Self {
            cpu_us_per_message: per(cpu, messages),
            cpu_seconds: cpu.as_secs_f64(),
        }
    }
}

/// Microseconds of a duration by event; 0 without events.
#[must_use]
pub fn per(duration: Duration, events: u64) -> f64 {
    ratio(duration.as_secs_f64() * 1e6, count(events))
}

/// A quotient; 0 where there is none, because JSON has no infinity.
#[must_use]
pub fn ratio(dividend: f64, divisor: f64) -> f64 {
    if divisor > 0.0 {
        dividend / divisor
    } else {
        0.0
    }
}

/// A count as a number to calculate with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn count(events: u64) -> f64 {
    events as f64
}

/// What a scenario has found, before it is known what else belongs to the outcome.
#[derive(Debug, Default)]
pub struct Found {
    pub(crate) measures: Map<String, Value>,
    pub(crate) counts: Option<Counts>,
    pub(crate) latency_ms: Option<Percentiles>,
    pub(crate) generator: Generator,
    pub(crate) notes: Vec<String>,
}

impl Found {
    /// Notes how many connections were lost while it was measured, and why the first of them was.
    pub(crate) fn connections_lost(&mut self, tally: &Tally) {
        self.measure("connections_lost", count(tally.closed));
        if let Some(reason) = &tally.first_reason {
            let lost = tally.closed;
            self.notes
                .push(format!("{lost} connections were lost, the first: {reason}"));
        }
    }

    /// Notes a figure.
    pub fn measure(&mut self, name: &str, value: f64) {
        self.measures.insert(name.to_owned(), value.into());
    }
}

impl Outcome {
    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!("{} over {}\n", self.scenario, self.dialect);
        section(&mut table, "", &self.measures);
        for (name, part) in [
            ("counts", serde_json::to_value(self.counts)),
            ("latency_ms", serde_json::to_value(self.latency_ms)),
            ("generator", serde_json::to_value(self.generator)),
            ("parameters", Ok(Value::Object(self.parameters.clone()))),
        ] {
            if let Ok(Value::Object(fields)) = part {
                section(&mut table, name, &fields);
            }
        }
        for note in &self.notes {
            let _ = writeln!(table, "{note}");
        }
        table
    }
}

fn section(table: &mut String, title: &str, fields: &Map<String, Value>) {
    if !title.is_empty() {
        let _ = writeln!(table, "{title}");
    }
    for (name, value) in fields {
        let value = match value {
            Value::Number(number) if number.is_f64() => {
                format!("{:.3}", number.as_f64().unwrap_or_default())
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(table, "  {name:<32} {value:>16}");
    }
}
