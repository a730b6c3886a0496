//! The keys that an identity provider publishes (RFC 7517): fetched when a token
//! names a key that is not known yet, kept for an hour.

mod cache;
mod document;
mod fetch;

pub(crate) use cache::Jwks;
