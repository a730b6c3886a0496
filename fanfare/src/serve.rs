//! Everything in one process: the services behind in-process channels, the
//! gateway in front of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use broker::{Broker, MemoryBroker, RedisBroker};
use gateway::config::EngineType;
use gateway::{Gateway, Surroundings};
use prometheus_client::registry::Registry;
use runtime::admin::Readiness;
use runtime::grpc::{Metrics, ServeOptions, duplex_channel};
use runtime::shutdown::Shutdown;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::config::{CHAT, Config, NOTIFY};

/// How long a call of the gateway to a service may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// How long the services may take to end after the gateway has.
const SERVICES_DRAIN: Duration = Duration::from_secs(5);

/// All of it, running.
#[derive(Debug)]
pub struct Fanfare {
    gateway: Gateway,
    services: Shutdown,
    config: Config,
}

impl Fanfare {
    /// Starts everything. The secrets must be there: see [`crate::credentials`].
    ///
    /// # Errors
    /// A database whose tables are not ours, an address that cannot be bound, a
    /// broker that cannot begin.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let services = Shutdown::new();
        match Self::start_with(&config, &services).await {
            Ok(gateway) => Ok(Self {
                gateway,
                services,
                config,
            }),
            Err(error) => {
                services.drain(SERVICES_DRAIN).await;
                Err(error)
            }
        }
    }

    async fn start_with(config: &Config, services: &Shutdown) -> anyhow::Result<Gateway> {
        let mut registry = Registry::default();
        let readiness = Readiness::new();
        let broker = engine(config)?;
        let notify = notify_service::Surroundings {
            broker: Arc::clone(&broker),
            registry: &mut registry,
            readiness: readiness.clone(),
            tasks: services.tracker().clone(),
            stop: services.token(),
        };
        let notify = notify_service::build(&config.notify_service(), notify).await;
        let notify = notify.context("notify")?.routes();
        let notify = in_process(notify, &mut registry, "fanfare_notify", services);
        let chat = chat_service::Surroundings {
            broker: Arc::clone(&broker),
            notify: notify.clone(),
            registry: &mut registry,
            readiness: readiness.clone(),
            tasks: services.tracker().clone(),
            stop: services.token(),
        };
        let chat = chat_service::build(&config.chat_service(), chat).await;
        let chat = chat.context("chat")?.routes();
        let chat = in_process(chat, &mut registry, "fanfare_chat", services);
        let surroundings = Surroundings {
            broker: Some(broker),
            services: HashMap::from([(CHAT.to_owned(), chat), (NOTIFY.to_owned(), notify)]),
            registry,
            readiness,
        };
        Gateway::start(config.gateway.clone(), surroundings).await
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// What a person who has just started it wants to know.
    #[must_use]
    pub fn greeting(&self) -> String {
        let config = &self.config.gateway;
        let scheme = if config.http_server.tls.enabled {
            "https"
        } else {
            "http"
        };
        let address = self.address();
        let host = if address.ip().is_unspecified() || address.ip().is_loopback() {
            "localhost".to_owned()
        } else {
            SocketAddr::new(address.ip(), 0)
                .to_string()
                .trim_end_matches(":0")
                .to_owned()
        };
        let mode = if config.development.enabled {
            "development mode: anybody may sign in by a name alone"
        } else {
            "production mode: tokens come from your backend"
        };
        let port = address.port();
        let mut text = format!("Fanfare is running at {scheme}://{host}:{port} ({mode})\n");
        if !config.web.dir.join("index.html").is_file() {
            text.push_str("Without the web page: it was not built (it needs Node.js)\n");
        }
        if !config.http_api.disabled && !config.http_api.insecure {
            let file = self.config.data_dir.join(crate::credentials::API_KEY);
            if file.is_file() {
                text.push_str(&format!(
                    "The key of the server API is in {}\n",
                    file.display()
                ));
            }
        }
        text
    }

    /// Leaves: clients first, then the services, which the clients' last commands
    /// still need. Returns whether all ended in time.
    pub async fn drain(self) -> bool {
        let gateway = self.gateway.drain().await;
        let services = self.services.drain(SERVICES_DRAIN).await;
        gateway && services
    }
}

/// A service of this process as the gateway and the other services reach it.
fn in_process(
    routes: Routes,
    registry: &mut Registry,
    prefix: &'static str,
    services: &Shutdown,
) -> Channel {
    let options = ServeOptions {
        metrics: Metrics::register(registry.sub_registry_with_prefix(prefix)),
        ..ServeOptions::default()
    };
    duplex_channel(
        routes,
        options,
        CALL_DEADLINE,
        services.token(),
        SERVICES_DRAIN,
    )
}

/// One broker for all parts.
fn engine(config: &Config) -> anyhow::Result<Arc<dyn Broker>> {
    let engine = &config.gateway.engine;
    Ok(match engine.kind {
        EngineType::Memory => Arc::new(MemoryBroker::new()),
        EngineType::Redis => {
            let redis = RedisBroker::new(engine.redis.clone());
            Arc::new(redis.context("engine.redis")?)
        }
    })
}
