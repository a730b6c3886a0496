//! A load generator for servers that deliver messages over WebSocket, and the ladder of
//! measurements that is built on it.
//!
//! `fanfare-bench run` runs one scenario against one server and prints what it measured;
//! `fanfare-bench ladder` starts servers, has each scenario run against each of them in turn,
//! and writes the comparison.

pub mod ladder;
pub mod report;
pub mod run;
pub mod server;
