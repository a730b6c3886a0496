//! The gateway: holds clients' connections and carries publications between them,
//! the broker and the services. Stateless: whatever it knows, a client can build
//! again by reconnecting to another node.
//!
//! From the outside in: [`server`] accepts, [`http`] routes, [`websocket`] upgrades;
//! a [`connection`] is one client's socket and outbox, a [`session`] carries out its
//! commands; the [`hub`] knows who listens to what; the [`node`] joins it to the
//! broker. [`api`] is what an operator's backend calls.
//!
//! [`Gateway::start`] puts it all together; the binary adds reading the
//! configuration and waiting for a signal.

pub mod config;

mod admission;
mod api;
mod auth;
mod broker_metrics;
mod channel_name;
mod clock;
mod connection;
mod control;
mod convert;
mod deliveries;
mod drain;
mod due;
mod http;
mod hub;
mod listen;
mod metrics;
mod namespaces;
mod node;
mod outbox;
mod poller;
mod reactor;
mod recovery;
mod server;
mod services;
mod session;
mod socket;
mod tls;
mod websocket;
mod wheel;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use prometheus_client::registry::Registry;
use runtime::admin::Readiness;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::broker_metrics::BrokerMetrics;
use crate::clock::Clock;
use crate::config::{Config, EngineType, ServiceConfig};
use crate::http::Site;
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::node::{Node, Parts};
use crate::reactor::Reactors;
use crate::services::Services;

/// What a gateway is given besides its configuration.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// A broker that is there already; without one the configured engine is used.
    pub broker: Option<Arc<dyn broker::Broker>>,
    /// Connections to services by name, instead of their configured addresses.
    pub services: HashMap<String, Channel>,
    /// What else is shown at `/metrics`.
    pub registry: Registry,
    /// What else must be well for the node to be ready.
    pub readiness: Readiness,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    node: Arc<Node>,
    address: SocketAddr,
    internal_address: Option<SocketAddr>,
    accepting: CancellationToken,
}

impl Gateway {
    /// Builds and starts a gateway.
    ///
    /// # Errors
    /// An address that cannot be bound, a key or certificate that cannot be read,
    /// or a broker that cannot begin.
    pub async fn start(config: Config, surroundings: Surroundings) -> anyhow::Result<Self> {
        let Surroundings {
            broker,
            services,
            mut registry,
            readiness,
        } = surroundings;
        let id = uuid::Uuid::new_v4().to_string();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let clock = Clock::start();
        let reactors = Reactors::start(clock).context("starting threads")?;
        let broker = match broker {
            Some(broker) => broker,
            None => engine(&config, &id, &reactors, &mut registry).await?,
        };
        warn_of_options_without_effect(&config);
        let verifiers = verifiers(&config)?;
        let namespaces = Namespaces::new(&config).context("channel_regex")?;
        let services = self::services(&config, services, &metrics)?;
        let tls = match &config.http_server.tls {
            tls if tls.enabled => Some(Arc::new(tls::server_config(tls)?)),
            _ => None,
        };
        let public = config.http_server.public().context("http_server.address")?;
        let internal = config
            .http_server
            .internal()
            .context("http_server.internal_address")?;
        let listen = |address, threads| {
            listen::listen(address, threads).with_context(|| format!("listening on {address}"))
        };
        let threads = reactors.iter().len();
        let listeners = listen(public, threads)?;
        let address = listeners[0].local_addr()?;

        let parts = Parts {
            id,
            config,
            namespaces,
            verifiers,
            broker,
            services,
            metrics,
            clock,
            reactors,
        };
        let node = Node::start(parts).await?;
        let accepting = CancellationToken::new();
        let admin = {
            let node = Arc::clone(&node);
            let paths = node.config.admin_paths();
            let reasons = move || {
                let mut reasons = node.unready();
                reasons.extend(readiness.reasons());
                reasons
            };
            runtime::admin::router_at(&paths, Arc::new(registry), reasons)
        };
        let operators = http::operator_routes(&node, admin);
        let serve = |listeners: Vec<TcpListener>, tls: Option<Arc<_>>, site: &Site| {
            for (reactor, listener) in node.reactors.iter().zip(listeners) {
                let serving = server::serve(
                    listener,
                    tls.clone(),
                    site.clone(),
                    node.tasks.clone(),
                    accepting.clone(),
                );
                node.tasks.spawn_on(serving, reactor.handle());
            }
        };
        let internal_address = match internal {
            None => {
                serve(listeners, tls, &Site::public(&node, operators));
                None
            }
            Some(internal) => {
                let second = listen(internal, threads)?;
                let address = second[0].local_addr()?;
                let external = http::external_routes(&node);
                serve(listeners, tls, &Site::public(&node, external));
                serve(second, None, &Site::internal(&node, operators));
                Some(address)
            }
        };
        tracing::info!(%address, node.id = node.id, node.name = node.name, "listening");
        Ok(Self {
            node,
            address,
            internal_address,
            accepting,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect, if it is a place of its own.
    #[must_use]
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal_address
    }

    /// Leaves: unready at once, then the clients are told to come back elsewhere,
    /// paced, within `shutdown.timeout`. Returns whether all ended in time.
    pub async fn drain(self) -> bool {
        let shutdown = &self.node.config.shutdown;
        let (delay, timeout) = (shutdown.delay.get(), shutdown.timeout.get());
        let accepting = self.accepting.clone();
        let stop_accepting = async {
            tokio::time::sleep(delay).await;
            accepting.cancel();
        };
        let (complete, ()) = tokio::join!(drain::drain(&self.node, delay, timeout), stop_accepting);
        complete
    }

    /// How many connections, channels and subscriptions the node holds: all three
    /// must be 0 once every client has left.
    #[must_use]
    pub fn holds(&self) -> (i64, i64, i64) {
        let metrics = &self.node.metrics;
        (
            metrics.connections.get(),
            metrics.channels.get(),
            metrics.subscriptions.get(),
        )
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.node.reactors.stop();
    }
}

fn warn_of_options_without_effect(config: &Config) {
    let channel = &config.channel;
    let named = channel
        .namespaces
        .iter()
        .map(|one| (&*one.name, &one.options));
    for (namespace, options) in named.chain([("", &channel.without_namespace)]) {
        for option in options.without_effect() {
            tracing::warn!(namespace, option, "this option has no effect yet");
        }
    }
}

async fn engine(
    config: &Config,
    node_id: &str,
    reactors: &Reactors,
    registry: &mut Registry,
) -> anyhow::Result<Arc<dyn broker::Broker>> {
    match config.engine.kind {
        EngineType::Memory => Ok(Arc::new(broker::MemoryBroker::new())),
        EngineType::Redis => {
            let threads: Vec<_> = reactors.iter().map(|r| r.handle().clone()).collect();
            let config = config.engine.redis.clone();
            let redis =
                broker::RedisBroker::for_node(config, node_id, &threads).context("engine.redis")?;
            for advice in redis.advise().await {
                tracing::warn!(advice, "Redis settings");
            }
            let redis = Arc::new(redis);
            registry.register_collector(Box::new(BrokerMetrics(Arc::clone(&redis))));
            Ok(redis)
        }
    }
}

fn verifiers(config: &Config) -> anyhow::Result<auth::Verifiers> {
    let client = &config.client;
    let verifier = |token: &config::TokenConfig, key: &'static str| {
        ::auth::TokenVerifier::new(token.verifier()).context(key)
    };
    let connection = verifier(&client.token, "client.token")?;
    let own = &client.subscription_token;
    let subscription = own
        .enabled
        .then(|| verifier(&own.token, "client.subscription_token"))
        .transpose()?;
    Ok(auth::Verifiers::new(connection, subscription))
}

fn services(
    config: &Config,
    mut given: HashMap<String, Channel>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Services> {
    let mut calls = Vec::new();
    let mut logs = hashbrown::HashMap::new();
    for service in &config.services {
        let channel = match given.remove(&service.name) {
            Some(channel) => channel,
            None => runtime::grpc::connect_lazy(&service.address, service.timeout.get())
                .with_context(|| format!("services: address of `{}`", service.name))?,
        };
        let outgoing =
            runtime::grpc::Outgoing::new("gateway", &service.shared_key, service.timeout.get())
                .with_context(|| format!("services: shared_key of `{}`", service.name))?;
        logs.insert(
            service.name.clone(),
            services::log_source(channel.clone(), outgoing),
        );
        if let Some(grpc_service) = service.grpc_service() {
            calls.push(call_target(service, grpc_service, channel)?);
        }
    }
    let calls = if calls.is_empty() {
        None
    } else {
        Some(transcode::Services::new(calls).context("services")?)
    };
    Ok(Services::new(calls, logs, Arc::clone(metrics)))
}

fn call_target(
    service: &ServiceConfig,
    grpc_service: &str,
    channel: Channel,
) -> anyhow::Result<transcode::Service> {
    let descriptors = if service.descriptor_file.as_os_str().is_empty() {
        proto::DESCRIPTORS.to_vec()
    } else {
        std::fs::read(&service.descriptor_file)
            .with_context(|| format!("services: descriptor_file of `{}`", service.name))?
    };
    Ok(transcode::Service {
        name: service.name.clone(),
        grpc_service: grpc_service.to_owned(),
        descriptors: descriptors.into(),
        internal_methods: service.internal_methods.clone(),
        channel,
        shared_key: service.shared_key.expose().to_owned(),
        timeout: service.timeout.get(),
    })
}
