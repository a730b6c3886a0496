//! The gateway from outside: real sockets, real HTTP, and the client protocol as
//! it is on the wire.

mod any_input;
mod api;
mod connect;
mod framing;
mod handshake;
mod heartbeat;
mod history;
mod leaving;
mod presence;
mod publish;
mod recovery;
mod redis;
mod refresh;
mod server_side;
mod slow;
mod subscribe;
mod support;
mod tls;
