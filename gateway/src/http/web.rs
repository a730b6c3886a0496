//! The web page's files.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::Config;

/// Nothing but the page's own files runs, and nobody frames it.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

const WITHOUT_PAGE: &str = "Fanfare is running. The web page was not built: it needs Node.js.\n\
                            The WebSocket endpoint is /connection/websocket.\n";

/// Adds the page to a router, or a line that says that there is none.
pub(super) fn serve(router: Router, config: &Config) -> Router {
    let folder = &config.web.dir;
    if folder.as_os_str().is_empty() || !folder.join("index.html").is_file() {
        return router.route("/", get(|| async { WITHOUT_PAGE }));
    }
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut page = Router::new().fallback_service(ServeDir::new(folder));
    for (name, value) in headers {
        page = page.layer(layer(name, value));
    }
    router.merge(page)
}

fn layer(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
