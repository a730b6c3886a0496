//! One end of a TLS connection: keys, and bytes that are not finished.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use super::invalid;

/// See the module. Without a socket: what arrives is given to it, and what is to be
/// sent is taken from it.
pub(super) struct State {
    pub(super) tls: UnbufferedServerConnection,
    /// Received: the beginning of a record or of a handshake message.
    pub(super) unfinished: Vec<u8>,
    /// Decrypted, and more than its reader had room for.
    pub(super) unread: Vec<u8>,
    /// Encrypted, and not taken by the kernel.
    pub(super) unsent: Vec<u8>,
    /// rustls gave up: it must not be asked again.
    failed: bool,
    /// The peer said that it sends no more.
    pub(super) peer_closed: bool,
    /// We said so.
    closed: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("peer_closed", &self.peer_closed)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config).map_err(invalid)?,
            unfinished: Vec::new(),
            unread: Vec::new(),
            unsent: Vec::new(),
            failed: false,
            peer_closed: false,
            closed: false,
        })
    }

    /// Deals with what was received, and returns how much of it is done with.
    pub(super) fn process(
        &mut self,
        received: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        self.check()?;
        let mut used = 0;
        let mut failed = None;
        loop {
            let last = failed.is_some();
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut received[used..]);
            let goes_on = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.unsent)?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `unsent`, which leaves before anything else.
                    data.done();
                    true
                }
                // Once more, for the alert that tells the peer.
                Err(error) if !last => {
                    self.failed = true;
                    failed = Some(error);
                    true
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        take(record.payload);
                    }
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    true
                }
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                )
                | Err(_) => false,
                // No early data is accepted.
                Ok(_) => return Err(invalid("unexpected state of TLS")),
            };
            used += discard;
            if last || !goes_on {
                return failed.map_or(Ok(used), |error| Err(invalid(error)));
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(())
    }

    /// Says that nothing more will be sent, once.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if !self.failed && !std::mem::replace(&mut self.closed, true) {
            let mut goodbye = Vec::new();
            let n = self.with_traffic(&mut goodbye, |traffic, ciphertext| {
                traffic.queue_close_notify(ciphertext)
            })?;
            self.unsent.extend_from_slice(&goodbye[..n]);
        }
        Ok(())
    }

    /// Has something written into `ciphertext`, which grows as needed; returns how much.
    pub(super) fn with_traffic(
        &mut self,
        ciphertext: &mut Vec<u8>,
        mut write: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        self.check()?;
        loop {
            // With what is unfinished: rustls remembers places in it.
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut self.unfinished);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.failed = true;
                    return Err(invalid(error));
                }
            };
            let written = match state {
                ConnectionState::WriteTraffic(mut traffic) => loop {
                    match write(&mut traffic, ciphertext) {
                        Ok(n) => break Some(n),
                        Err(EncryptError::InsufficientSize(size)) => {
                            ciphertext.resize(size.required_size, 0);
                        }
                        Err(error) => return Err(invalid(error)),
                    }
                },
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, &mut self.unsent)?;
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                _ => return Err(io::ErrorKind::NotConnected.into()),
            };
            self.unfinished.drain(..discard);
            if let Some(written) = written {
                return Ok(written);
            }
        }
    }
}

/// Appends a message of the protocol to what is to be sent.
fn encode(
    mut data: EncodeTlsData<'_, ServerConnectionData>,
    unsent: &mut Vec<u8>,
) -> io::Result<()> {
    let size = match data.encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Err(error) => return Err(invalid(error)),
    };
    let start = unsent.len();
    unsent.resize(start + size, 0);
    data.encode(&mut unsent[start..]).map_err(invalid)?;
    Ok(())
}
