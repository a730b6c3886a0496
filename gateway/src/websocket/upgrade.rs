//! The WebSocket handshake over HTTP: who may open a connection, and how it will
//! speak.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use wire::{Disconnect, Format};

use crate::connection::task::{self, Limits};
use crate::connection::{Closing, Connection, PingPolicy};
use crate::http::Body;
use crate::metrics::{CloseLabels, CodeLabels};
use crate::node::Node;
use crate::session::Session;
use crate::socket::Socket;

const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

/// What the client chose in its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Choice {
    protobuf: bool,
    native_ping: bool,
    subprotocol: Option<&'static str>,
}

impl Choice {
    fn of(query: Option<&str>, headers: &HeaderMap) -> Self {
        let mut choice = Self::default();
        for (name, value) in query
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
        {
            match (name, value) {
                ("cf_protocol" | "format", "protobuf") => choice.protobuf = true,
                ("cf_ws_frame_ping_pong", "true") => choice.native_ping = true,
                _ => {}
            }
        }
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut offered = offered
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        choice.subprotocol = offered.find_map(|offer| match offer.trim() {
            JSON => Some(JSON),
            PROTOBUF => Some(PROTOBUF),
            _ => None,
        });
        choice.protobuf |= choice.subprotocol == Some(PROTOBUF);
        choice
    }
}

/// Why a handshake is refused.
struct Refused {
    status: StatusCode,
    reason: &'static str,
    retry_after: bool,
}

impl Refused {
    fn new(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            retry_after: false,
        }
    }

    fn busy(reason: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            reason,
            retry_after: true,
        }
    }
}

/// Answers a handshake, and lets the connection run on the upgraded stream.
pub(crate) fn upgrade(
    node: &Arc<Node>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    match accept(node, &request) {
        Ok((response, choice)) => {
            let trusted_user = trusted_user(node, request.headers());
            let upgrade = hyper::upgrade::on(&mut request);
            // Boxed: what waits for the upgrade is far larger than what runs after it.
            node.tasks.spawn(Box::pin(serve(
                Arc::clone(node),
                upgrade,
                choice,
                trusted_user,
            )));
            response
        }
        Err(refused) => refuse(node, peer, &request, &refused),
    }
}

fn refuse(
    node: &Node,
    peer: SocketAddr,
    request: &Request<Incoming>,
    refused: &Refused,
) -> Response<Body> {
    let code = u32::from(refused.status.as_u16());
    node.metrics
        .handshakes_refused
        .get_or_create(&CodeLabels { code })
        .inc();
    tracing::info!(
        client.address = %peer,
        origin = ?request.headers().get(ORIGIN),
        code,
        reason = refused.reason,
        "handshake refused"
    );
    let mut response = Response::new(Body::from(refused.reason));
    *response.status_mut() = refused.status;
    if refused.retry_after {
        // Spread over some seconds, so that those who are sent away together do
        // not come back together.
        let seconds = 1 + rand::random_range(0..5_u8);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
    }
    if refused.status == StatusCode::UPGRADE_REQUIRED {
        response
            .headers_mut()
            .insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

fn accept(node: &Node, request: &Request<Incoming>) -> Result<(Response<Body>, Choice), Refused> {
    if node.draining.load(Ordering::Relaxed) {
        return Err(Refused::busy("this node is shutting down"));
    }
    if !node
        .admission
        .admit(node.metrics.connections.get(), node.clock.now())
    {
        return Err(Refused::busy("too many connections"));
    }
    let headers = request.headers();
    if !node.origins.allow(headers.get(ORIGIN), headers.get(HOST)) {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            "this origin is not allowed: see client.allowed_origins",
        ));
    }
    let mut judged = Request::new(());
    *judged.method_mut() = request.method().clone();
    *judged.version_mut() = request.version();
    *judged.headers_mut() = headers.clone();
    let accepted = tungstenite::handshake::server::create_response(&judged).map_err(|_| {
        Refused::new(
            StatusCode::UPGRADE_REQUIRED,
            "a WebSocket handshake is expected",
        )
    })?;
    let choice = Choice::of(request.uri().query(), headers);
    let mut response = accepted.map(|()| Body::empty());
    if let Some(subprotocol) = choice.subprotocol {
        response.headers_mut().insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
        );
    }
    Ok((response, choice))
}

/// The user that a proxy in front vouches for, where that is configured.
fn trusted_user(node: &Node, headers: &HeaderMap) -> Option<Box<str>> {
    let name = &*node.config.client.user_id_http_header;
    if name.is_empty() {
        return None;
    }
    let user = headers.get(name)?.to_str().ok()?;
    (!user.is_empty()).then(|| user.into())
}

async fn serve(
    node: Arc<Node>,
    upgrade: OnUpgrade,
    choice: Choice,
    trusted_user: Option<Box<str>>,
) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let Some((socket, early)) = into_socket(upgraded) else {
        tracing::error!("an upgraded stream is of an unknown kind");
        return;
    };
    let format = if choice.protobuf {
        Format::Protobuf
    } else {
        Format::Json
    };
    let client = &node.config.client;
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4);
    let ping = (!client.ping_interval.get().is_zero()).then(|| PingPolicy {
        interval: milliseconds(client.ping_interval.get()),
        timeout: milliseconds(client.pong_timeout.get()),
        native: choice.native_ping,
    });
    let stale_at = node.clock.now() + milliseconds(client.stale_close_delay.get());
    let connection = Arc::new(Connection::new(
        socket,
        format,
        client.queue_max_size,
        ping,
        stale_at,
    ));
    node.wheel.add(&connection, stale_at);
    let session = Session::new(Arc::clone(&node), Arc::clone(&connection), trusted_user);
    let limits = Limits {
        message_size: node.config.websocket.message_size_limit,
        write_timeout: node.config.websocket.write_timeout.get(),
    };
    node.metrics.connections.inc();
    node.metrics.connections_accepted.inc();
    let running = node.connections.clone();
    // A task of its own, whose future is small: this one holds the upgrade's.
    running.spawn(async move {
        let closing = task::run(connection, Box::new(session), limits, early).await;
        node.metrics.connections.dec();
        node.metrics
            .closes
            .get_or_create(&close_labels(&closing))
            .inc();
    });
}

/// The socket under an upgraded stream, and what was read of it already.
fn into_socket(upgraded: Upgraded) -> Option<(Socket, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let early = unpinned(&parts.read_buf);
            return Some((Socket::Plain(parts.io.into_inner()), early));
        }
        Err(upgraded) => upgraded,
    };
    let parts = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>().ok()?;
    let (tcp, tls) = parts.io.into_inner().into_inner();
    Some((Socket::tls(tcp, tls), unpinned(&parts.read_buf)))
}

/// The bytes without hyper's read buffer, 8 KiB of which even an empty slice would
/// hold for as long as the connection lives.
fn unpinned(read: &Bytes) -> Bytes {
    Bytes::copy_from_slice(read)
}

fn close_labels(closing: &Closing) -> CloseLabels {
    match closing {
        Closing::Disconnect(disconnect) => CloseLabels {
            // Codes of an operator's own are counted as one.
            code: if Disconnect::ALL
                .iter()
                .any(|one| one.code == disconnect.code)
            {
                disconnect.code
            } else {
                4000
            },
            initiator: "server",
        },
        Closing::Violation(code) => CloseLabels {
            code: u32::from(*code),
            initiator: "server",
        },
        Closing::ConnectFailed => CloseLabels {
            code: 0,
            initiator: "server",
        },
        Closing::ClientClosed(code) => CloseLabels {
            code: match code {
                Some(code @ 1000..=1015) => u32::from(*code),
                Some(_) => 4000,
                None => 0,
            },
            initiator: "client",
        },
        Closing::Lost => CloseLabels {
            code: 0,
            initiator: "network",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(protocols: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols))])
    }

    #[test]
    fn the_client_chooses_its_format() {
        let none = HeaderMap::new();
        assert!(!Choice::of(None, &none).protobuf);
        assert!(Choice::of(Some("a=b&cf_protocol=protobuf"), &none).protobuf);
        assert!(Choice::of(Some("format=protobuf"), &none).protobuf);
        assert!(!Choice::of(Some("format=json"), &none).protobuf);
        assert!(Choice::of(Some("cf_ws_frame_ping_pong=true"), &none).native_ping);
        let choice = Choice::of(None, &offering("other, centrifuge-protobuf"));
        assert_eq!(
            (choice.protobuf, choice.subprotocol),
            (true, Some(PROTOBUF))
        );
        let choice = Choice::of(None, &offering("centrifuge-json"));
        assert_eq!((choice.protobuf, choice.subprotocol), (false, Some(JSON)));
        assert_eq!(Choice::of(None, &offering("graphql-ws")).subprotocol, None);
    }
}
