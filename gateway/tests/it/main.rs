//! The gateway from outside: real sockets, real HTTP, and the client protocol as
//! it is on the wire.

mod api;
mod connect;
mod framing;
mod handshake;
mod heartbeat;
mod history;
mod presence;
mod publish;
mod recovery;
mod refresh;
mod server_side;
mod subscribe;
mod support;
