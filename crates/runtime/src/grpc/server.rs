//! Serving gRPC: every call is checked, traced, counted and bounded in time.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tracing::Instrument as _;

use super::caller::{AUTHORIZATION, Caller};
use super::metrics::{Metrics, code_name};
use crate::config::Secret;
use crate::trace;

/// A client that is silent this long is asked whether it is there …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// … and has this long to answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls under way on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// Streams that a peer may reset before it is cut off ("rapid reset").
const MAX_PENDING_RESETS: usize = 64;
/// A call without a deadline of its own gets this one.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// The caller's clock starts before ours, so its reset at the deadline may arrive
/// before our own timer fires: this much at most, and at most a tenth of the time.
const DEADLINE_SLACK: Duration = Duration::from_millis(10);
/// Probes come from the orchestrator, which has no key.
const HEALTH_PREFIX: &str = "/grpc.health.v1.Health/";

/// How calls are checked and observed.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// A call must bring this key; empty: none is asked for.
    pub shared_key: Secret,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// Names that the health service answers for, besides the empty one.
    pub health: &'static [&'static str],
}

/// Serves `routes` until `shutdown`, then lets calls under way end, at most
/// `drain` long: after that they are answered with `UNAVAILABLE`. The health
/// service is added and turns to `NOT_SERVING` first.
///
/// Every call gets its [`Caller`] and deadline as extensions, a span with the
/// caller's trace as parent, one log line if it fails by our fault, and is
/// counted.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    options: ServeOptions,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in options.health {
        health
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    let names = options.health;
    let abort = CancellationToken::new();
    let routes = routes.add_service(health_service);
    let router = router(routes, options, abort.clone());

    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stop = {
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            for name in names.iter().chain([&""]) {
                health
                    .set_service_status(name, ServingStatus::NotServing)
                    .await;
            }
        }
    };
    let served = router.serve_with_incoming_shutdown(incoming, stop);
    // The graceful end waits for every connection, also for one that is still
    // in its handshake and never moves: without this bound it may last for ever.
    tokio::select! {
        result = served => result,
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(drain).await;
            abort.cancel();
        } => {
            tracing::warn!(?drain, "gRPC connections still open at the drain deadline");
            Ok(())
        }
    }
}

/// A server for `routes` with everything but the listener.
pub(super) fn router(routes: Routes, options: ServeOptions, abort: CancellationToken) -> Router {
    let guard = Guard { options, abort };
    let routes = routes
        .into_axum_router()
        .layer(from_fn_with_state(guard, answer));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .timeout(DEFAULT_DEADLINE)
        .add_routes(Routes::from(routes))
}

#[derive(Clone, Debug)]
struct Guard {
    options: ServeOptions,
    abort: CancellationToken,
}

/// The time by which an answer is worth something: the caller's deadline or the
/// server's own bound.
///
/// `None` if the request did not come through [`serve`] or
/// [`super::duplex_channel`]. Pass what is left of it on to further calls.
pub fn deadline<T>(request: &tonic::Request<T>) -> Option<Instant> {
    request.extensions().get::<Deadline>().map(|d| d.0)
}

#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

async fn answer(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let method = request.uri().path().trim_start_matches('/').to_owned();
    if request.uri().path().starts_with(HEALTH_PREFIX) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let span = tracing::info_span!(
        "grpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.method = method,
        rpc.grpc.status = tracing::field::Empty,
    );
    trace::extract_http(&span, request.headers());

    let timeout = timeout_of(&request).unwrap_or(DEFAULT_DEADLINE);
    let mut observed = Observed {
        method,
        began,
        timeout,
        span: span.clone(),
        metrics: guard.options.metrics.clone(),
        answered: None,
    };
    let response = match admit(&guard.options.shared_key, &mut request, began, timeout) {
        Ok(()) => tokio::select! {
            response = next.run(request).instrument(span) => response,
            () = guard.abort.cancelled() => Status::unavailable("shutting down").into_http(),
        },
        Err(status) => status.into_http(),
    };
    observed.answered = Some(code_of(&response));
    response
}

/// Counts and logs a call at its end, also if it is dropped without an answer:
/// the caller went away, or its deadline passed.
#[derive(Debug)]
struct Observed {
    method: String,
    began: Instant,
    timeout: Duration,
    span: tracing::Span,
    metrics: Metrics,
    answered: Option<Code>,
}

impl Drop for Observed {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let code = self
            .answered
            .unwrap_or_else(|| code_of_dropped(took, self.timeout));
        let (method, name) = (&self.method, code_name(code));
        self.metrics.observe(method, code, took);
        self.span.record("rpc.grpc.status", name);
        self.span.in_scope(|| match code {
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::error!(rpc.method = method, code = name, ?took, "gRPC call failed");
            }
            Code::Unavailable | Code::Unauthenticated | Code::DeadlineExceeded => {
                tracing::warn!(rpc.method = method, code = name, ?took, "gRPC call failed");
            }
            _ => tracing::debug!(rpc.method = method, code = name, ?took, "gRPC call"),
        });
    }
}

/// Why a call was dropped: its deadline, or a caller that went away before it.
pub(super) fn code_of_dropped(took: Duration, timeout: Duration) -> Code {
    let slack = DEADLINE_SLACK.min(timeout / 10);
    if took + slack >= timeout {
        Code::DeadlineExceeded
    } else {
        Code::Cancelled
    }
}

/// Checks the key and notes the caller and the deadline.
fn admit(
    shared_key: &Secret,
    request: &mut Request,
    began: Instant,
    timeout: Duration,
) -> Result<(), Status> {
    if !shared_key.is_empty() {
        let given = request
            .headers()
            .get(AUTHORIZATION)
            .map_or(&b""[..], |v| v.as_bytes());
        let key = given.strip_prefix(b"Bearer ").unwrap_or_default();
        if !shared_key.matches(key) {
            return Err(Status::unauthenticated(
                "the shared key is missing or wrong",
            ));
        }
        // Handlers and their logs never need it.
        request.headers_mut().remove(AUTHORIZATION);
    }
    let caller = Caller::from_headers(request.headers())?;
    request.extensions_mut().insert(caller);
    if let Some(at) = began.checked_add(timeout) {
        request.extensions_mut().insert(Deadline(at));
    }
    Ok(())
}

/// What the caller says, but no more than our own bound: the transport enforces
/// the shorter of the two.
fn timeout_of(request: &Request) -> Option<Duration> {
    let value = request.headers().get("grpc-timeout")?.to_str().ok()?;
    parse_timeout(value).map(|timeout| timeout.min(DEFAULT_DEADLINE))
}

/// `250m` and its like: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// A unary error is in the headers; what has begun to stream counts as well
/// answered.
fn code_of(response: &Response) -> Code {
    response
        .headers()
        .get("grpc-status")
        .map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes()))
}
