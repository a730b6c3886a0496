//! Why a connection ends: the codes of the WebSocket close frame.

use std::borrow::Cow;
use std::fmt;

use crate::push::DisconnectPush;

/// The code and reason that a connection is closed with.
///
/// The code alone tells the client whether to come back: see [`reconnect`](Self::reconnect).
/// The reason travels in the close frame, so it must stay within 123 bytes, and it must not
/// parse as JSON, or the JavaScript SDK reads its reconnect decision out of it. [`Self::new`]
/// sees to both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disconnect {
    /// 3000 to 3999 are the protocol's, 4000 to 4999 the operator's.
    pub code: u32,
    /// A short ASCII text.
    pub reason: Cow<'static, str>,
}

macro_rules! disconnect_codes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $reason:literal; )*) => {
        impl Disconnect {
            $(
                $(#[$doc])*
                pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };
            )*

            /// Every code of the protocol, in ascending order.
            pub const ALL: &[Self] = &[$( Self::$name ),*];
        }
    };
}

disconnect_codes! {
    /// The client went away. Never sent: a name for logs and metrics.
    CONNECTION_CLOSED = 3000, "connection closed";
    /// The node is shutting down; another one will serve.
    SHUTDOWN = 3001, "shutdown";
    /// Something on the server failed; the log knows what.
    INTERNAL = 3004, "internal server error";
    /// The connection's token ran out and was not refreshed.
    CONNECTION_EXPIRED = 3005, "connection expired";
    /// A server-side subscription ran out.
    SUBSCRIPTION_EXPIRED = 3006, "subscription expired";
    /// The client reads more slowly than it is written to: its outbox is full.
    SLOW = 3008, "slow";
    /// Writing to the socket failed or took too long.
    WRITE_ERROR = 3009, "write error";
    /// The server noticed a gap in what it delivered; reconnecting recovers it.
    INSUFFICIENT_STATE = 3010, "insufficient state";
    /// Asked to come back at once, by an operator.
    FORCE_RECONNECT = 3011, "force reconnect";
    /// The client did not answer a ping in time.
    NO_PONG = 3012, "no pong";
    /// Too many commands or connections in a short time.
    TOO_MANY_REQUESTS = 3013, "too many requests";
    /// The client's token and all its subscription state are void; come back with new ones.
    STATE_INVALIDATED = 3014, "state invalidated";
    /// The token is forged, malformed or another user's.
    INVALID_TOKEN = 3500, "invalid token";
    /// The client broke the protocol.
    BAD_REQUEST = 3501, "bad request";
    /// The client did not authenticate in time.
    STALE = 3502, "stale";
    /// An operator or backend ended the connection for good.
    FORCE_DISCONNECT = 3503, "force disconnect";
    /// The user, or the node, has too many connections.
    CONNECTION_LIMIT = 3504, "connection limit";
    /// The token names more channels than a connection may have.
    CHANNEL_LIMIT = 3505, "channel limit";
    /// A payload cannot be expressed in the client's format: bytes that are not JSON.
    INAPPROPRIATE_PROTOCOL = 3506, "inappropriate protocol";
    /// The user may not connect.
    PERMISSION_DENIED = 3507, "permission denied";
    /// The client used a feature that this server does not have.
    NOT_AVAILABLE = 3508, "not available";
    /// The client made too many errors.
    TOO_MANY_ERRORS = 3509, "too many errors";
}

impl Disconnect {
    /// The longest reason that fits into a WebSocket close frame, in bytes.
    pub const MAX_REASON: usize = 123;

    /// A code with a reason from outside, made fit for a close frame.
    ///
    /// An over-long reason is cut at a character boundary. One that would parse as JSON gets a
    /// full stop behind it.
    #[must_use]
    pub fn new(code: u32, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > Self::MAX_REASON {
            let end = reason.floor_char_boundary(Self::MAX_REASON);
            reason = Cow::Owned(reason[..end].to_owned());
        }
        if crate::is_json(reason.as_bytes()) {
            let end = reason.floor_char_boundary(Self::MAX_REASON - 1);
            reason = Cow::Owned(format!("{}.", &reason[..end]));
        }
        Self { code, reason }
    }

    /// Whether a client that is closed with this code comes back by itself.
    ///
    /// 3500–3999 and 4500–4999 are final; every other code reconnects.
    #[must_use]
    pub fn reconnect(&self) -> bool {
        !matches!(self.code, 3500..=3999 | 4500..=4999)
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.reason, self.code)
    }
}

impl From<Disconnect> for DisconnectPush {
    fn from(disconnect: Disconnect) -> Self {
        Self {
            reconnect: disconnect.reconnect(),
            code: disconnect.code,
            reason: disconnect.reason.into_owned(),
        }
    }
}
