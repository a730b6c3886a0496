//! Calls from clients to gRPC services, by descriptor: a method's name and a JSON
//! (or Protobuf) payload become a gRPC call, and its answer or status becomes a
//! payload or an error code. There is no code for any particular method, so any
//! service whose descriptors are known can be called.
//!
//! `docs/rpc.md` tells what clients see.

mod codec;
mod error;
mod payload;
mod services;

pub use self::error::{CallError, Error};
pub use self::payload::PayloadFormat;
pub use self::services::{Call, Caller, Client, Service, Services};
