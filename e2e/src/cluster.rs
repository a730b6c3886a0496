//! All servers of a test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{PostgresServer, RedisServer, TestDatabase};

use crate::ports::free_port;
use crate::process::Process;
use crate::{Balancer, Sdk, SdkKind, binaries, http};

/// Signs tokens of clients.
const TOKEN_SECRET: &str = "the cluster's secret for tokens";
/// Admits callers of the server API.
const API_KEY: &str = "the-clusters-api-key";
/// Admits callers of the services.
const SHARED_KEY: &str = "the-clusters-key-for-services";

/// What is different from the usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many gateways; 0 means two.
    pub gateways: usize,
    /// PostgreSQL is this cluster's alone, so that it may be stopped.
    pub own_postgres: bool,
    /// chat-service is the build with fault points, so that `FANFARE_TEST_FAULT` in its
    /// environment works: see `journal::fault`.
    pub fault_points: bool,
    /// The gateways serve this page, and anybody may sign in by a name.
    pub web: Option<PathBuf>,
}

/// Redis, PostgreSQL, chat-service, notify-service and gateways, all private to one test
/// and ended with it.
#[derive(Debug)]
pub struct Cluster {
    /// The gateways, in the order of [`Cluster::gateway_url`].
    pub gateways: Vec<Process>,
    /// chat-service.
    pub chat: Process,
    /// notify-service.
    pub notify: Process,
    /// Redis. What is in it is gone after a restart.
    pub redis: RedisServer,
    /// PostgreSQL, if it is the cluster's own.
    pub postgres: Option<PostgresServer>,
    gateway_ports: Vec<u16>,
    _databases: [TestDatabase; 2],
    // The last: what runs in it ends before it goes.
    _dir: TempDir,
}

impl Cluster {
    /// Starts two gateways and what they need.
    ///
    /// # Panics
    /// If something does not start.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts it with options.
    ///
    /// # Panics
    /// If something does not start.
    pub async fn start_with(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let redis = RedisServer::start().await;
        let postgres = match options.own_postgres {
            true => Some(PostgresServer::start().await),
            false => None,
        };
        let database = async || match &postgres {
            Some(postgres) => postgres.database().await,
            None => TestDatabase::new().await,
        };
        let databases = [database().await, database().await];

        let notify_port = free_port();
        let mut notify = service(
            dir.path(),
            "notify-service",
            &json!({}),
            (notify_port, &databases[0], &redis),
        );
        let chat_port = free_port();
        let notify_address = format!("http://127.0.0.1:{notify_port}");
        let mut chat = service(
            dir.path(),
            "chat-service",
            &json!({ "notify": { "address": notify_address } }),
            (chat_port, &databases[1], &redis),
        );
        if options.fault_points {
            chat.set_program(binaries::chat_service_with_faults().await);
        }

        let count = if options.gateways == 0 {
            2
        } else {
            options.gateways
        };
        let gateway_ports: Vec<_> = (0..count).map(|_| free_port()).collect();
        let mut gateways: Vec<_> = gateway_ports
            .iter()
            .map(|&port| gateway(dir.path(), port, [chat_port, notify_port], &redis, &options))
            .collect();

        for process in gateways.iter_mut().chain([&mut notify, &mut chat]) {
            process.launch();
        }
        for process in gateways.iter_mut().chain([&mut notify, &mut chat]) {
            process.ready().await;
        }
        Self {
            gateways,
            chat,
            notify,
            redis,
            postgres,
            gateway_ports,
            _databases: databases,
            _dir: dir,
        }
    }

    /// Where a gateway's page and server API are, without a slash at the end.
    #[must_use]
    pub fn gateway_url(&self, gateway: usize) -> String {
        format!("http://127.0.0.1:{}", self.gateway_ports[gateway])
    }

    /// Where clients of a gateway connect.
    #[must_use]
    pub fn websocket_url(&self, gateway: usize) -> String {
        let port = self.gateway_ports[gateway];
        format!("ws://127.0.0.1:{port}/connection/websocket")
    }

    /// A balancer before all gateways, which prefers the first.
    pub async fn balancer(&self) -> Balancer {
        Balancer::start(self.gateway_ports.clone()).await
    }

    /// A client of one gateway, connected as this user.
    ///
    /// # Panics
    /// If it does not connect.
    pub async fn client(&self, gateway: usize, kind: SdkKind, user: &str) -> Sdk {
        Sdk::connect(kind, &self.websocket_url(gateway), &self.token(user)).await
    }

    /// A token that proves to be this user.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        auth::sign_hs256(TOKEN_SECRET, &json!({ "sub": user }))
    }

    /// Calls a method of the server API of the first gateway, as an application's backend.
    ///
    /// # Panics
    /// If it is an error.
    pub async fn api(&self, method: &str, params: Value) -> Value {
        let url = format!("{}/api/{method}", self.gateway_url(0));
        let mut answer = http::post(&url, &[("X-API-Key", API_KEY)], &params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }
}

/// A service with a port for calls, a database and a port for probes.
fn service(
    dir: &Path,
    name: &str,
    more: &Value,
    (port, database, redis): (u16, &TestDatabase, &RedisServer),
) -> Process {
    let admin = free_port();
    let mut config = json!({
        "grpc": { "address": format!("127.0.0.1:{port}"), "shared_key": SHARED_KEY },
        "admin": { "address": format!("127.0.0.1:{admin}") },
        "database": { "url": database.url(), "migrate": true },
        "engine": { "type": "redis", "redis": { "address": redis.url() } },
        "log": { "level": "debug" },
    });
    merge(&mut config, more);
    let file = write(dir, name, &config);
    let probe = format!("http://127.0.0.1:{admin}/health/ready");
    Process::new(name, &binaries::find(name), dir, probe)
        .arg("--config")
        .arg(file)
}

fn gateway(
    dir: &Path,
    port: u16,
    [chat, notify]: [u16; 2],
    redis: &RedisServer,
    options: &Options,
) -> Process {
    let log = json!({ "history_size": 300, "history_ttl": "24h", "force_recovery": true,
        "force_positioning": true });
    let mut room = json!({ "name": "room", "service": "chat", "allow_subscribe_for_client": true,
        "presence": true, "join_leave": true, "force_push_join_leave": true,
        "allow_presence_for_subscriber": true });
    let mut inbox = json!({ "name": "inbox", "service": "notify",
        "allow_user_limited_channels": true });
    merge(&mut room, &log);
    merge(&mut inbox, &log);
    let service = |name, port: u16| {
        json!({ "name": name, "address": format!("http://127.0.0.1:{port}"),
            "shared_key": SHARED_KEY })
    };
    let mut notify = service("notify", notify);
    merge(&mut notify, &json!({ "internal_methods": ["Notify"] }));
    let mut config = json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "http_api": { "key": API_KEY },
        "engine": { "type": "redis", "redis": { "address": redis.url() } },
        "client": {
            "token": { "hmac_secret_key": TOKEN_SECRET },
            "subscribe_to_user_personal_channel": {
                "enabled": true, "personal_channel_namespace": "inbox" },
        },
        "services": [service("chat", chat), notify],
        "channel": { "namespaces": [room, inbox] },
        "log": { "level": "debug" },
    });
    if let Some(web) = &options.web {
        merge(
            &mut config,
            &json!({ "web": { "dir": web }, "development": { "enabled": true } }),
        );
    }
    let name = format!("gateway-{port}");
    let file = write(dir, &name, &config);
    let probe = format!("http://127.0.0.1:{port}/health/ready");
    Process::new(&name, &binaries::find("gateway"), dir, probe)
        .arg("--config")
        .arg(file)
}

fn write(dir: &Path, name: &str, config: &Value) -> PathBuf {
    let path = dir.join(format!("{name}.json"));
    fs::write(&path, config.to_string()).expect("a configuration is written");
    path
}

/// Puts the members of one object into another.
fn merge(into: &mut Value, from: &Value) {
    let from = from.as_object().expect("an object");
    let into = into.as_object_mut().expect("an object");
    into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
}
