//! What tests of several crates share: a private Redis, PostgreSQL databases, and
//! waiting for a condition.

mod eventually;
mod postgres;
mod redis;

pub use self::eventually::eventually;
pub use self::postgres::{PostgresServer, TestDatabase};
pub use self::redis::RedisServer;
