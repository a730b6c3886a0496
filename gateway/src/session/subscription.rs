//! What a session keeps of its subscriptions.

use std::sync::Arc;

use bytes::Bytes;

use crate::hub::Channel;

/// Who made a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client subscribed.
    #[default]
    Client,
    /// The connection token names the channel.
    Token,
    /// The server, by another way: personal channel, server API, or a channel that
    /// the client named in `connect`.
    Server,
}

impl Origin {
    /// The server made it: the client cannot end it, and it comes back only with
    /// the connection.
    pub(super) fn is_server_side(self) -> bool {
        self != Self::Client
    }
}

/// One subscription. Small: a node has millions.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: Arc<Channel>,
    /// Unix seconds; 0: never.
    pub(super) expire_at: i64,
    /// Shown to others in this channel.
    pub(super) chan_info: Option<Box<Bytes>>,
    pub(super) origin: Origin,
    /// Presence is kept.
    pub(super) presence: bool,
    /// Others are told of its beginning and end.
    pub(super) announced: bool,
}

/// All of a session's, in a list: most have a handful, at most `channel_limit`.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<Subscription>,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Subscription> {
        self.list.iter()
    }

    pub(super) fn get(&self, channel: &str) -> Option<&Subscription> {
        self.list
            .iter()
            .find(|one| **one.channel.name() == *channel)
    }

    pub(super) fn get_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.list
            .iter_mut()
            .find(|one| **one.channel.name() == *channel)
    }

    pub(super) fn contains(&self, channel: &str) -> bool {
        self.get(channel).is_some()
    }

    pub(super) fn add(&mut self, subscription: Subscription) {
        if self.list.is_empty() {
            // Most have one, for which the least that a list grows to is too much.
            self.list.reserve_exact(1);
        }
        self.list.push(subscription);
    }

    pub(super) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        let at = self
            .list
            .iter()
            .position(|one| **one.channel.name() == *channel)?;
        Some(self.list.swap_remove(at))
    }

    pub(super) fn take_all(&mut self) -> Vec<Subscription> {
        std::mem::take(&mut self.list)
    }

    /// Channels whose subscription expired at or before `unix` seconds.
    pub(super) fn expired(&self, unix: i64) -> Vec<Arc<str>> {
        let expired = |one: &&Subscription| one.expire_at != 0 && one.expire_at <= unix;
        self.list
            .iter()
            .filter(expired)
            .map(|one| Arc::clone(one.channel.name()))
            .collect()
    }

    /// When the next one expires.
    pub(super) fn next_expiry(&self) -> Option<i64> {
        self.list
            .iter()
            .map(|one| one.expire_at)
            .filter(|at| *at != 0)
            .min()
    }
}
