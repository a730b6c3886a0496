//! The broker of one node: everything in this process's memory.
//!
//! Channels are spread over shards, each behind a short lock. The handler is called
//! while its channel's lock is held: that is what keeps a channel's publications in
//! order without a queue, and why a handler must not call back.

mod channel;

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use parking_lot::{Mutex, MutexGuard};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use self::channel::Channel;
use crate::error::Error;
use crate::history::{ChannelHistory, new_epoch};
use crate::{
    Broker, ClientInfo, EventHandler, History, HistoryRequest, MAX_OFFSET, Position, PresenceStats,
    PublishRequest, Published, PublishedAt, Result,
};

const N_SHARDS: usize = 128;

/// How many shards are swept at a time, so that all are within 16 seconds.
const SWEEP_SHARDS: usize = 8;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A [`Broker`] without a network: for one node, and for services in its process.
///
/// What expires is not seen any more from that moment on; its memory is given back
/// within seconds by one task, which ends when the broker is dropped.
#[derive(Debug)]
pub struct MemoryBroker {
    state: Arc<State>,
    sweeper: OnceLock<AbortHandle>,
}

struct State {
    handler: OnceLock<Arc<dyn EventHandler>>,
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard>]>,
    no_epoch: Arc<str>,
}

/// Two tables, because most channels of a node are listened to and keep nothing: such a
/// one costs its name here and no more.
#[derive(Default)]
struct Shard {
    /// Whose publications are wanted.
    subscribed: HashSet<Box<str>>,
    /// What is kept of channels that have a history, a presence or idempotency keys.
    channels: HashMap<String, Channel>,
}

impl MemoryBroker {
    /// An empty broker. A control message to any node is delivered: there is only
    /// this one.
    pub fn new() -> Self {
        let state = State {
            handler: OnceLock::new(),
            hasher: DefaultHashBuilder::default(),
            shards: (0..N_SHARDS).map(|_| Mutex::default()).collect(),
            no_epoch: Arc::default(),
        };
        Self {
            state: Arc::new(state),
            sweeper: OnceLock::new(),
        }
    }

    /// Locks a channel's shard for something that will expire.
    fn lock(&self, channel: &str) -> MutexGuard<'_, Shard> {
        // Here and not in `new`, which may be called outside of a runtime.
        self.sweeper.get_or_init(|| {
            let state = Arc::downgrade(&self.state);
            tokio::spawn(sweep(state)).abort_handle()
        });
        self.state.lock(channel)
    }

    /// How many channels take memory at this moment.
    pub fn n_channels(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            let kept = shard.channels.len();
            let plain = shard.subscribed.iter();
            kept + plain
                .filter(|name| !shard.channels.contains_key(&***name))
                .count()
        };
        self.state.shards.iter().map(count).sum()
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryBroker {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.abort();
        }
    }
}

impl State {
    fn lock(&self, channel: &str) -> MutexGuard<'_, Shard> {
        // The upper bits: the map inside uses the lower ones of an equal hash.
        let hash = self.hasher.hash_one(channel) >> 32;
        let n = self.shards.len() as u64;
        let shard = usize::try_from(hash % n).expect("a remainder of a usize fits");
        self.shards[shard].lock()
    }

    fn handler(&self) -> Option<&Arc<dyn EventHandler>> {
        self.handler.get()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("running", &self.handler.get().is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn run(&self, handler: Arc<dyn EventHandler>) -> Result<()> {
        let set = self.state.handler.set(handler);
        set.map_err(|_| Error::Invalid("the broker runs already".into()))
    }

    async fn subscribe(&self, channel: &str) -> Result<()> {
        let mut shard = self.state.lock(channel);
        shard
            .subscribed
            .get_or_insert_with(channel, |name| name.into());
        Ok(())
    }

    async fn unsubscribe(&self, channel: &str) -> Result<()> {
        let subscribed = &mut self.state.lock(channel).subscribed;
        subscribed.remove(channel);
        // Far below the size at which it would grow again.
        if subscribed.capacity() > 64 && subscribed.capacity() > 8 * subscribed.len() {
            subscribed.shrink_to(2 * subscribed.len());
        }
        Ok(())
    }

    async fn publish(&self, channel: &str, request: PublishRequest) -> Result<Published> {
        if request.history.is_none() && request.idempotency_key.is_none() {
            if let Some(handler) = self.state.handler() {
                let shard = self.state.lock(channel);
                if shard.subscribed.contains(channel) {
                    let publication = request.into_publication(unix_millis());
                    handler.publication(channel, &self.state.no_epoch, publication);
                }
            }
            return Ok(Published {
                position: None,
                suppressed: false,
            });
        }

        let now = Instant::now().into_std();
        let mut shard = self.lock(channel);
        let subscribed = shard.subscribed.contains(channel);
        let entry = shard.channels.entry_ref(channel).or_default();
        let idempotency_key = request.idempotency_key.clone();
        if let Some(key) = &idempotency_key
            && let Some(position) = entry.idempotency.get(key, now)
        {
            return Ok(Published {
                position,
                suppressed: true,
            });
        }
        let position = if let Some(policy) = request.history {
            let history = entry.history_mut(policy.meta_ttl, now);
            if history.is_stale(request.version, &request.version_epoch) {
                return Ok(Published {
                    position: Some(history.position().clone()),
                    suppressed: true,
                });
            }
            if request.version > 0 {
                history.set_version(request.version, &request.version_epoch);
            }
            let mut publication = request.into_publication(unix_millis());
            publication.offset = history.append(publication.clone(), policy, now);
            let position = history.position().clone();
            if subscribed && let Some(handler) = self.state.handler() {
                handler.publication(channel, &position.epoch, publication);
            }
            Some(position)
        } else {
            if subscribed && let Some(handler) = self.state.handler() {
                let publication = request.into_publication(unix_millis());
                handler.publication(channel, &self.state.no_epoch, publication);
            }
            None
        };
        if let Some(key) = idempotency_key {
            entry.idempotency.insert(key, position.clone(), now);
        }
        Ok(Published {
            position,
            suppressed: false,
        })
    }

    async fn publish_at(
        &self,
        channel: &str,
        position: &Position,
        request: PublishRequest,
    ) -> Result<PublishedAt> {
        let policy = check_publish_at(position, &request)?;
        let now = Instant::now().into_std();
        let mut shard = self.lock(channel);
        let subscribed = shard.subscribed.contains(channel);
        let entry = shard.channels.entry_ref(channel).or_default();
        entry.expire_history(now);
        let history = match entry.history.as_deref_mut() {
            Some(history) if history.position().epoch == position.epoch => history,
            _ if position.offset == 1 => {
                let start = Position {
                    epoch: Arc::clone(&position.epoch),
                    offset: 0,
                };
                entry.restart_history(start, policy.meta_ttl, now)
            }
            _ => return Ok(PublishedAt::Gap { top: 0 }),
        };
        let place = history.place(position);
        if place == PublishedAt::Appended {
            let mut publication = request.into_publication(unix_millis());
            publication.offset = history.append(publication.clone(), policy, now);
            let epoch = Arc::clone(&history.position().epoch);
            if subscribed && let Some(handler) = self.state.handler() {
                handler.publication(channel, &epoch, publication);
            }
        }
        Ok(place)
    }

    async fn anchor(
        &self,
        channel: &str,
        position: &Position,
        meta_ttl: Duration,
    ) -> Result<Position> {
        check_position(position)?;
        let now = Instant::now().into_std();
        let mut shard = self.lock(channel);
        let entry = shard.channels.entry_ref(channel).or_default();
        entry.expire_history(now);
        let history = match entry.history.as_deref_mut() {
            Some(history) if history.position().epoch == position.epoch => {
                history.touch(meta_ttl, now);
                history
            }
            _ => entry.restart_history(position.clone(), meta_ttl, now),
        };
        Ok(history.position().clone())
    }

    async fn history(&self, channel: &str, request: HistoryRequest) -> Result<History> {
        let now = Instant::now().into_std();
        let mut shard = self.lock(channel);
        let entry = shard.channels.entry_ref(channel).or_default();
        let history = entry.history_mut(request.meta_ttl, now);
        history.touch(request.meta_ttl, now);
        Ok(History {
            publications: history.read(&request),
            position: history.position().clone(),
        })
    }

    async fn positions(&self, channels: &[Arc<str>]) -> Result<Vec<Option<Position>>> {
        let now = Instant::now().into_std();
        let position = |channel: &Arc<str>| {
            let mut shard = self.state.lock(channel);
            let history = shard.channels.get_mut(&**channel)?.history.as_deref_mut()?;
            history.expire(now).then(|| history.position().clone())
        };
        Ok(channels.iter().map(position).collect())
    }

    async fn remove_history(&self, channel: &str) -> Result<()> {
        let mut shard = self.state.lock(channel);
        if let Some(history) = shard
            .channels
            .get_mut(channel)
            .and_then(|c| c.history.as_mut())
        {
            history.clear();
        }
        Ok(())
    }

    async fn publish_membership(
        &self,
        channel: &str,
        joined: bool,
        info: &ClientInfo,
    ) -> Result<()> {
        if let Some(handler) = self.state.handler() {
            let shard = self.state.lock(channel);
            if shard.subscribed.contains(channel) {
                handler.membership(channel, joined, info.clone());
            }
        }
        Ok(())
    }

    async fn add_presence(&self, channel: &str, info: &ClientInfo, ttl: Duration) -> Result<()> {
        let now = Instant::now().into_std();
        let mut shard = self.lock(channel);
        let entry = shard.channels.entry_ref(channel).or_default();
        entry.presence.add(info, now, ttl);
        Ok(())
    }

    async fn remove_presence(&self, channel: &str, client: &str, _user: &str) -> Result<()> {
        let mut shard = self.state.lock(channel);
        if let Some(entry) = shard.channels.get_mut(channel) {
            entry.presence.remove(client);
            if entry.is_idle() {
                shard.channels.remove(channel);
            }
        }
        Ok(())
    }

    async fn presence(&self, channel: &str) -> Result<Vec<ClientInfo>> {
        let now = Instant::now().into_std();
        let shard = self.state.lock(channel);
        let presence = shard.channels.get(channel).map(|c| &c.presence);
        Ok(presence.map_or_else(Vec::new, |p| p.clients(now).cloned().collect()))
    }

    async fn presence_stats(&self, channel: &str) -> Result<PresenceStats> {
        let now = Instant::now().into_std();
        let shard = self.state.lock(channel);
        let presence = shard.channels.get(channel).map(|c| &c.presence);
        Ok(presence.map_or_else(PresenceStats::default, |p| p.stats(now)))
    }

    async fn publish_control(&self, _node: Option<&str>, message: Bytes) -> Result<()> {
        if let Some(handler) = self.state.handler() {
            handler.control(message);
        }
        Ok(())
    }

    fn is_available(&self) -> bool {
        true
    }
}

impl Channel {
    /// The channel's history; a new one if there is none or its time is over.
    fn history_mut(&mut self, meta_ttl: Duration, now: std::time::Instant) -> &mut ChannelHistory {
        self.expire_history(now);
        self.history.get_or_insert_with(|| {
            let start = Position {
                epoch: new_epoch(),
                offset: 0,
            };
            Box::new(ChannelHistory::new(start, meta_ttl, now))
        })
    }

    fn restart_history(
        &mut self,
        position: Position,
        meta_ttl: Duration,
        now: std::time::Instant,
    ) -> &mut ChannelHistory {
        let history = ChannelHistory::new(position, meta_ttl, now);
        self.history.insert(Box::new(history))
    }
}

/// Checks what [`Broker::publish_at`] demands of its arguments.
pub(crate) fn check_publish_at(
    position: &Position,
    request: &PublishRequest,
) -> Result<crate::HistoryPolicy> {
    check_position(position)?;
    if position.offset == 0 {
        return Err(Error::Invalid("the first offset of a log is 1".into()));
    }
    let no_history = || Error::Invalid("publish_at needs a history policy".into());
    request.history.ok_or_else(no_history)
}

/// Checks a position that comes from a caller's log.
pub(crate) fn check_position(position: &Position) -> Result<()> {
    if position.epoch.is_empty() || position.epoch.len() > 255 || position.epoch.contains('\n') {
        let text = "a log's epoch must be one line of 1 to 255 bytes";
        return Err(Error::Invalid(text.into()));
    }
    if position.offset > MAX_OFFSET {
        return Err(Error::Invalid(format!(
            "offset {} is too large",
            position.offset
        )));
    }
    Ok(())
}

/// The time that publications carry.
pub(crate) fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Gives back the memory of what expired, a few shards at a time.
async fn sweep(state: Weak<State>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = 0;
    loop {
        ticks.tick().await;
        let Some(state) = state.upgrade() else { return };
        for _ in 0..SWEEP_SHARDS {
            let now = Instant::now().into_std();
            let mut shard = state.shards[next % state.shards.len()].lock();
            let channels = &mut shard.channels;
            channels.retain(|_, channel| {
                channel.expire(now);
                !channel.is_idle()
            });
            if channels.capacity() > 4 * channels.len() {
                channels.shrink_to_fit();
            }
            next += 1;
        }
    }
}
