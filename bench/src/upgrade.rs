//! The handshake that makes HTTP a WebSocket, from the client's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::target::Target;

/// What is asked for, and what the answer must be.
#[derive(Debug)]
pub(crate) struct Upgrade {
    key: String,
    accept: String,
    subprotocol: Option<&'static str>,
}

/// Longest answer that is waited for.
const LONGEST: usize = 16 << 10;

impl Upgrade {
    /// One key for all connections of this process: servers do not compare them, and making one
    /// for each connection would only cost.
    pub(crate) fn new(subprotocol: Option<&'static str>) -> Self {
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        Self {
            accept: derive_accept_key(key.as_bytes()),
            key,
            subprotocol,
        }
    }

    /// The request.
    pub(crate) fn request(&self, target: &Target, channel: &str) -> String {
        let subprotocol = self.subprotocol.map_or(String::new(), |name| {
            format!("Sec-WebSocket-Protocol: {name}\r\n")
        });
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n{subprotocol}\r\n",
            target.path(channel),
            target.host,
            self.key,
        )
    }

    /// The length of the answer that `bytes` begin with; `None` while it is not complete.
    pub(crate) fn accept(&self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > LONGEST {
                Err("the answer to the upgrade does not end".to_owned())
            } else {
                Ok(None)
            };
        };
        let answer = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = answer.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("101") {
            return Err(format!("the upgrade is answered with {status:?}"));
        }
        let accepted = lines
            .filter_map(|line| line.split_once(':'))
            .any(|(name, value)| {
                name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == self.accept
            });
        if accepted {
            Ok(Some(end + 4))
        } else {
            Err("the upgrade is answered for another key".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    fn example() -> Upgrade {
        Upgrade {
            key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
            accept: derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            subprotocol: None,
        }
    }

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn the_answer_ends_at_the_empty_line() {
        let with_frame = format!("{ANSWER}\u{1}");
        let length = example().accept(with_frame.as_bytes());
        assert_eq!(length, Ok(Some(ANSWER.len())));
        let cut = &ANSWER.as_bytes()[..ANSWER.len() - 1];
        assert_eq!(example().accept(cut), Ok(None));
    }

    #[test]
    fn another_answer_is_refused() {
        let busy = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        assert!(example().accept(busy).expect_err("no").contains("503"));
        let other = ANSWER.replace("s3p", "xxx");
        assert!(example().accept(other.as_bytes()).is_err());
        assert!(example().accept(&[b'x'; LONGEST + 1]).is_err());
    }
}
