//! Everything that is HTTP: what is served where, and to whom.

mod dev;
mod rewound;
mod web;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
pub(crate) use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt;

pub(crate) use self::rewound::Rewound;
use crate::api;
use crate::node::Node;
use crate::websocket::upgrade::{Opening, upgrade};

/// What a listener serves.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    node: Arc<Node>,
    router: Router,
    /// Path of the WebSocket endpoint; `None`: not on this listener.
    websocket: Option<Arc<str>>,
}

impl Site {
    /// For clients: the WebSocket endpoint and the page; and `rest`, where there is
    /// no internal listener for it.
    pub(crate) fn public(node: &Arc<Node>, rest: Router) -> Self {
        let mut router = rest;
        if node.config.development.enabled {
            router = router.merge(dev::router(Arc::clone(node)));
        }
        let websocket = (!node.config.websocket.disabled)
            .then(|| node.config.websocket.handler_prefix.as_str().into());
        router = web::serve(router, &node.config);
        Self {
            node: Arc::clone(node),
            router,
            websocket,
        }
    }

    /// For operators: whatever `router` has.
    pub(crate) fn internal(node: &Arc<Node>, router: Router) -> Self {
        Self {
            node: Arc::clone(node),
            router,
            websocket: None,
        }
    }

    /// Whether what comes first on a stream should be shown to [`Self::opening`].
    pub(crate) fn has_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// What was received first on a stream, if that is a handshake to be answered
    /// at once; everything else is for [`Self::answer`].
    pub(crate) fn opening(&self, received: &[u8]) -> Option<Opening> {
        Opening::judge(&self.node, self.websocket.as_deref()?, received)
    }

    /// The node behind it.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Answers a request.
    pub(crate) async fn answer(
        self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        if self.websocket.as_deref() == Some(request.uri().path()) {
            return Ok(upgrade(&self.node, peer, request));
        }
        self.router.oneshot(request.map(Body::new)).await
    }
}

/// The server API and what `admin` has.
pub(crate) fn operator_routes(node: &Arc<Node>, admin: Router) -> Router {
    if node.config.http_api.disabled {
        admin
    } else {
        admin.merge(api::router(node))
    }
}

/// What of the operators' routes also stands on the public listener when there is
/// an internal one.
pub(crate) fn external_routes(node: &Arc<Node>) -> Router {
    let api = &node.config.http_api;
    if api.external && !api.disabled {
        api::router(node)
    } else {
        Router::new()
    }
}
