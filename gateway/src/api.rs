//! The server HTTP API: an operator's backend publishes, and rules over users'
//! connections. It skips the permissions of clients; a key opens all of it.

mod methods;
mod payload;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::ErrorMode;
use crate::metrics::{CodeLabels, MethodLabels};
use crate::node::Node;

/// Largest request: a broadcast or batch may be far larger than a client's frame.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// The API's errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ApiError {
    code: u32,
    message: String,
}

impl ApiError {
    fn internal() -> Self {
        Self::new(100, "internal server error")
    }

    fn unknown_channel() -> Self {
        Self::new(102, "unknown channel")
    }

    fn not_found() -> Self {
        Self::new(104, "not found")
    }

    fn bad_request(why: impl AsRef<str>) -> Self {
        match why.as_ref() {
            "" => Self::new(107, "bad request"),
            why => Self::new(107, format!("bad request: {why}")),
        }
    }

    fn not_available() -> Self {
        Self::new(108, "not available")
    }

    fn unrecoverable_position() -> Self {
        Self::new(112, "unrecoverable position")
    }

    fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The status in the error mode `transport`.
    fn status(&self) -> StatusCode {
        match self.code {
            102 | 104 => StatusCode::NOT_FOUND,
            107 | 108 => StatusCode::BAD_REQUEST,
            112 => StatusCode::RANGE_NOT_SATISFIABLE,
            113 => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What a method answers: an encoded JSON object.
type Answer = Result<Box<RawValue>, ApiError>;

/// One method's answer, as it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Result(Box<RawValue>),
    Error(ApiError),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Ok(result) => Self::Result(result),
            Err(error) => Self::Error(error),
        }
    }
}

/// `/api/<method>`.
pub(crate) fn router(node: &Arc<Node>) -> Router {
    let path = format!(
        "{}/{{method}}",
        node.config.http_api.handler_prefix.trim_end_matches('/')
    );
    Router::new()
        .route(&path, post(call))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::clone(node))
}

async fn call(
    State(node): State<Arc<Node>>,
    Path(method): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_authorized(&node, &headers, &uri) {
        node.metrics
            .api_errors
            .get_or_create(&CodeLabels { code: 401 })
            .inc();
        tracing::info!(
            method,
            "server API call without the right key: see http_api.key"
        );
        return (StatusCode::UNAUTHORIZED, "the API key is missing or wrong").into_response();
    }
    let Some(method) = methods::Method::from_name(&method) else {
        return (StatusCode::NOT_FOUND, "no such method").into_response();
    };
    let body = if body.is_empty() {
        &b"{}"[..]
    } else {
        &body[..]
    };
    let Ok(params) = serde_json::from_slice::<&RawValue>(body) else {
        return (StatusCode::BAD_REQUEST, "the body is not JSON").into_response();
    };
    let answer = execute(&node, method, params).await;
    let by_transport = node.config.http_api.error_mode == ErrorMode::Transport
        || headers
            .get("x-centrifugo-error-mode")
            .is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"transport"));
    let status = match &answer {
        Err(error) if by_transport => error.status(),
        _ => StatusCode::OK,
    };
    // A transport error carries its code and message as they are; malformed
    // parameters are told apart by status in both modes.
    let malformed = matches!(&answer, Err(error) if error.message.starts_with(MALFORMED));
    let status = if malformed {
        StatusCode::BAD_REQUEST
    } else {
        status
    };
    json(status, &Outcome::from(answer))
}

/// How the message of unreadable parameters begins.
const MALFORMED: &str = "bad request: malformed parameters";

/// Runs one method, counting it.
async fn execute(node: &Arc<Node>, method: methods::Method, params: &RawValue) -> Answer {
    node.metrics
        .api_calls
        .get_or_create(&MethodLabels {
            method: method.name(),
        })
        .inc();
    let answer = Box::pin(method.run(node, params)).await;
    if let Err(error) = &answer {
        tracing::debug!(
            method = method.name(),
            code = error.code,
            message = error.message,
            "server API"
        );
        node.metrics
            .api_errors
            .get_or_create(&CodeLabels { code: error.code })
            .inc();
    }
    answer
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an API answer cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The key is in `X-API-Key`, else in `Authorization: apikey …`, else in the query.
fn is_authorized(node: &Node, headers: &HeaderMap, uri: &Uri) -> bool {
    let config = &node.config.http_api;
    if config.insecure {
        return true;
    }
    if config.key.is_empty() {
        return false;
    }
    let is_right = |given: &[u8]| config.key.matches(given);
    let from_header = match headers.get("x-api-key") {
        Some(key) => Some(key.as_bytes()),
        None => headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked(7)?;
            scheme
                .eq_ignore_ascii_case(b"apikey ")
                .then(|| key.trim_ascii())
        }),
    };
    if from_header.is_some_and(is_right) {
        return true;
    }
    let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return false;
    };
    let from_query = query.iter().find(|(name, _)| name == "api_key");
    from_query.is_some_and(|(_, key)| is_right(key.as_bytes()))
}
