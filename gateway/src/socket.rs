//! The byte stream under a connection: TCP, or TLS over TCP.
//!
//! All calls take `&self` and never wait, so that a fan-out can write from the
//! broadcasting thread while the connection's own thread reads. When a socket can be
//! read or written again is for others to say: the [poller](crate::poller), or tokio
//! for a stream that is no connection yet.

mod tcp;
mod tls;

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

pub(crate) use self::tcp::{Read, Tcp};
pub(crate) use self::tls::{Tls, TlsStream};

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS, its state behind a short lock.
    Tls(Box<Tls<TcpStream>>),
}

impl Socket {
    /// Reads what is there.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buffer),
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// Writes as much as is taken now.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(slices),
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    /// Whether something was received already and not read yet: nobody will say that it
    /// can be read.
    pub(crate) fn has_unread(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_unread(),
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
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Plain(tcp) => tcp.as_raw_fd(),
            Self::Tls(tls) => tls.tcp().as_raw_fd(),
        }
    }
}
