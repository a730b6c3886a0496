//! The broker of many nodes, over one Redis (or Valkey).

mod config;

pub use self::config::RedisConfig;
