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

/// The frames that wait, in order. Small when there are none, as nearly always.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Option<Box<Waiting>>,
}

/// At least one frame.
#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes)
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
        if self.is_empty() && !corked {
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
        if self.bytes() + frame.len() > limit {
            return Ok(Pushed::Full);
        }
        self.enqueue(frame.clone());
        Ok(Pushed::Queued)
    }

    fn enqueue(&mut self, frame: Bytes) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
    }

    /// Writes as much as `write` takes, many frames at a time. `Ok(true)`: all is
    /// written, and the queue's memory is released.
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while let Some(waiting) = &mut self.waiting {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut n = 0;
            for (slice, frame) in slices.iter_mut().zip(&waiting.frames) {
                *slice = IoSlice::new(frame);
                n += 1;
            }
            match write(&slices[..n]) {
                Ok(written) => waiting.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if waiting.frames.is_empty() {
                self.waiting = None;
            }
        }
        Ok(true)
    }

    /// Drops all frames but a partly written first one, whose end the peer needs
    /// to make sense of whatever follows.
    pub(crate) fn discard(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.frames.truncate(1);
            waiting.bytes = waiting.frames.iter().map(Bytes::len).sum();
        }
    }

    /// Queues a frame over the limit: for the close frame.
    pub(crate) fn push_last(&mut self, frame: Bytes) {
        self.enqueue(frame);
    }
}

impl Waiting {
    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0
            && let Some(front) = self.frames.front_mut()
        {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.frames.pop_front();
        }
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
