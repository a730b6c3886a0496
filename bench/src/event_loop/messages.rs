//! What a read has brought, as messages: frames are read where they lie.

use std::mem;

use crate::dialect::{Context, Dialect, Events, Session};
use crate::frame::{Header, LONGEST, Opcode};

/// What one read has brought, on its way to the dialect.
pub(super) struct Messages<'a, 'b> {
    pub(super) session: &'a mut Session,
    pub(super) fragments: &'a mut Vec<u8>,
    pub(super) dialect: &'a dyn Dialect,
    pub(super) context: &'a mut Context<'b>,
    pub(super) events: &'a mut dyn Events,
}

impl Messages<'_, '_> {
    pub(super) fn stream(&mut self, bytes: &[u8]) -> usize {
        self.dialect
            .receive_stream(self.session, bytes, self.context, self.events)
    }

    pub(super) fn frames(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let header = match Header::read(rest) {
                Ok(Some(header)) if header.length() <= rest.len() => header,
                Ok(_) => return Ok(used),
                Err(error) => return Err(error.to_string()),
            };
            let payload = &rest[header.head..header.length()];
            used += header.length();
            match header.opcode {
                Opcode::Text | Opcode::Binary if header.last => {
                    self.dialect
                        .receive(self.session, payload, self.context, self.events);
                }
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    self.fragment(header.last, payload)?;
                }
                Opcode::Ping => {
                    self.context.pinged();
                    self.context.send(Opcode::Pong, payload);
                }
                Opcode::Pong => {}
                Opcode::Close => return Err(close_reason(payload)),
            }
        }
    }

    #[cold]
    fn fragment(&mut self, last: bool, payload: &[u8]) -> Result<(), String> {
        if self.fragments.len() + payload.len() > LONGEST {
            return Err("a message is too long".to_owned());
        }
        self.fragments.extend_from_slice(payload);
        if last {
            let message = mem::take(self.fragments);
            self.dialect
                .receive(self.session, &message, self.context, self.events);
        }
        Ok(())
    }
}

/// What a close frame says.
fn close_reason(payload: &[u8]) -> String {
    match payload {
        &[high, low, ref reason @ ..] => format!(
            "closed by the server: {} {}",
            u16::from_be_bytes([high, low]),
            String::from_utf8_lossy(reason)
        ),
        _ => "closed by the server".to_owned(),
    }
}
