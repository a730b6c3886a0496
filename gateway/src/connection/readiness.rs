//! What is known of a connection's socket, and whether its task has to look.

use std::mem;

use crate::poller::Seat;

/// See the module. The event loop is edge-triggered: what it tells stays true until
/// somebody finds that it is not.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each of them changes by itself"
)]
pub(super) struct Readiness {
    readable: bool,
    writable: bool,
    /// The task has to work, or is at work. Else it rests until something is told.
    working: bool,
    /// The poller has been called, and has not come yet.
    called: bool,
}

impl Readiness {
    /// Of a new socket, whose task is at work.
    pub(super) fn new(readable: bool) -> Self {
        Self {
            readable,
            writable: true,
            working: true,
            called: false,
        }
    }

    /// The event loop tells something. `true`: the task has to work.
    pub(super) fn on_ready(&mut self, readable: bool, writable: bool) -> bool {
        self.readable |= readable;
        self.writable |= writable;
        // A task that rests has nothing to write.
        self.working |= readable;
        self.working
    }

    /// The poller has come.
    pub(super) fn on_call(&mut self) {
        self.called = false;
        self.working = true;
    }

    /// There is something to do for the task.
    pub(super) fn call(&mut self, seat: &Seat) {
        if !mem::replace(&mut self.called, true) {
            seat.call();
        }
    }

    /// Whether the poller has yet to come.
    #[cfg(test)]
    pub(super) fn is_called(&self) -> bool {
        self.called
    }

    /// The task rests, if there is nothing to read.
    pub(super) fn rest(&mut self) -> bool {
        self.working = self.readable;
        !self.working
    }

    /// Whether a read may bring something.
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// The same, of somebody who reads then, and says whether there may be
    /// [more](Self::readable).
    pub(super) fn take_readable(&mut self) -> bool {
        mem::take(&mut self.readable)
    }

    /// There may be more to read.
    pub(super) fn readable(&mut self) {
        self.readable = true;
    }

    /// Whether a write may be taken.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// The socket took nothing more.
    pub(super) fn not_writable(&mut self) {
        self.writable = false;
    }
}
