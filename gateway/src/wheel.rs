//! Timers of a reactor's connections in one wheel: pings, pong deadlines, expiry.
//!
//! A timer per connection would cost each of them memory and a heap operation;
//! here it is one weak reference in a slot, and one task for all.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Millis};
use crate::connection::Connection;

/// Time per slot, in milliseconds: how late a timer may fire.
const SLOT: Millis = 100;
/// One turn is 51.2 s; what lies further ahead is looked at once per turn.
const SLOTS: usize = 512;

/// See the module.
#[derive(Debug)]
pub(crate) struct Wheel {
    clock: Clock,
    slots: Box<[Mutex<Vec<Weak<Connection>>>]>,
}

impl Wheel {
    /// An empty wheel.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Has [`Connection::tick`] called at or soon after `at`, or earlier if it was
    /// added for an earlier time.
    pub(crate) fn add(&self, connection: &Arc<Connection>, at: Millis) {
        let now = self.clock.now();
        let ahead = (at.saturating_sub(now) / SLOT + 1).min(SLOTS as u64 - 1);
        let slot = now / SLOT + ahead;
        if connection.enter_slot(slot) {
            self.slot(slot).lock().push(Arc::downgrade(connection));
        }
    }

    fn slot(&self, number: u64) -> &Mutex<Vec<Weak<Connection>>> {
        #[expect(clippy::cast_possible_truncation, reason = "less than SLOTS")]
        let index = (number % SLOTS as u64) as usize;
        &self.slots[index]
    }

    /// Turns until cancelled.
    pub(crate) async fn run(&self, cancelled: CancellationToken) {
        let mut interval = tokio::time::interval(Duration::from_millis(SLOT));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut done = self.clock.now() / SLOT;
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = cancelled.cancelled() => return,
            }
            let current = self.clock.now() / SLOT;
            // After a long pause one turn visits every slot there is.
            let first = done.max(current.saturating_sub(SLOTS as u64 - 1)) + 1;
            for number in first..=current {
                self.turn(number);
            }
            done = done.max(current);
        }
    }

    fn turn(&self, number: u64) {
        let due = std::mem::take(&mut *self.slot(number).lock());
        let now = self.clock.now();
        for weak in due {
            if let Some(connection) = weak.upgrade()
                && connection.leave_slot(number)
                && let Some(at) = connection.tick(now)
            {
                self.add(&connection, at);
            }
        }
    }
}
