//! TLS over TCP that keeps nothing but its keys while a connection is idle.
//!
//! rustls' own connection holds 4 KiB for what may arrive next, and rustls leaves it to
//! its unbuffered one where bytes lie. Here they are received, decrypted and encrypted
//! in buffers of the thread, and only what the other side or the kernel leaves
//! unfinished is kept with the connection: the beginning of a record, and what the
//! socket did not take.

mod state;
mod stream;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;

use self::state::State;
pub(crate) use self::stream::TlsStream;
use super::{Read, Tcp};

#[cfg(test)]
mod tests;

/// Room for what is received: more than the largest record and the largest handshake
/// message (64 KiB) together.
const RECEIVE: usize = 128 * 1024;
/// Received at least at a time, however little room the reader has.
const LEAST: usize = 4 * 1024;
/// Plaintext that is taken at a time, and so about what may wait for a peer that does
/// not read.
const TAKE: usize = 64 * 1024;

thread_local! {
    static RECEIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECEIVE].into_boxed_slice());
    static SENDING: RefCell<Sending> = RefCell::default();
}

/// What is being sent.
#[derive(Default)]
struct Sending {
    plaintext: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// See the module. All calls take `&self` and never wait.
#[derive(Debug)]
pub(crate) struct Tls<T> {
    tcp: T,
    state: Mutex<State>,
}

impl<T: Tcp> Tls<T> {
    fn new(config: Arc<ServerConfig>, tcp: T) -> io::Result<Self> {
        Ok(Self {
            tcp,
            state: Mutex::new(State::new(config)?),
        })
    }

    /// The stream under it.
    pub(super) fn tcp(&self) -> &T {
        &self.tcp
    }

    /// Whether something was decrypted and not read yet.
    pub(super) fn has_unread(&self) -> bool {
        !self.state.lock().unread.is_empty()
    }

    /// Reads what is there, which may be no more than a part of a record: then it is
    /// nothing yet.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        let state = &mut *self.state.lock();
        if !state.unread.is_empty() {
            let n = state.unread.len().min(buffer.len());
            buffer[..n].copy_from_slice(&state.unread[..n]);
            state.unread.drain(..n);
            if state.unread.is_empty() {
                state.unread = Vec::new();
            }
            // What the kernel has behind it is not known.
            return Ok(Read::Some {
                bytes: n,
                more: true,
            });
        }
        if state.peer_closed {
            return Ok(Read::End);
        }
        let mut filled = 0;
        let mut rest = Vec::new();
        let received = self.receive(state, buffer.len(), |plaintext| {
            let n = plaintext.len().min(buffer.len() - filled);
            buffer[filled..filled + n].copy_from_slice(&plaintext[..n]);
            filled += n;
            rest.extend_from_slice(&plaintext[n..]);
        })?;
        state.unread = rest;
        // Received once, even if that brought nothing: a peer that sends records with
        // nothing in them must not keep the thread.
        Ok(match received {
            Read::Some { more, .. } if filled > 0 || !state.peer_closed => Read::Some {
                bytes: filled,
                more: more || !state.unread.is_empty() || state.peer_closed,
            },
            Read::Some { .. } | Read::End => Read::End,
        })
    }

    /// Receives once and decrypts. Received is no more than the reader has room for, so
    /// that nothing decrypted is left over, unless a record alone is larger.
    fn receive(&self, state: &mut State, room: usize, take: impl FnMut(&[u8])) -> io::Result<Read> {
        RECEIVED.with_borrow_mut(|buffer| {
            let kept = state.unfinished.len();
            if kept == buffer.len() {
                return Err(invalid("a record does not end"));
            }
            let limit = room.max(kept + LEAST).min(buffer.len());
            let received = self.tcp.try_read(&mut buffer[kept..limit])?;
            let bytes = match received {
                Read::Some { bytes: 0, .. } | Read::End => return Ok(received),
                Read::Some { bytes, .. } => bytes,
            };
            buffer[..kept].copy_from_slice(&state.unfinished);
            let total = kept + bytes;
            let used = state.process(&mut buffer[..total], take);
            // Answers of the protocol itself: handshake, key updates, alerts.
            let flushed = self.flush(state);
            state.unfinished = buffer[used?..total].to_vec();
            flushed?;
            Ok(received)
        })
    }

    /// Writes as much as is taken now.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let state = &mut *self.state.lock();
        if !self.flush(state)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        SENDING.with_borrow_mut(|sending| {
            let plaintext = match slices {
                [one] => &one[..one.len().min(TAKE)],
                many => {
                    sending.plaintext.clear();
                    for slice in many {
                        let room = TAKE - sending.plaintext.len();
                        let taken = &slice[..slice.len().min(room)];
                        sending.plaintext.extend_from_slice(taken);
                    }
                    &sending.plaintext[..]
                }
            };
            let n = state.with_traffic(&mut sending.ciphertext, |traffic, ciphertext| {
                traffic.encrypt(plaintext, ciphertext)
            })?;
            self.send(state, &sending.ciphertext[..n])?;
            Ok(plaintext.len())
        })
    }

    /// Sends, and keeps what the kernel does not take.
    fn send(&self, state: &mut State, ciphertext: &[u8]) -> io::Result<()> {
        if state.unsent.is_empty() {
            let sent = self.tcp.write_all(ciphertext)?;
            state.unsent.extend_from_slice(&ciphertext[sent..]);
        } else {
            // What the protocol itself had to say comes first.
            state.unsent.extend_from_slice(ciphertext);
            self.flush(state)?;
        }
        Ok(())
    }

    /// Whether bytes that were taken have not reached the kernel yet.
    pub(super) fn holds_back(&self) -> bool {
        !self.state.lock().unsent.is_empty()
    }

    /// Hands on to the kernel what is held back; `Ok(true)`: nothing is any more.
    pub(super) fn try_flush(&self) -> io::Result<bool> {
        self.flush(&mut self.state.lock())
    }

    fn flush(&self, state: &mut State) -> io::Result<bool> {
        if state.unsent.is_empty() {
            return Ok(true);
        }
        let sent = self.tcp.write_all(&state.unsent)?;
        if sent == state.unsent.len() {
            state.unsent = Vec::new();
            return Ok(true);
        }
        state.unsent.drain(..sent);
        Ok(false)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
