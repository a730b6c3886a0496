//! From a signal to the end of the process.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The exit status after a second signal: 128 + SIGINT, as a shell reports it.
const EXIT_INTERRUPTED: i32 = 130;

/// Tells every part to stop and waits until its tasks have ended.
///
/// Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Shutdown {
    /// One that begins by [`Shutdown::begin`] alone: for tests and for parts
    /// that run inside another process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that begins at SIGTERM or SIGINT. A second signal ends the process
    /// at once.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub fn listen() -> std::io::Result<Self> {
        let this = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = this.token.clone();
        tokio::spawn(async move {
            for first in [true, false] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if first {
                    tracing::info!(signal = name, "draining; a second signal ends at once");
                    token.cancel();
                } else {
                    tracing::warn!(signal = name, "second signal: ending without drain");
                    exit();
                }
            }
        });
        Ok(this)
    }

    /// Cancelled when the shutdown begins.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Spawn through it what [`Shutdown::drain`] must wait for.
    #[must_use]
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Begins the shutdown.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Begins the shutdown if it has not begun and waits for the tracked tasks,
    /// at most `deadline`. Returns whether all have ended.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.token.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .is_ok();
        if !ended {
            tracing::warn!(
                tasks = self.tracker.len(),
                ?deadline,
                "tasks still run at the drain deadline"
            );
        }
        ended
    }
}

#[expect(
    clippy::exit,
    reason = "the operator asked twice: nothing may delay the end"
)]
fn exit() -> ! {
    std::process::exit(EXIT_INTERRUPTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_tasks_that_obey() {
        let shutdown = Shutdown::new();
        let token = shutdown.token();
        shutdown
            .tracker()
            .spawn(async move { token.cancelled().await });
        assert!(shutdown.drain(Duration::from_secs(5)).await);
        assert!(shutdown.has_begun());
    }

    #[tokio::test(start_paused = true)]
    async fn drain_ends_at_its_deadline() {
        let shutdown = Shutdown::new();
        shutdown.tracker().spawn(std::future::pending::<()>());
        assert!(!shutdown.drain(Duration::from_secs(5)).await);
    }
}
