//! Who is here and who listens to what, on this node. Synchronous: nothing in
//! here waits, does I/O other than a non-blocking write, or calls the broker.

mod block;
pub(crate) mod channel;
mod fanout;
mod listeners;

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use parking_lot::Mutex;
use uuid::Uuid;

use self::channel::Common;
pub(crate) use self::channel::{Arrival, Channel, Delivered};
pub(crate) use self::fanout::Helpers;
pub(crate) use self::listeners::Listener;
use crate::connection::{Connection, Overflow};
use crate::metrics::Metrics;

/// Locks per registry: enough that two threads seldom want the same one.
const SHARDS: usize = 128;

/// See the module. The maps keep no names: what they hold knows its own.
#[derive(Debug)]
pub(crate) struct Hub {
    hasher: DefaultHashBuilder,
    channels: Box<[Mutex<HashTable<Arc<Channel>>>]>,
    users: Box<[Mutex<HashTable<Connections>>]>,
    common: Arc<Common>,
}

/// A user's connections. Most have one; the anonymous user may have all.
#[derive(Debug)]
enum Connections {
    One(Arc<Connection>),
    Many(Box<Many>),
}

#[derive(Debug)]
struct Many {
    user: Arc<str>,
    by_id: HashMap<Uuid, Arc<Connection>>,
}

impl Connections {
    fn user(&self) -> &str {
        match self {
            Self::One(one) => one.user(),
            Self::Many(many) => &many.user,
        }
    }
}

impl Hub {
    /// An empty hub.
    ///
    /// `threads`: how many run [`Helpers::run`].
    pub(crate) fn new(metrics: Arc<Metrics>, threads: usize) -> Self {
        let helpers = Helpers::new(threads);
        Self {
            hasher: DefaultHashBuilder::default(),
            channels: (0..SHARDS).map(|_| Mutex::default()).collect(),
            users: (0..SHARDS).map(|_| Mutex::default()).collect(),
            common: Arc::new(Common { metrics, helpers }),
        }
    }

    /// Those who help with large channels.
    pub(crate) fn helpers(&self) -> &Helpers {
        &self.common.helpers
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// A number below `n` for a name: always the same on this node.
    pub(crate) fn stripe(&self, name: &str, n: usize) -> usize {
        part(self.hash(name), n)
    }

    /// The channel, if anybody on this node holds it.
    pub(crate) fn channel(&self, name: &str) -> Option<Arc<Channel>> {
        let hash = self.hash(name);
        let shard = self.channels[part(hash, SHARDS)].lock();
        shard.find(hash, |one| **one.name() == *name).cloned()
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
        let hash = self.hash(name);
        let mut shard = self.channels[part(hash, SHARDS)].lock();
        if let Some(channel) = shard.find(hash, |one| **one.name() == *name)
            && let Some(subscribed) = channel.enter()
        {
            return (Arc::clone(channel), subscribed);
        }
        let common = Arc::clone(&self.common);
        let channel = Arc::new(Channel::new(name.into(), overflow, common));
        channel.enter();
        // One of that name that is there still was removed by whoever held it last,
        // under this lock.
        shard.insert_unique(hash, Arc::clone(&channel), |one| self.hash(one.name()));
        self.common.metrics.channels.inc();
        (channel, false)
    }

    /// Removes a channel that nobody holds; `true`: it was removed.
    pub(crate) fn remove_if_unused(&self, channel: &Arc<Channel>) -> bool {
        let hash = self.hash(channel.name());
        let mut shard = self.channels[part(hash, SHARDS)].lock();
        let Ok(entry) = shard.find_entry(hash, |one| Arc::ptr_eq(one, channel)) else {
            return false;
        };
        if !channel.remove_if_unused() {
            return false;
        }
        entry.remove();
        if shard.len() < shard.capacity() / 8 {
            shard.shrink_to_fit(|one| self.hash(one.name()));
        }
        self.common.metrics.channels.dec();
        true
    }

    /// All channels on this node.
    pub(crate) fn channels(&self) -> Vec<Arc<Channel>> {
        let shards = self.channels.iter();
        shards
            .flat_map(|shard| shard.lock().iter().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Registers a connected client.
    pub(crate) fn add(&self, user: &Arc<str>, connection: &Arc<Connection>) {
        let hash = self.hash(user);
        let mut shard = self.users[part(hash, SHARDS)].lock();
        let entry = shard.entry(
            hash,
            |one| *one.user() == **user,
            |one| self.hash(one.user()),
        );
        let mut entry = match entry {
            Entry::Vacant(entry) => {
                entry.insert(Connections::One(Arc::clone(connection)));
                return;
            }
            Entry::Occupied(entry) => entry,
        };
        match entry.get_mut() {
            Connections::Many(many) => {
                many.by_id.insert(connection.id(), Arc::clone(connection));
            }
            one @ Connections::One(_) => {
                let many = Connections::Many(Box::new(Many {
                    user: Arc::clone(user),
                    by_id: HashMap::from([(connection.id(), Arc::clone(connection))]),
                }));
                let first = std::mem::replace(one, many);
                if let (Connections::One(first), Connections::Many(many)) = (first, one) {
                    many.by_id.insert(first.id(), first);
                }
            }
        }
    }

    /// Forgets a client.
    pub(crate) fn remove(&self, user: &str, connection: &Arc<Connection>) {
        let hash = self.hash(user);
        let mut shard = self.users[part(hash, SHARDS)].lock();
        let Ok(mut entry) = shard.find_entry(hash, |one| one.user() == user) else {
            return;
        };
        let empty = match entry.get_mut() {
            Connections::One(one) => Arc::ptr_eq(one, connection),
            Connections::Many(many) => {
                let by_id = &mut many.by_id;
                by_id.remove(&connection.id());
                if by_id.len() < by_id.capacity() / 8 {
                    by_id.shrink_to_fit();
                }
                by_id.is_empty()
            }
        };
        if empty {
            entry.remove();
            if shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit(|one| self.hash(one.user()));
            }
        }
    }

    fn with_user<T>(&self, user: &str, look: impl FnOnce(&Connections) -> T) -> Option<T> {
        let hash = self.hash(user);
        let shard = self.users[part(hash, SHARDS)].lock();
        shard.find(hash, |one| one.user() == user).map(look)
    }

    /// A user's connections on this node.
    pub(crate) fn user(&self, user: &str) -> Vec<Arc<Connection>> {
        let connections = self.with_user(user, |connections| match connections {
            Connections::One(one) => vec![Arc::clone(one)],
            Connections::Many(many) => many.by_id.values().cloned().collect(),
        });
        connections.unwrap_or_default()
    }

    /// How many connections a user has on this node.
    pub(crate) fn user_connections(&self, user: &str) -> usize {
        let count = self.with_user(user, |connections| match connections {
            Connections::One(_) => 1,
            Connections::Many(many) => many.by_id.len(),
        });
        count.unwrap_or(0)
    }

    /// How many users have a connection on this node.
    pub(crate) fn users(&self) -> usize {
        self.users.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Every connection that is registered.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        let mut all = Vec::new();
        for shard in &self.users {
            for connections in shard.lock().iter() {
                match connections {
                    Connections::One(one) => all.push(Arc::clone(one)),
                    Connections::Many(many) => all.extend(many.by_id.values().cloned()),
                }
            }
        }
        all
    }
}

/// Which of `n` parts a hash falls into. Not by its upper bits, which a table looks
/// at first.
fn part(hash: u64, n: usize) -> usize {
    (hash >> 24) as usize % n
}
