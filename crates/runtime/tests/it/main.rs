//! What needs a process of its own: the subscriber of logs and traces is global.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that it did not expect"
)]

mod traces;
