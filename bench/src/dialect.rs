//! What servers want to hear: one dialect each for the protocols that are measured.
//!
//! A dialect says what to send when a connection is open, when it is ready, how to publish, and
//! where the messages are in what arrives. It does no I/O and keeps its state per connection in
//! the [`Session`]: it appends to a buffer and calls back.

mod centrifuge;
mod nats;
mod nchan;
mod plain;
mod socketio;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum;

pub use self::centrifuge::{Centrifuge, sign_token};
pub use self::nats::Nats;
pub use self::nchan::Nchan;
pub use self::plain::Plain;
pub use self::socketio::SocketIo;
use crate::clock::Micros;
use crate::frame::{self, Opcode};
use crate::latency::Latencies;
use crate::payload::{Marker, Payloads};

/// The protocols that can be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DialectName {
    /// The Centrifuge client protocol in JSON: Fanfare, Centrifugo.
    CentrifugeJson,
    /// The same in Protobuf.
    CentrifugeProtobuf,
    /// Listeners over WebSocket, publications by HTTP: nginx with nchan.
    Nchan,
    /// The NATS protocol over WebSocket.
    Nats,
    /// Engine.IO 4 and Socket.IO 5, over WebSocket alone.
    #[value(name = "socketio")]
    SocketIo,
    /// The least there can be: `sub CHANNEL`, `pub CHANNEL PAYLOAD`.
    Ws,
    /// The same, of the server that does nothing but write.
    Floor,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Subscribes to its channel.
    Listener,
    /// Subscribes to nothing.
    Publisher,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What was sent last is not answered yet.
    Opening,
    /// Authenticated; what comes next is not answered yet.
    Authenticated,
    /// It has what it asked for.
    Ready,
}

/// How bytes become messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By WebSocket frames, after an upgrade.
    WebSocket,
    /// By the dialect; the connection is open when TCP is.
    Stream,
}

/// A place in a channel's history, from which a listener recovers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The history's epoch.
    pub epoch: String,
    /// The last publication that the listener has.
    pub offset: u64,
}

/// What a dialect knows of one connection.
#[derive(Debug)]
pub struct Session {
    /// Which of its role it is, from 0.
    pub number: u32,
    /// What it is for.
    pub role: Role,
    /// What it listens to.
    pub channel: u32,
    /// How far it is.
    pub phase: Phase,
    /// Whether the server's heartbeats want an answer.
    pub answers_pings: bool,
    /// The number of the last command.
    pub last_id: u32,
    /// The number of the last answer, where answers have no numbers but an order.
    pub answered: u32,
    /// Where it recovers from; after subscribing, where it is.
    pub position: Option<Box<Position>>,
    /// The beginning of something whose rest has not come, where frames do not keep it together.
    pub carried: Vec<u8>,
}

impl Session {
    /// A connection that is not open yet.
    #[must_use]
    pub fn new(role: Role, number: u32, channel: u32) -> Self {
        Self {
            number,
            role,
            channel,
            phase: Phase::Opening,
            answers_pings: false,
            last_id: 0,
            answered: 0,
            position: None,
            carried: Vec::new(),
        }
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }
}

/// What the program that runs a scenario wants to know.
pub trait Events {
    /// A publication has come; `None` when it is not as it was sent.
    fn delivery(&mut self, session: &Session, marker: Option<Marker>, now: Micros);

    /// The server has answered the command with this number.
    fn reply(&mut self, session: &Session, id: u32, result: Result<(), &str>, now: Micros);
}

/// What happened to connections, as opposed to messages.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections begun.
    pub opened: u64,
    /// Of these, how many became ready.
    pub ready: u64,
    /// Ended by the server, or failed.
    pub closed: u64,
    /// Why the first of them was.
    pub first_reason: Option<String>,
    /// Heartbeats received.
    pub pings: u64,
    /// How long the server said is between two of them.
    pub ping_interval: Option<Duration>,
    /// From opening a connection to its being ready.
    pub opening: Latencies,
}

/// A dialect's way to the world, for one connection.
#[derive(Debug)]
pub struct Context<'a> {
    /// When what is handled was read.
    pub now: Micros,
    /// When the connection was begun.
    pub(crate) begun: Micros,
    /// What is sent, ready for the socket.
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) payloads: &'a Payloads,
    pub(crate) masks: &'a mut Masks,
    pub(crate) tally: &'a mut Tally,
    /// Why the connection must end, if it must.
    pub(crate) failure: &'a mut Option<String>,
}

impl Context<'_> {
    /// Sends one WebSocket message.
    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        frame::write(self.out, opcode, payload, self.masks.next());
    }

    /// Sends bytes as they are, over a connection without frames.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The server has shown that it is alive.
    pub fn pinged(&mut self) {
        self.tally.pings += 1;
    }

    /// The server has said how often it will.
    pub fn pings_every(&mut self, interval: Duration) {
        self.tally.ping_interval = Some(interval);
    }

    /// The connection has what it asked for.
    pub fn ready(&mut self, session: &mut Session) {
        session.phase = Phase::Ready;
        self.tally.ready += 1;
        self.tally.opening.record(self.now - self.begun);
    }

    /// The connection cannot go on.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.failure.get_or_insert_with(|| reason.into());
    }

    /// Reports every publication in `bytes`; returns how many there are.
    #[inline]
    pub fn deliver(&self, session: &Session, bytes: &[u8], events: &mut dyn Events) -> usize {
        let found = |marker| events.delivery(session, marker, self.now);
        self.payloads.find(bytes, found)
    }
}

/// Keys that frames are masked with: not secret, only never the same twice in a row.
#[derive(Debug)]
pub struct Masks(u32);

impl Masks {
    /// Keys that begin anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self(rand::random::<u32>() | 1)
    }

    fn next(&mut self) -> [u8; 4] {
        // Marsaglia's xorshift: a key costs three shifts.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_ne_bytes()
    }
}

impl Default for Masks {
    fn default() -> Self {
        Self::new()
    }
}

/// One protocol.
pub trait Dialect {
    /// How messages of such connections are told apart.
    fn framing(&self, role: Role) -> Framing {
        let _ = role;
        Framing::WebSocket
    }

    /// The WebSocket subprotocol to ask for.
    fn subprotocol(&self) -> Option<&'static str> {
        None
    }

    /// The connection is open: what is sent first.
    fn opened(&self, session: &mut Session, context: &mut Context<'_>);

    /// A message has come.
    fn receive(
        &self,
        session: &mut Session,
        message: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    );

    /// Takes what has come over a connection without frames; returns how much of it was whole.
    fn receive_stream(
        &self,
        session: &mut Session,
        bytes: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) -> usize {
        let _ = (session, context, events);
        bytes.len()
    }

    /// Publishes to a channel. Returns the number that the answer will have, if there will be one.
    fn publish(
        &self,
        session: &mut Session,
        channel: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32>;

    /// Calls a method. Returns the number that the answer will have; `None` when the protocol has
    /// no calls.
    fn call(
        &self,
        session: &mut Session,
        method: &str,
        data: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        let _ = (session, method, data, context);
        None
    }
}

/// Names of channels.
#[derive(Clone, Debug)]
pub enum Channels {
    /// Made of what stands before and after a number.
    Numbered {
        /// Before.
        before: String,
        /// After.
        after: String,
    },
    /// As the server named them.
    Named(Rc<[String]>),
}

impl Channels {
    /// Reads a template, in which `{}` stands for the number.
    #[must_use]
    pub fn numbered(template: &str) -> Self {
        let (before, after) = template.split_once("{}").unwrap_or((template, ""));
        Self::Numbered {
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    /// Replaces `name` by the name of a channel.
    pub fn write(&self, channel: u32, name: &mut String) {
        name.clear();
        match self {
            Self::Numbered { before, after } => {
                name.push_str(before);
                // Formatting into a string does not fail.
                let _ = std::fmt::Write::write_fmt(name, format_args!("{channel}"));
                name.push_str(after);
            }
            Self::Named(names) => {
                name.push_str(names.get(channel as usize).map_or("", String::as_str));
            }
        }
    }

    /// The name of a channel.
    #[must_use]
    pub fn name(&self, channel: u32) -> String {
        let mut name = String::new();
        self.write(channel, &mut name);
        name
    }
}

/// Writes text into a buffer of bytes.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes all");
}
