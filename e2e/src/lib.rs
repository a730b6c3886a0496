//! The system as its operators and users meet it: the real binaries as processes, a
//! private Redis and PostgreSQL, the official SDKs as clients.
//!
//! A [`Cluster`] is all servers of a test, and can kill and restart each of them. An
//! [`Sdk`] is one client, in a process of its own. The tests, in `tests/it`, tell the
//! stories.
//!
//! The binaries must have been built: `cargo build --workspace --bins`.

mod balancer;
pub mod binaries;
mod cluster;
pub mod http;
mod ports;
mod process;
mod sdk;
mod standalone;

pub use self::balancer::Balancer;
pub use self::cluster::{Cluster, Options};
pub use self::process::Process;
pub use self::sdk::{Event, RpcError, Sdk, SdkKind};
pub use self::standalone::Standalone;

use std::time::Duration;

/// How long anything may take that is bound to happen. Far more than it needs, so that a
/// busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(30);
