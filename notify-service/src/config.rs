//! The configuration of notify-service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use runtime::config::{Problem, Schema, Secret, SecretUrl, duration};
use runtime::telemetry::{LogConfig, OpenTelemetryConfig};
use serde::{Deserialize, Serialize};
use service::Database;
use service::engine::EngineConfig;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where calls are answered.
    pub grpc: GrpcConfig,
    /// Where probes and metrics are answered.
    pub admin: AdminConfig,
    /// Where inboxes are stored.
    pub database: DatabaseConfig,
    /// What carries events to gateways.
    pub engine: EngineConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Traces.
    pub opentelemetry: OpenTelemetryConfig,
    /// How the process ends.
    pub shutdown: ShutdownConfig,
    /// Read or archived notifications are removed this long after they were
    /// created; 0: never.
    #[serde(with = "duration")]
    pub retention: Duration,
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
    /// Bring the tables up to date at start, instead of by `notify-service migrate` before.
    pub migrate: bool,
    /// A call that needs the database fails after this time.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// Section `shutdown`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownConfig {
    /// Calls under way have this long to end.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc: GrpcConfig::default(),
            admin: AdminConfig::default(),
            database: DatabaseConfig::default(),
            engine: EngineConfig::default(),
            log: LogConfig::default(),
            opentelemetry: OpenTelemetryConfig::default(),
            shutdown: ShutdownConfig::default(),
            retention: Duration::from_secs(90 * 24 * 60 * 60),
        }
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 9102).into(),
            shared_key: Secret::default(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 9202).into(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: SecretUrl::new("sqlite://data/notify.db"),
            max_connections: 20,
            migrate: true,
            timeout: Duration::from_secs(5),
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
        if database.timeout.is_zero() {
            problems.push(Problem::new("database.timeout", "must not be 0"));
        }
        problems.extend(self.engine.problem());
        problems
    }
}
