//! Socket.IO (protocol 5) on Engine.IO (protocol 4), over WebSocket alone: the event `sub` with a
//! channel subscribes and is acknowledged, the event `pub` with a channel and a payload publishes,
//! and is what listeners get with the payload.

use super::{Channels, Context, Dialect, Events, Phase, Role, Session, put};
use crate::frame::Opcode;

/// The dialect of the Socket.IO peer.
#[derive(Debug)]
pub struct SocketIo {
    channels: Channels,
}

impl SocketIo {
    /// With these channels, which are rooms.
    #[must_use]
    pub fn new(channels: Channels) -> Self {
        Self { channels }
    }

    fn joined(&self, session: &mut Session, context: &mut Context<'_>) {
        match session.role {
            Role::Listener => {
                session.phase = Phase::Authenticated;
                let channel = self.channels.name(session.channel);
                let subscribe = format!(r#"420["sub","{channel}"]"#);
                context.send(Opcode::Text, subscribe.as_bytes());
            }
            Role::Publisher => context.ready(session),
        }
    }
}

impl Dialect for SocketIo {
    /// The server speaks first.
    fn opened(&self, _: &mut Session, _: &mut Context<'_>) {}

    fn receive(
        &self,
        session: &mut Session,
        message: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        match message {
            // Engine.IO: open, ping.
            [b'0', ..] => context.send(Opcode::Text, b"40"),
            [b'2'] => {
                context.pinged();
                context.send(Opcode::Text, b"3");
            }
            // Socket.IO: event, connected, acknowledged.
            [b'4', b'2', ..] => {
                if context.deliver(session, message, events) == 0 {
                    context.fail("an event without a marker");
                }
            }
            [b'4', b'0', ..] => self.joined(session, context),
            [b'4', b'3', ..] if session.phase == Phase::Authenticated => context.ready(session),
            other => context.fail(String::from_utf8_lossy(other)),
        }
    }

    fn publish(
        &self,
        _: &mut Session,
        channel: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        let mut message = Vec::with_capacity(payload.len() + channel.len() + 16);
        put(&mut message, format_args!(r#"42["pub","{channel}","#));
        message.extend_from_slice(payload);
        message.push(b']');
        context.send(Opcode::Text, &message);
        None
    }
}
