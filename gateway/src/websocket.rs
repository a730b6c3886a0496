//! The WebSocket transport: frames, and the handshake over HTTP.

pub(crate) mod frame;
pub(crate) mod upgrade;
