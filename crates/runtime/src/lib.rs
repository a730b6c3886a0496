//! What every binary does at start and stop: read its configuration, set up
//! logs and traces, serve gRPC and the admin endpoints, and drain.
//!
//! It knows nothing of the domain: no channels, rooms or notifications.
//!
//! A `main` composed of it reads as a story: [`config::load`],
//! [`telemetry::init`], [`shutdown::Shutdown::listen`], build, serve, drain,
//! [`telemetry::Telemetry::shutdown`].

pub mod admin;
pub mod config;
pub mod grpc;
pub mod probe;
pub mod process;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
