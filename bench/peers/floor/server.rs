//! The loop.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read};
use rustix::net::{SocketFlags, accept_with, listen, sockopt};
use slab::Slab;

use crate::connection::{Connection, Written};
use crate::upgrade::{self, Request};
use crate::websocket;

/// Names the listening socket among the events.
const LISTENER: u64 = u64::MAX;
/// How often some sockets get their heartbeat.
const TICK: Duration = Duration::from_millis(20);
const BUFFER: usize = 64 << 10;

/// The floor.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Slab<Connection>,
    /// Above every key of a connection that there has been.
    end: usize,
    names: HashMap<Box<[u8]>, u32>,
    /// Listeners of each channel. A channel stays, once it is named.
    channels: Vec<Vec<u32>>,
    heartbeat: Option<Heartbeat>,
    buffer: Box<[u8]>,
}

/// Which part of the interval has had its heartbeat.
#[derive(Debug)]
struct Heartbeat {
    interval: Duration,
    frame: Rc<[u8]>,
    round: Instant,
    next: usize,
}

impl Server {
    pub(crate) fn bind(
        address: impl Into<SocketAddr>,
        heartbeat: Option<Duration>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address.into())?;
        listener.set_nonblocking(true)?;
        // Accepted sockets inherit it.
        sockopt::set_tcp_nodelay(&listener, true)?;
        // Again, with the longest queue that the system allows.
        listen(&listener, i32::MAX)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        let heartbeat = heartbeat.map(|interval| Heartbeat {
            interval,
            frame: websocket::frame(websocket::PING, b"").into(),
            round: Instant::now(),
            next: 0,
        });
        Ok(Self {
            listener,
            epoll,
            connections: Slab::new(),
            end: 0,
            names: HashMap::new(),
            channels: Vec::new(),
            heartbeat,
            buffer: vec![0; BUFFER].into(),
        })
    }

    /// Serves until the process is killed.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
        let timeout = self.heartbeat.is_some().then_some(tick);
        let mut ticked = Instant::now();
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let (key, flags) = (event.data.u64(), event.flags);
                if key == LISTENER {
                    self.accept();
                } else if let Ok(key) = usize::try_from(key) {
                    self.serve(key, flags);
                }
            }
            if timeout.is_some() && ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.beat();
            }
        }
    }

    fn accept(&mut self) {
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::NONBLOCK) {
            let entry = self.connections.vacant_entry();
            self.end = self.end.max(entry.key() + 1);
            let data = EventData::new_u64(entry.key() as u64);
            if epoll::add(&self.epoll, &socket, data, EventFlags::IN).is_ok() {
                entry.insert(Connection::new(socket));
            }
        }
    }

    fn serve(&mut self, key: usize, flags: EventFlags) {
        if flags.contains(EventFlags::OUT)
            && let Some(connection) = self.connections.get_mut(key)
        {
            match connection.flush() {
                Written::All => self.watch(key, EventFlags::IN),
                Written::Lost => self.close(key),
                Written::Blocked | Written::Waits => {}
            }
        }
        if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
            self.receive(key);
        }
    }

    /// One read, and what came with it.
    fn receive(&mut self, key: usize) {
        // Closed by an event before this one.
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let before = connection.partial.take().unwrap_or_default();
        buffer[..before.len()].copy_from_slice(&before);
        match read(&connection.socket, &mut buffer[before.len()..]) {
            Ok(0) => self.close(key),
            Ok(length) => self.take(key, &mut buffer[..before.len() + length]),
            Err(Errno::AGAIN | Errno::INTR) => connection.partial = some(&before),
            Err(_) => self.close(key),
        }
        self.buffer = buffer;
    }

    fn take(&mut self, key: usize, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let step = match self.connections.get(key) {
                Some(connection) if connection.is_open => self.message(key, &mut bytes[at..]),
                Some(_) => self.open(key, &bytes[at..]),
                None => return,
            };
            match step {
                Some(0) => break,
                Some(length) => at += length,
                None => return self.close(key),
            }
        }
        if let Some(connection) = self.connections.get_mut(key) {
            // Nothing a client may send fills the buffer.
            if bytes.len() == BUFFER && at == 0 {
                return self.close(key);
            }
            connection.partial = some(&bytes[at..]);
        }
    }

    /// Answers the request. Bytes taken, 0 if more must come, `None` to close.
    fn open(&mut self, key: usize, bytes: &[u8]) -> Option<usize> {
        match upgrade::parse(bytes) {
            Request::Incomplete => Some(0),
            Request::Refused => None,
            Request::Upgrade { length, answer } => {
                self.connections[key].is_open = true;
                self.send(key, &Rc::from(answer.into_bytes()));
                Some(length)
            }
        }
    }

    /// Does what a message says. Returns as [`Self::open`].
    fn message(&mut self, key: usize, bytes: &mut [u8]) -> Option<usize> {
        let Some(frame) = websocket::parse(bytes).ok()? else {
            return Some(0);
        };
        match frame.opcode {
            websocket::TEXT => self.command(key, frame.payload),
            websocket::PING => {
                let pong = websocket::frame(websocket::PONG, frame.payload);
                self.send(key, &pong.into());
            }
            websocket::CLOSE => return None,
            _ => {}
        }
        Some(frame.length)
    }

    fn command(&mut self, key: usize, text: &[u8]) {
        if let Some(rest) = text.strip_prefix(b"pub ") {
            if let Some(space) = rest.iter().position(|&byte| byte == b' ') {
                self.publish(&rest[..space], &rest[space + 1..]);
            }
        } else if let Some(channel) = text.strip_prefix(b"sub ") {
            self.listen(key, channel);
        }
        // Nothing else is understood.
    }

    fn publish(&mut self, channel: &[u8], payload: &[u8]) {
        let Some(&channel) = self.names.get(channel) else {
            return;
        };
        let frame: Rc<[u8]> = websocket::frame(websocket::TEXT, payload).into();
        // From the last to the first: whoever is closed is replaced by the last.
        for place in self.places(channel).rev() {
            let key = self.channels[channel as usize][place];
            self.send(key as usize, &frame);
        }
    }

    fn places(&self, channel: u32) -> Range<usize> {
        0..self.channels[channel as usize].len()
    }

    /// A connection listens to one channel, the last that it named.
    fn listen(&mut self, key: usize, name: &[u8]) {
        self.unlisten(key);
        let (Ok(id), Ok(new)) = (u32::try_from(key), u32::try_from(self.channels.len())) else {
            return self.close(key);
        };
        let channel = match self.names.get(name) {
            Some(&channel) => channel,
            None => {
                self.names.insert(name.into(), new);
                self.channels.push(Vec::new());
                new
            }
        };
        let listeners = &mut self.channels[channel as usize];
        // There are no more than connections, whose keys were just found to fit.
        let place = u32::try_from(listeners.len()).unwrap_or(u32::MAX);
        listeners.push(id);
        self.connections[key].listens = Some((channel, place));
    }

    fn unlisten(&mut self, key: usize) {
        let Some((channel, place)) = self.connections[key].listens.take() else {
            return;
        };
        let listeners = &mut self.channels[channel as usize];
        listeners.swap_remove(place as usize);
        if let Some(&moved) = listeners.get(place as usize) {
            self.connections[moved as usize].listens = Some((channel, place));
        }
    }

    fn send(&mut self, key: usize, frame: &Rc<[u8]>) {
        match self.connections[key].send(frame) {
            Written::All | Written::Waits => {}
            Written::Blocked => self.watch(key, EventFlags::IN | EventFlags::OUT),
            Written::Lost => self.close(key),
        }
    }

    fn watch(&mut self, key: usize, flags: EventFlags) {
        let socket = &self.connections[key].socket;
        if epoll::modify(&self.epoll, socket, EventData::new_u64(key as u64), flags).is_err() {
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        if self.connections.contains(key) {
            self.unlisten(key);
            // With the last descriptor, the socket leaves epoll too.
            self.connections.remove(key);
        }
    }

    /// Sends the heartbeats that are due: the sockets are spread over the interval.
    fn beat(&mut self) {
        let Some(heartbeat) = &mut self.heartbeat else {
            return;
        };
        let elapsed = heartbeat.round.elapsed();
        let part = elapsed.as_secs_f64() / heartbeat.interval.as_secs_f64();
        let due = keys_due(self.end, part);
        let keys = heartbeat.next..due;
        let frame = Rc::clone(&heartbeat.frame);
        heartbeat.next = due;
        if part >= 1.0 {
            heartbeat.round += heartbeat.interval;
            heartbeat.next = 0;
        }
        for key in keys {
            if self.connections.get(key).is_some_and(|c| c.is_open) {
                self.send(key, &frame);
            }
        }
    }
}

/// How many of so many keys have had their heartbeat after this part of the interval.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part between 0 and 1 of a number of sockets"
)]
fn keys_due(end: usize, part: f64) -> usize {
    (end as f64 * part.clamp(0.0, 1.0)) as usize
}

fn some(bytes: &[u8]) -> Option<Box<[u8]>> {
    (!bytes.is_empty()).then(|| bytes.into())
}
