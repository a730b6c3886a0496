//! What the memory broker keeps of one channel beside whether it is listened to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use crate::history::{ChannelHistory, later};
use crate::{ClientInfo, IDEMPOTENCY_TTL, Position, PresenceStats};

/// One channel; when it is idle it is removed.
#[derive(Default)]
pub(super) struct Channel {
    pub(super) history: Option<Box<ChannelHistory>>,
    pub(super) idempotency: Idempotency,
    pub(super) presence: Presence,
}

impl Channel {
    pub(super) fn expire(&mut self, now: Instant) {
        self.expire_history(now);
        self.idempotency.expire(now);
        self.presence.expire(now);
    }

    pub(super) fn expire_history(&mut self, now: Instant) {
        if self.history.as_mut().is_some_and(|h| !h.expire(now)) {
            self.history = None;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.history.is_none() && self.idempotency.0.is_none() && self.presence.0.is_none()
    }
}

/// The idempotency keys of the last minutes, with what they led to.
///
/// Few channels have any, so it is one pointer when empty.
#[derive(Default)]
pub(super) struct Idempotency(Option<Box<Keys>>);

#[derive(Default)]
struct Keys {
    positions: HashMap<Arc<str>, Option<Position>>,
    /// Oldest first: all live equally long.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Idempotency {
    /// The position of the publication with this key, if it is remembered.
    pub(super) fn get(&mut self, key: &str, now: Instant) -> Option<Option<Position>> {
        self.expire(now);
        self.0.as_ref()?.positions.get(key).cloned()
    }

    pub(super) fn insert(&mut self, key: String, position: Option<Position>, now: Instant) {
        let key: Arc<str> = key.into();
        let keys = self.0.get_or_insert_default();
        keys.order
            .push_back((now + IDEMPOTENCY_TTL, Arc::clone(&key)));
        keys.positions.insert(key, position);
    }

    fn expire(&mut self, now: Instant) {
        let Some(keys) = &mut self.0 else { return };
        while let Some((_, key)) = keys.order.pop_front_if(|(until, _)| *until <= now) {
            keys.positions.remove(&key);
        }
        if keys.order.is_empty() {
            self.0 = None;
        }
    }
}

/// Who is present, and until when if not renewed. One pointer when nobody is.
#[derive(Default)]
pub(super) struct Presence(Option<Box<HashMap<String, Present>>>);

struct Present {
    info: ClientInfo,
    until: Instant,
}

impl Presence {
    pub(super) fn add(&mut self, info: &ClientInfo, now: Instant, ttl: Duration) {
        let clients = self.0.get_or_insert_default();
        let present = Present {
            info: info.clone(),
            until: later(now, ttl),
        };
        clients.insert(info.client.clone(), present);
    }

    pub(super) fn remove(&mut self, client: &str) {
        if let Some(clients) = &mut self.0 {
            clients.remove(client);
            if clients.is_empty() {
                self.0 = None;
            }
        }
    }

    pub(super) fn clients(&self, now: Instant) -> impl Iterator<Item = &ClientInfo> {
        let clients = self.0.iter().flat_map(|clients| clients.values());
        clients.filter(move |p| p.until > now).map(|p| &p.info)
    }

    pub(super) fn stats(&self, now: Instant) -> PresenceStats {
        let mut users = HashSet::new();
        let mut num_clients = 0;
        for info in self.clients(now) {
            num_clients += 1;
            users.insert(info.user.as_str());
        }
        PresenceStats {
            num_clients,
            num_users: u32::try_from(users.len()).unwrap_or(u32::MAX),
        }
    }

    fn expire(&mut self, now: Instant) {
        if let Some(clients) = &mut self.0 {
            clients.retain(|_, p| p.until > now);
            if clients.is_empty() {
                self.0 = None;
            }
        }
    }
}
