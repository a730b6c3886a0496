//! One client's connection: what the hub and the session hold of it.
//!
//! [`Connection`] is shared: anybody may send a frame, post an event for the
//! session, or close it; none of these waits. A [`task::Task`] owns the socket's
//! reading side and the session, and ends with the connection; while there is
//! nothing to do, it rests in its [seat](Seat). Neither interprets a command.

mod heartbeat;
mod look;
mod readiness;
pub(crate) mod task;

use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};
use std::task::Wake;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;
use wire::{Disconnect, Format};

use self::heartbeat::{Heartbeat, Pinged};
pub(crate) use self::heartbeat::{Next, PingPolicy};
pub(crate) use self::look::Look;
use self::readiness::Readiness;
use crate::clock::Millis;
use crate::config::Config;
use crate::metrics::CloseLabels;
use crate::outbox::{Outbox, Pushed};
use crate::poller::Seat;
use crate::session::Event;
use crate::socket::{Read, Socket};
use crate::websocket::frame;
use crate::wheel::Wheel;

/// Events that may wait for a session that is busy. More mean that it will not
/// catch up: the connection is closed as slow.
const MAILBOX: usize = 1024;

/// What happens to a frame that finds the outbox full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The connection is closed with 3008; the client comes back and recovers.
    Disconnect,
    /// The frame is dropped and counted.
    Drop,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Written or queued.
    Accepted,
    /// Dropped, as its overflow policy says.
    Dropped,
    /// The connection is closing (perhaps because of this frame).
    Closed,
}

/// Why a connection ends. Set once; the first reason stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The server ends it, with a code for the client.
    Disconnect(Disconnect),
    /// The client broke RFC 6455; the close code.
    Violation(u16),
    /// The client sent a close frame.
    ClientClosed(Option<u16>),
    /// The stream broke or ended without a close frame.
    Lost,
    /// The session ended after an error reply to connect: the client closes, or
    /// we do after a grace time.
    ConnectFailed,
}

impl Closing {
    /// How it is counted.
    fn labels(&self) -> CloseLabels {
        match self {
            Self::Disconnect(disconnect) => CloseLabels {
                // Codes of an operator's own are counted as one.
                code: if Disconnect::ALL
                    .iter()
                    .any(|one| one.code == disconnect.code)
                {
                    disconnect.code
                } else {
                    4000
                },
                initiator: "server",
            },
            Self::Violation(code) => CloseLabels {
                code: u32::from(*code),
                initiator: "server",
            },
            Self::ConnectFailed => CloseLabels {
                code: 0,
                initiator: "server",
            },
            Self::ClientClosed(code) => CloseLabels {
                code: match code {
                    Some(code @ 1000..=1015) => u32::from(*code),
                    Some(_) => 4000,
                    None => 0,
                },
                initiator: "client",
            },
            Self::Lost => CloseLabels {
                code: 0,
                initiator: "network",
            },
        }
    }
}

/// What all connections of a node obey.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Bytes that may wait in an outbox.
    queue_limit: usize,
    /// Largest message that a client may send, in bytes.
    message_size: usize,
    /// How long a blocked write may make no progress.
    write_timeout: Duration,
    ping: Option<PingPolicy>,
    /// Milliseconds that a client has to send `connect`.
    stale_after: u64,
}

impl Rules {
    /// As configured.
    pub(crate) fn new(config: &Config) -> Self {
        let client = &config.client;
        Self {
            queue_limit: client.queue_max_size,
            message_size: config.websocket.message_size_limit,
            write_timeout: config.websocket.write_timeout.get(),
            ping: (!client.ping_interval.get().is_zero()).then(|| PingPolicy {
                interval: milliseconds(client.ping_interval.get()),
                timeout: milliseconds(client.pong_timeout.get()),
            }),
            stale_after: milliseconds(client.stale_close_delay.get()),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    id: Uuid,
    format: Format,
    /// Pings are WebSocket control frames instead of empty replies.
    native_ping: bool,
    socket: Socket,
    rules: Arc<Rules>,
    user: OnceLock<Arc<str>>,
    seat: Seat,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    outbox: Outbox,
    #[expect(
        clippy::box_collection,
        reason = "small in each connection, most of which have none"
    )]
    mailbox: Option<Box<Vec<Event>>>,
    closing: Option<Box<Closing>>,
    heartbeat: Heartbeat,
    /// When the session wants an [`Event::Tick`]; 0: never.
    session_at: Millis,
    /// The wheel's slot that holds this connection; 0: none.
    wheel_slot: u64,
    readiness: Readiness,
    /// What the client has sent so far ended with a whole message. Of a task that rests.
    between_messages: bool,
    corked: bool,
    /// The session works on a command: the client's pongs are not read yet.
    busy: bool,
}

/// What its task waits for wakes it.
impl Wake for Connection {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.lock().readiness.call(&self.seat);
    }
}

impl Connection {
    /// A connection whose client must send `connect` before long. `native_ping`:
    /// it wants control frames as pings.
    pub(crate) fn new(
        socket: Socket,
        format: Format,
        native_ping: bool,
        rules: Arc<Rules>,
        now: Millis,
        seat: Seat,
    ) -> Self {
        let stale_at = now + rules.stale_after;
        let readiness = Readiness::new(socket.has_unread());
        Self {
            // A version 4, of the thread's generator: no system call.
            id: uuid::Builder::from_random_bytes(rand::random()).into_uuid(),
            format,
            native_ping,
            socket,
            rules,
            user: OnceLock::new(),
            seat,
            shared: Mutex::new(Shared {
                outbox: Outbox::default(),
                mailbox: None,
                closing: None,
                heartbeat: Heartbeat::Stale { at: stale_at },
                session_at: 0,
                wheel_slot: 0,
                readiness,
                between_messages: true,
                corked: false,
                busy: false,
            }),
        }
    }

    /// What it runs on.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The id that the client and others know it by.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// The encoding that the client chose.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The user, once connected.
    pub(crate) fn user(&self) -> &str {
        self.user.get().map_or("", |user| user)
    }

    /// The heartbeat that it was promised.
    pub(crate) fn ping_policy(&self) -> Option<PingPolicy> {
        self.rules.ping
    }

    /// Pings are control frames, which the client's WebSocket answers by itself.
    pub(crate) fn has_native_ping(&self) -> bool {
        self.native_ping
    }

    /// The first time to be called by the wheel.
    pub(crate) fn first_tick(&self, now: Millis) -> Millis {
        now + self.rules.stale_after
    }

    /// The client is known from here on, and is pinged: the first time at
    /// `ping_at`.
    pub(crate) fn connected(&self, user: &Arc<str>, ping_at: Millis) {
        let _already = self.user.set(Arc::clone(user));
        self.shared.lock().heartbeat = Heartbeat::Idle { ping_at };
    }

    /// Wraps encoded protocol messages into a frame for this connection's format.
    pub(crate) fn frame(format: Format, message: &[u8]) -> Bytes {
        frame::data(Self::opcode(format), message)
    }

    /// The kind of frame that carries a format.
    pub(crate) fn opcode(format: Format) -> u8 {
        match format {
            Format::Json => frame::TEXT,
            Format::Protobuf => frame::BINARY,
        }
    }

    /// Sends a prepared frame: writes it now if the socket takes it and nothing
    /// waits before it, queues it otherwise. Never waits; costs one system call.
    pub(crate) fn send(&self, frame: &Bytes, overflow: Overflow) -> Sent {
        self.send_locked(&mut self.shared.lock(), frame, overflow)
    }

    fn send_locked(&self, shared: &mut Shared, frame: &Bytes, overflow: Overflow) -> Sent {
        if shared.closing.is_some() {
            return Sent::Closed;
        }
        let readiness = &mut shared.readiness;
        let limit = self.rules.queue_limit;
        let pushed = shared.outbox.push(frame, limit, shared.corked, |slices| {
            self.write(readiness, slices)
        });
        match pushed {
            Ok(Pushed::Written) if !self.socket.holds_back() => Sent::Accepted,
            Ok(Pushed::Written | Pushed::Queued) => {
                if !shared.corked {
                    readiness.call(&self.seat);
                }
                Sent::Accepted
            }
            Ok(Pushed::Full) if overflow == Overflow::Drop => Sent::Dropped,
            Ok(Pushed::Full) => {
                self.start_closing(shared, Closing::Disconnect(Disconnect::SLOW));
                Sent::Closed
            }
            Err(_) => {
                self.start_closing(shared, Closing::Lost);
                Sent::Closed
            }
        }
    }

    fn write(&self, readiness: &mut Readiness, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.try_write(slices);
        if let Err(error) = &written
            && error.kind() == io::ErrorKind::WouldBlock
        {
            readiness.not_writable();
        }
        written
    }

    /// Reads what the socket has; `None`: it has ended.
    fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        let Ok(Read::Some { bytes, more }) = self.socket.try_read(buffer) else {
            return None;
        };
        if more {
            self.shared.lock().readiness.readable();
        }
        Some(bytes)
    }

    /// Tells the session something.
    pub(crate) fn post(&self, event: Event) {
        let mut shared = self.shared.lock();
        if shared.closing.is_some() {
            return;
        }
        let mailbox = shared.mailbox.get_or_insert_default();
        if mailbox.len() >= MAILBOX {
            self.start_closing(&mut shared, Closing::Disconnect(Disconnect::SLOW));
            return;
        }
        mailbox.push(event);
        shared.readiness.call(&self.seat);
    }

    /// Ends the connection with a code; what waits in the outbox is sent before.
    pub(crate) fn close(&self, closing: Closing) {
        self.start_closing(&mut self.shared.lock(), closing);
    }

    /// Why it ends, if it does.
    #[cfg(test)]
    pub(crate) fn closing(&self) -> Option<Closing> {
        self.shared.lock().closing.as_deref().cloned()
    }

    fn start_closing(&self, shared: &mut Shared, closing: Closing) {
        if shared.closing.is_none() {
            shared.closing = Some(Box::new(closing));
            shared.readiness.call(&self.seat);
        }
    }

    /// Whether it is ending because of what the client did or is: its further
    /// commands are not carried out.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(
            self.shared.lock().closing.as_deref(),
            Some(Closing::Disconnect(_) | Closing::Violation(_) | Closing::ConnectFailed)
        )
    }

    /// The session wants a tick at this time (0: never). For a time before the
    /// next heartbeat the caller also adds the connection to the wheel.
    pub(crate) fn wake_session_at(&self, at: Millis) {
        self.shared.lock().session_at = at;
    }

    /// Notes the wheel's slot that will hold this connection; `false`: an earlier
    /// one holds it already.
    pub(crate) fn enter_slot(&self, slot: u64) -> bool {
        let mut shared = self.shared.lock();
        if shared.wheel_slot != 0 && shared.wheel_slot <= slot {
            return false;
        }
        shared.wheel_slot = slot;
        true
    }

    /// Leaves the slot; `false`: the entry in it was superseded by another one.
    pub(crate) fn leave_slot(&self, slot: u64) -> bool {
        let mut shared = self.shared.lock();
        if shared.wheel_slot != slot {
            return false;
        }
        shared.wheel_slot = 0;
        true
    }

    /// Whether this slot holds it.
    pub(crate) fn is_in_slot(&self, slot: u64) -> bool {
        self.shared.lock().wheel_slot == slot
    }

    /// A pong arrived. `false`: none was due.
    pub(crate) fn pong(&self, wheel: &Wheel) -> bool {
        self.answered(&mut self.shared.lock(), wheel)
    }

    fn answered(&self, shared: &mut Shared, wheel: &Wheel) -> bool {
        match shared.heartbeat.pong(self.rules.ping) {
            None => false,
            Some(Pinged { since, watched }) => {
                if watched {
                    wheel.answered(since);
                }
                true
            }
        }
    }

    /// Does what is due at `now`, and returns when to come again; `None`: never.
    pub(crate) fn tick(&self, now: Millis) -> Option<Next> {
        let mut shared = self.shared.lock();
        if shared.closing.is_some() {
            return None;
        }
        let session_due = shared.session_at != 0 && now >= shared.session_at;
        if session_due {
            shared.session_at = 0;
        }
        let session_at = match shared.session_at {
            0 => Millis::MAX,
            at => at,
        };
        // A native ping is answered by a pong frame, which needs no check of its own: a
        // dead peer fails at the next writes.
        let policy = self.rules.ping.map(|policy| PingPolicy {
            timeout: if self.native_ping { 0 } else { policy.timeout },
            ..policy
        });
        let busy = shared.busy;
        let beat = match shared.heartbeat.beat(now, policy, busy, session_at) {
            Ok(beat) => beat,
            Err(disconnect) => {
                self.start_closing(&mut shared, Closing::Disconnect(disconnect));
                return None;
            }
        };
        if beat.ping {
            self.send_locked(&mut shared, &self.ping_frame(), Overflow::Drop);
        }
        drop(shared);
        if session_due {
            self.post(Event::Tick);
        }
        (beat.next.at != Millis::MAX).then_some(beat.next)
    }

    /// The event loop tells of the socket. `true`: the task has to work.
    pub(crate) fn on_ready(&self, readable: bool, writable: bool) -> bool {
        self.shared.lock().readiness.on_ready(readable, writable)
    }

    /// The poller was called, and comes: the task has to work.
    pub(crate) fn on_call(&self) {
        self.shared.lock().readiness.on_call();
    }

    /// Where it is polled.
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Holds frames back until [`Self::uncork`], which writes them together.
    pub(crate) fn cork(&self) {
        self.shared.lock().corked = true;
    }

    /// The same as [`Self::uncork`] of a task that writes what waits right after.
    fn uncork_to_write(&self) {
        self.shared.lock().corked = false;
    }

    /// See [`Self::cork`]. What the socket does not take is left to the task.
    pub(crate) fn uncork(&self) {
        let mut shared = self.shared.lock();
        shared.corked = false;
        if shared.outbox.is_empty() {
            return;
        }
        match self.flush_locked(&mut shared) {
            Ok(true) => {}
            Ok(false) => shared.readiness.call(&self.seat),
            Err(_) => self.start_closing(&mut shared, Closing::Lost),
        }
    }

    pub(crate) fn set_busy(&self, busy: bool) {
        self.shared.lock().busy = busy;
    }

    /// `Ok(true)`: everything has reached the kernel.
    fn flush(&self) -> io::Result<bool> {
        self.flush_locked(&mut self.shared.lock())
    }

    fn flush_locked(&self, shared: &mut Shared) -> io::Result<bool> {
        let written = shared
            .outbox
            .flush(|slices| self.socket.try_write(slices))?;
        let flushed = written && self.socket.try_flush()?;
        if !flushed {
            shared.readiness.not_writable();
        }
        Ok(flushed)
    }

    fn ping_frame(&self) -> Bytes {
        if self.native_ping {
            return frame::ping();
        }
        match self.format {
            // An empty reply: `{}` in a text frame, one message of length 0 in a
            // binary one.
            Format::Json => Bytes::from_static(&[0x81, 2, b'{', b'}']),
            Format::Protobuf => Bytes::from_static(&[0x82, 1, 0]),
        }
    }

    /// Whether something waits that a socket which has taken everything so far is to take.
    pub(crate) fn is_ready_to_write(&self) -> bool {
        let shared = self.shared.lock();
        !shared.outbox.is_empty() && shared.readiness.is_writable() && shared.closing.is_none()
    }

    /// Bytes that wait in the outbox.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.shared.lock().outbox.bytes()
    }
}
