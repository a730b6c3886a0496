//! The connections that listen to one channel: compact to walk, quick to change.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::connection::Connection;

/// Below this, looking through the list is quicker than a map, and costs nothing.
const INDEX_FROM: usize = 64;

/// One connection's subscription, as the hub sees it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Where its frames go.
    pub(crate) connection: Arc<Connection>,
    /// Publications up to this offset it has already (they were in the subscribe
    /// reply).
    pub(crate) after: u64,
    /// It relies on getting every publication: a hole ends the subscription.
    pub(crate) positioned: bool,
    /// It wants to hear of joins and leaves.
    pub(crate) join_leave: bool,
}

/// See the module. Plain: the lock belongs to the channel.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    list: Vec<Listener>,
    /// Place in the list by the connection's address, once the list is long.
    index: Option<Box<HashMap<usize, u32>>>,
}

fn key(connection: &Arc<Connection>) -> usize {
    Arc::as_ptr(connection).addr()
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a process has fewer than 2^32 connections")
}

impl Listeners {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them, in no particular order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Listener> {
        self.list.iter()
    }

    /// Adds a connection that is not there yet.
    pub(crate) fn add(&mut self, listener: Listener) {
        if self.list.len() + 1 == INDEX_FROM {
            let places = self.list.iter().enumerate();
            let index = places.map(|(at, listener)| (key(&listener.connection), place(at)));
            self.index = Some(Box::new(index.collect()));
        }
        if let Some(index) = &mut self.index {
            index.insert(key(&listener.connection), place(self.list.len()));
        }
        if self.list.is_empty() {
            // Many channels have one, for which the least that a list grows to is too much.
            self.list.reserve_exact(1);
        }
        self.list.push(listener);
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, connection: &Arc<Connection>) -> Option<Listener> {
        let at = match &mut self.index {
            Some(index) => index.remove(&key(connection))? as usize,
            None => self
                .list
                .iter()
                .position(|other| Arc::ptr_eq(&other.connection, connection))?,
        };
        let removed = self.list.swap_remove(at);
        if let (Some(index), Some(moved)) = (&mut self.index, self.list.get(at)) {
            index.insert(key(&moved.connection), place(at));
        }
        if self.list.len() < INDEX_FROM / 2 {
            self.index = None;
        }
        if self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        Some(removed)
    }

    /// Removes all that match, and returns them.
    pub(crate) fn remove_where(&mut self, matches: impl Fn(&Listener) -> bool) -> Vec<Listener> {
        let matching: Vec<_> = self
            .list
            .iter()
            .filter(|one| matches(one))
            .cloned()
            .collect();
        for listener in &matching {
            self.remove(&listener.connection);
        }
        matching
    }
}
