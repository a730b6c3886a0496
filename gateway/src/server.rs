//! Listeners: accepts connections, ends TLS, and speaks HTTP on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Site;

/// How long a TLS handshake may take.
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the head of a request may take.
const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// Largest head of a request, and hyper's largest read buffer.
const REQUEST_BUFFER: usize = 32 * 1024;
/// After this pause a listener that ran out of descriptors tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 8_192;

/// Binds an address.
///
/// # Errors
/// The operating system's.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    site: Site,
    tasks: TaskTracker,
    cancelled: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancelled.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let serving = Box::pin(connection(
                    tcp,
                    peer,
                    tls.clone(),
                    site.clone(),
                    cancelled.clone(),
                ));
                tasks.spawn(serving);
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

async fn connection(
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    site: Site,
    cancelled: CancellationToken,
) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "a socket is gone before it was used");
        return;
    }
    let Some(tls) = tls else {
        return http(tcp, peer, site, cancelled).await;
    };
    match tokio::time::timeout(TLS_HANDSHAKE, tls.accept(tcp)).await {
        Ok(Ok(stream)) => http(stream, peer, site, cancelled).await,
        Ok(Err(error)) => tracing::debug!(client.address = %peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(client.address = %peer, "TLS handshake took too long"),
    }
}

async fn http<S>(stream: S, peer: SocketAddr, site: Site, cancelled: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| site.clone().answer(peer, request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .max_buf_size(REQUEST_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = cancelled.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(client.address = %peer, %error, "HTTP connection ended");
    }
}

/// What an accepted stream is made of when the listener has a certificate.
pub(crate) fn acceptor(config: rustls::ServerConfig) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(config))
}
