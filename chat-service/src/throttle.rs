//! How often somebody may be said to be typing. No clock of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::room::RoomId;
use crate::user::UserId;

const INTERVAL: Duration = Duration::from_secs(2);
/// Pairs remembered; beyond it nobody else is let through until some are old.
const MAX_PAIRS: usize = 50_000;

/// When which user last typed in which room.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: HashMap<(RoomId, UserId), Instant>,
}

impl Throttle {
    /// Whether the user was let through less than two seconds ago.
    pub(crate) fn is_closed(&self, room: &RoomId, user: &UserId, now: Instant) -> bool {
        let last = self.last.get(&(room.clone(), user.clone()));
        last.is_some_and(|last| now.duration_since(*last) < INTERVAL)
    }

    /// Lets the user through, unless another call just did.
    pub(crate) fn pass(&mut self, room: &RoomId, user: &UserId, now: Instant) -> bool {
        if self.is_closed(room, user, now) {
            return false;
        }
        if self.last.len() >= MAX_PAIRS {
            self.last
                .retain(|_, last| now.duration_since(*last) < INTERVAL);
        }
        if self.last.len() >= MAX_PAIRS {
            return false;
        }
        self.last.insert((room.clone(), user.clone()), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_in_two_seconds_per_room_and_user() {
        let mut throttle = Throttle::default();
        let (a, b) = (RoomId::parse("a").unwrap(), RoomId::parse("b").unwrap());
        let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
        let now = Instant::now();
        assert!(throttle.pass(&a, &ann, now));
        assert!(!throttle.pass(&a, &ann, now + Duration::from_millis(1_999)));
        assert!(throttle.pass(&b, &ann, now));
        assert!(throttle.pass(&a, &bob, now));
        assert!(throttle.pass(&a, &ann, now + INTERVAL));
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        let room = RoomId::parse("a").unwrap();
        let user = |n: usize| UserId::parse(&format!("u{n}")).unwrap();
        let now = Instant::now();
        let passed = (0..MAX_PAIRS + 10)
            .filter(|n| throttle.pass(&room, &user(*n), now))
            .count();
        assert_eq!(passed, MAX_PAIRS);
        assert!(throttle.pass(&room, &user(MAX_PAIRS), now + INTERVAL));
        assert_eq!(throttle.last.len(), 1);
    }
}
