//! Defines what a log is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use broker::Position;
use bytes::Bytes;

/// An event to be appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// The payload, published as it is.
    pub data: Bytes,
    /// Key-value pairs for filters.
    pub tags: BTreeMap<String, String>,
    /// The user whose subscriptions to the channel end with this event.
    pub ends_user: Option<String>,
    /// The trace that it belongs to, as a `traceparent`; `None`: the one in which it
    /// is appended.
    pub traceparent: Option<Box<str>>,
}

impl NewEvent {
    /// An event without tags that ends nobody's subscription.
    #[must_use]
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// The same event, ending a user's subscriptions to the channel.
    #[must_use]
    pub fn ending(mut self, user: impl Into<String>) -> Self {
        self.ends_user = Some(user.into());
        self
    }
}

/// An event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1.
    pub offset: u64,
    /// The payload.
    pub data: Bytes,
    /// Key-value pairs for filters.
    pub tags: BTreeMap<String, String>,
    /// The user whose subscriptions to the channel end with this event.
    pub ends_user: Option<Arc<str>>,
    /// Unix time in milliseconds at which it was appended.
    pub time_ms: i64,
    /// The trace that it was appended in; not stored, so absent when it is read.
    pub traceparent: Option<Box<str>>,
}

/// Where a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The log's id: the channel's epoch.
    pub epoch: Arc<str>,
    /// Number of the newest event.
    pub top: u64,
    /// Everything up to here is known to have been published; may lag behind.
    pub published: u64,
}

impl LogState {
    /// The position of the newest event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            epoch: Arc::clone(&self.epoch),
            offset: self.top,
        }
    }
}

/// What an append did: the numbers hold once the transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The log's channel.
    pub channel: Arc<str>,
    /// The log's id.
    pub epoch: Arc<str>,
    /// The appended events with their numbers, in order; never empty.
    pub events: Vec<Event>,
}

impl Appended {
    /// The position of the last appended event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            epoch: Arc::clone(&self.epoch),
            offset: self.events.last().map_or(0, |event| event.offset),
        }
    }

    /// What [`NewEvent`]s became when the log's top went to `top`.
    pub(crate) fn numbered(
        channel: &str,
        epoch: String,
        top: u64,
        time_ms: i64,
        events: &[NewEvent],
    ) -> Self {
        let first = top.saturating_sub(events.len() as u64) + 1;
        let current: Option<Box<str>> = runtime::trace::current_traceparent().map(Into::into);
        let events = (first..).zip(events).map(|(offset, event)| Event {
            offset,
            data: event.data.clone(),
            tags: event.tags.clone(),
            ends_user: event.ends_user.as_deref().map(Arc::from),
            time_ms,
            traceparent: event.traceparent.clone().or_else(|| current.clone()),
        });
        Self {
            channel: channel.into(),
            epoch: epoch.into(),
            events: events.collect(),
        }
    }
}

/// Now, as Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
