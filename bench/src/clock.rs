//! The generator's clock: microseconds since it was started.

use std::time::{Duration, Instant};

/// Microseconds since the clock was started.
pub type Micros = u64;

/// A monotonic clock. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Now. Costs some tens of nanoseconds.
    #[must_use]
    pub fn now(self) -> Micros {
        micros(self.0.elapsed())
    }
}

/// A duration in whole microseconds; what does not fit is longer than any run.
#[must_use]
pub fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds as seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "exact for the first 285 years")]
pub fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1e6
}
