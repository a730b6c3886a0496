//! TLS for those who read, write and wait.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{LEAST, Read, Tls};

/// A [`Tls`] for those who read and write and wait: HTTP, before the stream becomes a
/// connection.
#[derive(Debug)]
pub(crate) struct TlsStream(pub(super) Box<Tls<TcpStream>>);

impl TlsStream {
    /// Carries out the handshake.
    ///
    /// # Errors
    /// The stream broke, or the peer and we could not agree.
    pub(crate) async fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> io::Result<Self> {
        let stream = Self(Box::new(Tls::new(config, tcp)?));
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The stream under it.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.0.tcp
    }

    /// What a connection runs on.
    ///
    /// # Errors
    /// tokio cannot let go of the stream.
    pub(crate) fn into_tls(self) -> io::Result<Box<Tls<std::net::TcpStream>>> {
        let Tls { tcp, state } = *self.0;
        let tcp = tcp.into_std()?;
        Ok(Box::new(Tls { tcp, state }))
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self(tls) = self;
        loop {
            ready!(self.poll_flushed(cx))?;
            let mut state = tls.state.lock();
            if !state.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            let mut early = Vec::new();
            let received = tls.receive(&mut state, LEAST, |plaintext| {
                early.extend_from_slice(plaintext);
            });
            state.unread.append(&mut early);
            drop(state);
            match received? {
                Read::End => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Read::NOTHING => ready!(tls.tcp.poll_read_ready(cx))?,
                Read::Some { .. } => {}
            }
        }
    }

    pub(super) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.0.try_flush()? {
            ready!(self.0.tcp.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.try_read(buffer.initialize_unfilled())? {
                Read::Some { bytes: 0, .. } => ready!(self.0.tcp.poll_read_ready(cx))?,
                Read::Some { bytes, .. } => {
                    buffer.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
                Read::End => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.tcp.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state.lock().close()?;
        ready!(self.poll_flushed(cx))?;
        Pin::new(&mut self.0.tcp).poll_shutdown(cx)
    }
}
