//! What a command is answered with when it fails.

use std::fmt;

/// A number that says why a command failed.
///
/// Codes 100 to 399 belong to the protocol, 400 to 1999 to the operator's own backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u32);

/// One row per code: constant, number, message, whether it is temporary, meaning.
macro_rules! error_codes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $message:literal, $temporary:literal; )*) => {
        impl ErrorCode {
            $( $(#[$doc])* pub const $name: Self = Self($code); )*

            /// Every code of the protocol, in ascending order.
            pub const ALL: &[Self] = &[$( Self::$name ),*];

            /// The fixed text of a protocol code; `None` for a code of the operator's own.
            #[must_use]
            pub fn message(self) -> Option<&'static str> {
                match self.0 {
                    $( $code => Some($message), )*
                    _ => None,
                }
            }

            /// Whether the same command may succeed when it is simply sent again.
            #[must_use]
            pub fn temporary(self) -> bool {
                match self.0 {
                    $( $code => $temporary, )*
                    _ => false,
                }
            }
        }
    };
}

error_codes! {
    /// Something on the server failed; the log knows what.
    INTERNAL = 100, "internal server error", true;
    /// The client must authenticate first.
    UNAUTHORIZED = 101, "unauthorized", false;
    /// The channel's namespace is not defined.
    UNKNOWN_CHANNEL = 102, "unknown channel", false;
    /// The client may not do this.
    PERMISSION_DENIED = 103, "permission denied", false;
    /// There is no such RPC method.
    METHOD_NOT_FOUND = 104, "method not found", false;
    /// The connection is subscribed to this channel already.
    ALREADY_SUBSCRIBED = 105, "already subscribed", false;
    /// A limit was reached, for example channels per connection.
    LIMIT_EXCEEDED = 106, "limit exceeded", false;
    /// The command's content is wrong.
    BAD_REQUEST = 107, "bad request", false;
    /// The feature is not switched on for this channel or server.
    NOT_AVAILABLE = 108, "not available", false;
    /// The token has expired; come with a new one.
    TOKEN_EXPIRED = 109, "token expired", false;
    /// The connection or subscription to be made would have expired already.
    EXPIRED = 110, "expired", false;
    /// Slow down and try again.
    TOO_MANY_REQUESTS = 111, "too many requests", true;
    /// The stream no longer reaches back to the given position; load the state afresh.
    UNRECOVERABLE_POSITION = 112, "unrecoverable position", false;
    /// Another page of the same state is being read; try again.
    CONCURRENT_PAGINATION = 113, "concurrent pagination", true;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The failure of a command, as its client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct Error {
    /// Why.
    pub code: ErrorCode,
    /// A short text for the developer of the client; no internals.
    pub message: String,
    /// Whether the same command may succeed when it is sent again.
    pub temporary: bool,
}

impl Error {
    /// An error of the operator's own; never temporary unless changed afterwards.
    #[must_use]
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode(code),
            message: message.into(),
            temporary: false,
        }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: code.message().unwrap_or_default().to_owned(),
            temporary: code.temporary(),
        }
    }
}
