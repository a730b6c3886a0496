//! Notifications and each user's inbox, as a gRPC service.
//!
//! Every inbox has a log of events in the database; what changes it is stored
//! there first and published to the channel `inbox:#<user>` afterwards, by
//! `journal`. Counters are absolute and versioned by the log's offset.

pub mod config;
pub mod error;
pub mod event;
pub mod grpc;
pub mod inbox;
pub mod inboxes;
pub mod notification;
pub mod notifications;
mod retention;
pub mod service;
pub mod store;
pub mod user;

pub use self::config::Config;
pub use self::service::{Services, Surroundings, build};
