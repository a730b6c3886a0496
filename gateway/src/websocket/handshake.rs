//! The handshake as it nearly always comes: the first request of a connection, in
//! one piece. It is judged on the received bytes, without an HTTP server.
//!
//! The judgement is tungstenite's: a test compares the two. Whatever is not a good
//! handshake is left to HTTP, which knows how to refuse it, and every other way to
//! ask for one too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tungstenite::handshake::derive_accept_key;

const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

/// A head with more headers is left to HTTP.
const MAX_HEADERS: usize = 64;

/// What the client chose in its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) protobuf: bool,
    pub(super) native_ping: bool,
    pub(super) subprotocol: Option<&'static str>,
}

impl Choice {
    /// By a request's query and headers.
    pub(super) fn of(query: Option<&str>, headers: &HeaderMap) -> Self {
        let mut choice = Self::default();
        choice.query(query.unwrap_or_default());
        for offered in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
            choice.subprotocols(offered.as_bytes());
        }
        choice
    }

    fn query(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value) {
                ("cf_protocol" | "format", "protobuf") => self.protobuf = true,
                ("cf_ws_frame_ping_pong", "true") => self.native_ping = true,
                _ => {}
            }
        }
    }

    /// The first that we speak counts.
    fn subprotocols(&mut self, offered: &[u8]) {
        if self.subprotocol.is_some() {
            return;
        }
        let Some(offered) = text(offered) else {
            return;
        };
        self.subprotocol = offered.split(',').find_map(|offer| match offer.trim() {
            JSON => Some(JSON),
            PROTOBUF => Some(PROTOBUF),
            _ => None,
        });
        self.protobuf |= self.subprotocol == Some(PROTOBUF);
    }
}

/// The parts of a handshake, borrowed from what was received. Of a header that
/// comes twice the first counts.
#[derive(Debug, Default)]
pub(super) struct Handshake<'a> {
    /// Bytes of the head; what follows them are frames.
    pub(super) length: usize,
    pub(super) choice: Choice,
    pub(super) host: Option<&'a [u8]>,
    pub(super) origin: Option<&'a [u8]>,
    /// The value of the header that names the user, where one is configured.
    pub(super) user: Option<&'a [u8]>,
    connection: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
}

impl<'a> Handshake<'a> {
    /// Reads the head of a request for `path`. `None`: it is not whole, is for
    /// another path or no good handshake, or has anything about it that is for HTTP
    /// to understand. Costs one pass, and allocates nothing.
    pub(super) fn parse(received: &'a [u8], path: &str, user_header: &str) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = head.parse(received) else {
            return None;
        };
        if head.method != Some("GET") || head.version != Some(1) {
            return None;
        }
        let target = head.path?;
        let (asked, query) = target.split_once('?').unwrap_or((target, ""));
        if asked != path || !query.bytes().all(is_plain) {
            return None;
        }
        let mut handshake = Self {
            length,
            ..Self::default()
        };
        handshake.choice.query(query);
        for header in &*head.headers {
            handshake.header(header.name, header.value, user_header)?;
        }
        handshake.is_good().then_some(handshake)
    }

    /// `None`: the request has a body, or wants something else that we do not do.
    fn header(&mut self, name: &str, value: &'a [u8], user_header: &str) -> Option<()> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // By length first: most names differ in that.
        let first = match name.len() {
            4 if is("host") => &mut self.host,
            6 if is("origin") => &mut self.origin,
            7 if is("upgrade") => &mut self.upgrade,
            10 if is("connection") => &mut self.connection,
            17 if is("sec-websocket-key") => &mut self.key,
            21 if is("sec-websocket-version") => &mut self.version,
            _ => &mut None,
        };
        first.get_or_insert(value);
        match name.len() {
            22 if is("sec-websocket-protocol") => self.choice.subprotocols(value),
            17 if is("transfer-encoding") => return None,
            14 if is("content-length") && value != b"0" => return None,
            6 if is("expect") => return None,
            _ => {}
        }
        if is(user_header) {
            self.user.get_or_insert(value);
        }
        Some(())
    }

    /// What tungstenite's `create_response` asks of a request.
    fn is_good(&self) -> bool {
        let connection = self.connection.and_then(text).is_some_and(|options| {
            let mut options = options.split([' ', ',']);
            options.any(|option| option.eq_ignore_ascii_case("upgrade"))
        });
        connection
            && self
                .upgrade
                .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
            && self.version == Some(b"13")
            && self.key.is_some_and(is_key)
    }

    /// The response's head.
    pub(super) fn answer(&self) -> Vec<u8> {
        let mut answer = Vec::with_capacity(192);
        answer.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Connection: Upgrade\r\n\
              Upgrade: websocket\r\n\
              Sec-WebSocket-Accept: ",
        );
        let accepted = derive_accept_key(self.key.unwrap_or_default());
        answer.extend_from_slice(accepted.as_bytes());
        if let Some(subprotocol) = self.choice.subprotocol {
            answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            answer.extend_from_slice(subprotocol.as_bytes());
        }
        answer.extend_from_slice(b"\r\n\r\n");
        answer
    }
}

/// A header's value as text, if it is nothing but visible ASCII.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    value
        .iter()
        .all(visible)
        .then(|| std::str::from_utf8(value).ok())
        .flatten()
}

/// A byte that may stand in a query without anybody's having to think about it.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}

/// 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let mut decoded = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut decoded) == Ok(16)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Request};
    use proptest::prelude::*;
    use tungstenite::handshake::server::create_response;

    use super::*;

    const PATH: &str = "/connection/websocket";
    const GOOD: [(&str, &str); 5] = [
        ("Host", "chat.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];

    fn head(request: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("{request}\r\n{}\r\n", headers.collect::<String>()).into_bytes()
    }

    fn is_handshake(request: &str, headers: &[(&str, &str)]) -> bool {
        Handshake::parse(&head(request, headers), PATH, "").is_some()
    }

    fn choice(query: &str, protocols: &[&str]) -> Choice {
        let mut headers = GOOD.to_vec();
        headers.extend(protocols.iter().map(|one| ("sec-websocket-protocol", *one)));
        let bytes = head(&format!("GET {PATH}{query} HTTP/1.1"), &headers);
        let handshake = Handshake::parse(&bytes, PATH, "").expect("it is good");
        let map = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let by_http = Choice::of(query.strip_prefix('?'), &map.collect());
        assert_eq!(handshake.choice, by_http);
        by_http
    }

    #[test]
    fn the_client_chooses_its_format() {
        assert!(!choice("", &[]).protobuf);
        assert!(choice("?a=b&cf_protocol=protobuf", &[]).protobuf);
        assert!(choice("?format=protobuf", &[]).protobuf);
        assert!(!choice("?format=json", &[]).protobuf);
        assert!(choice("?cf_ws_frame_ping_pong=true", &[]).native_ping);
        let chosen = choice("", &["other, centrifuge-protobuf"]);
        assert_eq!(
            (chosen.protobuf, chosen.subprotocol),
            (true, Some(PROTOBUF))
        );
        let chosen = choice("", &["centrifuge-json"]);
        assert_eq!((chosen.protobuf, chosen.subprotocol), (false, Some(JSON)));
        assert_eq!(choice("", &["graphql-ws"]).subprotocol, None);
        let chosen = choice(
            "",
            &["graphql-ws", "centrifuge-json", "centrifuge-protobuf"],
        );
        assert_eq!((chosen.protobuf, chosen.subprotocol), (false, Some(JSON)));
    }

    #[test]
    fn a_handshake_is_found_with_what_belongs_to_it() {
        let mut headers = GOOD.to_vec();
        headers.extend([("Origin", "https://a.example"), ("X-User", "42")]);
        let mut bytes = head("GET /connection/websocket HTTP/1.1", &headers);
        let length = bytes.len();
        bytes.extend(b"frames");
        let handshake = Handshake::parse(&bytes, PATH, "x-user").expect("it is good");
        assert_eq!(handshake.length, length);
        assert_eq!(handshake.host, Some(&b"chat.example"[..]));
        assert_eq!(handshake.origin, Some(&b"https://a.example"[..]));
        assert_eq!(handshake.user, Some(&b"42"[..]));
        for cut in 0..length {
            assert!(Handshake::parse(&bytes[..cut], PATH, "").is_none(), "{cut}");
        }
    }

    #[test]
    fn what_http_has_to_understand_is_left_to_it() {
        let get = "GET /connection/websocket HTTP/1.1";
        assert!(is_handshake(get, &GOOD));
        for other in [
            "POST /connection/websocket HTTP/1.1",
            "GET /connection/websocket HTTP/1.0",
            "GET /connection/websocket/ HTTP/1.1",
            "GET http://chat.example/connection/websocket HTTP/1.1",
            "GET /connection/websocket#part HTTP/1.1",
            "GET /connection/websocket?a=b#part HTTP/1.1",
            "GET /connection/websocket?a=<b> HTTP/1.1",
            "GET /connection/%77ebsocket HTTP/1.1",
        ] {
            assert!(!is_handshake(other, &GOOD), "{other}");
        }
        for header in [
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Expect", "100-continue"),
        ] {
            let headers = [&GOOD[..], &[header]].concat();
            assert!(!is_handshake(get, &headers), "{header:?}");
        }
        let many = [&GOOD[..], &[("a", "b"); MAX_HEADERS]].concat();
        assert!(!is_handshake(get, &many));
    }

    /// tungstenite's word on the same request.
    fn judged(headers: &[(&str, &str)]) -> Option<HeaderValue> {
        let mut request = Request::get(PATH);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let response = create_response(&request.body(()).unwrap()).ok()?;
        response.headers().get("sec-websocket-accept").cloned()
    }

    fn value() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "websocket",
            "WebSocket",
            "h2c",
            "websocket, h2c",
            "Upgrade",
            "upgrade",
            "keep-alive, Upgrade",
            "keep-alive,upgrade",
            "keep-alive;upgrade",
            "upgraded",
            "keep-alive\tUpgrade",
            "Upgrade é",
            "close",
            "13",
            "8",
            "13, 8",
            "",
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZWQh",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAA===",
            "A-AAAAAAAAAAAAAAAA_AAA==",
            "====",
        ])
    }

    fn name() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "upgrade",
            "UPGRADE",
            "Connection",
            "connection",
            "Sec-WebSocket-Key",
            "sec-websocket-version",
            "SEC-WEBSOCKET-KEY",
            "Host",
            "x",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// A good handshake of which a few headers are exchanged, doubled or missing.
        #[test]
        fn handshakes_are_judged_as_tungstenite_judges_them(
            changed in prop::collection::vec((0..GOOD.len(), value()), 0..2),
            before in prop::collection::vec((name(), value()), 0..2),
            missing in prop::option::weighted(0.1, 0..GOOD.len()),
        ) {
            let mut headers = GOOD.to_vec();
            for (at, value) in changed {
                headers[at].1 = value;
            }
            if let Some(at) = missing {
                headers.remove(at);
            }
            let headers = [before, headers].concat();
            let bytes = head("GET /connection/websocket HTTP/1.1", &headers);
            let handshake = Handshake::parse(&bytes, PATH, "");
            let expected = judged(&headers);
            prop_assert_eq!(handshake.is_some(), expected.is_some(), "{:?}", headers);
            if let (Some(handshake), Some(expected)) = (handshake, expected) {
                let answer = String::from_utf8(handshake.answer()).unwrap();
                let accepted = format!("Sec-WebSocket-Accept: {}\r\n", expected.to_str().unwrap());
                prop_assert!(answer.contains(&accepted), "{}", answer);
            }
        }
    }
}
