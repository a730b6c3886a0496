//! One thread, one epoll, all connections.
//!
//! Readiness is edge-triggered and one `recv` is made per event: into one buffer that all
//! connections share, in which frames are read where they lie. What a delivery costs is the system
//! call and little else.
//!
//! A good part of that call is the acknowledgement that the kernel sends when a socket is emptied.
//! `TCP_QUICKACK` could put it off, but then timers send it, at the expense of whatever runs just
//! then: of the server under test, as likely as not.

mod connection;
mod messages;

use std::io;
use std::mem;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

use self::connection::{Connection, Stage};
use self::messages::Messages;
use crate::clock::Clock;
use crate::dialect::{Channels, Context, Dialect, Events, Framing, Masks, Session, Tally};
use crate::payload::{Marker, Payloads};
use crate::socket::{Socket, Tls};
use crate::target::Target;
use crate::upgrade::Upgrade;

/// Bytes of the buffer that is read into; it grows for longer messages.
const BUFFER: usize = 256 << 10;
/// Most events that one wait returns.
const EVENTS: usize = 1024;

/// Names a connection. A name is used again when its connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u32);

/// How a connection is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Leave {
    /// By the end of the stream, as a process that ends does.
    Finish,
    /// By a reset, as a network that fails does.
    Reset,
}

/// All connections of the generator.
pub struct EventLoop {
    epoll: OwnedFd,
    happened: Vec<epoll::Event>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    /// Connections with something to send.
    dirty: Vec<u32>,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    channel: String,
    /// Different source addresses that connections come from; 0 leaves it to the kernel.
    sources: u8,
    tls: Tls,
    upgrade: Upgrade,
    channels: Channels,
    dialect: Box<dyn Dialect>,
    payloads: Payloads,
    masks: Masks,
    clock: Clock,
    tally: Tally,
}

/// What an event loop is made of.
pub(crate) struct Parts {
    pub(crate) dialect: Box<dyn Dialect>,
    pub(crate) channels: Channels,
    pub(crate) payloads: Payloads,
    pub(crate) tls: Tls,
    pub(crate) sources: u8,
}

impl EventLoop {
    /// Of this thread, which is from now on woken when it wants to be: by default the kernel
    /// takes 50 µs more, to serve several timers at once.
    pub(crate) fn new(parts: Parts) -> anyhow::Result<Self> {
        set_current_timer_slack(Some(NonZeroU64::MIN)).context("no exact timers")?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
        Ok(Self {
            epoll,
            happened: Vec::with_capacity(EVENTS),
            connections: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            buffer: vec![0; BUFFER],
            payload: Vec::new(),
            channel: String::new(),
            sources: parts.sources,
            tls: parts.tls,
            upgrade: Upgrade::new(parts.dialect.subprotocol()),
            channels: parts.channels,
            dialect: parts.dialect,
            payloads: parts.payloads,
            masks: Masks::new(),
            clock: Clock::start(),
            tally: Tally::default(),
        })
    }

    /// The clock that deliveries are dated by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What happened to connections so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What happened to connections since the last call.
    pub fn take_tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }

    /// A session, while its connection is there.
    #[must_use]
    pub fn session(&self, key: Key) -> Option<&Session> {
        let connection = self.connections.get(key.0 as usize)?.as_ref()?;
        Some(&connection.session)
    }

    /// Begins a connection.
    ///
    /// # Errors
    ///
    /// When the system refuses a socket, or TCP fails at once.
    pub fn open(&mut self, target: &Target, session: Session) -> anyhow::Result<Key> {
        self.tally.opened += 1;
        let source = match self.sources {
            0 => 0,
            #[expect(clippy::cast_possible_truncation, reason = "less than sources")]
            sources => 1 + (session.number % u32::from(sources)) as u8,
        };
        let socket = Socket::connect(target, source, &self.tls)?;
        let framing = self.dialect.framing(session.role);
        self.channels.write(session.channel, &mut self.channel);
        let request = match framing {
            Framing::WebSocket => self.upgrade.request(target, &self.channel),
            Framing::Stream => String::new(),
        };
        let connection = Box::new(Connection {
            socket,
            stage: Stage::Connecting,
            framing,
            begun: self.clock.now(),
            session,
            partial: Vec::new(),
            fragments: Vec::new(),
            unsent: Vec::new(),
            request,
        });
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.connections.push(None);
                u32::try_from(self.connections.len() - 1)?
            }
        };
        epoll::add(
            &self.epoll,
            &connection.socket,
            epoll::EventData::new_u64(u64::from(index)),
            epoll::EventFlags::IN
                | epoll::EventFlags::OUT
                | epoll::EventFlags::RDHUP
                | epoll::EventFlags::ET,
        )
        .context("epoll")?;
        self.connections[index as usize] = Some(connection);
        Ok(Key(index))
    }

    /// Leaves, without a word to the dialect; the connection is not counted as closed.
    pub fn leave(&mut self, key: Key, leave: Leave) {
        if let Some(connection) = self.take(key.0)
            && leave == Leave::Reset
        {
            // If it fails, the connection ends with FIN, which is what a peer sees otherwise too.
            let _ = connection.socket.reset_when_closed();
        }
    }

    /// Publishes; sent at the beginning of the next [`turn`](Self::turn). `marker` says to which
    /// channel. Returns the number that the reply will have.
    pub fn publish(&mut self, key: Key, marker: Marker) -> Option<u32> {
        let mut payload = mem::take(&mut self.payload);
        let mut channel = mem::take(&mut self.channel);
        payload.clear();
        self.payloads.write(marker, &mut payload);
        self.channels.write(marker.channel, &mut channel);
        let id = self.speak(key, |dialect, session, context| {
            dialect.publish(session, &channel, &payload, context)
        });
        self.payload = payload;
        self.channel = channel;
        id
    }

    /// Calls a method; sent as [`publish`](Self::publish) does.
    pub fn call(&mut self, key: Key, method: &str, data: &[u8]) -> Option<u32> {
        self.speak(key, |dialect, session, context| {
            dialect.call(session, method, data, context)
        })
    }

    /// Appends a payload to `out`, for calls that carry one.
    pub fn write_payload(&self, marker: Marker, out: &mut Vec<u8>) {
        self.payloads.write(marker, out);
    }

    fn speak(
        &mut self,
        key: Key,
        say: impl FnOnce(&dyn Dialect, &mut Session, &mut Context<'_>) -> Option<u32>,
    ) -> Option<u32> {
        let connection = self.connections.get_mut(key.0 as usize)?.as_mut()?;
        if connection.unsent.is_empty() {
            self.dirty.push(key.0);
        }
        let mut failure = None;
        let mut context = Context {
            now: self.clock.now(),
            begun: connection.begun,
            out: &mut connection.unsent,
            payloads: &self.payloads,
            masks: &mut self.masks,
            tally: &mut self.tally,
            failure: &mut failure,
        };
        let id = say(self.dialect.as_ref(), &mut connection.session, &mut context);
        if let Some(reason) = failure {
            self.close(key.0, reason);
        }
        id
    }

    /// Sends what is waiting, waits until something happens but at most `wait`, and handles it.
    ///
    /// # Errors
    ///
    /// When waiting fails. What fails on a connection closes it, and is in the tally.
    pub fn turn(&mut self, wait: Duration, events: &mut dyn Events) -> anyhow::Result<()> {
        self.flush_all();
        let mut happened = mem::take(&mut self.happened);
        happened.clear();
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs())?,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut happened), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        for event in &happened {
            let index = u32::try_from(event.data.u64())?;
            let flags = event.flags;
            if let Err(reason) = self.handle(index, flags, events) {
                self.close(index, reason);
            }
        }
        self.happened = happened;
        self.flush_all();
        Ok(())
    }

    /// Handles what happened to a connection; an error closes it.
    fn handle(
        &mut self,
        index: u32,
        flags: epoll::EventFlags,
        events: &mut dyn Events,
    ) -> Result<(), String> {
        let Some(connection) = &mut self.connections[index as usize] else {
            // It was left since.
            return Ok(());
        };
        let ended = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if connection.stage == Stage::Connecting {
            if flags.intersects(ended)
                && let Ok(Some(error)) | Err(error) = connection.socket.take_error()
            {
                return Err(format!("connect: {error}"));
            }
            match connection.framing {
                Framing::WebSocket => {
                    connection.stage = Stage::Upgrading;
                    let request = mem::take(&mut connection.request);
                    connection.unsent.extend_from_slice(request.as_bytes());
                }
                Framing::Stream => self.opened(index),
            }
        }
        let Some(connection) = &mut self.connections[index as usize] else {
            return Ok(());
        };
        connection.flush()?;
        if flags.intersects(epoll::EventFlags::IN | ended) {
            self.read(index, flags.intersects(ended), events)?;
        }
        Ok(())
    }

    fn read(&mut self, index: u32, to_end: bool, events: &mut dyn Events) -> Result<(), String> {
        let mut buffer = mem::take(&mut self.buffer);
        let result = self.read_into(index, to_end, &mut buffer, events);
        self.buffer = buffer;
        result
    }

    fn read_into(
        &mut self,
        index: u32,
        to_end: bool,
        buffer: &mut Vec<u8>,
        events: &mut dyn Events,
    ) -> Result<(), String> {
        loop {
            let Some(connection) = &mut self.connections[index as usize] else {
                return Ok(());
            };
            let before = connection.partial.len();
            if before > 0 {
                if before * 2 > buffer.len() {
                    buffer.resize(before * 4, 0);
                }
                buffer[..before].copy_from_slice(&connection.partial);
                connection.partial.clear();
            }
            let space = buffer.len() - before;
            let count = match connection.socket.read(&mut buffer[before..]) {
                Ok(0) => return Err("the server ended the connection".to_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.partial.extend_from_slice(&buffer[..before]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    connection.partial.extend_from_slice(&buffer[..before]);
                    continue;
                }
                Err(error) => return Err(format!("read: {error}")),
            };
            let is_last = count < space && !to_end && connection.socket.short_read_is_last();
            let filled = &buffer[..before + count];
            let used = self.take_in(index, filled, events)?;
            if let Some(connection) = &mut self.connections[index as usize] {
                if used < filled.len() {
                    connection.partial.extend_from_slice(&filled[used..]);
                }
                connection.flush()?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Handles what was read; returns how much of it was whole.
    fn take_in(
        &mut self,
        index: u32,
        bytes: &[u8],
        events: &mut dyn Events,
    ) -> Result<usize, String> {
        let Some(connection) = &mut self.connections[index as usize] else {
            return Ok(bytes.len());
        };
        let mut used = 0;
        if connection.stage == Stage::Upgrading {
            match self.upgrade.accept(bytes)? {
                Some(length) => used = length,
                None => return Ok(0),
            }
            self.opened(index);
        }
        let Some(connection) = &mut self.connections[index as usize] else {
            return Ok(bytes.len());
        };
        let mut failure = None;
        let mut context = Context {
            now: self.clock.now(),
            begun: connection.begun,
            out: &mut connection.unsent,
            payloads: &self.payloads,
            masks: &mut self.masks,
            tally: &mut self.tally,
            failure: &mut failure,
        };
        let mut messages = Messages {
            session: &mut connection.session,
            fragments: &mut connection.fragments,
            dialect: self.dialect.as_ref(),
            context: &mut context,
            events,
        };
        used += match connection.framing {
            Framing::WebSocket => messages.frames(&bytes[used..])?,
            Framing::Stream => messages.stream(&bytes[used..]),
        };
        failure.map_or(Ok(used), Err)
    }

    /// The connection can be spoken over.
    fn opened(&mut self, index: u32) {
        if let Some(connection) = &mut self.connections[index as usize] {
            connection.stage = Stage::Open;
        }
        self.speak(Key(index), |dialect, session, context| {
            dialect.opened(session, context);
            None
        });
    }

    fn flush_all(&mut self) {
        while let Some(index) = self.dirty.pop() {
            if let Some(connection) = &mut self.connections[index as usize]
                && let Err(reason) = connection.flush()
            {
                self.close(index, reason);
            }
        }
    }

    fn close(&mut self, index: u32, reason: String) {
        if self.take(index).is_some() {
            self.tally.closed += 1;
            self.tally.first_reason.get_or_insert(reason);
        }
    }

    /// Takes the connection away; dropping its socket takes it out of epoll.
    fn take(&mut self, index: u32) -> Option<Box<Connection>> {
        let connection = self.connections.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(connection)
    }
}

impl std::fmt::Debug for EventLoop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EventLoop")
            .field("connections", &self.connections.len())
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}
