//! The bounded history of one channel: a plain structure.
//!
//! It has no lock and no clock: its owner has the lock, and time comes in as a
//! parameter. What it must never do is to give two publications one position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{DEFAULT_META_TTL, HistoryPolicy, HistoryRequest, Position, Publication, PublishedAt};

/// The newest publications of a channel, and its position.
#[derive(Debug)]
pub struct ChannelHistory {
    position: Position,
    /// Consecutive offsets; the last one is the position's.
    publications: VecDeque<Publication>,
    publications_until: Instant,
    position_until: Instant,
    version: u64,
    version_epoch: String,
}

impl ChannelHistory {
    /// An empty history that continues after `position`.
    pub fn new(position: Position, meta_ttl: Duration, now: Instant) -> Self {
        let mut history = Self {
            position,
            publications: VecDeque::new(),
            publications_until: now,
            position_until: now,
            version: 0,
            version_epoch: String::new(),
        };
        history.touch(meta_ttl, now);
        history
    }

    /// The position of the newest publication that was ever appended.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Keeps the position for at least `meta_ttl` from now.
    pub fn touch(&mut self, meta_ttl: Duration, now: Instant) {
        let meta_ttl = if meta_ttl.is_zero() {
            DEFAULT_META_TTL
        } else {
            meta_ttl
        };
        self.position_until = self.position_until.max(later(now, meta_ttl));
    }

    /// Forgets publications whose time is over. `false`: the position's is, too, so
    /// the whole history must be forgotten before it is used again.
    pub fn expire(&mut self, now: Instant) -> bool {
        if self.publications_until <= now {
            self.clear();
        }
        self.position_until > now
    }

    /// Whether a publication of this version comes too late. Version 0 never does.
    pub fn is_stale(&self, version: u64, version_epoch: &str) -> bool {
        version > 0 && version_epoch == self.version_epoch && version <= self.version
    }

    /// Remembers the version of what was just appended.
    pub fn set_version(&mut self, version: u64, version_epoch: &str) {
        self.version = version;
        if self.version_epoch != version_epoch {
            version_epoch.clone_into(&mut self.version_epoch);
        }
    }

    /// Appends a publication as the next one, gives it its offset and returns it.
    pub fn append(
        &mut self,
        mut publication: Publication,
        policy: HistoryPolicy,
        now: Instant,
    ) -> u64 {
        self.position.offset += 1;
        publication.offset = self.position.offset;
        let size = policy.size as usize;
        if size == 0 {
            self.clear();
        } else {
            while self.publications.len() >= size {
                self.publications.pop_front();
            }
            self.publications.push_back(publication);
        }
        self.publications_until = later(now, policy.ttl);
        self.touch(policy.meta_ttl.max(policy.ttl), now);
        self.position.offset
    }

    /// What would become of a publication at `position`, see
    /// [`Broker::publish_at`](crate::Broker::publish_at): only if `Appended`, it
    /// may be appended.
    pub fn place(&self, position: &Position) -> PublishedAt {
        if position.epoch != self.position.epoch {
            PublishedAt::Gap { top: 0 }
        } else if position.offset <= self.position.offset {
            PublishedAt::AlreadyThere
        } else if position.offset == self.position.offset + 1 {
            PublishedAt::Appended
        } else {
            PublishedAt::Gap {
                top: self.position.offset,
            }
        }
    }

    /// Reads the part asked for.
    pub fn read(&self, request: &HistoryRequest) -> Vec<Publication> {
        let limit = request.limit.map_or(usize::MAX, |limit| limit as usize);
        let first = self.publications.front().map_or(0, |p| p.offset);
        // How many of the kept ones have an offset up to the given one.
        let up_to = |offset: u64| {
            let n = (offset + 1).saturating_sub(first);
            usize::try_from(n)
                .unwrap_or(usize::MAX)
                .min(self.publications.len())
        };
        if request.reverse {
            let end = match request.since {
                None => self.publications.len(),
                Some(0) => 0,
                Some(offset) => up_to(offset - 1),
            };
            let kept = self.publications.range(..end).rev();
            kept.take(limit).cloned().collect()
        } else {
            let start = request
                .since
                .map_or(0, |offset| up_to(offset.min(u64::MAX - 1)));
            let kept = self.publications.range(start..);
            kept.take(limit).cloned().collect()
        }
    }

    /// Removes the publications; the position stays.
    pub fn clear(&mut self) {
        // Gives the memory back: many channels are busy once and then silent.
        self.publications = VecDeque::new();
    }

    /// How many publications are kept.
    pub fn len(&self) -> usize {
        self.publications.len()
    }

    /// Whether no publication is kept.
    pub fn is_empty(&self) -> bool {
        self.publications.is_empty()
    }
}

/// A new, random epoch: 48 bits are plenty to tell apart the lives of one channel.
pub(crate) fn new_epoch() -> Arc<str> {
    let bits = rand::random::<u64>() >> 16;
    format!("{bits:012x}").into()
}

/// `now + duration`, far away instead of overflowing.
pub(crate) fn later(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + duration.min(FAR)
}

#[cfg(test)]
mod tests;
