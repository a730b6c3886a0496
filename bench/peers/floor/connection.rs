//! A client: its socket, and what waits for it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::{Errno, write};

/// Most bytes that wait for a socket; then it is closed. As much as Fanfare's default.
const BACKLOG: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    pub(crate) is_open: bool,
    /// The channel it listens to and its place among the listeners.
    pub(crate) listens: Option<(u32, u32)>,
    /// The beginning of a request or frame whose rest has not come.
    pub(crate) partial: Option<Box<[u8]>>,
    backlog: Option<Box<Backlog>>,
}

#[derive(Debug, Default)]
struct Backlog {
    frames: VecDeque<Rc<[u8]>>,
    /// Bytes of the first that are written already.
    written: usize,
    waiting: usize,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything is with the kernel.
    All,
    /// The socket has just begun to be behind.
    Blocked,
    /// It was behind before, and still is.
    Waits,
    /// The connection is lost, or too far behind.
    Lost,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            is_open: false,
            listens: None,
            partial: None,
            backlog: None,
        }
    }

    /// Writes a frame, or what it can of it; the rest waits.
    pub(crate) fn send(&mut self, frame: &Rc<[u8]>) -> Written {
        if let Some(backlog) = &mut self.backlog {
            backlog.waiting += frame.len();
            backlog.frames.push_back(Rc::clone(frame));
            return match backlog.waiting {
                ..=BACKLOG => Written::Waits,
                _ => Written::Lost,
            };
        }
        match write(&self.socket, frame) {
            Ok(written) if written == frame.len() => Written::All,
            Ok(written) => self.block(frame, written),
            Err(Errno::AGAIN) => self.block(frame, 0),
            Err(_) => Written::Lost,
        }
    }

    fn block(&mut self, frame: &Rc<[u8]>, written: usize) -> Written {
        self.backlog = Some(Box::new(Backlog {
            frames: VecDeque::from([Rc::clone(frame)]),
            written,
            waiting: frame.len(),
        }));
        Written::Blocked
    }

    /// Writes what waits, each frame by itself.
    pub(crate) fn flush(&mut self) -> Written {
        while let Some(backlog) = &mut self.backlog {
            let Some(frame) = backlog.frames.front() else {
                self.backlog = None;
                break;
            };
            match write(&self.socket, &frame[backlog.written..]) {
                Ok(written) if backlog.written + written == frame.len() => {
                    backlog.waiting -= frame.len();
                    backlog.written = 0;
                    backlog.frames.pop_front();
                }
                Ok(written) => backlog.written += written,
                Err(Errno::AGAIN) => return Written::Waits,
                Err(_) => return Written::Lost,
            }
        }
        Written::All
    }
}
