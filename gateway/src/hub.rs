//! Who is here and who listens to what, on this node. Synchronous: nothing in
//! here waits, does I/O other than a non-blocking write, or calls the broker.

mod block;
pub(crate) mod channel;
mod listeners;

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;
use uuid::Uuid;

pub(crate) use self::channel::{Arrival, Channel, Delivered};
pub(crate) use self::listeners::Listener;
use crate::connection::{Connection, Overflow};
use crate::metrics::Metrics;

/// Locks per registry: enough that two threads seldom want the same one.
const SHARDS: usize = 128;

type ByName<T> = HashMap<Arc<str>, T>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    hasher: DefaultHashBuilder,
    channels: Box<[Mutex<ByName<Arc<Channel>>>]>,
    users: Box<[Mutex<ByName<Connections>>]>,
    metrics: Arc<Metrics>,
}

/// A user's connections. Most have one; the anonymous user may have all.
#[derive(Debug)]
enum Connections {
    One(Arc<Connection>),
    Many(Box<HashMap<Uuid, Arc<Connection>>>),
}

impl Hub {
    /// An empty hub.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            channels: (0..SHARDS).map(|_| Mutex::default()).collect(),
            users: (0..SHARDS).map(|_| Mutex::default()).collect(),
            metrics,
        }
    }

    /// A number below `n` for a name: always the same on this node.
    pub(crate) fn stripe(&self, name: &str, n: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any part of the hash will do"
        )]
        let hash = self.hasher.hash_one(name) as usize;
        hash % n
    }

    fn channel_shard(&self, name: &str) -> &Mutex<ByName<Arc<Channel>>> {
        &self.channels[self.stripe(name, SHARDS)]
    }

    fn user_shard(&self, user: &str) -> &Mutex<ByName<Connections>> {
        &self.users[self.stripe(user, SHARDS)]
    }

    /// The channel, if anybody on this node holds it.
    pub(crate) fn channel(&self, name: &str) -> Option<Arc<Channel>> {
        self.channel_shard(name).lock().get(name).cloned()
    }

    /// Holds a channel that the broker delivers already; `None`: it does not.
    pub(crate) fn enter_subscribed(&self, name: &str) -> Option<Arc<Channel>> {
        let channel = self.channel(name)?;
        match channel.enter() {
            Some(true) => Some(channel),
            Some(false) => {
                channel.leave();
                None
            }
            None => None,
        }
    }

    /// Holds a channel, made if need be, and says whether the broker delivers it.
    pub(crate) fn enter(&self, name: &str, overflow: Overflow) -> (Arc<Channel>, bool) {
        let mut shard = self.channel_shard(name).lock();
        if let Some(channel) = shard.get(name)
            && let Some(subscribed) = channel.enter()
        {
            return (Arc::clone(channel), subscribed);
        }
        let name: Arc<str> = name.into();
        let channel = Arc::new(Channel::new(
            Arc::clone(&name),
            overflow,
            Arc::clone(&self.metrics),
        ));
        channel.enter();
        shard.insert(name, Arc::clone(&channel));
        self.metrics.channels.inc();
        (channel, false)
    }

    /// Removes a channel that nobody holds; `true`: it was removed.
    pub(crate) fn remove_if_unused(&self, channel: &Arc<Channel>) -> bool {
        let mut shard = self.channel_shard(channel.name()).lock();
        let is_current = shard
            .get(channel.name())
            .is_some_and(|one| Arc::ptr_eq(one, channel));
        if !is_current || !channel.remove_if_unused() {
            return false;
        }
        shard.remove(channel.name());
        if shard.len() < shard.capacity() / 8 {
            shard.shrink_to_fit();
        }
        self.metrics.channels.dec();
        true
    }

    /// All channels on this node.
    pub(crate) fn channels(&self) -> Vec<Arc<Channel>> {
        let shards = self.channels.iter();
        shards
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Registers a connected client.
    pub(crate) fn add(&self, user: &Arc<str>, connection: &Arc<Connection>) {
        let mut shard = self.user_shard(user).lock();
        match shard.get_mut(user) {
            None => {
                shard.insert(Arc::clone(user), Connections::One(Arc::clone(connection)));
            }
            Some(Connections::Many(many)) => {
                many.insert(connection.id(), Arc::clone(connection));
            }
            Some(connections) => {
                if let Connections::One(first) = connections {
                    let both = [Arc::clone(first), Arc::clone(connection)];
                    let both = both.into_iter().map(|one| (one.id(), one));
                    *connections = Connections::Many(Box::new(both.collect()));
                }
            }
        }
    }

    /// Forgets a client.
    pub(crate) fn remove(&self, user: &str, connection: &Arc<Connection>) {
        let mut shard = self.user_shard(user).lock();
        let empty = match shard.get_mut(user) {
            None => false,
            Some(Connections::One(one)) => Arc::ptr_eq(one, connection),
            Some(Connections::Many(many)) => {
                many.remove(&connection.id());
                if many.len() < many.capacity() / 8 {
                    many.shrink_to_fit();
                }
                many.is_empty()
            }
        };
        if empty {
            shard.remove(user);
            if shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    /// A user's connections on this node.
    pub(crate) fn user(&self, user: &str) -> Vec<Arc<Connection>> {
        match self.user_shard(user).lock().get(user) {
            None => Vec::new(),
            Some(Connections::One(one)) => vec![Arc::clone(one)],
            Some(Connections::Many(many)) => many.values().cloned().collect(),
        }
    }

    /// How many connections a user has on this node.
    pub(crate) fn user_connections(&self, user: &str) -> usize {
        match self.user_shard(user).lock().get(user) {
            None => 0,
            Some(Connections::One(_)) => 1,
            Some(Connections::Many(many)) => many.len(),
        }
    }

    /// How many users have a connection on this node.
    pub(crate) fn users(&self) -> usize {
        self.users.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Every connection that is registered.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        let mut all = Vec::new();
        for shard in &self.users {
            for connections in shard.lock().values() {
                match connections {
                    Connections::One(one) => all.push(Arc::clone(one)),
                    Connections::Many(many) => all.extend(many.values().cloned()),
                }
            }
        }
        all
    }
}
