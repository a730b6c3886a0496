//! The gateway's configuration. Where the thing is the same, keys, meaning and
//! defaults are Centrifugo's; `docs/configuration.md` describes every key.

mod channel;
mod client;
mod http;
mod service;
mod unsupported;
mod validate;

#[cfg(test)]
mod tests;

use std::time::Duration;

use runtime::config::{ConfigError, Flags, Problem, Schema, Timespan};
use runtime::telemetry::{LogConfig, OpenTelemetryConfig};
use serde::{Deserialize, Serialize};

pub use self::channel::{
    ChannelConfig, ChannelOptions, NamespaceConfig, OverflowPolicy, PublicationDataFormat,
    RecoveryMode, SubscriptionType,
};
pub use self::client::{ClientConfig, PersonalChannelConfig, SubscriptionTokenConfig, TokenConfig};
pub use self::http::{
    ErrorMode, HealthConfig, HttpApiConfig, HttpServerConfig, PrometheusConfig, TlsConfig,
    WebConfig, WebSocketConfig,
};
pub use self::service::ServiceConfig;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Listeners.
    pub http_server: HttpServerConfig,
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub opentelemetry: OpenTelemetryConfig,
    /// `/metrics`.
    pub prometheus: PrometheusConfig,
    /// `/health/live` and `/health/ready`.
    pub health: HealthConfig,
    /// Connections of clients.
    pub client: ClientConfig,
    /// What channels there are and who may do what in them.
    pub channel: ChannelConfig,
    /// What carries publications between nodes.
    pub engine: EngineConfig,
    /// Calls of clients.
    pub rpc: RpcConfig,
    /// The WebSocket endpoint.
    pub websocket: WebSocketConfig,
    /// The server API.
    pub http_api: HttpApiConfig,
    /// gRPC services behind the gateway.
    pub services: Vec<ServiceConfig>,
    /// The web page.
    pub web: WebConfig,
    /// What exists only for development.
    pub development: DevelopmentConfig,
    /// This node among others.
    pub node: NodeConfig,
    /// How the node leaves.
    pub shutdown: ShutdownConfig,
}

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
    /// One node by itself.
    #[default]
    Memory,
    /// Any number of nodes.
    Redis,
}

/// Section `rpc`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcConfig {
    /// A method that the gateway answers itself.
    pub ping: RpcPingConfig,
}

/// Section `rpc.ping`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcPingConfig {
    /// Whether there is such a method.
    pub enabled: bool,
    /// What it is called.
    pub method: String,
}

impl Default for RpcPingConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            method: "ping".to_owned(),
        }
    }
}

/// Section `development`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DevelopmentConfig {
    /// Anybody may sign in by a name alone: the gateway makes tokens for the web
    /// page. Never in production.
    pub enabled: bool,
}

/// Section `node`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// What it is called in `info`; empty: host name and port.
    pub name: String,
}

/// Section `shutdown`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownConfig {
    /// Within this time the node disconnects all clients and ends.
    pub timeout: Timespan,
    /// How long it is unready before it begins, so that balancers look elsewhere.
    /// Part of `timeout`.
    pub delay: Timespan,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            timeout: Timespan::from_secs(30),
            delay: Timespan::ZERO,
        }
    }
}

impl Config {
    /// Reads the configuration from flags, environment and file, and checks it.
    ///
    /// # Errors
    /// All problems together; exit with [`runtime::config::EXIT_BAD_CONFIG`].
    pub fn load(flags: Flags) -> Result<Self, ConfigError> {
        runtime::config::load(flags.sources())
    }

    /// What this node is called.
    #[must_use]
    pub fn node_name(&self) -> String {
        if !self.node.name.is_empty() {
            return self.node.name.clone();
        }
        // The kernel's own word: no library is needed to ask for it.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost",
            host => host,
        };
        format!("{host}_{}", self.http_server.port)
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn admin_paths(&self) -> runtime::admin::Paths {
        let path = |on: bool, prefix: &String| on.then(|| prefix.clone());
        runtime::admin::Paths {
            health: path(self.health.enabled, &self.health.handler_prefix),
            metrics: path(self.prometheus.enabled, &self.prometheus.handler_prefix),
        }
    }

    /// Most publications of one recovery.
    #[must_use]
    pub fn recovery_limit(&self) -> u32 {
        self.client.recovery_max_publication_limit
    }

    /// Most publications of one history call.
    #[must_use]
    pub fn history_limit(&self) -> u32 {
        self.client.history_max_publication_limit
    }

    /// How often positions are compared with the broker's; 0: never.
    #[must_use]
    pub fn position_check_delay(&self) -> Duration {
        self.client.channel_position_check_delay.get()
    }

    /// The rules between values, as problems that name their keys. [`Config::load`]
    /// has checked them already.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        validate::problems(self)
    }
}

impl Schema for Config {
    const UNSUPPORTED: &'static [&'static str] = unsupported::KEYS;

    fn sample() -> Self {
        let mut sample = Self::default();
        sample.channel.namespaces.push(NamespaceConfig::default());
        sample.services.push(ServiceConfig::default());
        sample
    }

    fn validate(&self) -> Vec<Problem> {
        validate::problems(self)
    }
}
