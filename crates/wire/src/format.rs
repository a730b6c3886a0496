//! The two encodings of the protocol, and how a client names them.

/// How messages are written: as JSON text or as Protobuf bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text frames; messages separated by a line break.
    #[default]
    Json,
    /// Binary frames; each message preceded by its length as a varint.
    Protobuf,
}

impl Format {
    /// Both formats, for code that does something once per format.
    pub const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// The WebSocket subprotocol that selects this format.
    #[must_use]
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "centrifuge-json",
            Self::Protobuf => "centrifuge-protobuf",
        }
    }

    /// The format that a WebSocket subprotocol selects, if it is one of ours.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.subprotocol() == name)
    }

    /// The name used in metrics, logs and hooks: `json` or `protobuf`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}
