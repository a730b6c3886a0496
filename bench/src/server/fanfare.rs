//! Fanfare itself: the gateway alone, several over one Redis, or `fanfare` with chat in
//! PostgreSQL.
//!
//! The configuration is the default one and what nobody can do without: a key for tokens,
//! and the permission to subscribe and publish.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{PostgresServer, RedisServer};

use super::child::free_port;
use super::{Backing, Channels, Child, Encoding, Running, Setup, Tools, Transport};

/// Signs the tokens of all clients.
pub const TOKEN_SECRET: &str = "the bench's secret for tokens";

/// What all keys in Redis begin with: the default.
pub const REDIS_PREFIX: &str = "fanfare";

/// What stands before the `:` in the names of all channels.
pub(crate) const NAMESPACE: &str = "bench";

/// Interval that is the default, and so left out.
const DEFAULT_HEARTBEAT: u64 = 25;

pub(super) async fn start(setup: &Setup, tools: &Tools, dir: &Path) -> Result<Running> {
    let redis = match setup.backing {
        Backing::Redis(_) => Some(RedisServer::start().await),
        Backing::Nothing | Backing::Chat => None,
    };
    let postgres = match setup.backing {
        Backing::Chat => {
            let server = PostgresServer::durable().await;
            Some((server.database().await, server.database().await, server))
        }
        Backing::Nothing | Backing::Redis(_) => None,
    };
    let count = match setup.backing {
        Backing::Redis(nodes) => nodes,
        Backing::Nothing | Backing::Chat => 1,
    };

    let mut arguments = vec!["--dialect".to_owned()];
    arguments.push(match setup.encoding {
        Encoding::Json => "centrifuge-json".to_owned(),
        Encoding::Protobuf => "centrifuge-protobuf".to_owned(),
    });
    arguments.extend(["--token-secret", TOKEN_SECRET].map(str::to_owned));
    let certificate = match setup.transport {
        Transport::Tcp => None,
        Transport::Tls => {
            let certificate = Certificate::create(dir)?;
            arguments.extend(["--ca-file".to_owned(), certificate.certificate.clone()]);
            Some(certificate)
        }
    };

    let mut children = Vec::new();
    let mut urls = Vec::new();
    for node in 0..count {
        let port = free_port()?;
        let mut config = gateway_config(setup, port);
        if let Some(certificate) = &certificate {
            config["http_server"]["tls"] = json!({ "enabled": true,
                "cert_pem_file": certificate.certificate, "key_pem_file": certificate.key });
        }
        if let Some(redis) = &redis {
            config["engine"] = json!({ "type": "redis",
                "redis": { "address": redis.url(), "prefix": REDIS_PREFIX } });
        }
        let mut program = "gateway";
        if let Some((chat, notify, _)) = &postgres {
            program = "fanfare";
            with_chat(&mut config, chat.url());
            config["notify"] = json!({ "database": { "url": notify.url(), "migrate": true } });
        }
        // TLS is spoken on the public port only; health is asked for on another then.
        let mut probe = port;
        if certificate.is_some() {
            probe = free_port()?;
            config["http_server"]["internal_port"] = json!(probe);
        }
        let name = format!("{program}-{node}");
        children.push(start_node(
            &name,
            &tools.binary(program),
            &config,
            probe,
            dir,
        )?);
        let scheme = if certificate.is_some() { "wss" } else { "ws" };
        urls.push(format!("{scheme}://127.0.0.1:{port}/connection/websocket"));
    }
    Ok(Running {
        urls,
        nodes: children.iter().map(Child::id).collect(),
        behind: redis.iter().filter_map(RedisServer::id).collect(),
        arguments,
        redis_port: redis.as_ref().map(RedisServer::port),
        _children: children,
        _redis: redis,
        _postgres: postgres,
    })
}

/// Makes chat's tables in a database: `fanfare` does it when it starts.
pub(crate) fn migrate_chat(tools: &Tools, dir: &Path, url: &str) -> Result<()> {
    let port = free_port()?;
    let mut config = gateway_config(&Setup::plain(super::Server::Fanfare), port);
    with_chat(&mut config, url);
    start_node(
        "fanfare-migrate",
        &tools.binary("fanfare"),
        &config,
        port,
        dir,
    )?;
    Ok(())
}

fn with_chat(config: &mut Value, url: &str) {
    config["development"] = json!({ "enabled": false });
    config["chat"] = json!({ "database": { "url": url, "migrate": true } });
}

/// Starts a process and waits until it is ready to serve.
fn start_node(name: &str, program: &Path, config: &Value, probe: u16, dir: &Path) -> Result<Child> {
    let file = dir.join(format!("{name}.json"));
    fs::write(&file, config.to_string()).context("writing a configuration")?;
    let flags = ["--config".to_owned(), file.display().to_string()];
    let mut child = Child::start(name, program, &flags, dir)?;
    child.wait_for_answer(probe, "/health/ready")?;
    Ok(child)
}

fn gateway_config(setup: &Setup, port: u16) -> Value {
    let mut namespace = json!({
        "name": NAMESPACE,
        "allow_subscribe_for_client": true,
        "allow_publish_for_client": true,
        "allow_history_for_client": true,
    });
    if setup.channels == Channels::History {
        namespace["history_size"] = json!(300);
        namespace["history_ttl"] = json!("5m");
        namespace["force_positioning"] = json!(true);
        namespace["force_recovery"] = json!(true);
    }
    let mut config = json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "client": { "token": { "hmac_secret_key": TOKEN_SECRET } },
        "channel": { "namespaces": [namespace] },
        "rpc": { "ping": { "enabled": true } },
    });
    if setup.heartbeat != DEFAULT_HEARTBEAT {
        let client = &mut config["client"];
        client["ping_interval"] = json!(format!("{}s", setup.heartbeat));
        // It must be less; the default is 8 s.
        let timeout = (setup.heartbeat * 800).min(8_000);
        client["pong_timeout"] = json!(format!("{timeout}ms"));
    }
    config
}

/// Files of a certificate for 127.0.0.1 that signs itself.
#[derive(Debug)]
struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    fn create(dir: &Path) -> Result<Self> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let write = |name: &str, text: String| -> Result<String> {
            let file = dir.join(name);
            fs::write(&file, text).context("writing a certificate")?;
            Ok(file.display().to_string())
        };
        Ok(Self {
            certificate: write("certificate.pem", made.cert.pem())?,
            key: write("key.pem", made.signing_key.serialize_pem())?,
        })
    }
}
