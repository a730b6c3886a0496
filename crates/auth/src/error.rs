//! The two ways in which things go wrong: the configuration, or a token.

use std::borrow::Cow;

/// A configuration that no verifier can be built from.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {reason}")]
pub struct Error {
    /// The field of [`TokenConfig`](crate::TokenConfig) that has to be changed.
    pub key: &'static str,
    /// What is wrong with it. Never contains the value of a key.
    pub reason: String,
}

impl Error {
    pub(crate) fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self {
            key,
            reason: reason.into(),
        }
    }
}

/// Why a token was not accepted. Named by what the client can do about it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// The token will never be accepted. The reason is for the log: it holds
    /// nothing of the token's contents.
    #[error("invalid token: {0}")]
    Invalid(Cow<'static, str>),
    /// The token is genuine but not valid now (`exp`, `nbf`): a new one helps.
    #[error("token expired")]
    Expired,
    /// The keys could not be fetched: the same token may be accepted later.
    #[error("verification keys are unavailable: {0}")]
    Unavailable(Cow<'static, str>),
}

impl TokenError {
    pub(crate) const fn invalid(reason: &'static str) -> Self {
        Self::Invalid(Cow::Borrowed(reason))
    }
}
