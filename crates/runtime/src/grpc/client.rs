//! Calling other processes: every deadline set, and replicas found again when
//! they move.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::{Interceptor, Routes};
use tonic::transport::channel::Change;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use super::caller::{AUTHORIZATION, SERVICE, USER, encode_user};
use super::server::{ServeOptions, router};
use crate::config::Secret;
use crate::trace;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An idle connection is checked this often, because the address of a removed
/// replica swallows packets without an answer …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … and counts as dead after this long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a host name is looked up.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes under way in one direction of an in-process connection.
const DUPLEX_BUFFER: usize = 256 * 1024;

/// A channel to the service at `address`, such as `http://chat-service:9000`.
///
/// Returns at once; connections are made when they are needed, and made again
/// after any failure. A host name is looked up every five seconds and calls are
/// spread over all its addresses: with a headless Kubernetes service these are
/// the replicas. `deadline` bounds each call. Call it inside the Tokio runtime.
///
/// Calls fail with `UNAVAILABLE`, but also with `UNKNOWN` or `CANCELLED` when a
/// connection dies under them: treat all three as "try again".
///
/// # Errors
/// The address is no `http://host:port`.
pub fn connect_lazy(address: &str, deadline: Duration) -> Result<Channel, AddressError> {
    let fail = || AddressError(address.to_owned());
    let uri: Uri = address.parse().map_err(|_| fail())?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(fail());
    };
    let port = uri.port_u16().unwrap_or(80);
    let endpoint = tuned(Endpoint::from(uri.clone()), deadline);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(endpoint.connect_lazy());
    }
    let (channel, changes) = Channel::balance_channel(64);
    let resolver = Resolver {
        host: bare.to_owned(),
        port,
        origin: uri,
        deadline,
        changes,
        known: BTreeSet::new(),
        by_name: false,
    };
    tokio::spawn(resolver.run());
    Ok(channel)
}

/// The address of a service cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address of a service: write http://host:port")]
pub struct AddressError(String);

fn tuned(endpoint: Endpoint, deadline: Duration) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(deadline)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Replica {
    /// The name itself: used until it is looked up the first time, so that a
    /// call fails fast instead of waiting for an address.
    Name,
    At(SocketAddr),
}

/// Feeds a balanced channel with the addresses of a host name.
#[derive(Debug)]
struct Resolver {
    host: String,
    port: u16,
    origin: Uri,
    deadline: Duration,
    changes: mpsc::Sender<Change<Replica, Endpoint>>,
    known: BTreeSet<SocketAddr>,
    by_name: bool,
}

impl Resolver {
    /// Runs until the channel is dropped.
    async fn run(mut self) {
        loop {
            let addresses = self.look_up().await;
            if self.apply(addresses).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.changes.closed() => return,
                () = tokio::time::sleep(RESOLVE_INTERVAL) => {}
            }
        }
    }

    async fn look_up(&self) -> BTreeSet<SocketAddr> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                tracing::debug!(host = self.host, %error, "service name does not resolve");
                BTreeSet::new()
            }
            Err(_) => {
                tracing::debug!(host = self.host, "service name look-up timed out");
                BTreeSet::new()
            }
        }
    }

    /// Tells the channel what changed. An empty answer changes nothing: old
    /// addresses may still work, and no address at all would let calls wait.
    async fn apply(&mut self, found: BTreeSet<SocketAddr>) -> Result<(), Closed> {
        if found.is_empty() {
            if self.known.is_empty() && !self.by_name {
                self.by_name = true;
                let endpoint = tuned(Endpoint::from(self.origin.clone()), self.deadline);
                self.send(Change::Insert(Replica::Name, endpoint)).await?;
            }
            return Ok(());
        }
        let fresh: Vec<SocketAddr> = found.difference(&self.known).copied().collect();
        let gone: Vec<SocketAddr> = self.known.difference(&found).copied().collect();
        for address in fresh {
            let Ok(uri) = format!("http://{address}").parse::<Uri>() else {
                continue;
            };
            let endpoint = Endpoint::from(uri).origin(self.origin.clone());
            let endpoint = tuned(endpoint, self.deadline);
            self.send(Change::Insert(Replica::At(address), endpoint))
                .await?;
        }
        for address in gone {
            self.send(Change::Remove(Replica::At(address))).await?;
        }
        if self.by_name {
            self.by_name = false;
            self.send(Change::Remove(Replica::Name)).await?;
        }
        self.known = found;
        Ok(())
    }

    async fn send(&self, change: Change<Replica, Endpoint>) -> Result<(), Closed> {
        self.changes.send(change).await.map_err(|_| Closed)
    }
}

/// The channel was dropped.
#[derive(Debug)]
struct Closed;

/// A channel to `routes` in this process: the same checks, spans, counters and
/// deadlines as over the network, without a socket.
///
/// The server ends when `shutdown` is cancelled and the channel was dropped, or
/// `drain` after the cancellation. Call it inside the Tokio runtime.
pub fn duplex_channel(
    routes: Routes,
    options: ServeOptions,
    deadline: Duration,
    shutdown: CancellationToken,
    drain: Duration,
) -> Channel {
    let (accept, accepted) = mpsc::channel::<DuplexStream>(8);
    let abort = CancellationToken::new();
    let router = router(routes, options, abort.clone());
    tokio::spawn(async move {
        let incoming = futures_util::stream::unfold(accepted, |mut accepted| async move {
            let stream = accepted.recv().await?;
            Some((Ok::<_, std::io::Error>(stream), accepted))
        });
        tokio::select! {
            result = router.serve_with_incoming(incoming) => {
                if let Err(error) = result {
                    tracing::error!(%error, "in-process gRPC server ended");
                }
            }
            () = async {
                shutdown.cancelled().await;
                tokio::time::sleep(drain).await;
                abort.cancel();
            } => {}
        }
    });
    let connector = tower::service_fn(move |_: Uri| {
        let accept = accept.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(DUPLEX_BUFFER);
            accept
                .send(theirs)
                .await
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
            Ok::<_, std::io::Error>(TokioIo::new(ours))
        }
    });
    Endpoint::from_static("http://in-process")
        .timeout(deadline)
        .connect_with_connector_lazy(connector)
}

/// What every call of ours carries: the shared key, our name, the trace, a
/// deadline. An interceptor for generated clients.
#[derive(Clone, Debug)]
pub struct Outgoing {
    authorization: Option<MetadataValue<Ascii>>,
    service: MetadataValue<Ascii>,
    deadline: Duration,
}

impl Outgoing {
    /// Calls of `service` with `shared_key` (empty: none). A call without a
    /// deadline of its own gets `deadline`.
    ///
    /// # Errors
    /// The key or the name holds what a header cannot.
    pub fn new(service: &str, shared_key: &Secret, deadline: Duration) -> Result<Self, Status> {
        let ascii = |text: &str, what: &str| {
            MetadataValue::try_from(text)
                .map_err(|_| Status::invalid_argument(format!("{what} is not visible ASCII")))
        };
        let authorization = if shared_key.is_empty() {
            None
        } else {
            let mut value = ascii(&format!("Bearer {}", shared_key.expose()), "the shared key")?;
            value.set_sensitive(true);
            Some(value)
        };
        Ok(Self {
            authorization,
            service: ascii(service, "the service name")?,
            deadline,
        })
    }

    /// Adds all of it to a call's metadata, for a call that does not go through
    /// a generated client.
    pub fn apply(&self, metadata: &mut MetadataMap) {
        if let Some(value) = &self.authorization {
            metadata.insert(AUTHORIZATION, value.clone());
        }
        metadata.insert(SERVICE, self.service.clone());
        if metadata.get("grpc-timeout").is_none() {
            let mut timeout = Request::new(());
            timeout.set_timeout(self.deadline);
            if let Some(value) = timeout.metadata().get("grpc-timeout") {
                metadata.insert("grpc-timeout", value.clone());
            }
        }
        trace::inject(metadata);
    }

    /// Says for which user a call is made.
    pub fn set_user(metadata: &mut MetadataMap, user: &str) {
        let value = MetadataValue::try_from(encode_user(user));
        metadata.insert(USER, value.expect("percent-encoding is visible ASCII"));
    }
}

impl Interceptor for Outgoing {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.apply(request.metadata_mut());
        Ok(request)
    }
}
