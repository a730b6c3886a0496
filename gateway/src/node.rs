//! One gateway node: joins the hub and the broker. The first listener of a
//! channel subscribes it at the broker, the last one's end unsubscribes it; what
//! the broker delivers goes to the hub; and a channel with a hole is repaired.

mod reader;
mod repair;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use anyhow::Context;
use broker::{Broker, ClientInfo, EventHandler, Publication};
use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::reader::Reader;
pub(crate) use self::reader::{Part, ReadError};
use crate::admission::{Admission, Origins};
use crate::auth::Verifiers;
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::Rules;
use crate::control;
use crate::deliveries::Deliveries;
use crate::hub::{Arrival, Channel, Delivered, Hub};
use crate::metrics::Metrics;
use crate::namespaces::{Namespace, Namespaces};
use crate::poller::Poller;
use crate::reactor::Reactors;
use crate::services::Services;
use crate::wheel::Wheel;

/// Locks for subscribing and unsubscribing at the broker, by channel.
const STRIPES: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Node {
    /// Unique among nodes and restarts.
    pub(crate) id: String,
    /// What the node is called in `info`.
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) namespaces: Namespaces,
    pub(crate) verifiers: Verifiers,
    /// What every connection obeys.
    pub(crate) rules: Arc<Rules>,
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) services: Services,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) reactors: Reactors,
    pub(crate) control: control::Peers,
    /// The node is leaving: no new connections.
    pub(crate) draining: AtomicBool,
    pub(crate) admission: Admission,
    pub(crate) origins: Origins,
    /// Cancelled when the node stops.
    pub(crate) stopped: CancellationToken,
    /// Spans are exported: commands are worth one.
    pub(crate) traced: bool,
    /// The clients' connections.
    pub(crate) connections: TaskTracker,
    /// What runs beside the connections.
    pub(crate) tasks: TaskTracker,
    reader: Reader,
    interest: Box<[AsyncMutex<()>]>,
    me: Weak<Self>,
}

/// What a node is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: String,
    pub(crate) config: Config,
    pub(crate) namespaces: Namespaces,
    pub(crate) verifiers: Verifiers,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) services: Services,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) reactors: Reactors,
}

impl Node {
    /// Puts a node together and starts its tasks.
    ///
    /// # Errors
    /// The broker's, if it cannot begin to deliver.
    pub(crate) async fn start(parts: Parts) -> anyhow::Result<Arc<Self>> {
        let client = &parts.config.client;
        let traced = parts.config.opentelemetry.effective_endpoint().is_some();
        let admission = Admission::new(client.connection_limit, client.connection_rate_limit);
        let origins = Origins::new(&client.allowed_origins);
        let node = Arc::new_cyclic(|me| Self {
            id: parts.id,
            name: parts.config.node_name(),
            rules: Arc::new(Rules::new(&parts.config)),
            hub: Hub::new(Arc::clone(&parts.metrics), parts.reactors.iter().len()),
            config: parts.config,
            namespaces: parts.namespaces,
            verifiers: parts.verifiers,
            broker: parts.broker,
            services: parts.services,
            metrics: parts.metrics,
            clock: parts.clock,
            reactors: parts.reactors,
            control: control::Peers::default(),
            admission,
            origins,
            draining: AtomicBool::new(false),
            traced,
            connections: TaskTracker::new(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
            reader: Reader::default(),
            interest: (0..STRIPES).map(|_| AsyncMutex::default()).collect(),
            me: Weak::clone(me),
        });
        let handler = Arc::new(FromBroker {
            node: Arc::downgrade(&node),
        });
        let run = node.broker.run(handler).await;
        run.context("starting delivery from the broker")?;
        for reactor in node.reactors.iter() {
            reactor.run(&node);
        }
        node.tasks.spawn(repair::check_positions(Arc::clone(&node)));
        node.tasks.spawn(control::announce(Arc::clone(&node)));
        Ok(node)
    }

    /// Itself, for tasks that outlive a call.
    pub(crate) fn me(&self) -> Arc<Self> {
        self.me
            .upgrade()
            .expect("a method runs on a node that exists")
    }

    /// The timers of the connections that live on this thread.
    pub(crate) fn wheel(&self) -> &Wheel {
        &self.reactors.here_or(0).wheel
    }

    /// What is to be delivered by this thread.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.reactors.here_or(0).deliveries
    }

    /// What runs the connections that live on this thread.
    pub(crate) fn poller(&self) -> &Arc<Poller> {
        &self.reactors.here_or(0).poller
    }

    /// The operating system has no descriptor or no memory for one more connection.
    pub(crate) fn no_room(&self, error: &io::Error) {
        self.metrics.accept_errors.inc();
        tracing::warn!(%error, "no room for a connection");
    }

    fn stripe(&self, channel: &str) -> &AsyncMutex<()> {
        &self.interest[self.hub.stripe(channel, STRIPES)]
    }

    /// Holds a channel for a subscription: when it returns, the broker delivers
    /// the channel to this node. Costs a call to the broker for the first one.
    ///
    /// # Errors
    /// The broker's; the channel is not held then.
    pub(crate) async fn enter(
        &self,
        channel: &str,
        namespace: &Namespace,
    ) -> broker::Result<Arc<Channel>> {
        if let Some(channel) = self.hub.enter_subscribed(channel) {
            return Ok(channel);
        }
        let _one_at_a_time = self.stripe(channel).lock().await;
        let (channel, subscribed) = self.hub.enter(channel, namespace.overflow);
        if !subscribed {
            if let Err(error) = self.broker.subscribe(channel.name()).await {
                self.metrics.broker_errors.inc();
                if channel.leave() {
                    self.hub.remove_if_unused(&channel);
                }
                return Err(error);
            }
            channel.set_subscribed();
        }
        Ok(channel)
    }

    /// Lets go of a channel.
    pub(crate) async fn exit(&self, channel: &Arc<Channel>) {
        if !channel.leave() {
            return;
        }
        let _one_at_a_time = self.stripe(channel.name()).lock().await;
        if self.hub.remove_if_unused(channel)
            && let Err(error) = self.broker.unsubscribe(channel.name()).await
        {
            self.metrics.broker_errors.inc();
            tracing::warn!(channel.name = %channel.name(), %error, "unsubscribing failed");
        }
    }

    /// Sees to what a delivery asks for.
    pub(crate) fn after(&self, channel: &Arc<Channel>, delivered: Delivered) {
        match delivered {
            Delivered::Done => {}
            Delivered::Repair => {
                self.tasks
                    .spawn(repair::repair(self.me(), Arc::clone(channel)));
            }
        }
    }

    /// Why the node should get no new connections; empty: it should.
    pub(crate) fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("the node is draining".to_owned());
        }
        if !self.broker.is_available() {
            reasons.push("the broker is not available".to_owned());
        } else if self.control.is_deaf(&self.id, self.clock.now()) {
            reasons
                .push("the node does not hear its own announcements through the broker".to_owned());
        }
        reasons
    }
}

/// What the broker tells the node. Weak: the broker may outlive it.
#[derive(Debug)]
struct FromBroker {
    node: Weak<Node>,
}

impl EventHandler for FromBroker {
    fn publication(&self, channel: &str, epoch: &Arc<str>, publication: Publication) {
        if let Some(node) = self.node.upgrade()
            && let Some(channel) = node.hub.channel(channel)
        {
            match channel.publication(epoch, publication) {
                Arrival::Waits => {}
                Arrival::First => {
                    let elsewhere = node.hub.stripe(channel.name(), usize::MAX);
                    let reactor = node.reactors.here_or(elsewhere);
                    reactor.deliveries.schedule(channel);
                }
                Arrival::Many => node.after(&channel, channel.deliver()),
            }
        }
    }

    fn membership(&self, channel: &str, joined: bool, info: ClientInfo) {
        if let Some(node) = self.node.upgrade()
            && let Some(channel) = node.hub.channel(channel)
        {
            let delivered = channel.membership(joined, &info);
            node.after(&channel, delivered);
        }
    }

    fn control(&self, message: Bytes) {
        if let Some(node) = self.node.upgrade() {
            control::receive(&node, &message);
        }
    }

    fn positions_uncertain(&self, channels: &[Arc<str>]) {
        if let Some(node) = self.node.upgrade() {
            let channels = channels.to_vec();
            node.tasks.spawn(repair::compare(node.me(), channels));
        }
    }
}
