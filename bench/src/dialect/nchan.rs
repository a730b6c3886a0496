//! nchan: a listener's channel is in the address that it connects to; publications are HTTP
//! requests over a connection that is kept.

use super::{Context, Dialect, Events, Framing, Role, Session, put};
use crate::target::Target;

/// The dialect of nginx with nchan.
#[derive(Debug)]
pub struct Nchan {
    publish: Target,
}

/// Longest head of an answer.
const LONGEST_HEAD: usize = 16 << 10;

impl Nchan {
    /// Publishing there.
    #[must_use]
    pub fn new(publish: Target) -> Self {
        Self { publish }
    }
}

impl Dialect for Nchan {
    fn framing(&self, role: Role) -> Framing {
        match role {
            Role::Listener => Framing::WebSocket,
            Role::Publisher => Framing::Stream,
        }
    }

    fn opened(&self, session: &mut Session, context: &mut Context<'_>) {
        context.ready(session);
    }

    fn receive(
        &self,
        session: &mut Session,
        message: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) {
        if context.deliver(session, message, events) == 0 {
            context.fail("a message without a marker");
        }
    }

    /// Answers come in the order of the requests.
    fn receive_stream(
        &self,
        session: &mut Session,
        bytes: &[u8],
        context: &mut Context<'_>,
        events: &mut dyn Events,
    ) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let answer = match Answer::read(rest) {
                Ok(Some(answer)) if answer.length <= rest.len() => answer,
                Ok(_) => return used,
                Err(reason) => {
                    context.fail(reason);
                    return used;
                }
            };
            used += answer.length;
            session.answered = session.answered.wrapping_add(1);
            let status = answer.status.to_string();
            let result = match answer.status {
                200..=299 => Ok(()),
                _ => Err(status.as_str()),
            };
            events.reply(session, session.answered, result, context.now);
        }
    }

    fn publish(
        &self,
        session: &mut Session,
        channel: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<u32> {
        let mut request = Vec::with_capacity(payload.len() + 160);
        put(
            &mut request,
            format_args!(
                "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n",
                self.publish.path(channel),
                self.publish.host,
                payload.len(),
            ),
        );
        request.extend_from_slice(payload);
        context.send_bytes(&request);
        Some(session.next_id())
    }
}

/// What is told by the head of an answer.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    /// Bytes of head and body.
    length: usize,
}

impl Answer {
    /// Reads the answer that `bytes` begin with; `None` while its head is not complete.
    fn read(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > LONGEST_HEAD {
                Err("the head of an answer does not end")
            } else {
                Ok(None)
            };
        };
        let text = str::from_utf8(&bytes[..head]).map_err(|_| "an answer is no HTTP")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let mut body = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body = value
                    .trim()
                    .parse()
                    .ok()
                    .filter(|&length| length <= crate::frame::LONGEST)
                    .ok_or("the length of an answer is no number")?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("an answer comes in chunks");
            }
        }
        Ok(Some(Self {
            status: status.ok_or("an answer is no HTTP")?,
            length: head + 4 + body,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_body() {
        let bytes = b"HTTP/1.1 201 Created\r\nContent-length: 3\r\n\r\nabcHTTP/1.1";
        let answer = Answer {
            status: 201,
            length: bytes.len() - 8,
        };
        assert_eq!(Answer::read(bytes), Ok(Some(answer)));
        assert_eq!(Answer::read(&bytes[..30]), Ok(None));
    }

    #[test]
    fn an_answer_without_a_known_end_is_refused() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(Answer::read(chunked).is_err());
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        assert!(Answer::read(long).is_err());
        assert!(Answer::read(b"nonsense\r\n\r\n").is_err());
    }
}
