//! The WebSocket transport: frames, and the handshake that begins it.

pub(crate) mod frame;
mod handshake;
pub(crate) mod upgrade;
