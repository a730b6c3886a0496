//! The byte stream under a connection: TCP, or TLS over TCP.
//!
//! All calls take `&self` and never wait, so that a fan-out can write from the
//! broadcasting thread while the connection's task waits for the client.

mod tls;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

pub(crate) use self::tls::{Tls, TlsStream};

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS, its state behind a short lock.
    Tls(Box<Tls>),
}

/// Reads what the kernel has. If that was all, the stream is known not to be
/// readable from then on, which spares the call that would say so: the event loop
/// tells of every arrival, as it is edge-triggered.
fn read_all(tcp: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    let tried = tcp.try_io(Interest::READABLE, || {
        let size = buffer.len();
        (read, _) = rustix::net::recv(tcp, &mut *buffer, RecvFlags::empty())?;
        if read > 0 && read < size {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match tried {
        Err(error) if read == 0 => Err(error),
        Ok(()) | Err(_) => Ok(read),
    }
}

/// Writes without asking first whether the stream is writable, as it nearly always is:
/// what tokio knows of it lies in memory that a fan-out to thousands would have to fetch.
fn write_now(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let written = match slices {
        [one] => rustix::net::send(tcp, one, SendFlags::NOSIGNAL),
        many => rustix::io::writev(tcp, many),
    };
    match written {
        // Once more, so that tokio hears of it and tells when it is writable again.
        Err(Errno::AGAIN | Errno::INTR) => tcp.try_write_vectored(slices),
        written => Ok(written?),
    }
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    /// Reads what is there; 0 at the end of the stream.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => read_all(tcp, buffer),
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// Writes as much as is taken now.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => write_now(tcp, slices),
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    /// Whether bytes that were taken have not reached the kernel yet.
    pub(crate) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.holds_back(),
        }
    }

    /// Hands on to the kernel what is held back; `Ok(true)`: nothing is any more.
    pub(crate) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.try_flush(),
        }
    }

    /// Ready when a read may bring something.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_readable(cx),
        }
    }

    /// Ready when a write may be taken.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }
}
