//! Servers under test, each started as a fresh child process.
//!
//! [`Setup`] says what is to run, [`start`] runs it on free ports of 127.0.0.1 and waits
//! until it answers, [`Running`] says how the load generator reaches it and ends it when it
//! is dropped. What a server needs and the machine does not have is said by [`missing`].

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

mod child;
mod fanfare;
pub mod namespace;
mod peers;
mod tools;

pub use self::child::Child;
pub(crate) use self::fanfare::migrate_chat;
pub use self::fanfare::{REDIS_PREFIX, TOKEN_SECRET};
pub use self::tools::Tools;
pub(crate) use self::tools::find;

/// A server that the ladder knows.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// Ours.
    Fanfare,
    /// One prepared frame, written to each socket in a loop.
    Floor,
    /// nginx with its module for publish and subscribe.
    Nchan,
    /// nats-server over WebSocket.
    Nats,
    /// A small server on the `centrifuge` library.
    CentrifugeGo,
    /// Socket.IO on Node.js.
    Socketio,
    /// The package `ws` on Node.js.
    Ws,
}

impl Server {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::Fanfare,
        Self::Floor,
        Self::Nchan,
        Self::Nats,
        Self::CentrifugeGo,
        Self::Socketio,
        Self::Ws,
    ];

    /// Its name in options and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fanfare => "fanfare",
            Self::Floor => "floor",
            Self::Nchan => "nchan",
            Self::Nats => "nats",
            Self::CentrifugeGo => "centrifuge-go",
            Self::Socketio => "socketio",
            Self::Ws => "ws",
        }
    }
}

/// What is to run. Equal setups behave equally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Which server.
    pub server: Server,
    /// Seconds between two heartbeats of a connection.
    pub heartbeat: u64,
    /// How it is encoded, for servers that have a choice.
    pub encoding: Encoding,
    /// What channels keep, for servers that have a choice.
    pub channels: Channels,
    /// What is below WebSocket.
    pub transport: Transport,
    /// What stands behind it.
    pub backing: Backing,
}

impl Setup {
    /// A server as it is compared with others: JSON, no history, no TLS, nothing behind it,
    /// a heartbeat every 25 s.
    #[must_use]
    pub const fn plain(server: Server) -> Self {
        Self {
            server,
            heartbeat: 25,
            encoding: Encoding::Json,
            channels: Channels::Plain,
            transport: Transport::Tcp,
            backing: Backing::Nothing,
        }
    }
}

/// Encoding of the Centrifuge protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Lines of JSON in text messages.
    Json,
    /// Protobuf in binary messages.
    Protobuf,
}

/// What channels keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Nothing.
    Plain,
    /// History; every subscription is positioned and recoverable.
    History,
}

/// What is below WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS with a certificate made for the occasion.
    Tls,
}

/// What stands behind a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backing {
    /// One node with everything in memory.
    Nothing,
    /// So many nodes with one Redis between them.
    Redis(usize),
    /// Chat, stored in PostgreSQL with all its promises of durability.
    Chat,
}

/// Servers that run. They end with this value.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect, one for each node.
    pub urls: Vec<String>,
    /// The process of each node, in the same order.
    pub nodes: Vec<u32>,
    /// Processes behind the nodes.
    pub behind: Vec<u32>,
    /// Further arguments of `fanfare-bench run` for this server.
    pub arguments: Vec<String>,
    /// The port of Redis, if there is one.
    pub redis_port: Option<u16>,
    // In this order: what depends on another ends first.
    _children: Vec<Child>,
    _redis: Option<testkit::RedisServer>,
    _postgres: Option<(
        testkit::TestDatabase,
        testkit::TestDatabase,
        testkit::PostgresServer,
    )>,
}

/// Starts a server in an empty folder, and waits until it answers.
///
/// # Errors
/// If something it needs is missing or it does not start; the end of its log is in the error.
pub async fn start(setup: &Setup, tools: &Tools, dir: &Path) -> Result<Running> {
    match setup.server {
        Server::Fanfare => fanfare::start(setup, tools, dir).await,
        peer => peers::start(peer, setup, tools, dir),
    }
}

/// Why a server cannot run here, in words for the report; `None`: it can.
#[must_use]
pub fn missing(server: Server, tools: &Tools) -> Option<String> {
    match server {
        Server::Fanfare => tools.missing("gateway"),
        peer => peers::missing(peer, tools),
    }
}

/// The version of a server, as the server or its package says it.
#[must_use]
pub fn version(server: Server, tools: &Tools) -> String {
    match server {
        Server::Fanfare => concat!("Fanfare ", env!("CARGO_PKG_VERSION")).to_owned(),
        peer => peers::version(peer, tools),
    }
}
