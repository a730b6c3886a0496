//! What operators and probes ask of a process: is it alive, is it ready, its metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What stands in the way of being ready, by name. Cheap to clone; all clones
/// are one.
///
/// Parts write into it when their state changes, so that a probe costs nothing
/// and never waits for a dependency.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    obstacles: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Readiness {
    /// Ready until an obstacle is named.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `part` stands in the way because of `reason`.
    pub fn block(&self, part: &'static str, reason: impl Into<String>) {
        self.obstacles.lock().insert(part, reason.into());
    }

    /// `part` no longer stands in the way.
    pub fn clear(&self, part: &'static str) {
        self.obstacles.lock().remove(part);
    }

    /// `part: reason`, one for each obstacle; empty when ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let obstacles = self.obstacles.lock();
        obstacles
            .iter()
            .map(|(part, reason)| format!("{part}: {reason}"))
            .collect()
    }
}

type Reasons = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    reasons: Reasons,
}

/// Where the routes are; `None`: not at all.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Above `/live` and `/ready`; itself it answers as `/live`.
    pub health: Option<String>,
    /// The metrics.
    pub metrics: Option<String>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            health: Some("/health".to_owned()),
            metrics: Some("/metrics".to_owned()),
        }
    }
}

/// `/health/live`, `/health/ready` and `/metrics`.
///
/// `reasons` is asked at each readiness probe and must not block; an empty
/// answer means ready. See [`Readiness::reasons`].
pub fn router(
    registry: Arc<Registry>,
    reasons: impl Fn() -> Vec<String> + Send + Sync + 'static,
) -> Router {
    router_at(&Paths::default(), registry, reasons)
}

/// The same elsewhere. The paths must begin with `/` and not end with it.
pub fn router_at(
    paths: &Paths,
    registry: Arc<Registry>,
    reasons: impl Fn() -> Vec<String> + Send + Sync + 'static,
) -> Router {
    let mut router = Router::new();
    if let Some(health) = &paths.health {
        router = router
            .route(health, get(live))
            .route(&format!("{health}/live"), get(live))
            .route(&format!("{health}/ready"), get(ready));
    }
    if let Some(path) = &paths.metrics {
        router = router.route(path, get(metrics));
    }
    router.with_state(Admin {
        registry,
        reasons: Arc::new(reasons),
    })
}

async fn live() -> impl IntoResponse {
    axum::Json(serde_json::json!({ "status": "ok" }))
}

async fn ready(State(admin): State<Admin>) -> Response {
    let reasons = (admin.reasons)();
    if reasons.is_empty() {
        axum::Json(serde_json::json!({ "status": "ready" })).into_response()
    } else {
        let body = serde_json::json!({ "status": "unready", "reasons": reasons });
        (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::with_capacity(16 * 1024);
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Serves `router` at `address` until `shutdown`.
///
/// # Errors
/// The address cannot be bound, or the listener fails.
pub async fn serve_admin(
    address: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    serve_on(TcpListener::bind(address).await?, router, shutdown).await
}

/// Serves `router` on a bound listener until `shutdown`; probes that are under
/// way are not waited for.
///
/// # Errors
/// The listener fails.
pub async fn serve_on(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    tokio::select! {
        result = axum::serve(listener, router) => result,
        () = shutdown.cancelled() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use prometheus_client::metrics::counter::Counter;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_stands_in_the_way() {
        let readiness = Readiness::new();
        let reasons = readiness.clone();
        let router = router(Arc::new(Registry::default()), move || reasons.reasons());
        assert_eq!(ask(&router, "/health/live").await.0, StatusCode::OK);
        assert_eq!(ask(&router, "/health/ready").await.0, StatusCode::OK);

        readiness.block("redis", "connection refused");
        let (status, body) = ask(&router, "/health/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("redis: connection refused"), "{body}");
        assert_eq!(ask(&router, "/health/live").await.0, StatusCode::OK);

        readiness.clear("redis");
        assert_eq!(ask(&router, "/health/ready").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_text() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        registry.register("knocks", "Knocks at the door", counter.clone());
        counter.inc();
        let router = router(Arc::new(registry), Vec::new);
        let (status, body) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("knocks_total 1"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
