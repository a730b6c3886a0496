//! What can go wrong, by what the caller can learn from it.

use std::fmt;

use tokio_tungstenite::tungstenite;

/// Why a call, or waiting for a push, did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the command.
    #[error("the server answers: {0}")]
    Reply(#[from] wire::Error),
    /// The connection is closed.
    #[error("connection closed: {0}")]
    Closed(Closed),
    /// Nothing came within the deadline.
    #[error("no answer within the deadline")]
    Timeout,
    /// The server refused the WebSocket handshake.
    #[error("handshake refused with HTTP status {status}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The body of the response, as text.
        body: String,
    },
    /// The connection could not be made or broke.
    #[error("transport: {0}")]
    Transport(String),
    /// The server sent something that is not the protocol.
    #[error(transparent)]
    Decode(#[from] wire::DecodeError),
    /// The command cannot be written.
    #[error(transparent)]
    Encode(#[from] wire::EncodeError),
    /// The reply has the command's id, but answers something else.
    #[error("the reply is of another kind than the command")]
    WrongReply,
}

impl Error {
    /// The code that the server refused the command with, if that is what happened.
    #[must_use]
    pub fn code(&self) -> Option<wire::ErrorCode> {
        match self {
            Self::Reply(error) => Some(error.code),
            _ => None,
        }
    }

    /// How the connection was closed, if that is what happened.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        match self {
            Self::Closed(closed) => Some(closed),
            _ => None,
        }
    }
}

impl From<tungstenite::Error> for Error {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => {
                let status = response.status().as_u16();
                let body = response.into_body().unwrap_or_default();
                Self::Refused {
                    status,
                    body: String::from_utf8_lossy(&body).into_owned(),
                }
            }
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed(Closed::abnormal())
            }
            other => Self::Transport(other.to_string()),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the close frame; 1005 when it had none, 1006 when there was no close frame.
    pub code: u16,
    /// The reason of the close frame.
    pub reason: String,
}

impl Closed {
    /// The connection ended without a close frame.
    #[must_use]
    pub fn abnormal() -> Self {
        Self {
            code: 1006,
            reason: String::new(),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.code, self.reason)
    }
}
