//! The client: calls and pushes of one connection.

use std::ops::Deref;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wire::{Format, Push};

use crate::caller::Caller;
use crate::error::Error;
use crate::options::Options;
use crate::pushes::Pushes;
use crate::socket::Socket;
use crate::task::Task;

/// A connection to a gateway, run by one task.
///
/// All calls of [`Caller`] are calls of the client. Dropping the client closes the connection
/// with code 1000.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    pushes: Pushes,
}

impl Client {
    /// Makes a WebSocket connection. Nothing is sent yet: [`Caller::connect`] comes next.
    ///
    /// # Errors
    /// As [`Socket::open`].
    pub async fn open(url: &str, format: Format) -> Result<Self, Error> {
        Self::open_with(url, Options::new(format)).await
    }

    /// Makes a WebSocket connection with other than the usual options.
    ///
    /// # Errors
    /// As [`Socket::open`].
    pub async fn open_with(url: &str, options: Options) -> Result<Self, Error> {
        let socket = Socket::open(url, &options).await?;
        let (commands, orders) = mpsc::channel(64);
        let (push_sender, push_receiver) = mpsc::channel(options.push_capacity.max(1));
        let (end_sender, end) = watch::channel(None);
        let deadline = options.deadline;
        tokio::spawn(Task::new(socket, &options, orders, push_sender, end_sender).run());
        Ok(Self {
            caller: Caller::new(commands, end.clone(), deadline),
            pushes: Pushes::new(push_receiver, end, deadline),
        })
    }

    /// Waits for the next push, at most as long as the deadline of the options.
    ///
    /// # Errors
    /// [`Error::Timeout`]; after the last push, why the connection ended.
    pub async fn next_push(&mut self) -> Result<Push, Error> {
        self.pushes.next().await
    }

    /// Waits for the next push, at most as long as told. Good for showing that none comes.
    ///
    /// # Errors
    /// [`Error::Timeout`]; after the last push, why the connection ended.
    pub async fn next_push_within(&mut self, deadline: Duration) -> Result<Push, Error> {
        self.pushes.next_within(deadline).await
    }

    /// Takes calls and pushes apart, for use in different tasks. The connection is closed when
    /// all clones of the caller are gone; pushes may be dropped at any time.
    #[must_use]
    pub fn into_split(self) -> (Caller, Pushes) {
        (self.caller, self.pushes)
    }
}

impl Deref for Client {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}
