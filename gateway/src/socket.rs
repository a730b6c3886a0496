//! The byte stream under a connection: TCP, or TLS over TCP.
//!
//! All calls take `&self` and never wait, so that a fan-out can write from the
//! broadcasting thread while the connection's task waits for the client.

use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ServerConnection;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Plaintext that TLS may hold back for a peer that does not read.
const TLS_BUFFER: usize = 64 * 1024;

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS, its state behind a short lock.
    Tls(Box<Tls>),
}

/// TLS over TCP.
#[derive(Debug)]
pub(crate) struct Tls {
    tcp: TcpStream,
    tls: Mutex<ServerConnection>,
}

/// The TCP stream as rustls wants it.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_all(self.0, buffer)
    }
}

/// Reads what the kernel has. If that was all, the stream is known not to be
/// readable from then on, which spares the call that would say so: the event loop
/// tells of every arrival, as it is edge-triggered.
fn read_all(tcp: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    let tried = tcp.try_io(Interest::READABLE, || {
        let size = buffer.len();
        read = rustix::io::read(tcp, buffer)?;
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

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// A stream after its TLS handshake.
    pub(crate) fn tls(tcp: TcpStream, mut tls: ServerConnection) -> Self {
        tls.set_buffer_limit(Some(TLS_BUFFER));
        Self::Tls(Box::new(Tls {
            tcp,
            tls: Mutex::new(tls),
        }))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
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
            Self::Plain(tcp) => match slices {
                [one] => tcp.try_write(one),
                many => tcp.try_write_vectored(many),
            },
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    /// Whether bytes that were taken have not reached the kernel yet.
    pub(crate) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.tls.lock().wants_write(),
        }
    }

    /// Hands on to the kernel what is held back; `Ok(true)`: nothing is any more.
    pub(crate) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(&mut tls.tls.lock()),
        }
    }

    /// Ready when a read may bring something.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(cx)
    }

    /// Ready when a write may be taken.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }
}

impl Tls {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tls = self.tls.lock();
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if tls.read_tls(&mut Raw(&self.tcp))? == 0 {
                return Ok(0);
            }
            tls.process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            // Answers of the protocol itself: key updates, alerts.
            self.flush(&mut tls)?;
        }
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut tls = self.tls.lock();
        if !self.flush(&mut tls)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = tls.writer().write_vectored(slices)?;
        self.flush(&mut tls)?;
        Ok(written)
    }

    fn flush(&self, tls: &mut ServerConnection) -> io::Result<bool> {
        while tls.wants_write() {
            match tls.write_tls(&mut Raw(&self.tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
