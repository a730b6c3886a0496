//! The engine that carries a service's events to gateways, as configured.

use std::sync::Arc;

use broker::{Broker, MemoryBroker, RedisBroker};
use runtime::config::Problem;
use serde::{Deserialize, Serialize};

/// Section `engine`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineConfig {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: EngineType,
    /// For `type = "redis"`.
    pub redis: broker::RedisConfig,
}

/// Values of `engine.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineType {
    /// Within this process: no gateway hears of anything. For trying the service
    /// alone.
    Memory,
    /// Redis or Valkey.
    #[default]
    Redis,
}

impl EngineConfig {
    /// The broker. Call it inside the Tokio runtime.
    ///
    /// # Errors
    /// The configuration makes no sense.
    pub fn broker(&self) -> Result<Arc<dyn Broker>, broker::Error> {
        Ok(match self.kind {
            EngineType::Memory => Arc::new(MemoryBroker::new()),
            EngineType::Redis => Arc::new(RedisBroker::new(self.redis.clone())?),
        })
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        if self.kind != EngineType::Redis {
            return None;
        }
        let error = self.redis.check().err()?;
        Some(Problem::new("engine.redis", error.to_string()))
    }
}
