//! notify-service through its gRPC face, on PostgreSQL and on SQLite.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod binary;
mod faults;
mod inbox;
mod live;
mod notify;
mod support;
