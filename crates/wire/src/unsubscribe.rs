//! Why a subscription ends: the codes of the unsubscribe push.

use std::borrow::Cow;
use std::fmt;

use crate::push::UnsubscribePush;

/// The code and reason that a subscription is ended with, by the server.
///
/// Below 2500 the subscription is over; from 2500 on the client subscribes again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsubscribe {
    /// 2000 to 2999; of these 2100–2499 and 2600–2999 are free for operators.
    pub code: u32,
    /// A short text.
    pub reason: Cow<'static, str>,
}

macro_rules! unsubscribe_codes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $reason:literal; )*) => {
        impl Unsubscribe {
            $(
                $(#[$doc])*
                pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };
            )*

            /// Every code of the protocol, in ascending order.
            pub const ALL: &[Self] = &[$( Self::$name ),*];
        }
    };
}

unsubscribe_codes! {
    /// The client asked for it. Never sent: a name for logs and metrics.
    CLIENT = 0, "client unsubscribed";
    /// The connection ended. Never sent: a name for logs and metrics.
    DISCONNECT = 1, "client disconnected";
    /// The server or its operator ended the subscription for good.
    SERVER = 2000, "server unsubscribe";
    /// The server noticed a gap in what it delivered; subscribing again recovers it.
    INSUFFICIENT_STATE = 2500, "insufficient state";
    /// The subscription's token ran out and was not refreshed.
    EXPIRED = 2501, "subscription expired";
    /// The subscription's token and cached state are void; subscribe with new ones.
    STATE_INVALIDATED = 2502, "state invalidated";
}

impl Unsubscribe {
    /// Whether a client that gets this code subscribes again by itself.
    #[must_use]
    pub fn resubscribe(&self) -> bool {
        self.code >= 2500
    }
}

impl fmt::Display for Unsubscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.reason, self.code)
    }
}

impl From<Unsubscribe> for UnsubscribePush {
    fn from(unsubscribe: Unsubscribe) -> Self {
        Self {
            code: unsubscribe.code,
            reason: unsubscribe.reason.into_owned(),
        }
    }
}
