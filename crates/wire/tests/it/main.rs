//! The codecs, seen from outside.

mod allocation;
mod codes;
mod decoding;
mod encoding;
mod golden;
mod properties;
mod schema;
