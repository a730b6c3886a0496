//! The floor: what fan-out costs when there is nothing but the system calls.
//!
//! One thread and level-triggered epoll. A WebSocket is upgraded and may then send two
//! texts: `sub CHANNEL` makes it a listener, `pub CHANNEL PAYLOAD` sends PAYLOAD to all
//! listeners, as one frame that is made once and written with write(2) to one socket
//! after the other. There is no session, no check, no answer. Frames are never joined:
//! what a socket does not take waits in its backlog, frame by frame.
//!
//! Every ratio of the ladder is against this program, so it does nothing that a server
//! could do without.

mod connection;
mod server;
mod upgrade;
mod websocket;

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::Server;

/// Upgrades sockets and writes one prepared frame to each in a loop.
#[derive(Debug, Parser)]
struct Options {
    /// Port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Seconds between two heartbeats, an empty ping, to each socket. 0: none.
    #[arg(long, default_value_t = 0)]
    heartbeat: u64,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)?;
    let heartbeat = (options.heartbeat > 0).then(|| Duration::from_secs(options.heartbeat));
    Server::bind((Ipv4Addr::LOCALHOST, options.port), heartbeat)?.run()
}
