//! Development mode: signing in by a name alone, for the web page. In production
//! there is none of this; tokens come from the operator's own backend.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::clock::unix_seconds;
use crate::node::Node;

/// How long a token of development mode is valid: short, so that the page shows
/// that refreshing works.
const TOKEN_LIFE: i64 = 15 * 60;
/// Longest name, in bytes.
const NAME_LENGTH: usize = 64;

#[derive(Debug, Deserialize)]
struct SignIn {
    user: String,
}

/// `/dev/info` and `/dev/token`.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route(
            "/dev/info",
            get(|| async { Json(json!({ "development": true })) }),
        )
        .route("/dev/token", post(token))
        .layer(DefaultBodyLimit::max(1024))
        .with_state(node)
}

async fn token(State(node): State<Arc<Node>>, Json(sign_in): Json<SignIn>) -> Response {
    let user = sign_in.user.trim();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if user.is_empty() || user.len() > NAME_LENGTH || !user.chars().all(allowed) {
        let why =
            json!({ "error": "a name has 1 to 64 letters, digits, dots, dashes or underscores" });
        return (StatusCode::BAD_REQUEST, Json(why)).into_response();
    }
    let now = unix_seconds();
    let claims = json!({ "sub": user, "iat": now, "exp": now + TOKEN_LIFE });
    let secret = node.config.client.token.hmac_secret_key.expose();
    Json(json!({ "token": auth::sign_hs256(secret, &claims) })).into_response()
}
