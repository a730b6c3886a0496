//! The NATS client protocol over WebSocket: a subscription is proven by the answer to a ping that
//! follows it.

use super::{Channels, Context, Dialect, Events, Phase, Role, Session, put};
use crate::frame::{LONGEST, Opcode};

/// The dialect of `nats-server`.
#[derive(Debug)]
pub struct Nats {
    channels: Channels,
}

const CONNECT: &str = concat!(
    r#"CONNECT {"verbose":false,"pedantic":false,"lang":"fanfare-bench","version":"0.1.0","#,
    r#""protocol":1,"echo":true}"#,
    "\r\n"
);

impl Nats {
    /// With these channels, which are subjects.
    #[must_use]
    pub fn new(channels: Channels) -> Self {
        Self { channels }
    }

    /// Handles what is whole; returns how much of it was.
    fn take_in(
        &self,
        session: &mut Session,
        bytes: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) -> usize {
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[used..]) {
            let line = &bytes[used..used + end];
            let after = used + end + 1;
            if let Some(arguments) = line.strip_prefix(b"MSG ") {
                let Some(size) = payload_size(arguments) else {
                    context.fail("a message without a size");
                    return bytes.len();
                };
                let whole = after + size + 2;
                if whole > bytes.len() {
                    return used;
                }
                let payload = &bytes[after..after + size];
                if context.deliver(session, payload, events) == 0 {
                    context.fail("a message without a marker");
                }
                used = whole;
            } else {
                self.control(session, line, context, events);
                used = after;
            }
        }
        used
    }

    fn control(
        &self,
        session: &mut Session,
        line: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        let line = String::from_utf8_lossy(line);
        match line.trim_end().split(' ').next() {
            Some("INFO") if session.phase == Phase::Opening => {
                session.phase = Phase::Authenticated;
                let mut message = CONNECT.as_bytes().to_vec();
                if session.role == Role::Listener {
                    let subject = self.channels.name(session.channel);
                    put(&mut message, format_args!("SUB {subject} 1\r\n"));
                }
                message.extend_from_slice(b"PING\r\n");
                context.send(Opcode::Binary, &message);
            }
            Some("PING") => {
                context.pinged();
                context.send(Opcode::Binary, b"PONG\r\n");
            }
            Some("PONG") if session.phase == Phase::Authenticated => context.ready(session),
            Some("-ERR") if session.phase == Phase::Ready => {
                events.reply(session, 0, Err(&line), context.now);
            }
            Some("INFO" | "PONG" | "+OK") => {}
            _ => context.fail(line.into_owned()),
        }
    }
}

/// The last argument of `MSG`.
#[inline]
fn payload_size(arguments: &[u8]) -> Option<usize> {
    let arguments = arguments.trim_ascii_end();
    let digits = memchr::memrchr(b' ', arguments)? + 1;
    let mut size = 0_usize;
    for digit in &arguments[digits..] {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + usize::from(digit);
        if size > LONGEST {
            return None;
        }
    }
    Some(size)
}

impl Dialect for Nats {
    /// The server speaks first.
    fn opened(&self, _: &mut Session, _: &mut Context<'_>) {}

    fn receive(
        &self,
        session: &mut Session,
        message: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        if session.carried.is_empty() {
            let used = self.take_in(session, message, context, events);
            session.carried.extend_from_slice(&message[used..]);
            return;
        }
        // A message that is in two frames: rare.
        let mut bytes = std::mem::take(&mut session.carried);
        bytes.extend_from_slice(message);
        let used = self.take_in(session, &bytes, context, events);
        bytes.drain(..used);
        session.carried = bytes;
        if session.carried.len() > LONGEST {
            context.fail("a message is too long");
        }
    }

    fn publish(
        &self,
        _: &mut Session,
        channel: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        let mut message = Vec::with_capacity(payload.len() + channel.len() + 24);
        put(
            &mut message,
            format_args!("PUB {channel} {}\r\n", payload.len()),
        );
        message.extend_from_slice(payload);
        message.extend_from_slice(b"\r\n");
        context.send(Opcode::Binary, &message);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_last_argument() {
        assert_eq!(payload_size(b"bench.1 1 128\r"), Some(128));
        assert_eq!(payload_size(b"bench.1 1 reply.to 0"), Some(0));
        assert_eq!(payload_size(b"bench.1 1 x"), None);
        assert_eq!(payload_size(b"bench.1 1 99999999999999999999"), None);
        assert_eq!(payload_size(b"128"), None);
    }
}
