//! The HTTP request that opens a WebSocket, and its answer.

use tungstenite::handshake::derive_accept_key;

/// Longest request.
const LONGEST: usize = 8 << 10;

/// What a beginning of a request is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// More must come.
    Incomplete,
    /// No request for a WebSocket.
    Refused,
    /// One that took so many bytes, and its answer.
    Upgrade { length: usize, answer: String },
}

/// Reads a request.
pub(crate) fn parse(bytes: &[u8]) -> Request {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match bytes.len() {
            ..LONGEST => Request::Incomplete,
            _ => Request::Refused,
        };
    };
    let Some(key) = bytes[..end].split(|&byte| byte == b'\n').find_map(key) else {
        return Request::Refused;
    };
    Request::Upgrade {
        length: end + 4,
        answer: format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key)
        ),
    }
}

fn key(line: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"sec-websocket-key:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_with_the_key_of_the_standard() {
        let request =
            b"GET / HTTP/1.1\r\nHost: a\r\nSEC-websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nmore";
        for cut in 0..request.len() - 4 {
            assert_eq!(parse(&request[..cut]), Request::Incomplete);
        }
        let Request::Upgrade { length, answer } = parse(request) else {
            panic!("it is a request");
        };
        assert_eq!(length, request.len() - 4);
        assert!(answer.contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
    }

    #[test]
    fn another_request_is_refused() {
        assert_eq!(
            parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Request::Refused
        );
        assert_eq!(parse(&[b'a'; LONGEST]), Request::Refused);
    }
}
