//! Tokens to claims: who a client is, and what a backend lets it have.
//!
//! A [`TokenVerifier`] is built once from a [`TokenConfig`] and shared; it turns
//! a JSON Web Token into [`ConnectionClaims`] or [`SubscriptionClaims`]. What
//! the claims permit is decided elsewhere: this crate knows no channels, no
//! sessions and no namespaces.
//!
//! Signatures are checked with keys prepared at start (a shared secret, RSA and
//! ECDSA public keys) or with the keys that an identity provider publishes
//! (JWKS). The algorithm in a token's header only selects among the keys that
//! were configured for it, so `none` and a public key used as an HMAC secret
//! lead nowhere.

mod config;
mod error;
mod verifier;

mod claims;
mod issue;
mod jwks;
mod jws;
mod keys;

pub use claims::{ConnectionClaims, Overrides, ServerSubscription, SubscriptionClaims};
pub use config::TokenConfig;
pub use error::{Error, TokenError};
pub use issue::sign_hs256;
pub use verifier::TokenVerifier;
