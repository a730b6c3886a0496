//! A connection and what it holds: bytes that wait to be sent, and those whose rest has not come.

use std::io;

use crate::clock::Micros;
use crate::dialect::{Framing, Session};
use crate::socket::Socket;

/// Most bytes that wait for a server that does not read.
const UNSENT: usize = 64 << 20;

/// One of the generator's connections.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) stage: Stage,
    pub(super) framing: Framing,
    pub(super) begun: Micros,
    pub(super) session: Session,
    /// The beginning of a frame whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// The message whose last frame has not come.
    pub(super) fragments: Vec<u8>,
    /// What the socket has not taken.
    pub(super) unsent: Vec<u8>,
    /// The request of the upgrade, until it is sent.
    pub(super) request: String,
}

impl Connection {
    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        let mut written = 0;
        while written < self.unsent.len() {
            match self.socket.write(&self.unsent[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        self.unsent.drain(..written);
        if self.unsent.len() > UNSENT {
            return Err("the server does not read what is sent".to_owned());
        }
        match self.socket.flush() {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(format!("write: {error}")),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP is not connected.
    Connecting,
    /// The upgrade is not answered.
    Upgrading,
    /// Messages come.
    Open,
}
