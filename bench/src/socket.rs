//! A TCP connection, plain or with TLS, that never waits.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, SockRef, Type};

use crate::target::Target;

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes through TLS.
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Begins to connect. `source` chooses the address to come from, for targets on this machine:
    /// one address has some 28,000 ports.
    pub(crate) fn connect(target: &Target, source: u8, tls: &Tls) -> anyhow::Result<Self> {
        let address = target.address;
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )
        .context("no socket")?;
        socket.set_tcp_nodelay(true)?;
        if source > 0 && is_loopback_v4(address) {
            let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0));
            socket
                .bind(&from.into())
                .with_context(|| format!("no port at {from}"))?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error).context(format!("{address}")),
        }
        let stream = TcpStream::from(socket);
        if !target.secure {
            return Ok(Self::Plain(stream));
        }
        let name = ServerName::try_from(target.name.clone())?;
        let session = ClientConnection::new(Arc::clone(&tls.0), name)?;
        Ok(Self::Secure(Box::new(StreamOwned::new(session, stream))))
    }

    /// Why the connection could not be made, if so.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.stream().take_error()
    }

    /// Whether a short read says that nothing is left: not of TLS, which reads in records.
    pub(crate) fn short_read_is_last(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Reads what there is.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }

    /// Writes what is taken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    /// Writes what TLS still holds.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secure(stream) => stream.flush(),
        }
    }

    /// Makes the end of this socket a reset: the other side learns it at once, and the port is
    /// free at once.
    pub(crate) fn reset_when_closed(&self) -> io::Result<()> {
        SockRef::from(self.stream()).set_linger(Some(Duration::ZERO))
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(stream) => stream.get_ref(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

/// `EINPROGRESS`: the connection is being made.
const IN_PROGRESS: i32 = nix::errno::Errno::EINPROGRESS as i32;

fn is_loopback_v4(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback())
}

/// How TLS is spoken.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

impl Tls {
    /// Trusts what is in a PEM file of certificates, or nobody.
    pub(crate) fn trusting(file: Option<&std::path::Path>) -> anyhow::Result<Self> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;

        let mut roots = rustls::RootCertStore::empty();
        if let Some(file) = file {
            let certificates = CertificateDer::pem_file_iter(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            for certificate in certificates {
                roots.add(certificate?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every connection is a client of its own: nothing is resumed.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}
