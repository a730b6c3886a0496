//! A connection's bounded queue of encoded frames.
//!
//! It holds only what the socket did not take at once, and shares the bytes of
//! each frame with all other outboxes that hold it. A plain structure: the lock
//! and the socket belong to [`Connection`](crate::connection::Connection).

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

/// Frames given to the socket in one write. The kernel takes up to 1,024; more
/// than this brings nothing measurable.
const MAX_SLICES: usize = 64;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The socket has it.
    Written,
    /// It waits in the queue until the socket is writable.
    Queued,
    /// The queue is full. The frame is not in it.
    Full,
}

/// The frames that wait, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the frame if nothing waits before it and `write` takes it, else
    /// queues it (or its rest) while the queue's limit in bytes allows. `corked`
    /// queues it in any case.
    ///
    /// # Errors
    /// What `write` returned, other than that it would block.
    pub(crate) fn push(
        &mut self,
        frame: &Bytes,
        limit: usize,
        corked: bool,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Pushed> {
        if self.queue.is_empty() && !corked {
            let written = match write(&[IoSlice::new(frame)]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            if written >= frame.len() {
                return Ok(Pushed::Written);
            }
            // The rest of a frame is always kept: the peer has its beginning.
            self.enqueue(frame.slice(written..));
            return Ok(Pushed::Queued);
        }
        if self.bytes + frame.len() > limit {
            return Ok(Pushed::Full);
        }
        self.enqueue(frame.clone());
        Ok(Pushed::Queued)
    }

    fn enqueue(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.queue.push_back(frame);
    }

    /// Writes as much as `write` takes, many frames at a time. `Ok(true)`: all is
    /// written, and the queue's memory is released.
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut n = 0;
            for (slice, frame) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(frame);
                n += 1;
            }
            match write(&slices[..n]) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.queue = VecDeque::new();
        Ok(true)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0
            && let Some(front) = self.queue.front_mut()
        {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }

    /// Drops all frames but a partly written first one, whose end the peer needs
    /// to make sense of whatever follows.
    pub(crate) fn discard(&mut self) {
        self.queue.truncate(1);
        self.bytes = self.queue.iter().map(Bytes::len).sum();
    }

    /// Queues a frame over the limit: for the close frame.
    pub(crate) fn push_last(&mut self, frame: Bytes) {
        self.enqueue(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes a given number of bytes, then would block.
    struct Socket {
        room: usize,
        taken: Vec<u8>,
        writes: usize,
    }

    impl Socket {
        fn with_room(room: usize) -> Self {
            Self {
                room,
                taken: Vec::new(),
                writes: 0,
            }
        }

        fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.writes += 1;
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let before = self.taken.len();
            for slice in slices {
                let n = slice.len().min(self.room);
                self.taken.extend_from_slice(&slice[..n]);
                self.room -= n;
            }
            Ok(self.taken.len() - before)
        }
    }

    fn push(outbox: &mut Outbox, socket: &mut Socket, frame: &'static str, limit: usize) -> Pushed {
        outbox
            .push(&Bytes::from_static(frame.as_bytes()), limit, false, |s| {
                socket.write(s)
            })
            .unwrap()
    }

    #[test]
    fn an_idle_socket_takes_frames_at_once() {
        let (mut outbox, mut socket) = (Outbox::default(), Socket::with_room(100));
        assert_eq!(push(&mut outbox, &mut socket, "one", 10), Pushed::Written);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_blocked_socket_gets_everything_later_in_order_and_in_few_writes() {
        let (mut outbox, mut socket) = (Outbox::default(), Socket::with_room(2));
        assert_eq!(push(&mut outbox, &mut socket, "one", 100), Pushed::Queued);
        assert_eq!(push(&mut outbox, &mut socket, "two", 100), Pushed::Queued);
        assert_eq!(push(&mut outbox, &mut socket, "three", 100), Pushed::Queued);
        assert_eq!(outbox.bytes(), 9);
        assert!(!outbox.flush(|s| socket.write(s)).unwrap());
        socket.room = 4;
        assert!(!outbox.flush(|s| socket.write(s)).unwrap());
        socket.room = 100;
        socket.writes = 0;
        assert!(outbox.flush(|s| socket.write(s)).unwrap());
        assert_eq!(socket.taken, b"onetwothree");
        assert_eq!((outbox.bytes(), socket.writes), (0, 1));
    }

    #[test]
    fn a_full_outbox_refuses_but_keeps_the_rest_of_what_was_begun() {
        let (mut outbox, mut socket) = (Outbox::default(), Socket::with_room(1));
        assert_eq!(
            push(&mut outbox, &mut socket, "a long frame", 5),
            Pushed::Queued
        );
        assert_eq!(push(&mut outbox, &mut socket, "another", 5), Pushed::Full);
        outbox.discard();
        outbox.push_last(Bytes::from_static(b"close"));
        socket.room = 100;
        assert!(outbox.flush(|s| socket.write(s)).unwrap());
        assert_eq!(socket.taken, b"a long frameclose");
    }
}
