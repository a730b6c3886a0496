//! What the server sends of its own accord, in order.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use wire::Push;

use crate::error::Error;

/// The pushes of one connection, in the order of their arrival.
#[derive(Debug)]
pub struct Pushes {
    queue: mpsc::Receiver<Push>,
    end: watch::Receiver<Option<Error>>,
    deadline: Duration,
}

impl Pushes {
    pub(crate) fn new(
        queue: mpsc::Receiver<Push>,
        end: watch::Receiver<Option<Error>>,
        deadline: Duration,
    ) -> Self {
        Self {
            queue,
            end,
            deadline,
        }
    }

    /// Waits for the next push, at most as long as the deadline of the options.
    ///
    /// # Errors
    /// [`Error::Timeout`]; after the last push, why the connection ended.
    pub async fn next(&mut self) -> Result<Push, Error> {
        self.next_within(self.deadline).await
    }

    /// Waits for the next push, at most as long as told.
    ///
    /// # Errors
    /// [`Error::Timeout`]; after the last push, why the connection ended.
    pub async fn next_within(&mut self, deadline: Duration) -> Result<Push, Error> {
        match timeout(deadline, self.queue.recv()).await {
            Ok(Some(push)) => Ok(push),
            Ok(None) => Err(crate::caller::why(&self.end)),
            Err(_) => Err(Error::Timeout),
        }
    }
}
