//! How a connection is made and kept.

use std::time::Duration;

use wire::Format;

/// How a connection is made and kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The encoding of messages.
    pub format: Format,
    /// The WebSocket subprotocol to ask for. By default that of `format`; without one, the URL
    /// must say `cf_protocol=protobuf` when that is meant.
    pub subprotocol: Option<String>,
    /// Additional headers of the HTTP request, for example `Origin`.
    pub headers: Vec<(String, String)>,
    /// How long the handshake, a write, the reply to a call, or the next push may take.
    pub deadline: Duration,
    /// Whether pings are answered.
    pub pong: bool,
    /// How many pushes may wait. When they are more, the socket is not read any further, which
    /// makes this a slow consumer: replies are held up too.
    pub push_capacity: usize,
}

impl Options {
    /// What suits a test: 10 s for everything, pings answered, 1024 pushes.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            subprotocol: Some(format.subprotocol().to_owned()),
            headers: Vec::new(),
            deadline: Duration::from_secs(10),
            pong: true,
            push_capacity: 1024,
        }
    }
}
