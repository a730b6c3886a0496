//! notify-service through its gRPC face, on PostgreSQL and on SQLite.

mod binary;
mod faults;
mod inbox;
mod live;
mod notify;
mod support;
