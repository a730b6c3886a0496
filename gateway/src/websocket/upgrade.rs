//! Who may open a connection, and how it begins: by a handshake that was the first
//! request on its stream ([`Opening`]), or over HTTP ([`upgrade`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use wire::Format;

use super::handshake::{Choice, Handshake, text};
use crate::connection::task::Task;
use crate::connection::{Connection, Overflow};
use crate::http::{Body, Rewound};
use crate::metrics::CodeLabels;
use crate::node::Node;
use crate::session::Session;
use crate::socket::{Socket, TlsStream};

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
    let bytes = |name| headers.get(name).map(HeaderValue::as_bytes);
    if !node.origins.allow(bytes(ORIGIN), bytes(HOST)) {
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
    user(headers.get(name)?.as_bytes())
}

fn user(value: &[u8]) -> Option<Box<str>> {
    let user = text(value)?;
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
    match into_socket(upgraded) {
        Ok((socket, early)) => begin(&node, socket, choice, trusted_user, &Bytes::new(), &early),
        Err(error) => tracing::error!(%error, "an upgraded stream cannot be used"),
    }
}

/// A handshake that was the first on its stream, and that nothing speaks against.
#[derive(Debug)]
pub(crate) struct Opening {
    answer: Bytes,
    choice: Choice,
    trusted_user: Option<Box<str>>,
    /// What came behind it.
    early: Bytes,
}

impl Opening {
    /// Judges what was received first on a stream. `None`: it is not a handshake
    /// for `path`, not a good one, or not now; HTTP says so.
    pub(crate) fn judge(node: &Node, path: &str, received: &[u8]) -> Option<Self> {
        let user_header = &node.config.client.user_id_http_header;
        let handshake = Handshake::parse(received, path, user_header)?;
        // Last the admission, which counts: HTTP asks all of it again.
        let admitted = !node.draining.load(Ordering::Relaxed)
            && node.origins.allow(handshake.origin, handshake.host)
            && node
                .admission
                .admit(node.metrics.connections.get(), node.clock.now());
        admitted.then(|| Self {
            answer: handshake.answer().into(),
            choice: handshake.choice,
            trusted_user: handshake.user.and_then(user),
            early: Bytes::copy_from_slice(&received[handshake.length..]),
        })
    }

    /// Answers the handshake, and makes the connection.
    pub(crate) fn open(self, node: &Arc<Node>, socket: Socket) {
        begin(
            node,
            socket,
            self.choice,
            self.trusted_user,
            &self.answer,
            &self.early,
        );
    }
}

/// Makes a connection, which counts from now on. `answer`: the handshake's, if it is
/// still to be sent. `early`: what came behind the handshake.
fn begin(
    node: &Arc<Node>,
    socket: Socket,
    choice: Choice,
    trusted_user: Option<Box<str>>,
    answer: &Bytes,
    early: &[u8],
) {
    let format = if choice.protobuf {
        Format::Protobuf
    } else {
        Format::Json
    };
    let now = node.clock.now();
    let rules = Arc::clone(&node.rules);
    let poller = node.poller();
    let seated = poller.seat(|seat| {
        let native_ping = choice.native_ping;
        Connection::new(socket, format, native_ping, rules, now, seat)
    });
    let connection = match seated {
        Ok(connection) => connection,
        Err(error) => return node.no_room(&error),
    };
    node.wheel().add(&connection, connection.first_tick(now));
    node.metrics.connections.inc();
    node.metrics.connections_accepted.inc();
    if !answer.is_empty() {
        connection.send(answer, Overflow::Disconnect);
    }
    let session = Session::new(Arc::clone(node), Arc::clone(&connection), trusted_user);
    let task = Task::new(connection, session, node.connections.token());
    poller.go_on(task, |task| task.take(early));
}

/// A stream that a connection can run on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket under it, once nothing that was read is left in it.
    ///
    /// # Errors
    /// tokio cannot let go of it.
    fn into_socket(self) -> io::Result<Socket>;

    /// Who is at its other end.
    ///
    /// # Errors
    /// Nobody any more.
    fn peer(&self) -> io::Result<SocketAddr>;
}

impl Stream for TcpStream {
    fn into_socket(self) -> io::Result<Socket> {
        self.into_std().map(Socket::Plain)
    }

    fn peer(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl Stream for TlsStream {
    fn into_socket(self) -> io::Result<Socket> {
        self.into_tls().map(Socket::Tls)
    }

    fn peer(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }
}

/// The socket under an upgraded stream, and what was read of it already.
fn into_socket(upgraded: Upgraded) -> io::Result<(Socket, Bytes)> {
    match rewound::<TcpStream>(upgraded) {
        Ok(parts) => parts,
        Err(upgraded) => rewound::<TlsStream>(upgraded)
            .unwrap_or_else(|_| Err(io::Error::other("it is of an unknown kind"))),
    }
}

fn rewound<S: Stream>(upgraded: Upgraded) -> Result<io::Result<(Socket, Bytes)>, Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Rewound<S>>>()?;
    let (stream, unread) = parts.io.into_inner().into_parts();
    // A copy: hyper's read buffer, 8 KiB of which even an empty slice would hold,
    // must not live as long as the connection.
    let early = [&*parts.read_buf, &*unread].concat();
    Ok(stream.into_socket().map(|socket| (socket, early.into())))
}
