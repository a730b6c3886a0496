//! A load generator for servers that deliver messages over WebSocket, and the ladder of
//! measurements that is built on it.
//!
//! `fanfare-bench run` runs one scenario against one server and prints what it measured;
//! `fanfare-bench ladder` starts servers, has each scenario run against each of them in turn,
//! and writes the comparison.
//!
//! The generator is one thread ([`event_loop`]) that knows nothing of protocols; a [`dialect`]
//! knows one, and a [`scenario`] knows what is done and measured. What is delivered is counted
//! exactly, by the [`ledger`].

pub mod run;
pub mod scenario;

pub mod fleet;
pub mod traffic;

pub mod dialect;
pub mod event_loop;
pub mod frame;
pub mod payload;
mod socket;
pub mod target;
mod upgrade;

pub mod batches;
pub mod clock;
pub mod latency;
pub mod ledger;
pub mod outcome;
pub mod process;
pub mod window;

pub mod ladder;
pub mod report;
pub mod server;
