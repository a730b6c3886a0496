//! Rooms and messages, as a gRPC service.
//!
//! Every room has a log of events in the database; what changes it is stored there
//! first and published to the channel `room:<id>` afterwards, by `journal`. What
//! concerns somebody who may not be looking (a mention, a direct message) is put
//! into an outbox with it, and handed to notify-service from there.

pub mod announcer;
pub mod config;
pub mod error;
pub mod event;
pub mod grpc;
pub mod message;
pub mod messages;
mod metrics;
pub mod notifier;
mod outbox;
pub mod room;
pub mod rooms;
mod sends;
pub mod service;
pub mod store;
mod throttle;
pub mod user;

pub use self::config::Config;
pub use self::service::{Services, Surroundings, build};
