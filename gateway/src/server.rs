//! Accepts connections, ends TLS, and looks at what comes first. A good
//! WebSocket handshake becomes a connection on the spot, in the same task; with
//! everything else HTTP is spoken.

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
use rustls::ServerConfig;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::task::Task;
use crate::http::{Rewound, Site};
use crate::socket::TlsStream;
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
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be polled"),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut cancelled => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                let shared = Arc::clone(&shared);
                if shared.tls.is_some() {
                    tasks.spawn(run(Box::pin(first_in_tls(tcp, shared))));
                } else {
                    tasks.spawn(run(Box::pin(first(tcp, shared))));
                }
            }
            Err(error) => {
                // Out of descriptors or memory: those who wait are served when
                // others have left.
                tracing::warn!(%error, "accepting failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Runs the connection that a stream's first request makes, if it makes one. The
/// first request's future lies by itself, so that nothing of it is left in a
/// connection, which may stay for days.
async fn run(first: Pin<Box<impl Future<Output = Option<Box<Task>>>>>) {
    if let Some(task) = first.await {
        task.run().await;
    }
}

async fn first_in_tls(tcp: TcpStream, listener: Arc<Listener>) -> Option<Box<Task>> {
    let config = Arc::clone(listener.tls.as_ref()?);
    match timeout(TLS_HANDSHAKE, TlsStream::accept(config, tcp)).await {
        Ok(Ok(stream)) => return first(stream, listener).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
    None
}

/// Goes on with a stream by what comes first on it.
async fn first<S: Stream>(mut stream: S, listener: Arc<Listener>) -> Option<Box<Task>> {
    if !listener.site.has_websocket() {
        Box::pin(http(Bytes::new(), stream, listener)).await;
        return None;
    }
    let received = timeout(
        REQUEST_HEAD,
        poll_fn(|cx| receive(cx, &mut stream, &listener.site)),
    );
    match received.await {
        Ok(Ok(Received::Handshake(opening))) => {
            return opening.open(listener.site.node(), stream).await;
        }
        // It left without a word.
        Ok(Ok(Received::Other(nothing))) if nothing.is_empty() => {}
        Ok(Ok(Received::Other(bytes))) => Box::pin(http(bytes, stream, listener)).await,
        Ok(Err(error)) => tracing::debug!(%error, "a stream broke before it was used"),
        Err(_) => tracing::debug!("a client connected and sent nothing"),
    }
    None
}

/// What came first on a stream.
enum Received {
    Handshake(Opening),
    Other(Bytes),
}

fn receive<S: Stream>(
    cx: &mut Context<'_>,
    stream: &mut S,
    site: &Site,
) -> Poll<io::Result<Received>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let received = buffer.filled();
        Poll::Ready(Ok(match site.opening(received) {
            Some(opening) => Received::Handshake(opening),
            None => Received::Other(Bytes::copy_from_slice(received)),
        }))
    })
}

/// Speaks HTTP on a stream from which something was received already.
async fn http<S: Stream>(received: Bytes, stream: S, listener: Arc<Listener>) {
    let peer = match stream.peer() {
        Ok(peer) => peer,
        Err(error) => return tracing::debug!(%error, "a stream broke before it was used"),
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
