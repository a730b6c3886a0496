//! What a node counts, declared once. Names and labels are for operators: see
//! docs/operations.md. No label takes a value from outside.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use wire::Request;

/// A close, by its code and by who began it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CloseLabels {
    /// The code of the close frame; 0: none was sent or received.
    pub(crate) code: u32,
    /// `server`, `client` or `network`.
    pub(crate) initiator: &'static str,
}

/// An error by its code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabels {
    /// The code of the error, unsubscribe or HTTP answer.
    pub(crate) code: u32,
}

/// A method of the client protocol or of the server API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabels {
    /// Its name.
    pub(crate) method: &'static str,
}

/// The methods of the client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Ping,
    Send,
    Rpc,
    Refresh,
    SubRefresh,
}

impl Method {
    /// In the order of their numbers.
    const ALL: [Self; 12] = [
        Self::Connect,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::Presence,
        Self::PresenceStats,
        Self::History,
        Self::Ping,
        Self::Send,
        Self::Rpc,
        Self::Refresh,
        Self::SubRefresh,
    ];

    /// The one that a request asks for.
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::Connect(_) => Self::Connect,
            Request::Subscribe(_) => Self::Subscribe,
            Request::Unsubscribe(_) => Self::Unsubscribe,
            Request::Publish(_) => Self::Publish,
            Request::Presence(_) => Self::Presence,
            Request::PresenceStats(_) => Self::PresenceStats,
            Request::History(_) => Self::History,
            Request::Ping(_) => Self::Ping,
            Request::Send(_) => Self::Send,
            Request::Rpc(_) => Self::Rpc,
            Request::Refresh(_) => Self::Refresh,
            Request::SubRefresh(_) => Self::SubRefresh,
        }
    }

    /// Its name in metrics and traces.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::History => "history",
            Self::Ping => "ping",
            Self::Send => "send",
            Self::Rpc => "rpc",
            Self::Refresh => "refresh",
            Self::SubRefresh => "sub_refresh",
        }
    }
}

/// What is counted of one method.
#[derive(Debug)]
pub(crate) struct CommandMetrics {
    /// Commands received.
    pub(crate) received: Counter,
    /// Time to answer one, in seconds.
    pub(crate) duration: Histogram,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabels {
    /// One of a closed list.
    pub(crate) result: &'static str,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Connections that exist, connected or not.
    pub(crate) connections: Gauge,
    /// Connections ever accepted.
    pub(crate) connections_accepted: Counter,
    /// Times that the operating system had no room for a connection: out of descriptors or
    /// memory.
    pub(crate) accept_errors: Counter,
    /// Handshakes refused, by HTTP status.
    pub(crate) handshakes_refused: Family<CodeLabels, Counter>,
    /// Connections ended.
    pub(crate) closes: Family<CloseLabels, Counter>,
    /// Channels with a subscription on this node.
    pub(crate) channels: Gauge,
    /// Subscriptions on this node.
    pub(crate) subscriptions: Gauge,
    /// By method: looked up once, not for every command.
    commands: [CommandMetrics; Method::ALL.len()],
    /// Error replies, by code.
    pub(crate) reply_errors: Family<CodeLabels, Counter>,
    /// Unsubscribe pushes, by code.
    pub(crate) unsubscribes: Family<CodeLabels, Counter>,
    /// Server API calls, by method.
    pub(crate) api_calls: Family<MethodLabels, Counter>,
    /// Server API errors, by code.
    pub(crate) api_errors: Family<CodeLabels, Counter>,
    /// Publications that arrived from the broker.
    pub(crate) publications: Counter,
    /// Publications given to outboxes.
    pub(crate) deliveries: Counter,
    /// Publications dropped at a full outbox (`overflow_policy: drop`).
    pub(crate) deliveries_dropped: Counter,
    /// Recoveries: `recovered` or `unrecovered`.
    pub(crate) recoveries: Family<ResultLabels, Counter>,
    /// Holes in a channel that this node noticed: `repaired` or `insufficient`.
    pub(crate) repairs: Family<ResultLabels, Counter>,
    /// Calls to the broker that failed.
    pub(crate) broker_errors: Counter,
    /// Calls to services, by result: `ok`, `error` or `unavailable`.
    pub(crate) service_calls: Family<ResultLabels, Counter>,
    /// Time a service took, in seconds.
    pub(crate) service_duration: Histogram,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 3.0, 11))
}

impl Metrics {
    /// Declares everything in a registry.
    #[expect(clippy::too_many_lines, reason = "a list")]
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("fanfare_gateway");
        let commands = Family::<MethodLabels, Counter>::default();
        let command_duration =
            Family::<MethodLabels, Histogram>::new_with_constructor(seconds as fn() -> Histogram);
        let metrics = Self {
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            accept_errors: Counter::default(),
            handshakes_refused: Family::default(),
            closes: Family::default(),
            channels: Gauge::default(),
            subscriptions: Gauge::default(),
            commands: Method::ALL.map(|method| {
                let labels = MethodLabels {
                    method: method.name(),
                };
                CommandMetrics {
                    received: commands.get_or_create_owned(&labels),
                    duration: command_duration.get_or_create_owned(&labels),
                }
            }),
            reply_errors: Family::default(),
            unsubscribes: Family::default(),
            api_calls: Family::default(),
            api_errors: Family::default(),
            publications: Counter::default(),
            deliveries: Counter::default(),
            deliveries_dropped: Counter::default(),
            recoveries: Family::default(),
            repairs: Family::default(),
            broker_errors: Counter::default(),
            service_calls: Family::default(),
            service_duration: seconds(),
        };
        registry.register(
            "connections",
            "Open connections",
            metrics.connections.clone(),
        );
        registry.register(
            "connections_accepted",
            "Connections accepted",
            metrics.connections_accepted.clone(),
        );
        registry.register(
            "accept_errors",
            "No descriptor or memory for a connection",
            metrics.accept_errors.clone(),
        );
        registry.register(
            "handshakes_refused",
            "Handshakes refused, by HTTP status",
            metrics.handshakes_refused.clone(),
        );
        registry.register("closes", "Connections ended", metrics.closes.clone());
        registry.register(
            "channels",
            "Channels on this node",
            metrics.channels.clone(),
        );
        registry.register(
            "subscriptions",
            "Subscriptions",
            metrics.subscriptions.clone(),
        );
        registry.register("commands", "Commands received", commands);
        registry.register(
            "command_duration_seconds",
            "Time to answer a command",
            command_duration,
        );
        registry.register(
            "reply_errors",
            "Error replies, by code",
            metrics.reply_errors.clone(),
        );
        registry.register(
            "unsubscribes",
            "Subscriptions ended by the server, by code",
            metrics.unsubscribes.clone(),
        );
        registry.register("api_calls", "Server API calls", metrics.api_calls.clone());
        registry.register(
            "api_errors",
            "Server API errors, by code",
            metrics.api_errors.clone(),
        );
        registry.register(
            "publications",
            "Publications received from the broker",
            metrics.publications.clone(),
        );
        registry.register(
            "deliveries",
            "Publications sent to clients",
            metrics.deliveries.clone(),
        );
        registry.register(
            "deliveries_dropped",
            "Publications dropped at a full outbox",
            metrics.deliveries_dropped.clone(),
        );
        registry.register(
            "recoveries",
            "Recoveries, by result",
            metrics.recoveries.clone(),
        );
        registry.register(
            "repairs",
            "Holes noticed, by result",
            metrics.repairs.clone(),
        );
        registry.register(
            "broker_errors",
            "Failed broker calls",
            metrics.broker_errors.clone(),
        );
        registry.register(
            "service_calls",
            "Calls to services",
            metrics.service_calls.clone(),
        );
        registry.register(
            "service_duration_seconds",
            "Time that a service took",
            metrics.service_duration.clone(),
        );
        metrics
    }

    /// What is counted of a method.
    pub(crate) fn command(&self, method: Method) -> &CommandMetrics {
        &self.commands[method as usize]
    }

    /// Publications were given to outboxes so many times in all, and dropped there
    /// some of these times.
    pub(crate) fn delivered(&self, publications: u64, given: u64, dropped: u64) {
        self.publications.inc_by(publications);
        self.deliveries.inc_by(given.saturating_sub(dropped));
        if dropped > 0 {
            self.deliveries_dropped.inc_by(dropped);
        }
    }

    /// A hole could not be filled.
    pub(crate) fn insufficient_state(&self) {
        self.repairs
            .get_or_create(&ResultLabels {
                result: "insufficient",
            })
            .inc();
    }
}
