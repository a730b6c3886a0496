//! The configuration of chat-service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use broker::HistoryPolicy;
use journal::PublisherConfig;
use runtime::config::{Problem, Schema, Secret, SecretUrl, duration};
use runtime::telemetry::{LogConfig, OpenTelemetryConfig};
use serde::{Deserialize, Serialize};
use service::Database;
use service::engine::EngineConfig;

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where calls are answered.
    pub grpc: GrpcConfig,
    /// Where probes and metrics are answered.
    pub admin: AdminConfig,
    /// Where rooms are stored.
    pub database: DatabaseConfig,
    /// What carries events to gateways.
    pub engine: EngineConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Traces.
    pub opentelemetry: OpenTelemetryConfig,
    /// How the process ends.
    pub shutdown: ShutdownConfig,
    /// Where mentions and direct messages go.
    pub notify: NotifyConfig,
    /// How much of a room gateways can recover without asking this service.
    pub history: HistoryConfig,
}

/// Section `grpc`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct GrpcConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// What every caller must know; empty: anybody who reaches the port may call.
    pub shared_key: Secret,
}

/// Section `admin`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AdminConfig {
    /// Address and port of `/health/live`, `/health/ready` and `/metrics`.
    pub address: SocketAddr,
}

/// Section `database`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseConfig {
    /// `postgres://…` or `sqlite://FILE`. The database is this service's alone.
    pub url: SecretUrl,
    /// Connections at most.
    pub max_connections: u32,
    /// Bring the tables up to date at start, instead of by `chat-service migrate` before.
    pub migrate: bool,
    /// A call that needs the database fails after this time.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Messages that wait to be stored at most; sending more is refused.
    pub max_waiting_sends: usize,
}

/// Section `notify`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct NotifyConfig {
    /// Address of notify-service, such as `http://notify-service:9102`. It is called
    /// with `grpc.shared_key`.
    pub address: String,
    /// A call fails after this time, and is repeated.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// Section `history`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryConfig {
    /// Events kept in the engine for each room.
    pub size: u32,
    /// … this long after the newest one.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// The room's position is kept this long.
    #[serde(with = "duration")]
    pub meta_ttl: Duration,
}

/// Section `shutdown`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownConfig {
    /// Calls under way have this long to end.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 9101).into(),
            shared_key: Secret::default(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 9201).into(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: SecretUrl::new("sqlite://data/chat.db"),
            max_connections: 20,
            migrate: true,
            timeout: Duration::from_secs(5),
            max_waiting_sends: 4_096,
        }
    }
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            address: "http://127.0.0.1:9102".to_owned(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Default for HistoryConfig {
    fn default() -> Self {
        let HistoryPolicy {
            size,
            ttl,
            meta_ttl,
        } = PublisherConfig::default().history;
        Self {
            size,
            ttl,
            meta_ttl,
        }
    }
}

impl HistoryConfig {
    /// The same for the broker.
    #[must_use]
    pub fn policy(&self) -> HistoryPolicy {
        HistoryPolicy {
            size: self.size,
            ttl: self.ttl,
            meta_ttl: self.meta_ttl,
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
        }
    }
}

impl Schema for Config {
    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let database = &self.database;
        if let Err(problem) = Database::new(database.url.expose(), database.max_connections) {
            problems.push(Problem::new("database.url", problem));
        }
        if database.max_connections == 0 {
            problems.push(Problem::new(
                "database.max_connections",
                "must be at least 1",
            ));
        }
        if database.max_waiting_sends == 0 {
            problems.push(Problem::new(
                "database.max_waiting_sends",
                "must be at least 1",
            ));
        }
        if database.timeout.is_zero() {
            problems.push(Problem::new("database.timeout", "must not be 0"));
        }
        problems.extend(self.engine.problem());
        if self.history.size == 0 || self.history.ttl.is_zero() || self.history.meta_ttl.is_zero() {
            problems.push(Problem::new(
                "history",
                "size, ttl and meta_ttl must not be 0",
            ));
        }
        problems
    }
}
