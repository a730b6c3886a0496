//! What tests of several crates share: a private Redis, PostgreSQL databases, and
//! waiting for a condition or for progress.

mod eventually;
mod postgres;
mod progress;
mod redis;

pub use self::eventually::eventually;
pub use self::postgres::{PostgresServer, TestDatabase};
pub use self::progress::Progress;
pub use self::redis::RedisServer;
