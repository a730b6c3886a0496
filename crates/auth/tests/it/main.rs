//! The crate as its users see it: tokens in, claims out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod algorithms;
mod claims;
mod config;
mod jwks;
mod robustness;
mod support;
