//! TCP as a stream that never waits: the kernel's own, and tokio's.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes; perhaps none.
    Some {
        bytes: usize,
        /// There may be more to read at once. If not, the event loop will tell of it:
        /// it is edge-triggered, and tells of every arrival.
        more: bool,
    },
    /// The other side sends no more.
    End,
}

impl Read {
    /// Nothing is there.
    pub(crate) const NOTHING: Self = Self::Some {
        bytes: 0,
        more: false,
    };
}

/// See the module.
pub(crate) trait Tcp {
    /// Reads what the kernel has.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<Read>;

    /// Writes as much as the kernel takes now.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock): it takes nothing.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes until the kernel takes no more; returns how much it took.
    fn write_all(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.try_write(&[IoSlice::new(&bytes[sent..])]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

fn read(tcp: impl AsFd, buffer: &mut [u8]) -> io::Result<Read> {
    let size = buffer.len();
    loop {
        return match rustix::net::recv(&tcp, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) if size > 0 => Ok(Read::End),
            // Less than there was room for is all that there was: it spares the call
            // that would say so.
            Ok((bytes, _)) => Ok(Read::Some {
                bytes,
                more: bytes == size,
            }),
            Err(Errno::AGAIN) => Ok(Read::NOTHING),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

fn write(tcp: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let written = match slices {
            [one] => rustix::net::send(&tcp, one, SendFlags::NOSIGNAL),
            many => rustix::io::writev(&tcp, many),
        };
        match written {
            Err(Errno::INTR) => {}
            written => return Ok(written?),
        }
    }
}

impl Tcp for std::net::TcpStream {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        read(self, buffer)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write(self, slices)
    }
}

/// What tokio knows of the stream follows what is found.
impl Tcp for tokio::net::TcpStream {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        let mut found = Read::NOTHING;
        let tried = self.try_io(Interest::READABLE, || {
            found = read(self, buffer)?;
            match found {
                Read::Some { more: false, .. } => Err(io::ErrorKind::WouldBlock.into()),
                Read::Some { more: true, .. } | Read::End => Ok(()),
            }
        });
        match tried {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(found),
        }
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || write(self, slices))
    }
}
