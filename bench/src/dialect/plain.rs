//! The least a server can understand: text `sub CHANNEL`, and `pub CHANNEL PAYLOAD`, whereupon
//! all that subscribed get the payload. Nothing is acknowledged.

use super::{Channels, Context, Dialect, Events, Role, Session, put};
use crate::frame::Opcode;

/// The dialect of the `ws` peer and of the floor.
#[derive(Debug)]
pub struct Plain {
    channels: Channels,
}

impl Plain {
    /// With these channels.
    #[must_use]
    pub fn new(channels: Channels) -> Self {
        Self { channels }
    }
}

/// What these servers send as a heartbeat. It is not answered.
const HEARTBEAT: &[u8] = b"{}";

impl Dialect for Plain {
    fn opened(&self, session: &mut Session, context: &mut Context<'_>) {
        if session.role == Role::Listener {
            let subscribe = format!("sub {}", self.channels.name(session.channel));
            context.send(Opcode::Text, subscribe.as_bytes());
        }
        context.ready(session);
    }

    fn receive(
        &self,
        session: &mut Session,
        message: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        if message == HEARTBEAT {
            context.pinged();
        } else if context.deliver(session, message, events) == 0 {
            context.fail("a message without a marker");
        }
    }

    fn publish(
        &self,
        _: &mut Session,
        channel: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        let mut message = Vec::with_capacity(payload.len() + channel.len() + 5);
        put(&mut message, format_args!("pub {channel} "));
        message.extend_from_slice(payload);
        context.send(Opcode::Text, &message);
        None
    }
}
