//! Accepts connections, ends TLS, and looks at what comes first. A good
//! WebSocket handshake becomes a connection on the spot; with everything else HTTP
//! is spoken.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mio::net::TcpListener;
use rustls::ServerConfig;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Rewound, Site};
use crate::poller::watched;
use crate::socket::{Read, Socket, Tcp, TlsStream};
use crate::websocket::upgrade::{Opening, Stream};

/// How long a TLS handshake may take.
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the first bytes of a connection may take, and then the head of each
/// request.
const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// Largest head of a request, and hyper's largest read buffer.
const REQUEST_BUFFER: usize = 32 * 1024;
/// After this pause a listener that ran out of descriptors tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

thread_local! {
    /// What comes first is received here. Larger than a record of TLS, so that
    /// nothing decrypted is left behind.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; REQUEST_BUFFER].into_boxed_slice());
}

/// What all connections of a listener share.
struct Listener {
    tls: Option<Arc<ServerConfig>>,
    site: Site,
    cancelled: CancellationToken,
}

/// Accepts until cancelled. What it accepts stays on the thread that this runs on.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    tls: Option<Arc<ServerConfig>>,
    site: Site,
    tasks: TaskTracker,
    cancelled: CancellationToken,
) {
    let shared = Arc::new(Listener {
        tls,
        site,
        cancelled,
    });
    let cancelled = shared.cancelled.cancelled();
    tokio::pin!(cancelled);
    // tokio's own would make each stream known to its event loop, before anybody knows
    // whether it is to wait for it.
    let listener = match watched(TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be polled"),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.async_io(Interest::READABLE, TcpListener::accept) => accepted,
            () = &mut cancelled => return,
        };
        match accepted {
            Ok((tcp, _)) => begin(tcp.into(), &shared, &tasks),
            Err(error) => {
                // Out of descriptors or memory: those who wait are served when
                // others have left.
                shared.site.node().no_room(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What came first on a stream.
enum Received {
    Handshake(Opening),
    /// Something else; empty: the other side left.
    Other(Bytes),
}

impl Received {
    fn of(received: &[u8], site: &Site) -> Self {
        match site.opening(received) {
            Some(opening) => Self::Handshake(opening),
            None => Self::Other(Bytes::copy_from_slice(received)),
        }
    }
}

/// Goes on with a new stream. If a handshake is there already, as when many come, it
/// becomes a connection here and now.
fn begin(tcp: std::net::TcpStream, listener: &Arc<Listener>, tasks: &TaskTracker) {
    let received = if listener.tls.is_none() && listener.site.has_websocket() {
        receive_now(&tcp, &listener.site)
    } else {
        Ok(None)
    };
    let other = match received {
        Ok(None) => None,
        Ok(Some(Received::Handshake(opening))) => {
            return opening.open(listener.site.node(), Socket::Plain(tcp));
        }
        Ok(Some(Received::Other(bytes))) => Some(bytes),
        Err(error) => return broke(&error),
    };
    let stream = match TcpStream::from_std(tcp) {
        Ok(stream) => stream,
        Err(error) => return listener.site.node().no_room(&error),
    };
    let shared = Arc::clone(listener);
    match other {
        // It left without a word.
        Some(bytes) if bytes.is_empty() => {}
        Some(bytes) => drop(tasks.spawn(Box::pin(http(bytes, stream, shared)))),
        None if listener.tls.is_some() => drop(tasks.spawn(first_in_tls(stream, shared))),
        None => drop(tasks.spawn(first(stream, shared))),
    }
}

fn broke(error: &io::Error) {
    tracing::debug!(%error, "a stream broke before it was used");
}

/// `None`: nothing is there yet.
fn receive_now(tcp: &impl Tcp, site: &Site) -> io::Result<Option<Received>> {
    BUFFER.with_borrow_mut(|buffer| {
        Ok(match tcp.try_read(buffer)? {
            Read::Some { bytes: 0, .. } => None,
            Read::Some { bytes, .. } => Some(Received::of(&buffer[..bytes], site)),
            Read::End => Some(Received::Other(Bytes::new())),
        })
    })
}

async fn first_in_tls(tcp: TcpStream, listener: Arc<Listener>) {
    let Some(config) = listener.tls.clone() else {
        return;
    };
    match timeout(TLS_HANDSHAKE, TlsStream::accept(config, tcp)).await {
        Ok(Ok(stream)) => first(stream, listener).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Waits for what comes first on a stream, and goes on with it by that.
async fn first<S: Stream>(mut stream: S, listener: Arc<Listener>) {
    if !listener.site.has_websocket() {
        return Box::pin(http(Bytes::new(), stream, listener)).await;
    }
    let received = timeout(
        REQUEST_HEAD,
        poll_fn(|cx| poll_receive(cx, &mut stream, &listener.site)),
    );
    match received.await {
        Ok(Ok(Received::Handshake(opening))) => match stream.into_socket() {
            Ok(socket) => opening.open(listener.site.node(), socket),
            Err(error) => broke(&error),
        },
        // It left without a word.
        Ok(Ok(Received::Other(nothing))) if nothing.is_empty() => {}
        // Boxed: who waits for a first byte has no room for all that HTTP needs.
        Ok(Ok(Received::Other(bytes))) => Box::pin(http(bytes, stream, listener)).await,
        Ok(Err(error)) => broke(&error),
        Err(_) => tracing::debug!("a client connected and sent nothing"),
    }
}

fn poll_receive<S: Stream>(
    cx: &mut Context<'_>,
    stream: &mut S,
    site: &Site,
) -> Poll<io::Result<Received>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(Received::of(buffer.filled(), site)))
    })
}

/// Speaks HTTP on a stream from which something was received already.
async fn http<S: Stream>(received: Bytes, stream: S, listener: Arc<Listener>) {
    let peer = match stream.peer() {
        Ok(peer) => peer,
        Err(error) => return broke(&error),
    };
    let site = listener.site.clone();
    let service = service_fn(move |request| site.clone().answer(peer, request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .max_buf_size(REQUEST_BUFFER)
        .serve_connection(TokioIo::new(Rewound::new(received, stream)), service)
        .with_upgrades();
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = listener.cancelled.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(client.address = %peer, %error, "HTTP connection ended");
    }
}
