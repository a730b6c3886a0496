//! Calls as the gateway makes them, to real gRPC servers in the same process.

#![expect(
    clippy::unwrap_used,
    reason = "in a test's helpers too, what cannot be unwrapped has failed"
)]

mod answers;
mod calls;
mod failures;
mod payloads;
mod support;
