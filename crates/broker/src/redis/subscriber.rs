//! A connection that receives publications.
//!
//! [`Subscriber`] keeps the set of channels that the node wants; its task makes
//! Redis agree with the set, in large batches, and begins anew on every connection.
//!
//! There is no queue between the socket and the handler: a message is decoded and
//! handed over where the connection's task reads it. When the handler is slow, the
//! socket fills and Redis, beyond its `client-output-buffer-limit`, closes the
//! connection; then all its channels are reported as uncertain, like after any loss
//! of the connection. So nothing is lost in silence, and nothing grows.

mod interest;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::RedisError;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use self::interest::{Changes, Interests};
use super::backoff::Backoff;
use super::connection::{Connection, Push};
use super::connector::{Connector, PING_INTERVAL};
use super::envelope::{self, Content};
use super::keys::Keys;
use super::stats::Stats;
use crate::error::Error;
use crate::memory::unix_millis;
use crate::{EventHandler, Result};

/// Channels in one SUBSCRIBE: large enough to save round trips, small enough that
/// Redis answers others in between.
const BATCH: usize = 512;

/// A connection that lived shorter than this was no success.
const STABLE: Duration = Duration::from_secs(5);

/// The handle and the state; the connection's task is [`Subscriber::run`].
pub(super) struct Subscriber {
    keys: Keys,
    /// Pub/sub channels whose messages are control messages.
    control: Vec<String>,
    interests: Mutex<Interests>,
    /// There are changes, or the connection is gone.
    wake: Notify,
    linked: watch::Sender<bool>,
    /// Id of the connection whose messages are handed over; 0: none.
    current: AtomicU64,
    /// Messages received, as a sign of life.
    received: AtomicU64,
    stats: Arc<Stats>,
    handler: Arc<dyn EventHandler>,
    no_epoch: Arc<str>,
    io_timeout: Duration,
}

impl Subscriber {
    pub(super) fn new(
        keys: Keys,
        control: Vec<String>,
        stats: Arc<Stats>,
        handler: Arc<dyn EventHandler>,
        io_timeout: Duration,
    ) -> Self {
        Self {
            keys,
            control,
            interests: Mutex::default(),
            wake: Notify::new(),
            linked: watch::Sender::new(false),
            current: AtomicU64::new(0),
            received: AtomicU64::new(0),
            stats,
            handler,
            no_epoch: Arc::default(),
            io_timeout,
        }
    }

    pub(super) fn is_available(&self) -> bool {
        *self.linked.borrow()
    }

    /// Waits until the connection is there and all subscriptions are in force.
    pub(super) async fn available(&self) {
        // It fails only when the sender is gone, which is `self`'s.
        let _ = self.linked.subscribe().wait_for(|linked| *linked).await;
    }

    /// Adds a channel and waits until Redis has confirmed it.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<()> {
        let Some(confirmed) = self.interests.lock().add(channel) else {
            return Ok(());
        };
        self.wake.notify_one();
        let mut asking = Asking {
            subscriber: self,
            channel,
            confirmed: Some(confirmed),
        };
        let confirmed = asking.confirmed.as_mut().expect("it was just set");
        if let Ok(Ok(())) = timeout(self.io_timeout, confirmed).await {
            return Ok(());
        }
        // Dropping `asking` takes the channel back. Or it was confirmed right now.
        drop(asking);
        if self.interests.lock().is_in_force(channel) {
            return Ok(());
        }
        Stats::count(&self.stats.errors);
        let text = "redis did not confirm the subscription in time";
        Err(Error::Unavailable(text.into()))
    }

    /// Removes a channel. Redis hears of it a little later; what still comes is not
    /// handed over.
    pub(super) fn unsubscribe(&self, channel: &str) {
        if self.interests.lock().remove(channel) {
            self.wake.notify_one();
        }
    }

    /// Keeps the connection, until it is dropped.
    pub(super) async fn run(self: Arc<Self>, connector: Arc<Connector>) {
        let mut backoff = Backoff::new();
        for id in 1.. {
            let since = Instant::now();
            let lost = match self.connect(&connector, id).await {
                Ok(connection) => {
                    let lost = self.serve(&connector, connection, id).await;
                    self.linked.send_replace(false);
                    if since.elapsed() > STABLE {
                        backoff.reset();
                    }
                    lost
                }
                Err(error) => error,
            };
            self.current.store(0, Ordering::Relaxed);
            self.interests.lock().interrupt();
            let wait = backoff.next();
            tracing::warn!(
                error = %lost, retry_in = ?wait, "no connection to redis for publications"
            );
            sleep(wait).await;
            Stats::count(&self.stats.reconnects);
        }
    }

    async fn connect(
        self: &Arc<Self>,
        connector: &Connector,
        id: u64,
    ) -> std::result::Result<Connection, RedisError> {
        let subscriber = Arc::clone(self);
        connector
            .connect(move |push| subscriber.receive(push, id))
            .await
    }

    /// Makes all subscriptions on a new connection, then keeps them up to date.
    /// Returns why the connection is no longer good.
    async fn serve(
        &self,
        connector: &Connector,
        mut connection: Connection,
        id: u64,
    ) -> RedisError {
        let result: std::result::Result<(), RedisError> = async {
            self.current.store(id, Ordering::Relaxed);
            if !self.control.is_empty() {
                let subscribe = connection.subscribe(&self.control);
                self.while_alive(self.io_timeout, subscribe).await?;
            }
            self.interests.lock().resume();
            self.catch_up(&mut connection).await?;
            self.linked.send_replace(true);
            let uncertain = self.interests.lock().take_uncertain();
            tracing::info!(
                n_resubscribed = uncertain.len(),
                "connected to redis for publications"
            );
            if !uncertain.is_empty() {
                self.handler.positions_uncertain(&uncertain);
            }
            loop {
                let woken = timeout(PING_INTERVAL, self.wake.notified()).await.is_ok();
                if self.current.load(Ordering::Relaxed) != id {
                    return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
                }
                if woken {
                    self.catch_up(&mut connection).await?;
                } else {
                    // Its answer comes behind all publications that are on the way.
                    let ping = connector.ping(&mut connection);
                    self.while_alive(connector.ping_deadline(), ping).await?;
                }
            }
        }
        .await;
        result
            .err()
            .unwrap_or_else(|| unreachable!("the loop does not end well"))
    }

    /// Tells Redis all changes of the set, and waits for its confirmation.
    async fn catch_up(&self, connection: &mut Connection) -> std::result::Result<(), RedisError> {
        loop {
            let Changes { added, removed } = self.interests.lock().take_changes();
            if added.is_empty() && removed.is_empty() {
                return Ok(());
            }
            for batch in removed.chunks(BATCH) {
                let names = self.names(batch);
                let unsubscribe = connection.unsubscribe(&names);
                self.while_alive(self.io_timeout, unsubscribe).await?;
            }
            for batch in added.chunks(BATCH) {
                let names = self.names(batch);
                let subscribe = connection.subscribe(&names);
                self.while_alive(self.io_timeout, subscribe).await?;
            }
        }
    }

    fn names(&self, channels: &[Arc<str>]) -> Vec<String> {
        let names = channels.iter().map(|c| self.keys.publications(c));
        names.collect()
    }

    /// Waits for an answer. It may take longer than `duration`, as it comes behind
    /// publications, as long as these come.
    async fn while_alive<T>(
        &self,
        duration: Duration,
        query: impl Future<Output = std::result::Result<T, RedisError>>,
    ) -> std::result::Result<T, RedisError> {
        tokio::pin!(query);
        loop {
            let received = self.received.load(Ordering::Relaxed);
            if let Ok(answer) = timeout(duration, &mut query).await {
                return answer;
            }
            if self.received.load(Ordering::Relaxed) == received {
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
        }
    }

    /// What the connection's own task calls for everything that comes unasked.
    fn receive(&self, push: Push<'_>, id: u64) {
        if self.current.load(Ordering::Relaxed) != id {
            return;
        }
        match push {
            Push::Message { name, payload } => {
                self.received.fetch_add(1, Ordering::Relaxed);
                Stats::count(&self.stats.received);
                let message = Bytes::copy_from_slice(payload);
                if self.dispatch(name, message).is_none() {
                    Stats::count(&self.stats.dropped);
                    let name = String::from_utf8_lossy(name);
                    tracing::warn!(name = %name, "a message in redis was not understood");
                }
            }
            Push::Lost => {
                self.current.store(0, Ordering::Relaxed);
                self.wake.notify_one();
            }
            // Here and not where the command's answer is awaited: only here it is
            // known which publications come after it.
            Push::Subscribed(name) => {
                self.received.fetch_add(1, Ordering::Relaxed);
                if let Some(channel) = self.keys.channel_of(name) {
                    self.interests.lock().confirm(channel);
                }
            }
        }
    }

    /// Hands a message over; `None` if it is not understood.
    fn dispatch(&self, name: &[u8], message: Bytes) -> Option<()> {
        let Some(channel) = self.keys.channel_of(name) else {
            if self
                .control
                .iter()
                .any(|control| control.as_bytes() == name)
            {
                self.handler.control(message);
                return Some(());
            }
            return None;
        };
        let (header, envelope) = envelope::split(&message)?;
        let content = envelope::decode(envelope)?;
        let Some(epoch) = self.interests.lock().epoch(channel, header.epoch) else {
            // The node does not want it any more.
            return Some(());
        };
        match content {
            Content::Publication(mut publication) => {
                publication.offset = header.offset;
                let age = unix_millis().saturating_sub(publication.time).max(0);
                self.stats
                    .lag_ms
                    .store(age.unsigned_abs(), Ordering::Relaxed);
                let epoch = epoch.as_ref().unwrap_or(&self.no_epoch);
                self.handler.publication(channel, epoch, publication);
            }
            Content::Membership { joined, info } => {
                self.handler.membership(channel, joined, info);
            }
        }
        Some(())
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("linked", &self.is_available())
            .finish_non_exhaustive()
    }
}

/// A call that waits for a confirmation. Given up, it takes its wish back.
struct Asking<'a> {
    subscriber: &'a Subscriber,
    channel: &'a str,
    confirmed: Option<oneshot::Receiver<()>>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // First the receiver, so that the set sees that nobody waits.
        self.confirmed = None;
        if self.subscriber.interests.lock().give_up(self.channel) {
            self.subscriber.wake.notify_one();
        }
    }
}
