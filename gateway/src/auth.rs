//! The node's token verifiers: one for connections, one for subscriptions.

use ::auth::TokenVerifier;

/// See the module.
#[derive(Debug)]
pub(crate) struct Verifiers {
    /// Connection tokens.
    pub(crate) connection: TokenVerifier,
    /// Subscription tokens, when they have keys of their own.
    subscription: Option<TokenVerifier>,
}

impl Verifiers {
    /// Both; without keys of its own a subscription token has the connection's.
    pub(crate) fn new(connection: TokenVerifier, subscription: Option<TokenVerifier>) -> Self {
        Self {
            connection,
            subscription,
        }
    }

    /// Subscription tokens.
    pub(crate) fn subscription(&self) -> &TokenVerifier {
        self.subscription.as_ref().unwrap_or(&self.connection)
    }
}
