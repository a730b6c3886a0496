//! How far something has come, for who disturbs it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Counts what has succeeded, so that others can wait for more of it.
#[derive(Debug)]
pub struct Progress {
    done: watch::Sender<usize>,
    deadline: Duration,
}

impl Progress {
    /// Nothing yet. `deadline` is how long [`more`](Self::more) waits.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self {
            done: watch::Sender::new(0),
            deadline,
        }
    }

    /// One more has succeeded.
    pub fn advance(&self) {
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until so many more have succeeded.
    ///
    /// # Panics
    /// They have not within the deadline.
    pub async fn more(&self, more: usize) {
        let mut done = self.done.subscribe();
        let until = *done.borrow() + more;
        let reached = timeout(self.deadline, done.wait_for(|&done| done >= until));
        reached
            .await
            .expect("it goes on")
            .expect("its sender is here");
    }
}
